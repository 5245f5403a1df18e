package storetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"dnsctl/fleet"
	"dnsctl/zone"
)

var commitTests = map[string]func(*testing.T, *env){
	"a created zone comes back as it went in": func(t *testing.T, e *env) {
		p := e.pool("eu")
		want := content(t, "Example.ORG.", 7, 3,
			zone.RRset{Owner: name(`MiXed.example.ORG.`), Type: zone.TypeTXT, TTL: 1, Data: zone.PackRdata("\x05hello", "\x00")},
			zone.RRset{Owner: name(`a\000b\001c\.d.example.org.`), Type: 65400, TTL: 4294967295, Data: zone.PackRdata("")},
			zone.RRset{Owner: name(`*.example.org.`), Type: zone.TypeRRSIG, Covers: zone.TypeA, TTL: 300, Data: zone.PackRdata("\x00\x01rest")})
		z := e.create(want, p)
		got, version := e.snapshot(z)
		same(t, got, want)
		if version != 1 || z.Edition.Version != 1 || z.Edition.Serial != 7 || z.Edition.SOA != want.SOASet() || z.Name != want.Apex() {
			t.Fatalf("zone is %+v at version %d", z, version)
		}
		if !slices.Equal(z.Pools, []string{"eu"}) || z.Kind != fleet.Ordinary || z.Edition.Records != want.Records() || z.Deleted != nil {
			t.Fatalf("zone is %+v", z)
		}
	},
	"the root zone is a zone like any other": func(t *testing.T, e *env) {
		want := content(t, ".", 5, 2)
		z := e.create(want)
		got, _ := e.snapshot(z)
		same(t, got, want)
		if z.Name != zone.Root {
			t.Fatalf("name is %q", z.Name)
		}
	},
	"an edit changes rows, version, serial, history and event": func(t *testing.T, e *env) {
		first := content(t, "example.org.", 1, 10)
		z := e.create(first, e.pool("eu"))
		z = e.change(z, 4)
		got, version := e.snapshot(z)
		same(t, got, content(t, "example.org.", 2, 4))
		if version != 2 || z.Edition.Version != 2 || z.Edition.Serial != 2 || z.Edition.RRsets != 6 {
			t.Fatalf("edition is %+v at %d", z.Edition, version)
		}
		events, err := e.Events(t.Context(), fleet.EventFilter{Zone: z.Name})
		if err != nil || len(events) != 2 {
			t.Fatalf("events %v, %v", events, err)
		}
		ev := events[0]
		if ev.Action != "edit" || ev.Command != "record set" || ev.Actor != actor || ev.Serial == nil || *ev.Serial != 2 || ev.Result != "+0 -6 records" || ev.Before != "serial 1" {
			t.Fatalf("event is %+v", ev)
		}
		deltas, err := e.Deltas(t.Context(), z.Edition.ID, 1, 2, 1<<20)
		if err != nil || len(deltas) != 1 {
			t.Fatalf("deltas %v, %v", deltas, err)
		}
		next, err := first.Apply(deltas[0])
		if err != nil {
			t.Fatal(err)
		}
		same(t, next, got)
	},
	"a version that has moved is a conflict, and nothing is written": func(t *testing.T, e *env) {
		a := e.create(content(t, "a.example.", 1, 1))
		b := e.create(content(t, "b.example.", 1, 1))
		oldA, baseA := e.snapshot(a)
		oldB, baseB := e.snapshot(b)
		e.change(b, 5)
		head, _ := e.Head(t.Context())
		_, err := e.Commit(t.Context(), fleet.Commit{Edits: []fleet.Edit{
			editOf(a, baseA, oldA, content(t, "a.example.", 2, 9)),
			editOf(b, baseB, oldB, content(t, "b.example.", 2, 9)),
		}})
		if !errors.Is(err, fleet.ErrConflict) {
			t.Fatalf("error is %v", err)
		}
		got, _ := e.snapshot(a)
		same(t, got, oldA)
		if now, _ := e.Head(t.Context()); now != head {
			t.Fatalf("feed moved from %d to %d", head, now)
		}
	},
	"a serial never goes back": func(t *testing.T, e *env) {
		z := e.create(content(t, "a.example.", 10, 1))
		old, base := e.snapshot(z)
		for _, serial := range []zone.Serial{10, 9, 0, 10 + 1<<31} {
			if _, err := e.Commit(t.Context(), fleet.Commit{Edits: []fleet.Edit{editOf(z, base, old, content(t, "a.example.", serial, 1))}}); err == nil {
				t.Errorf("serial %d was taken after 10", serial)
			}
		}
	},
	"two live zones cannot have one name": func(t *testing.T, e *env) {
		e.create(content(t, "a.example.", 1, 1))
		for _, names := range [][]string{{"A.example."}, {"b.example.", "B.example."}} {
			var c fleet.Commit
			for _, n := range names {
				c.Creates = append(c.Creates, newZone(content(t, n, 1, 1)))
			}
			if _, err := e.Commit(t.Context(), c); !errors.Is(err, fleet.ErrExists) {
				t.Errorf("creating %v: %v", names, err)
			}
		}
		if _, err := e.Zone(t.Context(), name("b.example.")); !errors.Is(err, fleet.ErrNoZone) {
			t.Errorf("b.example. is there: %v", err)
		}
	},
	"a pool that is gone stops a create": func(t *testing.T, e *env) {
		p := e.pool("eu")
		if err := e.DeletePool(t.Context(), "eu", by("pool delete")); err != nil {
			t.Fatal(err)
		}
		_, err := e.Commit(t.Context(), fleet.Commit{Creates: []fleet.Create{newZone(content(t, "a.example.", 1, 1), p)}})
		if !errors.Is(err, fleet.ErrNoPool) {
			t.Fatalf("error is %v", err)
		}
	},
	"many zones go in one commit and change in another": func(t *testing.T, e *env) {
		p := e.pool("eu")
		const n = 700
		var c fleet.Commit
		for i := range n {
			c.Creates = append(c.Creates, newZone(content(t, fmt.Sprintf("z%03d.example.", i), 1, i%5), p))
		}
		out := e.commit(c)
		if len(out) != n || out[n-1].Feed-out[0].Feed != n-1 {
			t.Fatalf("%d rows, feed %d to %d", len(out), out[0].Feed, out[n-1].Feed)
		}
		var edits fleet.Commit
		err := e.Zones(t.Context(), fleet.ZoneFilter{}, func(z fleet.Zone) error {
			old, base, err := e.Snapshot(t.Context(), z.Edition.ID)
			if err == nil {
				edits.Edits = append(edits.Edits, editOf(z, base, old, content(t, z.Name.String(), 2, 4)))
			}
			return err
		})
		if err != nil || len(edits.Edits) != n {
			t.Fatalf("%d zones, %v", len(edits.Edits), err)
		}
		e.commit(edits)
		for i := range n {
			z := e.zone(fmt.Sprintf("z%03d.example.", i))
			got, _ := e.snapshot(z)
			same(t, got, content(t, z.Name.String(), 2, 4))
		}
	},
	"a chain of deltas is whole or not there": func(t *testing.T, e *env) {
		z := e.create(content(t, "a.example.", 1, 1))
		start, _ := e.snapshot(z)
		for i := 2; i <= 6; i++ {
			z = e.change(z, i)
		}
		end, _ := e.snapshot(z)
		deltas, err := e.Deltas(t.Context(), z.Edition.ID, 1, 6, 1<<20)
		if err != nil || len(deltas) != 5 {
			t.Fatalf("%d deltas, %v", len(deltas), err)
		}
		for _, d := range deltas {
			if start, err = start.Apply(d); err != nil {
				t.Fatal(err)
			}
		}
		same(t, start, end)
		part, err := e.Deltas(t.Context(), z.Edition.ID, 3, 5, 1<<20)
		if err != nil || len(part) != 2 {
			t.Fatalf("%d deltas from 3 to 5, %v", len(part), err)
		}
		for _, q := range []struct {
			from, to zone.Serial
			limit    int64
		}{{0, 6, 1 << 20}, {3, 7, 1 << 20}, {6, 3, 1 << 20}, {6, 6, 1 << 20}, {1, 6, 10}} {
			if d, err := e.Deltas(t.Context(), z.Edition.ID, q.from, q.to, q.limit); d != nil || err != nil {
				t.Errorf("deltas from %d to %d below %d octets: %d, %v", q.from, q.to, q.limit, len(d), err)
			}
		}
		// A version without a delta breaks the chain.
		old, base := e.snapshot(z)
		ed := editOf(z, base, old, content(t, "a.example.", 7, 1))
		ed.Delta = zone.Delta{}
		e.commit(fleet.Commit{Edits: []fleet.Edit{ed}})
		z = e.change(e.zone("a.example."), 2)
		if d, err := e.Deltas(t.Context(), z.Edition.ID, 1, 8, 1<<20); d != nil || err != nil {
			t.Errorf("deltas over a gap: %d, %v", len(d), err)
		}
		if d, err := e.Deltas(t.Context(), z.Edition.ID, 7, 8, 1<<20); len(d) != 1 || err != nil {
			t.Errorf("deltas behind a gap: %d, %v", len(d), err)
		}
	},
	"a marker leaves no event": func(t *testing.T, e *env) {
		c := newZone(content(t, "abc.dnsctl.invalid.", 1, 0))
		c.Kind = fleet.Marker
		e.commit(fleet.Commit{Creates: []fleet.Create{c}})
		e.change(e.zone("abc.dnsctl.invalid."), 1)
		if events, err := e.Events(t.Context(), fleet.EventFilter{}); err != nil || len(events) != 0 {
			t.Fatalf("events %v, %v", events, err)
		}
		if err := e.Zones(t.Context(), fleet.ZoneFilter{}, func(fleet.Zone) error { return errors.New("listed") }); err != nil {
			t.Fatal(err)
		}
	},
}
