package main

import (
	"context"
	"time"

	"dnsctl/wire"
	"dnsctl/zone"
)

// measureSOA asks for every small zone once right after the start, and then for
// all of them over and over.
func measureSOA(ctx context.Context, b *bench, name string) {
	s := b.loaded(ctx, name)
	questions := make([][]byte, b.zones)
	for i := range questions {
		questions[i] = question{zone: smallZone(i), typ: zone.TypeSOA}.frame()[wire.LengthPrefix:]
	}
	t := b.table(name)
	for range b.repeat {
		s.stop()
		s.start(ctx)
		for _, c := range []struct {
			name string
			d    time.Duration
		}{{"soa/cold", 0}, {"soa/warm", b.sample}} {
			since, begin := usedBy(s), time.Now()
			answers, lost, err := flood(s.desc().addr, questions, c.d)
			wall := time.Since(begin).Seconds()
			b.bed.must("ask for SOAs", err)
			if answers == 0 {
				b.bed.Fatalf("ask for SOAs: no answers, %d lost", lost)
			}
			t.add(c.name, "queries/s", "", float64(answers)/wall)
			t.spent(s, c.name, "us/query", since, float64(answers), 1e6)
			t.add(c.name+" lost", "number", "", float64(lost))
		}
	}
	t.done()
}
