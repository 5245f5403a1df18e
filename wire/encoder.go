package wire

import (
	"encoding/binary"

	"dnsctl/zone"
)

// Compression says what names of a message point at.
type Compression uint8

const (
	// Anchor writes the first owner that ends in the apex in full and lets every
	// later name that ends in the apex point at its apex suffix. What follows the
	// question is then the same for every client.
	Anchor Compression = iota
	// Full points at any name written before, the question included; for answers.
	Full
)

// tableSize is how many suffixes Full remembers; further ones are written but
// not pointed at.
const tableSize = 128

// maxPointer is the greatest offset a pointer can hold (RFC 1035 section 4.1.4).
const maxPointer = 0x3fff

type suffix struct {
	name zone.Name
	off  uint16
}

// Encoder writes one message at the end of a buffer. A name points at another
// only where the octets are the same, so that letter case is always preserved;
// names in rdata are compressed only for types of RFC 1035 (RFC 3597 section 4).
// Records must be added section by section in order. The zero value is ready
// for Reset; it is used by one goroutine.
type Encoder struct {
	buf    []byte
	start  int // of the message in buf
	end    int // greatest length of buf
	apex   zone.Name
	mode   Compression
	table  [tableSize]suffix
	n      int
	counts [4]uint16
}

// Reset starts a message of at most limit octets at the end of dst (so that a
// TCP length prefix can stand before it). apex is the zone's name in its own
// letter case; with it empty nothing is compressed in Anchor mode. Callers take
// what OPT and TSIG will need off the limit, and may raise it by SetLimit.
func (e *Encoder) Reset(dst []byte, h Header, mode Compression, apex zone.Name, limit int) {
	e.start = len(dst)
	e.apex, e.mode = apex, mode
	clear(e.table[:e.n])
	e.n = 0
	e.counts = [4]uint16{}
	e.SetLimit(limit)
	h.Counts = [4]uint16{}
	e.buf = h.Append(dst)
}

// SetLimit changes the greatest length of the message in octets.
func (e *Encoder) SetLimit(limit int) { e.end = e.start + min(limit, MaxMessage) }

// Len is the length of the message so far.
func (e *Encoder) Len() int { return len(e.buf) - e.start }

// Count is the number of records in a section so far.
func (e *Encoder) Count(s Section) int { return int(e.counts[s]) }

// SetFlags replaces the flags of the header.
func (e *Encoder) SetFlags(f Flags) { binary.BigEndian.PutUint16(e.buf[e.start+2:], uint16(f)) }

// Flags of the header.
func (e *Encoder) Flags() Flags { return Flags(binary.BigEndian.Uint16(e.buf[e.start+2:])) }

// Mark is a place to go back to.
type Mark struct {
	len, n int
	counts [4]uint16
}

// Mark the place that has been reached.
func (e *Encoder) Mark() Mark { return Mark{len(e.buf), e.n, e.counts} }

// Rewind drops everything written since the mark was made.
func (e *Encoder) Rewind(m Mark) {
	clear(e.table[m.n:e.n])
	e.buf, e.n, e.counts = e.buf[:m.len], m.n, m.counts
}

// Question writes a question as it is; false when there is no room.
func (e *Encoder) Question(q Question) bool {
	if len(e.buf)+len(q.Name)+4 > e.end {
		return false
	}
	if e.mode == Full {
		e.remember(q.Name, len(e.buf)-e.start)
	}
	b := append(e.buf, q.Name...)
	b = binary.BigEndian.AppendUint16(b, uint16(q.Type))
	e.buf = binary.BigEndian.AppendUint16(b, uint16(q.Class))
	e.counts[SectionQuestion]++
	return true
}

// Record writes one record of class IN; false, and nothing written, when it does
// not fit. The rdata is uncompressed wire form.
func (e *Encoder) Record(s Section, owner zone.Name, t zone.Type, ttl uint32, rdata string) bool {
	m := e.Mark()
	b := e.name(e.buf, owner)
	b = append(b, byte(t>>8), byte(t), 0, byte(ClassIN), byte(ttl>>24), byte(ttl>>16), byte(ttl>>8), byte(ttl), 0, 0)
	at := len(b)
	b = e.rdata(b, t, rdata)
	if len(b) > e.end {
		e.buf = b
		e.Rewind(m)
		return false
	}
	binary.BigEndian.PutUint16(b[at-2:], uint16(len(b)-at))
	e.buf = b
	e.counts[s]++
	return true
}

// SOA writes an SOA record whose rdata has another serial; false, and nothing
// written, when it does not fit.
func (e *Encoder) SOA(s Section, owner zone.Name, ttl uint32, rdata string, serial zone.Serial) bool {
	if !e.Record(s, owner, zone.TypeSOA, ttl, rdata) {
		return false
	}
	// The serial and four times end it, whatever the names were compressed to.
	binary.BigEndian.PutUint32(e.buf[len(e.buf)-20:], uint32(serial))
	return true
}

// Set writes a whole RRset, or nothing when it does not fit.
func (e *Encoder) Set(s Section, set zone.RRset) bool {
	m := e.Mark()
	for d := set.Data; len(d) >= 2; {
		n := 2 + int(d[0])<<8 + int(d[1])
		if !e.Record(s, set.Owner, set.Type, set.TTL, string(d[2:n])) {
			e.Rewind(m)
			return false
		}
		d = d[n:]
	}
	return true
}

// Body appends records of the answer section as another message had them behind
// its question, in Anchor mode, where its records began at the same offset; anchor
// is what that one's Anchor said. It is false, and nothing is written, when they do
// not fit. Records may follow them.
func (e *Encoder) Body(octets []byte, records, anchor int) bool {
	if len(e.buf)+len(octets) > e.end {
		return false
	}
	e.buf = append(e.buf, octets...)
	e.counts[SectionAnswer] += uint16(records)
	if anchor > 0 {
		e.table[0], e.n = suffix{e.apex, uint16(anchor)}, 1
	}
	return true
}

// Anchor is the offset in the message of what names point at in Anchor mode; 0
// when there is nothing yet.
func (e *Encoder) Anchor() int {
	if e.mode != Anchor || e.n == 0 {
		return 0
	}
	return int(e.table[0].off)
}

// Bytes patches the counts into the header and returns the buffer, from the
// beginning of what Reset was given.
func (e *Encoder) Bytes() []byte {
	for i, c := range e.counts {
		binary.BigEndian.PutUint16(e.buf[e.start+4+2*i:], c)
	}
	return e.buf
}

// name appends n, compressed where the mode allows it.
func (e *Encoder) name(b []byte, n zone.Name) []byte {
	if e.mode == Full {
		return e.fullName(b, n)
	}
	return e.anchorName(b, n, true)
}

// anchorName appends n; anchor says whether it may become the anchor.
func (e *Encoder) anchorName(b []byte, n zone.Name, anchor bool) []byte {
	d := len(n) - len(e.apex)
	if d < 0 || len(e.apex) <= 2 || n[d:] != e.apex {
		return append(b, n...)
	}
	i := 0
	for i < d {
		i += int(n[i]) + 1
	}
	if i != d { // the apex's octets are inside a label
		return append(b, n...)
	}
	if e.n == 1 {
		p := e.table[0].off
		b = append(b, n[:d]...)
		return append(b, 0xc0|byte(p>>8), byte(p))
	}
	if off := len(b) - e.start + d; anchor && off <= maxPointer {
		e.table[0], e.n = suffix{e.apex, uint16(off)}, 1
	}
	return append(b, n...)
}

// fullName appends n with the longest suffix that was written before replaced by
// a pointer, and remembers its own suffixes.
func (e *Encoder) fullName(b []byte, n zone.Name) []byte {
	for i := 0; i < len(n) && n[i] != 0; i += int(n[i]) + 1 {
		rest := n[i:]
		for j := range e.table[:e.n] {
			if s := &e.table[j]; len(s.name) == len(rest) && s.name == rest {
				e.rememberTo(n, len(b)-e.start, i)
				b = append(b, n[:i]...)
				return append(b, 0xc0|byte(s.off>>8), byte(s.off))
			}
		}
	}
	e.remember(n, len(b)-e.start)
	return append(b, n...)
}

func (e *Encoder) remember(n zone.Name, off int) { e.rememberTo(n, off, len(n)) }

// rememberTo notes the suffixes of n that begin before its octet end; n stands
// at off.
func (e *Encoder) rememberTo(n zone.Name, off, end int) {
	for i := 0; i < end && n[i] != 0; i += int(n[i]) + 1 {
		if e.n == tableSize || off+i > maxPointer {
			return
		}
		e.table[e.n] = suffix{n[i:], uint16(off + i)}
		e.n++
	}
}

// compressible says whether names in the type's rdata may be compressed: the
// types of RFC 1035.
func compressible(t zone.Type) bool {
	switch t {
	case zone.TypeNS, zone.TypeCNAME, zone.TypeSOA, zone.TypePTR, zone.TypeMX, zone.TypeMINFO,
		zone.TypeMB, zone.TypeMG, zone.TypeMR, zone.TypeMD, zone.TypeMF:
		return true
	}
	return false
}

// rdata appends rdata, its names compressed where the type allows it. Rdata that
// is not of its type's shape is copied as it is.
func (e *Encoder) rdata(b []byte, t zone.Type, rdata string) []byte {
	if !compressible(t) {
		return append(b, rdata...)
	}
	s, _ := shapeOf(t)
	if len(rdata) < s.before {
		return append(b, rdata...)
	}
	b = append(b, rdata[:s.before]...)
	rdata = rdata[s.before:]
	for range s.names {
		l := nameLen(rdata)
		if l == 0 {
			break
		}
		n := zone.Name(rdata[:l])
		if e.mode == Full {
			b = e.fullName(b, n)
		} else {
			b = e.anchorName(b, n, false)
		}
		rdata = rdata[l:]
	}
	return append(b, rdata...)
}

// nameLen is the length of the uncompressed name at the start of s, 0 when there
// is none.
func nameLen(s string) int {
	for i := 0; i < len(s) && i < zone.MaxName; {
		if s[i] == 0 {
			return i + 1
		}
		if s[i] > zone.MaxLabel {
			return 0
		}
		i += int(s[i]) + 1
	}
	return 0
}
