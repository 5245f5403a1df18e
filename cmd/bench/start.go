package main

import (
	"context"
	"path/filepath"
)

// measureStart starts a server that has all zones.
func measureStart(ctx context.Context, b *bench, name string) {
	b.starts(ctx, b.table(name), "start", b.loaded(ctx, name), b.zones)
}

// measureMany has a database of -many zones, to see what each costs mdns.
func measureMany(ctx context.Context, b *bench, name string) {
	b.leave(name)
	b.bed.inside(func(in *bed) {
		dir := filepath.Join(in.TempDir(), "many")
		in.must("write many zones", writeFolder(dir, b.many))
		h := b.house(ctx, in, name)
		t := b.table(name)
		u := h.dnsctl(ctx, "zone", "import", "-q", dir)
		t.add("many/import", "zones/s", "", float64(b.many)/u.wall)
		t.add("many/import cpu", "us/zone", "", u.cpu/float64(b.many)*1e6)
		t.add("many/import memory", "MB", "", u.rss)
		h.ask = some(b.many)
		h.start(ctx)
		b.starts(ctx, t, "many", h, b.many)
	})
}

// starts stops and starts a server and looks at what it then has.
func (b *bench) starts(ctx context.Context, t *table, row string, s server, zones int) {
	h, ours := s.(*house)
	empty, leanEmpty := 0.0, 0.0
	if ours { // what it takes without zones is not the zones'
		b.bed.inside(func(in *bed) {
			e := b.house(ctx, in, h.name)
			e.start(ctx)
			empty, leanEmpty = memory(e.pid()), e.lean(ctx)
		})
	}
	for range b.repeat {
		s.stop()
		t.add(row+"/to serving", "s", "", s.start(ctx).Seconds())
		t.add(row+"/cpu", "s", "", family(s.pid()))
		resident := memory(s.pid())
		t.add(row+"/memory", "MB", "", resident)
		if ours {
			t.add(row+"/memory a zone", "octets", "", (resident-empty)*(1<<20)/float64(zones))
			t.add(row+"/index a zone", "octets", "", (h.lean(ctx)-leanEmpty)*(1<<20)/float64(zones))
		}
	}
	t.done()
}
