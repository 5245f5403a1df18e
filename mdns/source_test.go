package mdns

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dnsctl/fleet"
	"dnsctl/secret"
	"dnsctl/zone"
)

// memory is a Source in memory.
type memory struct {
	mu      sync.Mutex
	wake    chan struct{}
	nextID  int64
	zones   map[int64]*memZone
	feed    []fleet.FeedEntry
	first   int64 // position before the first entry that is kept
	pools   []fleet.Pool
	keys    []fleet.Key
	fail    error         // returned by every method
	hold    chan struct{} // when set, Stream waits for it
	loads   int           // of Stream
	batches int           // of Snapshots
	heads   int           // times that Head was asked for
	broken  error         // Stream fails with it when it has given a part
	parts   chan struct{} // when set, Stream waits for it before each part but the first
	history int           // deltas kept for each zone; 0: all
	epoch   fleet.Identity
}

type memZone struct {
	fleet.Served
	snap   *zone.Snapshot
	deltas []zone.Delta
	stale  *zone.Snapshot // what a lagging replica gives
}

var _ Source = (*memory)(nil)

const testPool = 1

func newMemory() *memory {
	return &memory{
		wake: make(chan struct{}, 1), zones: map[int64]*memZone{},
		pools: []fleet.Pool{{ID: testPool, Name: "p", AllowTransfer: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}},
	}
}

func (m *memory) entry(k fleet.FeedKind, z *memZone) {
	e := fleet.FeedEntry{Pos: m.first + int64(len(m.feed)) + 1, Kind: k, At: time.Now()}
	e.ID = fmt.Sprintf("id-%d-%d", e.Pos, m.nextID)
	if z != nil {
		e.ZoneID, e.Edition, e.Zone, e.Version, e.Serial = z.ZoneID, z.Edition, z.Name, z.Version, z.Serial
	}
	m.feed = append(m.feed, e)
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

func (m *memory) create(s *zone.Snapshot, pools ...int64) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(pools) == 0 {
		pools = []int64{testPool}
	}
	m.nextID++
	z := &memZone{snap: s}
	z.Served = fleet.Served{
		Name: s.Apex(), Kind: fleet.Ordinary, ZoneID: m.nextID, Edition: 1000 + m.nextID, Version: 1,
		Serial: s.Serial(), SOA: s.SOASet(), Octets: s.Octets(), Pools: pools,
	}
	m.zones[z.ZoneID] = z
	m.entry(fleet.FeedMember, z)
	return z.ZoneID
}

func (m *memory) change(id int64, s *zone.Snapshot) {
	m.mu.Lock()
	defer m.mu.Unlock()
	z := m.zones[id]
	z.deltas = append(z.deltas, zone.Diff(z.snap, s))
	if m.history > 0 && len(z.deltas) > m.history {
		z.deltas = z.deltas[len(z.deltas)-m.history:]
	}
	z.snap = s
	z.Version++
	z.Serial, z.SOA, z.Octets = s.Serial(), s.SOASet(), s.Octets()
	m.entry(fleet.FeedContent, z)
}

func (m *memory) remove(id int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	z := m.zones[id]
	delete(m.zones, id)
	m.entry(fleet.FeedMember, z)
}

func (m *memory) configure(f func(m *memory)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f(m)
	m.entry(fleet.FeedConfig, nil)
}

func (m *memory) with(f func(m *memory)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f(m)
}

func (m *memory) addKey(t testing.TB, name string, alg string, sec string, sc fleet.Scope) {
	m.configure(func(m *memory) {
		m.keys = append(m.keys, fleet.Key{
			ID: int64(len(m.keys) + 1), Name: n(name), Algorithm: n(alg), Secret: secret.Sealed(sec), Scope: sc,
		})
	})
}

func (m *memory) Identity(context.Context) (fleet.Identity, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return fleet.Identity{Store: "s", Epoch: 1 + m.epoch.Epoch, Pending: m.epoch.Pending}, m.fail
}

func (m *memory) Head(context.Context) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.heads++
	return m.first + int64(len(m.feed)), m.fail
}

func (m *memory) Index(_ context.Context, yield func(fleet.Served) error) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, z := range m.zones {
		if err := yield(z.Served); err != nil {
			return 0, err
		}
	}
	return m.first + int64(len(m.feed)), m.fail
}

func (m *memory) Served(_ context.Context, ids []int64) ([]fleet.Served, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []fleet.Served
	for _, id := range ids {
		if z := m.zones[id]; z != nil {
			out = append(out, z.Served)
		}
	}
	return out, m.fail
}

func (m *memory) Feed(_ context.Context, after int64, limit int) ([]fleet.FeedEntry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []fleet.FeedEntry
	for _, e := range m.feed {
		if e.Pos > after && len(out) < limit {
			out = append(out, e)
		}
	}
	return out, m.fail
}

func (m *memory) Snapshots(ctx context.Context, editions []int64) (map[int64]fleet.Loaded, error) {
	m.with(func(m *memory) { m.batches++ })
	out := map[int64]fleet.Loaded{}
	for _, edition := range editions {
		if s, version, err := m.Stream(ctx, edition, nil); err == nil {
			out[edition] = fleet.Loaded{Content: s, Version: version}
		}
	}
	return out, nil
}

func (m *memory) Stream(_ context.Context, edition int64, read func(int64, iter.Seq[zone.RRset])) (*zone.Snapshot, int64, error) {
	m.mu.Lock()
	hold := m.hold
	m.mu.Unlock()
	if hold != nil {
		<-hold
	}
	m.mu.Lock()
	m.loads++
	var snap *zone.Snapshot
	version, err, broken, parts := int64(0), fleet.ErrNoZone, m.broken, m.parts
	for _, z := range m.zones {
		if z.Edition == edition {
			snap, version, err = z.snap, z.Version, m.fail
			if z.stale != nil {
				snap, version = z.stale, z.Version-1
			}
		}
	}
	m.mu.Unlock()
	if err != nil || read == nil {
		return snap, version, err
	}
	// First what the apex owns, as the store does.
	all := slices.Collect(snap.All())
	n := len(snap.At(snap.Apex().Key()))
	for read(version, slices.Values(all[:n])); n < len(all); {
		if broken != nil {
			return nil, 0, broken
		}
		if parts != nil {
			<-parts
		}
		next := min(n+512, len(all))
		read(version, slices.Values(all[n:next]))
		n = next
	}
	return snap, version, nil
}

func (m *memory) Deltas(_ context.Context, edition int64, from, to zone.Serial, maxOctets int64) ([]zone.Delta, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, z := range m.zones {
		if z.Edition != edition {
			continue
		}
		for i := range z.deltas {
			if z.deltas[i].From() == from {
				out := slices.Clone(z.deltas[i:])
				if octetsOf(out) > maxOctets {
					return nil, m.fail
				}
				return out, m.fail
			}
		}
	}
	return nil, m.fail
}

func (m *memory) Pools(context.Context) ([]fleet.Pool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.pools), m.fail
}

func (m *memory) Keys(context.Context) ([]fleet.Key, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.keys), m.fail
}

// plainSealer does not seal.
type plainSealer struct{}

func (plainSealer) Seal(_ context.Context, p secret.Plain) (secret.Sealed, error) {
	return secret.Sealed(p.Reveal()), nil
}

func (plainSealer) Open(_ context.Context, s secret.Sealed) (secret.Plain, error) {
	if string(s) == "unreadable" {
		return secret.Plain{}, secret.ErrNoIdentity
	}
	return secret.New(s), nil
}

func n(s string) zone.Name { return zone.MustParseName(s) }

// parse reads master-file text.
func parse(t testing.TB, origin, text string) *zone.Snapshot {
	t.Helper()
	b := zone.NewBuilder(n(origin), 0)
	zp := dns.NewZoneParser(strings.NewReader(text), origin, "")
	zp.SetDefaultTTL(3600)
	buf := make([]byte, 70000)
	for rr, ok := zp.Next(); ok; rr, ok = zp.Next() {
		if !dns.IsSubDomain(origin, rr.Header().Name) {
			continue
		}
		end, err := dns.PackRR(rr, buf, 0, nil, false)
		if err != nil {
			t.Fatalf("%s: %v", rr, err)
		}
		sets, err := zone.ParseWire(buf[:end])
		if err != nil {
			t.Fatal(err)
		}
		b.Add(sets[0])
	}
	if err := zp.Err(); err != nil {
		t.Fatal(err)
	}
	s, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// running is a server under test.
type running struct {
	*Server
	addr string
	stop func()
	done chan error
}

// start serves the source on a free port until the test ends.
func start(t testing.TB, m *memory, change func(*Config)) *running {
	t.Helper()
	ready := make(chan string, 1)
	cfg := Config{
		Source: m, Sealer: plainSealer{}, Wake: m.wake, Listen: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")},
		Ready:  func(a, _ []netip.AddrPort) { ready <- a[0].String() },
		Logger: slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if _, bench := t.(*testing.B); bench {
		cfg.Logger = nil
	}
	if change != nil {
		change(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{Server: s, stop: cancel, done: make(chan error, 1)}
	go func() { r.done <- s.Serve(ctx) }()
	select {
	case r.addr = <-ready:
	case err := <-r.done:
		cancel()
		t.Fatalf("serve: %v", err)
	case <-time.After(20 * time.Second):
		cancel()
		t.Fatal("the server did not become ready")
	}
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-r.done:
			if err != nil {
				t.Errorf("serve: %v", err)
			}
		case <-time.After(30 * time.Second):
			t.Error("the server did not stop")
		}
	})
	return r
}

// testWriter shows the server's log with the test's.
type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSuffix(string(p), "\n"))
	return len(p), nil
}
