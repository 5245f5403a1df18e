package commands

import (
	"context"

	"github.com/spf13/cobra"

	"dnsctl/edit"
	"dnsctl/zone"
)

type zoneCreateOptions struct {
	name    string
	pools   []string
	ns      []string
	email   string
	style   string
	comment string
}

func newZoneCreateCmd(a *App) *cobra.Command {
	var o zoneCreateOptions
	c := &cobra.Command{
		Use:   "create NAME",
		Short: "Create a zone",
		Long: `Creates a zone with an SOA and its NS records. Those that are not given are the
pool's defaults; with one pool, --pool may be left out. A zone that is created
again after it was deleted goes on behind its last serial. Nameservers of the pool
that can never have a zone of that name are warned about; they do without it.`,
		Example: `  dnsctl zone create example.org
  dnsctl zone create example.net --pool main --ns ns1.example.net. --email hostmaster@example.net`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.name = args[0]
			return runZoneCreate(cmd.Context(), a, o)
		},
	}
	f := c.Flags()
	f.StringSliceVar(&o.pools, "pool", nil, "a `pool` to put it into")
	f.StringSliceVar(&o.ns, "ns", nil, "a name server, as `host`, of the zone")
	f.StringVar(&o.email, "email", "", "the mailbox in the SOA, as `user@domain`")
	f.Var(newEnum(&o.style, string(zone.SerialIncrement), serialStyles()...), "serial-style", "how serials are chosen")
	f.StringVar(&o.comment, "comment", "", "a `text` for the zone's history")
	return c
}

func serialStyles() []string {
	out := make([]string, len(zone.SerialStyles))
	for i, s := range zone.SerialStyles {
		out[i] = string(s)
	}
	return out
}

func runZoneCreate(ctx context.Context, a *App, o zoneCreateOptions) error {
	name, err := parseZone(o.name)
	if err != nil {
		return err
	}
	n := edit.NewZone{Name: name, Email: o.email, SerialStyle: zone.SerialStyle(o.style)}
	if len(o.ns) > 0 {
		if n.NS, err = parseHosts("ns", o.ns); err != nil {
			return err
		}
	}
	if n.Pools, err = a.oneOrMorePools(ctx, o.pools); err != nil {
		return err
	}
	e, err := a.editor(ctx)
	if err != nil {
		return err
	}
	if err := a.warnUnheld(ctx, name, n.Pools); err != nil {
		return err
	}
	res, err := e.Create(ctx, n, a.meta(o.comment))
	return a.showResult(res, err)
}
