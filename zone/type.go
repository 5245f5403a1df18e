package zone

import (
	"fmt"
	"strconv"
	"strings"
)

// Type is an RR type number (RFC 1035 section 3.2.2 and IANA's registry).
type Type uint16

// The types that the code speaks of by name.
const (
	TypeA          Type = 1
	TypeNS         Type = 2
	TypeMD         Type = 3
	TypeMF         Type = 4
	TypeCNAME      Type = 5
	TypeSOA        Type = 6
	TypeMB         Type = 7
	TypeMG         Type = 8
	TypeMR         Type = 9
	TypePTR        Type = 12
	TypeMINFO      Type = 14
	TypeMX         Type = 15
	TypeTXT        Type = 16
	TypeRP         Type = 17
	TypeAFSDB      Type = 18
	TypeRT         Type = 21
	TypeSIG        Type = 24
	TypeKEY        Type = 25
	TypePX         Type = 26
	TypeAAAA       Type = 28
	TypeNXT        Type = 30
	TypeSRV        Type = 33
	TypeNAPTR      Type = 35
	TypeKX         Type = 36
	TypeDNAME      Type = 39
	TypeOPT        Type = 41
	TypeDS         Type = 43
	TypeRRSIG      Type = 46
	TypeNSEC       Type = 47
	TypeDNSKEY     Type = 48
	TypeNSEC3      Type = 50
	TypeNSEC3PARAM Type = 51
	TypeZONEMD     Type = 63
	TypeTSIG       Type = 250
	TypeIXFR       Type = 251
	TypeAXFR       Type = 252
	TypeANY        Type = 255
)

// mnemonics of IANA's registry, by number.
var mnemonics = map[Type]string{
	1: "A", 2: "NS", 3: "MD", 4: "MF", 5: "CNAME", 6: "SOA", 7: "MB", 8: "MG", 9: "MR", 10: "NULL",
	11: "WKS", 12: "PTR", 13: "HINFO", 14: "MINFO", 15: "MX", 16: "TXT", 17: "RP", 18: "AFSDB", 19: "X25",
	20: "ISDN", 21: "RT", 22: "NSAP", 23: "NSAP-PTR", 24: "SIG", 25: "KEY", 26: "PX", 27: "GPOS", 28: "AAAA",
	29: "LOC", 30: "NXT", 31: "EID", 32: "NIMLOC", 33: "SRV", 34: "ATMA", 35: "NAPTR", 36: "KX", 37: "CERT",
	38: "A6", 39: "DNAME", 41: "OPT", 42: "APL", 43: "DS", 44: "SSHFP", 45: "IPSECKEY", 46: "RRSIG", 47: "NSEC",
	48: "DNSKEY", 49: "DHCID", 50: "NSEC3", 51: "NSEC3PARAM", 52: "TLSA", 53: "SMIMEA", 55: "HIP", 56: "NINFO",
	57: "RKEY", 58: "TALINK", 59: "CDS", 60: "CDNSKEY", 61: "OPENPGPKEY", 62: "CSYNC", 63: "ZONEMD", 64: "SVCB",
	65: "HTTPS", 99: "SPF", 100: "UINFO", 101: "UID", 102: "GID", 103: "UNSPEC", 104: "NID", 105: "L32",
	106: "L64", 107: "LP", 108: "EUI48", 109: "EUI64", 249: "TKEY", 250: "TSIG", 251: "IXFR", 252: "AXFR",
	253: "MAILB", 254: "MAILA", 255: "ANY", 256: "URI", 257: "CAA", 258: "AVC", 260: "AMTRELAY",
	32768: "TA", 32769: "DLV",
}

var byMnemonic = func() map[string]Type {
	m := make(map[string]Type, len(mnemonics))
	for t, s := range mnemonics {
		m[s] = t
	}
	return m
}()

// String is the mnemonic, or TYPEn (RFC 3597 section 5).
func (t Type) String() string {
	if s, ok := mnemonics[t]; ok {
		return s
	}
	return "TYPE" + strconv.Itoa(int(t))
}

// ParseType reads a mnemonic or TYPEn, in any letter case.
func ParseType(s string) (Type, error) {
	if t, ok := byMnemonic[s]; ok {
		return t, nil
	}
	u := strings.ToUpper(s)
	if t, ok := byMnemonic[u]; ok {
		return t, nil
	}
	if num, ok := strings.CutPrefix(u, "TYPE"); ok {
		if n, err := strconv.ParseUint(num, 10, 16); err == nil {
			return Type(n), nil
		}
	}
	return 0, fmt.Errorf("record type %q is not known; write types without a name as TYPE123 (RFC 3597)", clip(s))
}

// IsMeta says whether the type cannot be data in a zone: questions, OPT, TSIG
// and the like (RFC 6895 section 3.1), and type 0.
func (t Type) IsMeta() bool { return t == 0 || t == TypeOPT || (t >= 128 && t <= 255) }

// IsSingleton says whether an RRset of this type has exactly one record.
func (t Type) IsSingleton() bool { return t == TypeSOA || t == TypeCNAME || t == TypeDNAME }

// AllowedBesideCNAME says whether the type may stand at an owner that has a
// CNAME (RFC 4034 section 2.5 and RFC 2181 section 10.1).
func (t Type) AllowedBesideCNAME() bool {
	return t == TypeCNAME || t == TypeRRSIG || t == TypeNSEC || t == TypeKEY || t == TypeSIG || t == TypeNXT
}
