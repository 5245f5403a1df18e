package storetest

import (
	"errors"
	"slices"
	"testing"
	"time"

	"dnsctl/fleet"
	"dnsctl/report"
	"dnsctl/zone"
)

func (e *env) delete(z fleet.Zone, purge bool) {
	e.t.Helper()
	e.commit(fleet.Commit{Members: []fleet.MemberChange{{Zone: z, Delete: true, Purge: purge}}, Actor: actor, Command: "zone delete"})
}

// undelete brings a zone back under a serial.
func (e *env) undelete(z fleet.Zone, serial zone.Serial) error {
	e.t.Helper()
	set := soa(z.Name, serial)
	ed := fleet.Edit{Zone: z, Base: z.Edition.Version, Put: []zone.RRset{set}, Delta: zone.Delta{OldSOA: z.Edition.SOA, NewSOA: set},
		RRsets: z.Edition.RRsets, Records: z.Edition.Records, Octets: z.Edition.Octets}
	_, err := e.Commit(e.t.Context(), fleet.Commit{Edits: []fleet.Edit{ed}, Members: []fleet.MemberChange{{Zone: z, Undelete: true}}, Actor: actor, Command: "zone undelete"})
	return err
}

// memberships are those that zones of a name have had in pools, by pool and age.
func (e *env) memberships(n zone.Name, pools ...fleet.Pool) (all []fleet.Membership) {
	e.t.Helper()
	for _, p := range pools {
		some, err := e.Members(e.t.Context(), p.ID, []zone.Name{n})
		if err != nil {
			e.t.Fatal(err)
		}
		slices.SortStableFunc(some, func(a, b fleet.Membership) int { return a.Created.Compare(b.Created) })
		all = append(all, some...)
	}
	return all
}

var memberTests = map[string]func(*testing.T, *env){
	"a deleted zone leaves tombstones and comes back with all it had": func(t *testing.T, e *env) {
		eu, us := e.pool("eu"), e.pool("us")
		z := e.create(content(t, "example.org.", 5, 10), eu, us)
		e.delete(z, false)
		gone := e.zone("example.org.")
		if gone.Deleted == nil || gone.Purged || len(gone.Pools) != 0 || gone.ID != z.ID {
			t.Fatalf("zone %+v", gone)
		}
		if last, err := e.LastSerial(t.Context(), z.Name); err != nil || last == nil || *last != 5 {
			t.Fatalf("last serial %v, %v", last, err)
		}
		was := e.memberships(z.Name, eu, us)
		if len(was) != 2 || was[0].Deleted == nil || was[0].LastSerial != 5 || was[0].Incarnation == was[1].Incarnation {
			t.Fatalf("memberships %+v", was)
		}
		e.clock.advance(time.Second)
		if err := e.undelete(gone, 5); err == nil {
			t.Fatal("came back under its old serial")
		}
		if err := e.undelete(gone, 6); err != nil {
			t.Fatal(err)
		}
		back := e.zone("example.org.")
		if back.Deleted != nil || back.ID != z.ID || back.Edition.Serial != 6 || !slices.Equal(back.Pools, []string{"eu", "us"}) {
			t.Fatalf("zone %+v", back)
		}
		got, _ := e.snapshot(back)
		same(t, got, content(t, "example.org.", 6, 10))
		now := e.memberships(z.Name, eu, us)
		if len(now) != 4 || now[0].Incarnation != was[0].Incarnation || now[1].Incarnation == was[0].Incarnation || now[1].Deleted != nil {
			t.Fatalf("memberships %+v", now)
		}
		events, err := e.Events(t.Context(), fleet.EventFilter{ZoneID: z.ID})
		var actions []string
		for _, ev := range events {
			actions = append(actions, ev.Action)
		}
		if err != nil || !slices.Equal(actions, []string{"undelete", "edit", "delete", "create"}) {
			t.Fatalf("events %v, %v", actions, err)
		}
	},
	"a zone made again starts past the last serial of its name": func(t *testing.T, e *env) {
		z := e.create(content(t, "example.org.", 5, 0))
		e.delete(z, false)
		again := newZone(content(t, "example.org.", 9, 0))
		if _, err := e.Commit(t.Context(), fleet.Commit{Creates: []fleet.Create{again}}); !errors.Is(err, fleet.ErrConflict) {
			t.Fatalf("made without the last serial: %v", err)
		}
		for serial, want := range map[zone.Serial]error{4: fleet.ErrConflict, 6: fleet.ErrConflict} {
			again.After = &serial
			if _, err := e.Commit(t.Context(), fleet.Commit{Creates: []fleet.Create{again}}); !errors.Is(err, want) {
				t.Fatalf("made after %d: %v", serial, err)
			}
		}
		five := zone.Serial(5)
		again.After = &five
		again.Content = content(t, "example.org.", 5, 0)
		if _, err := e.Commit(t.Context(), fleet.Commit{Creates: []fleet.Create{again}}); err == nil {
			t.Fatal("made with the same serial")
		}
		again.Content = content(t, "example.org.", 9, 0)
		e.commit(fleet.Commit{Creates: []fleet.Create{again}})
		second := e.zone("example.org.")
		if second.ID == z.ID || second.Edition.Serial != 9 {
			t.Fatalf("zone %+v", second)
		}
		z.Deleted = new(time.Time)
		if err := e.undelete(z, 6); !errors.Is(err, fleet.ErrExists) {
			t.Fatalf("undeleted beside another: %v", err)
		}
		e.delete(second, false)
		if err := e.undelete(z, 7); err == nil {
			t.Fatal("undeleted behind what its name has had")
		}
		if err := e.undelete(z, 10); err != nil {
			t.Fatal(err)
		}
		e.delete(e.zone("example.org."), false)
		if last, err := e.LastSerial(t.Context(), z.Name); err != nil || *last != 10 {
			t.Fatalf("last serial %v, %v", last, err)
		}
	},
	"serials of a name are compared past their wrap": func(t *testing.T, e *env) {
		z := e.create(content(t, "example.org.", 4294967295, 0))
		e.delete(z, false)
		last := zone.Serial(4294967295)
		c := newZone(content(t, "example.org.", 3, 0))
		c.After = &last
		e.commit(fleet.Commit{Creates: []fleet.Create{c}})
		e.delete(e.zone("example.org."), false)
		if last, err := e.LastSerial(t.Context(), z.Name); err != nil || *last != 3 {
			t.Fatalf("last serial %v, %v", last, err)
		}
	},
	"what is done to a deleted zone is a conflict": func(t *testing.T, e *env) {
		p := e.pool("eu")
		z := e.create(content(t, "example.org.", 5, 0), p)
		old, base := e.snapshot(z)
		e.delete(z, false)
		for what, c := range map[string]fleet.Commit{
			"edit":          {Edits: []fleet.Edit{editOf(z, base, old, content(t, "example.org.", 6, 1))}},
			"delete":        {Members: []fleet.MemberChange{{Zone: z, Delete: true}}},
			"move":          {Members: []fleet.MemberChange{{Zone: z, AddPools: []int64{p.ID}}}},
			"regroup":       {Members: []fleet.MemberChange{{Zone: z, Group: new("g")}}},
			"reprioritise":  {Members: []fleet.MemberChange{{Zone: z, Priority: new(5)}}},
			"restyle":       {Members: []fleet.MemberChange{{Zone: z, SerialStyle: zone.SerialUnix}}},
			"undelete live": {Members: []fleet.MemberChange{{Zone: e.create(content(t, "live.org.", 1, 0)), Undelete: true}}},
		} {
			if _, err := e.Commit(t.Context(), c); !errors.Is(err, fleet.ErrConflict) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if _, err := e.Commit(t.Context(), fleet.Commit{Members: []fleet.MemberChange{{Zone: e.zone("live.org."), Purge: true}}}); err == nil {
			t.Error("a live zone was purged")
		}
	},
	"purging takes content and history and leaves the tombstone": func(t *testing.T, e *env) {
		p := e.pool("eu")
		v := e.server("ns1", p)
		z := e.change(e.create(content(t, "example.org.", 1, 10), p), 20)
		e.delete(z, true)
		gone := e.zone("example.org.")
		if !gone.Purged || gone.Deleted == nil {
			t.Fatalf("zone %+v", gone)
		}
		if _, _, err := e.Snapshot(t.Context(), z.Edition.ID); !errors.Is(err, fleet.ErrPurged) {
			t.Errorf("snapshot: %v", err)
		}
		if d, err := e.Deltas(t.Context(), z.Edition.ID, 1, 2, 1<<20); err != nil || d != nil {
			t.Errorf("deltas %v, %v", d, err)
		}
		if err := e.undelete(gone, 9); !errors.Is(err, fleet.ErrPurged) {
			t.Errorf("undelete: %v", err)
		}
		if last, err := e.LastSerial(t.Context(), z.Name); err != nil || *last != 2 {
			t.Errorf("last serial %v, %v", last, err)
		}
		_, tombs := e.tombstones(v)
		if len(tombs) != 1 || tombs[0].Kept || tombs[0].LastSerial != 2 {
			t.Errorf("tombstones %+v", tombs)
		}
		if err := e.Sweep(t.Context()); err != nil || e.unswept() != 0 {
			t.Errorf("%d to sweep, %v", e.unswept(), err)
		}
	},
	"old deleted zones are purged in one go": func(t *testing.T, e *env) {
		for _, n := range []string{"a.example.", "b.example.", "c.example."} {
			e.delete(e.create(content(t, n, 1, 1)), false)
		}
		cut := e.clock.Now()
		e.delete(e.create(content(t, "d.example.", 1, 1)), false)
		e.create(content(t, "e.example.", 1, 1))
		n, err := e.PurgeDeleted(t.Context(), cut, report.Actor{Process: "mdns"}, "keeper")
		if err != nil || n != 3 || !e.zone("a.example.").Purged || e.zone("d.example.").Purged || e.zone("e.example.").Purged {
			t.Fatalf("purged %d, %v", n, err)
		}
	},
	"a zone moves between pools": func(t *testing.T, e *env) {
		eu, us, asia := e.pool("eu"), e.pool("us"), e.pool("asia")
		z := e.create(content(t, "example.org.", 1, 1), eu, us)
		out := e.commit(fleet.Commit{Members: []fleet.MemberChange{{Zone: z, AddPools: []int64{asia.ID, us.ID}, RemovePools: []int64{eu.ID}, SerialStyle: zone.SerialDate, Group: new("g"), Priority: new(-5)}}})
		z = e.zone("example.org.")
		if !slices.Equal(z.Pools, []string{"asia", "us"}) || z.SerialStyle != zone.SerialDate || z.Group != "g" || z.Priority != -5 || z.Edition.Version != 1 {
			t.Fatalf("zone %+v", z)
		}
		all := e.memberships(z.Name, eu, us, asia)
		if len(all) != 3 || all[0].Pool != "eu" || all[0].Deleted == nil || all[0].LastSerial != 1 || all[1].Deleted != nil || all[2].Deleted != nil {
			t.Fatalf("memberships %+v", all)
		}
		if f, err := e.FeedEntry(t.Context(), out[0].Feed); err != nil || f.Kind != fleet.FeedMember || f.ZoneID != z.ID {
			t.Fatalf("feed entry %+v, %v", f, err)
		}
		// A pool whose only zones were moved away can go; it is not missed when its
		// zone is brought back.
		e.delete(z, false)
		if err := e.DeletePool(t.Context(), "asia", by("pool delete")); err != nil {
			t.Fatal(err)
		}
		if err := e.undelete(e.zone("example.org."), 2); err != nil {
			t.Fatal(err)
		}
		if z := e.zone("example.org."); !slices.Equal(z.Pools, []string{"us"}) {
			t.Fatalf("pools %v", z.Pools)
		}
	},
}
