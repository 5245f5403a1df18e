package mdns

import (
	"crypto/sha1"
	"encoding/base32"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"dnsctl/zone"
)

// content is one version of a zone in memory with what answers need to know of
// it. It never changes.
type content struct {
	snap    *zone.Snapshot
	apex    zone.Name // in the zone's own spelling
	apexKey zone.Key
	edition int64
	version int64
	cost    int64 // octets of memory, estimated, without the image

	image image

	once sync.Once
	sec  security
}

// security is how a zone is signed.
type security struct {
	signed bool // it has keys and a chain of NSEC or NSEC3
	nsec3  *nsec3Chain
}

// nsec3Chain is the NSEC3 parameters that answers use (RFC 5155 section 4) and
// the chain's owners in order.
type nsec3Chain struct {
	iterations int
	salt       string
	owners     []zone.Key
}

func newContent(s *zone.Snapshot, edition, version int64) *content {
	// 160 octets for each RRset: its struct, its key's and data's headers, and
	// what the allocator rounds up.
	cost := int64(s.Octets()) + 160*int64(s.RRsets())
	c := &content{snap: s, apex: s.SOASet().Owner, apexKey: s.Apex().Key(), edition: edition, version: version, cost: cost}
	c.image.packs = make([]atomic.Pointer[pack], s.Blocks())
	return c
}

func (c *content) security() *security {
	c.once.Do(func() { c.sec = c.findSecurity() })
	return &c.sec
}

func (c *content) findSecurity() security {
	at := func(t, covers zone.Type) (zone.RRset, bool) {
		return c.snap.Get(zone.ID{Owner: c.apexKey, Type: t, Covers: covers})
	}
	keys, _ := at(zone.TypeDNSKEY, 0)
	zoneKey := false
	for k := range keys.Data.All() {
		// RFC 4034 section 2.1.1: the zone key flag; the protocol is always 3.
		zoneKey = zoneKey || len(k) > 4 && k[0]&0x03 == 0x01 && k[2] == 3
	}
	if !zoneKey {
		return security{}
	}
	params, _ := at(zone.TypeNSEC3PARAM, 0)
	for p := range params.Data.All() {
		if len(p) >= 5 && p[0] == 1 && p[1] == 0 && len(p) == 5+int(p[4]) {
			return security{signed: true, nsec3: c.chain(p)}
		}
	}
	_, nsec := at(zone.TypeNSEC, 0)
	_, sig := at(zone.TypeRRSIG, zone.TypeNSEC)
	return security{signed: nsec && sig}
}

// chain collects the owners of the NSEC3 records that have the parameters of an
// NSEC3PARAM's rdata.
func (c *content) chain(param string) *nsec3Chain {
	ch := &nsec3Chain{iterations: int(param[2])<<8 | int(param[3]), salt: param[5:]}
	for k, set := range c.snap.From(c.apexKey) {
		if set.Type != zone.TypeNSEC3 {
			continue
		}
		for d := range set.Data.All() {
			if len(d) > 5 && d[0] == 1 && strings.HasPrefix(d[2:], param[2:]) {
				ch.owners = append(ch.owners, k)
				break
			}
		}
	}
	return ch
}

var base32hex = base32.HexEncoding.WithPadding(base32.NoPadding)

// owner is the key of the name that an NSEC3 record about name would have (RFC
// 5155 section 5).
func (ch *nsec3Chain) owner(apex zone.Key, name zone.Name) zone.Key {
	h := sha1.Sum([]byte(string(name.Lower()) + ch.salt))
	for range ch.iterations {
		h = sha1.Sum([]byte(string(h[:]) + ch.salt))
	}
	return apex + zone.Key(strings.ToLower(base32hex.EncodeToString(h[:]))) + "\x00"
}

// find is the record of the chain that matches the owner, or else the one that
// covers it; false when the chain is empty.
func (ch *nsec3Chain) find(owner zone.Key) (k zone.Key, exact, ok bool) {
	if len(ch.owners) == 0 {
		return "", false, false
	}
	i, exact := slices.BinarySearch(ch.owners, owner)
	if exact {
		return owner, true, true
	}
	if i == 0 {
		i = len(ch.owners)
	}
	return ch.owners[i-1], false, true
}
