package zonefile

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"dnsctl/zone"
)

// Errors of single fields; rdataParser.fail says where.
var (
	errMissing  = errors.New("is missing")
	errExtra    = errors.New("is more than that")
	errQuoted   = errors.New("is quoted")
	errNumber   = errors.New("is not a number")
	errIPv4     = errors.New("is not an IPv4 address")
	errIPv6     = errors.New("is not an IPv6 address")
	errHexa     = errors.New("is not hexadecimal in whole octets")
	errB64      = errors.New("is not base64")
	errB32      = errors.New("is not base32hex")
	errLongText = errors.New("is a string of more than 255 octets: split it into several")
	errTagText  = errors.New("has other characters than letters and digits")
	errTime     = errors.New("is not a time like 20260131235959, nor seconds since 1970")
	errNode     = errors.New("is not four groups of hexadecimal digits like 0014:4fff:ff20:ee64")
	errMAC      = errors.New("is not octets in hexadecimal with - between")
	errNoOrigin = errors.New("is relative, and there is no origin yet")
)

// rdataParser reads the tokens of one record's rdata and appends its wire form
// to out.
type rdataParser struct {
	toks   []token
	origin zone.Name // empty when it is not known
	out    []byte
}

// rdata reads all tokens as rdata of the type.
func (p *rdataParser) rdata(t zone.Type) error {
	if len(p.toks) > 0 && !p.toks[0].quoted && string(p.toks[0].text) == `\#` {
		return p.generic(t)
	}
	l, ok := layouts[t]
	if !ok {
		return p.foreign(t)
	}
	start := len(p.out)
	for _, f := range l {
		if len(p.toks) == 0 && f.kind != kMaybe && f.kind != kKey && f.kind != kTypes {
			return p.fail(t, f, nil, errMissing)
		}
		first := p.toks
		if err := p.field(f.kind); err != nil {
			var text []byte
			if len(first) > 0 {
				text = first[0].text
			}
			return p.fail(t, f, text, err)
		}
	}
	if len(p.toks) > 0 {
		return p.fail(t, field{}, p.toks[0].text, errExtra)
	}
	if rule, ok := rules[t]; ok {
		if err := rule(string(p.out[start:])); err != nil {
			return fmt.Errorf("%s wants %s: %w", t, usage(t), err)
		}
	}
	return nil
}

// fail says what the type wants, what was given, and what is wrong with it.
func (p *rdataParser) fail(t zone.Type, f field, text []byte, err error) error {
	what := strings.ToLower(strings.Trim(f.name, "[]."))
	if what != "" {
		what += " "
	}
	if text == nil {
		return fmt.Errorf("%s wants %s: %s%w", t, usage(t), what, err)
	}
	return fmt.Errorf("%s wants %s: %q: %s%w", t, usage(t), clip(text), what, err)
}

// take is the next token, which must not be quoted.
func (p *rdataParser) take() ([]byte, error) {
	t := p.toks[0]
	if t.quoted {
		return nil, errQuoted
	}
	p.toks = p.toks[1:]
	return t.text, nil
}

// field reads one field. There is a token at hand for all kinds that need one.
func (p *rdataParser) field(k kind) error {
	switch k {
	case kString, kStrings, kLong, kMaybe:
		return p.text(k)
	case kHex, kBase64, kKey:
		return p.blob(k)
	case kTypes, kSomeTypes:
		return p.bitmap()
	}
	b, err := p.take()
	if err != nil {
		return err
	}
	switch k {
	case kName:
		p.out, err = appendName(p.out, b, p.origin)
		return err
	case kU8:
		return p.number(b, 8)
	case kU16:
		return p.number(b, 16)
	case kU32:
		return p.number(b, 32)
	case kPeriod:
		v, err := parsePeriod(b)
		p.out = binary.BigEndian.AppendUint32(p.out, v)
		return is(err)
	case kIPv4:
		return p.ipv4(b)
	case kIPv6:
		a, err := netip.ParseAddr(string(b))
		if err != nil || !a.Is6() || a.Zone() != "" {
			return errIPv6
		}
		a16 := a.As16()
		p.out = append(p.out, a16[:]...)
		return nil
	case kTag:
		if !isTag(string(b)) {
			return errTagText
		}
		return p.prefixed(b)
	case kSalt:
		if string(b) == "-" {
			p.out = append(p.out, 0)
			return nil
		}
		raw := make([]byte, hex.DecodedLen(len(b)))
		if _, err := hex.Decode(raw, b); err != nil {
			return errHexa
		}
		return p.prefixed(raw)
	case kHash:
		raw, err := base32hex.DecodeString(strings.ToUpper(string(b)))
		if err != nil || len(raw) == 0 {
			return errB32
		}
		return p.prefixed(raw)
	case kType:
		t, err := zone.ParseType(string(b))
		p.out = binary.BigEndian.AppendUint16(p.out, uint16(t))
		return is(err)
	case kAlg:
		return p.mnemonic(b, 8, algorithms)
	case kDigest:
		return p.mnemonic(b, 8, digestTypes)
	case kCert:
		return p.mnemonic(b, 16, certTypes)
	case kTime:
		return p.time(b)
	case kEUI48:
		return p.groups(b, '-', 6, 1, errMAC)
	case kEUI64:
		return p.groups(b, '-', 8, 1, errMAC)
	case kNode:
		return p.groups(b, ':', 4, 2, errNode)
	}
	return fmt.Errorf("field kind %d is unknown", k)
}

// is puts a verb before an error that describes a value.
func is(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("is %w", err)
}

func (p *rdataParser) number(b []byte, bits int) error {
	var n uint64
	if len(b) == 0 {
		return errNumber
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return errNumber
		}
		if n = n*10 + uint64(c-'0'); n >= 1<<bits {
			return fmt.Errorf("is more than %d", uint64(1)<<bits-1)
		}
	}
	switch bits {
	case 8:
		p.out = append(p.out, byte(n))
	case 16:
		p.out = binary.BigEndian.AppendUint16(p.out, uint16(n))
	default:
		p.out = binary.BigEndian.AppendUint32(p.out, uint32(n))
	}
	return nil
}

// mnemonic reads a number, or a name for it.
func (p *rdataParser) mnemonic(b []byte, bits int, names map[string]int) error {
	if n, ok := names[strings.ToUpper(string(b))]; ok {
		b = strconv.AppendInt(nil, int64(n), 10)
	}
	return p.number(b, bits)
}

// algorithms of RFC 4034 appendix A.1 and its successors, by IANA's mnemonics.
var algorithms = map[string]int{
	"RSAMD5": 1, "DH": 2, "DSA": 3, "RSASHA1": 5, "DSA-NSEC3-SHA1": 6, "NSEC3DSA": 6, "RSASHA1-NSEC3-SHA1": 7,
	"NSEC3RSASHA1": 7, "RSASHA256": 8, "RSASHA512": 10, "ECC-GOST": 12, "ECCGOST": 12, "ECDSAP256SHA256": 13,
	"ECDSAP384SHA384": 14, "ED25519": 15, "ED448": 16, "INDIRECT": 252, "PRIVATEDNS": 253, "PRIVATEOID": 254,
}

var digestTypes = map[string]int{"SHA-1": 1, "SHA1": 1, "SHA-256": 2, "SHA256": 2, "SHA-384": 4, "SHA384": 4}

// certTypes of RFC 4398 section 2.1.
var certTypes = map[string]int{
	"PKIX": 1, "SPKI": 2, "PGP": 3, "IPKIX": 4, "ISPKI": 5, "IPGP": 6, "ACPKIX": 7, "IACPKIX": 8, "URI": 253, "OID": 254,
}

func (p *rdataParser) ipv4(b []byte) error {
	octets, n, digits := 0, 0, 0
	var a [4]byte
	for i := 0; i <= len(b); i++ {
		if i == len(b) || b[i] == '.' {
			if digits == 0 || octets == 4 {
				return errIPv4
			}
			a[octets] = byte(n)
			octets++
			n, digits = 0, 0
			continue
		}
		c := b[i]
		if c < '0' || c > '9' || digits > 0 && n == 0 { // a leading zero might mean octal
			return errIPv4
		}
		if n = n*10 + int(c-'0'); n > 255 {
			return errIPv4
		}
		digits++
	}
	if octets != 4 {
		return errIPv4
	}
	p.out = append(p.out, a[:]...)
	return nil
}

// text reads character-strings, quoted or not.
func (p *rdataParser) text(k kind) error {
	if k == kLong {
		out, err := unescape(p.out, p.toks[0].text)
		p.out, p.toks = out, p.toks[1:]
		return err
	}
	for len(p.toks) > 0 {
		at := len(p.out)
		out, err := unescape(append(p.out, 0), p.toks[0].text)
		if err != nil {
			return err
		}
		n := len(out) - at - 1
		if n > 255 {
			return errLongText
		}
		out[at] = byte(n)
		p.out, p.toks = out, p.toks[1:]
		if k != kStrings {
			break
		}
	}
	return nil
}

// unescape appends the octets that text stands for.
func unescape(dst, text []byte) ([]byte, error) {
	for {
		i := bytes.IndexByte(text, '\\')
		if i < 0 {
			return append(dst, text...), nil
		}
		dst = append(dst, text[:i]...)
		text = text[i+1:]
		switch {
		case len(text) == 0:
			return dst, errEscape
		case text[0] < '0' || text[0] > '9':
			dst = append(dst, text[0])
			text = text[1:]
		default:
			if len(text) < 3 {
				return dst, errEscape
			}
			v, err := strconv.ParseUint(string(text[:3]), 10, 8)
			if err != nil {
				return dst, errEscape
			}
			dst = append(dst, byte(v))
			text = text[3:]
		}
	}
}

var errEscape = fmt.Errorf("has a %w", zone.ErrEscape)

func (p *rdataParser) prefixed(b []byte) error {
	if len(b) > 255 {
		return errLongText
	}
	p.out = append(append(p.out, byte(len(b))), b...)
	return nil
}
