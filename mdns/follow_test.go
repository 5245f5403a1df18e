package mdns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dnsctl/fleet"
	"dnsctl/testbed"
	"dnsctl/zone"
)

// soa asks for the zone's SOA over a connection of its own.
func soa(t testing.TB, r *running, origin string) (serial uint32, rcode int) {
	t.Helper()
	got := newAsker(t, r.addr).ask(new(dns.Msg).SetQuestion(origin, dns.TypeSOA))
	if len(got.Answer) == 1 {
		serial = got.Answer[0].(*dns.SOA).Serial
	}
	return serial, got.Rcode
}

// a asks for an A record, which needs the zone's content.
func a(t testing.TB, r *running, name string) (answers, rcode int) {
	t.Helper()
	got := newAsker(t, r.addr).ask(new(dns.Msg).SetQuestion(name, dns.TypeA))
	return len(got.Answer), got.Rcode
}

func follows(t testing.TB, r *running, m *memory) {
	t.Helper()
	head, _ := m.Head(context.Background())
	testbed.Eventually(t, 10*time.Second, func() bool { return r.Position() == head })
}

func TestChangesAreServedFromTheFeed(t *testing.T) {
	t.Parallel()
	for _, wake := range []bool{true, false} {
		m := newMemory()
		s := big(t, "z.test.", 1, 20)
		id := m.create(s)
		r := start(t, m, func(c *Config) {
			c.PollInterval = time.Hour
			if !wake { // every wake-up is lost
				c.Wake, c.PollInterval = nil, 5*time.Millisecond
			}
		})
		if n, _ := a(t, r, "host10.z.test."); n != 1 {
			t.Fatal("host10 is not there")
		}
		m.change(id, put(t, s, "", "new.z.test. 60 IN A 192.0.2.1\n"))
		follows(t, r, m)
		if got, _ := soa(t, r, "z.test."); got != 2 {
			t.Errorf("serial %d after a change", got)
		}
		if n, _ := a(t, r, "new.z.test."); n != 1 {
			t.Error("the new record is not served")
		}
		if m.loads != 1 {
			t.Errorf("content read %d times: the change was not applied to what was at hand", m.loads)
		}
		other := m.create(big(t, "other.test.", 7, 1))
		follows(t, r, m)
		if got, _ := soa(t, r, "other.test."); got != 7 {
			t.Errorf("new zone has serial %d", got)
		}
		m.remove(other)
		follows(t, r, m)
		if _, rcode := soa(t, r, "other.test."); rcode != dns.RcodeRefused {
			t.Errorf("deleted zone: %s", dns.RcodeToString[rcode])
		}
		m.configure(func(m *memory) { m.pools[0].AllowTransfer = nil })
		follows(t, r, m)
		if _, rcode := soa(t, r, "z.test."); rcode != dns.RcodeRefused {
			t.Errorf("after the address list was emptied: %s", dns.RcodeToString[rcode])
		}
	}
}

func TestAGapOrAnotherFeedReloadsTheIndex(t *testing.T) {
	t.Parallel()
	m := newMemory()
	s := big(t, "z.test.", 1, 20)
	id := m.create(s)
	r := start(t, m, nil)
	// Compacted away while we were not looking: the entries 2 and 3 are gone.
	s2 := put(t, s, "", "x.z.test. 60 IN A 192.0.2.1\n")
	m.with(func(m *memory) {
		z := m.zones[id]
		z.snap, z.Version, z.Serial, z.SOA = s2, 2, 2, s2.SOASet()
		m.first, m.feed = 3, nil
		m.entry(fleet.FeedContent, z)
	})
	follows(t, r, m)
	if got, _ := soa(t, r, "z.test."); got != 2 {
		t.Errorf("serial %d after a gap", got)
	}
	if n := counter(t, r, "dnsctl_mdns_index_loads_total"); n != 2 {
		t.Errorf("index loaded %v times", n)
	}
	// Another history of the same length: the entry at our position has another id.
	m.with(func(m *memory) {
		m.feed[len(m.feed)-1].ID = "forked"
		m.entry(fleet.FeedMember, m.zones[id])
	})
	follows(t, r, m)
	if n := counter(t, r, "dnsctl_mdns_index_loads_total"); n != 3 {
		t.Errorf("index loaded %v times", n)
	}
}

// TestAServedSerialNeverGoesBack covers a lagging replica, which is waited for,
// and a store put back, whose zones are held until they have caught up.
func TestAServedSerialNeverGoesBack(t *testing.T) {
	t.Parallel()
	m := newMemory()
	s5 := big(t, "z.test.", 5, 20)
	id := m.create(s5)
	fine := m.create(big(t, "fine.test.", 1, 1))
	r := start(t, m, func(c *Config) { c.PollInterval = 5 * time.Millisecond })
	saved := m.zones[id].Served
	feed := slices.Clone(m.feed)
	s6 := put(t, s5, "", "x.z.test. 60 IN A 192.0.2.1\n")
	m.change(id, s6)
	follows(t, r, m)

	// A replica that lags: the feed ends before our position.
	whole := slices.Clone(m.feed)
	m.with(func(m *memory) { m.feed = feed })
	testbed.Eventually(t, 10*time.Second, func() bool { return counter(t, r, "dnsctl_mdns_feed_lag_entries") == -1 })
	if got, _ := soa(t, r, "z.test."); got != 6 {
		t.Errorf("serial %d while the store lags", got)
	}
	// Its content lags too, which nobody has in memory yet.
	m.with(func(m *memory) { m.zones[id].stale = s5 })
	if _, rcode := a(t, r, "host10.z.test."); rcode != dns.RcodeServerFailure {
		t.Errorf("lagging content: %s", dns.RcodeToString[rcode])
	}
	m.with(func(m *memory) { m.feed = whole; m.zones[id].stale = nil })
	testbed.Eventually(t, 10*time.Second, func() bool { return counter(t, r, "dnsctl_mdns_feed_lag_entries") == 0 })
	if n, _ := a(t, r, "x.z.test."); n != 1 {
		t.Error("content is not served after the replica has caught up")
	}

	// A store put back to an earlier state, which then goes on differently.
	m.with(func(m *memory) {
		m.nextID = 99 // other ids
		m.zones[id].Served, m.zones[id].snap = saved, s5
		m.feed = feed
		for range 3 {
			m.entry(fleet.FeedMember, m.zones[fine])
		}
	})
	testbed.Eventually(t, 10*time.Second, func() bool { return r.Position() == 5 })
	if _, rcode := soa(t, r, "z.test."); rcode != dns.RcodeServerFailure {
		t.Errorf("a zone put back: %s", dns.RcodeToString[rcode])
	}
	if got, _ := soa(t, r, "fine.test."); got != 1 {
		t.Errorf("a zone that was not put back has serial %d", got)
	}
	s6b := put(t, s5, "", "y.z.test. 60 IN A 192.0.2.1\n")
	m.change(id, s6b)
	follows(t, r, m)
	if got, _ := soa(t, r, "z.test."); got != 6 {
		t.Errorf("serial %d after the zone has caught up", got)
	}
}

// TestAZoneMadeAgainOwesNothingToItsFormerSerial deletes a zone and makes one of
// the same name with an earlier serial, as bringing a quarantined copy back does,
// before this process looks at the feed, which has been cut by then in one case.
func TestAZoneMadeAgainOwesNothingToItsFormerSerial(t *testing.T) {
	t.Parallel()
	for _, cut := range []bool{false, true} {
		m, wake := newMemory(), make(chan struct{})
		id := m.create(big(t, "z.test.", 8, 1))
		r := start(t, m, func(c *Config) { c.Wake, c.PollInterval = wake, time.Hour })
		m.remove(id)
		m.create(big(t, "z.test.", 7, 1))
		if cut {
			m.with(func(m *memory) { m.first, m.feed = 3, nil })
		}
		wake <- struct{}{}
		follows(t, r, m)
		if got, rcode := soa(t, r, "z.test."); got != 7 {
			t.Errorf("cut %v: serial %d, %s", cut, got, dns.RcodeToString[rcode])
		}
	}
}

// TestANewEpochIsTakenUpAtOnce puts the store back, says so by an epoch, and
// steps a serial to less than this process has served, which no nameserver has.
func TestANewEpochIsTakenUpAtOnce(t *testing.T) {
	t.Parallel()
	m := newMemory()
	s5 := big(t, "z.test.", 5, 20)
	id := m.create(s5)
	r := start(t, m, func(c *Config) { c.PollInterval = 5 * time.Millisecond })
	saved := m.zones[id].Served
	feed := slices.Clone(m.feed)
	s9 := s5
	for i := range 4 {
		s9 = put(t, s9, "", fmt.Sprintf("x%d.z.test. 60 IN A 192.0.2.1\n", i))
		m.change(id, s9)
	}
	follows(t, r, m)
	m.with(func(m *memory) {
		m.nextID = 99
		m.zones[id].Served, m.zones[id].snap = saved, s5
		m.feed = feed
		m.epoch = fleet.Identity{Epoch: 1, Pending: true}
		m.entry(fleet.FeedConfig, nil)
	})
	testbed.Eventually(t, 10*time.Second, func() bool { return r.Position() == 2 })
	if _, rcode := soa(t, r, "z.test."); rcode != dns.RcodeServerFailure {
		t.Errorf("a zone put back, before the epoch is finished: %s", dns.RcodeToString[rcode])
	}
	m.change(id, put(t, s5, "", "y.z.test. 60 IN A 192.0.2.1\n"))
	m.with(func(m *memory) {
		m.epoch.Pending = false
		m.entry(fleet.FeedConfig, nil)
	})
	follows(t, r, m)
	if got, rcode := soa(t, r, "z.test."); got != 6 {
		t.Errorf("serial %d after the epoch is finished: %s", got, dns.RcodeToString[rcode])
	}
}

// TestTheFloorOutlastsSeveralSteps: a zone put back from 9 to 5 stays held at 6,
// 7 and 8.
func TestTheFloorOutlastsSeveralSteps(t *testing.T) {
	x := newIndex()
	at := func(serial zone.Serial, version int64) *entry {
		e, err := makeEntry(fleet.Served{Name: n("z.test."), ZoneID: 1, Edition: 1, Version: version, SOA: big(t, "z.test.", int(serial), 0).SOASet()})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	x.put(at(9, 20))
	fresh := newIndex()
	fresh.put(at(5, 3))
	if held := x.replace(fresh, 1, true); held != 1 {
		t.Fatalf("%d zones held", held)
	}
	for v := range 5 {
		e := at(zone.Serial(6+v), int64(4+v))
		x.put(e)
		if want := 6+v < 9; x.byName[n("z.test.")].held() != want {
			t.Errorf("serial %d held: %v", 6+v, !want)
		}
	}
	if old := at(1, 1); true {
		x.put(old)
		if x.byName[n("z.test.")].serial != 10 {
			t.Error("an older version was taken")
		}
	}
}

func TestContentReadAheadOfTheFeedIsNotTakenBack(t *testing.T) {
	t.Parallel()
	m := newMemory()
	s := big(t, "z.test.", 1, 20)
	id := m.create(s)
	r := start(t, m, func(c *Config) { c.Wake, c.PollInterval = nil, time.Hour })
	m.change(id, put(t, s, "", "x.z.test. 60 IN A 192.0.2.1\n")) // not seen by the index yet
	if n, _ := a(t, r, "x.z.test."); n != 1 {
		t.Fatal("the store's content is newer")
	}
	if got, _ := soa(t, r, "z.test."); got != 2 {
		t.Errorf("serial %d after content of serial 2 was served", got)
	}
}

func TestTheCacheKeepsItsBudgetAndServesBeyondIt(t *testing.T) {
	t.Parallel()
	m := newMemory()
	names := []string{"a.test.", "b.test.", "c.test.", "d.test."}
	for _, z := range names {
		m.create(big(t, z, 1, 100))
	}
	m.create(big(t, "large.test.", 1, 5000))
	cost := newContent(big(t, "a.test.", 1, 100), 1, 1).cost
	r := start(t, m, func(c *Config) { c.CacheBytes = cost*2 + 100 })
	for range 2 {
		for _, z := range append(names, "large.test.") {
			if n, _ := a(t, r, "host10."+z); n != 1 {
				t.Errorf("%s is not answered for", z)
			}
			if used := counter(t, r, "dnsctl_mdns_cache_bytes"); used > float64(cost*2+100) {
				t.Errorf("%v octets in the cache", used)
			}
		}
	}
	if got := counter(t, r, "dnsctl_mdns_cache_evictions_total"); got < 4 {
		t.Errorf("%v evictions", got)
	}
	// What was used last is still there.
	before := m.loads
	_, _ = a(t, r, "host10.d.test.")
	if m.loads != before {
		t.Error("the zone used last was not kept")
	}
}

func TestOneLoadServesAllWhoWaitAndOthersGoOn(t *testing.T) {
	t.Parallel()
	m := newMemory()
	m.create(big(t, "slow.test.", 1, 20))
	m.create(big(t, "fast.test.", 1, 20))
	r := start(t, m, nil)
	if n, _ := a(t, r, "host10.fast.test."); n != 1 {
		t.Fatal("fast.test. is not answered for")
	}
	m.with(func(m *memory) { m.hold = make(chan struct{}) })
	results := make(chan int, 20)
	for i := range 20 {
		go func() {
			c := &dns.Client{Timeout: 20 * time.Second, Net: []string{"udp", "tcp"}[i%2]}
			got, _, err := c.Exchange(new(dns.Msg).SetQuestion("host10.slow.test.", dns.TypeA), r.addr)
			if err != nil {
				results <- -1
				return
			}
			results <- len(got.Answer)
		}()
	}
	testbed.Eventually(t, 10*time.Second, func() bool {
		r.cache.mu.Lock()
		defer r.cache.mu.Unlock()
		return len(r.cache.flights) == 1
	})
	for range 50 { // over UDP, where the waiting ones must not be in the way
		c := &dns.Client{Timeout: 10 * time.Second}
		got, _, err := c.Exchange(new(dns.Msg).SetQuestion("host10.fast.test.", dns.TypeA), r.addr)
		if err != nil || len(got.Answer) != 1 {
			t.Fatalf("fast.test. while slow.test. is read: %v %v", got, err)
		}
	}
	hold := m.hold
	m.with(func(m *memory) { m.hold = nil })
	close(hold)
	for range 20 {
		if got := <-results; got != 1 {
			t.Errorf("a waiting request got %d answers", got)
		}
	}
	if m.loads != 2 {
		t.Errorf("content read %d times", m.loads)
	}
}

func TestReadinessFollowsTheStore(t *testing.T) {
	t.Parallel()
	m := newMemory()
	m.create(big(t, "z.test.", 1, 20))
	r := start(t, m, func(c *Config) { c.PollInterval = 5 * time.Millisecond })
	ready := func(want int) func() bool {
		return func() bool { code, _ := page(t, r, "/readyz"); return code == want }
	}
	testbed.Eventually(t, 10*time.Second, ready(200))
	m.with(func(m *memory) { m.fail = errors.New("database is gone") })
	testbed.Eventually(t, 10*time.Second, ready(503))
	if _, text := page(t, r, "/readyz"); !strings.Contains(text, "database is gone") {
		t.Errorf("readyz says %s", text)
	}
	if got, _ := soa(t, r, "z.test."); got != 1 {
		t.Error("not served while the store is gone")
	}
	if code, _ := page(t, r, "/healthz"); code != 200 {
		t.Errorf("healthz %d", code)
	}
	m.with(func(m *memory) { m.fail = nil })
	testbed.Eventually(t, 10*time.Second, ready(200))
}

func TestServeFailsBeforeAnsweringWhenItCannotStart(t *testing.T) {
	t.Parallel()
	m := newMemory()
	m.fail = errors.New("no database")
	r := newMemory()
	first := start(t, r, nil)
	for _, c := range []struct {
		what   string
		change func(*Config)
		want   string
	}{
		{"index", func(c *Config) { c.Source = m }, "no database"},
		{"address in use", func(c *Config) { c.Listen[0] = netip.MustParseAddrPort(first.addr) }, "address already in use"},
	} {
		cfg := Config{Source: r, Sealer: plainSealer{}, Listen: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}}
		c.change(&cfg)
		s, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Serve(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.what, err)
		}
		if s.Readiness() == nil {
			t.Errorf("%s: ready", c.what)
		}
	}
	if _, err := New(Config{}); err == nil {
		t.Error("an empty configuration is accepted")
	}
}

// racing is a store that was put back and gets a new entry at the position that
// was followed right after the feed was found to end before it.
type racing struct {
	*memory
	fork func() // under the lock; nil when it was called
}

func (r *racing) Feed(ctx context.Context, after int64, limit int) ([]fleet.FeedEntry, error) {
	out, err := r.memory.Feed(ctx, after, limit)
	r.with(func(*memory) {
		if r.fork != nil {
			r.fork()
			r.fork = nil
		}
	})
	return out, err
}

func TestAForkThatComesWhileItIsLookedForIsSeen(t *testing.T) {
	t.Parallel()
	m := newMemory()
	s5 := big(t, "z.test.", 5, 20)
	id := m.create(s5)
	saved := m.zones[id].Served
	m.change(id, put(t, s5, "", "x.z.test. 60 IN A 192.0.2.1\n"))
	source := &racing{memory: m}
	r := start(t, m, func(c *Config) { c.Source, c.PollInterval = source, 5*time.Millisecond })
	follows(t, r, m)
	m.with(func(m *memory) {
		m.zones[id].Served, m.zones[id].snap = saved, s5
		m.feed = m.feed[:1]
		source.fork = func() {
			m.entry(fleet.FeedMember, m.zones[id])
			m.feed[1].ID = "forked"
		}
	})
	testbed.Eventually(t, 10*time.Second, func() bool { return counter(t, r, "dnsctl_mdns_index_loads_total") == 2 })
	if _, rcode := soa(t, r, "z.test."); rcode != dns.RcodeServerFailure {
		t.Errorf("a zone that the fork has at a lower serial: %s", dns.RcodeToString[rcode])
	}
}

// compacted is a store whose feed has lost what is behind a position, as the real
// one says so.
type compacted struct {
	*memory
	upTo atomic.Int64
}

func (c *compacted) Feed(ctx context.Context, after int64, limit int) ([]fleet.FeedEntry, error) {
	if after < c.upTo.Load() {
		return nil, fleet.ErrFeedGone
	}
	return c.memory.Feed(ctx, after, limit)
}

func TestAFeedThatIsCompactedPastTheIndexReloadsIt(t *testing.T) {
	t.Parallel()
	m := newMemory()
	s := big(t, "z.test.", 1, 20)
	id := m.create(s)
	source := &compacted{memory: m}
	r := start(t, m, func(c *Config) { c.Source, c.Wake, c.PollInterval = source, nil, 5*time.Millisecond })
	source.upTo.Store(2)
	m.change(id, put(t, s, "", "x.z.test. 60 IN A 192.0.2.1\n"))
	m.change(id, put(t, put(t, s, "", "x.z.test. 60 IN A 192.0.2.1\n"), "", "y.z.test. 60 IN A 192.0.2.1\n"))
	follows(t, r, m)
	if n := counter(t, r, "dnsctl_mdns_index_loads_total"); n < 2 {
		t.Errorf("index loaded %v times", n)
	}
}

// TestSmallZonesThatWaitAreLoadedTogether holds the store up: what is asked for
// meanwhile comes with a few questions to it, but for a zone of which it gives
// nothing.
func TestSmallZonesThatWaitAreLoadedTogether(t *testing.T) {
	t.Parallel()
	const zones = 100
	m := newMemory()
	for i := range zones {
		m.create(big(t, fmt.Sprintf("z%d.test.", i), 1, 20))
	}
	lost := m.create(big(t, "lost.test.", 1, 20))
	r := start(t, m, nil)
	m.with(func(m *memory) {
		m.hold = make(chan struct{})
		z := *m.zones[lost]
		z.Edition = -1 // what the index has is not there
		m.zones[lost] = &z
	})
	ask := func(name string) (rcode, answers int) {
		c := &dns.Client{Timeout: time.Minute}
		got, _, err := c.Exchange(new(dns.Msg).SetQuestion(name, dns.TypeA), r.addr)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return -1, 0
		}
		return got.Rcode, len(got.Answer)
	}
	var all sync.WaitGroup
	for i := range zones {
		all.Go(func() {
			if rcode, n := ask(fmt.Sprintf("host10.z%d.test.", i)); rcode != dns.RcodeSuccess || n != 1 {
				t.Errorf("z%d: rcode %d, %d answers", i, rcode, n)
			}
		})
	}
	all.Go(func() {
		if rcode, _ := ask("host10.lost.test."); rcode != dns.RcodeRefused { // as a zone that was deleted meanwhile
			t.Errorf("lost: rcode %d", rcode)
		}
	})
	testbed.Eventually(t, time.Minute, func() bool {
		r.cache.mu.Lock()
		defer r.cache.mu.Unlock()
		return len(r.cache.flights) == zones+1
	})
	hold := m.hold
	m.with(func(m *memory) { m.hold = nil })
	close(hold)
	all.Wait()
	m.with(func(m *memory) {
		if m.batches == 0 || m.batches > zones/4 {
			t.Errorf("%d questions for %d zones", m.batches, zones)
		}
	})
}
