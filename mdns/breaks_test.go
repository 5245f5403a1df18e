package mdns

import (
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"dnsctl/fleet"
	"dnsctl/testbed"
	"dnsctl/wire"
	"dnsctl/zone"
)

// TestConnectionsThatBreakAnywhereHarmNobody has clients ask for many things in
// one go, cut off anywhere, read some of the answers or none, and leave in one of
// the ways there are, while zones change. In the end nothing is left of them.
func TestConnectionsThatBreakAnywhereHarmNobody(t *testing.T) {
	t.Parallel()
	m := newMemory()
	large := big(t, "large.test.", 1, 20000)
	names := []string{"large.test.", "mid.test.", "small.test."}
	id := m.create(large)
	m.create(big(t, "mid.test.", 1, 1500)) // some more than a message
	m.create(big(t, "small.test.", 1, 5))
	m.addKey(t, "pool.key.", "hmac-sha256.", keySecret, fleet.Scope{PoolID: testPool})
	key := wire.Key{Name: n("pool.key."), Algorithm: wire.HMACSHA256, Secret: []byte(keySecret)}
	ca := testbed.NewCA(t)
	r, overTLS := startTLS(t, m, ca, func(c *Config) { c.Logger, c.CacheBytes = nil, 4<<20 }) // content comes and goes

	clients := 300
	if testing.Short() {
		clients = 60
	}
	var wg sync.WaitGroup
	busy := make(chan struct{}, 20)
	for i := range clients {
		busy <- struct{}{}
		wg.Go(func() {
			defer func() { <-busy }()
			rnd := rand.New(rand.NewPCG(5, uint64(i)))
			var out []byte
			for range 1 + rnd.IntN(30) {
				types := []zone.Type{zone.TypeAXFR, zone.TypeAXFR, zone.TypeIXFR, zone.TypeSOA, zone.TypeANY}
				q := transferQuery(names[rnd.IntN(len(names))], types[rnd.IntN(len(types))], zone.Serial(rnd.IntN(3)))
				switch rnd.IntN(6) {
				case 0:
					q, _ = wire.SignRequest(q, 0, key, time.Now())
				case 1:
					q[rnd.IntN(len(q))] ^= byte(1 + rnd.IntN(255))
				}
				out = append(append(out, byte(len(q)>>8), byte(len(q))), q...)
			}
			if rnd.IntN(3) == 0 {
				out = out[:rnd.IntN(len(out))]
			}
			raw, err := net.Dial("tcp", r.addr)
			if i%4 == 0 {
				raw, err = net.Dial("tcp", overTLS)
			}
			if err != nil {
				t.Error(err)
				return
			}
			defer raw.Close()
			_ = raw.SetDeadline(time.Now().Add(20 * time.Second))
			tcp, c := raw.(*net.TCPConn), raw
			if rnd.IntN(2) == 0 {
				_ = tcp.SetReadBuffer(4096)
			}
			if i%4 == 0 {
				c = tls.Client(raw, clientTLS(ca))
			}
			_, _ = c.Write(out)
			if rnd.IntN(2) == 0 {
				_ = tcp.SetReadDeadline(time.Now().Add(100 * time.Millisecond)) // there may not be as much
				_, _ = io.CopyN(io.Discard, c, rnd.Int64N(int64(1)<<(8+rnd.IntN(14))))
			}
			switch rnd.IntN(4) {
			case 0:
				_ = tcp.SetLinger(0) // a reset
			case 1:
				_ = tcp.CloseWrite()
				_ = tcp.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
				_, _ = io.Copy(io.Discard, c)
			}
		})
		if i%20 == 0 {
			large = put(t, large, "", fmt.Sprintf("new%d.large.test. 60 IN A 192.0.2.1\n", i))
			m.change(id, large)
		}
	}
	wg.Wait()
	testbed.Eventually(t, time.Minute, func() bool { return r.conns.count() == 0 && counter(t, r, "dnsctl_mdns_transfers") == 0 })
	follows(t, r, m)
	c := dial(t, r.addr)
	for _, name := range names {
		if got := rcodeOf(t, c, transferQuery(name, zone.TypeSOA, 0)); got != wire.RcodeSuccess {
			t.Errorf("%s: %s", name, got)
		}
	}
	_, recs, datas, _ := fetchOn(t, c, transferQuery("large.test.", zone.TypeAXFR, 0), nil)
	same(t, large, recs, datas)
	c.Close()
	testbed.Eventually(t, time.Minute, func() bool { return r.conns.count() == 0 })
	r.conns.mu.Lock()
	defer r.conns.mu.Unlock()
	if len(r.conns.conns.clients)+r.conns.conns.all+len(r.conns.shaking.clients)+r.conns.shaking.all != 0 {
		t.Errorf("still counted: %+v %+v", r.conns.conns, r.conns.shaking)
	}
}
