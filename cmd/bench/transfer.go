package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"sync/atomic"
	"time"

	"dnsctl/testbed"
	"dnsctl/wire"
	"dnsctl/zone"
)

const manyConns = 8

// big transfers the big zone on some connections at once, on each some times one
// after the other.
func (b *bench) big(addr string, key *wire.Key, conns, times int) (wall float64, got transferred) {
	frames := make([][]byte, conns)
	for i := range frames {
		frames[i] = question{zone: bigZone, typ: zone.TypeAXFR, key: key}.frame()
	}
	all := make([]transferred, conns)
	begin := time.Now()
	err := at(conns, func(i int) error {
		for range times {
			one, err := transfer(addr, frames[i], b.records+1) // the SOA comes twice
			if err != nil {
				return err
			}
			all[i].records, all[i].octets = all[i].records+one.records, all[i].octets+one.octets
			all[i].first = max(all[i].first, one.first)
		}
		return nil
	})
	wall = time.Since(begin).Seconds()
	b.bed.must("transfer the big zone", err)
	for _, g := range all {
		got.records, got.octets = got.records+g.records, got.octets+g.octets
		got.first = max(got.first, g.first)
	}
	return wall, got
}

func measureAXFR(ctx context.Context, b *bench, store string) {
	h := b.loaded(ctx, store)
	t := b.table(store)
	for range b.repeat {
		h.stop()
		t.add("axfr/start of mdns", "s", "", h.start(ctx).Seconds())
		for _, c := range []struct {
			name         string
			key          *wire.Key
			conns, times int
		}{
			// The first transfer loads the zone, the second makes its messages; later ones
			// send these.
			{"cold", nil, 1, 1}, {"second", nil, 1, 1}, {"warm", nil, 1, 10}, {"warm 8 connections", nil, manyConns, 3},
			{"warm TSIG", &h.key, 1, 10}, {"warm TSIG 8 connections", &h.key, manyConns, 3},
		} {
			mdns, database := h.serverCPU()
			wall, got := b.big(h.addr, c.key, c.conns, c.times)
			mdnsNow, databaseNow := h.serverCPU()
			million := float64(got.records) / 1e6
			t.add("axfr/"+c.name, "records/s", "", float64(got.records)/wall)
			t.add("axfr/"+c.name+" cpu", "s/million", "", (mdnsNow-mdns)/million)
			if c.name == "cold" {
				t.add("axfr/cold first message", "ms", "<= 50", got.first.Seconds()*1000)
			}
			if c.name == "cold" && store == "postgres" {
				t.add("axfr/cold cpu of PostgreSQL", "s/million", "", (databaseNow-database)/million)
			}
			if c.times > 1 && c.conns == 1 {
				t.add("axfr/"+c.name, "octets/record", "", float64(got.octets)/float64(got.records))
			}
		}
		t.add("axfr/memory of mdns", "MB", "", status(h.mdns.Process.Pid, "VmRSS"))
	}
	t.done()
}

// measureNamed is what BIND does as a primary of the same zone, with the same
// client.
func measureNamed(ctx context.Context, b *bench, _ string) {
	b.bed.inside(func(in *bed) {
		n := testbed.StartNamed(in, testbed.NamedOptions{
			Options: "allow-transfer { 127.0.0.1; }; transfers-out 100; minimal-responses yes;",
			Config:  fmt.Sprintf("zone %q { type primary; file %q; };\n", bigZone, b.bigFile),
		})
		w, err := watchSOA(n.Addr, bigZone)
		b.bed.must("ask named", err)
		_, err = w.until(ctx, bigSerial, time.Minute) // it loads zones behind its first answers
		b.bed.must("wait for named", err)
		questions := [][]byte{question{zone: bigZone, typ: zone.TypeSOA}.frame()[wire.LengthPrefix:]}
		t := b.table("named")
		for range b.repeat {
			for _, conns := range []int{1, manyConns} {
				name := "named/axfr"
				if conns > 1 {
					name += " 8 connections"
				}
				before := cpu(n.PID())
				wall, got := b.big(n.Addr, nil, conns, 1)
				t.add(name, "records/s", "", float64(got.records)/wall)
				t.add(name+" cpu", "s/million", "", (cpu(n.PID())-before)/float64(got.records)*1e6)
			}
			b.soa(t, "named/soa", n.Addr, questions, func() float64 { return cpu(n.PID()) })
		}
		t.done()
	})
}

// measureLimit serves messages that were made beforehand.
func measureLimit(_ context.Context, b *bench, _ string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	b.bed.must("listen", err)
	defer l.Close()
	const size, each = 60 << 10, 1800
	msg := wire.Header{ID: 1, Flags: wire.FlagQR, Counts: [4]uint16{0, each}}.Append(make([]byte, wire.LengthPrefix, size))
	msg = msg[:size]
	wire.PutLength(msg)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				if _, err := c.Read(make([]byte, 512)); err != nil {
					return
				}
				for {
					if _, err := c.Write(msg); err != nil {
						return
					}
				}
			}()
		}
	}()
	t := b.table("none")
	for range b.repeat {
		for _, conns := range []int{1, manyConns} {
			const records = 20_000_000
			begin := time.Now()
			err := at(conns, func(int) error {
				_, err := transfer(l.Addr().String(), question{zone: bigZone, typ: zone.TypeAXFR}.frame(), records)
				return err
			})
			b.bed.must("transfer", err)
			t.add(fmt.Sprintf("limit/axfr %d connections", conns), "records/s", "", records*float64(conns)/time.Since(begin).Seconds())
		}
	}
	t.done()
}

// soaTime is how long questions are asked for one sample.
const soaTime = 2 * time.Second

func (b *bench) soa(t *table, name, addr string, questions [][]byte, used func() float64) {
	before, begin := used(), time.Now()
	answers, lost, err := flood(addr, questions, soaTime)
	wall := time.Since(begin).Seconds()
	b.bed.must("ask for SOAs", err)
	if answers == 0 {
		b.bed.Fatalf("ask for SOAs: no answers, %d lost", lost)
	}
	t.add(name, "queries/s", "", float64(answers)/wall)
	t.add(name+" cpu", "us/query", "", (used()-before)/float64(answers)*1e6)
	if lost > 0 {
		t.add(name+" lost", "number", "0", float64(lost))
	}
}

func measureSOA(ctx context.Context, b *bench, store string) {
	h := b.loaded(ctx, store)
	questions := make([][]byte, b.zones)
	for i := range questions {
		questions[i] = question{zone: smallZone(i), typ: zone.TypeSOA}.frame()[wire.LengthPrefix:]
	}
	t := b.table(store)
	for range b.repeat {
		b.soa(t, "soa/10000 zones", h.addr, questions, func() float64 { return cpu(h.mdns.Process.Pid) })
	}
	t.done()
}

// smallZones transfers every small zone once, with 8 clients.
func (b *bench) smallZones(addr string, perConn, pipelined int) (wall float64) {
	frames := make([][]byte, b.zones)
	for i := range frames {
		frames[i] = question{zone: smallZone(i), typ: zone.TypeAXFR}.frame()
	}
	var next atomic.Int64
	begin := time.Now()
	err := at(manyConns, func(int) error {
		for {
			from := int(next.Add(int64(perConn))) - perConn
			if from >= len(frames) {
				return nil
			}
			if err := onOneConn(addr, frames[from:min(from+perConn, len(frames))], pipelined, smallSize+1); err != nil {
				return err
			}
		}
	})
	wall = time.Since(begin).Seconds()
	b.bed.must("transfer small zones", err)
	return wall
}

// onOneConn asks all frames on one connection, some at a time.
func onOneConn(addr string, frames [][]byte, pipelined, records int) error {
	s, err := dial(addr)
	if err != nil {
		return err
	}
	defer s.Close()
	var out []byte
	for done := 0; done < len(frames); {
		out = out[:0]
		n := min(pipelined, len(frames)-done)
		for _, f := range frames[done : done+n] {
			out = append(out, f...)
		}
		if _, err := s.Write(out); err != nil {
			return err
		}
		done += n
		if err := s.count(done * records); err != nil {
			return err
		}
	}
	if s.records != len(frames)*records {
		return errors.New("more records came than the zones have")
	}
	return nil
}

func measureSmall(ctx context.Context, b *bench, store string) {
	h := b.loaded(ctx, store)
	t := b.table(store)
	for range b.repeat {
		h.stop()
		h.start(ctx)
		for _, c := range []struct {
			name, goal         string
			perConn, pipelined int
		}{
			{"cold 50 per connection", ">= 10000", 50, 1}, {"warm 50 per connection", "", 50, 1},
			{"warm 1 per connection", "", 1, 1}, {"warm pipelined by 10", "", 50, 10},
		} {
			mdns, _ := h.serverCPU()
			wall := b.smallZones(h.addr, c.perConn, c.pipelined)
			now, _ := h.serverCPU()
			t.add("small/"+c.name, "zones/s", c.goal, float64(b.zones)/wall)
			t.add("small/"+c.name+" cpu", "us/zone", "", (now-mdns)/float64(b.zones)*1e6)
		}
	}
	t.done()
}

// ixfrChanges is how many versions the client is behind, ixfrTime how long it is
// asked for one sample.
const (
	ixfrChanges = 20
	ixfrTime    = 2 * time.Second
)

func measureIXFR(ctx context.Context, b *bench, store string) {
	h := b.loaded(ctx, store)
	w, err := watchSOA(h.addr, bigZone)
	b.bed.must("ask for the serial", err)
	from, ok, err := w.serial()
	if !ok || err != nil {
		b.bed.Fatalf("ask for the serial of the big zone: %v", err)
	}
	for i := range ixfrChanges {
		h.dnsctl(ctx, "record", "set", bigZone, fmt.Sprintf("h%d", i*20), "A", addressOf(i))
	}
	_, err = w.until(ctx, from+ixfrChanges, 10*time.Second)
	b.bed.must("wait for the changes", err)
	frame := question{zone: bigZone, typ: zone.TypeIXFR, serial: from}.frame()
	// The SOA at both ends; of each change two SOAs, what went and what came.
	const records = 2 + ixfrChanges*4
	t := b.table(store)
	for range b.repeat {
		mdns, database := h.serverCPU()
		var transfers atomic.Int64
		begin := time.Now()
		err := at(manyConns, func(int) error {
			for time.Since(begin) < ixfrTime {
				frames := make([][]byte, 50)
				for i := range frames {
					frames[i] = frame
				}
				if err := onOneConn(h.addr, frames, 1, records); err != nil {
					return err
				}
				transfers.Add(int64(len(frames)))
			}
			return nil
		})
		wall := time.Since(begin).Seconds()
		b.bed.must("transfer changes", err)
		mdnsNow, databaseNow := h.serverCPU()
		n := float64(transfers.Load())
		t.add("ixfr/20 changes", "transfers/s", "", n/wall)
		t.add("ixfr/20 changes cpu", "us/transfer", "", (mdnsNow-mdns)/n*1e6)
		if store == "postgres" {
			t.add("ixfr/20 changes cpu of PostgreSQL", "us/transfer", "", (databaseNow-database)/n*1e6)
		}
	}
	t.done()
}

func addressOf(i int) string { return fmt.Sprintf("198.18.%d.%d", i>>8&255, i&255) }

func zoneFile(dir string, i int) string { return filepath.Join(dir, smallZone(i)+".zone") }
