package mdns

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// tally counts by client and in all, up to limits.
type tally struct {
	max, maxClient int
	all            int
	clients        map[netip.Addr]int
}

// add counts one more, or says which limit forbids it.
func (t *tally) add(a netip.Addr) (refused string) {
	switch {
	case t.all >= t.max:
		return "limit"
	case t.clients[a] >= t.maxClient:
		return "client limit"
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

// admit takes a connection in, or says which limit forbids it. One over TLS has
// to say shaken as well.
func (t *connTable) admit(c *tcpConn) (refused string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closing.Load() {
		return "stopping"
	}
	addr := c.peer.Addr()
	if refused = t.conns.add(addr); refused != "" {
		return refused
	}
	if c.tls != nil {
		if refused = t.shaking.add(addr); refused != "" {
			t.conns.remove(addr)
			return "handshake " + refused
		}
	}
	t.open[c] = struct{}{}
	t.m.conns.Set(float64(len(t.open)))
	t.m.connsTotal.Inc()
	return ""
}

// shaken says that the TLS handshake is over.
func (t *connTable) shaken(c *tcpConn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.shaking.remove(c.peer.Addr())
}

func (t *connTable) leave(c *tcpConn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.open, c)
	t.conns.remove(c.peer.Addr())
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
