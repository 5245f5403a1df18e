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
		Long: `Shows a nameserver's settings and pools, its marker, why nothing is written to it
where that is so, the tasks that are open for it, who holds its lock, and the last
events: who changed what on it, when, and how that ended, the newest first.`,
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
	tasks  []report.Task
	locked string
	marker fleet.MarkerState
	health fleet.Health
	events []report.Event
}

// shownTasks is how many open tasks server show lists.
const shownTasks = 10

func runServerShow(ctx context.Context, a *App, name string, events int) error {
	if events < 0 {
		return usagef("", "--events %d is no number of events", events)
	}
	s, err := a.server(ctx, name)
	if err != nil {
		return err
	}
	v := serverView{Server: s, events: []report.Event{}}
	if v.tasks, err = a.store.Tasks(ctx, s.Name); err != nil {
		return err
	}
	health, err := a.store.Health(ctx)
	if err != nil {
		return err
	}
	v.health = health[s.ID]
	for i := range v.tasks {
		v.tasks[i].Blocked = blockedBy(v.health)
	}
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
		render.Column[serverView]{Name: "marker_position", Value: func(v serverView) any { return v.marker.Feed }},
		render.Column[serverView]{Name: "blocked", Value: func(v serverView) any { return v.health.Blocked }},
		render.Column[serverView]{Name: "blocked_reason", Value: func(v serverView) any { return v.health.Reason }},
		render.Column[serverView]{Name: "looked", Value: func(v serverView) any { return v.health.Looked }},
		render.Column[serverView]{Name: "proven", Value: func(v serverView) any { return v.health.Proven }},
		render.Column[serverView]{Name: "locked_by", Value: func(v serverView) any { return v.locked }},
		render.Column[serverView]{Name: "tasks", Value: func(v serverView) any { return len(v.tasks) }},
		render.Column[serverView]{Name: "open_tasks", Value: func(v serverView) any { return v.open() }, Show: render.DataOnly},
		render.Column[serverView]{Name: "events", Value: func(v serverView) any { return v.events }, Show: render.DataOnly})
	if err := list.One(a.Out, v); err != nil || a.Out.Format.Machine() || a.Out.Format == render.Name || len(a.Out.Columns) > 0 {
		return err
	}
	if len(v.tasks) > 0 {
		if a.Out.Terminal {
			fmt.Fprintln(a.Out.Out)
		}
		if err := taskColumns.Write(a.Out, render.Rows(v.open())); err != nil {
			return err
		}
	}
	if len(v.events) == 0 {
		return nil
	}
	if a.Out.Terminal {
		fmt.Fprintln(a.Out.Out)
	}
	return eventColumns.Write(a.Out, render.Rows(v.events))
}

// open is the first of the tasks.
func (v serverView) open() []report.Task { return v.tasks[:min(len(v.tasks), shownTasks)] }

// eventColumns show events.
var eventColumns = render.List[report.Event]{Columns: []render.Column[report.Event]{
	{Name: "at", Value: func(e report.Event) any { return e.At }},
	{Name: "who", Value: func(e report.Event) any { return e.Actor.Person() }},
	{Name: "command", Value: func(e report.Event) any { return e.Command }},
	{Name: "action", Value: func(e report.Event) any { return e.Action }},
	{Name: "zone", Value: func(e report.Event) any { return e.Zone }},
	{Name: "serial", Value: func(e report.Event) any { return e.Serial }},
	{Name: "result", Value: func(e report.Event) any { return e.Result }},
	{Name: "comment", Value: func(e report.Event) any { return e.Comment }, Show: render.WideOnly},
}}
