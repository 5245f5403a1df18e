package commands

import (
	"context"

	"github.com/spf13/cobra"
)

func newPoolDeleteCmd(a *App) *cobra.Command {
	var comment string
	c := &cobra.Command{
		Use:   "delete NAME",
		Short: "Delete an empty pool",
		Long: `Deletes a pool that no zone and no server is in, with its TSIG keys. Zones leave a
pool with: dnsctl zone set NAME --remove-pool POOL`,
		Example: "  dnsctl pool delete old",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runPoolDelete(cmd.Context(), a, args[0], comment)
		},
	}
	c.Flags().StringVar(&comment, "comment", "", "a `text` for the events")
	return c
}

func runPoolDelete(ctx context.Context, a *App, name, comment string) error {
	p, err := a.pool(ctx, name)
	if err != nil {
		return err
	}
	if err := a.store.DeletePool(ctx, p.Name, a.byWith(comment)); err != nil {
		return err
	}
	return a.showDone("pool", p.Name, "deleted")
}
