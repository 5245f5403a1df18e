package keeper_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dnsctl/fleet"
	"dnsctl/keeper"
	"dnsctl/report"
)

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
		ns := s.filled()
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
