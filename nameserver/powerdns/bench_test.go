package powerdns

import (
	"fmt"
	"net/netip"
	"testing"

	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/secret"
	"dnsctl/testbed"
	"dnsctl/zone"
)

// benchDriver is a driver of a real PowerDNS on SQLite, without a primary.
func benchDriver(b *testing.B) nameserver.Driver {
	b.Helper()
	p := testbed.StartPowerDNS(b, testbed.PowerDNSOptions{Settings: "gsqlite3-pragma-synchronous=1\nxfr-cycle-interval=60\n"})
	d, err := New().Open(nameserver.Target{Server: fleet.Server{Name: "t", Control: p.APIURL}, Credential: secret.New([]byte(p.APIKey))})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = d.Close() })
	return d
}

func addMany(b *testing.B, d nameserver.Driver, n int) {
	b.Helper()
	for i := range n {
		if err := d.Add(b.Context(), nameserver.ZoneConfig{Name: zone.MustParseName(fmt.Sprintf("z%d.test.", i)),
			Primaries: []nameserver.PrimaryRef{{Addr: netip.MustParseAddrPort("127.0.0.1:1")}}}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAdd(b *testing.B) {
	d := benchDriver(b)
	b.ResetTimer()
	addMany(b, d, b.N)
}

func BenchmarkZone(b *testing.B) {
	d := benchDriver(b)
	addMany(b, d, 10)
	for b.Loop() {
		if _, err := d.Zone(b.Context(), zone.MustParseName("z7.test.")); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkInventory2000(b *testing.B) {
	d := benchDriver(b)
	addMany(b, d, 2000)
	for b.Loop() {
		n := 0
		if err := d.Inventory(b.Context(), func(nameserver.ZoneState) error { n++; return nil }); err != nil || n != 2000 {
			b.Fatal(n, err)
		}
	}
}
