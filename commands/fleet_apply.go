package commands

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"dnsctl/fleetfile"
	"dnsctl/render"
	"dnsctl/report"
)

type fleetApplyOptions struct {
	file     string
	dryRun   bool
	prune    bool
	maxStale int
	comment  string
}

func newFleetApplyCmd(a *App) *cobra.Command {
	var o fleetApplyOptions
	c := &cobra.Command{
		Use:   "apply -f FILE",
		Short: "Make the fleet like a document",
		Long: `Compares the pools, TSIG keys and nameservers of a YAML document (- is standard
input) with the database, and makes the database like it. With --dry-run the
differences are only listed, and the exit code is 3 when there are any.

The fields are the flags of pool create, tsig create and server add; one that is
left out means that flag's default, and tls-ca holds the certificates themselves:

  schema: dnsctl-fleet/v1
  pools:
    - name: main
      primary: [192.0.2.1]
      ns: [ns1.example.net, ns2.example.net]
      email: hostmaster@example.net
  keys:
    - {name: customer, scope: "zone:example.org"}
  servers:
    - name: ns1
      type: bind
      pool: [main]
      address: 192.0.2.53
      control: rndc://192.0.2.53:953
      control-key-file: rndc.key

control-key-file, control-cert-dir, secret-file and new say how something is made,
and are read only then; paths are relative to the document's folder. A pool for
which no key is listed keeps those it has, and a new one gets a key of its own name.
A new nameserver is reached before it is added, and a changed one as by dnsctl
server set; nothing is written to it. Zones that become stale on a nameserver since
it leaves a pool are asked for as by server set.

What is in the database and not in the document is listed and stays. With --prune
keys and empty pools are deleted, after their number was typed on a terminal, or
with --yes. A nameserver is taken out with dnsctl server remove only, which asks
what becomes of its zones.`,
		Example: `  dnsctl fleet apply -f fleet.yaml --dry-run
  dnsctl fleet apply -f fleet.yaml --comment 'second site'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runFleetApply(cmd.Context(), a, o) },
	}
	f := c.Flags()
	f.StringVarP(&o.file, "file", "f", "", "the `file` with the document; - is standard input")
	f.BoolVar(&o.dryRun, "dry-run", false, "only list what is different")
	f.BoolVar(&o.prune, "prune", false, "delete keys and empty pools that are not in the document")
	f.IntVar(&o.maxStale, "max-delete", 0, "let up to this `number` of zones become stale on a nameserver without asking")
	f.StringVar(&o.comment, "comment", "", "a `text` for the events")
	required(c, "file")
	return c
}

// fleetStep is one difference, and what became of it.
type fleetStep struct {
	fleetfile.Difference
	outcome report.Outcome
	reason  string
}

var fleetColumns = render.List[fleetStep]{
	Nothing: "the fleet is as the document says",
	Columns: []render.Column[fleetStep]{
		{Name: "name", Value: func(s fleetStep) any { return s.Name }},
		{Name: "kind", Value: func(s fleetStep) any { return string(s.Kind) }},
		{Name: "action", Value: func(s fleetStep) any { return string(s.Action) }},
		{Name: "outcome", Value: func(s fleetStep) any { return string(s.outcome) }, Style: func(s fleetStep) render.Style {
			if s.outcome == report.Failed {
				return render.Bad
			}
			return render.Plain
		}},
		{Name: "change", Value: func(s fleetStep) any { return changeText(s.Fields) }},
		{Name: "reason", Value: func(s fleetStep) any { return s.reason }},
		{Name: "fields", Value: func(s fleetStep) any { return append([]fleetfile.Field{}, s.Fields...) }, Show: render.DataOnly},
	},
}

func changeText(fields []fleetfile.Field) string {
	parts := make([]string, len(fields))
	for i, f := range fields {
		parts[i] = fmt.Sprintf("%s: %s -> %s", f.Name, orNone(f.From), orNone(f.To))
		if f.Name == "tls-ca" {
			parts[i] = "tls-ca: other certificates"
		}
	}
	return strings.Join(parts, "; ")
}

func orNone(text string) string {
	if text == "" {
		return "none"
	}
	return text
}

func runFleetApply(ctx context.Context, a *App, o fleetApplyOptions) error {
	if err := fleetColumns.Check(a.Out); err != nil {
		return err
	}
	doc, place, err := a.readFleetDocument(o.file)
	if err != nil {
		return err
	}
	s, err := a.openStore(ctx)
	if err != nil {
		return err
	}
	have, err := readFleet(ctx, s)
	if err != nil {
		return err
	}
	want, err := wantFleet(doc, have, place)
	if err != nil {
		return err
	}
	var steps []fleetStep
	for _, d := range fleetfile.Compare(have.document(), want.document) {
		st := fleetStep{d, report.Planned, ""}
		if st.reason = want.never(d, o.prune); st.reason != "" {
			st.outcome = report.Withheld
		}
		steps = append(steps, st)
	}
	code := report.ExitOK
	if o.dryRun {
		if len(steps) > 0 {
			code = report.ExitDifferences
		}
	} else if code, err = a.applyFleet(ctx, o, want, steps); err != nil {
		return err
	}
	for i := range steps {
		steps[i].reason = a.pasteable(steps[i].reason)
	}
	if err := fleetColumns.Write(a.Out, render.Rows(steps)); err != nil {
		return unread(err)
	}
	return end(code)
}

// readFleetDocument reads the document; place is how errors call it.
func (a *App) readFleetDocument(path string) (doc fleetfile.Document, place string, err error) {
	in, place := a.Out.In, "standard input"
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return doc, path, report.Fail(report.ExitUsage, fmt.Errorf("--file: %w", err), "name a document, or - for standard input; dnsctl fleet export writes one")
		}
		defer f.Close()
		in, place = io.Reader(f), path
	}
	doc, err = fleetfile.Read(in)
	var fault *fleetfile.Fault
	if errors.As(err, &fault) {
		hint := "how it is written: dnsctl fleet apply --help"
		if near := nearest(fault.Field, fault.Known); near != "" {
			hint = "did you mean " + near
		} else if len(fault.Known) > 0 {
			hint = "the fields are " + strings.Join(fault.Known, ", ")
		}
		return doc, place, report.Fail(report.ExitUsage, fmt.Errorf("%s: %w", place, err), hint)
	}
	return doc, place, within("read "+place, err)
}

// beside is a path of the document, which is relative to its folder.
func (o fleetApplyOptions) beside(path string) string {
	if o.file == "-" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(o.file), path)
}

// applyFleet carries out the steps in order, all of them whatever becomes of one.
func (a *App) applyFleet(ctx context.Context, o fleetApplyOptions, want wantedFleet, steps []fleetStep) (report.Exit, error) {
	prune, err := a.confirmPrune(steps)
	if err != nil {
		return report.ExitFailed, err
	}
	failed, withheld := 0, false
	for i := range steps {
		st := &steps[i]
		if st.Action == fleetfile.Extra && st.outcome == report.Planned && !prune {
			st.outcome, st.reason = report.Withheld, "not confirmed: --yes confirms it"
		}
		if st.outcome == report.Planned {
			if err := a.fleetStep(ctx, o, want, st.Difference); err != nil {
				if ctx.Err() != nil {
					return report.ExitFailed, err
				}
				code, hint := exitOf(err)
				st.outcome, st.reason = report.Failed, err.Error()
				if code == report.ExitWithheld {
					st.outcome = report.Withheld
				}
				if hint != "" {
					st.reason += " (" + hint + ")"
				}
			} else {
				st.outcome = report.Done
			}
		}
		withheld = withheld || st.outcome == report.Withheld
		if st.outcome == report.Failed {
			failed++
		}
	}
	code := partly(failed, len(steps))
	if withheld {
		code = code.Worse(report.ExitWithheld)
	}
	return code, nil
}

// confirmPrune asks for what will be deleted.
func (a *App) confirmPrune(steps []fleetStep) (bool, error) {
	n := 0
	for _, st := range steps {
		if st.Action == fleetfile.Extra && st.outcome == report.Planned {
			n++
		}
	}
	if n == 0 || a.flags.yes {
		return true, nil
	}
	shown := *a.Out
	shown.Out, shown.Format, shown.Columns = a.Out.Err, render.Table, nil
	if err := fleetColumns.Write(&shown, render.Rows(steps)); err != nil {
		return false, err
	}
	ok, err := a.Out.Confirm(fmt.Sprintf("%s that the document does not have will be deleted.", report.Count(n, "pool or key")), strconv.Itoa(n))
	if errors.Is(err, render.ErrNoAnswer) {
		return false, nil
	}
	return ok, err
}
