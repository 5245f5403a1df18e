package apply_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/report"
	"dnsctl/sync/apply"
	"dnsctl/sync/plan"
	"dnsctl/testbed/pretend"
	"dnsctl/zone"
)

// inWorld runs a test in a world of its own, whose waits take no time.
func inWorld(t *testing.T, f func(t *testing.T, w *pretend.World)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { f(t, pretend.New(t)) })
}

func mustSync(t *testing.T, w *pretend.World, o apply.SyncOptions, want report.Exit) report.Server {
	t.Helper()
	rep, err := w.Sync(t.Context(), o)
	if err != nil || rep.Exit != want {
		t.Fatalf("sync: %v, exit %d, want %d: %+v", err, rep.Exit, want, rep.Servers)
	}
	return rep.Servers[0]
}

func item(t *testing.T, s report.Server, name string) report.Item {
	t.Helper()
	for _, it := range s.Items {
		if it.Zone.Equal(pretend.Name(name)) {
			return it
		}
	}
	t.Fatalf("the report has no %s: %+v", name, s)
	return report.Item{}
}

// ends checks how a zone's step ended.
func ends(t *testing.T, s report.Server, name string, class report.Class, outcome report.Outcome, guard, reason string) {
	t.Helper()
	it := item(t, s, name)
	if it.Class != class || it.Outcome != outcome || it.Guard != guard || !strings.Contains(it.Reason, reason) {
		t.Errorf("%s ended as %s %s by %q: %s; want %s %s by %q and %q", name, it.Class, it.Outcome, it.Guard, it.Reason, class, outcome, guard, reason)
	}
}

func TestSyncAddsWhatIsMissingBehindTheMarker(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World) {
		ns := w.Server("ns1")
		w.Create("a.example.", "b.example.")
		ns.ForgetWrites()
		ns.Before = func(op string, name zone.Name) error {
			if op != "add" {
				return nil
			}
			row, err := w.Store.WantedOne(t.Context(), ns.ID, name)
			if err != nil {
				return err
			}
			ses := w.Open(ns)
			defer ses.Close()
			mark, err := ses.Mark(t.Context())
			if err != nil || mark.Pos < row.FirstFeed {
				t.Errorf("%s is added at feed position %d while the server's marker is at %d, %v", name, row.FirstFeed, mark.Pos, err)
			}
			return nil
		}
		s := mustSync(t, w, apply.SyncOptions{}, report.ExitOK)
		ends(t, s, "a.example.", report.Missing, report.Done, "", "")
		ends(t, s, "b.example.", report.Missing, report.Done, "", "")
		if got := ns.Writes(); len(got) != 3 || !strings.HasPrefix(got[0], "retransfer "+w.Row(ns).Marker.String()) {
			t.Errorf("writes %q, want the marker's retransfer and two adds", got)
		}
		ns.ForgetWrites()
		mustSync(t, w, apply.SyncOptions{}, report.ExitOK)
		if got := ns.Writes(); len(got) != 0 {
			t.Errorf("a second sync wrote %q", got)
		}
	})
}

func is(name, want string) bool { return name == pretend.Name(want).String() }

func TestAddsOfZonesMadeAgainWaitForTheMarkerToPassThem(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World) {
		ns := w.Server("ns1")
		w.Create("a.example.", "b.example.")
		ns.Before = func(op string, name zone.Name) error {
			if op == "add" && is(name.String(), "a.example.") {
				w.Delete("b.example.")
				w.Create("b.example.")
			}
			return nil
		}
		s := mustSync(t, w, apply.SyncOptions{}, report.ExitDropped)
		ends(t, s, "b.example.", report.Missing, report.Dropped, "", "created again")
		if ns.Has("b.example.") {
			t.Error("it was added before the marker had passed its first feed entry")
		}
	})
}

// A zone that is in a pool anew may have other primaries and another key: what was
// asked of the server for its membership before proves nothing of it, and ends none of
// its tasks.
func TestStepsOfZonesInAPoolAnewAreLeftToTheNextRun(t *testing.T) {
	again := func(w *pretend.World) {
		w.Delete("a.example.")
		w.Create("a.example.")
		row, err := w.Store.WantedOne(context.Background(), w.Servers["ns1"].ID, pretend.Name("a.example."))
		if err != nil {
			panic(err)
		}
		task := report.Task{Server: "ns1", Zone: row.Name, Want: report.Present, Incarnation: row.Incarnation, Serial: row.Serial}
		if err := w.Store.PutTasks(context.Background(), []report.Task{task}); err != nil {
			panic(err)
		}
	}
	for what, begin := range map[string]func(w *pretend.World, ns *pretend.Server) report.Class{
		"while its transfer is waited for": func(w *pretend.World, ns *pretend.Server) report.Class {
			tries := 0
			ns.Stalled = func(name zone.Name) bool {
				if !is(name.String(), "a.example.") {
					return false
				}
				if tries++; tries == 1 {
					again(w)
				}
				return tries == 1
			}
			return report.Missing
		},
		"before it is transferred again": func(w *pretend.World, ns *pretend.Server) report.Class {
			if _, err := w.Sync(context.Background(), apply.SyncOptions{}); err != nil {
				panic(err)
			}
			w.Change("a.example.")
			w.Create("b.example.")
			ns.Before = func(op string, name zone.Name) error {
				if op == "add" && is(name.String(), "b.example.") {
					again(w)
				}
				return nil
			}
			return report.Behind
		},
	} {
		t.Run(what, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *pretend.World) {
				ns := w.Server("ns1")
				w.Create("a.example.")
				class := begin(w, ns)
				s := mustSync(t, w, apply.SyncOptions{}, report.ExitDropped)
				ends(t, s, "a.example.", class, report.Dropped, "", "the next run looks at it")
				tasks, err := w.Store.Tasks(t.Context(), "ns1")
				if err != nil || len(tasks) != 1 {
					t.Errorf("tasks %v, %v: want the one of the new membership", tasks, err)
				}
			})
		})
	}
}

func TestAddsAreWithheldWhenTheMarkerCannotBeMoved(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World) {
		ns := w.Server("ns1")
		w.Create("a.example.")
		ns.Stalled = func(name zone.Name) bool { return fleet.IsMarkerName(name) }
		s := mustSync(t, w, apply.SyncOptions{}, report.ExitWithheld)
		ends(t, s, "a.example.", report.Missing, report.Withheld, plan.GuardMarker, "not proven")
		if ns.Has("a.example.") {
			t.Error("it was added")
		}
	})
}

func TestMarkerIsNotRepairedInPassing(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World) {
		ns := w.Server("ns1")
		w.Create("a.example.")
		looked := false
		ns.Asked = func(name zone.Name) bool {
			if fleet.IsMarkerName(name) && !looked { // the plan's look is the last that sees it sound
				looked = true
				return false
			}
			return fleet.IsMarkerName(name)
		}
		marker := w.Row(ns).Marker.String()
		ns.ForgetWrites()
		s := mustSync(t, w, apply.SyncOptions{}, report.ExitWithheld)
		ends(t, s, "a.example.", report.Missing, report.Withheld, plan.GuardMarker, "cannot be read")
		if got := ns.Writes(); slices.Contains(got, "add "+marker) || slices.Contains(got, "retransfer "+marker) {
			t.Errorf("writes %q", got)
		}
	})
}

func TestWhatIsBehindIsTransferredAndProven(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World) {
		ns := w.Server("ns1")
		w.Create("a.example.")
		mustSync(t, w, apply.SyncOptions{}, report.ExitOK)
		serial := w.Change("a.example.")
		s := mustSync(t, w, apply.SyncOptions{}, report.ExitOK)
		ends(t, s, "a.example.", report.Behind, report.Done, "", "")
		if ns.Serves("a.example.") != serial {
			t.Errorf("it serves %d, want %d", ns.Serves("a.example."), serial)
		}
	})
}

func TestStragglersAreAskedForAgain(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World) {
		ns := w.Server("ns1")
		w.Create("a.example.", "b.example.")
		lost := 0
		ns.Stalled = func(name zone.Name) bool {
			if is(name.String(), "b.example.") {
				lost++
				return lost == 1
			}
			return false
		}
		s := mustSync(t, w, apply.SyncOptions{}, report.ExitOK)
		ends(t, s, "b.example.", report.Missing, report.Done, "", "")
		if !slices.Contains(ns.Writes(), "retransfer b.example.") || slices.Contains(ns.Writes(), "retransfer a.example.") {
			t.Errorf("writes %q", ns.Writes())
		}
	})
}

func TestWhatNeverArrivesIsNotProven(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World) {
		ns := w.Server("ns1")
		w.Create("a.example.", "b.example.")
		ns.Stalled = func(name zone.Name) bool { return is(name.String(), "b.example.") }
		began := time.Now()
		s := mustSync(t, w, apply.SyncOptions{}, report.ExitPartial)
		ends(t, s, "a.example.", report.Missing, report.Done, "", "")
		ends(t, s, "b.example.", report.Missing, report.Failed, "", "not proven: none more within 30s: it answers SERVFAIL")
		if took := time.Since(began); took > time.Minute {
			t.Errorf("it was waited for %s", took)
		}
	})
}

func TestProofIsTheSerialThatTheDatabaseHas(t *testing.T) {
	t.Run("another's content ahead of ours is none", func(t *testing.T) {
		inWorld(t, func(t *testing.T, w *pretend.World) {
			ns := w.Server("ns1")
			w.Create("a.example.")
			ns.Put("a.example.", 4000)
			ns.Stalled = func(name zone.Name) bool { return is(name.String(), "a.example.") }
			s := mustSync(t, w, apply.SyncOptions{}, report.ExitPartial)
			ends(t, s, "a.example.", report.Misconfigured, report.Failed, "", "it answers with serial 4000")
		})
	})
	t.Run("what was committed meanwhile is", func(t *testing.T) {
		inWorld(t, func(t *testing.T, w *pretend.World) {
			ns := w.Server("ns1")
			w.Create("a.example.")
			var now zone.Serial
			ns.Before = func(op string, name zone.Name) error {
				if op == "add" {
					now = w.Change("a.example.")
				}
				return nil
			}
			s := mustSync(t, w, apply.SyncOptions{}, report.ExitOK)
			ends(t, s, "a.example.", report.Missing, report.Done, "", "")
			if it := item(t, s, "a.example."); *it.Serial.Want != now || *it.Serial.Have != now {
				t.Errorf("serials %d, %d; want %d", *it.Serial.Want, *it.Serial.Have, now)
			}
		})
	})
	t.Run("another SOA of the same serial is none", func(t *testing.T) {
		inWorld(t, func(t *testing.T, w *pretend.World) {
			ns := w.Server("ns1")
			w.Create("a.example.")
			mustSync(t, w, apply.SyncOptions{}, report.ExitOK)
			ns.Swap("a.example.", pretend.Content("a.example.", ns.Serves("a.example.")))
			ns.Stalled = func(name zone.Name) bool { return is(name.String(), "a.example.") }
			s := mustSync(t, w, apply.SyncOptions{}, report.ExitPartial)
			ends(t, s, "a.example.", report.Differs, report.Failed, "", "another SOA")
			if c, err := w.Store.Copies(t.Context(), "ns1", pretend.Name("a.example.")); err != nil || len(c) != 1 {
				t.Errorf("copies %+v, %v", c, err)
			}
		})
	})
}

func TestZoneDeletedFromTheDatabaseIsNotWaitedFor(t *testing.T) {
	t.Run("before it was added", func(t *testing.T) {
		inWorld(t, func(t *testing.T, w *pretend.World) {
			ns := w.Server("ns1")
			w.Create("a.example.", "b.example.")
			ns.Before = func(op string, name zone.Name) error {
				if op == "add" && is(name.String(), "a.example.") {
					w.Delete("b.example.")
				}
				return nil
			}
			s := mustSync(t, w, apply.SyncOptions{}, report.ExitDropped)
			ends(t, s, "b.example.", report.Missing, report.Dropped, "", "deleted from the database")
			if ns.Has("b.example.") {
				t.Error("it was added")
			}
		})
	})
	t.Run("while it was transferred", func(t *testing.T) {
		inWorld(t, func(t *testing.T, w *pretend.World) {
			ns := w.Server("ns1")
			w.Create("a.example.")
			ns.Stalled = func(name zone.Name) bool { return !fleet.IsMarkerName(name) }
			asked := 0
			ns.Asked = func(name zone.Name) bool {
				if is(name.String(), "a.example.") {
					if asked++; asked == 1 {
						w.Delete("a.example.")
					}
				}
				return false
			}
			s := mustSync(t, w, apply.SyncOptions{}, report.ExitDropped)
			ends(t, s, "a.example.", report.Missing, report.Dropped, "", "deleted from the database")
		})
	})
}

func TestChangeIsReadBack(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World) {
		ns := w.Server("ns1")
		w.Create("a.example.")
		mustSync(t, w, apply.SyncOptions{}, report.ExitOK)
		elsewhere := []nameserver.PrimaryRef{{Addr: netip.MustParseAddrPort("192.0.2.1:53")}}
		ns.ListsPrimaries = true
		ns.Alter("a.example.", func(z *nameserver.ZoneState) { z.Primaries = elsewhere })
		changed := false
		ns.Before = func(op string, name zone.Name) error {
			if op == "zone" && changed { // the server took the change and did not mean it
				ns.Alter("a.example.", func(z *nameserver.ZoneState) { z.Primaries = elsewhere })
			}
			changed = changed || op == "change"
			return nil
		}
		s := mustSync(t, w, apply.SyncOptions{}, report.ExitPartial)
		ends(t, s, "a.example.", report.Misconfigured, report.Failed, "", "still has it otherwise")
		ns.Before = nil
		s = mustSync(t, w, apply.SyncOptions{}, report.ExitOK)
		ends(t, s, "a.example.", report.Misconfigured, report.Done, "", "")
		if ev, err := w.Store.Events(t.Context(), fleet.EventFilter{Server: "ns1"}); err != nil || !slices.ContainsFunc(ev, func(e report.Event) bool { return e.Action == "change" }) {
			t.Errorf("events %+v, %v", ev, err)
		}
	})
}

func TestSettledZonesHaveNoTask(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World) {
		ns := w.Server("ns1")
		w.Create("a.example.", "old.example.")
		mustSync(t, w, apply.SyncOptions{}, report.ExitOK)
		w.Change("a.example.")
		w.Delete("old.example.")
		row, err := w.Store.WantedOne(t.Context(), ns.ID, pretend.Name("a.example."))
		if err != nil {
			t.Fatal(err)
		}
		tombs, err := w.Store.TombstonesAmong(t.Context(), ns.ID, []zone.Name{pretend.Name("old.example.")})
		if err != nil || len(tombs) != 1 {
			t.Fatalf("tombstones %+v, %v", tombs, err)
		}
		tomb := tombs[0]
		if err := w.Store.PutTasks(t.Context(), []report.Task{
			{Server: "ns1", Zone: row.Name, Want: report.Present, Incarnation: row.Incarnation, Serial: row.Serial},
			{Server: "ns1", Zone: tomb.Name, Want: report.Absent, Incarnation: tomb.Incarnation, Serial: tomb.LastSerial},
		}); err != nil {
			t.Fatal(err)
		}
		s := mustSync(t, w, apply.SyncOptions{}, report.ExitOK)
		ends(t, s, "old.example.", report.Stale, report.Done, "", "")
		if left, err := w.Store.Tasks(t.Context(), ""); err != nil || len(left) != 0 {
			t.Errorf("tasks left: %+v, %v", left, err)
		}
	})
}

func TestMarkerThatIsNotSoundWithholdsEveryWrite(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World) {
		ns := w.Server("ns1")
		w.Create("same.example.", "behind.example.", "old.example.")
		mustSync(t, w, apply.SyncOptions{}, report.ExitOK)
		w.Change("behind.example.")
		w.Delete("old.example.")
		w.Create("missing.example.", "changed.example.")
		ns.Put("changed.example.", 1)
		ns.Put("foreign.example.", 1)
		ns.Asked = func(name zone.Name) bool { return fleet.IsMarkerName(name) }
		ns.ForgetWrites()
		s := mustSync(t, w, apply.SyncOptions{}, report.ExitWithheld)
		for _, z := range []string{"behind", "old", "missing", "changed", "foreign"} {
			if it := item(t, s, z+".example."); it.Outcome != report.Withheld || it.Guard != plan.GuardMarker {
				t.Errorf("%s: %s by %q", z, it.Outcome, it.Guard)
			}
		}
		if got := ns.Writes(); len(got) != 0 {
			t.Errorf("writes %q", got)
		}
	})
}

func TestMissingMarkerLetsOnlyAddsThrough(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World) {
		ns := w.Bare("ns1")
		w.Create("a.example.")
		ns.Put("foreign.example.", 1)
		s := mustSync(t, w, apply.SyncOptions{}, report.ExitWithheld)
		ends(t, s, "a.example.", report.Missing, report.Done, "", "")
		ends(t, s, "foreign.example.", report.Foreign, report.Withheld, plan.GuardMarker, "no marker")
		if got := ns.Writes(); !slices.Equal(got, []string{"add a.example."}) {
			t.Errorf("writes %q", got)
		}
	})
}

func TestIncompleteInventoryChangesNothing(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World) {
		ns := w.Server("ns1")
		w.Create("a.example.")
		ns.Put("foreign.example.", 1)
		ns.Before = func(op string, _ zone.Name) error {
			if op == "inventory end" {
				return nameserver.ErrAnswer
			}
			return nil
		}
		ns.ForgetWrites()
		s := mustSync(t, w, apply.SyncOptions{}, report.ExitFailed)
		if s.Complete || s.Error == "" || len(s.Items) != 0 || len(ns.Writes()) != 0 {
			t.Errorf("report %+v, writes %q", s, ns.Writes())
		}
	})
}

func TestOneFailingServerDoesNotStopAnother(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World) {
		bad, good := w.Server("bad"), w.Server("good")
		w.Create("a.example.")
		bad.Before = func(string, zone.Name) error { return nameserver.ErrUnreachable }
		rep, err := w.Sync(t.Context(), apply.SyncOptions{}, bad, good)
		if err != nil || rep.Exit != report.ExitPartial {
			t.Fatalf("%v, exit %d", err, rep.Exit)
		}
		if rep.Servers[0].Complete || !good.Has("a.example.") {
			t.Errorf("report %+v", rep.Servers)
		}
	})
}

func TestServerNamedTwiceIsWorkedOnOnce(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World) {
		ns := w.Server("ns1")
		w.Create("a.example.")
		rep, err := w.Sync(t.Context(), apply.SyncOptions{}, ns, ns)
		if err != nil || rep.Exit != report.ExitOK || len(rep.Servers) != 1 {
			t.Fatalf("%v, exit %d, %d servers", err, rep.Exit, len(rep.Servers))
		}
	})
}

func TestDryRunWritesNothing(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World) {
		ns := w.Server("ns1")
		w.Create("a.example.")
		ns.Put("foreign.example.", 1)
		ns.ForgetWrites()
		s := mustSync(t, w, apply.SyncOptions{DryRun: true}, report.ExitDifferences)
		ends(t, s, "a.example.", report.Missing, report.Planned, "", "")
		ends(t, s, "foreign.example.", report.Foreign, report.Planned, "", "")
		if got := ns.Writes(); len(got) != 0 {
			t.Errorf("writes %q", got)
		}
	})
}

// noneOpen checks that every step of the report has an end.
func noneOpen(t *testing.T, s report.Server) {
	t.Helper()
	for _, it := range s.Items {
		switch it.Outcome {
		case report.Done, report.Withheld, report.Dropped, report.Failed:
		default:
			if it.Action != report.None {
				t.Errorf("%s is left %q: %s", it.Zone, it.Outcome, it.Reason)
			}
		}
	}
}

func TestInterruptedRunSaysHowEachStepEnded(t *testing.T) {
	for _, at := range []string{"add b.example.", "retransfer behind.example.", "delete f2.example.", "export f2.example.", "zone f2.example."} {
		t.Run(at, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *pretend.World) {
				ns := w.Server("ns1")
				w.Create("behind.example.")
				mustSync(t, w, apply.SyncOptions{}, report.ExitOK)
				w.Change("behind.example.")
				w.Create("a.example.", "b.example.", "c.example.")
				for _, f := range []string{"f1.example.", "f2.example.", "f3.example."} {
					ns.Put(f, 1)
				}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				planned := false
				ns.ListsPrimaries = true // so that the plan reads no single zone
				ns.Before = func(op string, name zone.Name) error {
					planned = planned || op == "add"
					if planned && op+" "+name.String() == at {
						cancel()
					}
					return nil
				}
				rep, err := w.Sync(ctx, apply.SyncOptions{})
				if !errors.Is(err, context.Canceled) {
					t.Errorf("error %v", err)
				}
				noneOpen(t, rep.Servers[0])
				if rep.Exit == report.ExitOK {
					t.Error("exit 0")
				}
				ns.Before = nil
				mustSync(t, w, apply.SyncOptions{}, report.ExitOK)
			})
		})
	}
}
