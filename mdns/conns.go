package mdns

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// clientOf is whom an address belongs to, as far as limits are concerned: of IPv6
// a client has a whole /64.
func clientOf(a netip.Addr) netip.Addr {
	if a = a.Unmap().WithZone(""); a.Is6() {
		p, _ := a.Prefix(64)
		return p.Addr()
	}
	return a
}

// tally counts by client and in all, up to limits.
type tally struct {
	max, maxClient int
	all            int
	clients        map[netip.Addr]int
}

// full is what add says where the limit in all forbids it.
const full = "limit"

// add counts one more, or says which limit forbids it.
func (t *tally) add(a netip.Addr) (refused string) {
	switch {
	case t.clients[a] >= t.maxClient:
		return "client limit"
	case t.all >= t.max:
		return full
	}
	t.all++
	t.clients[a]++
	return ""
}

func (t *tally) remove(a netip.Addr) {
	t.all--
	if t.clients[a]--; t.clients[a] == 0 {
		delete(t.clients, a)
	}
}

// connTable is the open TCP connections; it holds the limits.
type connTable struct {
	m *metrics

	mu      sync.Mutex
	open    map[*tcpConn]struct{}
	conns   tally
	shaking tally // of them, those whose TLS handshake is not finished
	closing atomic.Bool
	empty   chan struct{} // closed when draining and no connection is left
}

func newConnTable(cfg *Config, m *metrics) *connTable {
	return &connTable{
		m: m, open: map[*tcpConn]struct{}{}, empty: make(chan struct{}),
		conns:   tally{max: cfg.MaxConns, maxClient: cfg.MaxConnsClient, clients: map[netip.Addr]int{}},
		shaking: tally{max: cfg.TLS.MaxHandshakes, maxClient: cfg.TLS.MaxHandshakesClient, clients: map[netip.Addr]int{}},
	}
}

// admit takes a connection in, or says which limit forbids it. Where there are
// too many in all, one that waits for its client is closed instead: those who hold
// connections and ask nothing do not keep others out. One over TLS has to say
// shaken as well.
func (t *connTable) admit(c *tcpConn) (refused string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closing.Load() {
		return "stopping"
	}
	refused = t.conns.add(c.client)
	if refused == full && t.makeRoom((*tcpConn).waits) {
		refused = t.conns.add(c.client)
	}
	if refused != "" {
		return refused
	}
	if c.tls != nil {
		refused = t.shaking.add(c.client)
		if refused == full && t.makeRoom(func(o *tcpConn) bool { return o.shaking }) {
			refused = t.shaking.add(c.client)
		}
		if refused != "" {
			t.conns.remove(c.client)
			return "handshake " + refused
		}
		c.shaking = true
	}
	t.open[c] = struct{}{}
	t.m.conns.Set(float64(len(t.open)))
	t.m.connsTotal.Inc()
	return ""
}

// spare closes a connection that waits for its client.
func (t *connTable) spare() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.makeRoom((*tcpConn).waits)
}

// maxLooks is how many connections are looked at for one that can be closed: few
// are at work when there are too many, and else looking at all would cost more than
// the new one is worth.
const maxLooks = 64

// makeRoom closes any connection that fits, and no longer counts it. The map's
// order is random, so that nobody can choose whose it is.
func (t *connTable) makeRoom(fits func(*tcpConn) bool) bool {
	looks := 0
	for c := range t.open {
		if looks++; looks > maxLooks {
			return false
		}
		if !c.evicted.Load() && fits(c) {
			c.evicted.Store(true)
			t.uncount(c)
			_ = c.pace.Close()
			return true
		}
	}
	return false
}

// uncount takes a connection out of the tallies.
func (t *connTable) uncount(c *tcpConn) {
	t.conns.remove(c.client)
	if c.shaking {
		c.shaking = false
		t.shaking.remove(c.client)
	}
}

// shaken says that the TLS handshake is over.
func (t *connTable) shaken(c *tcpConn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c.shaking {
		c.shaking = false
		t.shaking.remove(c.client)
	}
}

func (t *connTable) leave(c *tcpConn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.open, c)
	if !c.evicted.Load() {
		t.uncount(c)
	}
	t.m.conns.Set(float64(len(t.open)))
	if t.closing.Load() && len(t.open) == 0 {
		close(t.empty)
	}
}

// drain lets no more connections in and wakes those that wait for a query; those
// at work end after it. The channel is closed when all have ended.
func (t *connTable) drain() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closing.Store(true)
	if len(t.open) == 0 {
		close(t.empty)
	}
	for c := range t.open {
		_ = c.pace.SetReadDeadline(time.Unix(1, 0))
	}
	return t.empty
}

func (t *connTable) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.open)
}

func (t *connTable) closeAll() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for c := range t.open {
		_ = c.pace.Close()
	}
}
