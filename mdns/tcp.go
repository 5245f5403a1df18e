package mdns

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
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

// tcpConn is one connection, plain or over TLS. One goroutine reads its queries
// and answers those that can be answered at once; the lane has the others.
type tcpConn struct {
	s      *Server
	pace   *pace
	tls    *tls.Conn // over pace; nil: plain
	conn   net.Conn  // the one of them that messages travel on
	peer   netip.AddrPort
	client netip.Addr // see clientOf
	names  []string   // in the client's certificate
	until  time.Time  // the certificate's end
	out    outbox
	lane   lane
	*connKit

	readEnd time.Time // the read deadline that is set

	writing sync.Mutex

	busy    atomic.Bool // answers are made and written, apart from the lane's
	evicted atomic.Bool // it was closed to make room
	shaking bool        // its TLS handshake is not finished; the table has it
}

// connKit is what a connection needs while it is served. Kits are used again,
// since most connections are short.
type connKit struct {
	r       *request
	in      *bufio.Reader
	buf     []byte // of the query
	answers []byte // what outbox has room in
}

// fit gives the connection a kit; the function takes it back.
func (c *tcpConn) fit() func() {
	kit, _ := c.s.kits.Get().(*connKit)
	if kit == nil {
		kit = &connKit{r: c.s.newRequest(false), in: bufio.NewReaderSize(nil, 4096)}
	}
	c.connKit = kit
	c.out.buf = kit.answers
	c.r.wait, c.r.tls, c.r.names, c.r.until = false, c.tls != nil, c.names, c.until
	c.in.Reset(c.conn)
	return func() {
		c.shrink()
		kit.answers = c.out.buf[:0]
		kit.in.Reset(nil)
		kit.r.ans.reset()
		c.s.kits.Put(kit)
	}
}

// serveTCP accepts connections until the listener is closed. Connections outlive
// it: the table has them.
func (s *Server) serveTCP(ctx context.Context, l *net.TCPListener, overTLS bool) {
	for {
		conn, err := l.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of descriptors, or a client that is gone already
			s.conns.spare()
			s.m.connsClosed.WithLabelValues("not accepted").Inc()
			if s.quiet.allow(netip.Addr{}) {
				s.log.Error("connection cannot be accepted", "err", err)
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(50 * time.Millisecond):
			}
			continue
		}
		c := s.newConn(conn, overTLS)
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
			if c.evicted.Load() {
				reason = "made room"
			}
			s.m.connsClosed.WithLabelValues(reason).Inc()
		}()
	}
}

func (s *Server) newConn(conn *net.TCPConn, overTLS bool) *tcpConn {
	peer := conn.RemoteAddr().(*net.TCPAddr).AddrPort()
	c := &tcpConn{
		s: s, pace: &pace{TCPConn: conn, wait: s.cfg.WriteTimeout},
		peer: netip.AddrPortFrom(peer.Addr().Unmap(), peer.Port()),
	}
	c.client = clientOf(peer.Addr())
	c.conn = c.pace
	if overTLS {
		c.tls = tls.Server(c.pace, s.certs.config.Load())
		c.conn = c.tls
	}
	c.out.c, c.lane.c = c, c
	c.lane.moved.L = &c.lane.mu
	return c
}

// waits says whether it is the client's turn.
func (c *tcpConn) waits() bool { return !c.busy.Load() && c.lane.idle() }

// newRequest is a request of this client. With wait, content may be waited for.
func (c *tcpConn) newRequest(wait bool) *request {
	r := c.s.newRequest(false)
	r.wait, r.tls, r.names, r.until = wait, c.tls != nil, c.names, c.until
	return r
}

// run answers the connection's queries and says why it ended.
func (c *tcpConn) run(ctx context.Context) (reason string) {
	if c.tls != nil {
		if reason = c.shake(ctx); reason != "" {
			return reason
		}
		defer func() {
			c.pace.endAt(time.Now().Add(time.Second)) // for the goodbye
			_ = c.tls.Close()
		}()
	}
	defer c.fit()()
	for reason == "" {
		var msg []byte
		if msg, reason = c.read(); reason != "" {
			break
		}
		reason = writeReason(c.serve(ctx, msg))
		if reason == "" && c.s.conns.closing.Load() {
			reason = "stopping"
		}
	}
	err := c.out.flush()
	// A client that has closed its half waits for what it asked for.
	if e := c.lane.wait(reason == "client" || reason == "stopping"); e != nil {
		err = e
	}
	if errors.Is(err, errStalled) || errors.Is(err, errTooLong) {
		return writeReason(err)
	}
	return reason
}

// serve answers one query, or leaves it to the lane.
func (c *tcpConn) serve(ctx context.Context, msg []byte) error {
	err := c.out.answer(ctx, c.r, msg, c.transferShort)
	if errors.Is(err, errLater) {
		err = c.lane.add(ctx, waitingQuery{bytes.Clone(msg), c.s.cfg.Now()})
	}
	return err
}

// transferShort sends a transfer that is short and at hand, and no transfer
// before it is under way.
func (c *tcpConn) transferShort(ctx context.Context, r *request, e *entry) error {
	if c.lane.idle() {
		if g, ok := c.s.atHand(r, e); ok {
			return c.out.send(ctx, r, e, g)
		}
	}
	return errLater
}

// shake does the TLS handshake and says why the connection ends, if it does.
func (c *tcpConn) shake(ctx context.Context) (reason string) {
	defer c.s.conns.shaken(c)
	end := time.Now().Add(c.s.cfg.TLS.HandshakeTimeout)
	c.pace.endAt(end)
	c.setReadEnd(end)
	if c.s.conns.closing.Load() {
		return "stopping"
	}
	err := c.tls.HandshakeContext(ctx)
	state := c.tls.ConnectionState()
	switch {
	case err == nil && state.NegotiatedProtocol != alpn:
		err = errNotDoT
	case err == nil:
		c.pace.endAt(time.Time{})
		c.names, c.until = peerNames(state)
		return ""
	case c.s.conns.closing.Load():
		return "stopping"
	case errors.Is(err, io.EOF): // somebody looked whether the port is open
		return "client"
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = errSlowHandshake
	}
	if c.s.quiet.allow(c.peer.Addr()) {
		c.s.log.Warn("TLS handshake failed", "peer", c.peer.String(), "err", err)
	}
	if errors.Is(err, errSlowHandshake) {
		return "handshake timeout"
	}
	return "handshake failed"
}

var (
	errNotDoT        = errors.New(`client does not ask for the protocol "dot" (ALPN)`)
	errSlowHandshake = errors.New("not finished in time")
)

// read waits for the next query. Before it waits, everything answered is
// written. A query must be whole within ReadTimeout of its first octet.
func (c *tcpConn) read() (msg []byte, reason string) {
	if !c.whole() {
		if err := c.out.flush(); err != nil {
			return nil, writeReason(err)
		}
		c.busy.Store(false)
		defer c.busy.Store(true)
		if c.in.Buffered() == 0 {
			c.shrink()
			if reason := c.await(); reason != "" {
				return nil, reason
			}
		}
		if !c.whole() {
			c.setReadEnd(time.Now().Add(c.s.cfg.ReadTimeout))
		}
	}
	msg, err := wire.ReadFrame(c.in, c.buf)
	if err != nil {
		return nil, readReason(err, "stalled", c.s.conns.closing.Load())
	}
	c.buf = msg
	return msg, ""
}

// await waits for the next query's first octet. A connection on which the lane
// works is not idle.
func (c *tcpConn) await() (reason string) {
	wait := c.s.cfg.IdleTimeout
	end := time.Now().Add(wait)
	// A deadline that is a little early does: where it passes, the rest is waited
	// for. Setting one for each query would cost as much as answering it.
	if c.readEnd.Before(end.Add(-wait/16)) || c.readEnd.After(end) {
		c.setReadEnd(end)
	}
	for {
		if c.s.conns.closing.Load() {
			return "stopping"
		}
		_, err := c.in.Peek(1)
		if err == nil {
			return ""
		}
		if reason = readReason(err, "idle", c.s.conns.closing.Load()); reason != "idle" {
			return reason
		}
		if now := time.Now(); !now.Before(end) {
			if c.lane.idle() {
				return reason
			}
			end = now.Add(wait)
		}
		c.setReadEnd(end)
	}
}

// setReadEnd is by the real clock: it is the kernel's business.
func (c *tcpConn) setReadEnd(t time.Time) {
	c.readEnd = t
	_ = c.pace.SetReadDeadline(t)
}

// idleBuffer is how large a connection's buffers may be while it waits, in
// octets.
const idleBuffer = 8 << 10

func (c *tcpConn) shrink() {
	if cap(c.out.buf) > idleBuffer {
		c.out.buf, c.r.enc = nil, wire.Encoder{}
	}
	if cap(c.buf) > idleBuffer {
		c.buf = nil
	}
}

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

// writeReason is why a connection ends when writing on it fails; "" when it did
// not.
func writeReason(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, errStalled):
		return "stalled"
	case errors.Is(err, errTooLong):
		return "too long"
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
