package commands

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"dnsctl/fleet"
	"dnsctl/report"
)

func newTSIGDeleteCmd(a *App) *cobra.Command {
	var comment string
	c := &cobra.Command{
		Use:   "delete NAME",
		Short: "Delete a key",
		Long: `Deletes a TSIG key: whoever still signs with it is refused from now on. The last
valid key of a pool is deleted only with --yes, since its nameservers could not
transfer any more.`,
		Example: "  dnsctl tsig delete main-1",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runTSIGDelete(cmd.Context(), a, args[0], comment)
		},
	}
	c.Flags().StringVar(&comment, "comment", "", "a `text` for the events")
	return c
}

func runTSIGDelete(ctx context.Context, a *App, name, comment string) error {
	k, err := a.key(ctx, name)
	if err != nil {
		return err
	}
	if err := a.lastKey(ctx, k); err != nil {
		return err
	}
	if err := a.store.DeleteKey(ctx, k.Name, a.byWith(comment)); err != nil {
		return err
	}
	return a.showDone("key", k.Name, "deleted")
}

// lastKey refuses to delete the only valid key of a pool.
func (a *App) lastKey(ctx context.Context, k fleet.Key) error {
	if k.Scope.PoolID == 0 || !k.Valid(a.Now()) || a.flags.yes {
		return nil
	}
	keys, err := a.store.Keys(ctx)
	if err != nil {
		return err
	}
	for _, o := range keys {
		if o.ID != k.ID && o.Scope == k.Scope && o.Valid(a.Now()) {
			return nil
		}
	}
	return report.Fail(report.ExitWithheld, fmt.Errorf("key %s is the last valid one of %s", keyText(k.Name), k.ScopeName),
		"replace it first: dnsctl tsig rotate "+keyText(k.Name)+"; or add --yes: without it, only --allow-transfer says who sees the pool's zones")
}
