package commands

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"dnsctl/fleet"
	"dnsctl/keeper"
	"dnsctl/mdns"
	"dnsctl/render"
	"dnsctl/report"
	"dnsctl/store"
)

func newMDNSStatusCmd(a *App) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Say who serves, who leads, and how far behind each nameserver is",
		Long: `Lists every running dnsctl mdns serve (a replica) and every nameserver, as the
database knows them: nobody is asked.

A replica is ready, not-ready with the reason, draining, or gone when it has not
been heard of for 20 s; gone ones are forgotten after an hour. leader says since
when it leads. position is that of the change feed: what a replica serves, and what
a nameserver's marker showed; head is the feed's end. A replica's behind is how old
the first change was that it did not serve when it was last heard of. For a
nameserver the state is in-step, or behind while zones are outstanding, or why
nothing is written to it; its behind is the age of the oldest outstanding zone, and
proven when the wire last proved that a zone there is as it should be.

The exit code is 7 when no replica is ready, 4 when one is but another is not, or
nobody leads, or a nameserver that is in service is written nothing or one carries
another's marker, and 0 otherwise: that nameservers are behind is no failure while
they catch up.`,
		Example: "  dnsctl mdns status\n  dnsctl mdns status -o json",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runMDNSStatus(cmd.Context(), a) },
	}
}

const (
	// replicaGone is how long a replica may say nothing.
	replicaGone = 4 * mdns.BeatEvery
	stateGone   = "gone"
	stateInStep = "in-step"
	stateBehind = "behind"
)

// serving is a replica or a nameserver.
type serving struct {
	name, kind, state, reason string
	bad                       bool // it is not as it should be
	head                      int64
	position                  *int64
	outstanding               *int
	behind                    *time.Duration
	leader, seen, proven      *time.Time
	replica                   fleet.Replica
}

var servingColumns = render.List[serving]{
	Nothing: "nothing serves: dnsctl mdns serve",
	Columns: []render.Column[serving]{
		{Name: "name", Value: func(s serving) any { return s.name }},
		{Name: "kind", Value: func(s serving) any { return s.kind }, Show: render.IfRoom},
		{Name: "state", Value: func(s serving) any { return s.state }, Style: func(s serving) render.Style {
			if s.bad {
				return render.Bad
			}
			return render.Good
		}},
		{Name: "leader", Value: func(s serving) any { return s.leader }},
		{Name: "position", Value: func(s serving) any { return s.position }},
		{Name: "outstanding", Value: func(s serving) any { return s.outstanding }},
		{Name: "behind", Value: func(s serving) any { return s.behind }},
		{Name: "proven", Value: func(s serving) any { return s.proven }, Show: render.IfRoom},
		{Name: "seen", Value: func(s serving) any { return s.seen }, Show: render.IfRoom},
		{Name: "reason", Value: func(s serving) any { return s.reason }},
		{Name: "head", Value: func(s serving) any { return s.head }, Show: render.WideOnly},
		{Name: "listen", Value: func(s serving) any { return orEmpty(s.replica.Listen) }, Show: render.WideOnly},
		{Name: "http", Value: func(s serving) any { return s.replica.HTTP }, Show: render.WideOnly},
		{Name: "version", Value: func(s serving) any { return s.replica.Version }, Show: render.WideOnly},
		{Name: "started", Value: func(s serving) any { return s.replica.Started }, Show: render.WideOnly},
		{Name: "host", Value: func(s serving) any { return s.replica.Host }, Show: render.WideOnly},
		{Name: "pid", Value: func(s serving) any { return zeroIsNil(s.replica.PID) }, Show: render.WideOnly},
		{Name: "id", Value: func(s serving) any { return s.replica.ID }, Show: render.DataOnly},
	},
}

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

func zeroIsNil(n int) any {
	if n == 0 {
		return nil
	}
	return n
}

func runMDNSStatus(ctx context.Context, a *App) error {
	s, err := a.openStore(ctx)
	if err != nil {
		return err
	}
	head, err := s.Head(ctx)
	if err != nil {
		return err
	}
	replicas, led, err := replicasOf(ctx, s)
	if err != nil {
		return err
	}
	servers, err := a.serversOf(ctx, s)
	if err != nil {
		return err
	}
	all := append(replicas, servers...)
	for i := range all {
		all[i].head = head
	}
	if err := unread(servingColumns.Write(a.Out, render.Rows(all))); err != nil {
		return err
	}
	return end(a.servingVerdict(replicas, servers, led))
}

// servingVerdict says what is wrong, and with which exit code.
func (a *App) servingVerdict(replicas, servers []serving, led bool) report.Exit {
	ready, exit := 0, report.ExitOK
	for _, r := range replicas {
		switch {
		case r.state == fleet.ReplicaReady:
			ready++
		case r.bad && r.state != stateGone:
			exit = report.ExitPartial
		}
	}
	if ready == 0 {
		a.showProblem("warning:", render.Warning, "no replica is ready: nothing is served", "start one with: dnsctl mdns serve", report.ExitNotReady)
		return report.ExitNotReady
	}
	if !led {
		a.showProblem("warning:", render.Warning, "nobody leads: nameservers are not told of changes", "a replica takes over within seconds; if none does, see its log", report.ExitPartial)
		exit = report.ExitPartial
	}
	for _, v := range servers {
		if v.bad {
			exit = report.ExitPartial
		}
	}
	return exit
}

// replicasOf is the processes of the hidden primary, and whether one of them
// leads.
func replicasOf(ctx context.Context, s *store.Store) (out []serving, led bool, err error) {
	all, now, err := s.Replicas(ctx)
	if err != nil {
		return nil, false, err
	}
	leases, err := s.Leases(ctx)
	if err != nil {
		return nil, false, err
	}
	for _, r := range all {
		v := serving{name: r.ID, kind: "replica", state: r.State, reason: r.Reason, position: &r.Position, seen: &r.Seen, replica: r}
		if r.Host != "" {
			v.name = r.Host + "/" + r.ID
		}
		if now.Sub(r.Seen) > replicaGone {
			v.state, v.reason = stateGone, "not heard of any more"
		}
		if v.behind, err = replicaLag(ctx, s, r); err != nil {
			return nil, false, err
		}
		v.bad = v.state != fleet.ReplicaReady && v.state != fleet.ReplicaDraining
		for _, l := range leases {
			if l.Name == keeper.LeaderLease && l.Holder == r.Holder {
				v.leader, led = &l.Taken, led || v.state != stateGone
			}
		}
		out = append(out, v)
	}
	return out, led, nil
}

// replicaLag is how old the first change was that the replica did not serve when it
// was last heard of; nil when it is older than the feed is kept.
func replicaLag(ctx context.Context, s *store.Store, r fleet.Replica) (*time.Duration, error) {
	next, err := s.Feed(ctx, r.Position, 1)
	if errors.Is(err, fleet.ErrFeedGone) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	lag := time.Duration(0)
	if len(next) > 0 {
		lag = max(0, r.Seen.Sub(next[0].At)).Round(time.Second)
	}
	return &lag, nil
}

// serversOf is the nameservers, as the leader has last seen them.
func (a *App) serversOf(ctx context.Context, s *store.Store) ([]serving, error) {
	servers, err := s.Servers(ctx)
	if err != nil {
		return nil, err
	}
	health, err := s.Health(ctx)
	if err != nil {
		return nil, err
	}
	var out []serving
	for _, v := range servers {
		n, oldest, err := s.TaskLag(ctx, v.Name)
		if err != nil {
			return nil, err
		}
		out = append(out, serverServing(v, health[v.ID], n, oldest, a.Now()))
	}
	return out, nil
}

func serverServing(v fleet.Server, h fleet.Health, outstanding int, oldest, now time.Time) serving {
	out := serving{name: v.Name, kind: "server", state: stateInStep, outstanding: &outstanding, proven: h.Proven, seen: h.Looked, reason: h.Reason}
	if h.Marker > 0 {
		out.position = &h.Marker
	}
	lag := time.Duration(0)
	if outstanding > 0 {
		out.state, lag = stateBehind, max(0, now.Sub(oldest)).Round(time.Second)
	}
	out.behind = &lag
	switch {
	case v.State.Out():
		out.state = string(v.State)
	case h.Server == 0:
		out.state, out.reason = "unseen", "no leader has looked at it yet"
	case h.Blocked != "":
		out.state = h.Blocked
		out.bad = v.State == fleet.Active || h.Blocked == keeper.MarkerWrong
	case v.State == fleet.Joining:
		out.state = string(v.State)
	}
	return out
}
