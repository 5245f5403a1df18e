package commands

import (
	"context"

	"github.com/spf13/cobra"

	"dnsctl/render"
	"dnsctl/report"
	"dnsctl/zone"
)

func newTaskCmd(a *App) *cobra.Command {
	return group("task", "See and retry what is not done yet on nameservers",
		`A task is a zone on a server that is not proven to be in agreement with the
database. The leader among the mdns processes works on them until the wire proves
them done. There is at most one per server and zone, and none for what agrees.`,
		newTaskListCmd(a), newTaskRetryCmd(a))
}

var taskColumns = render.List[report.Task]{
	Nothing: "there is nothing to do",
	Columns: []render.Column[report.Task]{
		{Name: "server", Value: func(t report.Task) any { return t.Server }},
		{Name: "zone", Value: func(t report.Task) any { return t.Zone }},
		{Name: "want", Value: func(t report.Task) any { return t.Want }},
		{Name: "serial", Value: func(t report.Task) any { return uint32(t.Serial) }},
		{Name: "attempts", Value: func(t report.Task) any { return t.Attempts }, Show: render.IfRoom},
		{Name: "since", Value: func(t report.Task) any { return t.Since }, Show: render.IfRoom},
		{Name: "next_try", Value: func(t report.Task) any { return t.NextTry }},
		{Name: "last_error", Value: func(t report.Task) any { return t.LastError }},
		{Name: "incarnation", Value: func(t report.Task) any { return t.Incarnation }, Show: render.DataOnly},
	},
}

func newTaskListCmd(a *App) *cobra.Command {
	var server string
	c := &cobra.Command{
		Use:     "list",
		Short:   "List what is not done yet",
		Long:    "Lists the tasks by server and zone, with how often they were tried and why they failed.",
		Example: "  dnsctl task list\n  dnsctl task list --server ns1 -o json",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runTaskList(cmd.Context(), a, server) },
	}
	c.Flags().StringVar(&server, "server", "", "only those of this `server`")
	return c
}

func runTaskList(ctx context.Context, a *App, server string) error {
	if server != "" {
		if _, err := a.server(ctx, server); err != nil {
			return err
		}
	}
	s, err := a.openStore(ctx)
	if err != nil {
		return err
	}
	tasks, err := s.Tasks(ctx, server)
	if err != nil {
		return err
	}
	return taskColumns.Write(a.Out, render.Rows(tasks))
}

func newTaskRetryCmd(a *App) *cobra.Command {
	var server string
	c := &cobra.Command{
		Use:   "retry [ZONE]",
		Short: "Try tasks again now",
		Long: `Makes tasks due now instead of after their back-off: all of them, those of a server,
or those of a zone. dnsctl mdns serve then works on them.`,
		Example: "  dnsctl task retry\n  dnsctl task retry example.org --server ns1",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runTaskRetry(cmd.Context(), a, server, args)
		},
	}
	c.Flags().StringVar(&server, "server", "", "only those of this `server`")
	return c
}

func runTaskRetry(ctx context.Context, a *App, server string, args []string) error {
	var name zone.Name
	var err error
	if len(args) > 0 {
		if name, err = parseZone(args[0]); err != nil {
			return err
		}
	}
	if server != "" {
		if _, err := a.server(ctx, server); err != nil {
			return err
		}
	}
	s, err := a.openStore(ctx)
	if err != nil {
		return err
	}
	n, err := s.RetryTasks(ctx, server, name)
	if err != nil {
		return err
	}
	retried := render.List[int64]{Columns: []render.Column[int64]{{Name: "retried", Value: func(n int64) any { return n }}}}
	return retried.Result(a.Out, n)
}
