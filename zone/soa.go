package zone

import (
	"encoding/binary"
	"fmt"
)

// SOA is the rdata of an SOA record (RFC 1035 section 3.3.13); times in seconds.
type SOA struct {
	MName, RName                    Name
	Serial                          Serial
	Refresh, Retry, Expire, Minimum uint32
}

// ParseSOA reads SOA rdata.
func ParseSOA(rdata string) (SOA, error) {
	m, n, err := UnpackName([]byte(rdata))
	if err != nil {
		return SOA{}, fmt.Errorf("SOA rdata: primary name: %w", err)
	}
	r, k, err := UnpackName([]byte(rdata[n:]))
	if err != nil {
		return SOA{}, fmt.Errorf("SOA rdata: mailbox name: %w", err)
	}
	rest := []byte(rdata[n+k:])
	if len(rest) != 20 {
		return SOA{}, fmt.Errorf("SOA rdata: %d octets after the names, want 20", len(rest))
	}
	u := binary.BigEndian.Uint32
	return SOA{m, r, Serial(u(rest)), u(rest[4:]), u(rest[8:]), u(rest[12:]), u(rest[16:])}, nil
}

// Rdata is the wire form.
func (s SOA) Rdata() string {
	b := make([]byte, 0, len(s.MName)+len(s.RName)+20)
	b = append(b, s.MName...)
	b = append(b, s.RName...)
	for _, v := range [...]uint32{uint32(s.Serial), s.Refresh, s.Retry, s.Expire, s.Minimum} {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return string(b)
}

// WithSerial is SOA rdata with its serial replaced.
func (s SOA) WithSerial(n Serial) SOA {
	s.Serial = n
	return s
}
