package wire

import (
	"encoding/binary"
	"errors"
	"unsafe"

	"dnsctl/zone"
)

// ErrDrop is wrapped by errors of ParseQuery for messages that deserve no
// answer: shorter than a header, or responses.
var ErrDrop = errors.New("not a query")

// ErrFormat is wrapped by errors of ParseQuery for messages that are answered
// with FORMERR. The Query is filled as far as the message could be read.
var ErrFormat = errors.New("malformed query")

// queryError is a constant error of ParseQuery, so that hostile packets cost no
// allocation.
type queryError struct {
	kind error
	what string
}

func (e *queryError) Error() string { return e.kind.Error() + ": " + e.what }
func (e *queryError) Unwrap() error { return e.kind }

var (
	errShortHeader   = &queryError{ErrDrop, "shorter than a header"}
	errResponse      = &queryError{ErrDrop, "a response"}
	errQuestionCount = &queryError{ErrFormat, "not exactly one question"}
	errQuestion      = &queryError{ErrFormat, "bad question"}
	errRecord        = &queryError{ErrFormat, "bad record"}
	errOPT           = &queryError{ErrFormat, "bad or second OPT record"}
	errTSIGPlace     = &queryError{ErrFormat, "TSIG record malformed or not the last one"}
	errIXFRSOA       = &queryError{ErrFormat, "IXFR without the client's SOA"}
)

// Query is what a server wants to know of a request. It may be parsed into again
// and again, without allocations where the request is unsigned; it must not be
// copied and then parsed into.
type Query struct {
	ID       uint16
	Flags    Flags
	Question Question // Name is empty when there is none; it is valid until the next Parse
	// QuestionEnd is the offset behind the question, 0 when there is none:
	// msg[HeaderLen:QuestionEnd] can be echoed.
	QuestionEnd int
	EDNS        EDNS
	TSIG        *TSIG // nil: unsigned
	// Serial is that of the SOA in an IXFR's authority section (RFC 1995
	// section 3).
	Serial zone.Serial

	name [zone.MaxName]byte // what Question.Name refers to
}

// ParseQuery is Parse into a new Query.
func ParseQuery(msg []byte) (Query, error) {
	var q Query
	err := q.Parse(msg)
	return q, err
}

// Parse reads a whole request. Its error wraps ErrDrop or ErrFormat; with
// ErrFormat the ID and flags, and what else was read, are set. Exactly one
// question is asked of QUERY (RFC 9619), NOTIFY and UPDATE. Octets behind the
// last record are ignored, as BIND does.
func (q *Query) Parse(msg []byte) error {
	q.ID, q.Flags, q.Question, q.QuestionEnd, q.EDNS, q.TSIG, q.Serial = 0, 0, Question{}, 0, EDNS{}, nil, 0
	h, ok := ParseHeader(msg)
	if !ok {
		return errShortHeader
	}
	q.ID, q.Flags = h.ID, h.Flags
	if h.Flags&FlagQR != 0 {
		return errResponse
	}
	op := h.Flags.Opcode()
	n := h.Counts[SectionQuestion]
	alone := op == OpQuery || op == OpNotify || op == OpUpdate
	if n > 1 && alone {
		return errQuestionCount
	}
	at := HeaderLen
	if n > 0 && !q.question(msg) {
		return errQuestion
	}
	if n > 0 {
		at = q.QuestionEnd
	}
	r := Reader{msg: msg, off: at}
	for range max(n, 1) - 1 {
		if _, err := r.Question(); err != nil {
			return errQuestion
		}
	}
	return q.records(&r, h.Counts, alone)
}

// question reads the first question.
func (q *Query) question(msg []byte) bool {
	name, off, err := AppendName(q.name[:0], msg, HeaderLen)
	if err != nil || off+4 > len(msg) {
		return false
	}
	// The name's octets stay as they are until the next Parse.
	q.Question.Name = zone.Name(unsafe.String(&name[0], len(name)))
	q.Question.Type = zone.Type(binary.BigEndian.Uint16(msg[off:]))
	q.Question.Class = Class(binary.BigEndian.Uint16(msg[off+2:]))
	q.QuestionEnd = off + 4
	return true
}

// records reads what is behind the questions. Where there must be one and is none,
// the rest is read all the same: an OPT is to be answered with one.
func (q *Query) records(r *Reader, counts [4]uint16, alone bool) error {
	haveSOA := false
	for sec := SectionAnswer; sec <= SectionAdditional; sec++ {
		for i := range counts[sec] {
			rec, err := r.Record()
			if err != nil {
				return errRecord
			}
			switch {
			case rec.Type == zone.TypeOPT:
				if sec != SectionAdditional || q.EDNS.Present {
					return errOPT
				}
				var ok bool
				if q.EDNS, ok = parseOPT(rec); !ok {
					return errOPT
				}
			case rec.Type == zone.TypeTSIG:
				if sec != SectionAdditional || i != counts[sec]-1 {
					return errTSIGPlace
				}
				t, err := parseTSIG(r.msg, rec)
				if err != nil {
					return errTSIGPlace
				}
				q.TSIG = &t
			case rec.Type == zone.TypeSOA && sec == SectionAuthority && q.Question.Type == zone.TypeIXFR && !haveSOA:
				soa, err := r.Rdata(rec)
				if err != nil || !rec.Owner.Equal(q.Question.Name) {
					return errIXFRSOA
				}
				q.Serial = zone.Serial(binary.BigEndian.Uint32([]byte(soa[len(soa)-20:])))
				haveSOA = true
			}
		}
	}
	switch {
	case q.QuestionEnd == 0 && alone:
		return errQuestionCount
	case q.Flags.Opcode() == OpQuery && q.Question.Type == zone.TypeIXFR && !haveSOA:
		return errIXFRSOA
	}
	return nil
}
