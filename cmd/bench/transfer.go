package main

import (
	"context"
	"crypto/tls"
	"time"

	"dnsctl/wire"
	"dnsctl/zone"
)

const (
	manyConns = 8
	tooLong   = 5 * time.Second // what takes a server longer is measured once only
)

// big transfers the big zone on some connections at once: on each once, or again
// and again until b.sample has passed; over TLS where there are
// settings for it.
func (b *bench) big(addr string, conf *tls.Config, key *wire.Key, conns int, once bool) (wall float64, got transferred) {
	frames := make([][]byte, conns)
	for i := range frames {
		frames[i] = question{zone: bigZone, typ: zone.TypeAXFR, key: key}.frame()
	}
	all := make([]transferred, conns)
	begin := time.Now()
	err := at(conns, func(i int) error {
		for n := 0; n == 0 || !once && time.Since(begin) < b.sample; n++ {
			one, err := transfer(addr, conf, frames[i], b.records+1) // the SOA comes twice
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
	h, ours := s.(*house) // others have the zone in memory when they have started
	p := s.desc()
	t := b.table(name)
	slow := make(map[string]bool)
	for range b.repeat {
		s.stop()
		s.start(ctx)
		before, kept := memory(s.pid()), 0.0
		for _, c := range []struct {
			name  string
			key   *wire.Key
			conns int
			once  bool
			ours  bool
			tls   bool
		}{
			// Of mdns the first transfer loads the zone, the second makes its messages;
			// later ones send these.
			{name: "cold", conns: 1, once: true}, {name: "second", conns: 1, once: true, ours: true}, {name: "warm", conns: 1}, {name: "warm 8 connections", conns: manyConns},
			{name: "warm TSIG", key: &p.key, conns: 1}, {name: "warm TSIG 8 connections", key: &p.key, conns: manyConns},
			{name: "warm TLS", conns: 1, tls: true}, {name: "warm TLS 8 connections", conns: manyConns, tls: true},
		} {
			if c.ours && !ours || c.tls && p.tls == nil || slow[c.name] {
				continue
			}
			addr, conf := p.addr, (*tls.Config)(nil)
			if c.tls {
				addr, conf = p.tlsAddr, p.tls
			}
			since := usedBy(s)
			wall, got := b.big(addr, conf, c.key, c.conns, c.once)
			slow[c.name] = wall > tooLong.Seconds()
			t.add("axfr/"+c.name, "records/s", "", float64(got.records)/wall)
			t.spent(s, "axfr/"+c.name, "s/million", since, float64(got.records), 1e6)
			if c.name == "cold" {
				t.add("axfr/cold first message", "ms", "", got.first.Seconds()*1000)
			}
			if !c.once && c.conns == 1 {
				t.add("axfr/"+c.name, "octets/record", "", float64(got.octets)/float64(got.records))
			}
			if c.name == "cold" && ours {
				kept = h.metric(ctx, cacheBytes)
			}
			if c.name == "second" {
				t.add("axfr/memory of an image beside its messages", "times", "", h.grown(ctx, kept)/float64(got.octets))
			}
			if c.name == "warm" && ours {
				t.add("axfr/memory of the zone", "octets/record", "", (memory(s.pid())-before)*(1<<20)/float64(b.records))
			}
		}
		t.add("axfr/memory after", "MB", "", memory(s.pid()))
		if !ours {
			continue
		}
		s.stop()
		s.start(ctx)
		wall, got := b.big(p.addr, nil, &p.key, 1, true)
		t.add("axfr/cold TSIG", "records/s", "", float64(got.records)/wall)
	}
	t.done()
}

// grown is by how much mdns keeps more than it did, as soon as it does.
func (h *house) grown(ctx context.Context, kept float64) float64 {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(2 * time.Second); ; <-tick.C {
		if now := h.metric(ctx, cacheBytes); now > kept || time.Now().After(end) {
			return now - kept
		}
	}
}
