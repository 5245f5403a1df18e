package keeper_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/zone"
)

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
