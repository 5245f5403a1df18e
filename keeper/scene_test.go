package keeper_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"dnsctl/dnsclient"
	"dnsctl/edit"
	"dnsctl/fleet"
	"dnsctl/keeper"
	"dnsctl/report"
	"dnsctl/testbed/pretend"
	"dnsctl/zone"
)

// told is a NotifySender that tells the world's servers, and remembers whom.
type told struct {
	w    *pretend.World
	mu   sync.Mutex
	log  []string // "ns1 a.example."
	deaf map[string]bool
}

func (n *told) Notify(_ context.Context, s fleet.Server, name zone.Name, _ zone.RRset) error {
	n.mu.Lock()
	n.log = append(n.log, s.Name+" "+name.String())
	deaf := n.deaf[s.Name]
	n.mu.Unlock()
	if deaf {
		return dnsclient.ErrTimeout
	}
	n.w.Servers[s.Name].Transfer(name)
	return nil
}

func (n *told) Serial(_ context.Context, s fleet.Server, name zone.Name) (zone.Serial, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if serial := n.w.Servers[s.Name].Serves(name.String()); serial != 0 && !n.deaf[s.Name] {
		return serial, nil
	}
	return 0, dnsclient.ErrTimeout
}

func (n *told) set(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f()
}

// of is what was sent to one server, markers left out.
func (n *told) of(server string) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []string
	for _, l := range n.log {
		if name, ok := strings.CutPrefix(l, server+" "); ok && !fleet.IsMarkerName(pretend.Name(name)) {
			out = append(out, name)
		}
	}
	return out
}

const compareEvery = 10 * time.Minute

// scene is a world with a keeper that has not begun.
type scene struct {
	*pretend.World
	*testing.T
	told   *told
	keeper *keeper.Keeper
	stop   func() // ends the keeper and waits for it
}

func is(n zone.Name, want string) bool { return n.Equal(pretend.Name(want)) }

func onScene(t *testing.T, f func(s *scene)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := pretend.New(t)
		s := &scene{World: w, T: t, told: &told{w: w, deaf: map[string]bool{}}}
		s.keeper = &keeper.Keeper{Store: w.Store, Fleet: w.Fleet, Applier: w.Applier, Notify: s.told, Poll: time.Second, CompareEvery: compareEvery,
			Meta: edit.Meta{Command: "mdns"}, Holder: "me", Now: time.Now, Log: slog.New(slog.DiscardHandler), Metrics: keeper.NewMetrics(prometheus.NewRegistry())}
		f(s)
		if s.stop != nil {
			s.stop()
		}
	})
}

func (s *scene) start() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.keeper.Run(ctx) }()
	s.stop = func() {
		cancel()
		if err := <-done; err != nil {
			s.T.Error(err)
		}
		s.stop = nil
	}
}

// until waits for a condition for that long at most.
func (s *scene) until(what string, within time.Duration, cond func() bool) {
	s.T.Helper()
	for deadline := time.Now().Add(within); !cond(); <-time.After(500 * time.Millisecond) {
		if time.Now().After(deadline) {
			tasks, _ := s.Store.Tasks(context.Background(), "")
			s.T.Fatalf("not within %s: %s; tasks %+v", within, what, tasks)
		}
	}
}

func (s *scene) pass(d time.Duration) { <-time.After(d) }

func (s *scene) tasks() []report.Task {
	s.T.Helper()
	all, err := s.Store.Tasks(context.Background(), "")
	if err != nil {
		s.T.Fatal(err)
	}
	return all
}

func (s *scene) settled() bool { return len(s.tasks()) == 0 }

// filled is the server ns1, which a leader that has stopped since has given
// a.example and old.example.
func (s *scene) filled() *pretend.Server {
	ns := s.Server("ns1")
	s.Create("a.example.", "old.example.")
	s.start()
	s.until("both are there", time.Minute, func() bool { return ns.Serves("a.example.") != 0 && ns.Serves("old.example.") != 0 && s.settled() })
	s.stop()
	return ns
}
