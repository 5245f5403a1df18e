package mdns

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"time"

	"dnsctl/wire"
	"dnsctl/zone"
)

// Zone transfers: AXFR (RFC 5936) and IXFR (RFC 1995). The first message of a
// transfer repeats the question and carries OPT; all are signed when the request
// was.

// errOversize fails a transfer: leaving the record out would be worse.
var errOversize = errors.New("record does not fit into a message")

// transfer decides about a transfer request. What fits one ordinary answer is
// answered here, the rest is left to start.
func (r *request) transfer(ctx context.Context, out []byte, start transferStarter) ([]byte, error) {
	q := r.q.Question
	e := r.s.index.apex(q.Name, r.scope)
	switch {
	case e == nil:
		return r.refuse(out, "zone"), nil
	case e.held():
		return r.unable(out, wire.EDEInvalidData), nil
	case !r.tls && !r.access.plain(r.scope, e):
		return r.refuse(out, "without TLS"), nil
	case r.udp && q.Type == zone.TypeAXFR:
		return r.refuse(out, "AXFR over UDP"), nil
	case q.Type == zone.TypeIXFR && !e.serial.Ahead(r.q.Serial):
		return r.onlySOA(out, e), nil // the client is current, or ahead
	case r.udp:
		return r.changesOverUDP(ctx, out, e)
	}
	return out, start(ctx, r, e)
}

// onlySOA answers an IXFR with the zone's SOA.
func (r *request) onlySOA(out []byte, e *entry) []byte {
	begin := len(out)
	r.about(e.apex, e.serial, e.form.soa)
	r.begin(out, wire.Full, "", r.limit(), wire.RcodeSuccess, true)
	if !e.putSOA(&r.enc) {
		r.enc.SetFlags(r.enc.Flags() | wire.FlagTC)
	}
	return r.finish(begin, wire.RcodeSuccess)
}

// changesOverUDP answers an IXFR with the changes if they fit, or else with the
// SOA, after which the client comes back over TCP (RFC 1995 section 2).
func (r *request) changesOverUDP(ctx context.Context, out []byte, e *entry) ([]byte, error) {
	deltas := r.s.history.get(span{e.edition, e.version, r.q.Serial})
	if deltas == nil {
		if !r.wait {
			return out, errLater
		}
		var err error
		if deltas, _, err = r.s.changesSince(ctx, e, r.q.Serial); err != nil {
			if gone(err) {
				return r.refuse(out, "zone"), nil
			}
			r.s.log.Error("changes cannot be read", "zone", e.apex.String(), "err", err)
			return r.unable(out, wire.EDENotReady), nil
		}
	}
	if deltas == nil {
		return r.onlySOA(out, e), nil
	}
	begin := len(out)
	last := &deltas[len(deltas)-1]
	r.about(e.apex, last.To(), string(last.NewSOA.Data))
	r.begin(out, wire.Full, "", r.limit(), wire.RcodeSuccess, true)
	for set := range ixfr(deltas) {
		if !r.enc.Set(wire.SectionAnswer, set) {
			return r.onlySOA(out, e), nil
		}
	}
	return r.finish(begin, wire.RcodeSuccess), nil
}

// ixfr yields what an answer with changes consists of: the new SOA, then for each
// change, oldest first, its old SOA, what goes, its new SOA, and what comes, and
// the new SOA again (RFC 1995 section 4).
func ixfr(deltas []zone.Delta) iter.Seq[zone.RRset] {
	return func(yield func(zone.RRset) bool) {
		last := []zone.RRset{deltas[len(deltas)-1].NewSOA}
		parts := [][]zone.RRset{last}
		for _, d := range deltas {
			parts = append(parts, []zone.RRset{d.OldSOA}, d.Removed, []zone.RRset{d.NewSOA}, d.Added)
		}
		for _, part := range append(parts, last) {
			for _, set := range part {
				if !yield(set) {
					return
				}
			}
		}
	}
}

// shortTransfer is up to how many octets of content a transfer is sent before the
// next query is looked at.
const shortTransfer = 64 << 10

// goods is what a transfer sends: changes, or else content, or else content that
// is being loaded.
type goods struct {
	kind    string // axfr, ixfr or ixfr-full
	deltas  []zone.Delta
	content *content
	loading *flight // content on its way
}

// atHand is what a short transfer sends, when that is in memory.
func (s *Server) atHand(r *request, e *entry) (goods, bool) {
	if r.q.Question.Type == zone.TypeIXFR {
		d := s.history.get(span{e.edition, e.version, r.q.Serial})
		return goods{kind: "ixfr", deltas: d}, d != nil && short(d)
	}
	if e.octets > shortTransfer {
		return goods{}, false
	}
	c := s.cache.peek(e)
	if c == nil || c.snap.Octets() > shortTransfer {
		return goods{}, false
	}
	s.m.cacheHits.Inc()
	return goods{kind: "axfr", content: c}, true
}

// short says whether changes are a short transfer.
func short(deltas []zone.Delta) bool {
	n := 0
	for i := range deltas {
		n += len(deltas[i].Removed) + len(deltas[i].Added)
	}
	return n <= shortTransfer/64 && octetsOf(deltas) <= shortTransfer
}

// collect loads what a transfer sends.
func (s *Server) collect(ctx context.Context, r *request, e *entry) (goods, error) {
	g := goods{kind: "axfr"}
	var err error
	if r.q.Question.Type == zone.TypeIXFR {
		g.kind = "ixfr"
		g.deltas, g.content, err = s.changesSince(ctx, e, r.q.Serial)
	}
	if err == nil && g.deltas == nil && g.content == nil {
		g.content, g.loading, err = s.cache.open(ctx, e)
	}
	if err == nil && g.kind == "ixfr" && g.deltas == nil {
		g.kind = "ixfr-full"
	}
	return g, err
}

// transfer streams a zone or its changes to the client, loaded where they are not
// at hand. The length prefix of the first message has been opened.
func (o *outbox) transfer(ctx context.Context, r *request, e *entry) error {
	g, err := o.c.s.collect(ctx, r, e)
	if err == nil {
		return o.send(ctx, r, e, g)
	}
	o.transferred = true
	begin := len(o.buf) - wire.LengthPrefix
	o.c.s.m.transfers[g.kind].ended["failed"].Inc()
	if gone(err) {
		o.buf = r.refuse(o.buf, "zone")
	} else {
		o.c.s.log.Error("transfer cannot begin", "zone", e.apex.String(), "peer", o.c.peer.String(), "err", err)
		o.buf = r.unable(o.buf, wire.EDENotReady)
	}
	return o.close(begin)
}

// send streams goods to the client.
func (o *outbox) send(ctx context.Context, r *request, e *entry, g goods) error {
	o.transferred = true
	s := o.c.s
	t := &stream{o: o, r: r, begin: len(o.buf) - wire.LengthPrefix}
	s.m.transfersNow.Inc()
	defer s.m.transfersNow.Dec()
	since := time.Now()
	before := o.total() - wire.LengthPrefix

	serial := e.serial
	var err error
	switch {
	case g.deltas != nil:
		t.apex = e.apex
		last := &g.deltas[len(g.deltas)-1]
		r.about(t.apex, last.To(), string(last.NewSOA.Data))
		err = t.sendChanges(g.deltas)
	case g.content != nil:
		t.apex, serial = g.content.apex, g.content.snap.Serial()
		r.about(t.apex, serial, string(g.content.snap.SOASet().Data))
		err = t.sendContent(g.content)
	default:
		err = t.sendLoading(ctx, g.loading)
	}
	err = errors.Join(err, o.settle())
	result := "done"
	switch {
	case errors.Is(err, errOversize):
		result = "failed"
		s.log.Error("transfer failed", "zone", e.apex.String(), "serial", uint32(serial), "peer", o.c.peer.String(), "err", err)
	case err != nil:
		result = "aborted"
		if s.quiet.allow(o.c.peer.Addr()) {
			s.log.Warn("transfer ended early", "zone", e.apex.String(), "serial", uint32(serial), "peer", o.c.peer.String(), "err", err)
		}
	default:
		r.counts.add(r.proto(), r.q.Question.Type, wire.RcodeSuccess)
		if s.log.Enabled(ctx, slog.LevelDebug) { // the texts cost more than a small zone's transfer
			s.log.Debug("transfer done", "zone", e.apex.String(), "serial", uint32(serial), "peer", o.c.peer.String(), "kind", g.kind,
				"records", t.records, "took", time.Since(since))
		}
	}
	m := s.m.transfers[g.kind]
	m.ended[result].Inc()
	m.records.Add(float64(t.records))
	// What stood before it may not have been written whole, and a counter panics at
	// what is below 0.
	m.octets.Add(float64(max(0, o.total()-before)))
	return err
}

// stream fills messages with records and writes them as they become full.
type stream struct {
	o       *outbox
	r       *request
	apex    zone.Name
	begin   int   // of the message's length prefix in o.buf
	body    int   // where the records begin in the message
	making  *pack // when set, takes every message
	started bool
	records int
}

// sendContent sends a whole zone: the SOA, everything else, the SOA (RFC 5936
// section 2.2). Blocks that the content's image has are copied from there.
func (t *stream) sendContent(c *content) error {
	cache := t.o.c.s.cache
	fits := t.r.tail() <= imageTail
	keep := fits && cache.wantsImage(c)
	t.start()
	for i := range c.image.packs {
		p := c.image.packs[i].Load()
		var err error
		switch {
		case fits && p != nil:
			err = t.sendPack(p, i == len(c.image.packs)-1)
		case keep:
			if p, err = t.makePack(c.snap, i); err == nil {
				cache.addPack(c, i, p)
			}
		default:
			err = t.addBlock(c.snap, i)
		}
		if err != nil {
			return err
		}
	}
	return t.end(c.snap.SOASet())
}

// sendPack sends a block from an image. The last message of the last one is left
// open for the SOA, as where there is no image.
func (t *stream) sendPack(p *pack, last bool) error {
	for i, b := range p.bodies {
		if err := t.startEmpty(); err != nil {
			return err
		}
		t.records += b.records
		if t.started && t.o.c.tls == nil && !(last && i == len(p.bodies)-1) {
			if err := t.sendBody(b); err != nil {
				return err
			}
			continue
		}
		if !t.r.enc.Body(b.octets, b.records, b.anchor) {
			return errOversize // cannot be: the image keeps to the same limit
		}
	}
	return nil
}

// sendBody sends a message whose records are written from where the image has
// them, in place of the empty one that was begun, and begins another.
func (t *stream) sendBody(b body) error {
	o := t.o
	o.buf = o.buf[:t.begin]
	var err error
	switch {
	case len(o.buf) > 0: // which comes behind the pieces
		err = o.flush()
	case o.pieces != nil && o.pieces.full() && t.r.signer != nil:
		err = o.flushBeside()
	case o.pieces != nil && o.pieces.full():
		err = o.flush()
	}
	if err != nil {
		return err
	}
	if o.pieces == nil {
		o.pieces = piecesPool.Get().(*pieces)
	}
	h := t.header()
	h.Counts[wire.SectionAnswer] = uint16(b.records)
	o.pieces.add(h, b.octets, t.r.signer, t.r.s.cfg.Now())
	t.start()
	return nil
}

// header is that of each message.
func (t *stream) header() wire.Header {
	return wire.Header{ID: t.r.q.ID, Flags: (wire.FlagQR | wire.FlagAA).With(wire.OpQuery, wire.RcodeSuccess)}
}

// makePack sends a block in messages of its own, and makes a pack of them. The
// last one may take more.
func (t *stream) makePack(s *zone.Snapshot, i int) (*pack, error) {
	if err := t.startEmpty(); err != nil {
		return nil, err
	}
	p := &pack{octets: packOverhead}
	t.making = p
	defer func() { t.making = nil }()
	err := t.addBlock(s, i)
	t.keepBody()
	return p, err
}

// addBlock sends a block's records. The SOA is the first of all.
func (t *stream) addBlock(s *zone.Snapshot, i int) error {
	if i == 0 {
		if err := t.add(s.SOASet()); err != nil {
			return err
		}
	}
	for set := range s.Block(i) {
		if set.Type == zone.TypeSOA {
			continue
		}
		if err := t.add(set); err != nil {
			return err
		}
	}
	return nil
}

// end finishes a whole zone.
func (t *stream) end(soa zone.RRset) error {
	if err := t.add(soa); err != nil {
		return err
	}
	return t.flush()
}

// sendLoading sends a zone whole while it is loaded. The SOA is among the first
// RRsets that are read.
func (t *stream) sendLoading(ctx context.Context, f *flight) error {
	var soa zone.RRset
	for i := 0; ; i++ {
		sets, _, more, err := f.part(ctx, i)
		if err != nil {
			return fmt.Errorf("read the zone: %w", err)
		}
		if !more {
			break
		}
		if i == 0 {
			for set := range sets {
				if set.Type == zone.TypeSOA {
					soa = set
				}
			}
			t.apex = soa.Owner
			p, err := zone.ParseSOA(soa.Data.First())
			if err != nil {
				return err
			}
			t.r.about(soa.Owner, p.Serial, string(soa.Data))
			t.start()
			if err := t.add(soa); err != nil {
				return err
			}
		}
		for set := range sets {
			if set.Type == zone.TypeSOA {
				continue
			}
			if err := t.add(set); err != nil {
				return err
			}
		}
	}
	f.c.image.sent.Store(true)
	return t.end(soa)
}

// sendChanges sends what has changed since the client's serial.
func (t *stream) sendChanges(deltas []zone.Delta) error {
	t.start()
	for set := range ixfr(deltas) {
		if err := t.add(set); err != nil {
			return err
		}
	}
	return t.flush()
}

// startEmpty makes sure that the message has no records yet.
func (t *stream) startEmpty() error {
	if t.r.enc.Count(wire.SectionAnswer) == 0 {
		return nil
	}
	if err := t.flush(); err != nil {
		return err
	}
	t.start()
	return nil
}

// start begins a message. Only the first one has the question.
func (t *stream) start() {
	r := t.r
	limit := r.s.cfg.MaxMessage - max(r.tail(), imageTail)
	if t.started {
		t.begin = t.o.open()
	}
	r.enc.Reset(t.o.buf, t.header(), wire.Anchor, t.apex, limit)
	if !t.started {
		r.enc.Question(r.q.Question)
	}
	t.body = r.enc.Len()
}

func (t *stream) add(set zone.RRset) error {
	for d := set.Data; len(d) >= 2; {
		n := 2 + int(d[0])<<8 + int(d[1])
		rdata := string(d[2:n])
		d = d[n:]
		if t.r.enc.Record(wire.SectionAnswer, set.Owner, set.Type, set.TTL, rdata) {
			t.records++
			continue
		}
		if t.r.enc.Count(wire.SectionAnswer) == 0 {
			return fmt.Errorf("%s %s of %d octets: %w", set.Owner, set.Type, len(rdata), errOversize)
		}
		if t.making != nil {
			t.keepBody()
		}
		if err := t.flush(); err != nil {
			return err
		}
		t.start()
		if !t.r.enc.Record(wire.SectionAnswer, set.Owner, set.Type, set.TTL, rdata) {
			return fmt.Errorf("%s %s of %d octets: %w", set.Owner, set.Type, len(rdata), errOversize)
		}
		t.records++
	}
	return nil
}

// keepBody adds the message's records to the pack that is made.
func (t *stream) keepBody() {
	e := &t.r.enc
	t.making.add(e.Bytes()[t.begin+wire.LengthPrefix+t.body:], e.Count(wire.SectionAnswer), e.Anchor())
}

// flush finishes the message.
func (t *stream) flush() error {
	r := t.r
	if !t.started && r.q.EDNS.Present {
		r.enc.SetLimit(wire.MaxMessage)
		r.enc.OPT(r.optReply(), wire.RcodeSuccess)
	}
	t.started = true
	t.o.buf = r.enc.Bytes()
	if r.signer != nil {
		t.o.buf = r.signer.Sign(t.o.buf, t.begin+wire.LengthPrefix, r.s.cfg.Now())
	}
	return t.o.close(t.begin)
}
