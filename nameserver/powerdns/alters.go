package powerdns

import (
	"fmt"

	"dnsctl/nameserver"
	"dnsctl/zone"
)

var _ nameserver.Alterer = Type{}

// Types that zone has no name for.
const (
	typeLOC     zone.Type = 29
	typeCDS     zone.Type = 59
	typeCDNSKEY zone.Type = 60
	typeCAA     zone.Type = 257
)

// Alters says what PowerDNS 4.7 makes of an RRset, found by comparing every type
// with what it transfers out. An NSEC3PARAM record is made anew from the NSEC3
// records, with a TTL of its own; only nameservers read that (RFC 5155 section 4).
func (Type) Alters(set zone.RRset, signed bool) (how string, harmless bool) {
	switch set.Type {
	case zone.TypeNSEC3PARAM:
		return "PowerDNS makes NSEC3PARAM itself", signed
	case zone.TypeDNSKEY, typeCDS, typeCDNSKEY:
		if !signed {
			return fmt.Sprintf("PowerDNS keeps %s in a zone that is not signed only with direct-dnskey=yes", set.Type), false
		}
	case typeLOC:
		for data := range set.Data.All() {
			for i := 1; i < 4 && i < len(data); i++ { // size and precisions, in centimetres (RFC 1876 section 2)
				if data[i]&0x0f == 9 && data[i]>>4 > 4 {
					return "PowerDNS misreads a LOC with a size or precision of 50000 km and more", false
				}
			}
		}
	case typeCAA:
		for data := range set.Data.All() {
			if len(data) > 1 && len(data) == 2+int(data[1]) { // RFC 8659 section 4.1
				return "PowerDNS makes an empty value of CAA one octet of 0", false
			}
		}
	}
	return "", false
}
