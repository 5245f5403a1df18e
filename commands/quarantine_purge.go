package commands

import (
	"context"

	"github.com/spf13/cobra"

	"dnsctl/render"
)

func newQuarantinePurgeCmd(a *App) *cobra.Command {
	var expired bool
	c := &cobra.Command{
		Use:   "purge ID...",
		Short: "Delete copies for good",
		Long: `Deletes copies for good: those named, or with --expired those whose time is over,
which dnsctl mdns serve also does by itself. Copies that are back on their nameserver
and protected there stay.`,
		Example: "  dnsctl quarantine purge 1 2\n  dnsctl quarantine purge --expired",
		Args: func(_ *cobra.Command, args []string) error {
			if (len(args) == 0) != expired {
				return usagef("", "name copies, or give --expired")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return runQuarantinePurge(cmd.Context(), a, args) },
	}
	c.Flags().BoolVar(&expired, "expired", false, "those whose time is over")
	return c
}

func runQuarantinePurge(ctx context.Context, a *App, args []string) error {
	ids := make([]int64, 0, len(args))
	for _, text := range args {
		id, err := parseCopyID(text)
		if err != nil {
			return err
		}
		ids = append(ids, id)
	}
	s, err := a.openStore(ctx)
	if err != nil {
		return err
	}
	n := int64(0)
	if len(ids) == 0 {
		if n, err = s.PurgeCopies(ctx); err != nil {
			return err
		}
	}
	for _, id := range ids {
		if err := s.PurgeCopy(ctx, id); err != nil {
			return copyError(err)
		}
		n++
	}
	purged := render.List[int64]{Columns: []render.Column[int64]{{Name: "purged", Value: func(n int64) any { return n }}}}
	return purged.Result(a.Out, n)
}
