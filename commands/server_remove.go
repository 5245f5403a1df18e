package commands

import (
	"context"

	"github.com/spf13/cobra"

	"dnsctl/bootstrap"
	"dnsctl/sync/apply"
)

type serverRemoveOptions struct {
	name                    string
	leaveZones, removeZones bool
	leaveMarker, noCopy     bool
	comment                 string
}

func newServerRemoveCmd(a *App) *cobra.Command {
	var o serverRemoveOptions
	c := &cobra.Command{
		Use:   "remove NAME",
		Short: "Take a nameserver out of the fleet",
		Long: `Takes a nameserver out of the fleet. What becomes of our zones on it must be said.

--leave-zones leaves them there and only takes the marker off. They go on being
transferred as long as the TSIG keys are good: rotate the pool's key to end that.
--remove-zones removes them first, as sync does: their number is typed on a terminal,
elsewhere --yes is needed. What somebody else put there, restored copies, and zones
that a pool's pattern protects stay on it; a protected one of ours keeps the
nameserver in the fleet. Until all is done the nameserver is drained, and the command
can be run again.

The marker goes last. A nameserver that cannot be reached any more is forgotten with
--leave-zones --leave-marker: should it come back, its marker still names this
database.`,
		Example: `  dnsctl server remove ns1 --leave-zones
  dnsctl server remove ns1 --remove-zones --comment 'moved to ns4'
  dnsctl server remove ns1 --leave-zones --leave-marker --comment 'burnt down'`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.name = args[0]
			return runServerRemove(cmd.Context(), a, o)
		},
	}
	f := c.Flags()
	f.BoolVar(&o.leaveZones, "leave-zones", false, "our zones stay on it")
	f.BoolVar(&o.removeZones, "remove-zones", false, "our zones are removed from it")
	f.BoolVar(&o.leaveMarker, "leave-marker", false, "do not talk to it: its marker stays behind")
	f.BoolVar(&o.noCopy, "no-copy", false, "remove even zones that cannot be copied first")
	f.StringVar(&o.comment, "comment", "", "a `text` for the events")
	c.MarkFlagsOneRequired("leave-zones", "remove-zones")
	c.MarkFlagsMutuallyExclusive("leave-zones", "remove-zones")
	c.MarkFlagsMutuallyExclusive("leave-marker", "remove-zones")
	return c
}

func runServerRemove(ctx context.Context, a *App, o serverRemoveOptions) error {
	s, err := a.server(ctx, o.name)
	if err != nil {
		return err
	}
	w, err := a.workshop(ctx)
	if err != nil {
		return err
	}
	progress := a.Out.Progress()
	rep, err := w.bootstrap.Remove(ctx, w.store, s, bootstrap.RemoveOptions{Zones: o.removeZones, NoCopy: o.noCopy, LeaveMarker: o.leaveMarker,
		Options: apply.Options{Meta: a.meta(o.comment), Progress: progress.Update, Confirm: a.confirmDeletions(progress)}})
	progress.Done()
	if err == nil && rep.Exit == 0 {
		a.Out.Say("server %s is removed", s.Name)
		if o.leaveMarker {
			a.Out.Say("its marker %s stays on it", s.Marker)
		}
	}
	return a.showReport(rep, true, err)
}
