package keeper

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"dnsctl/dnsclient"
	"dnsctl/fleet"
	"dnsctl/zone"
)

// fakeNameservers takes NOTIFY as nameservers would: each learns the serial of
// the hint after a while. Servers named dead answer nothing.
type fakeNameservers struct {
	mu       sync.Mutex
	serials  map[string]zone.Serial // "server zone" -> what it serves
	notified map[string]int
	dead     map[string]bool
	learns   time.Duration
	refuses  error
}

func newNameservers() *fakeNameservers {
	return &fakeNameservers{serials: map[string]zone.Serial{}, notified: map[string]int{}, dead: map[string]bool{}}
}

func (f *fakeNameservers) isDead(s fleet.Server) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dead[s.Name]
}

func (f *fakeNameservers) Notify(ctx context.Context, s fleet.Server, name zone.Name, soa zone.RRset) error {
	if f.isDead(s) {
		if !pause(ctx, 3*time.Second) {
			return ctx.Err()
		}
		return dnsclient.ErrTimeout
	}
	if !pause(ctx, time.Millisecond) { // so that it is under way while more is added
		return ctx.Err()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.notified[s.Name]++
	if f.refuses != nil {
		return f.refuses
	}
	parsed, err := zone.ParseSOA(soa.Data.First())
	if err != nil {
		return err
	}
	time.AfterFunc(f.learns, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if at := s.Name + " " + name.String(); parsed.Serial.Ahead(f.serials[at]) {
			f.serials[at] = parsed.Serial
		}
	})
	return nil
}

func (f *fakeNameservers) Serial(ctx context.Context, s fleet.Server, name zone.Name) (zone.Serial, error) {
	if f.isDead(s) {
		if !pause(ctx, 3*time.Second) {
			return 0, ctx.Err()
		}
		return 0, dnsclient.ErrTimeout
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.serials[s.Name+" "+name.String()], nil
}

// reports collects what a notifier reports.
type reports struct {
	mu    sync.Mutex
	began time.Time
	all   map[string]error
	at    map[string]time.Duration
}

func newReports() *reports {
	return &reports{began: time.Now(), all: map[string]error{}, at: map[string]time.Duration{}}
}

func (r *reports) take(server int64, name zone.Name, serial zone.Serial, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := fmt.Sprintf("%d %s %d", server, name, serial)
	if _, twice := r.all[key]; twice {
		err = fmt.Errorf("reported twice: %w", err)
	}
	r.all[key], r.at[key] = err, time.Since(r.began)
}

// get is what was reported under the key, while more may be.
func (r *reports) get(key string) (reported bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	err, reported = r.all[key]
	return reported, err
}

func soaOf(serial zone.Serial) zone.RRset {
	soa := zone.SOA{MName: zoneName("ns."), RName: zoneName("hostmaster."), Serial: serial}
	return zone.RRset{Owner: zoneName("a."), Type: zone.TypeSOA, Data: zone.PackRdata(soa.Rdata())}
}

func server(id int64) fleet.Server {
	return fleet.Server{ID: id, Name: fmt.Sprintf("ns%d", id), State: fleet.Active}
}

// notifying runs a notifier in a synctest bubble until f returns.
func notifying(t *testing.T, f func(t *testing.T, n *Notifier, ns *fakeNameservers, r *reports)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ns, r := newNameservers(), newReports()
		n := NewNotifier(ns, r.take)
		n.Metrics = NewNotifyMetrics(prometheus.NewRegistry())
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); n.Run(ctx) }()
		n.SetServers([]fleet.Server{server(1), server(2)})
		f(t, n, ns, r)
		cancel()
		<-done
	})
}

// after lets time pass in the bubble.
func after(t *testing.T, d time.Duration) {
	t.Helper()
	pause(t.Context(), d)
	synctest.Wait()
}

func TestChangesAreReportedWhenTheServerServesThem(t *testing.T) {
	t.Parallel()
	notifying(t, func(t *testing.T, n *Notifier, ns *fakeNameservers, r *reports) {
		ns.learns = 200 * time.Millisecond
		for s := zone.Serial(1); s <= 50; s++ {
			n.Add(1, zoneName("a."), s, soaOf(s))
		}
		n.Add(2, zoneName("a."), 50, soaOf(50))
		n.Add(3, zoneName("a."), 50, soaOf(50)) // a server that nobody named
		after(t, 5*time.Second)
		if len(r.all) != 2 || r.all["1 a. 50"] != nil || r.all["2 a. 50"] != nil {
			t.Errorf("reported %v", r.all)
		}
		if at := r.at["1 a. 50"]; at > 500*time.Millisecond {
			t.Errorf("proven after %s", at)
		}
		if ns.notified["ns1"] > 2 {
			t.Errorf("%d NOTIFY for one newest serial", ns.notified["ns1"])
		}
		if n.pending(1)+n.pending(2) != 0 {
			t.Error("something is pending")
		}
	})
}

func TestADeadServerDelaysNoOtherAndIsGivenUp(t *testing.T) {
	t.Parallel()
	notifying(t, func(t *testing.T, n *Notifier, ns *fakeNameservers, r *reports) {
		ns.dead["ns1"] = true
		const zones = 500
		for i := range zones {
			name := zoneName(fmt.Sprintf("z%d.", i))
			n.Add(1, name, 7, soaOf(7))
			n.Add(2, name, 7, soaOf(7))
		}
		after(t, 2*time.Second)
		for i := range zones {
			key := fmt.Sprintf("2 z%d. 7", i)
			if ok, err := r.get(key); !ok || err != nil {
				t.Fatalf("%s: %v after two seconds", key, err)
			}
		}
		after(t, 5*time.Minute)
		for i := range zones {
			if err := r.all[fmt.Sprintf("1 z%d. 7", i)]; !errors.Is(err, dnsclient.ErrTimeout) {
				t.Fatalf("z%d: %v", i, err)
			}
		}
		if n.pending(1) != 0 {
			t.Error("something is pending")
		}
	})
}

func TestAServerThatComesBackInTimeIsToldOfTheNewestSerial(t *testing.T) {
	t.Parallel()
	notifying(t, func(t *testing.T, n *Notifier, ns *fakeNameservers, r *reports) {
		ns.dead["ns1"] = true
		n.Add(1, zoneName("a."), 7, soaOf(7))
		after(t, 5*time.Second)
		n.Add(1, zoneName("a."), 8, soaOf(8))
		ns.mu.Lock()
		ns.dead["ns1"] = false
		ns.mu.Unlock()
		after(t, 10*time.Second)
		if err, ok := r.all["1 a. 8"]; !ok || err != nil || len(r.all) != 1 || ns.notified["ns1"] != 1 {
			t.Errorf("reported %v after %d NOTIFY", r.all, ns.notified["ns1"])
		}
	})
}

func TestServersThatLeaveAreNotToldAndTheirChangesAreReported(t *testing.T) {
	t.Parallel()
	notifying(t, func(t *testing.T, n *Notifier, ns *fakeNameservers, r *reports) {
		ns.dead["ns1"], ns.dead["ns2"] = true, true
		n.Add(1, zoneName("a."), 7, soaOf(7))
		n.Add(2, zoneName("a."), 7, soaOf(7))
		after(t, time.Second)
		drained := server(2)
		drained.State = fleet.Drained
		n.SetServers([]fleet.Server{drained})
		after(t, time.Minute)
		for _, key := range []string{"1 a. 7", "2 a. 7"} {
			if !errors.Is(r.all[key], ErrNotTold) {
				t.Errorf("%s: %v", key, r.all[key])
			}
		}
		n.Add(2, zoneName("a."), 8, soaOf(8))
		if n.pending(2) != 0 {
			t.Error("a drained server is told")
		}
	})
}

func TestAnAddressThatChangesIsUsedFromThenOn(t *testing.T) {
	t.Parallel()
	notifying(t, func(t *testing.T, n *Notifier, ns *fakeNameservers, r *reports) {
		renamed := server(1)
		renamed.Name = "moved"
		n.SetServers([]fleet.Server{renamed, server(2)})
		n.Add(1, zoneName("a."), 7, soaOf(7))
		after(t, time.Second)
		if ns.notified["moved"] != 1 || r.all["1 a. 7"] != nil {
			t.Errorf("notified %v, reported %v", ns.notified, r.all)
		}
	})
}

func TestASlowReportHoldsNewerOnesOfItsZoneOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ns := newNameservers()
		var mu sync.Mutex
		var order []string
		open := 0
		n := NewNotifier(ns, func(_ int64, name zone.Name, serial zone.Serial, err error) {
			mu.Lock()
			if name == zoneName("a.") {
				if open++; open > 1 {
					t.Error("two reports of one zone at once")
				}
			}
			mu.Unlock()
			if name == zoneName("a.") {
				pause(t.Context(), 3*time.Second)
			}
			mu.Lock()
			defer mu.Unlock()
			if name == zoneName("a.") {
				open--
			}
			order = append(order, fmt.Sprintf("%s %d", name, serial))
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); n.Run(ctx) }()
		n.SetServers([]fleet.Server{server(1)})
		n.Add(1, zoneName("a."), 1, soaOf(1))
		after(t, time.Second)
		n.Add(1, zoneName("a."), 2, soaOf(2))
		n.Add(1, zoneName("b."), 1, soaOf(1))
		after(t, time.Minute)
		mu.Lock()
		if got := fmt.Sprint(order); got != "[b. 1 a. 1 a. 2]" {
			t.Errorf("order %s", got)
		}
		mu.Unlock()
		cancel()
		<-done
	})
}

func TestNothingIsReportedAfterTheEnd(t *testing.T) {
	t.Parallel()
	var r *reports
	notifying(t, func(t *testing.T, n *Notifier, ns *fakeNameservers, got *reports) {
		r = got
		ns.dead["ns1"] = true
		n.Add(1, zoneName("a."), 7, soaOf(7))
		after(t, time.Second)
	})
	if len(r.all) != 0 {
		t.Errorf("reported %v", r.all)
	}
}

// pending is how many zones are queued or under way for the server.
func (n *Notifier) pending(server int64) int {
	l := n.line(server)
	if l == nil {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.queue.all)
}
