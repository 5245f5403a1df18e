package mdns

import (
	"fmt"
	"slices"
	"sync"

	"dnsctl/fleet"
	"dnsctl/zone"
)

// entry is what the index holds of a zone. It never changes: a new state of the
// zone is a new entry.
type entry struct {
	apex    zone.Name // in its own spelling
	zoneID  int64
	edition int64
	version int64
	soa     zone.Rdata
	ttl     uint32 // of the SOA
	serial  zone.Serial
	octets  int64   // of the content in wire form; 0 when not known
	pools   []int64 // shared between entries; ascending
	floor   zone.Serial
}

// held says whether the store offers a serial behind one that was served, its
// floor (after the store was put back): the zone is not answered for until the
// store has caught up with that, since nameservers would never follow.
func (e *entry) held() bool { return e.serial.Behind(e.floor) }

// after notes that e follows old under the same name.
func (e *entry) after(old *entry) {
	if e.floor = e.serial; old.floor.Ahead(e.floor) {
		e.floor = old.floor
	}
}

func (e *entry) soaSet() zone.RRset {
	return zone.RRset{Owner: e.apex, Type: zone.TypeSOA, TTL: e.ttl, Data: e.soa}
}

// index is every live zone by name. It is read by all workers and written by the
// follower alone, and by the cache when it meets newer content.
type index struct {
	mu     sync.RWMutex
	byName map[zone.Name]*entry // by lower-case name
	byID   map[int64]*entry
	pools  map[string][]int64 // pool lists seen, so that zones share them
	pos    int64              // feed position of this state
}

func newIndex() *index {
	return &index{byName: map[zone.Name]*entry{}, byID: map[int64]*entry{}, pools: map[string][]int64{}}
}

func (x *index) size() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return len(x.byName)
}

func (x *index) position() int64 {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.pos
}

// match is the zone with the longest name at or above name that is visible; nil
// when there is none. A question for DS is one for the parent where that is
// visible (RFC 4035 section 3.1.4.1).
func (x *index) match(name zone.Name, t zone.Type, s scope) *entry {
	var buf [zone.MaxName]byte
	lower := lowerName(buf[:0], name)
	x.mu.RLock()
	defer x.mu.RUnlock()
	var atName *entry
	for i := 0; ; i += int(lower[i]) + 1 {
		if e := x.byName[zone.Name(lower[i:])]; e != nil && s.sees(e) {
			if i > 0 || t != zone.TypeDS {
				return e
			}
			atName = e
		}
		if lower[i] == 0 {
			return atName
		}
	}
}

// apex is the visible zone of exactly this name.
func (x *index) apex(name zone.Name, s scope) *entry {
	var buf [zone.MaxName]byte
	lower := lowerName(buf[:0], name)
	x.mu.RLock()
	defer x.mu.RUnlock()
	if e := x.byName[zone.Name(lower)]; e != nil && s.sees(e) {
		return e
	}
	return nil
}

func lowerName(dst []byte, n zone.Name) []byte {
	dst = append(dst, n...)
	for i, c := range dst {
		if c >= 'A' && c <= 'Z' {
			dst[i] = c + ('a' - 'A')
		}
	}
	return dst
}

// makeEntry turns the store's view of a zone into an entry. The error is about
// an SOA that cannot be read.
func makeEntry(z fleet.Served) (*entry, error) {
	soa, err := zone.ParseSOA(z.SOA.Data.First())
	if err != nil {
		return nil, fmt.Errorf("zone %s: %w", z.Name, err)
	}
	apex := z.SOA.Owner
	if !apex.Equal(z.Name) {
		apex = z.Name
	}
	return &entry{
		apex: apex, zoneID: z.ZoneID, edition: z.Edition, version: z.Version, soa: z.SOA.Data, ttl: z.SOA.TTL,
		serial: soa.Serial, floor: soa.Serial, octets: int64(z.Octets), pools: z.Pools,
	}, nil
}

// put adds or replaces a zone. A version older than the one at hand is ignored:
// it comes from a lagging replica of the database. The caller holds mu.
func (x *index) put(e *entry) {
	if old := x.byID[e.zoneID]; old != nil {
		if old.edition == e.edition && old.version > e.version {
			return
		}
		if !old.apex.Equal(e.apex) {
			x.drop(old.zoneID)
		}
	}
	name := e.apex.Lower()
	if old := x.byName[name]; old != nil {
		e.after(old)
		if old.zoneID != e.zoneID {
			delete(x.byID, old.zoneID)
		}
	}
	e.pools = x.share(e.pools)
	x.byName[name] = e
	x.byID[e.zoneID] = e
}

func (x *index) drop(zoneID int64) {
	if e := x.byID[zoneID]; e != nil {
		delete(x.byID, zoneID)
		delete(x.byName, e.apex.Lower())
	}
}

// share is an equal list that other zones use already.
func (x *index) share(pools []int64) []int64 {
	key := fmt.Sprint(pools)
	if p, ok := x.pools[key]; ok {
		return p
	}
	p := slices.Sorted(slices.Values(pools))
	x.pools[key] = p
	return p
}

// raise puts content into the index that was read from the store before the feed
// entry about it was: what has been served must not be taken back.
func (x *index) raise(e *entry, version int64, s *zone.Snapshot) {
	set := s.SOASet()
	x.mu.Lock()
	defer x.mu.Unlock()
	if now := x.byID[e.zoneID]; now == nil || now.edition != e.edition || now.version >= version {
		return
	}
	n := *e
	n.version, n.soa, n.ttl, n.serial, n.octets = version, set.Data, set.TTL, s.Serial(), int64(s.Octets())
	x.put(&n)
}
