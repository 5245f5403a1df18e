package bind

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"dnsctl/nameserver"
	"dnsctl/secret"
	"dnsctl/testbed"
	"dnsctl/zone"
)

// benchZones is how many zones BenchmarkManyZones works with; DNSCTL_BENCH_ZONES
// replaces it.
const benchZones = 1000

// BenchmarkManyZones fills a named with a generated configuration over the
// control channel, lists it, looks at each zone, and empties it again. Run it
// with -benchtime=1x.
func BenchmarkManyZones(b *testing.B) {
	n := benchZones
	if s := os.Getenv("DNSCTL_BENCH_ZONES"); s != "" {
		if _, err := fmt.Sscan(s, &n); err != nil {
			b.Fatal(err)
		}
	}
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("zone%06d.test.", i)
	}
	r := newRig(b, names, testbed.NamedOptions{})
	dns, control, stats := testbed.FreeAddr(b), testbed.FreeAddr(b), testbed.FreeAddr(b)
	dir := b.TempDir()
	req := request(b, dns, "rndc://"+control, "http://"+stats, dir, nameserver.KeyConfig{
		Name: r.key, Algorithm: zone.MustParseName("hmac-sha256."), Secret: secret.New(r.secretOctets(b))})
	files, err := New().Config(req)
	if err != nil {
		b.Fatal(err)
	}
	writeFiles(b, dir, files)
	testbed.StartNamed(b, testbed.NamedOptions{ConfigFile: filepath.Join(dir, configFile), Addr: dns, ControlAddr: control, StatsAddr: stats})
	d, err := New().Open(nameserver.Target{Server: req.Server, Credential: req.Credential})
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	ctx := b.Context()
	each := func(unit string, f func(name zone.Name) error) {
		b.Helper()
		start := time.Now()
		for _, name := range names {
			if err := f(zone.MustParseName(name)); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(n)/time.Since(start).Seconds(), unit)
	}
	list := func() (loaded int) {
		b.Helper()
		if err := d.Inventory(ctx, func(s nameserver.ZoneState) error {
			if s.Serial != nil {
				loaded++
			}
			return nil
		}); err != nil {
			b.Fatal(err)
		}
		return loaded
	}
	for b.Loop() {
		start := time.Now()
		each("adds/s", func(name zone.Name) error { return d.Add(ctx, r.config(name.String(), "1")) })
		testbed.Eventually(b, 10*time.Minute, func() bool { return list() == n })
		b.ReportMetric(time.Since(start).Seconds(), "s-to-all-loaded")
		start = time.Now()
		list()
		b.ReportMetric(time.Since(start).Seconds(), "s/inventory")
		each("looks/s", func(name zone.Name) error { _, err := d.Zone(ctx, name); return err })
		each("changes/s", func(name zone.Name) error { return d.Change(ctx, r.config(name.String(), "1")) })
		each("retransfers/s", func(name zone.Name) error { return d.Retransfer(ctx, name) })
		each("deletes/s", func(name zone.Name) error { return d.Delete(ctx, name) })
	}
}
