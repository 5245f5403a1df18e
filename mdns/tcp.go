package mdns

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"dnsctl/wire"
)

// connTable is the open TCP connections; it holds the limits.
type connTable struct {
	max, maxClient int
	m              *metrics

	mu      sync.Mutex
	open    map[*tcpConn]struct{}
	clients map[netip.Addr]int
	closing atomic.Bool
	empty   chan struct{} // closed when draining and no connection is left
}

func newConnTable(limit, perClient int, m *metrics) *connTable {
	return &connTable{
		max: limit, maxClient: perClient, m: m,
		open: map[*tcpConn]struct{}{}, clients: map[netip.Addr]int{}, empty: make(chan struct{}),
	}
}

// admit takes a connection in, or says which limit forbids it.
func (t *connTable) admit(c *tcpConn) (refused string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.closing.Load():
		return "stopping"
	case len(t.open) >= t.max:
		return "limit"
	case t.clients[c.peer.Addr()] >= t.maxClient:
		return "client limit"
	}
	t.open[c] = struct{}{}
	t.clients[c.peer.Addr()]++
	t.m.conns.Set(float64(len(t.open)))
	t.m.connsTotal.Inc()
	return ""
}

func (t *connTable) leave(c *tcpConn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.open, c)
	if t.clients[c.peer.Addr()]--; t.clients[c.peer.Addr()] == 0 {
		delete(t.clients, c.peer.Addr())
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
		_ = c.conn.SetReadDeadline(time.Unix(1, 0))
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
		_ = c.conn.Close()
	}
}

// tcpConn is one connection; its goroutine has it, but for deadlines and Close.
type tcpConn struct {
	s    *Server
	conn *net.TCPConn
	peer netip.AddrPort
	r    *request
	in   *bufio.Reader
	buf  []byte // of the query
	out  []byte // answers not written yet
	sent int64  // octets written

	transferred bool // the present query was answered by a transfer
}

// serveTCP accepts connections until the listener is closed. Connections outlive
// it: the table has them.
func (s *Server) serveTCP(ctx context.Context, l *net.TCPListener) {
	for {
		conn, err := l.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of descriptors, or a client that is gone already
			s.log.Error("connection cannot be accepted", "err", err)
			select {
			case <-ctx.Done():
				return
			case <-time.After(50 * time.Millisecond):
			}
			continue
		}
		c := &tcpConn{s: s, conn: conn, peer: conn.RemoteAddr().(*net.TCPAddr).AddrPort(), r: s.newRequest(false)}
		c.peer = netip.AddrPortFrom(c.peer.Addr().Unmap(), c.peer.Port())
		if refused := s.conns.admit(c); refused != "" {
			s.m.connsClosed.WithLabelValues(refused).Inc()
			if s.quiet.allow(c.peer.Addr()) {
				s.log.Warn("connection refused", "peer", c.peer.String(), "reason", refused)
			}
			_ = conn.Close()
			continue
		}
		go func() {
			defer s.conns.leave(c)
			defer conn.Close()
			reason := c.run(ctx)
			s.m.connsClosed.WithLabelValues(reason).Inc()
		}()
	}
}

// errStalled says that a client did not take octets in time.
var errStalled = errors.New("client takes nothing")

// run answers the connection's queries in order and says why it ended.
func (c *tcpConn) run(ctx context.Context) (reason string) {
	c.in = bufio.NewReaderSize(c.conn, 4096)
	for {
		msg, reason := c.read()
		if reason != "" {
			if err := c.flush(); errors.Is(err, errStalled) {
				return "stalled"
			}
			return reason
		}
		if err := c.serve(ctx, msg); err != nil {
			if errors.Is(err, errStalled) {
				return "stalled"
			}
			return "failed"
		}
		if c.s.conns.closing.Load() {
			if c.flush() != nil {
				return "failed"
			}
			return "stopping"
		}
	}
}

// read waits for the next query. Before it waits, everything answered is
// written. A query must be whole within ReadTimeout of its first octet.
func (c *tcpConn) read() (msg []byte, reason string) {
	if !c.whole() {
		if err := c.flush(); err != nil {
			if errors.Is(err, errStalled) {
				return nil, "stalled"
			}
			return nil, "failed"
		}
		if c.in.Buffered() == 0 {
			c.shrink()
			_ = c.conn.SetReadDeadline(c.deadline(c.s.cfg.IdleTimeout))
			if c.s.conns.closing.Load() {
				return nil, "stopping"
			}
			if _, err := c.in.Peek(1); err != nil {
				return nil, readReason(err, "idle", c.s.conns.closing.Load())
			}
		}
		_ = c.conn.SetReadDeadline(c.deadline(c.s.cfg.ReadTimeout))
	}
	msg, err := wire.ReadFrame(c.in, c.buf)
	if err != nil {
		return nil, readReason(err, "stalled", c.s.conns.closing.Load())
	}
	c.buf = msg
	return msg, ""
}

// idleBuffer is how large a connection's buffers may be while it waits, in
// octets.
const idleBuffer = 8 << 10

func (c *tcpConn) shrink() {
	if cap(c.out) > idleBuffer {
		c.out, c.r.enc = nil, wire.Encoder{}
	}
	if cap(c.buf) > idleBuffer {
		c.buf = nil
	}
}

// deadline is by the real clock: it is the kernel's business.
func (c *tcpConn) deadline(d time.Duration) time.Time { return time.Now().Add(d) }

func readReason(err error, timeout string, closing bool) string {
	switch {
	case closing:
		return "stopping"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return timeout
	case errors.Is(err, io.EOF):
		return "client"
	}
	return "failed"
}

// whole says whether the next query is in memory already.
func (c *tcpConn) whole() bool {
	n := c.in.Buffered()
	if n < wire.LengthPrefix {
		return false
	}
	p, _ := c.in.Peek(wire.LengthPrefix)
	return n >= wire.LengthPrefix+int(binary.BigEndian.Uint16(p))
}

// serve answers one query.
func (c *tcpConn) serve(ctx context.Context, msg []byte) error {
	begin := c.open()
	c.transferred = false
	out, err := c.r.handle(ctx, msg, c.out, c.peer, c.transfer)
	if err != nil || c.transferred {
		return err
	}
	if len(out) == begin+wire.LengthPrefix { // no answer
		c.out = c.out[:begin]
		return nil
	}
	c.out = out
	return c.close(begin)
}

// open makes room for the length prefix of a message.
func (c *tcpConn) open() (begin int) {
	begin = len(c.out)
	c.out = append(c.out, 0, 0)
	return begin
}

// close finishes the message that began at begin, and writes if there is much.
func (c *tcpConn) close(begin int) error {
	wire.PutLength(c.out[begin:])
	if len(c.out) >= WriteBytes/2 {
		return c.flush()
	}
	return nil
}

// flush writes what is waiting, in pieces that the client must take in time each.
func (c *tcpConn) flush() error {
	out := c.out
	for len(out) > 0 {
		n := min(len(out), WriteBytes)
		_ = c.conn.SetWriteDeadline(c.deadline(c.s.cfg.WriteTimeout))
		k, err := c.conn.Write(out[:n])
		c.sent += int64(k)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return errStalled
		}
		if err != nil {
			return err
		}
		out = out[n:]
	}
	c.out = c.out[:0]
	return nil
}
