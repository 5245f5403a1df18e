package apply_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"dnsctl/edit"
	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/report"
	"dnsctl/sync/apply"
	"dnsctl/testbed/pretend"
	"dnsctl/zone"
)

// quarantined is a server whose foreign zone f.example. was deleted with a copy.
func quarantined(t *testing.T, w *pretend.World) (*pretend.Server, int64) {
	t.Helper()
	ns := withForeign(t, w, "f.example.")
	mustSync(t, w, apply.SyncOptions{}, report.ExitOK)
	copies, err := w.Store.Copies(t.Context(), "", "")
	if err != nil || len(copies) != 1 {
		t.Fatalf("copies %+v, %v", copies, err)
	}
	ns.ForgetWrites()
	return ns, copies[0].ID
}

func restore(t *testing.T, w *pretend.World, id int64, want report.Exit) report.Server {
	t.Helper()
	rep, err := w.Syncer.Restore(t.Context(), w.Store, id, apply.Options{})
	if err != nil || rep.Exit != want {
		t.Fatalf("restore: %v, exit %d, want %d: %+v", err, rep.Exit, want, rep.Servers)
	}
	return rep.Servers[0]
}

// protected says whether the zone is protected on its server, and that nothing of
// a restore is left in the database.
func protected(t *testing.T, w *pretend.World, ns *pretend.Server) bool {
	t.Helper()
	if z, err := w.Store.Zone(t.Context(), pretend.Name("f.example.")); err == nil && z.Deleted == nil {
		t.Errorf("the database has a %s zone", z.Kind)
	}
	names, err := w.Store.Protected(t.Context(), ns.ID)
	if err != nil {
		t.Fatal(err)
	}
	return len(names) == 1
}

func TestRestoreBringsAZoneBackAndProtectsIt(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World) {
		ns, id := quarantined(t, w)
		s := restore(t, w, id, report.ExitOK)
		ends(t, s, "f.example.", report.Foreign, report.Done, "", "is back")
		if ns.Serves("f.example.") != 7 || !slices.Equal(ns.Writes(), []string{"add f.example.", "convert f.example."}) {
			t.Errorf("serial %d after %q", ns.Serves("f.example."), ns.Writes())
		}
		if !protected(t, w, ns) {
			t.Error("it is not protected")
		}
		mustSync(t, w, apply.SyncOptions{}, report.ExitOK)
		if !ns.Has("f.example.") {
			t.Error("the next sync removed it")
		}
		rep, err := w.Syncer.Restore(t.Context(), w.Store, id, apply.Options{})
		if err != nil || rep.Exit != report.ExitOK || len(ns.Writes()) != 2 || !protected(t, w, ns) {
			t.Errorf("a second restore, which has nothing to do: %v, exit %d, %q", err, rep.Exit, ns.Writes())
		}
	})
}

func TestRestoreThatFailsLeavesNothingBehind(t *testing.T) {
	on := func(at string, err error) func(string, zone.Name) error {
		return func(op string, name zone.Name) error {
			if op == at && is(name.String(), "f.example.") {
				return err
			}
			return nil
		}
	}
	tests := []struct {
		name      string
		set       func(t *testing.T, w *pretend.World, ns *pretend.Server)
		want      report.Exit
		has       bool // what is on the server at the end
		protected bool
	}{
		{"the marker is not sound", func(t *testing.T, w *pretend.World, ns *pretend.Server) { ns.Remove(w.Row(ns).Marker.String()) }, report.ExitWithheld, false, false},
		{"it is wanted there by now", func(t *testing.T, w *pretend.World, ns *pretend.Server) {
			w.Create("f.example.")
			w.Delete("a.example.")
		}, report.ExitFailed, false, false},
		{"the server has one by now", func(t *testing.T, w *pretend.World, ns *pretend.Server) { ns.Put("f.example.", 1) }, report.ExitFailed, true, false},
		{"it cannot be added", func(t *testing.T, w *pretend.World, ns *pretend.Server) { ns.Before = on("add", nameserver.ErrRefused) }, report.ExitFailed, false, false},
		{"somebody else adds one first", func(t *testing.T, w *pretend.World, ns *pretend.Server) {
			ns.Before = func(op string, _ zone.Name) error {
				if op == "add" {
					ns.Put("f.example.", 1)
				}
				return nil
			}
		}, report.ExitFailed, true, false},
		{"it never arrives", func(t *testing.T, w *pretend.World, ns *pretend.Server) {
			ns.Stalled = func(zone.Name) bool { return true }
		}, report.ExitFailed, false, false},
		{"it cannot be converted", func(t *testing.T, w *pretend.World, ns *pretend.Server) {
			ns.Before = on("convert", nameserver.ErrRefused)
		}, report.ExitFailed, false, false},
		{"it is not answered for after it was converted", func(t *testing.T, w *pretend.World, ns *pretend.Server) {
			converted := false
			ns.Before = func(op string, _ zone.Name) error { converted = converted || op == "convert"; return nil }
			ns.Asked = func(zone.Name) bool { return converted }
		}, report.ExitFailed, true, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *pretend.World) {
				ns, id := quarantined(t, w)
				tt.set(t, w, ns)
				s := restore(t, w, id, tt.want)
				if it := item(t, s, "f.example."); it.Reason == "" {
					t.Error("no reason")
				}
				if ns.Has("f.example.") != tt.has {
					t.Errorf("on the server: %v, want %v", ns.Has("f.example."), tt.has)
				}
				if tt.name == "it is wanted there by now" {
					return
				}
				if got := protected(t, w, ns); got != tt.protected {
					t.Errorf("protected %v, want %v", got, tt.protected)
				}
			})
		})
	}
}

func TestInterruptedRestoreCleansUp(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World) {
		ns, id := quarantined(t, w)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		ns.Stalled = func(zone.Name) bool { return true }
		ns.Asked = func(name zone.Name) bool {
			if is(name.String(), "f.example.") {
				cancel()
			}
			return false
		}
		rep, err := w.Syncer.Restore(ctx, w.Store, id, apply.Options{})
		if err == nil || rep.Exit == report.ExitOK {
			t.Errorf("%v, exit %d", err, rep.Exit)
		}
		if ns.Has("f.example.") || protected(t, w, ns) {
			t.Error("something is left")
		}
	})
}

func TestRestoreThatWasKilledHalfwayIsDoneAgain(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World) {
		ns, id := quarantined(t, w)
		// What a kill right after the zone was added leaves.
		if err := w.Edit.Restored(t.Context(), pretend.Content("f.example.", 7), []int64{w.Row(ns).Pools[0].ID}, edit.Meta{}); err != nil {
			t.Fatal(err)
		}
		if err := w.Store.MarkRestored(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		ns.Put("f.example.", 7, func(z *nameserver.ZoneState) {
			z.Role, z.Primaries = nameserver.Secondary, []nameserver.PrimaryRef{{Addr: pretend.Primary, Key: pretend.Name("eu.")}}
		})
		restore(t, w, id, report.ExitOK)
		if ns.Serves("f.example.") != 7 || !protected(t, w, ns) {
			t.Error("it is not back")
		}
	})
}

func TestRestoreOnAServerThatAnotherDnsctlHoldsIsBusy(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World) {
		_, id := quarantined(t, w)
		if _, held, err := w.Store.Lease(t.Context(), "server:ns1", "other", time.Hour); err != nil || !held {
			t.Fatal(err)
		}
		restore(t, w, id, report.ExitBusy)
	})
}

func TestRestoredZoneIsReleasedToPolicy(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World) {
		ns, id := quarantined(t, w)
		restore(t, w, id, report.ExitOK)
		if err := w.Store.ReleaseCopy(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		s := mustSync(t, w, apply.SyncOptions{}, report.ExitOK)
		ends(t, s, "f.example.", report.Foreign, report.Done, "", "")
		if ns.Has("f.example.") {
			t.Error("it is still there")
		}
	})
}

func TestCopyComesBackMoreThanOnceAndLeavesTheNameAlone(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World) {
		_, id := quarantined(t, w)
		for range 2 {
			restore(t, w, id, report.ExitOK)
			if err := w.Store.ReleaseCopy(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			mustSync(t, w, apply.SyncOptions{}, report.ExitOK)
		}
		if last, err := w.Store.LastSerial(t.Context(), pretend.Name("f.example.")); err != nil || last != nil {
			t.Errorf("the name has had serial %v, %v", last, err)
		}
		if z, err := w.Store.Zone(t.Context(), pretend.Name("f.example.")); !errors.Is(err, fleet.ErrNoZone) {
			t.Errorf("the name has had a %s zone, %v", z.Kind, err)
		}
	})
}
