package wire

import (
	"crypto/hmac"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"time"

	"dnsctl/zone"
)

// Fudge is the number of seconds by which clocks may differ (RFC 8945 section
// 10 recommends 300).
const Fudge = 300

// TSIGError is a TSIG error code (RFC 8945 section 3); it is an error.
type TSIGError uint16

// The errors.
const (
	BadSig   TSIGError = 16
	BadKey   TSIGError = 17
	BadTime  TSIGError = 18
	BadTrunc TSIGError = 22
)

// Error is the mnemonic with a few words.
func (e TSIGError) Error() string {
	switch e {
	case BadSig:
		return "BADSIG: signature does not match"
	case BadKey:
		return "BADKEY: key or algorithm not known"
	case BadTime:
		return "BADTIME: clocks differ by more than the fudge"
	case BadTrunc:
		return "BADTRUNC: signature is shorter than allowed"
	}
	return "TSIG error " + strconv.Itoa(int(e))
}

// Mnemonic is the bare name, for counters.
func (e TSIGError) Mnemonic() string {
	switch e {
	case 0:
		return "NOERROR"
	case BadSig:
		return "BADSIG"
	case BadKey:
		return "BADKEY"
	case BadTime:
		return "BADTIME"
	case BadTrunc:
		return "BADTRUNC"
	}
	return Rcode(e).String()
}

// ErrTSIG is wrapped by errors about TSIG records that break the protocol: to
// be answered with FORMERR.
var ErrTSIG = errors.New("malformed TSIG")

// TSIG is a TSIG record (RFC 8945 section 4.2) as found at the end of a message.
type TSIG struct {
	KeyName    zone.Name
	Algorithm  zone.Name
	Time       uint64 // seconds since 1970, 48 bits
	Fudge      uint16 // seconds
	MAC        []byte // a copy
	OriginalID uint16
	Error      TSIGError
	Other      []byte // a copy
	Start      int    // where the record begins in the message
}

func parseTSIG(msg []byte, rec Record) (TSIG, error) {
	if rec.Class != ClassAny || rec.TTL != 0 {
		return TSIG{}, ErrTSIG
	}
	var buf [zone.MaxName]byte
	alg, off, err := AppendName(buf[:0], msg, rec.Off)
	end := rec.Off + len(rec.Data)
	if err != nil || off+10 > end {
		return TSIG{}, ErrTSIG
	}
	t := TSIG{KeyName: rec.Owner, Algorithm: zone.Name(alg), Start: rec.Start}
	u := binary.BigEndian.Uint16
	t.Time = uint64(u(msg[off:]))<<32 | uint64(binary.BigEndian.Uint32(msg[off+2:]))
	t.Fudge = u(msg[off+6:])
	mac := int(u(msg[off+8:]))
	off += 10
	if off+mac+6 > end {
		return TSIG{}, ErrTSIG
	}
	t.MAC = append([]byte(nil), msg[off:off+mac]...)
	off += mac
	t.OriginalID, t.Error = u(msg[off:]), TSIGError(u(msg[off+2:]))
	other := int(u(msg[off+4:]))
	off += 6
	if off+other != end {
		return TSIG{}, ErrTSIG
	}
	t.Other = append([]byte(nil), msg[off:end]...)
	return t, nil
}

// FindTSIG looks for the TSIG record of a message; nil when it has none. The
// error is one of the Reader's, or ErrTSIG when the record is not the last one
// or malformed.
func FindTSIG(msg []byte) (*TSIG, error) {
	h, ok := ParseHeader(msg)
	if !ok {
		return nil, ErrShort
	}
	off := HeaderLen
	var err error
	for range h.Counts[SectionQuestion] {
		if off, err = skipName(msg, off); err != nil {
			return nil, err
		}
		if off += 4; off > len(msg) {
			return nil, ErrShort
		}
	}
	for s := SectionAnswer; s <= SectionAdditional; s++ {
		for i := range h.Counts[s] {
			start := off
			if off, err = skipName(msg, off); err != nil {
				return nil, err
			}
			if off+10 > len(msg) {
				return nil, ErrShort
			}
			t := zone.Type(binary.BigEndian.Uint16(msg[off:]))
			if off += 10 + int(binary.BigEndian.Uint16(msg[off+8:])); off > len(msg) {
				return nil, ErrShort
			}
			if t != zone.TypeTSIG {
				continue
			}
			if s != SectionAdditional || i != h.Counts[s]-1 {
				return nil, ErrTSIG
			}
			r := Reader{msg: msg, off: start}
			rec, err := r.Record()
			if err != nil {
				return nil, err
			}
			tsig, err := parseTSIG(msg, rec)
			if err != nil {
				return nil, err
			}
			return &tsig, nil
		}
	}
	return nil, nil
}

// variables appends the TSIG variables that a MAC covers (RFC 8945 section
// 4.3.3): names in lower case.
func (t *TSIG) variables(b []byte) []byte {
	b = append(b, t.KeyName.Lower()...)
	b = append(b, 0, byte(ClassAny), 0, 0, 0, 0)
	b = append(b, t.Algorithm.Lower()...)
	b = t.timers(b)
	b = binary.BigEndian.AppendUint16(b, uint16(t.Error))
	b = binary.BigEndian.AppendUint16(b, uint16(len(t.Other)))
	return append(b, t.Other...)
}

// timers appends what the MACs of a stream's later messages cover.
func (t *TSIG) timers(b []byte) []byte {
	b = append(b, byte(t.Time>>40), byte(t.Time>>32), byte(t.Time>>24), byte(t.Time>>16), byte(t.Time>>8), byte(t.Time))
	return binary.BigEndian.AppendUint16(b, t.Fudge)
}

// size is the length of the record on the wire.
func (t *TSIG) size() int {
	return len(t.KeyName) + 10 + len(t.Algorithm) + 16 + len(t.MAC) + len(t.Other)
}

// append adds the record to the message that begins at start, and counts it.
func (t *TSIG) append(b []byte, start int) []byte {
	b = append(b, t.KeyName...)
	b = append(b, 0, byte(zone.TypeTSIG), 0, byte(ClassAny), 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(t.size()-len(t.KeyName)-10))
	b = append(b, t.Algorithm...)
	b = t.timers(b)
	b = binary.BigEndian.AppendUint16(b, uint16(len(t.MAC)))
	b = append(b, t.MAC...)
	b = binary.BigEndian.AppendUint16(b, t.OriginalID)
	b = binary.BigEndian.AppendUint16(b, uint16(t.Error))
	b = binary.BigEndian.AppendUint16(b, uint16(len(t.Other)))
	b = append(b, t.Other...)
	ar := b[start+10:]
	binary.BigEndian.PutUint16(ar, binary.BigEndian.Uint16(ar)+1)
	return b
}

// digestSigned feeds a received message as it was before its TSIG was added:
// original ID, and one additional record less.
func (t *TSIG) digestSigned(h hash.Hash, msg []byte) {
	var head [HeaderLen]byte
	copy(head[:], msg)
	binary.BigEndian.PutUint16(head[:], t.OriginalID)
	binary.BigEndian.PutUint16(head[10:], binary.BigEndian.Uint16(head[10:])-1)
	h.Write(head[:])
	h.Write(msg[HeaderLen:t.Start])
}

// digestMAC feeds an earlier MAC with its length.
func digestMAC(h hash.Hash, mac []byte) {
	h.Write([]byte{byte(len(mac) >> 8), byte(len(mac))})
	h.Write(mac)
}

// checkKey says whether the record names this key and its algorithm, which must
// be permitted.
func (t *TSIG) checkKey(key Key) error {
	if !t.KeyName.Equal(key.Name) || !t.Algorithm.Equal(key.Algorithm.Name()) || key.Check() != nil {
		return BadKey
	}
	return nil
}

// checkMAC compares the MAC with the sum that it should be, then its time, then
// its length: the order of RFC 8945 section 5.2.
func (t *TSIG) checkMAC(sum []byte, key Key, now time.Time) error {
	size := len(sum)
	if len(t.MAC) > size || len(t.MAC) < max(10, (size+1)/2) {
		return fmt.Errorf("%w: a MAC of %d octets", ErrTSIG, len(t.MAC))
	}
	if !hmac.Equal(t.MAC, sum[:len(t.MAC)]) {
		return BadSig
	}
	if d := now.Unix() - int64(t.Time); d > int64(t.Fudge) || -d > int64(t.Fudge) {
		return BadTime
	}
	if len(t.MAC) < key.macSize() {
		return BadTrunc
	}
	return nil
}

// Verify checks the TSIG of a request against the key of that name. msg is the
// message that the record was found in. The error is a TSIGError, to be answered
// by way of AppendTSIGError, or wraps ErrTSIG (FORMERR).
func (t *TSIG) Verify(msg []byte, key Key, now time.Time) error {
	if err := t.checkKey(key); err != nil {
		return err
	}
	h := key.Algorithm.new(key.Secret)
	t.digestSigned(h, msg)
	h.Write(t.variables(nil))
	return t.checkMAC(h.Sum(nil), key, now)
}
