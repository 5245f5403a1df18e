package bootstrap_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"dnsctl/bootstrap"
	"dnsctl/fleet"
	"dnsctl/report"
	"dnsctl/testbed/pretend"
	"dnsctl/zone"
)

// interrupted runs a bootstrap of ns1 that ends at the n-th zone it adds, as one
// that is killed does.
func interrupted(t *testing.T, w *pretend.World, b *bootstrap.Bootstrapper, ns *pretend.Server, n int, o bootstrap.Options) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	added := 0
	ns.Before = func(op string, name zone.Name) error {
		if op == "add" && !fleet.IsMarkerName(name) {
			if added++; added == n {
				cancel()
				return context.Canceled
			}
		}
		return nil
	}
	if _, err := b.Run(ctx, "ns1", o); !errors.Is(err, context.Canceled) {
		t.Fatalf("it ended with %v", err)
	}
	ns.Before = nil
}

func TestResumedRunIsTheRestOfTheOneThatWasKilled(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World, b *bootstrap.Bootstrapper) {
		ns := w.Bare("ns1")
		w.Create("a.example.", "b.example.", "c.example.")
		interrupted(t, w, b, ns, 2, bootstrap.Options{Wait: true})
		interrupted(t, w, b, ns, 2, bootstrap.Options{Resume: true})
		ns.ForgetWrites()
		rep, err := b.Run(t.Context(), "ns1", bootstrap.Options{Resume: true})
		if err != nil || rep.Exit != report.ExitOK || rep.Servers[0].Counts[report.OK] != 3 {
			t.Fatalf("%v, %+v", err, rep)
		}
		before := 0
		for _, it := range rep.Servers[0].Items {
			if it.Class == "" {
				continue
			}
			if it.Action != report.Add || it.Outcome != report.Done || it.Serial.Have == nil {
				t.Errorf("%+v", it)
			}
			if strings.HasPrefix(it.Reason, "added by the run that began at ") {
				before++
			}
		}
		if adds := strings.Count(strings.Join(ns.Writes(), "\n"), "add"); before != 2 || adds != 1 {
			t.Errorf("%d zones were added before, writes now: %q", before, ns.Writes())
		}
		row, _ := w.Store.Server(t.Context(), "ns1")
		if row.State != fleet.Active {
			t.Errorf("state %s", row.State)
		}
		// It has ended; there is no other to go on with.
		rep, err = b.Run(t.Context(), "ns1", bootstrap.Options{Resume: true})
		if err != nil || rep.Exit != report.ExitOK {
			t.Fatalf("%v, %+v", err, rep)
		}
		for _, it := range rep.Servers[0].Items {
			if it.Action == report.Add {
				t.Errorf("%+v", it)
			}
		}
	})
}

func TestZonesThatWentSinceAreNotInTheResumedRun(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World, b *bootstrap.Bootstrapper) {
		ns := w.Bare("ns1")
		w.Create("a.example.", "b.example.", "c.example.")
		interrupted(t, w, b, ns, 3, bootstrap.Options{})
		w.Delete("a.example.")
		rep, err := b.Run(t.Context(), "ns1", bootstrap.Options{Resume: true, Wait: true})
		if err != nil || rep.Exit != report.ExitOK {
			t.Fatalf("%v, %+v", err, rep)
		}
		for _, it := range rep.Servers[0].Items {
			if it.Zone.Equal(pretend.Name("a.example.")) && it.Outcome == report.Done {
				t.Errorf("%+v", it)
			}
		}
	})
}
