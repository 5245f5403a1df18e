package commands

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"dnsctl/bootstrap"
	"dnsctl/fleet"
)

type drainOptions struct {
	server, reason string
	below          []string
}

func newDrainCmd(a *App) *cobra.Command {
	var o drainOptions
	c := &cobra.Command{
		Use:   "drain SERVER",
		Short: "Take a nameserver out of service",
		Long: `Takes a nameserver out of service: it gets no NOTIFY and no tasks, is not compared,
and alarms nobody. Nothing is written to it, and it goes on answering for what it
has. Who did it, why and since when is shown by dnsctl server show and audit.
/servers/NAME/ready of dnsctl mdns serve --http answers 503 from then on, and the
program of the setting drain_hook is run before; when that fails, the nameserver
stays in service.

Each of its pools keeps as many other servers in service as its --min-active says;
--below-floor names the pool that may have fewer this once. A server that is drained
already stays so; another --reason replaces the one it has.`,
		Example: `  dnsctl drain ns1 --reason "new disk"
  dnsctl drain ns1 --reason "the only one" --below-floor main`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.server = args[0]
			return runDrain(cmd.Context(), a, o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.reason, "reason", "", "a `text` that says why")
	f.StringSliceVar(&o.below, "below-floor", nil, "the `pool` that may have fewer servers in service than it asks for")
	return c
}

func runDrain(ctx context.Context, a *App, o drainOptions) error {
	s, err := a.server(ctx, o.server)
	if err != nil {
		return err
	}
	for _, name := range o.below {
		if !slices.ContainsFunc(s.Pools, func(p fleet.Pool) bool { return p.Name == name }) {
			return usagef(fmt.Sprintf("it is in %v", poolsOf(s)), "--below-floor: server %s is not in pool %q", s.Name, name)
		}
	}
	w, err := a.workshop(ctx)
	if err != nil {
		return err
	}
	rep, err := w.bootstrap.Drain(ctx, w.store, s.Name, o.reason, o.below, a.drainHook(), a.meta(""))
	return a.showReport(rep, false, err)
}

func newUndrainCmd(a *App) *cobra.Command {
	var all bool
	var comment string
	c := &cobra.Command{
		Use:   "undrain SERVER",
		Short: "Take a nameserver into service again, once it has caught up",
		Long: `Catches a drained nameserver up, as dnsctl sync would: adds what is missing, transfers
what has changed, and deletes what is stale, under the same guards; foreign zones
are left to sync. When every zone that it should have is served as the database has
it, it is in service again. Until then it stays drained: when --timeout passes, or
it makes no progress for two minutes, the exit code is 7, and the zones are named.
The program of the setting drain_hook is run when it has caught up. dnsctl mdns
serve must be running.`,
		Example: `  dnsctl undrain ns1
  dnsctl undrain ns1 --timeout 10m`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runUndrain(cmd.Context(), a, args[0], comment, all)
		},
	}
	c.Flags().BoolVar(&all, "all", false, "list zones in agreement and dnsctl's own as well")
	c.Flags().StringVar(&comment, "comment", "", "a `text` for the events")
	return c
}

func runUndrain(ctx context.Context, a *App, name, comment string, all bool) error {
	s, err := a.server(ctx, name)
	if err != nil {
		return err
	}
	if !s.State.Out() {
		a.Out.Say("server %s is %s: there is nothing to undo", s.Name, s.State)
	}
	w, err := a.workshop(ctx)
	if err != nil {
		return err
	}
	progress := a.Out.Progress()
	opts := bootstrap.Options{}
	opts.Meta, opts.Progress = a.meta(comment), progress.Update
	rep, err := w.bootstrap.Undrain(ctx, w.store, s.Name, a.drainHook(), opts)
	progress.Done()
	return a.showReport(rep, all, err)
}
