package main

import (
	"context"
	"time"

	"dnsctl/edit"
	"dnsctl/store"
	"dnsctl/zone"
)

// bigChanges is how many commits to the big zone one sample of waits has, half of
// them looked at by IXFR and half by AXFR.
const bigChanges = 40

// measureChange commits one record to the big zone again and again, which clients
// have transferred before, and looks when the first message of the new version
// comes.
func measureChange(ctx context.Context, b *bench, name string) {
	h := b.loadedHouse(ctx, name)
	s, err := store.Open(ctx, h.url, store.Options{})
	b.bed.must("open the store", err)
	defer s.Close()
	e := &edit.Editor{Store: s, Now: time.Now}
	apex := zone.MustParseName(bigZone + ".")
	w, err := watchSOA(h.addr, bigZone)
	b.bed.must("ask for the serial", err)
	defer w.c.Close()
	for range 2 { // the second makes the messages
		b.big(h.addr, nil, nil, 1, true)
	}
	last, _, err := w.serial()
	b.bed.must("ask for the serial", err)
	t := b.table(name)
	for range b.repeat {
		waits := map[zone.Type][]float64{}
		since := usedBy(h)
		next := time.NewTicker(changeEvery)
		for i := range min(bigChanges, b.changes) {
			<-next.C
			ops := []edit.Op{{Verb: edit.Set, Owner: zone.MustParseName(changedOwner(i) + "." + bigZone + "."), Type: zone.TypeA,
				Data: []string{string([]byte{198, 18, byte(last >> 8), byte(last)})}}}
			res, err := e.Records(ctx, apex, ops, edit.Meta{Command: "bench"})
			committed := time.Now()
			b.bed.must("edit a record", err)
			q := question{zone: bigZone, typ: zone.TypeIXFR, serial: last}
			if i%2 == 1 {
				q = question{zone: bigZone, typ: zone.TypeAXFR}
			}
			_, err = w.until(ctx, res.Serial, 30*time.Second)
			b.bed.must("wait for a change", err)
			b.bed.must("transfer a change", firstMessage(h.addr, q.frame()))
			waits[q.typ] = append(waits[q.typ], time.Since(committed).Seconds()*1000)
			last = res.Serial
		}
		next.Stop()
		for _, typ := range []zone.Type{zone.TypeIXFR, zone.TypeAXFR} {
			row := "change/commit to the first message of " + typ.String()
			t.add(row+" p50", "ms", "", percentile(waits[typ], 0.5))
			t.add(row+" p99", "ms", "<= 50", percentile(waits[typ], 0.99))
		}
		t.spent(h, "change/a record of the big zone", "ms", since, float64(min(bigChanges, b.changes)), 1000)
	}
	t.done()
}

// firstMessage asks and reads the answer's first message.
func firstMessage(addr string, frame []byte) error {
	s, err := dial(addr, nil)
	if err != nil {
		return err
	}
	defer s.Close()
	if _, err := s.Write(frame); err != nil {
		return err
	}
	return s.message()
}
