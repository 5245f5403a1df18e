package wire

import (
	"encoding/binary"

	"dnsctl/zone"
)

// EDNS option codes that are understood.
const (
	OptNSID      = 3  // RFC 5001
	OptKeepalive = 11 // RFC 7828
)

// EDNS is what an OPT record says (RFC 6891). The zero value means that there
// was none.
type EDNS struct {
	Present   bool
	Version   uint8
	UDPSize   uint16 // octets that the sender can take over UDP, as sent
	DO        bool
	NSID      bool // the option was there
	Keepalive bool // the option was there
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
		case OptKeepalive:
			// A client's option is empty (RFC 7828 section 3.2.1).
			if l != 0 {
				return e, false
			}
			e.Keepalive = true
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
}

// Len is how many octets the OPT record takes.
func (r Reply) Len() int {
	n := 11
	if r.Keepalive >= 0 {
		n += 6
	}
	if r.NSID != "" {
		n += 4 + len(r.NSID)
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
	e.buf = b
	e.counts[SectionAdditional]++
	return true
}
