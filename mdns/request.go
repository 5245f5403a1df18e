package mdns

import (
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"time"

	"dnsctl/wire"
	"dnsctl/zone"
)

// minUDP is what every client can take over UDP (RFC 1035 section 4.2.1).
const minUDP = 512

// errLater says that answering takes long, or needs content that is not in
// memory, in a place where nothing may be waited for.
var errLater = errors.New("answering takes long")

// request is the work on one request at a time, with its buffers. One goroutine
// has it.
type request struct {
	s    *Server
	udp  bool
	wait bool // content may be waited for
	peer netip.AddrPort
	at   time.Time // the request came in; zero: now

	tls   bool
	names []string  // in the certificate that the client has shown
	until time.Time // the certificate's end

	q      wire.Query
	counts *counts
	access *access
	scope  scope
	key    wire.Key
	signer *wire.Signer // nil: unsigned
	of     version      // what the answer is of, where the client asked about that
	why    wire.EDE     // what the rcode does not say
	enc    wire.Encoder
	ans    answer
	pools  [16]int64
}

// proto is how the request came, for counting.
func (r *request) proto() proto {
	switch {
	case r.udp:
		return overUDP
	case r.tls:
		return overTLS
	}
	return overTCP
}

func (s *Server) newRequest(udp bool) *request {
	return &request{s: s, udp: udp, wait: true, counts: &s.m.queries.shared}
}

// transferStarter sends a transfer; it is called with everything about the
// request checked but the zone's content.
type transferStarter func(ctx context.Context, r *request, e *entry) error

// handle answers one request by appending to out. A transfer over TCP is handed
// to start instead. The result is out unchanged where nothing is to be sent. The
// error is errLater, or that of start.
func (r *request) handle(ctx context.Context, msg, out []byte, peer netip.AddrPort, start transferStarter) ([]byte, error) {
	r.peer, r.signer, r.scope, r.key, r.of, r.why = peer, nil, scope{}, wire.Key{}, version{}, wire.EDE{}
	err := r.q.Parse(msg)
	switch {
	case errors.Is(err, wire.ErrDrop):
		r.s.m.dropped.WithLabelValues("malformed").Inc()
		return out, nil
	case err != nil:
		return r.fail(out, wire.RcodeFormErr), nil
	}
	r.access = r.s.access.Load()
	if r.q.TSIG != nil {
		var done bool
		if out, done = r.checkTSIG(msg, out); done {
			return out, nil
		}
	} else {
		r.scope = r.access.unsigned(peer.Addr(), r.certified(), r.pools[:0])
	}
	q := r.q.Question
	switch op := r.q.Flags.Opcode(); {
	case r.q.EDNS.Version > 0:
		return r.fail(out, wire.RcodeBadVers), nil
	case op == wire.OpNotify:
		return r.refuse(out, "notify"), nil
	case op != wire.OpQuery:
		return r.fail(out, wire.RcodeNotImp), nil
	case q.Class != wire.ClassIN:
		return r.refuse(out, "class"), nil
	case q.Type == zone.TypeAXFR || q.Type == zone.TypeIXFR:
		return r.transfer(ctx, out, start)
	}
	if rcode := metaRcode(q.Type); rcode != wire.RcodeSuccess {
		return r.fail(out, rcode), nil
	}
	e := r.s.index.match(q.Name, q.Type, r.scope)
	if e == nil {
		return r.refuse(out, "zone"), nil
	}
	return r.answer(ctx, out, e)
}

// certified is the names that the client has proven to have.
func (r *request) certified() []string {
	if len(r.names) == 0 || r.s.cfg.Now().After(r.until) {
		return nil
	}
	return r.names
}

// checkTSIG finds the request's scope, or answers and is done.
func (r *request) checkTSIG(msg, out []byte) (_ []byte, done bool) {
	t := r.q.TSIG
	now := r.at
	if now.IsZero() {
		now = r.s.cfg.Now()
	}
	k, known := r.access.signed(t, now)
	err := error(wire.BadKey)
	if known {
		err = t.Verify(msg, k.key, now)
	}
	if err == nil {
		r.key, r.scope = k.key, k.scope
		r.signer = wire.NewSigner(k.key, t)
		return out, false
	}
	var code wire.TSIGError
	if !errors.As(err, &code) {
		r.q.TSIG = nil
		return r.fail(out, wire.RcodeFormErr), true
	}
	r.s.m.tsigErrors.WithLabelValues(code.Mnemonic()).Inc()
	r.logRefusal(code.Mnemonic())
	begin := len(out)
	r.begin(out, wire.Full, "", r.limit()-wire.TSIGErrorSize(t, k.key), wire.RcodeNotAuth, false)
	r.finish(begin, wire.RcodeNotAuth)
	return wire.AppendTSIGError(r.enc.Bytes(), begin, t, k.key, code, now), true
}

// limit is the greatest length of an answer.
func (r *request) limit() int {
	switch {
	case !r.udp:
		return wire.MaxMessage
	case r.q.EDNS.Present:
		return min(max(int(r.q.EDNS.UDPSize), minUDP), r.s.cfg.UDPSize)
	}
	return minUDP
}

// begin starts a response with the question, where there was one.
func (r *request) begin(out []byte, mode wire.Compression, apex zone.Name, limit int, rcode wire.Rcode, aa bool) {
	flags := wire.FlagQR | r.q.Flags&(wire.FlagRD|wire.FlagCD)
	if aa {
		flags |= wire.FlagAA
	}
	limit -= r.tail()
	r.enc.Reset(out, wire.Header{ID: r.q.ID, Flags: flags.With(r.q.Flags.Opcode(), rcode)}, mode, apex, limit)
	if r.q.QuestionEnd > 0 {
		r.enc.Question(r.q.Question)
	}
}

func (r *request) optReply() wire.Reply {
	o := wire.Reply{UDPSize: uint16(r.s.cfg.UDPSize), DO: r.q.EDNS.DO, Keepalive: -1}
	if r.q.EDNS.Keepalive && !r.udp {
		o.Keepalive = int(min(r.s.cfg.IdleTimeout.Milliseconds()/100, 65535))
	}
	if r.q.EDNS.NSID {
		o.NSID = r.s.cfg.NSID
	}
	o.EDE = r.why
	if r.of.apex == "" {
		return o
	}
	if t := r.q.Question.Type; r.q.EDNS.Expire && (t == zone.TypeSOA || t == zone.TypeAXFR || t == zone.TypeIXFR) {
		o.HasExpire, o.Expire = true, r.of.expire
	}
	if r.q.EDNS.ZoneVersion {
		o.HasVersion, o.Labels, o.Serial = true, uint8(r.of.apex.Labels()), r.of.serial
	}
	return o
}

// version is which version of which zone is answered from.
type version struct {
	apex   zone.Name
	serial zone.Serial
	expire uint32
}

// about says what is answered from, before the answer is begun; soa is any text
// that ends as the SOA's rdata: expire, minimum.
func (r *request) about(apex zone.Name, serial zone.Serial, soa string) {
	if r.q.EDNS.Expire || r.q.EDNS.ZoneVersion {
		r.of = version{apex, serial, binary.BigEndian.Uint32([]byte(soa[len(soa)-8:]))}
	}
}

// tail is the room that OPT and TSIG need at the end of a message.
func (r *request) tail() int {
	n := 0
	if r.q.EDNS.Present {
		n += r.optReply().Len()
	}
	if r.signer != nil {
		n += r.signer.Size()
	}
	return n
}

// finish adds OPT, and counts the response.
func (r *request) finish(begin int, rcode wire.Rcode) []byte {
	if r.q.EDNS.Present {
		r.enc.SetLimit(wire.MaxMessage)
		r.enc.OPT(r.optReply(), rcode)
	}
	r.counts.add(r.proto(), r.q.Question.Type, rcode)
	out := r.enc.Bytes()
	if r.signer != nil {
		out = r.signer.Sign(out, begin, r.s.cfg.Now())
	}
	return out
}

// fail answers with an rcode alone.
func (r *request) fail(out []byte, rcode wire.Rcode) []byte {
	begin := len(out)
	r.begin(out, wire.Full, "", r.limit(), rcode&0xf, false)
	return r.finish(begin, rcode)
}

// refuse answers REFUSED and says so in the log. What is out of scope, unknown
// and not allowed all look the same to the client.
func (r *request) refuse(out []byte, reason string) []byte {
	r.s.m.refused.WithLabelValues(reason).Inc()
	r.logRefusal(reason)
	r.why = refusals[reason]
	return r.fail(out, wire.RcodeRefused)
}

// refusals says more to a client, by the reason. That a zone exists is told only
// to those who see it.
var refusals = map[string]wire.EDE{
	"zone":          {Code: wire.EDENotAuthoritative},
	"class":         {Code: wire.EDENotAuthoritative},
	"notify":        {Code: wire.EDENotSupported, Text: "this is a primary"},
	"AXFR over UDP": {Code: wire.EDENotSupported, Text: "AXFR is over TCP"},
	"without TLS":   {Code: wire.EDEProhibited, Text: "this zone is transferred over TLS only"},
}

// unable answers SERVFAIL: the zone is ours, and cannot be answered for.
func (r *request) unable(out []byte, code uint16) []byte {
	r.why = wire.EDE{Code: code}
	return r.fail(out, wire.RcodeServFail)
}

func (r *request) logRefusal(reason string) {
	if !r.s.quiet.allow(r.peer.Addr()) {
		return
	}
	key := ""
	if r.q.TSIG != nil {
		key = r.q.TSIG.KeyName.String()
	}
	r.s.log.Warn("request refused", "peer", r.peer.String(), "zone", r.q.Question.Name.String(), "type", r.q.Question.Type.String(),
		"key", key, "reason", reason)
}

// answer answers an ordinary question about a name of the zone.
func (r *request) answer(ctx context.Context, out []byte, e *entry) ([]byte, error) {
	if e.held() {
		return r.unable(out, wire.EDEInvalidData), nil
	}
	q := r.q.Question
	begin := len(out)
	if q.Type == zone.TypeSOA && !r.q.EDNS.DO && len(q.Name) == len(e.apex) {
		// The question that secondaries ask needs no content.
		r.about(e.apex, e.serial, e.form.soa)
		r.begin(out, wire.Full, "", r.limit(), wire.RcodeSuccess, true)
		if !e.putSOA(&r.enc) {
			r.enc.SetFlags(r.enc.Flags() | wire.FlagTC)
		}
		return r.finish(begin, wire.RcodeSuccess), nil
	}
	c, err := r.content(ctx, e)
	switch {
	case errors.Is(err, errLater):
		return out, err
	case err != nil && gone(err):
		return r.refuse(out, "zone"), nil
	case err != nil:
		r.s.log.Error("zone cannot be answered for", "zone", e.apex.String(), "err", err)
		return r.unable(out, wire.EDENotReady), nil
	}
	a := &r.ans
	a.reset()
	a.sameZone = func(n zone.Name, t zone.Type) bool {
		other := r.s.index.match(n, t, r.scope)
		return other != nil && other.zoneID == e.zoneID
	}
	a.resolve(c, q, r.q.EDNS.DO)
	r.about(c.apex, c.snap.Serial(), string(c.snap.SOASet().Data))
	r.begin(out, wire.Full, "", r.limit(), a.rcode, a.aa)
	a.write(&r.enc)
	return r.finish(begin, a.rcode), nil
}

// content is the zone's content, waited for where that is allowed.
func (r *request) content(ctx context.Context, e *entry) (*content, error) {
	if r.wait {
		return r.s.cache.get(ctx, e)
	}
	if c := r.s.cache.peek(e); c != nil {
		r.s.m.cacheHits.Inc()
		return c, nil
	}
	return nil, errLater
}
