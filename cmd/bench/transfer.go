package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"dnsctl/wire"
	"dnsctl/zone"
)

const manyConns = 8

// big transfers the big zone on some connections at once: on each once, or again
// and again until b.sample has passed.
func (b *bench) big(addr string, key *wire.Key, conns int, once bool) (wall float64, got transferred) {
	frames := make([][]byte, conns)
	for i := range frames {
		frames[i] = question{zone: bigZone, typ: zone.TypeAXFR, key: key}.frame()
	}
	all := make([]transferred, conns)
	begin := time.Now()
	err := at(conns, func(i int) error {
		for n := 0; n == 0 || !once && time.Since(begin) < b.sample; n++ {
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

// spent adds what a server has used since a moment, over a number of things, to
// a table; scale makes the unit of seconds.
func (t *table) spent(s server, name, unit string, since [2]float64, things, scale float64) {
	own, database := s.used()
	t.add(name+" cpu", unit, "", (own-since[0])/things*scale)
	if database > 0 {
		t.add(name+" cpu of PostgreSQL", unit, "", (database-since[1])/things*scale)
	}
}

func usedBy(s server) [2]float64 {
	own, database := s.used()
	return [2]float64{own, database}
}

func measureAXFR(ctx context.Context, b *bench, name string) {
	s := b.loaded(ctx, name)
	_, ours := s.(*house) // others have the zone in memory when they have started
	p := s.desc()
	t := b.table(name)
	for range b.repeat {
		s.stop()
		s.start(ctx)
		before := memory(s.pid())
		for _, c := range []struct {
			name  string
			key   *wire.Key
			conns int
			once  bool
			ours  bool
		}{
			// Of mdns the first transfer loads the zone, the second makes its messages;
			// later ones send these.
			{"cold", nil, 1, true, false}, {"second", nil, 1, true, true}, {"warm", nil, 1, false, false}, {"warm 8 connections", nil, manyConns, false, false},
			{"warm TSIG", &p.key, 1, false, false}, {"warm TSIG 8 connections", &p.key, manyConns, false, false},
		} {
			if c.ours && !ours {
				continue
			}
			since := usedBy(s)
			wall, got := b.big(p.addr, c.key, c.conns, c.once)
			t.add("axfr/"+c.name, "records/s", "", float64(got.records)/wall)
			t.spent(s, "axfr/"+c.name, "s/million", since, float64(got.records), 1e6)
			if c.name == "cold" {
				t.add("axfr/cold first message", "ms", "", got.first.Seconds()*1000)
			}
			if !c.once && c.conns == 1 {
				t.add("axfr/"+c.name, "octets/record", "", float64(got.octets)/float64(got.records))
			}
			if c.name == "warm" && ours {
				t.add("axfr/memory of the zone", "octets/record", "", (memory(s.pid())-before)*(1<<20)/float64(b.records))
			}
		}
		t.add("axfr/memory after", "MB", "", memory(s.pid()))
	}
	t.done()
}

// measureLimit serves messages that were made beforehand.
func measureLimit(_ context.Context, b *bench, name string) {
	const size, each = 60 << 10, 1800
	whole := wire.Header{ID: 1, Flags: wire.FlagQR, Counts: [4]uint16{0, each}}.Append(make([]byte, wire.LengthPrefix, size))[:size]
	wire.PutLength(whole)
	t := b.table(name)
	for range b.repeat {
		b.prepacked(whole, true, func(addr string) {
			for _, conns := range []int{1, manyConns} {
				row := "axfr/warm"
				if conns > 1 {
					row += " 8 connections"
				}
				wall, got := b.big(addr, nil, conns, false)
				t.add(row, "records/s", "", float64(got.records)/wall)
			}
		})
		// About as long as a small zone's transfer.
		small := wire.Header{ID: 1, Flags: wire.FlagQR, Counts: [4]uint16{0, smallSize + 1}}.Append(make([]byte, wire.LengthPrefix, 400))[:400]
		wire.PutLength(small)
		b.prepacked(small, false, func(addr string) {
			for _, c := range smallShapes {
				wall, zones := b.smallZones(addr, c)
				t.add("small/"+c.name, "zones/s", "", float64(zones)/wall)
			}
		})
	}
	t.done()
}

// prepacked listens and sends a message for each question, or endlessly after
// the first.
func (b *bench) prepacked(msg []byte, endless bool, f func(addr string)) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	b.bed.must("listen", err)
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go prepackedConn(c, msg, endless)
		}
	}()
	f(l.Addr().String())
}

func prepackedConn(c net.Conn, msg []byte, endless bool) {
	defer c.Close()
	in := make([]byte, 16<<10)
	have := 0
	var out []byte
	for {
		n, err := c.Read(in[have:])
		if err != nil {
			return
		}
		have += n
		out = out[:0]
		pos := 0
		for have-pos >= wire.LengthPrefix {
			length := wire.LengthPrefix + int(in[pos])<<8 + int(in[pos+1])
			if have-pos < length {
				break
			}
			pos += length
			out = append(out, msg...)
		}
		have = copy(in, in[pos:have])
		for {
			if _, err := c.Write(out); err != nil {
				return
			}
			if !endless {
				break
			}
		}
	}
}

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

// smallZones transfers the small zones with 8 clients: each once, or one after
// the other until b.sample has passed, which ends the former as well.
func (b *bench) smallZones(addr string, s shape) (wall float64, zones int) {
	frames := make([][]byte, b.zones)
	for i := range frames {
		frames[i] = question{zone: smallZone(i), typ: zone.TypeAXFR}.frame()
	}
	var next, done atomic.Int64
	begin := time.Now()
	err := at(manyConns, func(int) error {
		for time.Since(begin) < b.sample {
			from := int(next.Add(int64(s.perConn))) - s.perConn
			if from >= len(frames) && s.once {
				return nil
			}
			from %= len(frames)
			some := frames[from:min(from+s.perConn, len(frames))]
			if err := onOneConn(addr, some, s.pipelined, smallSize+1); err != nil {
				return err
			}
			done.Add(int64(len(some)))
		}
		return nil
	})
	wall = time.Since(begin).Seconds()
	b.bed.must("transfer small zones", err)
	return wall, int(done.Load())
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

// shape is how small zones are asked for.
type shape struct {
	name               string
	perConn, pipelined int
	once               bool
}

var smallShapes = []shape{{"warm 50 per connection", 50, 1, false}, {"warm 1 per connection", 1, 1, false}, {"warm pipelined by 10", 50, 10, false}}

func measureSmall(ctx context.Context, b *bench, name string) {
	s := b.loaded(ctx, name)
	t := b.table(name)
	for range b.repeat {
		s.stop()
		s.start(ctx)
		for _, c := range append([]shape{{"cold 50 per connection", 50, 1, true}}, smallShapes...) {
			since := usedBy(s)
			wall, zones := b.smallZones(s.desc().addr, c)
			t.add("small/"+c.name, "zones/s", "", float64(zones)/wall)
			t.spent(s, "small/"+c.name, "us/zone", since, float64(zones), 1e6)
		}
	}
	t.done()
}

// ixfrChanges is how many versions the client is behind.
const ixfrChanges = 20

func measureIXFR(ctx context.Context, b *bench, name string) {
	s := b.loaded(ctx, name)
	if p, ok := s.(*peer); ok && p.noIXFR != "" {
		b.bed.Fatalf("%s", p.noIXFR)
	}
	addr := s.desc().addr
	w, err := watchSOA(addr, bigZone)
	b.bed.must("ask for the serial", err)
	defer w.c.Close()
	from, ok, err := w.serial()
	if !ok || err != nil {
		b.bed.Fatalf("ask for the serial of the big zone: %v", err)
	}
	for n := range ixfrChanges {
		s.change(ctx, n)
	}
	_, err = w.until(ctx, from+ixfrChanges, 10*time.Second)
	b.bed.must("wait for the changes", err)
	frame := question{zone: bigZone, typ: zone.TypeIXFR, serial: from}.frame()
	// The SOA at both ends, and what went and what came, each behind an SOA: for
	// every change, or for all in one (RFC 1995 section 5).
	const least, most = 2 + 2 + ixfrChanges*2, 2 + ixfrChanges*4
	records, err := sizeOf(addr, frame)
	b.bed.must("ask for the changes", err)
	if records < least || records > most {
		b.bed.Fatalf("%d changes come as %d records, not as %d to %d", ixfrChanges, records, least, most)
	}
	t := b.table(name)
	t.add(fmt.Sprintf("ixfr/%d changes", ixfrChanges), "records", "", float64(records))
	for range b.repeat {
		since := usedBy(s)
		var transfers atomic.Int64
		begin := time.Now()
		err := at(manyConns, func(int) error {
			for time.Since(begin) < b.sample {
				frames := make([][]byte, 50)
				for i := range frames {
					frames[i] = frame
				}
				if err := onOneConn(addr, frames, 1, records); err != nil {
					return err
				}
				transfers.Add(int64(len(frames)))
			}
			return nil
		})
		wall := time.Since(begin).Seconds()
		b.bed.must("transfer changes", err)
		n := float64(transfers.Load())
		t.add(fmt.Sprintf("ixfr/%d changes", ixfrChanges), "transfers/s", "", n/wall)
		t.spent(s, fmt.Sprintf("ixfr/%d changes", ixfrChanges), "us/transfer", since, n, 1e6)
	}
	t.done()
}

// sizeOf is how many records an answer has: those that come until the server
// has nothing more to send for a while.
func sizeOf(addr string, frame []byte) (int, error) {
	s, err := dial(addr)
	if err != nil {
		return 0, err
	}
	defer s.Close()
	if _, err := s.Write(frame); err != nil {
		return 0, err
	}
	for {
		err := s.message()
		var slow net.Error
		switch {
		case errors.As(err, &slow) && slow.Timeout() && s.records > 0:
			return s.records, nil
		case err != nil:
			return 0, err
		}
		_ = s.SetDeadline(time.Now().Add(time.Second))
	}
}
