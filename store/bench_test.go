package store_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"dnsctl/fleet"
	"dnsctl/store"
	"dnsctl/store/storetest"
	"dnsctl/testbed"
	"dnsctl/zone"
)

// databases runs a benchmark on both, durable commits included.
func databases(b *testing.B, bench func(b *testing.B, s *store.Store)) {
	open := func(b *testing.B, url string) *store.Store {
		s, err := store.Open(b.Context(), url, store.Options{Create: true, AnySchema: true})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = s.Close() })
		if _, err := s.Init(b.Context(), "age1recipient"); err != nil {
			b.Fatal(err)
		}
		return s
	}
	b.Run("SQLite", func(b *testing.B) { bench(b, open(b, "sqlite:"+filepath.Join(b.TempDir(), "store.db"))) })
	b.Run("PostgreSQL", func(b *testing.B) { bench(b, open(b, testbed.StartPostgres(b).NewDatabase(b))) })
}

func rate(b *testing.B, perOp int, what string) {
	b.ReportMetric(float64(perOp)*float64(b.N)/b.Elapsed().Seconds(), what+"/s")
}

const million = 1_000_000

// BenchmarkImportMillion stages a zone of a million RRsets and commits it.
func BenchmarkImportMillion(b *testing.B) {
	databases(b, func(b *testing.B, s *store.Store) {
		n := 0
		for b.Loop() {
			b.StopTimer()
			n++
			z := storetest.Content(b, fmt.Sprintf("z%d.example.", n), million)
			b.StartTimer()
			c, err := s.Stage(b.Context(), z)
			if err != nil {
				b.Fatal(err)
			}
			_, err = s.Commit(b.Context(), fleet.Commit{Creates: []fleet.Create{{Name: z.Apex(), Kind: fleet.Ordinary, SerialStyle: zone.SerialIncrement, Staged: c}}})
			if err != nil {
				b.Fatal(err)
			}
		}
		rate(b, million, "RRsets")
	})
}

// BenchmarkLoadMillion loads a zone of a million RRsets.
func BenchmarkLoadMillion(b *testing.B) {
	databases(b, func(b *testing.B, s *store.Store) {
		z := storetest.Content(b, "z.example.", million)
		c, err := s.Stage(b.Context(), z)
		if err != nil {
			b.Fatal(err)
		}
		out, err := s.Commit(b.Context(), fleet.Commit{Creates: []fleet.Create{{Name: z.Apex(), Kind: fleet.Ordinary, SerialStyle: zone.SerialIncrement, Staged: c}}})
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if _, _, err := s.Snapshot(b.Context(), out[0].Edition); err != nil {
				b.Fatal(err)
			}
		}
		rate(b, million, "RRsets")
	})
}

// BenchmarkSmallZones creates 10,000 zones of 10 RRsets in commits of 500, and
// then reads the index, what a server should have, and each zone's content.
func BenchmarkSmallZones(b *testing.B) {
	const zones, batch = 10_000, 500
	databases(b, func(b *testing.B, s *store.Store) {
		p, err := s.CreatePool(b.Context(), fleet.Pool{Name: "eu"}, nil, fleet.By{})
		if err != nil {
			b.Fatal(err)
		}
		v, err := s.AddServer(b.Context(), fleet.Server{Name: "ns1", Type: "bind", Pools: []fleet.Pool{p}}, fleet.By{})
		if err != nil {
			b.Fatal(err)
		}
		var editions []int64
		round := 0
		b.Run("create", func(b *testing.B) {
			for b.Loop() {
				round++
				for first := 0; first < zones; first += batch {
					var c fleet.Commit
					for i := range batch {
						z := storetest.Content(b, fmt.Sprintf("z%d-%d.example.", round, first+i), 8)
						c.Creates = append(c.Creates, fleet.Create{Name: z.Apex(), Kind: fleet.Ordinary, SerialStyle: zone.SerialIncrement, Content: z, Pools: []int64{p.ID}})
					}
					out, err := s.Commit(b.Context(), c)
					if err != nil {
						b.Fatal(err)
					}
					for _, z := range out {
						editions = append(editions, z.Edition)
					}
				}
			}
			rate(b, zones, "zones")
		})
		b.Run("index", func(b *testing.B) {
			n := 0
			for b.Loop() {
				if _, err := s.Index(b.Context(), func(fleet.Served) error { n++; return nil }); err != nil {
					b.Fatal(err)
				}
			}
			rate(b, n/b.N, "zones")
		})
		b.Run("wanted", func(b *testing.B) {
			n := 0
			for b.Loop() {
				if _, err := s.Wanted(b.Context(), v.ID, func(fleet.Wanted) error { n++; return nil }); err != nil {
					b.Fatal(err)
				}
			}
			rate(b, n/b.N, "zones")
		})
		b.Run("load", func(b *testing.B) {
			i := 0
			for b.Loop() {
				if _, _, err := s.Snapshot(b.Context(), editions[i%len(editions)]); err != nil {
					b.Fatal(err)
				}
				i++
			}
			rate(b, 1, "zones")
		})
	})
}

// BenchmarkChanges commits changes of one RRset: alone, and 200 zones at a time.
func BenchmarkChanges(b *testing.B) {
	for _, n := range []int{1, 200} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			databases(b, func(b *testing.B, s *store.Store) {
				var c fleet.Commit
				for i := range n {
					z := storetest.Content(b, fmt.Sprintf("z%d.example.", i), 8)
					c.Creates = append(c.Creates, fleet.Create{Name: z.Apex(), Kind: fleet.Ordinary, SerialStyle: zone.SerialIncrement, Content: z})
				}
				if _, err := s.Commit(b.Context(), c); err != nil {
					b.Fatal(err)
				}
				var zones []fleet.Zone
				var snaps []*zone.Snapshot
				for _, c := range c.Creates {
					z, err := s.Zone(b.Context(), c.Name)
					if err != nil {
						b.Fatal(err)
					}
					zones, snaps = append(zones, z), append(snaps, c.Content)
				}
				for b.Loop() {
					var c fleet.Commit
					for i, z := range zones {
						next, d := storetest.Change(b, snaps[i])
						c.Edits = append(c.Edits, fleet.Edit{Zone: z, Base: z.Edition.Version, Put: append([]zone.RRset{d.NewSOA}, d.Added...), Delta: d,
							RRsets: next.RRsets(), Records: next.Records(), Octets: next.Octets()})
						snaps[i] = next
						zones[i].Edition.Version++
					}
					if _, err := s.Commit(b.Context(), c); err != nil {
						b.Fatal(err)
					}
				}
				rate(b, n, "zones")
			})
		})
	}
}
