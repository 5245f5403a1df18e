package edit_test

import (
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"dnsctl/edit"
	"dnsctl/fleet"
	"dnsctl/store"
	"dnsctl/testbed"
	"dnsctl/zone"
)

// BenchmarkCatalog makes the catalog of a pool, compares it with its list of
// members, and adds one member to it.
func BenchmarkCatalog(b *testing.B) {
	for _, n := range []int{10_000, 1_000_000} {
		for kind, url := range map[string]func(*testing.B) string{
			"SQLite":     func(b *testing.B) string { return "sqlite:" + filepath.Join(b.TempDir(), "store.db") },
			"PostgreSQL": func(b *testing.B) string { return testbed.StartPostgres(b).NewDatabase(b) },
		} {
			b.Run(fmt.Sprintf("%s/%d", kind, n), func(b *testing.B) {
				s, err := store.Open(b.Context(), url(b), store.Options{Create: true, AnySchema: true})
				if err != nil {
					b.Fatal(err)
				}
				b.Cleanup(func() { _ = s.Close() })
				if _, err := s.Init(b.Context(), "age1recipient"); err != nil {
					b.Fatal(err)
				}
				benchCatalog(b, s, n)
			})
		}
	}
}

func benchCatalog(b *testing.B, s *store.Store, members int) {
	pool, err := s.CreatePool(b.Context(), fleet.Pool{Name: "eu", Unmanaged: fleet.Warn, Catalog: name("cat.example.")}, nil, fleet.By{})
	if err != nil {
		b.Fatal(err)
	}
	made := 0
	grow := func(n int) []zone.Name {
		c, names := fleet.Commit{}, []zone.Name(nil)
		for range n {
			apex := name(fmt.Sprintf("z%d.example.", made))
			made++
			zb := zone.NewBuilder(apex, 2)
			zb.Add(zone.RRset{Owner: apex, Type: zone.TypeSOA, Data: zone.PackRdata(zone.SOA{MName: apex, RName: apex, Serial: 1}.Rdata())})
			zb.Add(zone.RRset{Owner: apex, Type: zone.TypeNS, Data: zone.PackRdata(string(apex))})
			content, err := zb.Build()
			if err != nil {
				b.Fatal(err)
			}
			c.Creates = append(c.Creates, fleet.Create{Name: apex, Kind: fleet.Ordinary, SerialStyle: zone.SerialIncrement, Pools: []int64{pool.ID}, Content: content})
			names = append(names, apex)
		}
		if _, err := s.Commit(b.Context(), c); err != nil {
			b.Fatal(err)
		}
		return names
	}
	for made < members {
		grow(min(10_000, members-made))
	}
	e := &edit.Editor{Store: s, Now: time.Now}
	peak := heapPeak()
	began := time.Now()
	if _, _, err := e.CreateCatalog(b.Context(), pool, edit.Meta{}); err != nil {
		b.Fatal(err)
	}
	create, createPeak := time.Since(began), peak()
	peak = heapPeak()
	began = time.Now()
	if differ, n, _, err := e.CompareCatalog(b.Context(), pool); err != nil || len(differ) != 0 || n != members {
		b.Fatalf("%d differ of %d: %v", len(differ), n, err)
	}
	compare, comparePeak := time.Since(began), peak()
	for b.Loop() {
		b.StopTimer()
		names := grow(1)
		b.StartTimer()
		if c, err := e.UpdateCatalog(b.Context(), pool, names, false, edit.Meta{}); err != nil || c.Joined != 1 {
			b.Fatalf("%+v, %v", c, err)
		}
	}
	b.ReportMetric(create.Seconds(), "create-s")
	b.ReportMetric(createPeak/1e6, "create-MB")
	b.ReportMetric(compare.Seconds(), "compare-s")
	b.ReportMetric(comparePeak/1e6, "compare-MB")
	z, err := s.Zone(b.Context(), pool.Catalog)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(z.Edition.Octets)/float64(z.Edition.RRsets), "octets/member")
}

// heapPeak watches the heap until it is asked how large it was at most, in
// octets beyond what it is now.
func heapPeak() (stop func() float64) {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	before, most := m.HeapAlloc, m.HeapAlloc
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(20 * time.Millisecond):
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				most = max(most, m.HeapAlloc)
			}
		}
	})
	return func() float64 {
		close(done)
		wg.Wait()
		return float64(most - before)
	}
}
