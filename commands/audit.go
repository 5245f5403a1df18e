package commands

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"dnsctl/audit"
	"dnsctl/report"
)

type auditOptions struct {
	servers []string
	deep    bool
	all     bool
	failOn  []string
}

func newAuditCmd(a *App) *cobra.Command {
	var o auditOptions
	c := &cobra.Command{
		Use:   "audit [SERVER...]",
		Short: "Compare nameservers with the database",
		Long: `Looks at every zone of the nameservers named, or of all of them, and says how it
stands to the database. Nothing is ever written to a nameserver.

  ok             in agreement
  missing        should be there
  stale          ours once, deleted or moved since
  foreign        never ours
  misconfigured  wrong primaries, key or role
  behind, ahead  its serial is behind or ahead of ours (RFC 1982)
  differs        same serial, other content
  expired        there, but not serving
  unknown        could not look; never read as absent

Same serial, other content shows in the SOA, in its signatures and in ZONEMD, where
a zone has these, and else only with --deep.

Zones in agreement are only counted, unless --all is given. --deep also compares the
content of every zone, record by record, with what the nameserver transfers, or
copies over its control channel where it refuses that; a zone of which neither can
be had is unknown, never ok. It checks the primaries and keys of every zone too.

The exit code is 0 in agreement and 3 with findings; --fail-on limits that to some
classes. A nameserver that could not be read whole makes it 4, or 1 when that is
all of them. Servers that are out of service by dnsctl drain are only named so,
unless they are given as arguments: then they are looked at like any other.`,
		Example: `  dnsctl audit
  dnsctl audit ns1 --deep -o json
  dnsctl audit --fail-on missing,expired,misconfigured`,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.servers = args
			return runAudit(cmd.Context(), a, o)
		},
	}
	f := c.Flags()
	f.BoolVar(&o.deep, "deep", false, "compare the content of every zone, and its primaries and keys")
	f.BoolVar(&o.all, "all", false, "list zones in agreement and dnsctl's own as well")
	f.StringSliceVar(&o.failOn, "fail-on", nil, "only these `classes` make the exit code 3")
	complete(c, "fail-on", classNames()...)
	return c
}

func classNames() []string {
	var out []string
	for _, c := range report.Classes {
		if c != report.OK {
			out = append(out, string(c))
		}
	}
	return out
}

func runAudit(ctx context.Context, a *App, o auditOptions) error {
	for _, c := range o.failOn {
		if !slices.Contains(classNames(), c) {
			hint := "the classes are " + strings.Join(classNames(), ", ")
			if near := nearest(c, classNames()); near != "" {
				hint = "did you mean " + near
			}
			return usagef(hint, "--fail-on: there is no class %q", c)
		}
	}
	servers, err := a.servers(ctx, o.servers)
	if err != nil {
		return err
	}
	w, err := a.workshop(ctx)
	if err != nil {
		return err
	}
	progress := a.Out.Progress()
	rep, err := (&audit.Auditor{Fleet: w.fleet, Now: a.Now}).Audit(ctx, servers, audit.Options{Deep: o.deep, All: o.all, Out: len(o.servers) > 0, Progress: progress.Update})
	progress.Done()
	if len(o.failOn) > 0 && rep.Exit == report.ExitDifferences && !found(rep, o.failOn) {
		rep.Exit = report.ExitOK
	}
	return a.showReport(rep, o.all, err)
}

// found says whether the report has a finding of one of the classes.
func found(rep report.Report, classes []string) bool {
	for _, s := range rep.Servers {
		for _, it := range s.Items {
			if slices.Contains(classes, string(it.Class)) && !isMarker(it) && !it.Restored() {
				return true
			}
		}
	}
	return false
}
