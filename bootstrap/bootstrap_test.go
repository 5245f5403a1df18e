package bootstrap_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dnsctl/bootstrap"
	"dnsctl/edit"
	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/report"
	"dnsctl/sync/apply"
	"dnsctl/sync/plan"
	"dnsctl/testbed/pretend"
	"dnsctl/zone"
)

func inWorld(t *testing.T, f func(t *testing.T, w *pretend.World, b *bootstrap.Bootstrapper)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := pretend.New(t)
		f(t, w, &bootstrap.Bootstrapper{Store: w.Store, Fleet: w.Fleet, Applier: w.Applier, Locks: w.Store, Holder: "test", Now: time.Now})
	})
}

func mustRun(t *testing.T, b *bootstrap.Bootstrapper, wait bool, want report.Exit) report.Server {
	t.Helper()
	rep, err := b.Run(t.Context(), "ns1", bootstrap.Options{Wait: wait})
	if err != nil || rep.Exit != want {
		t.Fatalf("bootstrap: %v, exit %d, want %d: %+v", err, rep.Exit, want, rep.Servers)
	}
	return rep.Servers[0]
}

func state(t *testing.T, w *pretend.World) fleet.State {
	t.Helper()
	s, err := w.Store.Server(t.Context(), "ns1")
	if err != nil {
		t.Fatal(err)
	}
	return s.State
}

func TestEmptyServerGetsItsMarkerFirstAndThenItsZones(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World, b *bootstrap.Bootstrapper) {
		w.Create("a.example.", "b.example.")
		ns := w.Bare("ns1")
		s := mustRun(t, b, true, report.ExitOK)
		marker := "add " + w.Row(ns).Marker.String()
		if got := ns.Writes(); len(got) < 3 || got[0] != marker || !ns.Has("a.example.") || !ns.Has("b.example.") {
			t.Errorf("writes %q", got)
		}
		if s.Counts[report.OK] != 2 || state(t, w) != fleet.Active {
			t.Errorf("counts %v, state %s", s.Counts, state(t, w))
		}
		ns.ForgetWrites()
		mustRun(t, b, true, report.ExitOK)
		if got := ns.Writes(); len(got) != 0 {
			t.Errorf("a second bootstrap wrote %q", got)
		}
	})
}

func TestZonesThatComeAndGoDuringABootstrap(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World, b *bootstrap.Bootstrapper) {
		w.Create("a.example.", "b.example.", "c.example.")
		ns := w.Bare("ns1")
		ns.Stalled = func(n zone.Name) bool { return n.Equal(pretend.Name("c.example.")) }
		added, asked := false, 0
		ns.Before = func(op string, n zone.Name) error {
			if op == "add" && n.Equal(pretend.Name("a.example.")) && !added {
				added = true
				w.Delete("b.example.") // not fetched yet
				w.Create("new.example.")
			}
			return nil
		}
		ns.Asked = func(n zone.Name) bool {
			if n.Equal(pretend.Name("c.example.")) {
				if asked++; asked == 2 {
					w.Delete("c.example.") // while it is waited for
				}
			}
			return false
		}
		mustRun(t, b, true, report.ExitOK)
		if !ns.Has("a.example.") || ns.Serves("new.example.") == 0 || ns.Has("b.example.") || state(t, w) != fleet.Active {
			t.Errorf("writes %q, state %s", ns.Writes(), state(t, w))
		}
	})
}

func TestDatabaseThatNeverRestsDoesNotKeepABootstrapFromEnding(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World, b *bootstrap.Bootstrapper) {
		w.Create("a.example.")
		ns := w.Bare("ns1")
		n := 0
		ns.Before = func(op string, _ zone.Name) error {
			if op == "inventory end" {
				n++
				w.Create(fmt.Sprintf("n%d.example.", n))
				w.Change("a.example.")
			}
			return nil
		}
		mustRun(t, b, true, report.ExitOK)
		if n > 30 || state(t, w) != fleet.Active {
			t.Errorf("%d looks, state %s", n, state(t, w))
		}
	})
}

func TestZonesThatGoInEveryPassDoNotKeepABootstrapFromEnding(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World, b *bootstrap.Bootstrapper) {
		w.Create("a.example.", "stalled.example.")
		ns := w.Bare("ns1")
		n, stalled := 0, time.Now().Add(10*time.Minute)
		ns.Stalled = func(name zone.Name) bool {
			return name.Equal(pretend.Name("stalled.example.")) && time.Now().Before(stalled)
		}
		passing := func() string { return fmt.Sprintf("n%d.example.", n) }
		ns.Before = func(op string, name zone.Name) error {
			switch {
			case op == "inventory":
				n++
				w.Create(passing())
			case op == "add" && name.Equal(pretend.Name(passing())):
				w.Delete(passing())
			}
			return nil
		}
		out := mustRun(t, b, true, report.ExitNotReady) // for the one that does not come
		if slices.ContainsFunc(out.Items, apply.Deleted) {
			t.Errorf("a zone that is gone is told of: %+v", out.Items)
		}
		stalled = time.Now()
		mustRun(t, b, true, report.ExitOK)
		if state(t, w) != fleet.Active {
			t.Errorf("state %s", state(t, w))
		}
	})
}

func TestStragglersAreWaitedForAndNamed(t *testing.T) {
	t.Run("until they arrive", func(t *testing.T) {
		inWorld(t, func(t *testing.T, w *pretend.World, b *bootstrap.Bootstrapper) {
			w.Create("a.example.")
			ns := w.Bare("ns1")
			began := time.Now()
			ns.Stalled = func(n zone.Name) bool { return !fleet.IsMarkerName(n) && time.Since(began) < 70*time.Second }
			mustRun(t, b, true, report.ExitOK)
			if state(t, w) != fleet.Active {
				t.Errorf("state %s", state(t, w))
			}
		})
	})
	t.Run("not for ever", func(t *testing.T) {
		inWorld(t, func(t *testing.T, w *pretend.World, b *bootstrap.Bootstrapper) {
			w.Create("a.example.", "b.example.")
			ns := w.Bare("ns1")
			ns.Stalled = func(n zone.Name) bool { return n.Equal(pretend.Name("b.example.")) }
			began := time.Now()
			s := mustRun(t, b, true, report.ExitNotReady)
			i := slices.IndexFunc(s.Items, func(it report.Item) bool { return it.Zone.Equal(pretend.Name("b.example.")) })
			if i < 0 || s.Items[i].Outcome != report.Failed || !strings.Contains(s.Items[i].Reason, "SERVFAIL") {
				t.Errorf("items %+v", s.Items)
			}
			if state(t, w) != fleet.Joining || time.Since(began) > 10*time.Minute {
				t.Errorf("state %s after %s", state(t, w), time.Since(began))
			}
		})
	})
	t.Run("not past the run's own end", func(t *testing.T) {
		inWorld(t, func(t *testing.T, w *pretend.World, b *bootstrap.Bootstrapper) {
			w.Create("a.example.", "b.example.")
			ns := w.Bare("ns1")
			ns.Stalled = func(n zone.Name) bool { return n.Equal(pretend.Name("b.example.")) }
			ctx, cancel := context.WithTimeoutCause(t.Context(), 7*time.Second, errors.New("seven seconds are over"))
			defer cancel()
			rep, err := b.Run(ctx, "ns1", bootstrap.Options{Wait: true})
			if err != nil || rep.Exit != report.ExitNotReady || rep.Servers[0].Error != "seven seconds are over" || len(rep.Servers[0].Items) == 0 {
				t.Errorf("%v, %+v", err, rep)
			}
			if state(t, w) != fleet.Joining {
				t.Errorf("state %s", state(t, w))
			}
		})
	})
	t.Run("not without --wait", func(t *testing.T) {
		inWorld(t, func(t *testing.T, w *pretend.World, b *bootstrap.Bootstrapper) {
			w.Create("a.example.")
			ns := w.Bare("ns1")
			ns.Stalled = func(n zone.Name) bool { return !fleet.IsMarkerName(n) }
			mustRun(t, b, false, report.ExitPartial)
			if state(t, w) != fleet.Joining {
				t.Errorf("state %s", state(t, w))
			}
		})
	})
}

func TestServerIsNotReadyWhileAnythingIsWithheldOrUnknown(t *testing.T) {
	for _, tt := range []struct {
		name string
		set  func(w *pretend.World, ns *pretend.Server)
		want report.Exit
	}{
		{"content that cannot be copied", func(w *pretend.World, ns *pretend.Server) {
			ns.Swap("a.example.", pretend.Content("a.example.", ns.Serves("a.example.")+5))
			ns.Before = func(op string, _ zone.Name) error {
				if op == "export" {
					return nameserver.ErrNoCopy
				}
				return nil
			}
		}, report.ExitWithheld},
		{"a zone that does not answer", func(w *pretend.World, ns *pretend.Server) {
			ns.Asked = func(n zone.Name) bool { return n.Equal(pretend.Name("a.example.")) }
		}, report.ExitNotReady},
		{"a zone of another kind", func(w *pretend.World, ns *pretend.Server) {
			ns.Alter("a.example.", func(z *nameserver.ZoneState) { z.Role = nameserver.Other })
		}, report.ExitNotReady},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *pretend.World, b *bootstrap.Bootstrapper) {
				w.Create("a.example.")
				ns := w.Bare("ns1")
				mustRun(t, b, true, report.ExitOK)
				if err := w.Store.SetServerState(t.Context(), "ns1", fleet.Joining, fleet.By{}); err != nil {
					t.Fatal(err)
				}
				tt.set(w, ns)
				mustRun(t, b, true, tt.want)
				if state(t, w) != fleet.Joining {
					t.Errorf("state %s", state(t, w))
				}
			})
		})
	}
}

func TestServerWithZonesAndNoMarkerIsLeftAlone(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World, b *bootstrap.Bootstrapper) {
		w.Create("a.example.")
		ns := w.Bare("ns1")
		ns.Put("f.example.", 1)
		s := mustRun(t, b, true, report.ExitWithheld)
		if !strings.Contains(s.Withheld, "no marker") || !strings.Contains(s.Hint, "server accept ns1") || len(ns.Writes()) != 0 {
			t.Errorf("report %+v, writes %q", s, ns.Writes())
		}
	})
}

func TestMarkerThatCannotBeReadIsNotReplacedOnAServerWithZones(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World, b *bootstrap.Bootstrapper) {
		w.Create("a.example.")
		ns := w.Bare("ns1")
		mustRun(t, b, true, report.ExitOK)
		ns.Asked = fleet.IsMarkerName
		ns.ForgetWrites()
		mustRun(t, b, true, report.ExitWithheld)
		if got := ns.Writes(); len(got) != 0 {
			t.Errorf("writes %q", got)
		}
	})
}

func TestKilledBootstrapGoesOnWhereItWas(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World, b *bootstrap.Bootstrapper) {
		w.Create("a.example.")
		ns := w.Bare("ns1")
		// The marker was added and did not arrive before the kill.
		ns.Stalled = func(zone.Name) bool { return true }
		if _, err := b.Run(t.Context(), "ns1", bootstrap.Options{}); err != nil {
			t.Fatal(err)
		}
		if !ns.Has(w.Row(ns).Marker.String()) || ns.Has("a.example.") {
			t.Fatalf("writes %q", ns.Writes())
		}
		ns.Stalled = nil
		mustRun(t, b, true, report.ExitOK)
	})
}

func TestBootstrapDeletesNothing(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World, b *bootstrap.Bootstrapper) {
		w.Create("a.example.", "old.example.")
		ns := w.Bare("ns1")
		mustRun(t, b, true, report.ExitOK)
		w.Delete("old.example.")
		ns.Put("f.example.", 1)
		s := mustRun(t, b, true, report.ExitOK)
		if !ns.Has("old.example.") || !ns.Has("f.example.") || s.Counts[report.Stale] != 1 || s.Counts[report.Foreign] != 1 {
			t.Errorf("counts %v, writes %q", s.Counts, ns.Writes())
		}
	})
}

func TestConfigurationIsOnlyForNewServers(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World, b *bootstrap.Bootstrapper) {
		w.Bare("ns1")
		if _, _, err := b.Config(t.Context(), "ns1", bootstrap.ConfigOptions{Dir: "/somewhere"}); !errors.Is(err, bootstrap.ErrNotNew) {
			t.Errorf("got %v", err)
		}
		n := bootstrap.NewServer{Pools: []string{"eu"}, Server: fleet.Server{Name: "ns2", Type: "pretend", New: true, Address: pretend.Primary}}
		if _, err := b.Add(t.Context(), w.Store, n, edit.Meta{}); err != nil {
			t.Fatal(err)
		}
		w.Servers["ns2"] = w.Servers["ns1"]
		_, files, err := b.Config(t.Context(), "ns2", bootstrap.ConfigOptions{Dir: "/somewhere"})
		if err != nil || len(files) != 2 || files[0].Path != "a.conf" || string(files[0].Content) != "/somewhere" {
			t.Errorf("files %+v, %v", files, err)
		}
	})
}

func TestServerThatHadZonesIsAddedUnaccepted(t *testing.T) {
	for zones, accepted := range []bool{true, false} {
		t.Run(fmt.Sprint(zones), func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *pretend.World, b *bootstrap.Bootstrapper) {
				ns := w.Bare("ns1")
				ns.Put("builtin.example.", 1, func(z *nameserver.ZoneState) { z.Role, z.Origin = nameserver.Other, nameserver.Builtin })
				for i := range zones {
					ns.Put(fmt.Sprintf("f%d.example.", i), 1)
				}
				w.Servers["ns2"] = ns
				n := bootstrap.NewServer{Pools: []string{"eu"}, ControlKey: []byte("key"), Server: fleet.Server{Name: "ns2", Type: "pretend", Address: pretend.Primary}}
				added, err := b.Add(t.Context(), w.Store, n, edit.Meta{})
				if err != nil || added.Server.Accepted != accepted || added.Zones != zones || len(ns.Writes()) != 0 {
					t.Errorf("added %+v, %v", added, err)
				}
			})
		})
	}
}

func TestAcceptingAServerPutsOurMarkerThereAndTakesOthersOff(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World, b *bootstrap.Bootstrapper) {
		w.Create("a.example.")
		ns := w.Bare("ns1")
		ns.Put("f.example.", 1)
		ns.Put("stranger.dnsctl.invalid.", 1)
		if err := w.Store.AcceptServer(t.Context(), "ns1", false, fleet.By{}); err != nil {
			t.Fatal(err)
		}
		a, err := b.Preview(t.Context(), w.Row(ns))
		if err != nil || len(a.Foreign) != 1 || len(a.Stale) != 0 || !strings.Contains(a.Marker, "stranger") {
			t.Fatalf("preview %+v, %v", a, err)
		}
		ns.Before = func(op string, n zone.Name) error {
			if op == "delete" && !ns.Has(w.Row(ns).Marker.String()) {
				t.Error("the other's marker goes before ours is there")
			}
			return nil
		}
		if err := b.Accept(t.Context(), w.Store, w.Row(ns), a, apply.Options{}); err != nil {
			t.Fatal(err)
		}
		if ns.Has("stranger.dnsctl.invalid.") || !ns.Has("f.example.") || !w.Row(ns).Accepted {
			t.Errorf("writes %q", ns.Writes())
		}
		ses := w.Open(ns)
		defer ses.Close()
		if m, err := ses.CheckMarker(t.Context()); err != nil || m.State != plan.MarkerSound {
			t.Errorf("marker %+v, %v", m, err)
		}
	})
}

func TestAcceptingIsNotProvenByAnOldMarkerThatIsAhead(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World, b *bootstrap.Bootstrapper) {
		ns := w.Server("ns1")
		// The store is an older copy: what the server's marker states lies ahead.
		id, err := w.Store.Identity(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		row := w.Row(ns)
		txt, err := fleet.Mark{Store: id.Store, Epoch: id.Epoch, Server: row.ID, Pos: 1 << 40}.TXT(t.Context(), w.Sealer)
		if err != nil {
			t.Fatal(err)
		}
		set := zone.RRset{Owner: row.Marker, Type: zone.TypeTXT, Data: zone.PackRdata(fleet.TXTRdata(txt))}
		bld := zone.NewBuilder(row.Marker, 3)
		for s := range pretend.Content(row.Marker.String(), 900).All() {
			bld.Add(s)
		}
		bld.Add(set)
		snap, err := bld.Build()
		if err != nil {
			t.Fatal(err)
		}
		ns.Swap(row.Marker.String(), snap)
		ns.Stalled = func(zone.Name) bool { return true }
		if err := b.Accept(t.Context(), w.Store, row, bootstrap.Acceptance{}, apply.Options{}); err == nil {
			t.Error("accepted on the strength of the old marker")
		}
		ns.Stalled = nil
		if err := b.Accept(t.Context(), w.Store, row, bootstrap.Acceptance{}, apply.Options{}); err != nil {
			t.Error(err)
		}
	})
}

func TestNamesThatTheServerCannotHaveAreReportedAndNotWaitedFor(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World, b *bootstrap.Bootstrapper) {
		odd := pretend.Name(`odd\032name.example.`)
		w.CannotHold = odd.Equal
		w.Create("a.example.", odd.String())
		ns := w.Bare("ns1")
		begin := time.Now()
		s := mustRun(t, b, true, report.ExitNotReady)
		i := slices.IndexFunc(s.Items, func(it report.Item) bool { return it.Zone.Equal(odd) })
		if i < 0 || s.Items[i].Class != report.Missing || s.Items[i].Action != report.None || !strings.Contains(s.Items[i].Reason, "odd character") {
			t.Errorf("items %+v", s.Items)
		}
		if !ns.Has("a.example.") || ns.Has(odd.String()) || state(t, w) != fleet.Joining {
			t.Errorf("writes %q, state %s", ns.Writes(), state(t, w))
		}
		if took := time.Since(begin); took > 20*time.Second {
			t.Errorf("it was waited for: %s", took)
		}
		mustRun(t, b, false, report.ExitPartial)
	})
}
