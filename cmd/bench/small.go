package main

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"dnsctl/wire"
	"dnsctl/zone"
)

// smallZones transfers the small zones with 8 clients: each once, or one after
// the other until b.sample has passed, which ends the former as well unless it is
// whole.
func (b *bench) smallZones(p *place, s shape) (wall float64, zones int) {
	var key *wire.Key
	if s.signed {
		key = &p.key
	}
	frames := make([][]byte, b.zones)
	for i := range frames {
		frames[i] = question{zone: smallZone(i), typ: zone.TypeAXFR, key: key}.frame()
	}
	var next, done atomic.Int64
	begin := time.Now()
	err := at(manyConns, func(int) error {
		for s.whole || time.Since(begin) < b.sample {
			from := int(next.Add(int64(s.perConn))) - s.perConn
			if from >= len(frames) && s.once {
				return nil
			}
			from %= len(frames)
			some := frames[from:min(from+s.perConn, len(frames))]
			if err := onOneConn(p.addr, some, s.pipelined, smallSize+1); err != nil {
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
	s, err := dial(addr, nil)
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
	once, signed       bool
	whole              bool // all zones, however long that takes
}

var (
	smallCold   = shape{name: "cold 50 per connection", perConn: 50, pipelined: 1, once: true}
	smallShapes = []shape{{name: "warm 50 per connection", perConn: 50, pipelined: 1}, {name: "warm 1 per connection", perConn: 1, pipelined: 1},
		{name: "warm pipelined by 10", perConn: 50, pipelined: 10}}
	smallAll    = shape{perConn: 50, pipelined: 10, once: true, whole: true}
	smallSigned = shape{name: "warm TSIG 50 per connection", perConn: 50, pipelined: 1, signed: true}
)

func measureSmall(ctx context.Context, b *bench, name string) {
	s := b.loaded(ctx, name)
	t := b.table(name)
	for range b.repeat {
		s.stop()
		s.start(ctx)
		for _, c := range slices.Concat([]shape{smallCold}, smallShapes, []shape{smallSigned}) {
			since := usedBy(s)
			wall, zones := b.smallZones(s.desc(), c)
			t.add("small/"+c.name, "zones/s", "", float64(zones)/wall)
			t.spent(s, "small/"+c.name, "us/zone", since, float64(zones), 1e6)
		}
	}
	t.done()
}
