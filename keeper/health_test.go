package keeper_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"dnsctl/fleet"
	"dnsctl/report"
	"dnsctl/testbed/pretend"
	"dnsctl/zone"
)

func (s *scene) health(server int64) fleet.Health {
	s.T.Helper()
	all, err := s.Store.Health(context.Background())
	if err != nil {
		s.T.Fatal(err)
	}
	return all[server]
}

func TestWhatTheLeaderSeesIsWrittenDown(t *testing.T) {
	onScene(t, func(s *scene) {
		ns := s.Server("ns1")
		s.Create("a.example.")
		s.start()
		s.until("it is in step", 30*time.Second, func() bool {
			h := s.health(ns.ID)
			return h.Server == ns.ID && h.Blocked == "" && h.Marker > 0 && h.Looked != nil && h.Proven != nil
		})
		proven := *s.health(ns.ID).Proven
		s.pass(time.Minute)
		s.Change("a.example.")
		s.until("the change is proven", 30*time.Second, func() bool { return s.health(ns.ID).Proven.After(proven) })
		gone := errors.New("connection refused")
		ns.Before = func(string, zone.Name) error { return gone }
		s.until("it is unreachable", 2*time.Minute, func() bool {
			h := s.health(ns.ID)
			return h.Blocked == "unreachable" && h.Reason != "" && time.Since(h.Since) < time.Minute && h.Marker > 0
		})
	})
}

// TestASwappedServerIsNotTakenForAnEmptyOne has the marker of another server where
// its own is missing.
func TestASwappedServerIsNotTakenForAnEmptyOne(t *testing.T) {
	onScene(t, func(s *scene) {
		ns := s.Bare("ns1")
		ns.Put("0123456789abcdef0123456789abcdef.dnsctl.invalid.", 1)
		s.Create("a.example.")
		s.start()
		s.until("it is recognised", 30*time.Second, func() bool { return s.health(ns.ID).Blocked == "marker-wrong" })
		s.pass(10 * time.Minute)
		if got := ns.Writes(); len(got) != 0 {
			s.T.Errorf("it was written to: %q", got)
		}
		ns.Remove("0123456789abcdef0123456789abcdef.dnsctl.invalid.")
		s.until("it is seen to be gone", 5*time.Minute, func() bool { return s.health(ns.ID).Blocked == "marker-missing" })
	})
}

func TestTheLeaderRemovesWhatIsKeptNoLonger(t *testing.T) {
	onScene(t, func(s *scene) {
		s.Server("ns1")
		ctx := context.Background()
		serial := zone.Serial(1)
		for _, expires := range []time.Duration{time.Minute, 10 * 24 * time.Hour} {
			_, err := s.Store.AddCopy(ctx, report.Copy{Server: "ns1", Zone: pretend.Name("gone.example."), Serial: &serial, Content: []byte("x"),
				Taken: time.Now(), Expires: time.Now().Add(expires)})
			if err != nil {
				s.T.Fatal(err)
			}
		}
		s.keeper.Retention = fleet.Retention{Deleted: 5 * time.Minute, History: 5 * time.Minute, Events: 5 * time.Minute}
		s.Create("a.example.", "b.example.")
		s.Change("a.example.")
		s.Delete("b.example.")
		s.start()
		s.pass(30 * time.Second)
		st, err := s.Store.Status(ctx)
		if err != nil || st.Copies != 2 || st.Deleted != 1 || st.Changes == 0 {
			s.T.Fatalf("%+v, %v", st, err)
		}
		s.pass(25 * time.Minute)
		after, err := s.Store.Status(ctx)
		if err != nil || after.Copies != 1 || after.Deleted != 0 || after.Events >= st.Events || after.Zones != 1 {
			s.T.Errorf("%+v, %v", after, err)
		}
	})
}
