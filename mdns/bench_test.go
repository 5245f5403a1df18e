package mdns

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"dnsctl/fleet"
	"dnsctl/wire"
	"dnsctl/zone"
)

func BenchmarkAXFR(b *testing.B) {
	for _, signed := range []bool{false, true} {
		b.Run(fmt.Sprintf("tsig=%v", signed), func(b *testing.B) {
			m := newMemory()
			s := big(b, "big.example.", 1, 1_000_000)
			m.create(s)
			m.addKey(b, "pool.key.", "hmac-sha256.", keySecret, fleet.Scope{PoolID: testPool})
			r := start(b, m, func(c *Config) { c.CacheBytes = 8 << 30 })
			q := transferQuery("big.example.", zone.TypeAXFR, 0)
			key := wire.Key{Name: n("pool.key."), Algorithm: wire.HMACSHA256, Secret: []byte(keySecret)}
			if signed {
				q, _ = wire.SignRequest(q, 0, key, time.Now())
			}
			e := r.index.apex(n("big.example."), scope{pools: []int64{testPool}})
			if _, err := r.cache.get(context.Background(), e); err != nil {
				b.Fatal(err)
			}
			c, err := net.Dial("tcp", r.addr)
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			buf := make([]byte, 1<<20)
			for b.Loop() {
				if err := wire.WriteFrame(c, q); err != nil {
					b.Fatal(err)
				}
				// Raw reading: only the frames' counts are looked at.
				for got := 0; got <= s.Records(); {
					msg, err := wire.ReadFrame(c, buf)
					if err != nil {
						b.Fatal(err)
					}
					h, _ := wire.ParseHeader(msg)
					got += int(h.Counts[1])
				}
			}
			b.ReportMetric(float64(b.N)*float64(s.Records())/b.Elapsed().Seconds(), "records/s")
		})
	}
}

// BenchmarkSOA is one SOA question answered by the handler, without sockets.
func BenchmarkSOA(b *testing.B) {
	m := newMemory()
	for i := range 10000 {
		m.create(big(b, fmt.Sprintf("zone%d.example.", i), 1, 1))
	}
	m.addKey(b, "pool.key.", "hmac-sha256.", keySecret, fleet.Scope{PoolID: testPool})
	r := start(b, m, nil)
	key := wire.Key{Name: n("pool.key."), Algorithm: wire.HMACSHA256, Secret: []byte(keySecret)}
	for _, signed := range []bool{false, true} {
		b.Run(fmt.Sprintf("tsig=%v", signed), func(b *testing.B) {
			q := transferQuery("zone77.example.", zone.TypeSOA, 0)
			if signed {
				q, _ = wire.SignRequest(q, 0, key, time.Now())
			}
			req := r.newRequest(true)
			out := make([]byte, 0, 4096)
			b.ReportAllocs()
			for b.Loop() {
				if got, err := req.handle(context.Background(), q, out, netip.MustParseAddrPort("127.0.0.1:5"), nil); err != nil || len(got) < 50 {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkUDP is SOA questions over UDP, windows of 64 under way on each of two
// sockets.
func BenchmarkUDP(b *testing.B) {
	m := newMemory()
	for i := range 10000 {
		m.create(big(b, fmt.Sprintf("zone%d.example.", i), 1, 1))
	}
	r := start(b, m, nil)
	b.RunParallel(func(pb *testing.PB) {
		c, err := net.Dial("udp", r.addr)
		if err != nil {
			b.Error(err)
			return
		}
		defer c.Close()
		buf := make([]byte, 4096)
		for i := 0; ; {
			k := 0
			for ; k < 64 && pb.Next(); k++ {
				i++
				_, _ = c.Write(transferQuery(fmt.Sprintf("zone%d.example.", i%10000), zone.TypeSOA, 0))
			}
			if k == 0 {
				return
			}
			_ = c.SetReadDeadline(time.Now().Add(time.Second))
			for ; k > 0; k-- {
				if _, err := c.Read(buf); err != nil {
					break // lost
				}
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "queries/s")
}

// BenchmarkSmallZones is AXFR of zones of ten records, pipelined by ten on one
// connection.
func BenchmarkSmallZones(b *testing.B) {
	m := newMemory()
	for i := range 1000 {
		m.create(big(b, fmt.Sprintf("zone%d.example.", i), 1, 7))
	}
	r := start(b, m, nil)
	b.RunParallel(func(pb *testing.PB) {
		c, err := net.Dial("tcp", r.addr)
		if err != nil {
			b.Error(err)
			return
		}
		defer c.Close()
		in := bufio.NewReaderSize(c, 65536)
		var q, buf []byte
		for i := 0; ; {
			k := 0
			q = q[:0]
			for ; k < 10 && pb.Next(); k++ {
				i++
				one := transferQuery(fmt.Sprintf("zone%d.example.", i%1000), zone.TypeAXFR, 0)
				q = append(append(q, 0, byte(len(one))), one...)
			}
			if k == 0 {
				return
			}
			if _, err := c.Write(q); err != nil {
				b.Error(err)
				return
			}
			for ; k > 0; k-- {
				if buf, err = wire.ReadFrame(in, buf); err != nil {
					b.Error(err)
					return
				}
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "zones/s")
}
