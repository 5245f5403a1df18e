package mdns

import (
	"fmt"
	"runtime"
	"testing"

	"dnsctl/fleet"
)

// BenchmarkIndex says how large the index is for each of many small zones.
func BenchmarkIndex(b *testing.B) {
	const zones = 200_000
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		x := newIndex()
		for i := range zones {
			name := n(fmt.Sprintf("zone%07d.example.", i))
			set := big(b, name.String(), 1, 0).SOASet()
			e, err := makeEntry(fleet.Served{Name: name, ZoneID: int64(i), Edition: int64(i), Version: 1, SOA: set, Pools: []int64{1}})
			if err != nil {
				b.Fatal(err)
			}
			x.put(e)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/zones, "octets/zone")
		runtime.KeepAlive(x)
	}
}
