package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"dnsctl/testbed"
	"dnsctl/wire"
	"dnsctl/zone"
)

const (
	catalogZone = "catalog.example"
	catalogOwn  = 3 // records of a catalog without members: SOA, NS, version
)

// measureCatalog gives the pool of many zones a catalog zone, transfers that, and
// has zones come in one by one.
func (b *bench) measureCatalog(ctx context.Context, h *house) {
	t := b.table(h.name)
	h.stop()
	h.start(ctx)
	row := "catalog/made of all zones"
	since := usedBy(h)
	w := h.catalog(ctx, t, row)
	defer w.c.Close()
	t.spent(h, row, "s", since, 1, 1)
	t.add(row+", memory of mdns at most", "MB", "", status(h.pid(), "VmHWM"))
	for _, name := range []string{"catalog/axfr cold", "catalog/axfr"} {
		begin := time.Now()
		got, err := transfer(h.addr, nil, question{zone: catalogZone, typ: zone.TypeAXFR}.frame(), b.many+catalogOwn+1)
		b.bed.must("transfer the catalog", err)
		t.add(name, "records/s", "", float64(got.records)/time.Since(begin).Seconds())
	}
	serial, _, err := w.serial()
	b.bed.must("ask for the catalog's serial", err)
	for i := range b.repeat {
		since := usedBy(h)
		h.dnsctl(ctx, "zone", "create", fmt.Sprintf("one%d.example", i), "-q")
		begin := time.Now()
		seen, err := w.until(ctx, serial+1, patience)
		b.bed.must("wait for a member", err)
		t.add("catalog/from a zone's creation to its being a member", "s", "", seen.Sub(begin).Seconds())
		t.spent(h, "catalog/a member more", "ms", since, 1, 1000)
		records, err := sizeOf(h.addr, question{zone: catalogZone, typ: zone.TypeIXFR, serial: serial}.frame())
		b.bed.must("ask for the member", err)
		t.add("catalog/a member more, IXFR", "records", "", float64(records))
		serial++
	}
	t.done()
}

// catalog gives the pool a catalog zone and waits until mdns, which runs, serves
// it.
func (h *house) catalog(ctx context.Context, t *table, row string) *soaWatch {
	w, err := watchSOA(h.addr, catalogZone)
	h.bed.must("ask for the catalog", err)
	begin := time.Now()
	h.dnsctl(ctx, "pool", "set", pool, "--catalog", catalogZone, "-q")
	seen, err := w.until(ctx, 1, startPatience)
	h.bed.must("wait for the catalog", err)
	t.add(row, "s", "", seen.Sub(begin).Seconds())
	return w
}

// consumed is how many members a catalog has that Knot DNS is to take in.
const consumed = 100_000

// measureConsume has a new Knot DNS take in all zones of a pool's catalog, from
// nothing but its name.
func measureConsume(ctx context.Context, b *bench, name string) {
	path, err := locate(knot.program)
	b.bed.must("find Knot DNS", err)
	members := min(b.many, consumed)
	b.bed.inside(func(in *bed) {
		h := b.house(ctx, in, name)
		t := b.table(name)
		in.must("make the members", h.fill(ctx, members))
		h.ask = some(members)
		h.start(ctx)
		row := fmt.Sprintf("consume/%d members", members)
		_ = h.catalog(ctx, t, row+", the catalog made").c.Close()

		p := &peer{kind: knot, b: b, bed: in, dir: in.TempDir(), path: path, place: place{name: knot.name, addr: testbed.FreeAddr(in), ask: h.ask}}
		p.args = []string{"-c", p.write("knot.conf", func(w io.Writer) error { return p.consumer(w, h.addr) })}
		in.Cleanup(p.stop)
		since, begin := usedBy(h), time.Now()
		p.start(ctx)
		questions := make([][]byte, members)
		for i := range questions {
			questions[i] = question{zone: smallZone(i), typ: zone.TypeSOA}.frame()[wire.LengthPrefix:]
		}
		in.must("wait until Knot DNS serves all members", eventually(ctx, time.Second, func() bool {
			answers, lost, err := flood(p.addr, questions, 0)
			return err == nil && answers > 0 && lost < members/100 // which its sockets may lose
		}))
		t.add(row+", all served by Knot DNS", "s", "", time.Since(begin).Seconds())
		t.spent(h, row+", mdns", "s", since, 1, 1)
		t.add(row+", memory of mdns at most", "MB", "", status(h.pid(), "VmHWM"))
		t.add(row+", memory of Knot DNS", "MB", "", memory(p.pid()))
		t.done()
	})
}

// consumer writes the configuration of a Knot DNS that has nothing but the
// catalog.
func (p *peer) consumer(w io.Writer, primary string) error {
	host, port, _ := strings.Cut(primary, ":")
	_, err := fmt.Fprintf(w, `server:
    rundir: %[1]q
    listen: 127.0.0.1@%[2]s
    udp-workers: %[3]d
    tcp-workers: %[3]d
    background-workers: %[3]d
log:
  - target: stderr
    any: error
database:
    storage: %[1]q
remote:
  - id: mdns
    address: %[4]s@%[5]s
template:
  - id: default
    storage: %[1]q
    master: mdns
  - id: member
    storage: %[1]q
    master: mdns
    journal-content: none
    zonefile-sync: -1
zone:
  - domain: %[6]s
    catalog-role: interpret
    catalog-template: member
`, p.dir, p.port(), workers, host, port, catalogZone)
	return err
}

// eventually waits until something is so, and looks every so often.
func eventually(ctx context.Context, every time.Duration, so func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for !so() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}
