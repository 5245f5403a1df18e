package main

import (
	"context"
	"time"

	"dnsctl/edit"
	"dnsctl/store"
	"dnsctl/zone"
)

// bigChanges is how many changes of the big zone one sample of waits has, of each
// kind of transfer.
const bigChanges = 40

// measureChanged changes one address of the big zone, which is in mdns's memory,
// and then transfers the new serial: by IXFR, and after another change whole. What
// counts is how long after the commit the first message is there, and what the
// whole transfer takes when all but the change was sent before.
func measureChanged(ctx context.Context, b *bench, kind string) {
	h := b.loadedHouse(ctx, kind)
	s, err := store.Open(ctx, h.url, store.Options{})
	b.bed.must("open the store", err)
	defer s.Close()
	e := &edit.Editor{Store: s, Now: time.Now}
	w, err := watchSOA(h.addr, bigZone)
	b.bed.must("ask for the serial", err)
	defer w.c.Close()
	apex := zone.MustParseName(bigZone + ".")
	change := func(i int) (committed time.Time, serial zone.Serial) {
		owner := zone.MustParseName(changedOwner(i%100) + "." + apex.String())
		ops := []edit.Op{{Verb: edit.Set, Owner: owner, Type: zone.TypeA, Data: []string{string([]byte{198, 19, byte(i >> 8), byte(i)})}}}
		res, err := e.Records(ctx, apex, ops, edit.Meta{Command: "bench"})
		committed = time.Now()
		b.bed.must("edit a record", err)
		return committed, res.Serial
	}
	whole := question{zone: bigZone, typ: zone.TypeAXFR}.frame()
	for range 2 { // the second one makes the messages that are kept
		_, err := transfer(h.addr, nil, whole, b.records+1)
		b.bed.must("transfer the big zone", err)
	}
	const least = 6 // of an IXFR of one change: four SOAs, what went and what came
	t := b.table(h.name)
	n := 0
	for range b.repeat {
		var commits, byIXFR, byAXFR, rates, cpus []float64
		next := time.NewTicker(changeEvery)
		for range min(bigChanges, b.changes) {
			for _, c := range []struct {
				typ     zone.Type
				records int
				first   *[]float64
			}{{zone.TypeIXFR, least, &byIXFR}, {zone.TypeAXFR, b.records + 1, &byAXFR}} {
				<-next.C
				from, ok, err := w.serial()
				if err != nil || !ok {
					b.bed.Fatalf("ask for the serial: %v", err)
				}
				n++
				begin := time.Now()
				committed, serial := change(n)
				commits = append(commits, committed.Sub(begin).Seconds()*1000)
				_, err = w.until(ctx, serial, 30*time.Second)
				b.bed.must("wait for a change", err)
				since, asked := usedBy(h), time.Now()
				got, err := transfer(h.addr, nil, question{zone: bigZone, typ: c.typ, serial: from}.frame(), c.records)
				took := time.Since(asked).Seconds()
				b.bed.must("transfer the changed zone", err)
				if got.records != c.records {
					b.bed.Fatalf("a transfer of the changed zone has %d records, not %d", got.records, c.records)
				}
				*c.first = append(*c.first, (asked.Sub(committed)+got.first).Seconds()*1000)
				if c.typ == zone.TypeAXFR {
					own, _ := h.used()
					rates, cpus = append(rates, float64(got.records)/took), append(cpus, (own-since[0])/float64(got.records)*1e6)
				}
			}
		}
		next.Stop()
		for _, f := range []struct {
			name   string
			values []float64
		}{{"changed/commit to the first message of IXFR", byIXFR}, {"changed/commit to the first message of AXFR", byAXFR}, {"changed/the commit itself", commits}} {
			t.add(f.name+" p50", "ms", "", percentile(f.values, 0.5))
			t.add(f.name+" p99", "ms", "", percentile(f.values, 0.99))
		}
		t.add("changed/AXFR", "records/s", "", percentile(rates, 0.5))
		t.add("changed/AXFR cpu", "s/million", "", percentile(cpus, 0.5))
	}
	t.done()
}
