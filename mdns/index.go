package mdns

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync"

	"dnsctl/fleet"
	"dnsctl/wire"
	"dnsctl/zone"
)

// entry is what the index holds of a zone. It never changes: a new state of the
// zone is a new entry.
type entry struct {
	apex    zone.Name // in its own spelling
	form    *form
	zoneID  int64
	edition int64
	version int64
	octets  int64 // of the content in wire form; 0 when not known
	serial  zone.Serial
	floor   zone.Serial
}

// form is what many zones have in common; a million entries share a few.
type form struct {
	pools *[]int64
	soa   string // the SOA's rdata with serial 0, names under the apex ended by atApex
	ttl   uint32 // of the SOA
}

// atApex stands for the zone's apex at the end of a name in a form, so that zones
// whose SOAs name servers of their own share one too. No label is so long.
const atApex = 0xff

// relative is a name as forms have it.
func relative(name, apex zone.Name) string {
	for i := 0; i < len(name); i += int(name[i]) + 1 {
		if name[i:] == apex {
			return string(name[:i]) + "\xff"
		}
	}
	return string(name)
}

// soa is the rdata of the zone's SOA with serial 0.
func (e *entry) soa() string {
	rdata := e.form.soa
	var buf [2*zone.MaxName + 20]byte
	out, done := buf[:0], 0
	for i, names := 0, 0; names < 2; {
		switch n := rdata[i]; n {
		case atApex:
			out = append(append(out, rdata[done:i]...), e.apex...)
			i, names, done = i+1, names+1, i+1
		case 0:
			i, names = i+1, names+1
		default:
			i += int(n) + 1
		}
	}
	if done == 0 {
		return rdata
	}
	return string(append(out, rdata[done:]...))
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

// putSOA writes the zone's SOA as the answer; false when it does not fit.
func (e *entry) putSOA(enc *wire.Encoder) bool {
	return enc.SOA(wire.SectionAnswer, e.apex, e.form.ttl, e.soa(), e.serial)
}

// index is every live zone by name. It is read by all workers and written by the
// follower alone, and by the cache when it meets newer content.
type index struct {
	mu     sync.RWMutex
	byName map[zone.Name]*entry // by lower-case name
	pools  map[string]*[]int64  // pool lists seen, so that zones share them
	forms  map[form]*form       // and forms
	pos    int64                // feed position of this state
}

func newIndex() *index {
	return &index{byName: map[zone.Name]*entry{}, pools: map[string]*[]int64{}, forms: map[form]*form{}}
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
// a row or an SOA that cannot be read.
func makeEntry(z fleet.Served) (*entry, error) {
	if z.Damage != nil {
		return nil, z.Damage
	}
	apex := z.SOA.Owner
	if !apex.Equal(z.Name) {
		apex = z.Name
	}
	e := &entry{apex: apex, zoneID: z.ZoneID, edition: z.Edition, version: z.Version, octets: int64(z.Octets)}
	if err := e.setSOA(&z.Pools, z.SOA); err != nil {
		return nil, err
	}
	return e, nil
}

// setSOA gives the entry a form of its own, and the serial.
func (e *entry) setSOA(pools *[]int64, set zone.RRset) error {
	soa, err := zone.ParseSOA(set.Data.First())
	if err != nil {
		return fmt.Errorf("zone %s: %w", e.apex, err)
	}
	e.serial, e.floor = soa.Serial, soa.Serial
	soa.Serial, soa.MName, soa.RName = 0, zone.Name(relative(soa.MName, e.apex)), zone.Name(relative(soa.RName, e.apex))
	e.form = &form{pools, soa.Rdata(), set.TTL}
	return nil
}

// of is a copy of the entry of that zone; nil when it has none under the name.
func (x *index) of(name zone.Name, zoneID int64) *entry {
	x.mu.RLock()
	defer x.mu.RUnlock()
	old := x.byName[name.Lower()]
	if old == nil || old.zoneID != zoneID {
		return nil
	}
	e := *old
	return &e
}

// put adds or replaces a zone; the caller holds mu. Of content older than what
// is at hand, which was read ahead of the feed or comes from a lagging replica of
// the database, only the pools are taken.
func (x *index) put(e *entry) {
	name := e.apex.Lower()
	if old := x.byName[name]; old != nil {
		if old.edition == e.edition && old.version > e.version {
			e = old.in(e.form.pools)
		} else {
			e.after(old)
		}
	}
	x.share(e)
	x.byName[name] = e
}

// in is the entry with other pools.
func (e *entry) in(pools *[]int64) *entry {
	n, f := *e, *e.form
	f.pools, n.form = pools, &f
	return &n
}

// drop removes a zone, unless another one has its name by now. The caller holds
// mu.
func (x *index) drop(name zone.Name, zoneID int64) {
	name = name.Lower()
	if e := x.byName[name]; e != nil && e.zoneID == zoneID {
		delete(x.byName, name)
	}
}

// share gives the entry an equal form that other zones use already.
func (x *index) share(e *entry) {
	f := *e.form
	f.pools = x.sharePools(f.pools)
	shared := x.forms[f]
	if shared == nil {
		shared = &f
		x.forms[f] = shared
	}
	e.form = shared
}

func (x *index) sharePools(pools *[]int64) *[]int64 {
	var buf [64]byte
	key := buf[:0]
	for _, p := range *pools {
		key = binary.AppendVarint(key, p)
	}
	if p, ok := x.pools[string(key)]; ok {
		return p
	}
	p := slices.Clone(*pools)
	x.pools[string(key)] = &p
	return &p
}

// raise puts content into the index that was read from the store before the feed
// entry about it was: what has been served must not be taken back.
func (x *index) raise(e *entry, version int64, s *zone.Snapshot) {
	set := s.SOASet()
	x.mu.Lock()
	defer x.mu.Unlock()
	now := x.byName[e.apex.Lower()]
	if now == nil || now.edition != e.edition || now.version >= version {
		return
	}
	n := *now
	if n.setSOA(now.form.pools, set) != nil {
		return
	}
	n.version, n.octets = version, int64(s.Octets())
	x.put(&n)
}
