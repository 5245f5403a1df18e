package commands

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"dnsctl/epoch"
	"dnsctl/render"
	"dnsctl/report"
)

func newDBNewEpochCmd(a *App) *cobra.Command {
	var without []string
	var comment string
	c := &cobra.Command{
		Use:   "new-epoch",
		Short: "Say that the database was restored, or a standby promoted, by other tools",
		Long: `A database that was put back to an earlier state, or a standby that was promoted
before it had everything, is older than what the nameservers were filled with: their
markers show it, and every write to them is withheld. When this database is the one
to go on with all the same, new-epoch says so.

It reads every serial that the nameservers have, over their control channels and over
DNS, and gives every zone a serial past them, so that none goes back on the wire.
Zones that arrived signed keep theirs and are listed where a nameserver is ahead.
Every server is then on warn, and written nothing, until it is accepted anew: dnsctl
server accept.

When a server cannot be read, nothing is changed and the exit code is 5: bring it
back, or leave it out with --without; what it serves past the new serials is then
found as ahead by audit when it is back. A run that was killed is finished by the
next one. The exit code is 4 when zones were left behind.`,
		Example: "  dnsctl db new-epoch\n  dnsctl db new-epoch --without ns3",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runDBNewEpoch(cmd.Context(), a, epoch.Options{Reason: a.command, Without: without, Meta: a.meta(comment)})
		},
	}
	c.Flags().StringSliceVar(&without, "without", nil, "leave this `server` out, which cannot be read")
	c.Flags().StringVar(&comment, "comment", "", "a `text` for the events")
	return c
}

var epochColumns = []render.Column[epoch.Result]{
	{Name: "epoch", Value: func(r epoch.Result) any { return r.Epoch }},
	{Name: "store_id", Value: func(r epoch.Result) any { return r.Store }},
	{Name: "pending", Value: func(r epoch.Result) any { return r.Pending }},
	{Name: "stepped", Value: func(r epoch.Result) any { return r.Stepped }},
	{Name: "servers", Value: func(r epoch.Result) any { return orEmpty(r.Servers) }},
	{Name: "without", Value: func(r epoch.Result) any { return orEmpty(r.Without) }},
	{Name: "left", Value: func(r epoch.Result) any {
		if r.Left == nil {
			return []epoch.Zone{}
		}
		return r.Left
	}, Show: render.DataOnly},
}

func runDBNewEpoch(ctx context.Context, a *App, o epoch.Options) error {
	res, err := a.newEpoch(ctx, o)
	if err != nil {
		return err
	}
	list := render.List[epoch.Result]{Columns: epochColumns}
	if err := unread(list.One(a.Out, res)); err != nil {
		return err
	}
	return end(a.sayEpoch(res))
}

func (a *App) newEpoch(ctx context.Context, o epoch.Options) (epoch.Result, error) {
	w, err := a.workshop(ctx)
	if err != nil {
		return epoch.Result{}, err
	}
	op := &epoch.Opener{Store: w.store, Fleet: w.fleet, Edit: w.applier.Edit}
	progress := a.Out.Progress()
	defer progress.Done()
	o.Progress = progress.Update
	return op.Open(ctx, o)
}

// sayEpoch says what is left to do, and gives the exit code.
func (a *App) sayEpoch(res epoch.Result) report.Exit {
	for _, z := range res.Left {
		place := ""
		if z.Zone != "" {
			place = z.Zone.String()
		}
		reason := z.Reason
		if z.Ahead != nil {
			reason = fmt.Sprintf("a nameserver has serial %d, ahead of %d: %s", *z.Ahead, z.Serial, z.Reason)
		}
		a.warn(place, reason)
	}
	for _, s := range res.Servers {
		a.Out.Say("next, when its audit is as you expect: dnsctl server accept %s", s)
	}
	if len(res.Left) > 0 {
		return report.ExitPartial
	}
	return report.ExitOK
}
