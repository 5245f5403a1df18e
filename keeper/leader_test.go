package keeper_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"dnsctl/dnsclient"
	"dnsctl/edit"
	"dnsctl/fleet"
	"dnsctl/keeper"
	"dnsctl/nameserver"
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

func TestLeaderCarriesOutWhatIsMadeAndDeleted(t *testing.T) {
	onScene(t, func(s *scene) {
		ns := s.Server("ns1")
		s.Pool("us", fleet.Delete)
		other := s.Server("other", "us")
		other.ForgetWrites()
		s.start()
		s.pass(5 * time.Second)
		s.Create("a.example.", "b.example.")
		s.until("both are there", 20*time.Second, func() bool {
			return ns.Serves("a.example.") != 0 && ns.Serves("b.example.") != 0 && s.settled()
		})
		serial := s.Change("a.example.")
		s.until("the change is there", 5*time.Second, func() bool { return ns.Serves("a.example.") == serial })
		if got := s.told.of("ns1"); !slices.Contains(got, "a.example.") {
			s.T.Errorf("told %q", got)
		}
		s.Delete("a.example.", "b.example.") // the last ones, too
		s.until("both are gone", 20*time.Second, func() bool { return !ns.Has("a.example.") && !ns.Has("b.example.") && s.settled() })
		if got := other.Writes(); len(got) != 0 || len(s.told.of("other")) != 0 {
			s.T.Errorf("a server of another pool was written to: %q, %q", got, s.told.of("other"))
		}
	})
}

func TestLeadershipIsTakenOverWhenItsLeaseRunsOut(t *testing.T) {
	onScene(t, func(s *scene) {
		ns := s.Server("ns1")
		if _, held, err := s.Store.Lease(s.T.Context(), "leader", "dead", 30*time.Second); err != nil || !held {
			s.T.Fatal(err)
		}
		s.Create("a.example.")
		s.start()
		s.pass(25 * time.Second)
		if ns.Has("a.example.") {
			s.T.Error("it works while somebody else leads")
		}
		s.until("the zone is there", 30*time.Second, func() bool { return ns.Has("a.example.") })
		if _, held, _ := s.Store.Lease(s.T.Context(), "leader", "other", time.Second); held {
			s.T.Error("the leader does not keep its lease")
		}
		s.stop()
		if _, held, _ := s.Store.Lease(s.T.Context(), "leader", "other", time.Second); !held {
			s.T.Error("leadership was not given back")
		}
	})
}

func TestLeaderThatLostItsLeaseStops(t *testing.T) {
	onScene(t, func(s *scene) {
		ns := s.Server("ns1")
		s.start()
		s.pass(5 * time.Second)
		// A clock that jumped, a suspended machine: somebody else leads now.
		l, _, err := s.Store.Lease(s.T.Context(), "leader", "me", time.Second)
		if err == nil {
			err = s.Store.Release(s.T.Context(), l)
		}
		if err != nil {
			s.T.Fatal(err)
		}
		if _, held, err := s.Store.Lease(s.T.Context(), "leader", "other", time.Hour); err != nil || !held {
			s.T.Fatal(held, err)
		}
		s.pass(5 * time.Second)
		s.Create("a.example.")
		s.pass(time.Minute)
		if ns.Has("a.example.") {
			s.T.Error("it goes on")
		}
	})
}

func TestFailingTaskBacksOffAndIsKeptUntilProven(t *testing.T) {
	onScene(t, func(s *scene) {
		ns := s.Server("ns1")
		var mu sync.Mutex
		tries, broken := 0, true
		ns.Before = func(op string, _ zone.Name) error {
			mu.Lock()
			defer mu.Unlock()
			if op == "add" && broken {
				tries++
				return nameserver.ErrRefused
			}
			return nil
		}
		s.start()
		s.pass(5 * time.Second)
		s.Create("a.example.")
		s.pass(9 * time.Minute)
		mu.Lock()
		if tries < 5 || tries > 12 {
			s.T.Errorf("%d tries in nine minutes", tries)
		}
		broken = false
		mu.Unlock()
		if got := s.tasks(); len(got) != 1 || got[0].Attempts < 5 || !strings.Contains(got[0].LastError, "refused") {
			s.T.Errorf("tasks %+v", got)
		}
		s.until("it is done", 11*time.Minute, func() bool { return ns.Has("a.example.") && s.settled() })
	})
}

func TestTaskWhoseStepWasDroppedIsLookedAtAgain(t *testing.T) {
	onScene(t, func(s *scene) {
		ns := s.Server("ns1")
		s.start()
		s.pass(5 * time.Second)
		ns.Before = func(op string, name zone.Name) error {
			if op == "add" && !ns.Has("a.example.") { // somebody is faster, with a zone of their own
				ns.Put("a.example.", 4000)
			}
			return nil
		}
		s.Create("a.example.")
		s.until("it is ours", time.Minute, func() bool { return ns.Serves("a.example.") == 1 && s.settled() })
	})
}

func TestDeadServerDelaysNoOther(t *testing.T) {
	onScene(t, func(s *scene) {
		dead, good := s.Server("dead"), s.Server("good")
		s.start()
		s.pass(5 * time.Second)
		dead.Before = nil
		s.stop()
		dead.Before = func(string, zone.Name) error {
			<-time.After(30 * time.Second)
			return nameserver.ErrUnreachable
		}
		s.told.set(func() { s.told.deaf["dead"] = true })
		s.start()
		s.pass(time.Minute)
		for i := range 3 {
			n := fmt.Sprintf("z%d.example.", i)
			s.Create(n)
			s.until(n, 8*time.Second, func() bool { return good.Serves(n) != 0 })
			serial := s.Change(n)
			s.until(n+" changed", 8*time.Second, func() bool { return good.Serves(n) == serial })
		}
	})
}

func TestForeignZoneGoesWhenTwoComparisonsHaveFoundIt(t *testing.T) {
	onScene(t, func(s *scene) {
		ns := s.Server("ns1")
		s.Create("a.example.")
		ns.Put("f.example.", 1)
		s.start() // compares at once, and again after compareEvery
		s.pass(compareEvery - time.Minute)
		if !ns.Has("f.example.") {
			s.T.Fatal("it went at first sight")
		}
		ns.Put("late.example.", 1)
		s.until("it is gone", 2*time.Minute, func() bool { return !ns.Has("f.example.") })
		if c, err := s.Store.Copies(s.T.Context(), "ns1", ""); err != nil || len(c) != 1 {
			s.T.Errorf("copies %+v, %v", c, err)
		}
		s.pass(compareEvery - 3*time.Minute)
		if !ns.Has("late.example.") {
			s.T.Error("one that the first comparison did not find went with the second")
		}
		s.until("it is gone as well", compareEvery, func() bool { return !ns.Has("late.example.") })
	})
}

func TestTaskNeverDeletesAForeignZone(t *testing.T) {
	onScene(t, func(s *scene) {
		ns := s.Server("ns1")
		s.Create("a.example.")
		ns.Put("f.example.", 1)
		if err := s.Store.PutTasks(s.T.Context(), []report.Task{{Server: "ns1", Zone: pretend.Name("f.example."), Want: report.Absent}}); err != nil {
			s.T.Fatal(err)
		}
		s.start()
		s.until("the tasks are done", time.Minute, s.settled)
		if !ns.Has("f.example.") {
			s.T.Error("it went")
		}
	})
}

func TestNewLeaderDoesNotCountItsFirstComparisonAsTheSecond(t *testing.T) {
	onScene(t, func(s *scene) {
		ns := s.Server("ns1")
		s.Create("a.example.")
		ns.Put("f.example.", 1)
		for range 4 { // each begins with a comparison
			s.start()
			s.pass(compareEvery / 5)
			s.stop()
		}
		if !ns.Has("f.example.") {
			s.T.Error("it went before the comparisons were far enough apart")
		}
	})
}

func TestPolicyWarnHoldsTheLeader(t *testing.T) {
	onScene(t, func(s *scene) {
		s.Pool("mild", fleet.Warn)
		ns := s.Server("ns1", "eu", "mild")
		s.Create("a.example.")
		ns.Put("f.example.", 1)
		s.start()
		s.pass(3*compareEvery + time.Minute)
		if !ns.Has("f.example.") {
			s.T.Error("it went")
		}
	})
}

// store is the world's store, of which tests let parts fail.
type store struct {
	keeper.Store
	putTasks func() error
	feed     func(after int64) error
}

func (s store) PutTasks(ctx context.Context, tasks []report.Task) error {
	if s.putTasks != nil && len(tasks) > 0 {
		if err := s.putTasks(); err != nil {
			return err
		}
	}
	return s.Store.PutTasks(ctx, tasks)
}

func (s store) Feed(ctx context.Context, after int64, limit int) ([]fleet.FeedEntry, error) {
	if s.feed != nil {
		if err := s.feed(after); err != nil {
			return nil, err
		}
	}
	return s.Store.Feed(ctx, after, limit)
}

func TestCursorMovesOnlyPastWhatIsProvenOrHasATask(t *testing.T) {
	onScene(t, func(s *scene) {
		ns := s.Server("ns1")
		s.Create("a.example.")
		var mu sync.Mutex
		broken := false
		s.keeper.Store = store{Store: s.Store, putTasks: func() error {
			mu.Lock()
			defer mu.Unlock()
			if broken {
				return errors.New("disk full")
			}
			return nil
		}}
		s.start()
		s.until("it is there", time.Minute, func() bool { return ns.Serves("a.example.") != 0 && s.settled() })
		s.pass(2 * time.Minute)
		s.told.set(func() { s.told.deaf["ns1"] = true })
		mu.Lock()
		broken = true
		mu.Unlock()
		before, err := s.Store.Head(s.T.Context())
		if err != nil {
			s.T.Fatal(err)
		}
		serial := s.Change("a.example.")
		s.pass(2 * time.Minute) // NOTIFY is given up, and no task can stand for it
		cursor := func() int64 {
			pos, err := s.Store.Cursor(s.T.Context(), "keeper")
			if err != nil {
				s.T.Fatal(err)
			}
			return pos
		}
		if got := cursor(); got > before {
			s.T.Errorf("cursor at %d, past the change behind %d", got, before)
		}
		mu.Lock()
		broken = false
		mu.Unlock()
		s.until("the cursor moves", time.Minute, func() bool { return cursor() > before })
		s.until("the task is done", time.Minute, func() bool { return ns.Serves("a.example.") == serial && s.settled() })
	})
}

func TestChangesWhileNobodyLedAreCaughtUp(t *testing.T) {
	onScene(t, func(s *scene) {
		ns := s.Server("ns1")
		s.Create("a.example.", "old.example.")
		s.start()
		s.until("both are there", time.Minute, func() bool { return ns.Serves("a.example.") != 0 && ns.Serves("old.example.") != 0 && s.settled() })
		s.stop()
		serial := s.Change("a.example.")
		s.Create("new.example.")
		s.Delete("old.example.")
		s.start()
		s.until("it caught up", time.Minute, func() bool {
			return ns.Serves("a.example.") == serial && ns.Has("new.example.") && !ns.Has("old.example.") && s.settled()
		})
	})
}

func TestCompactedFeedIsComparedOver(t *testing.T) {
	onScene(t, func(s *scene) {
		ns := s.Server("ns1")
		var mu sync.Mutex
		gone := false
		s.keeper.Store = store{Store: s.Store, feed: func(after int64) error {
			mu.Lock()
			defer mu.Unlock()
			head, err := s.Store.Head(context.Background())
			if gone && after < head {
				return fleet.ErrFeedGone
			}
			return err
		}}
		s.start()
		s.pass(10 * time.Second)
		mu.Lock()
		gone = true
		mu.Unlock()
		s.Create("a.example.")
		s.until("it is there", time.Minute, func() bool { return ns.Has("a.example.") })
	})
}

func TestMarkerFollowsTheFeedOnceAMinuteAtMost(t *testing.T) {
	onScene(t, func(s *scene) {
		ns := s.Server("ns1")
		s.Create("a.example.")
		s.start()
		s.until("it is there", time.Minute, func() bool { return ns.Serves("a.example.") != 0 })
		marker := s.Row(ns).Marker.String()
		first := ns.Serves(marker)
		for range 30 {
			s.Change("a.example.")
			s.pass(10 * time.Second)
		}
		if moved := ns.Serves(marker) - first; moved < 3 || moved > 7 {
			s.T.Errorf("the marker moved %d times in five minutes", moved)
		}
		s.pass(3 * time.Minute)
		rest := ns.Serves(marker)
		s.pass(5 * time.Minute)
		if ns.Serves(marker) != rest {
			s.T.Error("the marker is moved by its own entries")
		}
	})
}

func TestNobodyIsToldOfWhatIsNotServedYet(t *testing.T) {
	onScene(t, func(s *scene) {
		s.Server("ns1")
		var served atomic.Int64
		served.Store(1 << 40)
		s.keeper.Served = served.Load
		s.start()
		s.pass(5 * time.Second)
		s.Create("a.example.")
		s.until("the zone is there", 20*time.Second, func() bool { return s.settled() })
		head, err := s.Store.Head(s.T.Context())
		if err != nil {
			s.T.Fatal(err)
		}
		served.Store(head)
		before := len(s.told.of("ns1"))
		s.Change("a.example.")
		s.pass(30 * time.Second)
		if got := s.told.of("ns1"); len(got) != before {
			s.T.Errorf("told %q of a change that mdns does not serve", got[before:])
		}
		served.Store(head + 1)
		s.until("the server is told", 5*time.Second, func() bool { return len(s.told.of("ns1")) > before })
	})
}

func TestALeaderWhoseStandbyIsBehindLetsOthersLead(t *testing.T) {
	onScene(t, func(s *scene) {
		var lag atomic.Int64
		s.keeper.Lag = func() time.Duration { return time.Duration(lag.Load()) }
		leader := func() string {
			all, err := s.Store.Leases(s.T.Context())
			if err != nil {
				s.T.Fatal(err)
			}
			for _, l := range all {
				if l.Name == keeper.LeaderLease {
					return l.Holder
				}
			}
			return "" // whoever comes
		}
		s.start()
		s.pass(time.Minute)
		lag.Store(int64(time.Second))
		s.pass(time.Minute)
		if got := leader(); got != "me" {
			s.T.Errorf("with a standby that is a second behind %q leads", got)
		}
		lag.Store(int64(time.Minute))
		s.until("another can lead", 5*time.Second, func() bool { return leader() == "" })
		// Nobody else does: better late than never.
		s.until("it leads again", 15*time.Second, func() bool { return leader() == "me" })
		s.pass(20 * time.Second)
		if got := leader(); got != "me" {
			s.T.Errorf("%q leads", got)
		}
		s.until("another can lead, again", 15*time.Second, func() bool { return leader() == "" })
		lag.Store(0)
		s.until("it leads again", 15*time.Second, func() bool { return leader() == "me" })
		s.pass(time.Minute)
		if got := leader(); got != "me" {
			s.T.Errorf("when it has caught up %q leads", got)
		}
	})
}
