package zonefile

import (
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"dnsctl/zone"
)

var base32hex = base32.HexEncoding.WithPadding(base32.NoPadding)

// RdataText is the presentation form of one record's rdata. What the type's
// form cannot say, and types without one, are written as RFC 3597 section 5
// has it: \# LENGTH HEX. ParseRdata reads it back to the same octets.
func RdataText(t zone.Type, rdata string) string {
	return string(appendRdata(nil, t, rdata))
}

func appendRdata(dst []byte, t zone.Type, rdata string) []byte {
	l, ok := layouts[t]
	if !ok {
		if text, ok := foreignText(t, rdata); ok && len(text) < MaxRecord/2 {
			return append(dst, text...)
		}
		return appendGeneric(dst, rdata)
	}
	if !wellFormed(t, rdata) {
		return appendGeneric(dst, rdata)
	}
	start, rest := len(dst), rdata
	for _, f := range l {
		n := f.kind.span(rest)
		if n == 0 && f.kind != kLong { // left out at the end; kLong is ""
			break
		}
		if len(dst) > start {
			dst = append(dst, ' ')
		}
		var ok bool
		if dst, ok = appendField(dst, f.kind, rest[:n]); !ok {
			return appendGeneric(dst[:start], rdata)
		}
		rest = rest[n:]
	}
	return dst
}

// appendGeneric writes RFC 3597's form.
func appendGeneric(dst []byte, rdata string) []byte {
	dst = append(dst, `\# `...)
	dst = strconv.AppendInt(dst, int64(len(rdata)), 10)
	if rdata != "" {
		dst = append(dst, ' ')
		dst = hex.AppendEncode(dst, []byte(rdata))
	}
	return dst
}

// appendField writes one field; false when text cannot say it.
func appendField(dst []byte, k kind, b string) ([]byte, bool) {
	switch k {
	case kName:
		return append(dst, zone.Name(b).String()...), true
	case kU8, kAlg, kDigest:
		return strconv.AppendUint(dst, uint64(b[0]), 10), true
	case kU16, kCert:
		return strconv.AppendUint(dst, uint64(u16(b)), 10), true
	case kU32, kPeriod:
		return strconv.AppendUint(dst, uint64(u32(b)), 10), true
	case kType:
		return append(dst, zone.Type(u16(b)).String()...), true
	case kTime:
		return time.Unix(int64(u32(b)), 0).UTC().AppendFormat(dst, timeLayout), true
	case kIPv4:
		for i := range 4 {
			if i > 0 {
				dst = append(dst, '.')
			}
			dst = strconv.AppendUint(dst, uint64(b[i]), 10)
		}
		return dst, true
	case kIPv6:
		return netip.AddrFrom16([16]byte([]byte(b))).AppendTo(dst), true
	case kString, kMaybe:
		return appendQuoted(dst, b[1:]), true
	case kLong:
		return appendQuoted(dst, b), true
	case kStrings:
		for at := 0; at < len(b); {
			end := at + 1 + int(b[at])
			if at > 0 {
				dst = append(dst, ' ')
			}
			dst = appendQuoted(dst, b[at+1:end])
			at = end
		}
		return dst, true
	case kTag:
		return append(dst, b[1:]...), true
	case kHex:
		n := len(dst)
		dst = hex.AppendEncode(dst, []byte(b))
		upper(dst[n:])
		return dst, true
	case kBase64, kKey:
		return base64.StdEncoding.AppendEncode(dst, []byte(b)), true
	case kSalt:
		if len(b) == 1 {
			return append(dst, '-'), true
		}
		n := len(dst)
		dst = hex.AppendEncode(dst, []byte(b[1:]))
		upper(dst[n:])
		return dst, true
	case kHash:
		return base32hex.AppendEncode(dst, []byte(b[1:])), true
	case kTypes, kSomeTypes:
		return appendBitmap(dst, b), true
	case kEUI48, kEUI64:
		return appendGroups(dst, b, 1, '-'), true
	case kNode:
		return appendGroups(dst, b, 2, ':'), true
	}
	return dst, false
}

const timeLayout = "20060102150405"

func u16(b string) uint16 { return uint16(b[0])<<8 | uint16(b[1]) }
func u32(b string) uint32 { return binary.BigEndian.Uint32([]byte(b)) }

func upper(b []byte) {
	for i, c := range b {
		if c >= 'a' && c <= 'f' {
			b[i] = c - ('a' - 'A')
		}
	}
}

// appendQuoted writes a character-string: quoted, with " and \ escaped and what
// is not printable ASCII as \DDD.
func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < ' ' || c > '~':
			dst = append(dst, '\\', '0'+c/100, '0'+c/10%10, '0'+c%10)
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}

// appendBitmap writes the mnemonics of a valid type bitmap.
func appendBitmap(dst []byte, b string) []byte {
	for first := true; b != ""; b = b[2+int(b[1]):] {
		for i := range int(b[1]) * 8 {
			if b[2+i/8]&(0x80>>(i%8)) == 0 {
				continue
			}
			if !first {
				dst = append(dst, ' ')
			}
			first = false
			dst = append(dst, zone.Type(int(b[0])<<8|i).String()...)
		}
	}
	return dst
}

// appendGroups writes octets as groups of two or four hexadecimal digits.
func appendGroups(dst []byte, b string, size int, sep byte) []byte {
	for i := 0; i < len(b); i += size {
		if i > 0 {
			dst = append(dst, sep)
		}
		dst = append(dst, strings.ToLower(hex.EncodeToString([]byte(b[i:i+size])))...)
	}
	return dst
}
