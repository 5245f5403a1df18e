package dnsclient

import (
	"errors"
	"fmt"
	"net"
	"testing"

	"dnsctl/wire"
	"dnsctl/zone"
)

const (
	loop1 = "\x7f\x00\x00\x01"
	loop2 = "\x7f\x00\x00\x02"
)

func snapshot(t testing.TB, sets ...zone.RRset) *zone.Snapshot {
	t.Helper()
	b := zone.NewBuilder(name("example."), len(sets))
	for _, s := range sets {
		b.Add(s)
	}
	snap, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return snap
}

func text(s *zone.Snapshot) string {
	var out string
	for set := range s.All() {
		out += fmt.Sprintf("%s %d %s %q\n", set.Owner, set.TTL, set.Type, set.Data)
	}
	return out
}

func withTTL(s zone.RRset, ttl uint32) zone.RRset { s.TTL = ttl; return s }

func TestIXFRTakesEveryFormOfAnswer(t *testing.T) {
	t.Parallel()
	soa := func(n zone.Serial) zone.RRset { return soaSet("example.", n) }
	a := func(owner string, d ...string) zone.RRset { return set(owner, zone.TypeA, d...) }
	from := snapshot(t, soa(7), a("A.example.", loop1), a("b.example.", loop1))
	for _, c := range []struct {
		name string
		sets [][]zone.RRset // a message each
		want *zone.Snapshot // nil: an error of kind
		kind error
	}{
		{name: "single SOA, same", sets: [][]zone.RRset{{soa(7)}}, want: from},
		{name: "single SOA, older", sets: [][]zone.RRset{{soa(6)}}, want: from},
		{name: "single SOA, older across the wrap", sets: [][]zone.RRset{{soa(1<<32 - 5)}}, want: from},
		{name: "single SOA, newer", sets: [][]zone.RRset{{soa(8)}}, kind: ErrCut},
		{name: "whole zone", sets: [][]zone.RRset{{soa(9), a("c.example.", loop2), soa(9)}}, want: snapshot(t, soa(9), a("c.example.", loop2))},
		{name: "whole zone, SOA alone first", sets: [][]zone.RRset{{soa(9)}, {a("c.example.", loop2), soa(9)}}, want: snapshot(t, soa(9), a("c.example.", loop2))},
		{name: "whole zone of an SOA", sets: [][]zone.RRset{{soa(9), soa(9)}}, want: snapshot(t, soa(9))},
		{
			name: "one delta", sets: [][]zone.RRset{{soa(8), soa(7), a("a.example.", loop1), soa(8), a("B.example.", loop2), soa(8)}},
			want: snapshot(t, soa(8), a("b.example.", loop1, loop2)),
		},
		{
			name: "SOA only", sets: [][]zone.RRset{{soa(8), soa(7), soa(8), soa(8)}},
			want: snapshot(t, soa(8), a("A.example.", loop1), a("b.example.", loop1)),
		},
		{
			name: "three deltas in as many messages as records",
			sets: [][]zone.RRset{
				{soa(10)},
				{soa(7)},
				{a("a.example.", loop1)},
				{soa(8)},
				{soa(8), soa(9), a("c.example.", loop1)},
				{soa(9), a("c.example.", loop1)},
				{soa(10), a("d.example.", loop1)},
				{soa(10)},
			},
			want: snapshot(t, soa(10), a("b.example.", loop1), a("d.example.", loop1)),
		},
		{
			name: "a TTL changes",
			sets: [][]zone.RRset{{soa(8), soa(7), a("b.example.", loop1), soa(8), withTTL(a("b.example.", loop1), 5), soa(8)}},
			want: snapshot(t, soa(8), a("A.example.", loop1), withTTL(a("b.example.", loop1), 5)),
		},
		{name: "not our version", sets: [][]zone.RRset{{soa(8), soa(6), soa(8), soa(8)}}, kind: ErrMismatch},
		{name: "removes what is not there", sets: [][]zone.RRset{{soa(8), soa(7), a("x.example.", loop1), soa(8), soa(8)}}, kind: zone.ErrDelta},
		{name: "second delta does not follow", sets: [][]zone.RRset{{soa(9), soa(7), soa(8), soa(7), soa(9), soa(9)}}, kind: zone.ErrDelta},
		{name: "goes back", sets: [][]zone.RRset{{soa(9), soa(7), soa(6), soa(9)}}, kind: ErrMalformed},
		{name: "goes past the target", sets: [][]zone.RRset{{soa(8), soa(7), soa(9), soa(9), soa(8), soa(8)}}, kind: ErrMalformed},
		{name: "ends in the middle", sets: [][]zone.RRset{{soa(9), soa(7), soa(8)}}, kind: ErrCut},
		{name: "more behind", sets: [][]zone.RRset{{soa(8), soa(7), soa(8), soa(8), a("z.example.", loop1)}}, kind: ErrMalformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			addr := fakeTCP(t, func(conn net.Conn, q []byte) {
				p, err := wire.ParseQuery(q)
				if err != nil || p.Serial != 7 || p.Question.Type != zone.TypeIXFR {
					t.Errorf("request %+v, %v", p, err)
				}
				for _, sets := range c.sets {
					frames(conn, message(q, wire.FlagAA, sets...))
				}
			})
			got, err := new(Client).IXFR(t.Context(), addr, from, nil, TransferOptions{})
			switch {
			case c.want == nil:
				if !errors.Is(err, c.kind) {
					t.Errorf("got %v, want %v", err, c.kind)
				}
			case err != nil:
				t.Error(err)
			case text(got) != text(c.want):
				t.Errorf("got\n%swant\n%s", text(got), text(c.want))
			case c.want == from && got != from:
				t.Error("a new snapshot for nothing new")
			}
		})
	}
}

func TestIXFRThatIsRefusedSaysWhatToDo(t *testing.T) {
	t.Parallel()
	addr := fakeTCP(t, func(conn net.Conn, q []byte) { frames(conn, message(q, wire.Flags(wire.RcodeNotImp))) })
	_, err := new(Client).IXFR(t.Context(), addr, snapshot(t, soaSet("example.", 7)), nil, TransferOptions{})
	var e *Error
	if !errors.Is(err, ErrNotImp) || !errors.As(err, &e) || e.Hint() != "the server does not do IXFR; transfer the whole zone" {
		t.Errorf("got %v", err)
	}
}
