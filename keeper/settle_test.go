package keeper_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"dnsctl/edit"
	"dnsctl/fleet"
	"dnsctl/keeper"
	"dnsctl/nameserver"
	"dnsctl/report"
	"dnsctl/testbed/pretend"
	"dnsctl/zone"
)

// unsettled is a store that takes no ends of tasks, and no tasks, while broken.
type unsettled struct {
	keeper.Store
	broken      atomic.Bool
	calls, most atomic.Int64
}

var errAway = errors.New("the database is away")

func (u *unsettled) DoneTasks(ctx context.Context, done []report.Task) error {
	u.calls.Add(1)
	u.most.Store(max(u.most.Load(), int64(len(done))))
	if u.broken.Load() {
		return errAway
	}
	return u.Store.DoneTasks(ctx, done)
}

func (u *unsettled) PutTasks(ctx context.Context, tasks []report.Task) error {
	if u.broken.Load() && len(tasks) > 0 {
		return errAway
	}
	return u.Store.PutTasks(ctx, tasks)
}

func (s *scene) cursor() int64 {
	s.T.Helper()
	pos, err := s.Store.Cursor(context.Background(), "keeper")
	if err != nil {
		s.T.Fatal(err)
	}
	return pos
}

func (s *scene) head() int64 {
	s.T.Helper()
	pos, err := s.Store.Head(context.Background())
	if err != nil {
		s.T.Fatal(err)
	}
	return pos
}

// TestCursorWaitsForWhatCannotBeSettled takes the database away where a change
// has been proven on one server and given up on another: whoever leads next still
// finds it in the feed.
func TestCursorWaitsForWhatCannotBeSettled(t *testing.T) {
	onScene(t, func(s *scene) {
		s.Server("ns1")
		deaf := s.Server("ns2")
		u := &unsettled{Store: s.Store}
		s.keeper.Store = u
		s.Create("a.example.")
		s.start()
		s.until("all is settled", time.Minute, func() bool { return deaf.Serves("a.example.") != 0 && s.settled() && s.cursor() == s.head() })
		u.broken.Store(true)
		s.told.set(func() { s.told.deaf["ns2"] = true })
		serial := s.Change("a.example.")
		change := s.head()
		s.pass(3 * time.Minute)
		if at := s.cursor(); at >= change {
			s.T.Errorf("the cursor is at %d, the change at %d", at, change)
		}
		if n := len(s.tasks()); n != 0 {
			s.T.Errorf("%d tasks", n)
		}
		u.broken.Store(false)
		s.until("the leader goes on", time.Minute, func() bool { return s.cursor() >= change && deaf.Serves("a.example.") == serial && s.settled() })
	})
}

func TestManyProofsAreSettledAtOnce(t *testing.T) {
	onScene(t, func(s *scene) {
		ns := s.Server("ns1")
		u := &unsettled{Store: s.Store}
		s.keeper.Store = u
		var names []string
		for i := range 60 {
			names = append(names, fmt.Sprintf("z%02d.example.", i))
		}
		s.Create(names...)
		s.start()
		s.until("all is settled", time.Minute, func() bool { return ns.Serves(names[59]) != 0 && s.settled() })
		s.pass(10 * time.Second)
		u.calls.Store(0)
		u.most.Store(0)
		for _, n := range names {
			s.Change(n)
		}
		change := s.head()
		s.until("the changes are settled", time.Minute, func() bool { return s.cursor() >= change })
		if calls, most := u.calls.Load(), u.most.Load(); calls > 20 || most < 5 {
			s.T.Errorf("%d writes of %d changes, %d at most", calls, len(names), most)
		}
		if n := len(s.tasks()); n != 0 {
			s.T.Errorf("%d tasks", n)
		}
	})
}

// TestContentDoesNotProveThatAZoneHasMoved moves a zone to a pool with another key
// right after a change: that it is served with the change ends only the task for
// that.
func TestContentDoesNotProveThatAZoneHasMoved(t *testing.T) {
	onScene(t, func(s *scene) {
		s.Pool("us", fleet.Delete)
		ns := s.Server("ns1", "eu", "us")
		var refuses atomic.Bool
		ns.Before = func(op string, _ zone.Name) error {
			if op == "change" && refuses.Load() {
				return nameserver.ErrRefused
			}
			return nil
		}
		s.Create("a.example.")
		s.start()
		s.until("all is settled", time.Minute, func() bool { return ns.Serves("a.example.") != 0 && s.settled() && s.cursor() == s.head() })
		refuses.Store(true)
		serial := s.Change("a.example.")
		_, err := s.Edit.Set(context.Background(), pretend.Name("a.example."), edit.Change{AddPools: []string{"us"}, RemovePools: []string{"eu"}}, edit.Meta{})
		if err != nil {
			s.T.Fatal(err)
		}
		s.until("the change is served and settled", time.Minute, func() bool { return ns.Serves("a.example.") == serial && s.cursor() == s.head() })
		if all := s.tasks(); len(all) != 1 || all[0].Incarnation == "" {
			s.T.Fatalf("tasks %+v", all)
		}
		refuses.Store(false)
		s.until("it has moved", time.Minute, s.settled)
		ns.Alter("a.example.", func(z *nameserver.ZoneState) {
			if len(z.Primaries) != 1 || !z.Primaries[0].Key.Equal(pretend.Name("us")) {
				s.T.Errorf("it is transferred from %v", z.Primaries)
			}
		})
	})
}
