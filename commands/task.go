package commands

import (
	"context"

	"github.com/spf13/cobra"

	"dnsctl/fleet"
	"dnsctl/render"
	"dnsctl/report"
	"dnsctl/store"
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
		{Name: "blocked", Value: func(t report.Task) any { return t.Blocked }},
		{Name: "incarnation", Value: func(t report.Task) any { return t.Incarnation }, Show: render.DataOnly},
	},
}

func newTaskListCmd(a *App) *cobra.Command {
	var server string
	c := &cobra.Command{
		Use:   "list",
		Short: "List what is not done yet",
		Long: `Lists the tasks by server and zone, with how often they were tried and why they failed.

A server that cannot be reached, or whose marker is missing or wrong, is left alone:
its tasks wait, without attempts, and each says under blocked what is in the way. The
leader looks at such a server again within a minute, and works on them when it may.`,
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
	blocked, err := blockedServers(ctx, s)
	if err != nil {
		return err
	}
	for i := range tasks {
		tasks[i].Blocked = blocked[tasks[i].Server]
	}
	return taskColumns.Write(a.Out, render.Rows(tasks))
}

// blockedServers says of servers that the leader leaves alone why it does.
func blockedServers(ctx context.Context, s *store.Store) (map[string]string, error) {
	health, err := s.Health(ctx)
	if err != nil {
		return nil, err
	}
	servers, err := s.Servers(ctx)
	if err != nil {
		return nil, err
	}
	blocked := make(map[string]string)
	for _, v := range servers {
		blocked[v.Name] = blockedBy(health[v.ID])
	}
	return blocked, nil
}

// blockedBy is why nothing is written to a server, "" when it may be.
func blockedBy(h fleet.Health) string {
	if h.Blocked == "" {
		return ""
	}
	return h.Blocked + ": " + h.Reason
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
