package commands

import (
	"context"

	"github.com/spf13/cobra"

	"dnsctl/render"
)

func newPoolListCmd(a *App) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the pools",
		Long:    "Lists the pools by name.",
		Example: "  dnsctl pool list\n  dnsctl pool list -o wide",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runPoolList(cmd.Context(), a) },
	}
}

func runPoolList(ctx context.Context, a *App) error {
	s, err := a.openStore(ctx)
	if err != nil {
		return err
	}
	pools, err := s.Pools(ctx)
	if err != nil {
		return err
	}
	return poolColumns.Write(a.Out, render.Rows(pools))
}
