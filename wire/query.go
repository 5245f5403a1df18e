package wire

import (
	"encoding/binary"
	"errors"

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

// Query is what a server wants to know of a request.
type Query struct {
	ID       uint16
	Flags    Flags
	Question Question // Name is empty when there is none
	// QuestionEnd is the offset behind the question, 0 when there is none:
	// msg[HeaderLen:QuestionEnd] can be echoed.
	QuestionEnd int
	EDNS        EDNS
	TSIG        *TSIG // nil: unsigned
	// Serial is that of the SOA in an IXFR's authority section (RFC 1995
	// section 3).
	Serial zone.Serial
}

// ParseQuery reads a whole request. Its error wraps ErrDrop or ErrFormat; with
// ErrFormat the ID and flags, and what else was read, are set. Exactly one
// question is asked of QUERY (RFC 9619), NOTIFY and UPDATE. Octets behind the
// last record are ignored, as BIND does.
func ParseQuery(msg []byte) (Query, error) {
	h, ok := ParseHeader(msg)
	if !ok {
		return Query{}, errShortHeader
	}
	q := Query{ID: h.ID, Flags: h.Flags}
	if h.Flags&FlagQR != 0 {
		return q, errResponse
	}
	r := Reader{msg: msg, off: HeaderLen}
	op := h.Flags.Opcode()
	none := false // the rest is read all the same: an OPT is to be answered with one
	if n := h.Counts[SectionQuestion]; n != 1 && (op == OpQuery || op == OpNotify || op == OpUpdate) {
		if none = n == 0; !none {
			return q, errQuestionCount
		}
	}
	for i := range h.Counts[SectionQuestion] {
		question, err := r.Question()
		if err != nil {
			return q, errQuestion
		}
		if i == 0 {
			q.Question, q.QuestionEnd = question, r.off
		}
	}
	haveSOA := false
	for sec := SectionAnswer; sec <= SectionAdditional; sec++ {
		for i := range h.Counts[sec] {
			rec, err := r.Record()
			if err != nil {
				return q, errRecord
			}
			switch {
			case rec.Type == zone.TypeOPT:
				if sec != SectionAdditional || q.EDNS.Present {
					return q, errOPT
				}
				if q.EDNS, ok = parseOPT(rec); !ok {
					return q, errOPT
				}
			case rec.Type == zone.TypeTSIG:
				if sec != SectionAdditional || i != h.Counts[sec]-1 {
					return q, errTSIGPlace
				}
				t, err := parseTSIG(msg, rec)
				if err != nil {
					return q, errTSIGPlace
				}
				q.TSIG = &t
			case rec.Type == zone.TypeSOA && sec == SectionAuthority && q.Question.Type == zone.TypeIXFR && !haveSOA:
				soa, err := r.Rdata(rec)
				if err != nil || !rec.Owner.Equal(q.Question.Name) {
					return q, errIXFRSOA
				}
				q.Serial = zone.Serial(binary.BigEndian.Uint32([]byte(soa[len(soa)-20:])))
				haveSOA = true
			}
		}
	}
	switch {
	case none:
		return q, errQuestionCount
	case op == OpQuery && q.Question.Type == zone.TypeIXFR && !haveSOA:
		return q, errIXFRSOA
	}
	return q, nil
}
