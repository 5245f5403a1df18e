package bootstrap_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"dnsctl/bootstrap"
	"dnsctl/edit"
	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/report"
	"dnsctl/sync/apply"
	"dnsctl/testbed/pretend"
	"dnsctl/zone"
)

var ada = edit.Meta{Actor: report.Actor{User: "ada"}, Command: "drain"}

// two are two servers in service, with a zone.
func two(t *testing.T, w *pretend.World) (ns1, ns2 *pretend.Server) {
	t.Helper()
	ns1, ns2 = w.Server("ns1"), w.Server("ns2")
	w.Create("a.example.", "old.example.")
	if rep, err := w.Sync(t.Context(), apply.SyncOptions{}); err != nil || rep.Exit != report.ExitOK {
		t.Fatal(err, rep)
	}
	ns1.ForgetWrites()
	return ns1, ns2
}

func undrain(t *testing.T, w *pretend.World, b *bootstrap.Bootstrapper, hook bootstrap.Hook, want report.Exit, state fleet.State) report.Server {
	t.Helper()
	rep, err := b.Undrain(t.Context(), w.Store, "ns1", hook, bootstrap.Options{})
	row, _ := w.Store.Server(t.Context(), "ns1")
	if err != nil || rep.Exit != want || row.State != state || (row.Drain == nil) == state.Out() {
		t.Fatalf("undrain: %v, exit %d, want %d, %s, %+v: %+v", err, rep.Exit, want, row.State, row.Drain, rep.Servers)
	}
	if len(rep.Servers) == 0 {
		return report.Server{}
	}
	return rep.Servers[0]
}

func TestDrainedServerCatchesUpBeforeItIsInServiceAgain(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World, b *bootstrap.Bootstrapper) {
		ns1, _ := two(t, w)
		var told []string
		hook := func(_ context.Context, server, state, reason string) error {
			row, _ := w.Store.Server(t.Context(), server)
			told = append(told, strings.Join([]string{server, state, reason, string(row.State)}, " "))
			return nil
		}
		rep, err := b.Drain(t.Context(), w.Store, "ns1", "new disk", nil, hook, ada)
		if err != nil || rep.Exit != report.ExitOK || rep.Servers[0].Drained.Reason != "new disk" || rep.Servers[0].Drained.By.User != "ada" {
			t.Fatalf("%v, %+v", err, rep)
		}
		// Again: it is drained already, and nobody is told twice.
		if rep, err := b.Drain(t.Context(), w.Store, "ns1", "new disk", nil, hook, edit.Meta{}); err != nil || rep.Servers[0].Drained.By.User != "ada" {
			t.Fatalf("again: %v, %+v", err, rep)
		}
		want := w.Change("a.example.")
		w.Create("new.example.")
		w.Delete("old.example.")
		ns1.Put("f.example.", 1)
		// A sync of all leaves it alone; one of it does not.
		if rep, err := w.Sync(t.Context(), apply.SyncOptions{}); err != nil || rep.Exit != report.ExitOK || rep.Servers[0].Drained == nil || len(rep.Servers[0].Items) != 0 {
			t.Fatalf("%v, %+v", err, rep)
		}
		if got := ns1.Writes(); len(got) != 0 {
			t.Fatalf("a drained server got %q", got)
		}
		s := undrain(t, w, b, hook, report.ExitOK, fleet.Active)
		if s.Drained != nil || ns1.Serves("a.example.") != want || !ns1.Has("new.example.") || ns1.Has("old.example.") || !ns1.Has("f.example.") {
			t.Errorf("%+v, writes %q", s.Drained, ns1.Writes())
		}
		if got := strings.Join(told, ", "); got != "ns1 drain new disk draining, ns1 undrain new disk drained" {
			t.Errorf("the hook was told %s", got)
		}
		ns1.ForgetWrites()
		undrain(t, w, b, hook, report.ExitOK, fleet.Active)
		if len(ns1.Writes()) != 0 || len(told) != 2 {
			t.Errorf("again: writes %q, told %q", ns1.Writes(), told)
		}
	})
}

func TestServerThatIsBehindStaysDrained(t *testing.T) {
	tests := map[string]struct {
		set  func(w *pretend.World, ns *pretend.Server)
		want report.Exit
	}{
		"a transfer goes nowhere": {func(w *pretend.World, ns *pretend.Server) {
			ns.Stalled = func(n zone.Name) bool { return n.Equal(pretend.Name("a.example.")) }
			w.Change("a.example.")
		}, report.ExitNotReady},
		"its control channel does not answer": {func(_ *pretend.World, ns *pretend.Server) {
			ns.Before = func(string, zone.Name) error { return nameserver.ErrUnreachable }
		}, report.ExitFailed},
		"another store's marker": {func(_ *pretend.World, ns *pretend.Server) { ns.Put("x.dnsctl.invalid.", 1) }, report.ExitWithheld},
		"a stale zone cannot be deleted": {func(w *pretend.World, ns *pretend.Server) {
			w.Delete("old.example.")
			ns.Before = func(op string, _ zone.Name) error {
				if op == "delete" {
					return nameserver.ErrRefused
				}
				return nil
			}
		}, report.ExitNotReady},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *pretend.World, b *bootstrap.Bootstrapper) {
				ns1, _ := two(t, w)
				if _, err := b.Drain(t.Context(), w.Store, "ns1", "r", nil, nil, ada); err != nil {
					t.Fatal(err)
				}
				tt.set(w, ns1)
				hook := func(context.Context, string, string, string) error { t.Error("the hook was called"); return nil }
				began := time.Now()
				if s := undrain(t, w, b, hook, tt.want, fleet.Drained); s.Drained == nil || time.Since(began) > 5*time.Minute {
					t.Errorf("%+v after %s", s, time.Since(began))
				}
			})
		})
	}
}

func TestUndrainEndsWithItsTime(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World, b *bootstrap.Bootstrapper) {
		ns1, _ := two(t, w)
		if _, err := b.Drain(t.Context(), w.Store, "ns1", "r", nil, nil, ada); err != nil {
			t.Fatal(err)
		}
		ns1.Stalled = func(n zone.Name) bool { return n.Equal(pretend.Name("a.example.")) }
		w.Change("a.example.")
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		rep, err := b.Undrain(ctx, w.Store, "ns1", nil, bootstrap.Options{})
		if err != nil || rep.Exit != report.ExitNotReady || state(t, w) != fleet.Drained {
			t.Errorf("%v, exit %d, %s", err, rep.Exit, state(t, w))
		}
	})
}

func TestHookThatFailsChangesNothing(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World, b *bootstrap.Bootstrapper) {
		two(t, w)
		no := func(context.Context, string, string, string) error { return errors.New("the balancer is down") }
		_, err := b.Drain(t.Context(), w.Store, "ns1", "r", nil, no, ada)
		if row, _ := w.Store.Server(t.Context(), "ns1"); err == nil || !strings.Contains(err.Error(), "balancer") || row.State != fleet.Active || row.Drain != nil {
			t.Fatalf("%v, %s, %+v", err, row.State, row.Drain)
		}
		if _, err := b.Drain(t.Context(), w.Store, "ns1", "r", nil, nil, ada); err != nil {
			t.Fatal(err)
		}
		undrain(t, w, b, no, report.ExitFailed, fleet.Drained)
		undrain(t, w, b, nil, report.ExitOK, fleet.Active)
	})
}

func TestTwoDrainsAtOnceLeaveOneInService(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World, b *bootstrap.Bootstrapper) {
		two(t, w)
		var wg sync.WaitGroup
		exits := make([]report.Exit, 2)
		for i, n := range []string{"ns1", "ns2"} {
			wg.Go(func() {
				_, err := b.Drain(context.Background(), w.Store, n, "r", nil, nil, ada)
				exits[i], _ = report.ExitOf(err)
			})
		}
		wg.Wait()
		if exits[0]+exits[1] != report.ExitWithheld {
			t.Errorf("exits %v", exits)
		}
	})
}

func TestADrainedAnewServerDoesNotComeBackByAnEarlierUndrain(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World, b *bootstrap.Bootstrapper) {
		two(t, w)
		if _, err := b.Drain(t.Context(), w.Store, "ns1", "r", nil, nil, ada); err != nil {
			t.Fatal(err)
		}
		hook := func(ctx context.Context, _, _, _ string) error {
			_, err := b.Drain(ctx, w.Store, "ns1", "on fire", nil, nil, ada)
			return err
		}
		if s := undrain(t, w, b, hook, report.ExitBusy, fleet.Drained); !strings.Contains(s.Error, "meanwhile") {
			t.Errorf("%+v", s)
		}
	})
}

func TestBootstrapLeavesADrainedServerDrained(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World, b *bootstrap.Bootstrapper) {
		ns1, _ := two(t, w)
		if _, err := b.Drain(t.Context(), w.Store, "ns1", "r", nil, nil, ada); err != nil {
			t.Fatal(err)
		}
		w.Create("new.example.")
		mustRun(t, b, true, report.ExitOK)
		if !ns1.Has("new.example.") || state(t, w) != fleet.Drained {
			t.Errorf("%q, %s", ns1.Writes(), state(t, w))
		}
	})
}
