package keeper_test

import (
	"testing"
	"time"

	"dnsctl/fleet"
	"dnsctl/report"
	"dnsctl/testbed/pretend"
)

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
