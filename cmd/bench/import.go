package main

import (
	"context"
	"io"
	"path/filepath"
	"time"

	"dnsctl/zone"
)

const (
	goalSQLite   = ">= 200000"
	goalPostgres = ">= 150000"
	changedRecs  = 100
)

func importGoal(store string) string {
	if store == "sqlite" {
		return goalSQLite
	}
	return goalPostgres
}

// databaseCPU is what the store's own processes have used.
func (b *bench) databaseCPU(store string) float64 {
	if store == "postgres" && b.postgres != nil {
		return family(b.postgres.PID())
	}
	return 0
}

func measureImport(ctx context.Context, b *bench, store string) {
	changed := filepath.Join(b.bed.TempDir(), bigZone+".zone")
	b.bed.must("write the changed zone", writeFile(changed, func(w io.Writer) error { return writeBig(w, b.records, changedRecs) }))
	t := b.table(store)
	for range b.repeat {
		b.bed.inside(func(in *bed) {
			h := b.house(ctx, in, store)
			before := b.databaseCPU(store)
			u := h.importBig(ctx, b.bigFile)
			t.add("import/big", "s", "", u.wall)
			t.add("import/big", "records/s", importGoal(store), float64(b.records)/u.wall)
			t.add("import/big cpu", "s", "", u.cpu)
			if store == "postgres" {
				t.add("import/big cpu of PostgreSQL", "s", "", b.databaseCPU(store)-before)
			}
			t.add("import/big memory", "MB", "", u.rss)
			u = h.importBig(ctx, b.bigFile)
			t.add("import/big unchanged", "s", "", u.wall)
			u = h.importBig(ctx, changed)
			t.add("import/big 100 changed", "s", "", u.wall)
		})
	}
	t.done()
}

func measureImportSmall(ctx context.Context, b *bench, store string) {
	t := b.table(store)
	for range b.repeat {
		b.bed.inside(func(in *bed) {
			h := b.house(ctx, in, store)
			before := b.databaseCPU(store)
			u := h.importSmall(ctx)
			t.add("import/small", "s", "", u.wall)
			t.add("import/small cpu", "s", "", u.cpu)
			if store == "postgres" {
				t.add("import/small cpu of PostgreSQL", "s", "", b.databaseCPU(store)-before)
			}
			t.add("import/small", "zones/s", "", float64(b.zones)/u.wall)
			t.add("import/small", "records/s", "", float64(b.zones*smallSize)/u.wall)
			before = b.databaseCPU(store)
			u = h.importSmall(ctx)
			t.add("import/small unchanged", "s", "", u.wall)
			t.add("import/small unchanged cpu", "s", "", u.cpu)
			if store == "postgres" {
				t.add("import/small unchanged cpu of PostgreSQL", "s", "", b.databaseCPU(store)-before)
			}
		})
	}
	t.done()
}

// measureImportWait has one process import the big zone while others edit a
// small one, one after the other, each a process of its own.
func measureImportWait(ctx context.Context, b *bench, store string) {
	t := b.table(store)
	for range b.repeat {
		b.bed.inside(func(in *bed) {
			h := b.house(ctx, in, store)
			h.dnsctl(ctx, "zone", "import", "-q", filepath.Join(b.smallDir, smallZone(0)+".zone"))
			alone := h.dnsctl(ctx, "record", "set", smallZone(0), "www", "A", "192.0.2.1")
			done := make(chan error, 1)
			go func() {
				_, err := execute(ctx, h.env, b.bin, "zone", "import", "-q", b.bigFile)
				done <- err
			}()
			worst, n := 0.0, 0
			for running := true; running; n++ {
				u := h.dnsctl(ctx, "record", "set", smallZone(0), "www", "A", addressOf(n))
				worst = max(worst, u.wall)
				select {
				case err := <-done:
					b.bed.must("import", err)
					running = false
				case <-time.After(5 * time.Millisecond):
				}
			}
			t.add("import-wait/record set alone", "s", "", alone.wall)
			t.add("import-wait/worst record set", "s", "< 1", worst)
			t.add("import-wait/record sets during it", "number", "", float64(n))
		})
	}
	t.done()
}

// measureImportServed imports the big zone anew, every record of it changed, while
// mdns serves it and a client transfers small zones, each on a connection of its
// own, one after the other.
func measureImportServed(ctx context.Context, b *bench, store string) {
	const others = 50
	changed := filepath.Join(b.bed.TempDir(), bigZone+".zone")
	b.bed.must("write the changed zone", writeFile(changed, func(w io.Writer) error { return writeBig(w, b.records, b.records-3) }))
	t := b.table(store)
	for range b.repeat {
		b.bed.inside(func(in *bed) {
			h := b.house(ctx, in, store)
			files := []string{"zone", "import", "-q", b.bigFile}
			frames := make([][]byte, others)
			for i := range frames {
				files = append(files, filepath.Join(b.smallDir, smallZone(i)+".zone"))
				frames[i] = question{zone: smallZone(i), typ: zone.TypeAXFR}.frame()
			}
			h.dnsctl(ctx, files...)
			h.start(ctx)
			b.big(h.addr, nil, nil, 1, true)
			transfers := func(running func() bool) (ms []float64) {
				for i := 0; running(); i++ {
					begin := time.Now()
					b.bed.must("transfer a small zone", onOneConn(h.addr, frames[i%others:i%others+1], 1, smallSize+1))
					ms = append(ms, time.Since(begin).Seconds()*1000)
				}
				return ms
			}
			end := time.Now().Add(b.sample)
			alone := transfers(func() bool { return time.Now().Before(end) })
			done := make(chan error, 1)
			go func() {
				_, err := execute(ctx, h.env, b.bin, "zone", "import", "-q", changed)
				done <- err
			}()
			beside := transfers(func() bool {
				select {
				case err := <-done:
					b.bed.must("import", err)
					return false
				default:
					return true
				}
			})
			for _, c := range []struct {
				name string
				ms   []float64
			}{{"alone", alone}, {"beside the import", beside}} {
				t.add("import-served/transfer "+c.name+" p50", "ms", "", percentile(c.ms, 0.5))
				t.add("import-served/transfer "+c.name+" p99", "ms", "", percentile(c.ms, 0.99))
				t.add("import-served/transfer "+c.name+" worst", "ms", "", percentile(c.ms, 1))
			}
			begin := time.Now()
			b.big(h.addr, nil, nil, 1, true)
			t.add("import-served/first transfer of what was imported", "s", "", time.Since(begin).Seconds())
		})
	}
	t.done()
}
