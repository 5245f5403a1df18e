package zonefile

import (
	"strings"

	"dnsctl/zone"
)

// kind is what one field of rdata is, on the wire and in text.
type kind uint8

const (
	kName      kind = iota // domain name
	kU8                    // decimal number of one octet
	kU16                   // of two
	kU32                   // of four
	kPeriod                // of four octets, seconds; in text also 1h30m
	kIPv4                  // address
	kIPv6                  // address
	kString                // character-string: a length octet and so many octets
	kMaybe                 // character-string that may be left out at the end
	kStrings               // one or more character-strings, to the end
	kLong                  // octets to the end, in text one string (CAA, URI)
	kTag                   // character-string of letters and digits, without quotes (CAA)
	kHex                   // octets to the end, in text hexadecimal in any number of words
	kBase64                // octets to the end, in text base64 in any number of words
	kKey                   // kBase64 that may be empty (KEY without a key)
	kSalt                  // a length octet and octets, in text one hexadecimal word or - (NSEC3)
	kHash                  // a length octet and octets, in text one base32hex word (NSEC3)
	kTypes                 // type bitmap to the end (RFC 4034 section 4.1.2); may be empty
	kSomeTypes             // type bitmap with at least one type
	kType                  // type number
	kAlg                   // DNSSEC algorithm
	kDigest                // DS digest type
	kCert                  // CERT type
	kTime                  // seconds since 1970, in text YYYYMMDDHHmmSS (RFC 4034 section 3.2)
	kEUI48                 // 6 octets, hexadecimal with - between
	kEUI64                 // 8 octets
	kNode                  // 8 octets, four groups of hexadecimal with : between (RFC 6742)
)

// field is one field of rdata with the name that usage messages give it.
type field struct {
	kind kind
	name string
}

var (
	host     = field{kName, "HOST"}
	pref     = field{kU16, "PREFERENCE"}
	alg      = field{kAlg, "ALGORITHM"}
	keyTag   = field{kU16, "KEYTAG"}
	strs     = []field{{kStrings, "STRING..."}}
	prefHost = []field{pref, host}
	oneHost  = []field{host}
	ds       = []field{keyTag, alg, {kDigest, "DIGESTTYPE"}, {kHex, "DIGEST"}}
	dnskey   = []field{{kU16, "FLAGS"}, {kU8, "PROTOCOL"}, alg, {kBase64, "KEY"}}
	rrsig    = []field{{kType, "TYPE"}, alg, {kU8, "LABELS"}, {kU32, "ORIGINALTTL"}, {kTime, "EXPIRATION"},
		{kTime, "INCEPTION"}, keyTag, {kName, "SIGNER"}, {kBase64, "SIGNATURE"}}
	tlsa = []field{{kU8, "USAGE"}, {kU8, "SELECTOR"}, {kU8, "MATCHING"}, {kHex, "DATA"}}
)

// layouts describes rdata, field by field, for the types whose text and wire
// form run in parallel. The RFC that defines a type is where its fields are
// from. Types that need more than this are in foreign.go.
var layouts = map[zone.Type][]field{
	zone.TypeA:     {{kIPv4, "ADDRESS"}},
	zone.TypeAAAA:  {{kIPv6, "ADDRESS"}},
	zone.TypeNS:    oneHost,
	zone.TypeMD:    oneHost,
	zone.TypeMF:    oneHost,
	zone.TypeCNAME: {{kName, "TARGET"}},
	zone.TypeSOA: {{kName, "PRIMARY"}, {kName, "MAILBOX"}, {kU32, "SERIAL"}, {kPeriod, "REFRESH"},
		{kPeriod, "RETRY"}, {kPeriod, "EXPIRE"}, {kPeriod, "MINIMUM"}},
	zone.TypeMB:    oneHost,
	zone.TypeMG:    {{kName, "MAILBOX"}},
	zone.TypeMR:    {{kName, "MAILBOX"}},
	zone.TypePTR:   oneHost,
	13:             {{kString, "CPU"}, {kString, "OS"}}, // HINFO
	zone.TypeMINFO: {{kName, "MAILBOX"}, {kName, "ERRORMAILBOX"}},
	zone.TypeMX:    prefHost,
	zone.TypeTXT:   strs,
	zone.TypeRP:    {{kName, "MAILBOX"}, {kName, "TXTNAME"}},
	zone.TypeAFSDB: {{kU16, "SUBTYPE"}, host},
	19:             {{kString, "ADDRESS"}},                           // X25
	20:             {{kString, "ADDRESS"}, {kMaybe, "[SUBADDRESS]"}}, // ISDN
	zone.TypeRT:    prefHost,
	23:             oneHost, // NSAP-PTR
	zone.TypeSIG:   rrsig,
	zone.TypeKEY:   {{kU16, "FLAGS"}, {kU8, "PROTOCOL"}, alg, {kKey, "[KEY]"}},
	zone.TypePX:    {pref, {kName, "MAP822"}, {kName, "MAPX400"}},
	27:             {{kString, "LONGITUDE"}, {kString, "LATITUDE"}, {kString, "ALTITUDE"}}, // GPOS
	zone.TypeSRV:   {{kU16, "PRIORITY"}, {kU16, "WEIGHT"}, {kU16, "PORT"}, {kName, "TARGET"}},
	zone.TypeNAPTR: {{kU16, "ORDER"}, pref, {kString, "FLAGS"}, {kString, "SERVICES"}, {kString, "REGEXP"},
		{kName, "REPLACEMENT"}},
	zone.TypeKX:         prefHost,
	37:                  {{kCert, "TYPE"}, keyTag, alg, {kBase64, "CERTIFICATE"}}, // CERT
	zone.TypeDNAME:      {{kName, "TARGET"}},
	zone.TypeDS:         ds,
	44:                  {{kU8, "ALGORITHM"}, {kU8, "TYPE"}, {kHex, "FINGERPRINT"}}, // SSHFP
	zone.TypeRRSIG:      rrsig,
	zone.TypeNSEC:       {{kName, "NEXT"}, {kSomeTypes, "TYPE..."}},
	zone.TypeDNSKEY:     dnskey,
	49:                  {{kBase64, "DATA"}}, // DHCID
	zone.TypeNSEC3:      {{kU8, "HASH"}, {kU8, "FLAGS"}, {kU16, "ITERATIONS"}, {kSalt, "SALT"}, {kHash, "NEXT"}, {kTypes, "TYPE..."}},
	zone.TypeNSEC3PARAM: {{kU8, "HASH"}, {kU8, "FLAGS"}, {kU16, "ITERATIONS"}, {kSalt, "SALT"}},
	52:                  tlsa,                                                     // TLSA
	53:                  tlsa,                                                     // SMIMEA
	56:                  strs,                                                     // NINFO
	57:                  dnskey,                                                   // RKEY
	58:                  {{kName, "PREVIOUS"}, {kName, "NEXT"}},                   // TALINK
	59:                  ds,                                                       // CDS
	60:                  dnskey,                                                   // CDNSKEY
	61:                  {{kBase64, "KEY"}},                                       // OPENPGPKEY
	62:                  {{kU32, "SERIAL"}, {kU16, "FLAGS"}, {kTypes, "TYPE..."}}, // CSYNC
	zone.TypeZONEMD:     {{kU32, "SERIAL"}, {kU8, "SCHEME"}, {kU8, "ALGORITHM"}, {kHex, "DIGEST"}},
	99:                  strs,                                                      // SPF
	104:                 {pref, {kNode, "NODEID"}},                                 // NID
	105:                 {pref, {kIPv4, "LOCATOR"}},                                // L32
	106:                 {pref, {kNode, "LOCATOR"}},                                // L64
	107:                 prefHost,                                                  // LP
	108:                 {{kEUI48, "ADDRESS"}},                                     // EUI48
	109:                 {{kEUI64, "ADDRESS"}},                                     // EUI64
	256:                 {{kU16, "PRIORITY"}, {kU16, "WEIGHT"}, {kLong, "TARGET"}}, // URI
	257:                 {{kU8, "FLAGS"}, {kTag, "TAG"}, {kLong, "VALUE"}},         // CAA
	258:                 strs,                                                      // AVC
	32768:               ds,                                                        // TA
	32769:               ds,                                                        // DLV
}

// typeTXTLike are the types whose rdata is strings and nothing else.
func typeTXTLike(t zone.Type) bool { l := layouts[t]; return len(l) == 1 && l[0].kind == kStrings }

// usage is the fields of a type in words, for messages.
func usage(t zone.Type) string {
	l, ok := layouts[t]
	if !ok {
		return foreignUsage[t]
	}
	names := make([]string, len(l))
	for i, f := range l {
		names[i] = f.name
	}
	return strings.Join(names, " ")
}

// span is the length in octets of the field at the start of rdata; -1 when it
// is malformed.
func (k kind) span(rdata string) int {
	n := len(rdata)
	switch k {
	case kName:
		if _, l, err := unpackName(rdata); err == nil {
			return l
		}
		return -1
	case kU8, kAlg, kDigest:
		return fixed(n, 1)
	case kU16, kType, kCert:
		return fixed(n, 2)
	case kU32, kPeriod, kTime, kIPv4:
		return fixed(n, 4)
	case kEUI48:
		return fixed(n, 6)
	case kEUI64, kNode:
		return fixed(n, 8)
	case kIPv6:
		return fixed(n, 16)
	case kString, kSalt:
		return prefixed(rdata, 0)
	case kHash, kTag:
		return prefixed(rdata, 1)
	case kMaybe:
		if n == 0 {
			return 0
		}
		return prefixed(rdata, 0)
	case kStrings:
		for at := 0; at < n || n == 0; {
			l := prefixed(rdata[at:], 0)
			if l < 0 {
				return -1
			}
			at += l
		}
		return n
	case kHex, kBase64:
		if n == 0 {
			return -1
		}
	case kTypes, kSomeTypes:
		if !validBitmap(rdata) || n == 0 && k == kSomeTypes {
			return -1
		}
	}
	return n // kLong, kKey
}

func fixed(have, want int) int {
	if have < want {
		return -1
	}
	return want
}

func prefixed(rdata string, least int) int {
	if rdata == "" || int(rdata[0]) < least || len(rdata) < 1+int(rdata[0]) {
		return -1
	}
	return 1 + int(rdata[0])
}

func unpackName(rdata string) (zone.Name, int, error) {
	for i := 0; i < len(rdata) && i < zone.MaxName; {
		l := int(rdata[i])
		if l == 0 {
			return zone.Name(rdata[:i+1]), i + 1, nil
		}
		if l > zone.MaxLabel {
			break
		}
		i += l + 1
	}
	return "", 0, zone.ErrBadWire
}

// validBitmap says whether b is a type bitmap as RFC 4034 section 4.1.2 wants
// it: windows ascending, none empty, no trailing zero octets. It may be empty,
// as that of an NSEC3 for an empty non-terminal is.
func validBitmap(b string) bool {
	last := -1
	for b != "" {
		if len(b) < 3 {
			return false
		}
		window, l := int(b[0]), int(b[1])
		if window <= last || l < 1 || l > 32 || len(b) < 2+l || b[1+l] == 0 {
			return false
		}
		last, b = window, b[2+l:]
	}
	return true
}

// wellFormed says whether rdata is what the type's layout, or its parser in
// foreign.go, wants. Types of neither are opaque octets.
func wellFormed(t zone.Type, rdata string) bool {
	l, ok := layouts[t]
	if !ok {
		return foreignWellFormed(t, rdata)
	}
	rest := rdata
	for _, f := range l {
		n := f.kind.span(rest)
		if n < 0 {
			return false
		}
		if f.kind == kTag && !isTag(rest[1:n]) {
			return false
		}
		rest = rest[n:]
	}
	return rest == "" && obeys(t, rdata) == nil
}

func isTag(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i] | 0x20
		if (c < 'a' || c > 'z') && (s[i] < '0' || s[i] > '9') {
			return false
		}
	}
	return s != ""
}

// Canonical is rdata with the names in it in lower case: two records for which
// it is equal are the same record.
func Canonical(t zone.Type, rdata string) string {
	l := layouts[t]
	at := 0
	var b []byte
	for _, f := range l {
		n := f.kind.span(rdata[at:])
		if n < 0 {
			return rdata
		}
		if f.kind == kName {
			if lower := zone.Name(rdata[at : at+n]).Lower(); string(lower) != rdata[at:at+n] {
				if b == nil {
					b = []byte(rdata)
				}
				copy(b[at:], lower)
			}
		}
		at += n
	}
	if b == nil {
		return rdata
	}
	return string(b)
}

// hasNames says whether the type's rdata has names that Canonical lower-cases.
func hasNames(t zone.Type) bool {
	for _, f := range layouts[t] {
		if f.kind == kName {
			return true
		}
	}
	return false
}
