package commands

import (
	"context"

	"github.com/spf13/cobra"

	"dnsctl/fleet"
	"dnsctl/render"
	"dnsctl/report"
)

func newZoneListCmd(a *App) *cobra.Command {
	var f fleet.ZoneFilter
	var all bool
	c := &cobra.Command{
		Use:   "list",
		Short: "List zones",
		Long: `Lists zones in canonical order. --match takes a pattern with * and ?, which also
match dots. --all lists dnsctl's own marker zones as well. Zones that are damaged in
the database are named on standard error, the others listed, and the exit code is 4.`,
		Example: `  dnsctl zone list
  dnsctl zone list --pool main --match '*.example.org' -o json
  dnsctl zone list --deleted -o name`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runZoneList(cmd.Context(), a, f, all) },
	}
	fl := c.Flags()
	fl.StringVar(&f.Pool, "pool", "", "only zones in this `pool`")
	fl.StringVar(&f.Glob, "match", "", "only zones whose name matches this `pattern`")
	fl.BoolVar(&f.Deleted, "deleted", false, "the deleted zones that are still kept")
	fl.BoolVar(&all, "all", false, "dnsctl's own zones as well")
	return c
}

func runZoneList(ctx context.Context, a *App, f fleet.ZoneFilter, all bool) error {
	if err := zoneColumns.Check(a.Out); err != nil {
		return err
	}
	s, err := a.openStore(ctx)
	if err != nil {
		return err
	}
	if f.Pool != "" {
		if _, err := a.oneOrMorePools(ctx, []string{f.Pool}); err != nil {
			return err
		}
	}
	kinds := []fleet.Kind{fleet.Ordinary}
	if all {
		kinds = append(kinds, fleet.Marker, fleet.Catalog, fleet.Restored)
	}
	damaged := 0
	f.Damaged = func(err error) {
		damaged++
		a.showProblem("error:", render.Bad, err.Error(), fleet.CorruptHint, report.ExitPartial)
	}
	rows := func(yield func(fleet.Zone, error) bool) {
		for _, k := range kinds {
			f.Kind = k
			if !stream(func(each func(fleet.Zone) error) error { return s.Zones(ctx, f, each) }, yield) {
				return
			}
		}
	}
	if err := zoneColumns.Write(a.Out, rows); err != nil {
		return err
	}
	if damaged > 0 {
		return end(report.ExitPartial)
	}
	return nil
}

// stop ends a stream of the store whose reader has seen enough.
const stop = ended(report.ExitOK)

// stream turns a method that calls back into a sequence; false when the reader
// wants no more.
func stream[T any](each func(func(T) error) error, yield func(T, error) bool) bool {
	more := true
	err := each(func(v T) error {
		if more = yield(v, nil); !more {
			return stop
		}
		return nil
	})
	if err != nil && more {
		var zero T
		more = yield(zero, err)
	}
	return more
}
