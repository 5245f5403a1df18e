package keeper

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"dnsctl/dnsclient"
	"dnsctl/fleet"
	"dnsctl/testbed"
	"dnsctl/wire"
	"dnsctl/zone"
)

// primaryZone is example. at a serial, as named serves it.
func primaryZone(serial int) string {
	return fmt.Sprintf("$TTL 60\n@ SOA ns hostmaster %d 3600 3600 36000 60\n@ NS ns\nns A 127.0.0.1\n", serial)
}

// A secondary that has the zone, one that does not, and one that is not there:
// each change ends in one report that is true.
func TestNotifierOverDNSProvesWhatRealServersServe(t *testing.T) {
	t.Parallel()
	const keyText = `key "k" { algorithm hmac-sha256; secret "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="; };`
	key := &wire.Key{Name: zoneName("k."), Algorithm: wire.HMACSHA256, Secret: []byte("0123456789abcdef0123456789abcdef")}
	primary := testbed.StartNamed(t, testbed.NamedOptions{
		Config: keyText, Options: "allow-transfer { key k; };", Zones: map[string]string{"example": primaryZone(7)},
	})
	port := netip.MustParseAddrPort(primary.Addr).Port()
	secondary := testbed.StartNamed(t, testbed.NamedOptions{
		Config: keyText + fmt.Sprintf(`zone "example" { type secondary; file "example.db"; masterfile-format text;
			primaries { 127.0.0.1 port %d key k; }; allow-notify { key k; }; };`, port),
	})
	empty := testbed.StartNamed(t, testbed.NamedOptions{Config: keyText})

	prober, err := dnsclient.NewProber(dnsclient.ProberOptions{Timeout: 500 * time.Millisecond, Tries: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer prober.Close()
	sender := NotifyDNS{
		Client: &dnsclient.Client{Tries: 2}, Prober: prober,
		Key: func(context.Context, fleet.Server, zone.Name) (*wire.Key, error) { return key, nil },
	}
	r := newReports()
	n := NewNotifier(sender, r.take)
	n.Attempts = 2
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); n.Run(ctx) }()
	defer func() { cancel(); <-done }()
	at := func(id int64, addr string) fleet.Server {
		s := server(id)
		s.Address = netip.MustParseAddrPort(addr)
		return s
	}
	n.SetServers([]fleet.Server{at(1, secondary.Addr), at(2, empty.Addr), at(3, testbed.FreeAddr(t))})

	example := zoneName("example.")
	soa, err := sender.Client.Ask(ctx, netip.MustParseAddrPort(primary.Addr), example, zone.TypeSOA, key)
	if err != nil {
		t.Fatal(err)
	}
	set, _ := soa.RRset(example, zone.TypeSOA)
	for id := range int64(3) {
		n.Add(id+1, example, 7, set)
	}
	testbed.Eventually(t, 60*time.Second, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.all) == 3
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	for report, want := range map[string]error{
		"1 example. 7": nil, "2 example. 7": dnsclient.ErrNotAuth, "3 example. 7": dnsclient.ErrUnreachable,
	} {
		if got := r.all[report]; !errors.Is(got, want) {
			t.Errorf("%s: %v, want %v", report, got, want)
		}
	}
}

// BenchmarkNotifier tells a stub nameserver of changed zones, signed, until each
// is proven; one operation is a zone.
func BenchmarkNotifier(b *testing.B) {
	key := &wire.Key{Name: zoneName("k."), Algorithm: wire.HMACSHA256, Secret: []byte("0123456789abcdef0123456789abcdef")}
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	go func() {
		buf := make([]byte, 1500)
		var e wire.Encoder
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			q, err := wire.ParseQuery(buf[:n])
			if err != nil {
				continue
			}
			e.Reset(nil, wire.Header{ID: q.ID, Flags: (q.Flags | wire.FlagQR | wire.FlagAA)}, wire.Full, "", wire.MaxMessage)
			e.Question(q.Question)
			set := soaOf(7)
			set.Owner = q.Question.Name
			if q.Flags.Opcode() == wire.OpQuery {
				e.Set(wire.SectionAnswer, set)
			}
			_, _ = conn.WriteTo(wire.NewSigner(*key, q.TSIG).Sign(e.Bytes(), 0, time.Now()), from)
		}
	}()
	prober, err := dnsclient.NewProber(dnsclient.ProberOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer prober.Close()
	var wg sync.WaitGroup
	client := &dnsclient.Client{Keep: 16}
	defer client.Close()
	n := NewNotifier(NotifyDNS{
		Client: client, Prober: prober,
		Key: func(context.Context, fleet.Server, zone.Name) (*wire.Key, error) { return key, nil },
	}, func(_ int64, name zone.Name, _ zone.Serial, err error) {
		if err != nil {
			b.Error(name, err)
		}
		wg.Done()
	})
	n.Rate = 1_000_000
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan struct{})
	go func() { defer close(done); n.Run(ctx) }()
	defer func() { cancel(); <-done }()
	s := server(1)
	s.Address = netip.MustParseAddrPort(conn.LocalAddr().String())
	n.SetServers([]fleet.Server{s})
	b.ReportAllocs()
	for i := range b.N {
		wg.Add(1)
		n.Add(1, zoneName(fmt.Sprintf("z%d.", i)), 7, soaOf(7))
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "zones/s")
}
