package wire

import (
	"encoding/binary"
	"errors"
	"fmt"

	"dnsctl/zone"
)

// Errors of the Reader.
var (
	ErrShort = errors.New("message ends in the middle of a record")
	ErrName  = errors.New("malformed name in message")
	ErrRdata = errors.New("malformed rdata in message")
)

// maxPointers is how many compression pointers a name may have: as many as
// labels. Pointers to pointers alone could make a message of 64 KiB cost tens of
// millions of steps, thousands for each of thousands of records.
const maxPointers = zone.MaxName / 2

// AppendName appends to dst, in uncompressed form, the name that stands at off
// in msg, and returns the offset behind it. A compression pointer must point
// before the octets already read for this name, and there are maxPointers at
// most; the name must fit 255 octets.
func AppendName(dst, msg []byte, off int) (name []byte, next int, err error) {
	begin := len(dst)
	floor := off // pointers must go below it
	next = -1
	for pointers := 0; ; {
		if off >= len(msg) {
			return dst[:begin], 0, ErrShort
		}
		c := int(msg[off])
		switch c & 0xc0 {
		case 0x00:
			if off+1+c > len(msg) {
				return dst[:begin], 0, ErrShort
			}
			if len(dst)-begin+1+c > zone.MaxName || c != 0 && len(dst)-begin+2+c > zone.MaxName {
				return dst[:begin], 0, ErrName
			}
			dst = append(dst, msg[off:off+1+c]...)
			off += 1 + c
			if c == 0 {
				if next < 0 {
					next = off
				}
				return dst, next, nil
			}
		case 0xc0:
			if off+2 > len(msg) {
				return dst[:begin], 0, ErrShort
			}
			to := c&0x3f<<8 | int(msg[off+1])
			if pointers++; to >= floor || to < HeaderLen || pointers > maxPointers {
				return dst[:begin], 0, ErrName
			}
			if next < 0 {
				next = off + 2
			}
			off, floor = to, to
		default:
			return dst[:begin], 0, ErrName
		}
	}
}

// skipName is the offset behind the name at off; pointers are not followed.
func skipName(msg []byte, off int) (int, error) {
	for n := 0; n < zone.MaxName; n++ {
		if off >= len(msg) {
			return 0, ErrShort
		}
		switch c := int(msg[off]); c & 0xc0 {
		case 0x00:
			off += 1 + c
			if c == 0 {
				return off, nil
			}
		case 0xc0:
			if off+2 > len(msg) {
				return 0, ErrShort
			}
			return off + 2, nil
		default:
			return 0, ErrName
		}
	}
	return 0, ErrName
}

// Record is one record as it stands in a message.
type Record struct {
	Owner zone.Name
	Type  zone.Type
	Class Class
	TTL   uint32
	Start int    // offset of the owner in the message
	Off   int    // offset of Data in the message
	Data  []byte // rdata, perhaps with compressed names; part of the message
}

// Reader walks a message from its header on. It keeps no copy of the message.
type Reader struct {
	msg   []byte
	off   int
	last  zone.Name // owner of the last record; equal ones share it
	names [zone.MaxName]byte
}

// NewReader starts behind the header of msg, which must have one.
func NewReader(msg []byte) *Reader { return &Reader{msg: msg, off: HeaderLen} }

// Reset starts over with another message.
func (r *Reader) Reset(msg []byte) { r.msg, r.off = msg, HeaderLen }

// Offset is where the next read begins.
func (r *Reader) Offset() int { return r.off }

// Name reads a name.
func (r *Reader) Name() (zone.Name, error) {
	n, next, err := AppendName(r.names[:0], r.msg, r.off)
	if err != nil {
		return "", err
	}
	r.off = next
	if string(n) != string(r.last) {
		r.last = zone.Name(n)
	}
	return r.last, nil
}

// Question reads one question.
func (r *Reader) Question() (Question, error) {
	n, err := r.Name()
	if err != nil {
		return Question{}, fmt.Errorf("question: %w", err)
	}
	if r.off+4 > len(r.msg) {
		return Question{}, fmt.Errorf("question: %w", ErrShort)
	}
	b := r.msg[r.off:]
	r.off += 4
	return Question{n, zone.Type(binary.BigEndian.Uint16(b)), Class(binary.BigEndian.Uint16(b[2:]))}, nil
}

// Record reads one record of any class.
func (r *Reader) Record() (Record, error) {
	start := r.off
	n, err := r.Name()
	if err != nil {
		return Record{}, err
	}
	if r.off+10 > len(r.msg) {
		return Record{}, ErrShort
	}
	b := r.msg[r.off:]
	l := int(binary.BigEndian.Uint16(b[8:]))
	if len(b) < 10+l {
		return Record{}, ErrShort
	}
	rec := Record{
		Owner: n,
		Type:  zone.Type(binary.BigEndian.Uint16(b)),
		Class: Class(binary.BigEndian.Uint16(b[2:])),
		TTL:   binary.BigEndian.Uint32(b[4:]),
		Start: start,
		Off:   r.off + 10,
		Data:  b[10 : 10+l : 10+l],
	}
	r.off += 10 + l
	return rec, nil
}

// Rdata is the record's rdata with its names uncompressed, for the types whose
// senders may compress them: those of RFC 1035, and those that RFC 3597 section
// 4 tells receivers to bear with. Data of other types is taken as it is.
func (r *Reader) Rdata(rec Record) (string, error) {
	s, known := shapeOf(rec.Type)
	if !known {
		return string(rec.Data), nil
	}
	var buf [3*zone.MaxName + 32]byte
	out := buf[:0]
	off, end := rec.Off, rec.Off+len(rec.Data)
	take := func(n int) bool {
		if off+n > end {
			return false
		}
		out = append(out, r.msg[off:off+n]...)
		off += n
		return true
	}
	if !take(s.before) {
		return "", fmt.Errorf("%s %s: %w", rec.Owner, rec.Type, ErrRdata)
	}
	for range s.strings {
		if off >= end || !take(1+int(r.msg[off])) {
			return "", fmt.Errorf("%s %s: %w", rec.Owner, rec.Type, ErrRdata)
		}
	}
	for range s.names {
		var err error
		if out, off, err = AppendName(out, r.msg[:end], off); err != nil {
			return "", fmt.Errorf("%s %s: %w", rec.Owner, rec.Type, ErrRdata)
		}
	}
	if !s.open && end-off != s.after {
		return "", fmt.Errorf("%s %s: %w", rec.Owner, rec.Type, ErrRdata)
	}
	return string(append(out, r.msg[off:end]...)), nil
}

// shape says where the names of a type's rdata are: before octets, strings
// character-strings, names names, then after octets (any number when open).
type shape struct {
	before, strings, names, after int
	open                          bool
}

func shapeOf(t zone.Type) (shape, bool) {
	switch t {
	case zone.TypeNS, zone.TypeCNAME, zone.TypePTR, zone.TypeMB, zone.TypeMG, zone.TypeMR, zone.TypeMD, zone.TypeMF, zone.TypeDNAME:
		return shape{names: 1}, true
	case zone.TypeSOA:
		return shape{names: 2, after: 20}, true
	case zone.TypeMINFO, zone.TypeRP:
		return shape{names: 2}, true
	case zone.TypeMX, zone.TypeAFSDB, zone.TypeRT, zone.TypeKX:
		return shape{before: 2, names: 1}, true
	case zone.TypePX:
		return shape{before: 2, names: 2}, true
	case zone.TypeSRV:
		return shape{before: 6, names: 1}, true
	case zone.TypeNAPTR:
		return shape{before: 4, strings: 3, names: 1}, true
	case zone.TypeSIG:
		return shape{before: 18, names: 1, open: true}, true
	case zone.TypeNXT:
		return shape{names: 1, open: true}, true
	}
	return shape{}, false
}
