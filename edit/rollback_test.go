package edit_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dnsctl/edit"
	"dnsctl/fleet"
	"dnsctl/store"
	"dnsctl/testbed"
	"dnsctl/zone"
)

func TestMain(m *testing.M) { os.Exit(testbed.Main(m)) }

// onBoth runs a test on each kind of database.
func onBoth(t *testing.T, test func(t *testing.T, e *edit.Editor, s *store.Store)) {
	t.Parallel()
	for _, kind := range []string{"sqlite", "postgres"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			url := "sqlite:" + filepath.Join(t.TempDir(), "test.db")
			if kind == "postgres" {
				url = testbed.StartPostgres(t, testbed.PostgresOptions{NoFsync: true}).NewDatabase(t)
			}
			s, err := store.Open(t.Context(), url, store.Options{Create: true, AnySchema: true})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.Close() })
			if _, err := s.Init(t.Context(), "nobody"); err != nil {
				t.Fatal(err)
			}
			_, err = s.CreatePool(t.Context(), fleet.Pool{Name: "eu", Primaries: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:5300")},
				NS: []zone.Name{name("ns1.example.net")}, Unmanaged: fleet.Delete}, nil, fleet.By{})
			if err != nil {
				t.Fatal(err)
			}
			test(t, &edit.Editor{Store: s, Now: func() time.Time { return noon }}, s)
		})
	}
}

// randomOps change a few of a few owners: types, TTLs, spellings and data.
func randomOps(r *rand.Rand) []edit.Op {
	var ops []edit.Op
	for range 1 + r.IntN(4) {
		owner := []string{"a", "B", "b", "c.d", "d", "e"}[r.IntN(6)] + ".example.org."
		o := edit.Op{Verb: edit.Set, Owner: name(owner), Type: zone.TypeA}
		if r.IntN(2) == 0 {
			o.Type = zone.TypeTXT
		}
		if r.IntN(3) == 0 {
			o.TTL = new(uint32(60 + r.IntN(3)))
		}
		for range 1 + r.IntN(3) {
			data := string([]byte{192, 0, 2, byte(r.IntN(5))})
			if o.Type == zone.TypeTXT {
				data = "\x01" + string(rune('a'+r.IntN(5)))
			}
			o.Data = append(o.Data, data)
		}
		switch r.IntN(5) {
		case 0:
			o.Verb = edit.Add
		case 1:
			o.Verb, o.Data, o.TTL = edit.Delete, nil, nil
		}
		ops = append(ops, o)
	}
	return ops
}

// soaOp gives the zone other SOA values, as record set does.
func soaOp(t *testing.T, s *store.Store, refresh uint32) []edit.Op {
	soa := content(t, s, "example.org.").SOA()
	soa.Refresh = refresh
	return []edit.Op{{Verb: edit.Set, Owner: name("example.org."), Type: zone.TypeSOA, Data: []string{soa.Rdata()}}}
}

func TestARollbackToAnyVersionGivesExactlyItsContent(t *testing.T) {
	onBoth(t, func(t *testing.T, e *edit.Editor, s *store.Store) {
		r := rand.New(rand.NewPCG(11, 23))
		if _, err := importText(t, e, small); err != nil {
			t.Fatal(err)
		}
		had := map[zone.Serial]*zone.Snapshot{}
		note := func() zone.Serial {
			snap := content(t, s, "example.org.")
			had[snap.Serial()] = snap
			return snap.Serial()
		}
		note()
		for i := range 60 {
			before := note()
			ops := randomOps(r)
			if i%15 == 7 {
				ops = soaOp(t, s, uint32(7000+i))
			}
			_, err := e.Records(t.Context(), name("example.org."), ops, edit.Meta{Command: "record apply"})
			switch i % 20 {
			case 9: // a rollback among the changes, which can be rolled back itself
				if _, _, err := e.Rollback(t.Context(), s, name("example.org."), before-3, false, edit.Meta{}); err != nil {
					t.Fatal(err)
				}
			case 15:
				if _, err = e.Delete(t.Context(), []zone.Name{name("example.org.")}, false, edit.Meta{}); err == nil {
					_, err = e.Undelete(t.Context(), name("example.org."), edit.Meta{})
				}
			}
			if err != nil && note() != before { // nothing to delete is no matter
				t.Fatal(err)
			}
			note()
		}
		if len(had) < 40 {
			t.Fatalf("only %d versions", len(had))
		}
		tried := 0
		for serial, want := range had { // in any order
			if tried++; testing.Short() && tried > 12 {
				break
			}
			now := content(t, s, "example.org.")
			_, shown, err := e.Rollback(t.Context(), s, name("example.org."), serial, true, edit.Meta{})
			if err != nil {
				t.Fatalf("dry run to %d: %v", serial, err)
			}
			if got := content(t, s, "example.org."); got.Serial() != now.Serial() {
				t.Fatalf("a dry run made serial %d", got.Serial())
			}
			res, d, err := e.Rollback(t.Context(), s, name("example.org."), serial, false, edit.Meta{Command: "zone rollback"})
			if err != nil {
				t.Fatalf("to %d: %v", serial, err)
			}
			got := content(t, s, "example.org.")
			if diff := zone.Diff(want, got); !diff.Empty() || got.SOA().WithSerial(0) != want.SOA().WithSerial(0) || got.SOASet().TTL != want.SOASet().TTL {
				t.Fatalf("rollback to %d: %d records too few, %d too many", serial, len(diff.Removed), len(diff.Added))
			}
			if got.Serial() != res.Serial || res.Action == edit.RolledBack && !got.Serial().Ahead(now.Serial()) {
				t.Fatalf("rollback to %d: serial %d after %d, %+v", serial, got.Serial(), now.Serial(), res)
			}
			if len(shown.Added) != len(d.Added) || len(shown.Removed) != len(d.Removed) {
				t.Fatal("the dry run showed something else")
			}
		}
	})
}

func TestRollbackRefuses(t *testing.T) {
	t.Parallel()
	e, s := editor(t)
	if _, err := importText(t, e, small); err != nil {
		t.Fatal(err)
	}
	zoneName := name("example.org.")
	try := func(serial zone.Serial, m edit.Meta) error {
		_, _, err := e.Rollback(t.Context(), s, zoneName, serial, false, m)
		return err
	}
	if err := try(3, edit.Meta{}); err == nil || err.Error() != `zone "example.org.": serial 3 is not kept` {
		t.Errorf("a serial that never was: %v", err)
	}
	if res, _, err := e.Rollback(t.Context(), s, zoneName, 7, false, edit.Meta{}); err != nil || res.Action != edit.Unchanged {
		t.Errorf("the present serial: %+v, %v", res, err)
	}
	// Jumps of less than 2^31 lead round to the same serial.
	for _, serial := range []zone.Serial{1_500_000_000, 3_000_000_000, 100, 2_000_000_000, 4_000_000_000, 7} {
		soa := content(t, s, "example.org.").SOA().WithSerial(serial)
		ops := []edit.Op{{Verb: edit.Set, Owner: zoneName, Type: zone.TypeSOA, Data: []string{soa.Rdata()}}}
		if res, err := e.Records(t.Context(), zoneName, ops, edit.Meta{}); err != nil || res.Serial != serial {
			t.Fatalf("serial %d: %+v, %v", serial, res, err)
		}
	}
	if err := try(7, edit.Meta{}); err == nil || !strings.Contains(err.Error(), "has had serial 7 2 times") {
		t.Errorf("a serial that was there twice: %v", err)
	}
	if err := try(1_500_000_000, edit.Meta{IfSerial: new(zone.Serial(9))}); err == nil {
		t.Error("--if-serial did not hold")
	}
	if err := try(2_000_000_000, edit.Meta{}); err != nil {
		t.Errorf("back to a serial before: %v", err)
	}
	if _, err := e.Delete(t.Context(), []zone.Name{zoneName}, false, edit.Meta{}); err != nil {
		t.Fatal(err)
	}
	if err := try(7, edit.Meta{}); err == nil {
		t.Error("a deleted zone was rolled back")
	}
	if _, _, err := e.Rollback(t.Context(), s, name("no.example."), 7, false, edit.Meta{}); !errors.Is(err, fleet.ErrNoZone) {
		t.Errorf("no zone: %v", err)
	}
}

func TestARollbackOfALargeChangeIsStaged(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("a minute under the race detector")
	}
	e, s := editor(t)
	var large strings.Builder
	for i := range 25_000 {
		fmt.Fprintf(&large, "h%d A 10.%d.%d.1\n", i, i/250, i%250)
	}
	if _, err := importText(t, e, small); err != nil {
		t.Fatal(err)
	}
	first := content(t, s, "example.org.")
	if _, err := importText(t, e, small+large.String()); err != nil {
		t.Fatal(err)
	}
	whole := content(t, s, "example.org.")
	for _, want := range []*zone.Snapshot{first, whole, first} {
		if _, _, err := e.Rollback(t.Context(), s, name("example.org."), want.Serial(), false, edit.Meta{}); err != nil {
			t.Fatal(err)
		}
		if d := zone.Diff(want, content(t, s, "example.org.")); !d.Empty() {
			t.Fatalf("%d removed, %d added", len(d.Removed), len(d.Added))
		}
	}
}
