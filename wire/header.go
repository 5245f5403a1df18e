package wire

import (
	"encoding/binary"
	"strconv"

	"dnsctl/zone"
)

// HeaderLen is the length of a message's header in octets (RFC 1035 section
// 4.1.1).
const HeaderLen = 12

// MaxMessage is the greatest length of a message in octets: that of the TCP
// framing (RFC 1035 section 4.2.2).
const MaxMessage = 65535

// Flags is the second word of the header: QR, opcode, AA, TC, RD, RA, Z, AD, CD
// and the low four bits of the rcode.
type Flags uint16

// The bits of Flags (RFC 1035 section 4.1.1, RFC 4035 section 3.2).
const (
	FlagQR Flags = 1 << 15
	FlagAA Flags = 1 << 10
	FlagTC Flags = 1 << 9
	FlagRD Flags = 1 << 8
	FlagRA Flags = 1 << 7
	FlagAD Flags = 1 << 5
	FlagCD Flags = 1 << 4
)

// Opcode of the flags.
func (f Flags) Opcode() Opcode { return Opcode(f >> 11 & 0xf) }

// Rcode of the flags: the low four bits of the response code.
func (f Flags) Rcode() Rcode { return Rcode(f & 0xf) }

// With is f with the opcode and the low four bits of the rcode replaced.
func (f Flags) With(o Opcode, r Rcode) Flags {
	return f&^(0xf<<11|0xf) | Flags(o&0xf)<<11 | Flags(r&0xf)
}

// Opcode is the kind of a query (IANA's DNS OpCodes).
type Opcode uint8

// The opcodes.
const (
	OpQuery  Opcode = 0
	OpIQuery Opcode = 1
	OpStatus Opcode = 2
	OpNotify Opcode = 4
	OpUpdate Opcode = 5
	OpDSO    Opcode = 6
)

// String is the mnemonic, or OPCODEn.
func (o Opcode) String() string {
	switch o {
	case OpQuery:
		return "QUERY"
	case OpIQuery:
		return "IQUERY"
	case OpStatus:
		return "STATUS"
	case OpNotify:
		return "NOTIFY"
	case OpUpdate:
		return "UPDATE"
	case OpDSO:
		return "DSO"
	}
	return "OPCODE" + strconv.Itoa(int(o))
}

// Rcode is a response code of up to twelve bits (RFC 6895 section 2.3); those
// above 15 need EDNS.
type Rcode uint16

// The response codes that a message's header and OPT can carry.
const (
	RcodeSuccess  Rcode = 0
	RcodeFormErr  Rcode = 1
	RcodeServFail Rcode = 2
	RcodeNXDomain Rcode = 3
	RcodeNotImp   Rcode = 4
	RcodeRefused  Rcode = 5
	RcodeYXDomain Rcode = 6
	RcodeYXRRSet  Rcode = 7
	RcodeNXRRSet  Rcode = 8
	RcodeNotAuth  Rcode = 9
	RcodeNotZone  Rcode = 10
	RcodeBadVers  Rcode = 16
	RcodeBadCooki Rcode = 23
)

var rcodes = [...]string{"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET",
	"NXRRSET", "NOTAUTH", "NOTZONE", "DSOTYPENI"}

// String is the mnemonic, or RCODEn.
func (r Rcode) String() string {
	switch {
	case int(r) < len(rcodes):
		return rcodes[r]
	case r == RcodeBadVers:
		return "BADVERS"
	case r == RcodeBadCooki:
		return "BADCOOKIE"
	}
	return "RCODE" + strconv.Itoa(int(r))
}

// Class is a record's or a question's class.
type Class uint16

// The classes (RFC 1035 section 3.2.4, RFC 2136 section 1.3).
const (
	ClassIN   Class = 1
	ClassCH   Class = 3
	ClassHS   Class = 4
	ClassNone Class = 254
	ClassAny  Class = 255
)

// Section of a message; it indexes Header.Counts.
type Section int

// The sections in their order in the message.
const (
	SectionQuestion Section = iota
	SectionAnswer
	SectionAuthority
	SectionAdditional
)

// Header is a message's first twelve octets.
type Header struct {
	ID     uint16
	Flags  Flags
	Counts [4]uint16 // records of each Section
}

// ParseHeader reads the header; false when the message is shorter than one.
func ParseHeader(msg []byte) (Header, bool) {
	if len(msg) < HeaderLen {
		return Header{}, false
	}
	u := binary.BigEndian.Uint16
	return Header{u(msg), Flags(u(msg[2:])), [4]uint16{u(msg[4:]), u(msg[6:]), u(msg[8:]), u(msg[10:])}}, true
}

// Append appends the header's wire form.
func (h Header) Append(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, h.ID)
	b = binary.BigEndian.AppendUint16(b, uint16(h.Flags))
	for _, c := range h.Counts {
		b = binary.BigEndian.AppendUint16(b, c)
	}
	return b
}

// Question of a message (RFC 1035 section 4.1.2), its name as the client
// spelled it.
type Question struct {
	Name  zone.Name
	Type  zone.Type
	Class Class
}
