package commands

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"dnsctl/fleet"
	"dnsctl/render"
	"dnsctl/report"
)

func newServerShowCmd(a *App) *cobra.Command {
	var events int
	c := &cobra.Command{
		Use:   "show NAME",
		Short: "Show a nameserver and what was done to it",
		Long: `Shows a nameserver's settings, how many tasks are open for it, who holds its lock,
and the last events: who changed what on it, when, and how that ended.`,
		Example: "  dnsctl server show ns1\n  dnsctl server show ns1 --events 100 -o json",
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return runServerShow(cmd.Context(), a, args[0], events) },
	}
	c.Flags().IntVar(&events, "events", 10, "how many `events` to show")
	return c
}

// serverView is a server with what there is to say about it.
type serverView struct {
	fleet.Server
	tasks  int
	locked string
	marker fleet.MarkerState
	events []report.Event
}

func runServerShow(ctx context.Context, a *App, name string, events int) error {
	s, err := a.server(ctx, name)
	if err != nil {
		return err
	}
	v := serverView{Server: s, events: []report.Event{}}
	tasks, err := a.store.Tasks(ctx, s.Name)
	if err != nil {
		return err
	}
	v.tasks = len(tasks)
	leases, err := a.store.Leases(ctx)
	if err != nil {
		return err
	}
	for _, l := range leases {
		if l.Name == "server:"+s.Name {
			v.locked = l.Holder
		}
	}
	if v.marker, err = a.store.Marker(ctx, s.ID); err != nil {
		return err
	}
	if events > 0 {
		if v.events, err = a.store.Events(ctx, fleet.EventFilter{Server: s.Name, Limit: events}); err != nil {
			return err
		}
	}
	var list render.List[serverView]
	for _, c := range serverColumns.Columns {
		col := render.Column[serverView]{Name: c.Name, Show: c.Show, Value: func(v serverView) any { return c.Value(v.Server) }}
		list.Columns = append(list.Columns, col)
	}
	list.Columns = append(list.Columns,
		render.Column[serverView]{Name: "marker_placed", Value: func(v serverView) any { return v.marker.Placed }},
		render.Column[serverView]{Name: "tasks", Value: func(v serverView) any { return v.tasks }},
		render.Column[serverView]{Name: "locked_by", Value: func(v serverView) any { return v.locked }},
		render.Column[serverView]{Name: "events", Value: func(v serverView) any { return v.events }, Show: render.DataOnly})
	if err := list.One(a.Out, v); err != nil || a.Out.Format.Machine() || a.Out.Format == render.Name || len(v.events) == 0 || len(a.Out.Columns) > 0 {
		return err
	}
	if a.Out.Terminal {
		fmt.Fprintln(a.Out.Out)
	}
	return eventColumns.Write(a.Out, render.Rows(v.events))
}

// eventColumns show events.
var eventColumns = render.List[report.Event]{Columns: []render.Column[report.Event]{
	{Name: "at", Value: func(e report.Event) any { return e.At }},
	{Name: "who", Value: func(e report.Event) any { return e.Actor.Person() }},
	{Name: "command", Value: func(e report.Event) any { return e.Command }},
	{Name: "action", Value: func(e report.Event) any { return e.Action }},
	{Name: "zone", Value: func(e report.Event) any { return e.Zone }},
	{Name: "serial", Value: func(e report.Event) any { return e.Serial }},
	{Name: "result", Value: func(e report.Event) any { return e.Result }},
}}
