package commands

import (
	"context"

	"github.com/spf13/cobra"

	"dnsctl/fleet"
)

func newPoolSetCmd(a *App) *cobra.Command {
	var f poolFlags
	c := &cobra.Command{
		Use:   "set NAME",
		Short: "Change a pool's settings",
		Long: `Changes the settings that are given; a list replaces the one there was, and an empty
one ('') clears it. New primaries reach the nameservers with the next sync. --ns and
--email are for zones made from then on.

A nameserver that runs already must know the TLS settings that --require-tls has its
zones refer to, under the name dnsctl-POOL, before the next sync: for BIND a tls
statement, as bootstrap --out writes it; docs/nameservers.md shows one.

Without its --catalog, or under another name, a pool's catalog zone is served no
more; nameservers that consume it keep what they have until they are told otherwise.`,
		Example: `  dnsctl pool set main --unmanaged warn --protect '*.internal'
  dnsctl pool set main --primary 192.0.2.1 --primary 192.0.2.2`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runPoolSet(cmd.Context(), a, args[0], f.comment, func(p *fleet.Pool) error { return f.apply(cmd.Flags().Changed, p) })
		},
	}
	f.bind(c, "")
	c.MarkFlagsOneRequired("primary", "ns", "email", "allow-transfer", "unmanaged", "protect", "min-active", "compare-every", "catalog",
		"require-tls", "tls-client", "tls-name", "tls-ca")
	return c
}

func runPoolSet(ctx context.Context, a *App, name, comment string, change func(*fleet.Pool) error) error {
	if err := a.changePool(ctx, name, comment, change); err != nil {
		return err
	}
	p, err := a.store.Pool(ctx, name)
	if err != nil {
		return err
	}
	return a.showPool(ctx, p)
}

// changePool changes a pool's settings, if they can be so.
func (a *App) changePool(ctx context.Context, name, comment string, change func(*fleet.Pool) error) error {
	if _, err := a.pool(ctx, name); err != nil {
		return err
	}
	servers, err := a.store.Servers(ctx)
	if err != nil {
		return err
	}
	return a.store.UpdatePool(ctx, name, a.byWith(comment), func(p *fleet.Pool) error {
		if err := change(p); err != nil {
			return err
		}
		if err := checkPool(*p); err != nil {
			return err
		}
		return checkServers(*p, servers)
	})
}
