package dnsclient

import (
	"crypto/rand"
	"encoding/binary"
	"time"

	"dnsctl/wire"
	"dnsctl/zone"
)

// udpSize is the greatest UDP answer we ask for with EDNS (RFC 9715).
const udpSize = 1232

// request is a finished message and what its answers are checked against.
type request struct {
	msg      []byte
	opcode   wire.Opcode
	question wire.Question
	key      *wire.Key
	mac      []byte // of the request, when it is signed
}

// ask is what a request is made of.
type ask struct {
	opcode wire.Opcode
	name   zone.Name
	typ    zone.Type
	soa    zone.RRset // NOTIFY's hint, or the version that IXFR starts from
	edns   bool
	do     bool // with signatures (RFC 3225)
	key    *wire.Key
}

// newRequest writes a request with a random ID and signs it. The encoder is the
// caller's, so that many requests need one only.
func newRequest(e *wire.Encoder, a ask, now time.Time) (*request, error) {
	if !a.name.Valid() {
		return nil, bad(ErrMalformed, "question: %w", zone.ErrBadWire)
	}
	r := &request{opcode: a.opcode, question: wire.Question{Name: a.name, Type: a.typ, Class: wire.ClassIN}, key: a.key}
	var flags wire.Flags
	section := wire.SectionAuthority
	if a.opcode == wire.OpNotify {
		flags, section = wire.FlagAA, wire.SectionAnswer
	}
	e.Reset(make([]byte, 0, 128), wire.Header{ID: newID(), Flags: flags.With(a.opcode, 0)}, wire.Full, "", wire.MaxMessage)
	e.Question(r.question)
	if a.soa.Data != "" {
		e.Set(section, a.soa)
	}
	if a.edns {
		e.OPT(wire.Reply{UDPSize: udpSize, DO: a.do, Keepalive: -1}, 0)
	}
	r.msg = e.Bytes()
	if a.key != nil {
		if err := a.key.Check(); err != nil {
			return nil, &detail{ErrTSIG, err}
		}
		r.msg, r.mac = wire.SignRequest(r.msg, 0, *a.key, now)
	}
	return r, nil
}

func newID() uint16 {
	var b [2]byte
	_, _ = rand.Read(b[:])
	return binary.BigEndian.Uint16(b[:])
}

func (r *request) id() uint16 { return binary.BigEndian.Uint16(r.msg) }

// keyName is the key's name, "" for none.
func keyName(key *wire.Key) zone.Name {
	if key == nil {
		return ""
	}
	return key.Name
}

// match says whether msg answers this request: ID, opcode and question. An
// answer may leave the question out only when it reports an error (some servers
// do for FORMERR and NOTIMP), or further on in a transfer.
func (r *request) match(msg []byte, further bool) error {
	h, ok := wire.ParseHeader(msg)
	switch {
	case !ok:
		return bad(ErrMalformed, "shorter than a header")
	case h.ID != r.id():
		return bad(ErrMismatch, "ID %d instead of %d", h.ID, r.id())
	case h.Flags&wire.FlagQR == 0:
		return bad(ErrMismatch, "a request instead of an answer")
	case h.Flags.Opcode() != r.opcode:
		return bad(ErrMismatch, "opcode %s instead of %s", h.Flags.Opcode(), r.opcode)
	}
	switch h.Counts[wire.SectionQuestion] {
	case 0:
		if further || h.Flags.Rcode() != wire.RcodeSuccess {
			return nil
		}
		return bad(ErrMismatch, "no question in it")
	case 1:
		q, err := wire.NewReader(msg).Question()
		if err != nil {
			return &detail{ErrMalformed, err}
		}
		if !q.Name.Equal(r.question.Name) || q.Type != r.question.Type || q.Class != r.question.Class {
			return bad(ErrMismatch, "question %s %s instead of %s %s", q.Name, q.Type, r.question.Name, r.question.Type)
		}
		return nil
	}
	return bad(ErrMismatch, "%d questions in it", h.Counts[wire.SectionQuestion])
}

// open checks the signature of the one answer to a signed request, and returns
// the message without it.
func (r *request) open(msg []byte, now time.Time) ([]byte, error) {
	if r.key == nil {
		return msg, nil
	}
	return wire.NewVerifier(*r.key, r.mac).Verify(msg, now)
}

// Answer is what a server says to one question. Records of other classes than IN
// and EDNS are left out.
type Answer struct {
	Rcode     wire.Rcode
	AA        bool
	Answer    []zone.RRset
	Authority []zone.RRset
}

// RRset finds the answer's RRset of this owner and type.
func (a Answer) RRset(owner zone.Name, t zone.Type) (zone.RRset, bool) {
	for _, s := range a.Answer {
		if s.Type == t && s.Owner.Equal(owner) {
			return s, true
		}
	}
	return zone.RRset{}, false
}

// parseAnswer reads a message that matched and was opened.
func parseAnswer(msg []byte) (Answer, error) {
	h, _ := wire.ParseHeader(msg)
	a := Answer{Rcode: h.Flags.Rcode(), AA: h.Flags&wire.FlagAA != 0}
	r := wire.NewReader(msg)
	for range h.Counts[wire.SectionQuestion] {
		if _, err := r.Question(); err != nil {
			return a, &detail{ErrMalformed, err}
		}
	}
	for s := wire.SectionAnswer; s <= wire.SectionAdditional; s++ {
		var records []record
		for range h.Counts[s] {
			rec, err := r.Record()
			if err != nil {
				return a, &detail{ErrMalformed, err}
			}
			switch {
			case rec.Type == zone.TypeOPT:
				a.Rcode |= wire.Rcode(rec.TTL>>24) << 4
				continue
			case rec.Class != wire.ClassIN || s == wire.SectionAdditional:
				continue
			}
			rdata, err := rdataOf(r, rec)
			if err != nil {
				return a, err
			}
			records = append(records, record{rec.Owner, rec.Type, ttlOf(rec.TTL), rdata})
		}
		switch s {
		case wire.SectionAnswer:
			a.Answer = rrsets(records)
		case wire.SectionAuthority:
			a.Authority = rrsets(records)
		}
	}
	return a, nil
}

// record is one resource record of class IN, its rdata uncompressed.
type record struct {
	owner zone.Name
	typ   zone.Type
	ttl   uint32
	rdata string
}

func (r record) id() zone.ID {
	return zone.ID{Owner: r.owner.Key(), Type: r.typ, Covers: zone.CoversOf(r.typ, r.rdata)}
}

// rdataOf expands a record's rdata. Names may grow it past what a record can
// hold, which is malformed.
func rdataOf(r *wire.Reader, rec wire.Record) (string, error) {
	d, err := r.Rdata(rec)
	if err != nil {
		return "", &detail{ErrMalformed, err}
	}
	if len(d) > 0xffff {
		return "", bad(ErrMalformed, "%s %s has %d octets of rdata", rec.Owner, rec.Type, len(d))
	}
	return d, nil
}

// ttlOf reads a TTL: one with the highest bit set is 0 (RFC 2181 section 8).
func ttlOf(ttl uint32) uint32 {
	if ttl > 1<<31-1 {
		return 0
	}
	return ttl
}

// rrsets groups records into RRsets in the order of their first record, whose
// TTL and spelling hold.
func rrsets(records []record) []zone.RRset {
	at := make(map[zone.ID]int)
	var sets []zone.RRset
	var data [][]string
	for _, r := range records {
		id := r.id()
		i, ok := at[id]
		if !ok {
			i = len(sets)
			at[id] = i
			sets = append(sets, zone.RRset{Owner: r.owner, Type: r.typ, Covers: id.Covers, TTL: r.ttl})
			data = append(data, nil)
		}
		data[i] = append(data[i], r.rdata)
	}
	for i := range sets {
		sets[i].Data = zone.PackRdata(data[i]...)
	}
	return sets
}
