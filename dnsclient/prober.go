package dnsclient

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"dnsctl/wire"
	"dnsctl/zone"
)

// ProberOptions say how a Prober asks; the zero value has the defaults.
type ProberOptions struct {
	Sockets int              // questions are spread over; 4 when 0
	Timeout time.Duration    // of the first try, doubling with each; 1 s when 0
	Tries   int              // 3 when 0
	Local   netip.Addr       // where questions come from; the system's choice when zero
	Now     func() time.Time // for TSIG; time.Now when nil
}

// Prober asks which serial of a zone a server serves: very many such questions
// over few UDP sockets, with tries over TCP where an answer is truncated or nothing
// else helps. It may
// be used by any number of goroutines until Close.
type Prober struct {
	opts    ProberOptions
	client  *Client // for TCP
	sockets []*socket
	tcp     chan struct{} // a slot per connection
	readers sync.WaitGroup
}

// Probe is one question.
type Probe struct {
	Server netip.AddrPort
	Zone   zone.Name
	Key    *wire.Key // nil: unsigned
	Ref    any       // the caller's own, handed back in the Result
	// Witness has another RRset of the apex looked at: RRSIG is the SOA's signatures,
	// which come with it; ZONEMD is asked for instead of the SOA. 0 is none.
	Witness zone.Type
}

// Result is the answer to a Probe. Err, an *Error, means that there is none that
// can be relied on; REFUSED, SERVFAIL and so on are answers.
type Result struct {
	Probe
	Rcode  wire.Rcode
	AA     bool
	Owner  zone.Name // of the SOA record; a server without the zone may show a parent's; "" when there is none
	Serial zone.Serial
	SOA    string // rdata
	// Witnessed is the Witness's data; "" when the answer has none.
	Witnessed zone.Rdata
	Err       error
}

// Serves says whether the server answers with authority for this very zone.
func (r Result) Serves() bool {
	return r.Err == nil && r.Rcode == wire.RcodeSuccess && r.AA && r.Owner != "" && r.Owner.Equal(r.Zone)
}

// Absent says whether the answer shows that the server does not have the zone:
// it refuses, or answers for a parent, or points elsewhere. SERVFAIL does not
// show it: the zone may be there without being loaded. A server that limits who
// may query refuses too.
func (r Result) Absent() bool {
	if r.Err != nil || r.Serves() {
		return false
	}
	switch r.Rcode {
	case wire.RcodeRefused, wire.RcodeNotAuth, wire.RcodeNXDomain, wire.RcodeSuccess:
		return true
	}
	return false
}

const (
	defaultSockets = 4
	tcpSlots       = 32
	socketBuffer   = 1 << 20
	// perSocket bounds the questions open on one socket, so that a random ID is
	// soon found and memory is bounded.
	perSocket = 16384
)

// NewProber opens the sockets.
func NewProber(o ProberOptions) (*Prober, error) {
	o.Sockets = cmp.Or(o.Sockets, defaultSockets)
	o.Timeout = cmp.Or(o.Timeout, defaultTimeout)
	o.Tries = cmp.Or(o.Tries, defaultTries)
	p := &Prober{
		opts:   o,
		client: &Client{Timeout: o.Timeout, Tries: o.Tries, Local: o.Local, Now: o.Now},
		tcp:    make(chan struct{}, tcpSlots),
	}
	var local *net.UDPAddr
	if o.Local.IsValid() {
		local = net.UDPAddrFromAddrPort(netip.AddrPortFrom(o.Local, 0))
	}
	for range o.Sockets {
		conn, err := net.ListenUDP("udp", local)
		if err != nil {
			_ = p.Close()
			return nil, fmt.Errorf("open UDP socket: %w", err)
		}
		_ = conn.SetReadBuffer(socketBuffer)
		s := &socket{prober: p, conn: conn, open: make(map[slot]*question), wake: make(chan struct{}, 1), done: make(chan struct{})}
		p.sockets = append(p.sockets, s)
		p.readers.Go(s.read)
		p.readers.Go(s.expire)
	}
	return p, nil
}

// Close ends the sockets; questions that are open end with an error. None may be
// begun any more.
func (p *Prober) Close() error {
	var errs []error
	for _, s := range p.sockets {
		close(s.done)
		errs = append(errs, s.conn.Close())
	}
	p.readers.Wait()
	for _, s := range p.sockets {
		for _, q := range s.drop(nil) {
			q.fail(context.Background(), net.ErrClosed)
		}
	}
	return errors.Join(errs...)
}

// SOA asks one question. When the context ends first, that is the Result's Err.
func (p *Prober) SOA(ctx context.Context, probe Probe) Result {
	results := make(chan Result, 1)
	q := &question{ctx: ctx, probe: probe, results: results}
	p.start(new(wire.Encoder), q)
	select {
	case r := <-results:
		return r
	case <-ctx.Done():
		q.socket.take(q)
		r := Result{Probe: probe}
		r.Err = q.error().classify(ctx, ctx.Err())
		return r
	}
}

// question is a Probe under way. It is in its socket's map and heap until it is
// answered, and then ends by exactly one send to results, which has room.
type question struct {
	ctx     context.Context // of the sweep; for TCP only
	probe   Probe
	req     *request
	results chan<- Result
	socket  *socket

	// under socket.mu:
	tries    int
	deadline time.Time
	index    int   // in the heap
	stray    error // why the last datagram that came for it was passed over
}

func (q *question) slot() slot { return slot{q.probe.Server, q.req.id()} }

// ask is the question itself.
func (q *question) ask() ask {
	a := ask{name: q.probe.Zone, typ: zone.TypeSOA, key: q.probe.Key}
	switch q.probe.Witness {
	case zone.TypeRRSIG:
		a.edns, a.do = true, true
	case zone.TypeZONEMD:
		a.edns, a.typ = true, zone.TypeZONEMD
	}
	return a
}

func (q *question) error() *Error {
	return &Error{Op: OpAsk, Server: q.probe.Server, Zone: q.probe.Zone, Type: q.ask().typ, Key: keyName(q.probe.Key)}
}

func (q *question) fail(ctx context.Context, err error) {
	q.results <- Result{Probe: q.probe, Err: q.error().classify(ctx, err)}
}

// start writes, registers and sends a question.
func (p *Prober) start(e *wire.Encoder, q *question) {
	q.probe.Server = unmap(q.probe.Server)
	q.socket = p.sockets[rand.IntN(len(p.sockets))]
	err := errIDTaken
	for errors.Is(err, errIDTaken) {
		if q.req, err = newRequest(e, q.ask(), p.client.now()); err == nil {
			err = q.socket.add(q)
		}
	}
	if err != nil {
		q.fail(q.ctx, err)
		return
	}
	q.send()
}

var (
	errIDTaken = errors.New("another question to the server has this ID")
	errFull    = errors.New("too many questions under way")
)

// unmap writes an IPv4 address as such, so that addresses compare.
func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

// send puts the question on the wire. What cannot be sent because a buffer is
// full counts as lost on the way.
func (q *question) send() {
	_, err := q.socket.conn.WriteToUDPAddrPort(q.req.msg, q.probe.Server)
	if err == nil || errors.Is(err, syscall.ENOBUFS) || errors.Is(err, syscall.EAGAIN) {
		return
	}
	if q.socket.take(q) {
		q.fail(q.ctx, fmt.Errorf("send: %w", err))
	}
}

// overTCP asks again where UDP was too small.
func (p *Prober) overTCP(q *question) {
	select {
	case p.tcp <- struct{}{}:
		defer func() { <-p.tcp }()
	case <-q.ctx.Done():
		q.fail(q.ctx, q.ctx.Err())
		return
	}
	msg, err := p.client.exchangeTCP(q.ctx, q.probe.Server, q.req)
	if err != nil {
		q.fail(q.ctx, err)
		return
	}
	q.answered(msg)
}

// answered reads the answer, whose signature has been checked.
func (q *question) answered(msg []byte) {
	a, err := parseAnswer(msg)
	if err != nil {
		q.fail(q.ctx, err)
		return
	}
	r := Result{Probe: q.probe, Rcode: a.Rcode, AA: a.AA}
	for _, set := range a.Answer {
		if set.Type == q.probe.Witness && set.Owner.Equal(q.probe.Zone) && (set.Type != zone.TypeRRSIG || set.Covers == zone.TypeSOA) {
			r.Witnessed = set.Data
		}
	}
	for _, set := range append(a.Answer, a.Authority...) {
		if set.Type != zone.TypeSOA {
			continue
		}
		soa, err := zone.ParseSOA(set.Data.First())
		if err != nil {
			q.fail(q.ctx, &detail{ErrMalformed, err})
			return
		}
		r.Owner, r.Serial, r.SOA = set.Owner, soa.Serial, set.Data.First()
		break
	}
	q.results <- r
}
