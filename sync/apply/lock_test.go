package apply_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dnsctl/fleet"
	"dnsctl/report"
	"dnsctl/sync/apply"
	"dnsctl/testbed/pretend"
	"dnsctl/zone"
)

// leases is one lease that tests take away or let fail.
type leases struct {
	mu       sync.Mutex
	holder   string // of the lease
	expires  time.Time
	renewErr error
	released int
}

func (l *leases) Lease(_ context.Context, name, holder string, ttl time.Duration) (fleet.Lease, bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.holder != "" && l.holder != holder && time.Now().Before(l.expires) {
		return fleet.Lease{Name: name, Holder: l.holder}, false, nil
	}
	l.holder, l.expires = holder, time.Now().Add(ttl)
	return fleet.Lease{Name: name, Holder: holder}, true, nil
}

func (l *leases) Renew(_ context.Context, lease fleet.Lease, ttl time.Duration) (fleet.Lease, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.renewErr != nil:
		return lease, l.renewErr
	case l.holder != lease.Holder:
		return lease, fleet.ErrLeaseLost
	}
	l.expires = time.Now().Add(ttl)
	return lease, nil
}

func (l *leases) Release(_ context.Context, lease fleet.Lease) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.released++
	if l.holder == lease.Holder {
		l.holder = ""
	}
	return nil
}

func (l *leases) set(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
}

func TestLockIsKeptForAsLongAsTheWorkTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l leases
		err := apply.WithLock(t.Context(), &l, "ns1", "me", func(ctx context.Context) error {
			<-time.After(10 * time.Minute)
			if _, held, _ := l.Lease(ctx, "server:ns1", "other", time.Second); held {
				t.Error("somebody else got the lock")
			}
			return ctx.Err()
		})
		if err != nil || l.released != 1 || l.holder != "" {
			t.Errorf("%v, released %d times, held by %q", err, l.released, l.holder)
		}
	})
}

func TestWorkEndsWhenItsLockIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l leases
		began := time.Now()
		err := apply.WithLock(t.Context(), &l, "ns1", "me", func(ctx context.Context) error {
			l.set(func() { l.holder = "other" })
			<-ctx.Done()
			return ctx.Err()
		})
		if !errors.Is(err, fleet.ErrLeaseLost) || time.Since(began) > 20*time.Second {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		if l.holder != "other" {
			t.Error("the other's lock was released")
		}
	})
}

func TestWorkEndsBeforeALeaseThatCannotBeRenewedDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := leases{renewErr: errors.New("database is gone")}
		var expires time.Time
		err := apply.WithLock(t.Context(), &l, "ns1", "me", func(ctx context.Context) error {
			l.set(func() { expires = l.expires })
			<-ctx.Done()
			return ctx.Err()
		})
		if err == nil || !strings.Contains(err.Error(), "database is gone") || !time.Now().Before(expires) {
			t.Errorf("%v, %s before the lease ran out", err, time.Until(expires))
		}
	})
}

func TestStoreThatFailsForAMomentLosesNoLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l leases
		err := apply.WithLock(t.Context(), &l, "ns1", "me", func(ctx context.Context) error {
			<-time.After(12200 * time.Millisecond)
			l.set(func() { l.renewErr = errors.New("busy") })
			<-time.After(2500 * time.Millisecond)
			l.set(func() { l.renewErr = nil })
			<-time.After(time.Minute)
			return ctx.Err()
		})
		if err != nil {
			t.Error(err)
		}
	})
}

func TestBusyLockIsWaitedForAsLongAsTheLeaderMayHoldIt(t *testing.T) {
	for held, busy := range map[time.Duration]bool{8 * time.Second: false, time.Hour: true} {
		synctest.Test(t, func(t *testing.T) {
			l := leases{holder: "other", expires: time.Now().Add(held)}
			began := time.Now()
			err := apply.WithLock(t.Context(), &l, "ns1", "me", func(context.Context) error { return nil })
			exit, _ := report.ExitOf(err)
			if (exit == report.ExitBusy) != busy || !busy && err != nil {
				t.Errorf("held for %s: %v", held, err)
			}
			if took := time.Since(began); took > 15*time.Second {
				t.Errorf("waited %s", took)
			}
		})
	}
}

func TestInterruptedWaitForALockEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := leases{holder: "other", expires: time.Now().Add(time.Hour)}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := apply.WithLock(ctx, &l, "ns1", "me", func(context.Context) error {
			t.Error("worked without the lock")
			return nil
		})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

func TestServerThatAnotherDnsctlHolds(t *testing.T) {
	for _, tt := range []struct {
		name string
		held []string
		sync []string
		want report.Exit
	}{
		{"the only one asked for", []string{"ns1"}, []string{"ns1"}, report.ExitBusy},
		{"one of several", []string{"ns1"}, []string{"ns1", "ns2"}, report.ExitPartial},
		{"all of several", []string{"ns1", "ns2"}, []string{"ns1", "ns2"}, report.ExitPartial},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *pretend.World) {
				w.Server("ns1")
				w.Server("ns2")
				w.Create("a.example.")
				for _, name := range tt.held {
					if _, held, err := w.Store.Lease(t.Context(), "server:"+name, "other", time.Hour); err != nil || !held {
						t.Fatal(err)
					}
				}
				var servers []*pretend.Server
				for _, name := range tt.sync {
					servers = append(servers, w.Servers[name])
				}
				rep, err := w.Sync(t.Context(), apply.SyncOptions{}, servers...)
				if err != nil || rep.Exit != tt.want {
					t.Errorf("%v, exit %d, want %d: %+v", err, rep.Exit, tt.want, rep.Servers)
				}
				if w.Servers["ns1"].Has("a.example.") {
					t.Error("a held server was written to")
				}
			})
		})
	}
}

func TestLostLockStopsWritesAndEndsEachStep(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World) {
		ns := withForeign(t, w, "f1.example.", "f2.example.", "f3.example.")
		var l leases
		w.Syncer.Locks = &l
		ns.Before = func(op string, name zone.Name) error {
			if op == "delete" && is(name.String(), "f2.example.") {
				l.set(func() { l.holder = "other" })
				<-time.After(10 * time.Second)
			}
			return nil
		}
		rep, err := w.Sync(t.Context(), apply.SyncOptions{})
		if err != nil || rep.Exit != report.ExitFailed {
			t.Errorf("%v, exit %d", err, rep.Exit)
		}
		s := rep.Servers[0]
		noneOpen(t, s)
		if !strings.Contains(s.Error, "held by another") {
			t.Errorf("error %q", s.Error)
		}
		ends(t, s, "f1.example.", report.Foreign, report.Done, "", "")
		if got := deletes(ns); len(got) != 1 || !ns.Has("f2.example.") || !ns.Has("f3.example.") {
			t.Errorf("deleted %q", got)
		}
	})
}
