package commands

import (
	"context"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"dnsctl/fleet"
	"dnsctl/render"
	"dnsctl/report"
)

func newServerCmd(a *App) *cobra.Command {
	return group("server", "Manage nameservers",
		`A server is a nameserver process, and a view of it where it has views. It is in one
pool or several, and should have the zones of all of them.`,
		newServerAddCmd(a), newServerListCmd(a), newServerShowCmd(a), newServerSetCmd(a), newServerAcceptCmd(a), newServerRemoveCmd(a))
}

// serverColumns show servers, never their credentials.
var serverColumns = render.List[fleet.Server]{
	Nothing: "there is no server yet: dnsctl server add",
	Columns: []render.Column[fleet.Server]{
		{Name: "server", Value: func(s fleet.Server) any { return s.Name }},
		{Name: "type", Value: func(s fleet.Server) any { return s.Type }},
		{Name: "address", Value: func(s fleet.Server) any { return s.Address }},
		{Name: "pools", Value: func(s fleet.Server) any { return poolsOf(s) }},
		{Name: "state", Value: func(s fleet.Server) any { return string(s.State) }, Style: stateStyle},
		{Name: "drain_reason", Value: func(s fleet.Server) any { return drainOf(s).Reason }, Show: render.WideOnly},
		{Name: "drain_by", Value: func(s fleet.Server) any { return drainOf(s).By.Person() }, Show: render.WideOnly},
		{Name: "drained", Value: func(s fleet.Server) any { return timeOrNil(drainOf(s).Since) }, Show: render.WideOnly},
		{Name: "unmanaged", Value: func(s fleet.Server) any { return string(s.Unmanaged()) }},
		{Name: "accepted", Value: func(s fleet.Server) any { return s.Accepted }, Show: render.WideOnly},
		{Name: "new", Value: func(s fleet.Server) any { return s.New }, Show: render.WideOnly},
		{Name: "provision", Value: func(s fleet.Server) any { return string(s.Provision) }, Show: render.WideOnly},
		{Name: "control", Value: func(s fleet.Server) any { return s.Control }, Show: render.WideOnly},
		{Name: "stats", Value: func(s fleet.Server) any { return s.Stats }, Show: render.WideOnly},
		{Name: "view", Value: func(s fleet.Server) any { return s.View }, Show: render.WideOnly},
		{Name: "probe", Value: func(s fleet.Server) any { return addrOrNil(s.Probe) }, Show: render.WideOnly},
		{Name: "notify", Value: func(s fleet.Server) any { return addrOrNil(s.Notify) }, Show: render.WideOnly},
		{Name: "marker", Value: func(s fleet.Server) any { return s.Marker }, Show: render.WideOnly},
		{Name: "created", Value: func(s fleet.Server) any { return s.Created }, Show: render.WideOnly},
	},
}

func addrOrNil(a netip.AddrPort) any {
	if !a.IsValid() {
		return nil
	}
	return a
}

// drainOf is why a server is out of service; the zero value when it is not.
func drainOf(s fleet.Server) report.Drain {
	if s.Drain == nil {
		return report.Drain{}
	}
	return *s.Drain
}

func timeOrNil(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t
}

func poolsOf(s fleet.Server) []string {
	out := make([]string, len(s.Pools))
	for i, p := range s.Pools {
		out[i] = p.Name
	}
	return out
}

func stateStyle(s fleet.Server) render.Style {
	if s.State == fleet.Active {
		return render.Good
	}
	return render.Warning
}

func newServerListCmd(a *App) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the nameservers",
		Long:    "Lists the nameservers by name. What they have is looked at by: dnsctl audit",
		Example: "  dnsctl server list\n  dnsctl server list -o json",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runServerList(cmd.Context(), a) },
	}
}

func runServerList(ctx context.Context, a *App) error {
	s, err := a.openStore(ctx)
	if err != nil {
		return err
	}
	servers, err := s.Servers(ctx)
	if err != nil {
		return err
	}
	return serverColumns.Write(a.Out, render.Rows(servers))
}
