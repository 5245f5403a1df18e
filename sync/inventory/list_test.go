package inventory

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"

	"dnsctl/nameserver"
	"dnsctl/zone"
)

// alike is a zone as a nameserver lists it, with texts and primaries of its own.
func alike(i int) nameserver.ZoneState {
	return nameserver.ZoneState{Name: zone.MustParseName(fmt.Sprintf("zone-%06d.example.", i)), Role: nameserver.Secondary, Origin: nameserver.Runtime,
		Serial: new(zone.Serial(i)), Known: true, Detail: fmt.Sprintf("pattern %s/%d", "dnsctl", 53),
		Primaries: []nameserver.PrimaryRef{{Addr: netip.MustParseAddrPort("192.0.2.1:53"), Key: zone.MustParseName("main.")}}}
}

func TestAListGivesBackWhatWasPutIn(t *testing.T) {
	t.Parallel()
	var l list
	want := map[zone.Key]nameserver.ZoneState{}
	for i := range 100 {
		z := alike(i)
		switch i % 5 {
		case 1:
			z.Serial, z.Expired = nil, true
		case 2:
			z.Primaries, z.Known = nil, false
		case 3:
			z.Primaries[0].TLS = "dot"
		case 4:
			z.Origin, z.Signs, z.Detail = nameserver.Unsure, true, ""
		}
		want[z.Name.Key()] = z
		l.add(z)
	}
	again := alike(7)
	again.Detail = "the last counts"
	want[again.Name.Key()] = again
	l.add(again)
	l.sort()
	if len(l.zones) != len(want) || len(l.kinds) > 6 {
		t.Errorf("%d zones of %d kinds", len(l.zones), len(l.kinds))
	}
	for i := range l.zones {
		e := &l.zones[i]
		got, w := l.state(e), want[e.key]
		if noPointer(got) != noPointer(w) {
			t.Errorf("%+v, want %+v", got, w)
		}
		if i > 0 && l.zones[i-1].key >= e.key {
			t.Errorf("%s is not in order", got.Name)
		}
	}
}

// noPointer is a state with its serial as a text, to be compared.
func noPointer(z nameserver.ZoneState) string {
	serial := "none"
	if z.Serial != nil {
		serial = fmt.Sprint(*z.Serial)
	}
	z.Serial = nil
	return fmt.Sprintf("%+v %s", z, serial)
}

// TestAListIsSmall is not parallel: it looks at the heap.
func TestAListIsSmall(t *testing.T) {
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	const n = 100_000
	before := heap()
	l := new(list)
	for i := range n {
		l.add(alike(i))
	}
	l.sort()
	a := float64(heap()-before) / n
	if a > 120 {
		t.Errorf("%.0f octets a zone", a)
	}
	t.Logf("%.0f octets a zone", a)
	runtime.KeepAlive(l)
}
