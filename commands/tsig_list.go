package commands

import (
	"context"

	"github.com/spf13/cobra"

	"dnsctl/render"
)

func newTSIGListCmd(a *App) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the keys",
		Long:    "Lists the TSIG keys by name, retired ones included, without their secrets.",
		Example: "  dnsctl tsig list",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runTSIGList(cmd.Context(), a) },
	}
}

func runTSIGList(ctx context.Context, a *App) error {
	s, err := a.openStore(ctx)
	if err != nil {
		return err
	}
	keys, err := s.Keys(ctx)
	if err != nil {
		return err
	}
	return keyColumns.Write(a.Out, render.Rows(keys))
}
