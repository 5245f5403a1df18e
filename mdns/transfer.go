package mdns

import (
	"context"
	"errors"
	"fmt"
	"iter"
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
		return r.fail(out, wire.RcodeServFail), nil
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
	r.begin(out, wire.Full, "", r.limit(), wire.RcodeSuccess, true)
	if !r.enc.Set(wire.SectionAnswer, e.soaSet()) {
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
			return out, errLoad
		}
		var err error
		if deltas, _, err = r.s.changesSince(ctx, e, r.q.Serial); err != nil {
			if gone(err) {
				return r.refuse(out, "zone"), nil
			}
			r.s.log.Error("changes cannot be read", "zone", e.apex().String(), "err", err)
			return r.fail(out, wire.RcodeServFail), nil
		}
	}
	if deltas == nil {
		return r.onlySOA(out, e), nil
	}
	begin := len(out)
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

// transfer streams a zone or its changes to the client. The length prefix of the
// first message has been opened.
func (c *tcpConn) transfer(ctx context.Context, r *request, e *entry) error {
	c.transferred = true
	begin := len(c.out) - wire.LengthPrefix
	t := &stream{c: c, r: r, begin: begin}
	kind := "axfr"
	c.s.m.transfersNow.Inc()
	defer c.s.m.transfersNow.Dec()
	since := time.Now()
	sent := c.sent

	var deltas []zone.Delta
	var content *content
	var loading *flight
	var err error
	if r.q.Question.Type == zone.TypeIXFR {
		kind = "ixfr"
		deltas, content, err = c.s.changesSince(ctx, e, r.q.Serial)
	}
	if err == nil && deltas == nil && content == nil {
		content, loading, err = c.s.cache.open(ctx, e)
	}
	if err != nil {
		c.s.m.transfers.WithLabelValues(kind, "failed").Inc()
		if gone(err) {
			c.out = r.refuse(c.out, "zone")
		} else {
			c.s.log.Error("transfer cannot begin", "zone", e.apex().String(), "peer", c.peer.String(), "err", err)
			c.out = r.fail(c.out, wire.RcodeServFail)
		}
		return c.close(begin)
	}
	serial := e.serial
	if deltas != nil {
		t.apex = e.apex()
		err = t.sendChanges(deltas)
	} else {
		if kind == "ixfr" {
			kind = "ixfr-full"
		}
		if content != nil {
			t.apex, serial = content.apex, content.snap.Serial()
			err = t.sendContent(content)
		} else {
			err = t.sendLoading(ctx, loading)
		}
	}
	result := "done"
	switch {
	case errors.Is(err, errOversize):
		result = "failed"
		c.s.log.Error("transfer failed", "zone", e.apex().String(), "serial", uint32(serial), "peer", c.peer.String(), "err", err)
	case err != nil:
		result = "aborted"
		c.s.log.Warn("transfer ended early", "zone", e.apex().String(), "serial", uint32(serial), "peer", c.peer.String(), "err", err)
	default:
		c.s.m.query(false, r.q.Question.Type, wire.RcodeSuccess)
		c.s.log.Debug("transfer done", "zone", e.apex().String(), "serial", uint32(serial), "peer", c.peer.String(), "kind", kind,
			"records", t.records, "took", time.Since(since))
	}
	c.s.m.transfers.WithLabelValues(kind, result).Inc()
	c.s.m.transferRecs.WithLabelValues(kind).Add(float64(t.records))
	c.s.m.transferBytes.WithLabelValues(kind).Add(float64(c.sent - sent + int64(len(c.out))))
	return err
}

// stream fills messages with records and writes them as they become full.
type stream struct {
	c       *tcpConn
	r       *request
	apex    zone.Name
	begin   int    // of the message's length prefix in c.out
	body    int    // where the records begin in the message
	making  *image // when set, takes every message
	started bool
	records int
}

// sendContent sends a zone whole, from its image where it has one.
func (t *stream) sendContent(c *content) error {
	if t.r.tail() > imageTail {
		return t.sendZone(c.snap)
	}
	if m := c.images.ready.Load(); m != nil {
		return t.sendImage(m)
	}
	if c.images.wanted(c.snap.Octets()) {
		t.making = &image{}
	}
	err := t.sendZone(c.snap)
	if err == nil && t.making != nil {
		t.c.s.cache.addImage(c, t.making)
	}
	return err
}

// sendZone sends a whole zone: the SOA, everything else, the SOA (RFC 5936
// section 2.2).
func (t *stream) sendZone(s *zone.Snapshot) error {
	soa := s.SOASet()
	t.start()
	if err := t.add(soa); err != nil {
		return err
	}
	for set := range s.All() {
		if set.Type == zone.TypeSOA {
			continue
		}
		if err := t.add(set); err != nil {
			return err
		}
	}
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
	f.c.images.sent.Store(true)
	if err := t.add(soa); err != nil {
		return err
	}
	return t.flush()
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

// start begins a message. Only the first one has the question.
func (t *stream) start() {
	r := t.r
	limit := r.s.cfg.MaxMessage - max(r.tail(), imageTail)
	flags := (wire.FlagQR | wire.FlagAA).With(wire.OpQuery, wire.RcodeSuccess)
	if t.started {
		t.begin = t.c.open()
	}
	r.enc.Reset(t.c.out, wire.Header{ID: r.q.ID, Flags: flags}, wire.Anchor, t.apex, limit)
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

// flush finishes the message.
func (t *stream) flush() error {
	r := t.r
	if t.making != nil {
		t.making.add(r.enc.Bytes()[t.begin+wire.LengthPrefix+t.body:], r.enc.Count(wire.SectionAnswer))
	}
	if !t.started && r.q.EDNS.Present {
		r.enc.SetLimit(wire.MaxMessage)
		r.enc.OPT(r.optReply(), wire.RcodeSuccess)
	}
	t.started = true
	t.c.out = r.enc.Bytes()
	if r.signer != nil {
		t.c.out = r.signer.Sign(t.c.out, t.begin+wire.LengthPrefix, r.s.cfg.Now())
	}
	return t.c.close(t.begin)
}
