package commands

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"

	"github.com/spf13/cobra"

	"dnsctl/bootstrap"
	"dnsctl/fleet"
	"dnsctl/render"
	"dnsctl/report"
	"dnsctl/zone"
)

type serverSetOptions struct {
	reachFlags
	name                  string
	addPools, removePools []string
	noCheck               bool
	dryRun                bool
	maxStale              int
	comment               string
}

func newServerSetCmd(a *App) *cobra.Command {
	var o serverSetOptions
	c := &cobra.Command{
		Use:   "set NAME",
		Short: "Change how a nameserver is reached, or its pools",
		Long: `Changes the settings that are given; '' clears --probe, --notify, --stats and --view.

What would change is shown first: the settings, and the zones that come to the
nameserver or become stale there. On a terminal the nameserver's name must be typed
then, unless --yes is given. With --dry-run nothing is done, and the exit code is 3 when
something would change.

A new way to reach the nameserver is tried before it is stored: its control channel
must answer, and its marker must be the one that this database put there, so that no
other nameserver is taken for it. --no-check stores the change all the same.

A nameserver that joins a pool gets its zones. Zones that it has from a pool it leaves
and from no other become stale there, and are removed like deleted ones: they are
listed first, and more than 10 of them need their number typed on a terminal, or
--max-delete of at least that number. The nameserver must know the TSIG keys of a pool
before it joins it.`,
		Example: `  dnsctl server set ns1 --address 192.0.2.54 --control rndc://192.0.2.54:953
  dnsctl server set ns1 --control-key-file rndc.key --comment 'new rndc key'
  dnsctl server set ns1 --add-pool us --remove-pool eu`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.name = args[0]
			return runServerSet(cmd.Context(), a, cmd, o)
		},
	}
	f := c.Flags()
	o.bind(f)
	f.StringSliceVar(&o.addPools, "add-pool", nil, "put it into this `pool`")
	f.StringSliceVar(&o.removePools, "remove-pool", nil, "take it out of this `pool`")
	f.BoolVar(&o.dryRun, "dry-run", false, "show what would change and do nothing")
	f.BoolVar(&o.noCheck, "no-check", false, "store the change without reaching the nameserver")
	f.IntVar(&o.maxStale, "max-delete", 0, "let up to this `number` of zones become stale without asking")
	f.StringVar(&o.comment, "comment", "", "a `text` for the events")
	c.MarkFlagsOneRequired("address", "probe", "notify", "control", "control-key-file", "control-cert-dir", "stats", "view", "provision", "add-pool", "remove-pool")
	return c
}

// change makes of the flags that were given what is to be changed.
func (o serverSetOptions) change(cmd *cobra.Command) (bootstrap.ServerChange, error) {
	c := bootstrap.ServerChange{AddPools: o.addPools, RemovePools: o.removePools, Unchecked: o.noCheck}
	given := func(name string) bool { return cmd.Flags().Changed(name) }
	for _, f := range []struct {
		name, text string
		dest       **netip.AddrPort
	}{{"address", o.address, &c.Address}, {"probe", o.probe, &c.Probe}, {"notify", o.notify, &c.Notify}} {
		if !given(f.name) {
			continue
		}
		var at netip.AddrPort
		if f.text != "" || f.name == "address" {
			var err error
			if at, err = parseAddr(f.name, f.text); err != nil {
				return c, err
			}
		}
		*f.dest = &at
	}
	for _, f := range []struct {
		name string
		text *string
		dest **string
	}{{"control", &o.control, &c.Control}, {"stats", &o.stats, &c.Stats}, {"view", &o.view, &c.View}} {
		if given(f.name) {
			*f.dest = f.text
		}
	}
	if given("provision") {
		c.Provision = new(fleet.Provision(o.provision))
	}
	return c, nil
}

func runServerSet(ctx context.Context, a *App, cmd *cobra.Command, o serverSetOptions) error {
	change, err := o.change(cmd)
	if err != nil {
		return err
	}
	s, err := a.server(ctx, o.name)
	if err != nil {
		return err
	}
	if change.ControlKey, err = o.credential.read(s.Type); err != nil {
		return err
	}
	if named := append(append([]string{}, o.addPools...), o.removePools...); len(named) > 0 {
		if _, err := a.oneOrMorePools(ctx, named); err != nil {
			return err
		}
	}
	if ready, err := a.planServerSet(ctx, s, change, o.dryRun); err != nil || !ready {
		return err
	}
	if err := a.setServer(ctx, s, change, o.maxStale, o.comment); err != nil {
		return err
	}
	if s, err = a.store.Server(ctx, s.Name); err != nil {
		return err
	}
	return serverColumns.Result(a.Out, s)
}

// setServer changes a server, when what becomes stale there by it may.
func (a *App) setServer(ctx context.Context, s fleet.Server, change bootstrap.ServerChange, maxStale int, comment string) error {
	w, err := a.workshop(ctx)
	if err != nil {
		return err
	}
	_, _, stale, err := w.bootstrap.Next(ctx, w.store, s, change)
	if err != nil {
		return err
	}
	if err := a.mayLeave(s, stale, maxStale); err != nil {
		return err
	}
	return w.bootstrap.Set(ctx, w.store, s, change, a.meta(comment))
}

// mayLeave shows the zones that will be stale on a server, on standard error, and
// asks where they are many.
func (a *App) mayLeave(s fleet.Server, stale []zone.Name, allowed int) error {
	if len(stale) == 0 {
		return nil
	}
	list := make([]acceptance, len(stale))
	for i, z := range stale {
		list[i] = acceptance{z, report.Stale}
	}
	if err := a.showAcceptance(list); err != nil {
		return err
	}
	if n := len(stale); n > deleteFreely && n > allowed {
		hint := fmt.Sprintf("if that is meant: --max-delete %d", n)
		ok, err := a.Out.Confirm(fmt.Sprintf("%d zones will be stale on server %s, and removed from it.", n, s.Name), strconv.Itoa(n))
		switch {
		case errors.Is(err, render.ErrNoAnswer):
			return report.Fail(report.ExitWithheld, fmt.Errorf("%d zones would be stale on server %s, which is more than %d", n, s.Name, max(allowed, deleteFreely)), hint)
		case err != nil:
			return err
		case !ok:
			return report.Fail(report.ExitWithheld, errors.New("not confirmed: nothing was changed"), hint)
		}
	}
	return nil
}
