package mdns

import (
	"context"
	"errors"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"dnsctl/testbed"
)

// pair is a database and a standby of it, which has what is done to it as well.
func pair(t *testing.T) (primary, standby *memory, id int64) {
	t.Helper()
	primary, standby = newMemory(), newMemory()
	s := big(t, "z.test.", 1, 20)
	primary.create(s)
	return primary, standby, standby.create(s)
}

func TestAStandbyIsWaitedForBeforeAnythingIsServed(t *testing.T) {
	t.Parallel()
	primary, standby, id := pair(t)
	s := big(t, "z.test.", 2, 20)
	primary.change(id, s)
	ready := make(chan string, 1)
	srv, err := New(Config{
		Source: standby, Primary: primary, Sealer: plainSealer{}, Wake: primary.wake, PollInterval: 5 * time.Millisecond,
		Listen: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}, Ready: func(a, _ []netip.AddrPort) { ready <- a[0].String() },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ctx) }()
	// It has looked, and again, and serves nothing.
	testbed.Eventually(t, 10*time.Second, func() bool {
		standby.mu.Lock()
		defer standby.mu.Unlock()
		return standby.heads > 3
	})
	select {
	case <-ready:
		t.Fatal("it serves what is older than what may have been served before")
	default:
	}
	standby.change(id, s)
	r := &running{Server: srv, addr: <-ready}
	if got, _ := soa(t, r, "z.test."); got != 2 {
		t.Errorf("serial %d", got)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestAStandbyOfAnotherHistoryIsRefused(t *testing.T) {
	t.Parallel()
	primary, standby, id := pair(t)
	s := big(t, "z.test.", 2, 20)
	primary.change(id, s)
	standby.change(id, s)
	standby.with(func(m *memory) { m.feed[1].ID = "forked" })
	srv, err := New(Config{Source: standby, Primary: primary, Sealer: plainSealer{}, Listen: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}})
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.Serve(context.Background()); !errors.Is(err, ErrOtherHistory) || !strings.Contains(err.Error(), "feed entry 2") {
		t.Errorf("Serve: %v", err)
	}
}

func TestHowFarTheStandbyIsBehindIsMeasured(t *testing.T) {
	t.Parallel()
	primary, standby, id := pair(t)
	registry := prometheus.NewRegistry()
	r := start(t, standby, func(c *Config) {
		c.Primary, c.Wake, c.PollInterval, c.Registry = primary, primary.wake, 5*time.Millisecond, registry
	})
	entries := func() float64 { return counter(t, r, "dnsctl_mdns_standby_lag_entries") }
	testbed.Eventually(t, 10*time.Second, func() bool { return entries() == 0 && r.Lag() == 0 })
	s2, s3 := big(t, "z.test.", 2, 20), big(t, "z.test.", 3, 20)
	primary.change(id, s2)
	primary.with(func(m *memory) { m.feed[1].At = time.Now().Add(-time.Minute) })
	primary.change(id, s3)
	testbed.Eventually(t, 10*time.Second, func() bool {
		return entries() == 2 && counter(t, r, "dnsctl_mdns_standby_lag_seconds") >= 60 && r.Lag() >= time.Minute
	})
	if got, _ := soa(t, r, "z.test."); got != 1 {
		t.Errorf("serial %d, which the standby does not have", got)
	}
	standby.change(id, s2)
	testbed.Eventually(t, 10*time.Second, func() bool { return entries() == 1 && r.Lag() < 30*time.Second })
	primary.with(func(m *memory) { m.fail = errors.New("away") })
	testbed.Eventually(t, 10*time.Second, func() bool { return math.IsNaN(entries()) && r.Lag() == 0 })
	standby.change(id, s3) // it is followed all the same
	follows(t, r, standby)
	if r.Readiness() != nil {
		t.Errorf("not ready without the primary: %v", r.Readiness())
	}
	primary.with(func(m *memory) { m.fail = nil })
	testbed.Eventually(t, 10*time.Second, func() bool { return entries() == 0 })
}
