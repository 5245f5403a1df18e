package storetest

import (
	"context"
	"database/sql"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"dnsctl/fleet"
	"dnsctl/store"
	"dnsctl/zone"
)

// raw is the database without the store.
func (e *env) raw() *sql.DB {
	e.t.Helper()
	driver, source := "postgres", e.url
	if path, ok := strings.CutPrefix(e.url, "sqlite:"); ok {
		driver, source = "sqlite", path
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { db.Close() })
	return db
}

func (e *env) spoil(q string) {
	e.t.Helper()
	if _, err := e.raw().ExecContext(e.t.Context(), q); err != nil {
		e.t.Fatal(err)
	}
}

// large makes a zone that is kept in chunks.
func (e *env) large(n int) (fleet.Zone, *zone.Snapshot) {
	e.t.Helper()
	s := content(e.t, "example.org.", 1, n)
	e.commit(fleet.Commit{Creates: []fleet.Create{stagedZone(s, e.stage(s))}})
	return e.zone("example.org."), s
}

func (e *env) chunks(z fleet.Zone) int {
	e.t.Helper()
	n, err := e.Chunks(e.t.Context(), z.Edition.ID)
	if err != nil {
		e.t.Fatal(err)
	}
	return n
}

// streamed fails unless the zone is want, in parts and whole, from chunks or rows.
func (e *env) streamed(z fleet.Zone, want *zone.Snapshot) {
	e.t.Helper()
	var parts []zone.RRset
	snap, _, err := e.Stream(e.t.Context(), z.Edition.ID, func(_ int64, sets iter.Seq[zone.RRset]) { parts = slices.AppendSeq(parts, sets) })
	if err != nil {
		e.t.Fatal(err)
	}
	same(e.t, snap, want)
	if !slices.Equal(parts, slices.Collect(want.All())) {
		e.t.Fatalf("%d RRsets in parts, want %d", len(parts), want.RRsets())
	}
	rows, _ := e.snapshot(z)
	same(e.t, rows, want)
}

// edited commits the difference and gives the zone as it is then.
func (e *env) edited(z fleet.Zone, next *zone.Snapshot) fleet.Zone {
	e.t.Helper()
	old, base := e.snapshot(z)
	e.commit(fleet.Commit{Edits: []fleet.Edit{editOf(z, base, old, next)}})
	return e.zone(z.Name.String())
}

// with is a zone after changes, a serial on.
func with(t *testing.T, s *zone.Snapshot, drop func(zone.RRset) bool, add ...zone.RRset) *zone.Snapshot {
	t.Helper()
	b := zone.NewBuilder(s.Apex(), s.RRsets())
	b.Add(soa(s.Apex(), s.Serial()+1))
	put := map[zone.ID]bool{}
	for _, set := range add {
		if !put[set.ID()] {
			put[set.ID()] = true
			b.Add(set)
		}
	}
	for set := range s.All() {
		if set.Type != zone.TypeSOA && !put[set.ID()] && !drop(set) {
			b.Add(set)
		}
	}
	next, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return next
}

var chunkTests = map[string]func(*testing.T, *env){
	"a large zone is kept in chunks, a small one is not": func(t *testing.T, e *env) {
		z, s := e.large(6000)
		if n := e.chunks(z); n < 10 {
			t.Errorf("%d chunks", n)
		}
		e.streamed(z, s)
		small := content(t, "small.example.", 1, 600)
		e.commit(fleet.Commit{Creates: []fleet.Create{stagedZone(small, e.stage(small))}})
		if n := e.chunks(e.zone("small.example.")); n != 0 {
			t.Errorf("%d chunks of a small zone", n)
		}
		e.streamed(e.zone("small.example."), small)
	},
	"chunks follow every edit": func(t *testing.T, e *env) {
		bulk(t)
		z, s := e.large(5000)
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		r := rand.New(rand.NewPCG(seed, 1))
		for round := range 25 {
			var add []zone.RRset
			for range r.IntN(20) {
				n := r.IntN(5500)
				owner := fmt.Sprintf("host%07d.example.org.", n)
				switch r.IntN(4) {
				case 0: // an owner between others, with letters
					owner = fmt.Sprintf("Sub%d.HOST%07d.example.org.", r.IntN(3), n)
				case 1:
					add = append(add, zone.RRset{Owner: name(owner), Type: zone.TypeTXT, TTL: 60, Data: zone.PackRdata("\x04text")})
				}
				add = append(add, host(owner, r.IntN(1000)))
			}
			from := r.IntN(5000) // a run of owners goes: now and then a whole chunk's
			to := from + r.IntN(3)*r.IntN(700)
			low, high := name(fmt.Sprintf("host%07d.example.org.", from)).Key(), name(fmt.Sprintf("host%07d.example.org.", to)).Key()
			s = with(t, s, func(set zone.RRset) bool {
				k := set.Owner.Key()
				return set.Owner != s.Apex() && k >= low && k < high
			}, add...)
			z = e.edited(z, s)
			if e.chunks(z) == 0 {
				t.Fatalf("round %d: no chunks", round)
			}
			e.streamed(z, s)
		}
	},
	"an edit of very many chunks leaves them to be made again": func(t *testing.T, e *env) {
		bulk(t)
		z, s := e.large(40000)
		var add []zone.RRset
		for i := 0; i < 40000; i += 300 {
			add = append(add, host(fmt.Sprintf("host%07d.example.org.", i), 7))
		}
		s = with(t, s, func(zone.RRset) bool { return false }, add...)
		z = e.edited(z, s)
		if n := e.chunks(z); n != 0 {
			t.Errorf("%d chunks count", n)
		}
		e.streamed(z, s)
		for range 2 { // the second time there is nothing to do
			if err := e.Rechunk(t.Context()); err != nil {
				t.Fatal(err)
			}
			if n := e.chunks(z); n < 50 {
				t.Fatalf("%d chunks", n)
			}
		}
		e.streamed(z, s)
		s = with(t, s, func(zone.RRset) bool { return false }, host("new.example.org.", 1))
		z = e.edited(z, s)
		if e.chunks(z) == 0 {
			t.Error("they were not kept")
		}
		e.streamed(z, s)
	},
	"a zone that has become large gets chunks": func(t *testing.T, e *env) {
		s := content(t, "example.org.", 1, 5000)
		z := e.create(s)
		if n := e.chunks(z); n != 0 {
			t.Errorf("%d chunks", n)
		}
		if err := e.Rechunk(t.Context()); err != nil || e.chunks(z) == 0 {
			t.Fatalf("%d chunks, %v", e.chunks(z), err)
		}
		e.streamed(z, s)
	},
	"damaged chunks are given up and the rows are read": func(t *testing.T, e *env) {
		bulk(t)
		for what, q := range map[string]string{
			"another's data": `UPDATE chunks SET data = (SELECT data FROM chunks ORDER BY first DESC LIMIT 1) WHERE first = (SELECT first FROM chunks ORDER BY first DESC LIMIT 1 OFFSET 2)`,
			"one is lost":    `DELETE FROM chunks WHERE first = (SELECT first FROM chunks ORDER BY first DESC LIMIT 1)`,
			"the first":      `DELETE FROM chunks WHERE first = (SELECT first FROM chunks ORDER BY first LIMIT 1)`,
			"empty":          `UPDATE chunks SET data = ` + map[bool]string{true: `X''`, false: `''::bytea`}[strings.HasPrefix(e.url, "sqlite:")],
			"not of theirs":  `UPDATE editions SET chunked = version + 1`,
		} {
			e := &env{t: t, url: e.fresh(t), fresh: e.fresh, clock: e.clock}
			e.Store = e.open(store.Options{AnySchema: true, Create: true})
			if _, err := e.Init(t.Context(), "age1recipient"); err != nil {
				t.Fatal(err)
			}
			z, s := e.large(5000)
			e.spoil(q)
			snap, _, err := e.Stream(t.Context(), z.Edition.ID, func(int64, iter.Seq[zone.RRset]) {})
			if err == nil {
				same(t, snap, s)
			}
			e.streamed(z, s)
			if n := e.chunks(z); n != 0 {
				t.Errorf("%s: %d chunks still count", what, n)
			}
			if err := e.Rechunk(t.Context()); err != nil || e.chunks(z) == 0 {
				t.Errorf("%s: %d chunks after they were made again, %v", what, e.chunks(z), err)
			}
			e.streamed(z, s)
		}
	},
	"reading that is broken off gives no chunks up": func(t *testing.T, e *env) {
		z, s := e.large(6000)
		for stop := range 4 {
			ctx, cancel := context.WithCancel(t.Context())
			n := 0
			_, _, err := e.Stream(ctx, z.Edition.ID, func(int64, iter.Seq[zone.RRset]) {
				if n++; n == stop+1 {
					cancel()
				}
			})
			cancel()
			if err == nil && n <= stop {
				t.Errorf("all was read in %d parts", n)
			}
			if e.chunks(z) == 0 {
				t.Errorf("chunks are given up when part %d is the last: %v", stop, err)
			}
		}
		e.streamed(z, s)
	},
	"an edit of a damaged chunk gives them up": func(t *testing.T, e *env) {
		z, s := e.large(5000)
		e.spoil(`UPDATE chunks SET data = (SELECT c.data FROM chunks c ORDER BY c.first LIMIT 1) || (SELECT c.data FROM chunks c ORDER BY c.first LIMIT 1)`)
		s = with(t, s, func(zone.RRset) bool { return false }, host("new.example.org.", 1))
		z = e.edited(z, s)
		if n := e.chunks(z); n != 0 {
			t.Errorf("%d chunks", n)
		}
		e.streamed(z, s)
	},
	"chunks go with their content": func(t *testing.T, e *env) {
		z, s := e.large(5000)
		next := content(t, "example.org.", 2, 4500)
		ed := editOf(z, 1, s, next)
		ed.Put, ed.Drop, ed.Staged = nil, nil, e.stage(next)
		e.commit(fleet.Commit{Edits: []fleet.Edit{ed}})
		if err := e.Unstage(t.Context(), e.stage(next)); err != nil {
			t.Fatal(err)
		}
		if err := e.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		z = e.zone("example.org.")
		e.streamed(z, next)
		var all int
		if err := e.raw().QueryRow(`SELECT count(*) FROM chunks`).Scan(&all); err != nil || all != e.chunks(z) || all == 0 {
			t.Errorf("%d chunks in all, %d of the zone, %v", all, e.chunks(z), err)
		}
	},
}
