package keeper_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"dnsctl/fleet"
	"dnsctl/report"
	"dnsctl/testbed/pretend"
	"dnsctl/zone"
)

func TestNothingIsWrittenToABlockedServer(t *testing.T) {
	for name, block := range map[string]func(s *scene, ns *pretend.Server) (lift func()){
		"marker unreadable": func(_ *scene, ns *pretend.Server) func() {
			var mu sync.Mutex
			off := false
			ns.Asked = func(n zone.Name) bool {
				mu.Lock()
				defer mu.Unlock()
				return !off && fleet.IsMarkerName(n)
			}
			return func() { mu.Lock(); defer mu.Unlock(); off = true }
		},
		"another store's marker beside ours": func(_ *scene, ns *pretend.Server) func() {
			ns.Put("stranger.dnsctl.invalid.", 1)
			return func() { ns.Remove("stranger.dnsctl.invalid.") }
		},
	} {
		t.Run(name, func(t *testing.T) {
			onScene(t, func(s *scene) {
				ns := s.filled()
				lift := block(s, ns)
				s.start()
				s.pass(10 * time.Second)
				ns.ForgetWrites()
				s.told.set(func() { s.told.log = nil })
				serial := s.Change("a.example.")
				s.Create("new.example.")
				s.Delete("old.example.")
				s.pass(3 * time.Minute)
				if got := ns.Writes(); len(got) != 0 || len(s.told.of("ns1")) != 0 {
					s.T.Errorf("writes %q, told %q", got, s.told.of("ns1"))
				}
				if got := s.tasks(); len(got) != 3 {
					s.T.Errorf("tasks %+v", got)
				}
				lift()
				s.until("it caught up", 15*time.Minute, func() bool {
					return ns.Serves("a.example.") == serial && ns.Has("new.example.") && !ns.Has("old.example.") && s.settled()
				})
			})
		})
	}
}

func TestNotifyStopsWhenAServerIsBlockedMeanwhile(t *testing.T) {
	onScene(t, func(s *scene) {
		ns := s.Server("ns1")
		s.Create("a.example.")
		s.start()
		s.until("it is there", time.Minute, func() bool { return ns.Serves("a.example.") != 0 && s.settled() })
		s.pass(10 * time.Second)
		s.told.set(func() { s.told.deaf["ns1"] = true }) // so that NOTIFY is tried again
		s.Change("a.example.")
		ns.Remove(s.Row(ns).Marker.String())
		s.Create("new.example.") // whose task looks at the marker at once
		s.until("the server is seen to be blocked", 3*time.Second, func() bool { return ns.Has("new.example.") })
		s.told.set(func() { s.told.log = nil })
		s.pass(2 * time.Minute)
		if got := s.told.of("ns1"); len(got) != 0 {
			s.T.Errorf("told %q", got)
		}
		if got := s.tasks(); !slices.ContainsFunc(got, func(k report.Task) bool { return is(k.Zone, "a.example.") }) {
			s.T.Errorf("tasks %+v", got)
		}
	})
}

func TestDrainedServerIsLeftAlone(t *testing.T) {
	for _, state := range []fleet.State{fleet.Draining, fleet.Drained} {
		t.Run(string(state), func(t *testing.T) {
			onScene(t, func(s *scene) {
				ns := s.Server("ns1")
				s.Create("a.example.")
				s.start()
				s.until("it is there", time.Minute, func() bool { return ns.Serves("a.example.") != 0 && s.settled() })
				if err := s.Store.SetServerState(s.T.Context(), "ns1", state, fleet.By{}); err != nil {
					s.T.Fatal(err)
				}
				s.pass(5 * time.Second)
				ns.ForgetWrites()
				s.told.set(func() { s.told.log = nil })
				serial := s.Change("a.example.")
				s.Create("b.example.")
				s.pass(2*compareEvery + time.Minute)
				if got := ns.Writes(); len(got) != 0 || len(s.told.of("ns1")) != 0 || len(s.tasks()) != 0 {
					s.T.Errorf("writes %q, told %q, tasks %+v", got, s.told.of("ns1"), s.tasks())
				}
				if err := s.Store.SetServerState(s.T.Context(), "ns1", fleet.Active, fleet.By{}); err != nil {
					s.T.Fatal(err)
				}
				s.until("it caught up", time.Minute, func() bool { return ns.Serves("a.example.") == serial && ns.Has("b.example.") && s.settled() })
			})
		})
	}
}
