package inventory

import (
	"slices"
	"strings"

	"dnsctl/nameserver"
	"dnsctl/zone"
)

// list is the zones of a nameserver, kept small: what many of them have in common
// is there once. Each takes some 70 octets with its name.
type list struct {
	zones  []listed
	kinds  []nameserver.ZoneState // without names and serials
	byText map[string]uint32      // number in kinds
	sets   [][]int64              // of pools, each once
}

// listed is one zone of a list, and what is wanted of it.
type listed struct {
	key    zone.Key
	soa    uint64 // hash of the wanted SOA
	kind   uint32 // number in kinds
	serial zone.Serial
	want   zone.Serial
	pools  uint16 // number in sets, from 1; 0 where it is not wanted
	stand  stand
}

// stand is how far a listed zone has been looked at.
type stand uint8

const (
	unwanted stand = iota
	open           // something is to be said of it
	agreed         // so far, all is well
)

func (l *list) add(z nameserver.ZoneState) {
	serial := z.Serial
	e := listed{key: z.Name.Key()}
	if serial != nil {
		e.serial = *serial
	}
	text := textOf(z)
	kind, known := l.byText[string(text)]
	if !known {
		if l.byText == nil {
			l.byText = make(map[string]uint32)
		}
		z.Name, z.Serial = "", nil
		if serial != nil {
			z.Serial = new(zone.Serial) // that it has one
		}
		z.Detail = strings.Clone(z.Detail)
		kind = uint32(len(l.kinds))
		l.kinds, l.byText[string(text)] = append(l.kinds, z), kind
	}
	e.kind = kind
	l.zones = append(l.zones, e)
}

// textOf is all of a zone's state but its name and serial.
func textOf(z nameserver.ZoneState) []byte {
	b := make([]byte, 0, 256)
	for _, s := range []string{string(z.Role), string(z.Origin), z.Detail} {
		b = append(append(b, s...), 0)
	}
	for _, is := range []bool{z.Serial != nil, z.Expired, z.Known, z.Primaries != nil, z.Signs} {
		if is {
			b = append(b, 1)
		} else {
			b = append(b, 0)
		}
	}
	for _, p := range z.Primaries {
		b = p.Addr.AppendTo(b)
		b = append(append(append(append(b, 0), p.Key...), 0), p.TLS...)
		b = append(b, 0)
	}
	return b
}

// sort puts the zones into canonical order. Of one that is there twice the last
// counts.
func (l *list) sort() {
	slices.SortStableFunc(l.zones, func(a, b listed) int { return strings.Compare(string(a.key), string(b.key)) })
	keep := l.zones[:0]
	for i, e := range l.zones {
		if i+1 == len(l.zones) || l.zones[i+1].key != e.key {
			keep = append(keep, e)
		}
	}
	l.zones = keep
}

// state is a zone as the nameserver has it.
func (l *list) state(e *listed) nameserver.ZoneState {
	z := l.kinds[e.kind]
	z.Name = e.name()
	if z.Serial != nil {
		z.Serial = new(e.serial)
	}
	return z
}

// name is the zone's; its key was made of one.
func (e *listed) name() zone.Name {
	n, _ := e.key.Name()
	return n
}

// setOf is the number of a set of pools.
func (l *list) setOf(pools []int64) uint16 {
	i := slices.IndexFunc(l.sets, func(s []int64) bool { return slices.Equal(s, pools) })
	if i < 0 {
		i = len(l.sets)
		l.sets = append(l.sets, pools)
	}
	return uint16(i + 1)
}
