package dnsclient

import (
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"dnsctl/wire"
	"dnsctl/zone"
)

// stream reads the records of a transfer's answer, message after message (RFC
// 5936 section 2.2), and checks each message before it hands out a record.
type stream struct {
	in       io.Reader
	req      *request
	verifier *wire.Verifier // nil for unsigned transfers
	now      func() time.Time
	limit    int64 // octets of records in uncompressed form

	used    int64
	begun   bool // a message has been read
	buf     []byte
	r       wire.Reader
	answers int // records left in the message's answer section
	more    int // records of its additional section
	len     int // of the message
}

// next is the next record of the answer.
func (s *stream) next() (record, error) {
	if s.answers == 0 {
		if err := s.message(); err != nil {
			return record{}, err
		}
	}
	s.answers--
	rec, err := s.r.Record()
	if err != nil {
		return record{}, &detail{ErrMalformed, err}
	}
	if rec.Class != wire.ClassIN {
		return record{}, bad(ErrMalformed, "%s %s is of class %d", rec.Owner, rec.Type, rec.Class)
	}
	if rec.Type.IsMeta() {
		return record{}, bad(ErrMalformed, "%s %s is not data of a zone", rec.Owner, rec.Type)
	}
	if !rec.Owner.Under(s.req.question.Name) {
		return record{}, bad(ErrMalformed, "%s %s lies outside the zone", rec.Owner, rec.Type)
	}
	rdata, err := rdataOf(&s.r, rec)
	if err != nil {
		return record{}, err
	}
	if s.used += int64(len(rec.Owner) + 10 + len(rdata)); s.used > s.limit {
		return record{}, bad(ErrTooLarge, "more than %d octets", s.limit)
	}
	if s.answers == 0 {
		if err := s.rest(); err != nil {
			return record{}, err
		}
	}
	return record{rec.Owner, rec.Type, ttlOf(rec.TTL), rdata}, nil
}

// message reads the next message up to its first record.
func (s *stream) message() error {
	msg, err := wire.ReadFrame(s.in, s.buf)
	if err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return bad(ErrCut, "connection closed")
		}
		return fmt.Errorf("receive: %w", err)
	}
	s.buf = msg[:0]
	if err := s.req.match(msg, s.begun); err != nil {
		return err
	}
	h, _ := wire.ParseHeader(msg)
	rcode := h.Flags.Rcode()
	if s.verifier != nil {
		signed := msg
		if msg, err = s.verifier.Verify(signed, s.now()); err != nil {
			// An unsigned refusal fails the transfer just like a signed one, and
			// says more than the missing signature does.
			if rcode == wire.RcodeSuccess || !errors.Is(err, wire.ErrUnsigned) {
				return err
			}
			msg = signed
		}
		h, _ = wire.ParseHeader(msg)
	}
	if rcode != wire.RcodeSuccess {
		return &Error{Kind: rcodeKind(rcode), Rcode: rcode}
	}
	switch {
	case h.Counts[wire.SectionAuthority] != 0:
		return bad(ErrMalformed, "records in the authority section")
	case h.Counts[wire.SectionAnswer] == 0:
		return bad(ErrMalformed, "a message without records")
	}
	s.begun, s.len = true, len(msg)
	s.answers, s.more = int(h.Counts[wire.SectionAnswer]), int(h.Counts[wire.SectionAdditional])
	s.r.Reset(msg)
	for range h.Counts[wire.SectionQuestion] {
		if _, err := s.r.Question(); err != nil {
			return &detail{ErrMalformed, err}
		}
	}
	return nil
}

// rest checks what follows a message's last answer: whole records, nothing else.
func (s *stream) rest() error {
	for range s.more {
		if _, err := s.r.Record(); err != nil {
			return &detail{ErrMalformed, err}
		}
	}
	if s.r.Offset() != s.len {
		return bad(ErrMalformed, "%d octets behind a message's last record", s.len-s.r.Offset())
	}
	return nil
}

// finish is called after the record that ends the transfer.
func (s *stream) finish() error {
	if s.answers > 0 {
		return bad(ErrMalformed, "records behind the closing SOA")
	}
	if s.verifier != nil {
		return s.verifier.Done()
	}
	return nil
}

// progressStep is how many octets count as progress.
const progressStep = 4096

// meter reads from a connection. The whole answer may have so many octets, and
// every progressStep of them must come in time, so that neither a flood nor a
// trickle holds us for ever.
type meter struct {
	conn  net.Conn
	every time.Duration
	limit int64
	total int64
	since int
}

func newMeter(conn net.Conn, every time.Duration, limit int64) *meter {
	_ = conn.SetReadDeadline(time.Now().Add(every))
	return &meter{conn: conn, every: every, limit: limit}
}

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.conn.Read(p)
	m.total += int64(n)
	if m.since += n; m.since >= progressStep {
		m.since = 0
		_ = m.conn.SetReadDeadline(time.Now().Add(m.every))
	}
	switch {
	case m.total > m.limit:
		return n, bad(ErrTooLarge, "more than %d octets", m.limit)
	case err != nil && isTimeout(err):
		return n, bad(ErrTimeout, "not %d more octets within %s; %d received", progressStep, m.every, m.total)
	}
	return n, err
}

// isSOA says whether the record is the zone's SOA; an SOA elsewhere is an error.
func (s *stream) isSOA(r record) (bool, error) {
	if r.typ != zone.TypeSOA {
		return false, nil
	}
	if !r.owner.Equal(s.req.question.Name) {
		return false, bad(ErrMalformed, "an SOA record at %s", r.owner)
	}
	return true, nil
}

// sameSOA compares two SOA records; letter case does not matter, because a
// server may compress one against other spellings than the other.
func sameSOA(a, b string) bool {
	x, errX := zone.ParseSOA(a)
	y, errY := zone.ParseSOA(b)
	if errX != nil || errY != nil || !x.MName.Equal(y.MName) || !x.RName.Equal(y.RName) {
		return false
	}
	x.MName, x.RName = y.MName, y.RName
	return x == y
}

func serialOf(r record) (zone.Serial, error) {
	soa, err := zone.ParseSOA(r.rdata)
	if err != nil {
		return 0, &detail{ErrMalformed, err}
	}
	return soa.Serial, nil
}
