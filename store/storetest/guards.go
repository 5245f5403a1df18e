package storetest

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"dnsctl/fleet"
	"dnsctl/report"
	"dnsctl/zone"
)

func copyOf(server, n string, serial zone.Serial) report.Copy {
	at := time.UnixMilli(1_800_000_000_000).UTC()
	return report.Copy{Server: server, View: "v", Zone: name(n), Reason: "foreign delete", Settings: `zone "x" {};`, Serial: &serial, Records: 3,
		Taken: at, Expires: at.Add(30 * 24 * time.Hour), Content: []byte("content")}
}

var guardTests = map[string]func(*testing.T, *env){
	"a copy comes back whole": func(t *testing.T, e *env) {
		e.server("ns1")
		c := copyOf("ns1", "a.example.", 7)
		c.Content = []byte(strings.Repeat("records\x00", 100_000))
		id, err := e.AddCopy(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		c.ID = id
		got, err := e.Copy(t.Context(), id)
		if err != nil || !reflect.DeepEqual(got, c) {
			t.Fatalf("copy of %d octets, %v", len(got.Content), err)
		}
		c.Content = nil
		if all, err := e.Copies(t.Context(), "", name("A.example.")); err != nil || len(all) != 1 || !reflect.DeepEqual(all[0], c) {
			t.Fatalf("copies %+v, %v", all, err)
		}
		if all, err := e.Copies(t.Context(), "ns2", ""); err != nil || len(all) != 0 {
			t.Fatalf("copies %+v, %v", all, err)
		}
		if _, err := e.AddCopy(t.Context(), copyOf("ns9", "a.example.", 7)); !errors.Is(err, fleet.ErrNoServer) {
			t.Errorf("copy of no server: %v", err)
		}
		if _, err := e.Copy(t.Context(), 99); !errors.Is(err, fleet.ErrNoCopy) {
			t.Errorf("no copy: %v", err)
		}
	},
	"a restored copy protects its zone and is not purged until released": func(t *testing.T, e *env) {
		v := e.server("ns1")
		id, err := e.AddCopy(t.Context(), copyOf("ns1", "a.example.", 7))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.AddCopy(t.Context(), copyOf("ns1", "b.example.", 7)); err != nil {
			t.Fatal(err)
		}
		if err := e.MarkRestored(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		if names, err := e.Protected(t.Context(), v.ID); err != nil || !slices.Equal(names, []zone.Name{name("a.example.")}) {
			t.Fatalf("protected %v, %v", names, err)
		}
		if got, _ := e.Copy(t.Context(), id); got.Restored == nil {
			t.Error("not marked")
		}
		if err := e.PurgeCopy(t.Context(), id); !errors.Is(err, fleet.ErrInUse) {
			t.Errorf("purged: %v", err)
		}
		if n, err := e.PurgeCopies(t.Context()); err != nil || n != 0 {
			t.Errorf("purged %d, %v", n, err)
		}
		e.clock.advance(31 * 24 * time.Hour)
		if n, err := e.PurgeCopies(t.Context()); err != nil || n != 1 {
			t.Errorf("purged %d, %v", n, err)
		}
		if got, err := e.Unprotect(t.Context(), id, by("quarantine release")); err != nil || got.Restored != nil || got.Zone != name("a.example.") {
			t.Fatalf("released %+v, %v", got, err)
		}
		if _, err := e.Unprotect(t.Context(), id, by("quarantine release")); !errors.Is(err, fleet.ErrNoCopy) {
			t.Errorf("released twice: %v", err)
		}
		if ev, err := e.Events(t.Context(), fleet.EventFilter{Server: "ns1", Limit: 1}); err != nil || len(ev) != 1 || ev[0].Action != "release" || ev[0].Command != "quarantine release" {
			t.Errorf("events %+v, %v", ev, err)
		}
		if err := e.ReleaseCopy(t.Context(), id); err != nil { // of a restore that is taken back
			t.Fatal(err)
		}
		if names, err := e.Protected(t.Context(), v.ID); err != nil || names != nil {
			t.Errorf("protected %v, %v", names, err)
		}
		if err := e.PurgeCopy(t.Context(), id); err != nil {
			t.Error(err)
		}
		for what, err := range map[string]error{"purge": e.PurgeCopy(t.Context(), id), "release": e.ReleaseCopy(t.Context(), id), "restore": e.MarkRestored(t.Context(), id)} {
			if !errors.Is(err, fleet.ErrNoCopy) {
				t.Errorf("%s: %v", what, err)
			}
		}
	},
	"sightings last as long as a zone is found": func(t *testing.T, e *env) {
		v, other := e.server("ns1"), e.server("ns2")
		a, b := name("a.example."), name("b.example.")
		first, err := e.Sight(t.Context(), v.ID, []zone.Name{a, b, name("A.example.")})
		if err != nil || len(first) != 2 {
			t.Fatalf("seen %v, %v", first, err)
		}
		second, err := e.Sight(t.Context(), v.ID, []zone.Name{a})
		if err != nil || len(second) != 1 || !second[a.Key()].Equal(first[a.Key()]) {
			t.Fatalf("seen %v, %v", second, err)
		}
		third, err := e.Sight(t.Context(), v.ID, []zone.Name{a, b})
		if err != nil || !third[b.Key()].After(first[b.Key()]) || !third[a.Key()].Equal(first[a.Key()]) {
			t.Fatalf("seen %v, %v", third, err)
		}
		if seen, err := e.Sight(t.Context(), other.ID, []zone.Name{a}); err != nil || !seen[a.Key()].After(first[a.Key()]) {
			t.Fatalf("seen %v, %v", seen, err)
		}
	},
	"deletions of foreign zones are counted": func(t *testing.T, e *env) {
		v := e.server("ns1")
		if err := e.AddForeignDeletion(t.Context(), v.ID, name("a.example.")); err != nil {
			t.Fatal(err)
		}
		cut := e.clock.Now()
		for range 2 {
			if err := e.AddForeignDeletion(t.Context(), v.ID, name("b.example.")); err != nil {
				t.Fatal(err)
			}
		}
		if n, err := e.ForeignDeletions(t.Context(), v.ID, cut); err != nil || n != 2 {
			t.Errorf("counted %d, %v", n, err)
		}
		if n, err := e.ForeignDeletions(t.Context(), v.ID+1, cut); err != nil || n != 0 {
			t.Errorf("counted %d, %v", n, err)
		}
	},
}
