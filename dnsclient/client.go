package dnsclient

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"dnsctl/wire"
	"dnsctl/zone"
)

// Client asks single questions and transfers zones. The zero value is ready; it
// may be used by any number of goroutines.
type Client struct {
	Timeout time.Duration    // for the first try over UDP, and for connecting; 1 s when 0. Doubles with each try
	Tries   int              // 3 when 0; of a question, the last of several is made over TCP
	Local   netip.Addr       // where requests come from; the system's choice when zero
	Now     func() time.Time // for TSIG; time.Now when nil
	Keep    int              // sockets to each server that are kept for the next NOTIFY, until Close; none when 0

	idle idle
}

const (
	defaultTimeout = time.Second
	defaultTries   = 3
	// udpBuffer holds any answer to what we ask over UDP: we offer udpSize at most,
	// and a longer datagram counts as malformed.
	udpBuffer = 4096
)

func (c *Client) now() time.Time {
	if c.Now == nil {
		return time.Now()
	}
	return c.Now()
}

func (c *Client) timeout() time.Duration { return cmp.Or(c.Timeout, defaultTimeout) }
func (c *Client) tries() int             { return cmp.Or(c.Tries, defaultTries) }

// patience is how long one exchange over TCP may take: as long as all tries over
// UDP.
func (c *Client) patience() time.Duration { return c.timeout() * time.Duration(1<<min(c.tries(), 6)-1) }

// dial connects to the server over TCP.
func (c *Client) dial(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{Timeout: c.patience()}
	if c.Local.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(c.Local, 0))
	}
	conn, err := d.DialContext(ctx, "tcp", addr.String())
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return conn, nil
}

// dialUDP makes a connected socket, which takes datagrams of the server only, and
// learns at once when its port is closed.
func (c *Client) dialUDP(addr netip.AddrPort) (*net.UDPConn, error) {
	var local *net.UDPAddr
	if c.Local.IsValid() {
		local = net.UDPAddrFromAddrPort(netip.AddrPortFrom(c.Local, 0))
	}
	conn, err := net.DialUDP("udp", local, net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return conn, nil
}

// buffers are for answers over UDP.
var buffers = sync.Pool{New: func() any { return new([udpBuffer]byte) }}

// exchange sends the request until the context ends, over UDP and, where that is
// truncated, over TCP, and returns the answer without its TSIG. The last try is made
// over TCP too: where many datagrams are lost, or all that are large, the system
// sends what was lost again.
func (c *Client) exchange(ctx context.Context, addr netip.AddrPort, r *request) ([]byte, error) {
	msg, err := c.exchangeUDP(ctx, addr, r, max(c.tries()-1, 1), 0)
	if errors.Is(err, ErrTimeout) && c.tries() > 1 {
		return c.lastTry(ctx, addr, r)
	}
	if err != nil {
		return nil, err
	}
	if h, _ := wire.ParseHeader(msg); h.Flags&wire.FlagTC != 0 {
		return c.exchangeTCP(ctx, addr, r)
	}
	return r.open(msg, c.now())
}

// lastTry is the last of several tries, over TCP, within the time that it would have
// over UDP.
func (c *Client) lastTry(ctx context.Context, addr netip.AddrPort, r *request) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout()<<min(c.tries()-1, 6))
	defer cancel()
	msg, err := c.exchangeTCP(ctx, addr, r)
	if err != nil {
		return nil, bad(ErrTimeout, "asked %d times", c.tries())
	}
	return msg, nil
}

// exchangeUDP asks on a new socket; or, where some are to be kept, on one that was,
// and keeps it.
func (c *Client) exchangeUDP(ctx context.Context, addr netip.AddrPort, r *request, tries, keep int) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var conn *net.UDPConn
	if keep > 0 {
		conn = c.idle.take(addr)
	}
	if conn == nil {
		var err error
		if conn, err = c.dialUDP(addr); err != nil {
			return nil, err
		}
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	msg, err := c.ask(conn, r, tries)
	switch {
	case !stop(): // it is closed, or about to be
	case err != nil:
		_ = conn.Close()
	default:
		c.idle.keep(addr, conn, keep)
	}
	return msg, err
}

// ask returns the first datagram that answers the request; others are passed over,
// since anyone can send one.
func (c *Client) ask(conn *net.UDPConn, r *request, tries int) ([]byte, error) {
	room := buffers.Get().(*[udpBuffer]byte)
	defer buffers.Put(room)
	buf := room[:]
	stray := error(nil)
	for try := range tries {
		if _, err := conn.Write(r.msg); err != nil {
			return nil, fmt.Errorf("send: %w", err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(c.timeout() << min(try, 6)))
		for {
			n, err := conn.Read(buf)
			if isTimeout(err) {
				break
			}
			if err != nil {
				return nil, fmt.Errorf("receive: %w", err)
			}
			if stray = r.match(buf[:n], false); stray == nil {
				return append([]byte(nil), buf[:n]...), nil
			}
		}
	}
	if stray != nil {
		return nil, stray
	}
	return nil, bad(ErrTimeout, "asked %d times", tries)
}

// exchangeTCP asks on a connection of its own.
func (c *Client) exchangeTCP(ctx context.Context, addr netip.AddrPort, r *request) ([]byte, error) {
	conn, err := c.dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	_ = conn.SetDeadline(time.Now().Add(c.patience()))
	if err := wire.WriteFrame(conn, r.msg); err != nil {
		return nil, fmt.Errorf("send: %w", err)
	}
	msg, err := wire.ReadFrame(conn, nil)
	if err != nil {
		return nil, fmt.Errorf("receive: %w", err)
	}
	if err := r.match(msg, false); err != nil {
		return nil, err
	}
	return r.open(msg, c.now())
}

func isTimeout(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}

// Ask puts one question, not recursive, over UDP and where needed TCP. Whatever
// the server answers is an Answer, REFUSED and SERVFAIL too; the error is an
// *Error and means that there is no answer that can be relied on. key may be nil.
func (c *Client) Ask(ctx context.Context, addr netip.AddrPort, name zone.Name, t zone.Type, key *wire.Key) (Answer, error) {
	fail := &Error{Op: OpAsk, Server: addr, Zone: name, Type: t, Key: keyName(key)}
	r, err := newRequest(new(wire.Encoder), ask{name: name, typ: t, edns: true, key: key}, c.now())
	if err != nil {
		return Answer{}, fail.classify(ctx, err)
	}
	msg, err := c.exchange(ctx, addr, r)
	if err != nil {
		return Answer{}, fail.classify(ctx, err)
	}
	a, err := parseAnswer(msg)
	if err != nil {
		return Answer{}, fail.classify(ctx, err)
	}
	return a, nil
}

// Notify tells a secondary that the zone has changed (RFC 1996), with its SOA as
// a hint when soa has data, and returns when the secondary has acknowledged that.
// Other answers are errors: ErrRefused, ErrNotAuth and so on. key may be nil.
func (c *Client) Notify(ctx context.Context, addr netip.AddrPort, name zone.Name, soa zone.RRset, key *wire.Key) error {
	fail := &Error{Op: OpNotify, Server: addr, Zone: name, Type: zone.TypeSOA, Key: keyName(key)}
	r, err := newRequest(new(wire.Encoder), ask{opcode: wire.OpNotify, name: name, typ: zone.TypeSOA, soa: soa, key: key}, c.now())
	if err != nil {
		return fail.classify(ctx, err)
	}
	msg, err := c.exchangeUDP(ctx, addr, r, c.tries(), c.Keep)
	if err != nil {
		return fail.classify(ctx, err)
	}
	h, _ := wire.ParseHeader(msg)
	if _, err := r.open(msg, c.now()); err != nil {
		fail.Rcode = h.Flags.Rcode()
		return fail.classify(ctx, err)
	}
	if rcode := h.Flags.Rcode(); rcode != wire.RcodeSuccess {
		fail.Rcode, fail.Kind = rcode, rcodeKind(rcode)
		return fail
	}
	return nil
}
