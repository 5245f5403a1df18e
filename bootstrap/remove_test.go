package bootstrap_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"dnsctl/bootstrap"
	"dnsctl/fleet"
	"dnsctl/report"
	"dnsctl/sync/apply"
	"dnsctl/testbed/pretend"
	"dnsctl/zone"
)

// TestARemovalStoppedAnywhereIsDoneWhenRunAgain ends it before each of its
// operations on the nameserver, in turn. Until its row is gone the marker is the
// last that goes, and what somebody else put there stays.
func TestARemovalStoppedAnywhereIsDoneWhenRunAgain(t *testing.T) {
	t.Parallel()
	for stop := 1; stop < 100; stop++ {
		finished := false
		ok := t.Run("", func(t *testing.T) { //nolint:paralleltest // the number of operations shows in the last
			synctest.Test(t, func(t *testing.T) {
				w := pretend.New(t)
				b := &bootstrap.Bootstrapper{Store: w.Store, Fleet: w.Fleet, Applier: w.Applier, Locks: w.Store, Holder: "test", Now: time.Now}
				w.Create("a.example.", "b.example.", "c.example.")
				ns := w.Server("ns1")
				if rep, err := w.Syncer.Sync(t.Context(), "sync", []fleet.Server{w.Row(ns)}, apply.SyncOptions{}); err != nil || rep.Exit != report.ExitOK {
					t.Fatalf("sync: %v, %+v", err, rep)
				}
				ns.Put("rogue.example.", 7)
				marker := w.Row(ns).Marker
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				n := 0
				ns.Before = func(string, zone.Name) error {
					if n++; n == stop {
						cancel()
					}
					return nil
				}
				_, _ = b.Remove(ctx, w.Store, w.Row(ns), bootstrap.RemoveOptions{Zones: true})
				finished = n < stop
				ns.Before = nil
				if _, err := w.Store.Server(t.Context(), "ns1"); err == nil {
					for _, z := range []string{"a.example.", "b.example.", "c.example."} {
						if ns.Has(z) && !ns.Has(marker.String()) {
							t.Errorf("the marker went before %s", z)
						}
					}
					rep, err := b.Remove(t.Context(), w.Store, w.Row(ns), bootstrap.RemoveOptions{Zones: true})
					if err != nil || rep.Exit != report.ExitOK {
						t.Fatalf("run again: %v, %+v", err, rep.Servers)
					}
				}
				if _, err := w.Store.Server(t.Context(), "ns1"); err == nil {
					t.Error("it is still in the fleet")
				}
				if ns.Has("a.example.") || ns.Has("c.example.") || ns.Has(marker.String()) || !ns.Has("rogue.example.") {
					t.Errorf("what is left is wrong, after %q", ns.Writes())
				}
				if z, err := w.Store.Zone(t.Context(), marker); err == nil && z.Deleted == nil {
					t.Error("the marker is still in the database")
				}
				if slices.Contains(ns.Writes(), "delete rogue.example.") {
					t.Error("a foreign zone was deleted")
				}
			})
		})
		if !ok || finished {
			if stop < 8 {
				t.Errorf("only %d operations", stop)
			}
			return
		}
	}
	t.Error("it never ends")
}
