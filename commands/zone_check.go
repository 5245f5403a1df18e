package commands

import (
	"context"

	"github.com/spf13/cobra"

	"dnsctl/edit"
	"dnsctl/render"
)

func newZoneCheckCmd(a *App) *cobra.Command {
	var o zoneImportOptions
	c := &cobra.Command{
		Use:   "check FILE|DIR|named.conf...",
		Short: "Check zone files without importing them",
		Long: `Reads zone files as zone import does, with the same checks, and says what is wrong
with file and line. Nothing is written, and no database is needed.`,
		Example: "  dnsctl zone check example.org.zone\n  dnsctl zone check --zone example.org db.example",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.paths = args
			return runZoneCheck(cmd.Context(), a, o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.zone, "zone", "", "the `name` of the zone in the file; of a named.conf only this zone")
	f.StringArrayVar(&o.mapPath, "map-path", nil, "read `OLD=NEW`: paths that begin with OLD from NEW")
	f.String("include-root", "", "the `folder` that $INCLUDE may reach")
	f.BoolVar(&o.lax, "lax", false, "faults of coexistence and glue are warnings")
	return c
}

func runZoneCheck(ctx context.Context, a *App, o zoneImportOptions) error {
	src, err := newSources(a.Config.IncludeRoot, o)
	if err != nil {
		return err
	}
	for _, p := range o.paths {
		if err := src.add(p); err != nil {
			return err
		}
	}
	progress := a.Out.Progress()
	var results []imported
	failed := 0
	for _, m := range src.missing {
		failed++
		results = append(results, a.importedOne(progress, m.path, edit.Result{Zone: m.zone}, m.err))
	}
	for _, s := range src.list {
		p, err := s.Parse(ctx)
		r := edit.Result{Zone: src.names[s.Path], Warnings: p.Warnings}
		if err != nil {
			failed++
		} else {
			r = edit.Result{Zone: p.Content.Apex(), Action: "valid", Serial: p.Content.Serial(), Records: p.Content.Records(), RRsets: p.Content.RRsets(), Warnings: p.Warnings}
		}
		results = append(results, a.importedOne(progress, s.Path, r, err))
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	list := render.List[imported]{Nothing: importColumns.Nothing}
	for _, c := range importColumns.Columns {
		if c.Name != "added" && c.Name != "removed" {
			list.Columns = append(list.Columns, c)
		}
	}
	if err := unread(list.Write(a.Out, render.Rows(results))); err != nil {
		return err
	}
	return end(partly(failed, len(results)))
}
