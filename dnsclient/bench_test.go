package dnsclient

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"dnsctl/testbed"
	"dnsctl/wire"
	"dnsctl/zone"
)

// BenchmarkSweep asks named for the SOA of zones; one operation is a question.
func BenchmarkSweep(b *testing.B) {
	const count = 2000
	zones := make(map[string]string, count)
	for i := range count {
		zones[fmt.Sprintf("z%d.example", i)] = "$TTL 60\n@ SOA ns hostmaster 7 60 60 600 60\n@ NS ns\nns A 127.0.0.1\n"
	}
	n := testbed.StartNamed(b, testbed.NamedOptions{Zones: zones, Config: keyConfig()})
	names := make([]zone.Name, count)
	for i := range names {
		names[i] = name(fmt.Sprintf("z%d.example.", i))
	}
	p := patient(b)
	for what, key := range map[string]*wire.Key{"unsigned": nil, "signed": testKey()} {
		b.Run(what, func(b *testing.B) {
			b.ReportAllocs()
			items := func(yield func(Probe) bool) {
				for i := range b.N {
					if !yield(Probe{Server: address(n), Zone: names[i%count], Key: key}) {
						return
					}
				}
			}
			err := p.Sweep(b.Context(), items, SweepOptions{}, func(r Result) error {
				if !r.Serves() || r.Serial != 7 {
					return fmt.Errorf("%+v", r)
				}
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "questions/s")
		})
	}
}

// BenchmarkTransfer reads a zone of 200,000 records that a server sends from
// memory; one operation is a transfer.
func BenchmarkTransfer(b *testing.B) {
	key := testKey()
	answer := func(q []byte) [][]byte {
		msgs := [][]byte{message(q, wire.FlagAA, soaSet("example.", 7))}
		for i := 0; i < 200_000; i += 500 {
			sets := make([]zone.RRset, 0, 500)
			for j := range 500 {
				owner := name(strings.Repeat("host", 2) + fmt.Sprint(i+j) + ".example.")
				sets = append(sets, zone.RRset{Owner: owner, Type: zone.TypeA, TTL: 60, Data: zone.PackRdata(loop1)})
			}
			msgs = append(msgs, message(q, wire.FlagAA, sets...))
		}
		return append(msgs, message(q, wire.FlagAA, soaSet("example.", 7)))
	}
	for what, key := range map[string]*wire.Key{"unsigned": nil, "signed": key} {
		b.Run(what, func(b *testing.B) {
			var kept [][]byte
			addr := fakeTCP(b, func(conn net.Conn, q []byte) {
				if kept == nil {
					kept = answer(q)
				}
				msgs := make([][]byte, len(kept))
				for i, m := range kept {
					msgs[i] = setID(m, idOf(q))
				}
				if key != nil {
					msgs = signed(q, key, msgs...)
				}
				frames(conn, msgs...)
			})
			b.ReportAllocs()
			for b.Loop() {
				s, err := new(Client).Transfer(b.Context(), addr, name("example."), key, TransferOptions{})
				if err != nil || s.Records() != 200_001 {
					b.Fatalf("%v", err)
				}
			}
			b.ReportMetric(float64(b.N)*200_001/b.Elapsed().Seconds(), "records/s")
		})
	}
}
