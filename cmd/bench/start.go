package main

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"dnsctl/edit"
	"dnsctl/store"
	"dnsctl/zone"
	"dnsctl/zone/zonefile"
)

// measureStart starts a server that has all zones.
func measureStart(ctx context.Context, b *bench, name string) {
	t := b.table(name)
	b.starts(ctx, t, "start", b.loaded(ctx, name))
	t.done()
}

// leastMany is how many zones there must be for what each takes to be told from
// what the process takes.
const leastMany = 100_000

// measureMany has a database of -many zones, to see what each costs mdns, and
// what the catalog of them all does.
func measureMany(ctx context.Context, b *bench, name string) {
	b.leave(name)
	b.bed.inside(func(in *bed) {
		// What it takes without zones is not the zones'.
		e := b.house(ctx, in, name)
		e.start(ctx)
		empty := memory(e.pid())
		leanEmpty := e.lean(ctx)
		e.stop()

		h := b.house(ctx, in, name)
		t := b.table(name)
		begin := time.Now()
		in.must("make many zones", h.fill(ctx, b.many))
		t.add("many/import", "zones/s", "", float64(b.many)/time.Since(begin).Seconds())
		h.ask = some(b.many)
		h.start(ctx)
		b.starts(ctx, t, "many", h)
		if b.many >= leastMany {
			a := func(mb float64) float64 { return mb * (1 << 20) / float64(b.many) }
			t.add("many/memory a zone", "octets", "", a(memory(h.pid())-empty))
			t.add("many/index a zone", "octets", "<= 250", a(h.lean(ctx)-leanEmpty))
		}
		t.done()
		b.measureCatalog(ctx, h)
	})
}

// starts stops and starts a server and looks at what it then has.
func (b *bench) starts(ctx context.Context, t *table, row string, s server) {
	for range b.repeat {
		s.stop()
		t.add(row+"/to serving", "s", "", s.start(ctx).Seconds())
		t.add(row+"/cpu", "s", "", family(s.pid()))
		t.add(row+"/memory", "MB", "", memory(s.pid()))
	}
}

// fill makes so many small zones with the packages that zone import uses, from
// texts instead of files: a million of these take longer to write than to import.
func (h *house) fill(ctx context.Context, zones int) error {
	return h.bring(ctx, 0, zones, func(i int) edit.Source { return smallSource(i, "") })
}

// bring imports the zones of some numbers.
func (h *house) bring(ctx context.Context, from, to int, source func(number int) edit.Source) error {
	s, err := store.Open(ctx, h.url, store.Options{})
	if err != nil {
		return err
	}
	defer s.Close()
	e := &edit.Editor{Store: s, Now: time.Now}
	const batch = 10_000 // sources that are held at once; Import makes commits of some of them
	for ; from < to; from += batch {
		sources := make([]edit.Source, min(batch, to-from))
		for i := range sources {
			sources[i] = source(from + i)
		}
		var failed error
		err := e.Import(ctx, sources, edit.ImportOptions{Pools: []string{pool}, SerialStyle: zone.SerialIncrement}, edit.Meta{Command: "bench"}, func(_ edit.Source, _ edit.Result, err error) {
			if err != nil {
				failed = err
			}
		})
		if err = errors.Join(err, failed); err != nil {
			return err
		}
	}
	return nil
}

// smallSource is a small zone for an import, with more lines of a master file
// behind its own.
func smallSource(number int, more string) edit.Source {
	return sourceOf(number, func(w io.Writer) error {
		if err := writeSmall(w, number); err != nil {
			return err
		}
		_, err := io.WriteString(w, more)
		return err
	})
}

// sourceOf is the zone of a number, with the content that write makes.
func sourceOf(number int, write func(io.Writer) error) edit.Source {
	return edit.Source{Path: smallZone(number), Parse: func(ctx context.Context) (edit.Parsed, error) {
		var text strings.Builder
		if err := write(&text); err != nil {
			return edit.Parsed{}, err
		}
		name := zone.MustParseName(smallZone(number) + ".")
		r, err := zonefile.Read(ctx, strings.NewReader(text.String()), zonefile.Options{Origin: name, File: name.String()})
		return edit.Parsed{Content: r.Snapshot}, err
	}}
}
