package edit_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"dnsctl/edit"
	"dnsctl/fleet"
	"dnsctl/store"
	"dnsctl/testbed"
	"dnsctl/zone/zonefile"
)

// BenchmarkChangedZones imports 200 zones that are there, a record of each
// changed. It says what a zone costs in processor time, here and in PostgreSQL.
func BenchmarkChangedZones(b *testing.B) {
	for _, kind := range []string{"SQLite", "PostgreSQL"} {
		b.Run(kind, func(b *testing.B) {
			url, database := "sqlite:"+filepath.Join(b.TempDir(), "store.db"), func() time.Duration { return 0 }
			if kind == "PostgreSQL" {
				pg := testbed.StartPostgres(b, testbed.PostgresOptions{Private: true, NoFsync: true})
				url, database = pg.NewDatabase(b), func() time.Duration { return childrenCPU(b, pg.PID()) }
			}
			s, err := store.Open(b.Context(), url, store.Options{Create: true, AnySchema: true})
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { _ = s.Close() })
			if _, err := s.Init(b.Context(), "age1recipient"); err != nil {
				b.Fatal(err)
			}
			if _, err := s.CreatePool(b.Context(), fleet.Pool{Name: "eu", Unmanaged: fleet.Warn}, nil, fleet.By{}); err != nil {
				b.Fatal(err)
			}
			e := &edit.Editor{Store: s, Now: time.Now}
			const zones, batch = 2000, 200
			round := 0
			change := func(from, n int) {
				round++
				sources := make([]edit.Source, n)
				for i := range sources {
					apex := name(fmt.Sprintf("z%d.example.", (from+i)%zones))
					text := fmt.Sprintf("$TTL 300\n@ SOA ns.example. h.example. 1 2 3 4 5\n@ NS ns.example.\n@ NS ns2.example.\n@ MX 10 mail\nwww A 192.0.2.1\nmail A 192.0.2.2\nftp CNAME www\nsip A 192.0.2.3\nx AAAA 2001:db8::1\nbench TXT %d\n", round)
					sources[i] = edit.Source{Path: apex.String(), Parse: func(ctx context.Context) (edit.Parsed, error) {
						r, err := zonefile.Read(ctx, strings.NewReader(text), zonefile.Options{Origin: apex, File: apex.String()})
						return edit.Parsed{Content: r.Snapshot}, err
					}}
				}
				err := e.Import(b.Context(), sources, edit.ImportOptions{Pools: []string{"eu"}}, edit.Meta{}, func(src edit.Source, _ edit.Result, err error) {
					if err != nil {
						b.Errorf("%s: %v", src.Path, err)
					}
				})
				if err != nil {
					b.Fatal(err)
				}
			}
			change(0, zones)
			ours, theirs := ownCPU(b), database()
			n := 0
			for b.Loop() {
				change(n*batch, batch)
				n++
			}
			perZone := func(d time.Duration) float64 { return float64(d.Microseconds()) / float64(n*batch) }
			b.ReportMetric(perZone(ownCPU(b)-ours), "us/zone")
			if kind == "PostgreSQL" {
				b.ReportMetric(perZone(database()-theirs), "us/zone-db")
			}
		})
	}
}

// ownCPU is the processor time of this process.
func ownCPU(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// childrenCPU is the processor time of the processes that a process has started
// and that run, to a hundredth of a second (proc(5)).
func childrenCPU(b *testing.B, pid int) (sum time.Duration) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		b.Fatal(err)
	}
	for _, file := range stats {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		f := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
		if len(f) < 13 || string(f[1]) != strconv.Itoa(pid) {
			continue
		}
		for _, v := range f[11:13] {
			n, err := strconv.Atoi(string(v))
			if err != nil {
				b.Fatal(err)
			}
			sum += time.Duration(n) * 10 * time.Millisecond
		}
	}
	return sum
}
