package commands

import (
	"context"

	"github.com/spf13/cobra"

	"dnsctl/fleet"
	"dnsctl/render"
)

func newPoolShowCmd(a *App) *cobra.Command {
	return &cobra.Command{
		Use:   "show NAME",
		Short: "Show a pool and what is in it",
		Long: `Shows a pool's settings, how many zones are in it, its servers and its TSIG keys. Of
its catalog it shows the serial, the number of members, and, where something is in
the way, why it is held back and how many members should leave.`,
		Example: "  dnsctl pool show main",
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return runPoolShow(cmd.Context(), a, args[0]) },
	}
}

func runPoolShow(ctx context.Context, a *App, name string) error {
	p, err := a.pool(ctx, name)
	if err != nil {
		return err
	}
	return a.showPool(ctx, p)
}

func (a *App) showPool(ctx context.Context, p fleet.Pool) error {
	u, err := a.use(ctx, p)
	if err != nil {
		return err
	}
	var list render.List[poolUse]
	for _, c := range poolColumns.Columns {
		list.Columns = append(list.Columns, render.Column[poolUse]{Name: c.Name, Show: c.Show, Value: func(u poolUse) any { return c.Value(u.Pool) }})
	}
	list.Columns = append(list.Columns,
		render.Column[poolUse]{Name: "zones", Value: func(u poolUse) any { return u.zones }},
		render.Column[poolUse]{Name: "servers", Value: func(u poolUse) any { return u.servers }},
		render.Column[poolUse]{Name: "keys", Value: func(u poolUse) any { return u.keys }},
		render.Column[poolUse]{Name: "catalog_serial", Value: func(u poolUse) any { return u.catalogSerial() }},
		render.Column[poolUse]{Name: "catalog_members", Value: func(u poolUse) any { return u.catalogMembers() }},
		render.Column[poolUse]{Name: "catalog_held", Value: func(u poolUse) any { return u.state.Held }},
		render.Column[poolUse]{Name: "catalog_reason", Value: func(u poolUse) any { return u.state.Reason }})
	return list.One(a.Out, u)
}
