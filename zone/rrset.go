package zone

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
)

// MaxRdata is the greatest length of one record's rdata that still leaves room
// for the SOA question, the owner, and a TSIG record in a message of 65,535
// octets; a longer record could never be transferred.
const MaxRdata = 65535 - 12 - (MaxName + 4) - (MaxName + 10) - (MaxName + 10 + MaxName + 16 + 64 + 6)

// Rdata is the records of one RRset: each a two-octet length and that many
// octets of uncompressed wire rdata, sorted by those octets, without
// duplicates. It is the same in memory, in the database and in deltas.
type Rdata string

// PackRdata sorts the records, drops duplicates, and packs them. It panics on a
// record longer than 65,535 octets, which no reader of ours hands out.
func PackRdata(records ...string) Rdata {
	if len(records) == 1 {
		return Rdata(appendRecord(make([]byte, 0, 2+len(records[0])), records[0]))
	}
	if !slices.IsSorted(records) {
		records = slices.Sorted(slices.Values(records))
	}
	records = slices.Compact(slices.Clone(records))
	size := 0
	for _, r := range records {
		size += 2 + len(r)
	}
	b := make([]byte, 0, size)
	for _, r := range records {
		b = appendRecord(b, r)
	}
	return Rdata(b)
}

func appendRecord(b []byte, r string) []byte {
	if len(r) > 0xffff {
		panic("zone: rdata of more than 65535 octets")
	}
	return append(append(b, byte(len(r)>>8), byte(len(r))), r...)
}

// All yields each record's rdata.
func (d Rdata) All() iter.Seq[string] {
	return func(yield func(string) bool) {
		for len(d) >= 2 {
			n := 2 + int(d[0])<<8 + int(d[1])
			if !yield(string(d[2:n])) {
				return
			}
			d = d[n:]
		}
	}
}

// Len counts the records.
func (d Rdata) Len() int {
	c := 0
	for len(d) >= 2 {
		d = d[2+int(d[0])<<8+int(d[1]):]
		c++
	}
	return c
}

// First is the first record's rdata; empty when there is none.
func (d Rdata) First() string {
	for r := range d.All() {
		return r
	}
	return ""
}

// Valid says whether d is well formed: whole lengths, sorted, no duplicates.
func (d Rdata) Valid() bool {
	last := ""
	for first := true; len(d) > 0; first = false {
		if len(d) < 2 {
			return false
		}
		n := 2 + int(d[0])<<8 + int(d[1])
		if n > len(d) {
			return false
		}
		r := string(d[2:n])
		if !first && r <= last {
			return false
		}
		last, d = r, d[n:]
	}
	return true
}

// Without is d less the records of e.
func (d Rdata) Without(e Rdata) Rdata {
	var keep []string
	drop := slices.Collect(e.All())
	for r := range d.All() {
		if _, found := slices.BinarySearch(drop, r); !found {
			keep = append(keep, r)
		}
	}
	return PackRdata(keep...)
}

// With is the union of d and e.
func (d Rdata) With(e Rdata) Rdata {
	return PackRdata(slices.AppendSeq(slices.Collect(d.All()), e.All())...)
}

// RRset is the records of one owner and type (RFC 2181 section 5), with one
// TTL. RRSIGs are one RRset per type covered, since their TTL is that of what
// they cover (RFC 4034 section 3).
type RRset struct {
	Owner  Name
	Type   Type
	Covers Type // for RRSIG the type covered, else 0
	TTL    uint32
	Data   Rdata
}

// ID is what is unique about an RRset in its zone.
type ID struct {
	Owner  Key
	Type   Type
	Covers Type
}

// ID of the RRset.
func (r RRset) ID() ID { return ID{r.Owner.Key(), r.Type, r.Covers} }

// Compare orders IDs canonically: by owner, then type, then type covered.
func (a ID) Compare(b ID) int {
	if c := strings.Compare(string(a.Owner), string(b.Owner)); c != 0 {
		return c
	}
	return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Covers, b.Covers))
}

// Equal says whether two RRsets are the same to the octet, owner case included.
func (r RRset) Equal(o RRset) bool { return r == o }

// Octets is the size of the records in uncompressed wire form.
func (r RRset) Octets() int { return r.Data.Len()*(len(r.Owner)+8) + len(r.Data) }

// CoversOf is the Covers value for a record of the type with this rdata.
func CoversOf(t Type, rdata string) Type {
	if (t == TypeRRSIG || t == TypeSIG) && len(rdata) >= 2 {
		return Type(rdata[0])<<8 | Type(rdata[1])
	}
	return 0
}

// AppendWire appends the records in uncompressed wire form (RFC 1035 section
// 4.1.3, class IN); this is the form of deltas and copies at rest.
func (r RRset) AppendWire(b []byte) []byte {
	for d := range r.Data.All() {
		b = append(b, r.Owner...)
		b = binary.BigEndian.AppendUint16(b, uint16(r.Type))
		b = append(b, 0, 1)
		b = binary.BigEndian.AppendUint32(b, r.TTL)
		b = appendRecord(b, d)
	}
	return b
}

// ErrBadRecords is wrapped by ParseWire's errors.
var ErrBadRecords = errors.New("malformed wire records")

// ParseWire reads what AppendWire wrote; records that follow each other with
// the same owner, type and TTL become one RRset.
func ParseWire(b []byte) ([]RRset, error) {
	var sets []RRset
	var data []string
	flush := func() {
		if len(data) > 0 {
			sets[len(sets)-1].Data = PackRdata(data...)
			data = nil
		}
	}
	for len(b) > 0 {
		owner, n, err := UnpackName(b)
		if err != nil || len(b) < n+10 {
			return nil, fmt.Errorf("%w: owner or fixed part cut short", ErrBadRecords)
		}
		if class := binary.BigEndian.Uint16(b[n+2:]); class != 1 {
			return nil, fmt.Errorf("%w: class %d of %s", ErrBadRecords, class, owner)
		}
		t := Type(binary.BigEndian.Uint16(b[n:]))
		ttl := binary.BigEndian.Uint32(b[n+4:])
		l := int(binary.BigEndian.Uint16(b[n+8:]))
		b = b[n+10:]
		if len(b) < l {
			return nil, fmt.Errorf("%w: rdata of %s %s cut short", ErrBadRecords, owner, t)
		}
		rdata := string(b[:l])
		b = b[l:]
		c := CoversOf(t, rdata)
		if k := len(sets); k == 0 || sets[k-1].Owner != owner || sets[k-1].Type != t || sets[k-1].Covers != c || sets[k-1].TTL != ttl {
			flush()
			sets = append(sets, RRset{Owner: owner, Type: t, Covers: c, TTL: ttl})
		}
		data = append(data, rdata)
	}
	flush()
	return sets, nil
}
