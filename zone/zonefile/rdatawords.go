package zonefile

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"dnsctl/zone"
)

// blob reads all words that are left as one piece of hexadecimal or base64.
func (p *rdataParser) blob(k kind) error {
	var joined []byte
	for i, t := range p.toks {
		if t.quoted {
			return errQuoted
		}
		if i == 0 && len(p.toks) == 1 {
			joined = t.text
			break
		}
		joined = append(joined, t.text...)
	}
	p.toks = nil
	var err error
	at := len(p.out)
	if k == kHex {
		if p.out, err = hex.AppendDecode(p.out, joined); err != nil {
			err = errHexa
		}
	} else if p.out, err = base64.StdEncoding.Strict().AppendDecode(p.out, joined); err != nil {
		err = errB64
	}
	if err == nil && k != kKey && len(p.out) == at {
		err = errMissing
	}
	return err
}

// bitmap reads all words that are left as types (RFC 4034 section 4.1.2).
func (p *rdataParser) bitmap() error {
	windows := map[byte]*[32]byte{}
	for len(p.toks) > 0 {
		b, err := p.take()
		if err != nil {
			return err
		}
		t, err := zone.ParseType(string(b))
		if err != nil {
			return is(err)
		}
		w := windows[byte(t>>8)]
		if w == nil {
			w = new([32]byte)
			windows[byte(t>>8)] = w
		}
		w[byte(t)/8] |= 0x80 >> (t % 8)
	}
	for i := range 256 {
		w := windows[byte(i)]
		if w == nil {
			continue
		}
		n := len(w)
		for w[n-1] == 0 {
			n--
		}
		p.out = append(append(p.out, byte(i), byte(n)), w[:n]...)
	}
	return nil
}

func (p *rdataParser) time(b []byte) error {
	if len(b) < len(timeLayout) {
		if p.number(b, 32) != nil {
			return errTime
		}
		return nil
	}
	t, err := time.Parse(timeLayout, string(b))
	if err != nil || t.Unix() < 0 || t.Unix() > 1<<32-1 {
		return errTime
	}
	p.out = binary.BigEndian.AppendUint32(p.out, uint32(t.Unix()))
	return nil
}

// groups reads count groups of size octets each in hexadecimal.
func (p *rdataParser) groups(b []byte, sep byte, count, size int, bad error) error {
	parts := bytes.Split(b, []byte{sep})
	if len(parts) != count {
		return bad
	}
	for _, part := range parts {
		if len(part) == 0 || len(part) > 2*size || size == 1 && len(part) != 2 {
			return bad
		}
		v, err := strconv.ParseUint(string(part), 16, 8*size)
		if err != nil {
			return bad
		}
		if size == 2 {
			p.out = append(p.out, byte(v>>8))
		}
		p.out = append(p.out, byte(v))
	}
	return nil
}

// generic reads RFC 3597's form: \# LENGTH HEX...
func (p *rdataParser) generic(t zone.Type) error {
	fail := func(why string) error {
		return fmt.Errorf(`%s in generic form wants \# LENGTH HEX: %s`, t, why)
	}
	toks := p.toks[1:]
	if len(toks) == 0 {
		return fail("length is missing")
	}
	n, err := strconv.ParseUint(string(toks[0].text), 10, 16)
	if err != nil {
		return fail(fmt.Sprintf("%q: length is not a number up to 65535", clip(toks[0].text)))
	}
	at := len(p.out)
	for _, w := range toks[1:] {
		if w.quoted {
			return fail("quoted text")
		}
	}
	if p.toks = toks[1:]; len(p.toks) > 0 {
		if err := p.blob(kHex); err != nil {
			return fail("the data " + err.Error())
		}
	}
	if got := len(p.out) - at; got != int(n) {
		return fail(fmt.Sprintf("%d octets of data, not %d", got, n))
	}
	if !wellFormed(t, string(p.out[at:])) {
		return fmt.Errorf("the data is not what %s records consist of: %s", t, usage(t))
	}
	return nil
}

// appendName appends the wire form of a name in presentation form. The common
// case is done here; escapes and faults are zone.ParseRelative's.
func appendName(dst, text []byte, origin zone.Name) ([]byte, error) {
	start, label := len(dst), len(dst)
	dst = append(dst, 0)
	for _, c := range text {
		if c == '.' {
			n := len(dst) - label - 1
			if n == 0 || n > zone.MaxLabel {
				return slowName(dst[:start], text, origin)
			}
			dst[label] = byte(n)
			label = len(dst)
			dst = append(dst, 0)
			continue
		}
		if c == '\\' || c == '@' {
			return slowName(dst[:start], text, origin)
		}
		dst = append(dst, c)
	}
	n := len(dst) - label - 1
	if n > 0 { // relative
		if n > zone.MaxLabel || origin == "" {
			return slowName(dst[:start], text, origin)
		}
		dst[label] = byte(n)
		dst = append(dst, origin...)
	}
	if len(dst)-start > zone.MaxName || len(text) == 0 {
		return slowName(dst[:start], text, origin)
	}
	return dst, nil
}

func slowName(dst, text []byte, origin zone.Name) ([]byte, error) {
	base := origin
	if base == "" {
		base = zone.Root
	}
	n, absolute, err := zone.ParseRelative(string(text), base)
	if err != nil {
		return dst, is(err)
	}
	if !absolute && origin == "" {
		return dst, errNoOrigin
	}
	return append(dst, n...), nil
}
