package commands

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	"dnsctl/fleet"
	"dnsctl/render"
	"dnsctl/report"
	"dnsctl/zone"
)

func newQuarantineCmd(a *App) *cobra.Command {
	return group("quarantine", "See and bring back what was removed from nameservers",
		`Before a zone is deleted from a nameserver, or its content replaced, a copy is kept
here: settings and records. A copy can be brought back until it expires.`,
		newQuarantineListCmd(a), newQuarantineShowCmd(a), newQuarantineRestoreCmd(a), newQuarantineReleaseCmd(a), newQuarantinePurgeCmd(a))
}

var copyColumns = render.List[report.Copy]{
	Nothing: "there is no copy",
	Columns: []render.Column[report.Copy]{
		{Name: "id", Value: func(c report.Copy) any { return c.ID }},
		{Name: "server", Value: func(c report.Copy) any { return c.Server }},
		{Name: "zone", Value: func(c report.Copy) any { return c.Zone }},
		{Name: "reason", Value: func(c report.Copy) any { return c.Reason }},
		{Name: "records", Value: func(c report.Copy) any { return c.Records }},
		{Name: "taken", Value: func(c report.Copy) any { return c.Taken }, Show: render.IfRoom},
		{Name: "expires", Value: func(c report.Copy) any { return c.Expires }},
		{Name: "restored", Value: func(c report.Copy) any { return c.Restored }},
		{Name: "view", Value: func(c report.Copy) any { return c.View }, Show: render.WideOnly},
		{Name: "serial", Value: func(c report.Copy) any { return c.Serial }, Show: render.WideOnly},
		{Name: "settings", Value: func(c report.Copy) any { return c.Settings }, Show: render.WideOnly},
	},
}

func newQuarantineListCmd(a *App) *cobra.Command {
	var server, name string
	c := &cobra.Command{
		Use:     "list",
		Short:   "List the copies",
		Long:    "Lists the copies that are kept, the newest first.",
		Example: "  dnsctl quarantine list\n  dnsctl quarantine list --server ns1 --zone example.org -o json",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runQuarantineList(cmd.Context(), a, server, name) },
	}
	c.Flags().StringVar(&server, "server", "", "only those from this `server`")
	c.Flags().StringVar(&name, "zone", "", "only those of this `zone`")
	return c
}

func runQuarantineList(ctx context.Context, a *App, server, text string) error {
	var name zone.Name
	var err error
	if text != "" {
		if name, err = parseZone(text); err != nil {
			return err
		}
	}
	s, err := a.openStore(ctx)
	if err != nil {
		return err
	}
	copies, err := s.Copies(ctx, server, name)
	if err != nil {
		return err
	}
	return copyColumns.Write(a.Out, render.Rows(copies))
}

// parseCopyID reads the number of a copy.
func parseCopyID(text string) (int64, error) {
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || id < 1 {
		return 0, usagef("list the copies with: dnsctl quarantine list", "%q is not the number of a copy", text)
	}
	return id, nil
}

// copyError adds to "no such copy" where they are listed.
func copyError(err error) error { return named(err, fleet.ErrNoCopy, "", "quarantine", nil) }
