package commands

import (
	"context"

	"github.com/spf13/cobra"

	"dnsctl/edit"
	"dnsctl/zone"
)

type zoneSetOptions struct {
	name        string
	add, remove []string
	style       string
	group       *string // nil: not given
	priority    *int    // nil: not given
	comment     string
}

func newZoneSetCmd(a *App) *cobra.Command {
	var o zoneSetOptions
	var group string
	var priority int
	c := &cobra.Command{
		Use:   "set NAME",
		Short: "Change a zone's pools, serial style, priority or group",
		Long: `Changes the pools a zone is in, how its serials are chosen, its priority, or its
group in the catalog zones of its pools (RFC 9432). Nameservers of a pool that the
zone leaves drop it, those of a pool that it joins get it. A zone is always in one
pool at least.

Nameservers that lack many zones get those of a higher priority first, and of the
same priority the small ones before the large ones.

Knot DNS configures the members of a group by the template of that name, where
catalog-template lists it; BIND and PowerDNS pass over groups.`,
		Example: `  dnsctl zone set example.org --add-pool us
  dnsctl zone set example.org --remove-pool us --serial-style date
  dnsctl zone set example.org --priority 100
  dnsctl zone set example.org --group signed`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.name = args[0]
			if cmd.Flags().Changed("group") {
				o.group = &group
			}
			if cmd.Flags().Changed("priority") {
				o.priority = &priority
			}
			return runZoneSet(cmd.Context(), a, o)
		},
	}
	f := c.Flags()
	f.StringSliceVar(&o.add, "add-pool", nil, "put it into this `pool`")
	f.StringSliceVar(&o.remove, "remove-pool", nil, "take it out of this `pool`")
	f.Var(newEnum(&o.style, "", serialStyles()...), "serial-style", "how serials are chosen")
	f.StringVar(&group, "group", "", "its `group` in catalog zones; none when empty")
	f.IntVar(&priority, "priority", 0, "which zones nameservers get first: `N` from -1000 to 1000, the higher ones before")
	f.StringVar(&o.comment, "comment", "", "a `text` for the zone's history")
	c.MarkFlagsOneRequired("add-pool", "remove-pool", "serial-style", "priority", "group")
	return c
}

func runZoneSet(ctx context.Context, a *App, o zoneSetOptions) error {
	name, err := parseZone(o.name)
	if err != nil {
		return err
	}
	if named := append(append([]string{}, o.add...), o.remove...); len(named) > 0 {
		if _, err := a.oneOrMorePools(ctx, named); err != nil {
			return err
		}
	}
	e, err := a.editor(ctx)
	if err != nil {
		return err
	}
	if err := a.warnUnheld(ctx, name, o.add); err != nil {
		return err
	}
	res, err := e.Set(ctx, name, edit.Change{AddPools: o.add, RemovePools: o.remove, SerialStyle: zone.SerialStyle(o.style), Group: o.group, Priority: o.priority}, a.meta(o.comment))
	return a.showResult(res, a.zoneError(ctx, name, err))
}
