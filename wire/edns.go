package wire

import (
	"encoding/binary"

	"dnsctl/zone"
)

// EDNS option codes that are understood.
const (
	OptNSID        = 3  // RFC 5001
	OptExpire      = 9  // RFC 7314
	OptKeepalive   = 11 // RFC 7828
	OptEDE         = 15 // RFC 8914
	OptZoneVersion = 19 // RFC 9660
)

// EDNS is what an OPT record says (RFC 6891). The zero value means that there
// was none.
type EDNS struct {
	Present bool
	Version uint8
	UDPSize uint16 // octets that the sender can take over UDP, as sent
	DO      bool

	// The options that were there.
	NSID, Expire, Keepalive, ZoneVersion bool
}

// parseOPT reads an OPT record; false when it is malformed.
func parseOPT(rec Record) (EDNS, bool) {
	if rec.Owner != zone.Root {
		return EDNS{}, false
	}
	e := EDNS{
		Present: true,
		Version: uint8(rec.TTL >> 16),
		UDPSize: uint16(rec.Class),
		DO:      rec.TTL&(1<<15) != 0,
	}
	if e.Version > 0 {
		return e, true // what its options look like is not known: BADVERS, whatever they are
	}
	for d := rec.Data; len(d) > 0; {
		if len(d) < 4 {
			return e, false
		}
		code, l := binary.BigEndian.Uint16(d), int(binary.BigEndian.Uint16(d[2:]))
		if len(d) < 4+l {
			return e, false
		}
		switch code {
		case OptNSID:
			e.NSID = true
		case OptExpire: // these are empty in a question; with octets they are none
			e.Expire = l == 0
		case OptZoneVersion:
			e.ZoneVersion = l == 0
		case OptKeepalive:
			e.Keepalive = l == 0
		}
		d = d[4+l:]
	}
	return e, true
}

// Reply is the OPT record of a response.
type Reply struct {
	UDPSize   uint16 // octets that we can take over UDP
	DO        bool   // echoed (RFC 3225 section 3)
	Keepalive int    // idle timeout in units of 100 ms; below 0: no option
	NSID      string // identifier; empty: no option
	EDE       EDE    // code 0: no option

	HasExpire bool
	Expire    uint32 // seconds until a copy of the zone is too old to be served

	HasVersion bool
	Labels     uint8       // of the zone's apex, without the root's
	Serial     zone.Serial // of the content that the answer is of
}

// EDE says more of an error than its rcode (RFC 8914).
type EDE struct {
	Code uint16
	Text string
}

// Codes of EDE.
const (
	EDENotReady         = 14
	EDEProhibited       = 18
	EDENotAuthoritative = 20
	EDENotSupported     = 21
	EDEInvalidData      = 24
)

// Len is how many octets the OPT record takes.
func (r Reply) Len() int {
	n := 11
	if r.Keepalive >= 0 {
		n += 6
	}
	if r.NSID != "" {
		n += 4 + len(r.NSID)
	}
	if r.HasExpire {
		n += 4 + 4
	}
	if r.HasVersion {
		n += 4 + 6
	}
	if r.EDE.Code != 0 {
		n += 4 + 2 + len(r.EDE.Text)
	}
	return n
}

// OPT appends the record to the additional section, with the high bits of the
// rcode. It is false, and nothing is written, when there is no room: callers
// set the limit so that there is. Records may follow it.
func (e *Encoder) OPT(r Reply, rcode Rcode) bool {
	if len(e.buf)+r.Len() > e.end {
		return false
	}
	var flags uint16
	if r.DO {
		flags = 1 << 15
	}
	b := append(e.buf, 0, 0, byte(zone.TypeOPT))
	b = binary.BigEndian.AppendUint16(b, r.UDPSize)
	b = append(b, byte(rcode>>4), 0)
	b = binary.BigEndian.AppendUint16(b, flags)
	b = binary.BigEndian.AppendUint16(b, uint16(r.Len()-11))
	if r.Keepalive >= 0 {
		b = append(b, 0, OptKeepalive, 0, 2, byte(r.Keepalive>>8), byte(r.Keepalive))
	}
	if r.NSID != "" {
		b = append(b, 0, OptNSID)
		b = binary.BigEndian.AppendUint16(b, uint16(len(r.NSID)))
		b = append(b, r.NSID...)
	}
	if r.HasExpire {
		b = append(b, 0, OptExpire, 0, 4)
		b = binary.BigEndian.AppendUint32(b, r.Expire)
	}
	if r.HasVersion {
		const soaSerial = 0 // the type of version
		b = append(b, 0, OptZoneVersion, 0, 6, r.Labels, soaSerial)
		b = binary.BigEndian.AppendUint32(b, uint32(r.Serial))
	}
	if r.EDE.Code != 0 {
		b = append(b, 0, OptEDE)
		b = binary.BigEndian.AppendUint16(b, uint16(2+len(r.EDE.Text)))
		b = binary.BigEndian.AppendUint16(b, r.EDE.Code)
		b = append(b, r.EDE.Text...)
	}
	e.buf = b
	e.counts[SectionAdditional]++
	return true
}
