package zonefile

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	"dnsctl/zone"
)

// foreignUsage is the types whose text miekg/dns reads and writes for us: those
// whose text and wire form do not run in parallel.
var foreignUsage = map[zone.Type]string{
	29: "LATITUDE LONGITUDE ALTITUDE [SIZE [HPRECISION [VPRECISION]]]", // LOC (RFC 1876)
	42: "[!]FAMILY:ADDRESS/PREFIX...",                                  // APL (RFC 3123)
	45: "PRECEDENCE GATEWAYTYPE ALGORITHM GATEWAY [KEY]",               // IPSECKEY (RFC 4025)
	55: "ALGORITHM HIT KEY [SERVER...]",                                // HIP (RFC 8005)
	64: "PRIORITY TARGET [KEY=VALUE...]",                               // SVCB (RFC 9460)
	65: "PRIORITY TARGET [KEY=VALUE...]",                               // HTTPS (RFC 9460)

	typeAMTRELAY: amtrelayUsage,
}

// headerLength is that of a packed record with the root as owner, up to rdata.
const headerLength = 1 + 10

// foreign reads all tokens as rdata of a type without a layout.
func (p *rdataParser) foreign(t zone.Type) error {
	want, ok := foreignUsage[t]
	if !ok {
		return fmt.Errorf(`%s records are read in generic form only: \# LENGTH HEX (RFC 3597)`, t)
	}
	switch t {
	case typeAMTRELAY:
		return p.amtrelay()
	case typeLOC:
		if err := checkLOC(p.toks); err != nil {
			return fmt.Errorf("%s wants %s: %w", t, want, err)
		}
	}
	var line strings.Builder
	var last []byte
	line.WriteString(". 0 IN " + t.String())
	for _, w := range p.toks {
		if !w.glued || !bytes.HasSuffix(last, []byte("=")) { // key="value" of SVCB
			line.WriteByte(' ')
		}
		last = w.text
		q := ""
		if w.quoted {
			q = `"`
		}
		line.WriteString(q + string(w.text) + q)
	}
	line.WriteByte('\n')
	origin := p.origin
	if origin == "" {
		origin = zone.Root
	}
	zp := dns.NewZoneParser(strings.NewReader(line.String()), origin.String(), "")
	rr, ok := zp.Next()
	err := zp.Err()
	if err == nil && !ok {
		err = errMissing
	}
	var wire string
	if err == nil {
		wire, err = packForeign(rr)
	}
	if err == nil {
		err = obeys(t, wire)
	}
	if err == nil && !foreignWellFormed(t, wire) {
		err = errors.New("a value is out of range")
	}
	if err != nil {
		return fmt.Errorf("%s wants %s: %s", t, want, foreignReason(err))
	}
	p.out, p.toks = append(p.out, wire...), nil
	return nil
}

// foreignReason is the library's message without its own name and position.
func foreignReason(err error) string {
	s := strings.TrimPrefix(err.Error(), "dns: ")
	if i := strings.LastIndex(s, " at line: "); i >= 0 {
		s = s[:i]
	}
	s = strings.TrimSuffix(strings.TrimSuffix(s, `: "\n"`), `: " "`) // where a word is missing
	if s == "" || s[0] == ':' {
		s = "malformed value" + s
	}
	return s
}

func packForeign(rr dns.RR) (string, error) {
	buf := make([]byte, dns.Len(rr)+64)
	n, err := dns.PackRR(rr, buf, 0, nil, false)
	if err != nil {
		return "", err
	}
	return string(buf[headerLength:n]), nil
}

// unpackForeign is the record that rdata stands for; nil when it is malformed.
func unpackForeign(t zone.Type, rdata string) dns.RR {
	if len(rdata) > 65535 {
		return nil
	}
	h := dns.RR_Header{Name: ".", Rrtype: uint16(t), Class: dns.ClassINET, Rdlength: uint16(len(rdata))}
	rr, n, err := dns.UnpackRRWithHeader(h, []byte(rdata), 0)
	if err != nil || n != len(rdata) || rdata == "" && t != 42 { // only APL may be empty
		return nil
	}
	return rr
}

// foreignWellFormed says whether the rdata is one that the library reads and
// writes as the same octets. Types that it is not used for are opaque.
func foreignWellFormed(t zone.Type, rdata string) bool {
	if _, ok := foreignUsage[t]; !ok {
		return true
	}
	if t == typeAMTRELAY {
		return amtrelayWellFormed(rdata)
	}
	rr := unpackForeign(t, rdata)
	if rr == nil {
		return false
	}
	again, err := packForeign(rr)
	return err == nil && again == rdata && obeys(t, rdata) == nil
}

// foreignText is the presentation form of rdata; false when there is none that
// reads back as the same octets.
func foreignText(t zone.Type, rdata string) (string, bool) {
	if _, ok := foreignUsage[t]; !ok {
		return "", false
	}
	if t == typeAMTRELAY {
		if !amtrelayWellFormed(rdata) {
			return "", false
		}
		return amtrelayText(rdata), true
	}
	rr := unpackForeign(t, rdata)
	if rr == nil {
		return "", false
	}
	text := strings.TrimSpace(strings.TrimPrefix(rr.String(), rr.Header().String()))
	back, err := ParseRdata(t, text, zone.Root)
	if err != nil || back != rdata {
		return "", false
	}
	return text, true
}

const typeLOC zone.Type = 29

// checkLOC refuses what the library would take of a LOC record (RFC 1876 section
// 3) and silently change: more words or finer fractions than there are, and
// altitudes below the lowest.
func checkLOC(toks []token) error {
	lengths := -1 // of altitude, size and precisions seen; -1: in the position yet
	for _, t := range toks {
		text := strings.ToLower(string(t.text))
		_, fraction, _ := strings.Cut(strings.TrimSuffix(text, "m"), ".")
		if lengths < 0 {
			if len(fraction) > 3 {
				return fmt.Errorf("%q: more than three decimals", clip(t.text))
			}
			if text == "e" || text == "w" {
				lengths = 0
			}
			continue
		}
		lengths++
		if len(fraction) > 2 {
			return fmt.Errorf("%q: more than two decimals", clip(t.text))
		}
		v, err := strconv.ParseFloat(strings.TrimSuffix(text, "m"), 64)
		switch {
		case err != nil:
			return fmt.Errorf("%q: is not a length in metres", clip(t.text))
		case lengths == 1 && v < -100000:
			return fmt.Errorf("%q: altitude is below -100000m", clip(t.text))
		case lengths > 4:
			return fmt.Errorf("%q: is more than that", clip(t.text))
		}
	}
	if lengths < 1 {
		return errors.New("altitude is missing")
	}
	return nil
}
