package commands

import (
	"context"

	"github.com/spf13/cobra"

	"dnsctl/sync/apply"
)

type zoneAdoptOptions struct {
	server, name, pool, comment string
	lax                         bool
}

func newZoneAdoptCmd(a *App) *cobra.Command {
	var o zoneAdoptOptions
	c := &cobra.Command{
		Use:   "adopt SERVER ZONE",
		Short: "Take a zone over that a nameserver has from elsewhere",
		Long: `Takes a zone that somebody else made on a nameserver into the database, with its
records and serial, and makes it a secondary of dnsctl there, in place. From then on
it is changed here, and goes to the other nameservers of its pool as well.

A copy of its records and settings goes to the quarantine first. dnsctl mdns serve
must be running. Zones that are declared in the nameserver's own configuration file,
and zones that it signs with keys of its own, cannot be taken over. A zone that is in
the database already is only converted, and only when its content is the same.

A nameserver that can change the role of a zone keeps answering for it all the while.
BIND cannot: it takes the zone off and adds it again with its file, and answers
REFUSED or SERVFAIL for it in between, for less than a millisecond where the zone is
small, and for as long as it takes to load its file where it is large.

To go back: dnsctl zone delete NAME, then dnsctl quarantine restore with the number
of the copy.`,
		Example: `  dnsctl zone adopt ns1 example.org
  dnsctl zone adopt ns1 example.org --pool edge --comment 'moved from the old primary'`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.server, o.name = args[0], args[1]
			return runZoneAdopt(cmd.Context(), a, o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.pool, "pool", "", "the `pool` that it joins; may be left out where the nameserver is in one only")
	f.BoolVar(&o.lax, "lax", false, "let faults of coexistence and glue pass as warnings")
	f.StringVar(&o.comment, "comment", "", "a `text` for the history")
	return c
}

func runZoneAdopt(ctx context.Context, a *App, o zoneAdoptOptions) error {
	name, err := parseZone(o.name)
	if err != nil {
		return err
	}
	s, err := a.server(ctx, o.server)
	if err != nil {
		return err
	}
	w, err := a.workshop(ctx)
	if err != nil {
		return err
	}
	pools := []string{o.pool}
	if o.pool == "" && len(s.Pools) > 0 {
		pools[0] = s.Pools[0].Name // the only one, or it is refused
	}
	if err := a.warnUnheld(ctx, name, pools); err != nil {
		return err
	}
	progress := a.Out.Progress()
	rep, err := w.syncer.Adopt(ctx, w.store, s, name, apply.AdoptOptions{Options: apply.Options{Meta: a.meta(o.comment), Progress: progress.Update}, Pool: o.pool, Lax: o.lax})
	progress.Done()
	return a.showReport(rep, true, err)
}
