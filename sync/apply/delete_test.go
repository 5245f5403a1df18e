package apply_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/report"
	"dnsctl/sync/apply"
	"dnsctl/sync/plan"
	"dnsctl/testbed/pretend"
	"dnsctl/zone"
)

// withForeign is a server in agreement that carries these foreign zones as well.
func withForeign(t *testing.T, w *pretend.World, foreign ...string) *pretend.Server {
	t.Helper()
	ns := w.Server("ns1")
	w.Create("a.example.")
	mustSync(t, w, apply.SyncOptions{}, report.ExitOK)
	for _, f := range foreign {
		ns.Put(f, 7)
	}
	ns.ForgetWrites()
	return ns
}

func deletes(ns *pretend.Server) []string {
	var out []string
	for _, op := range ns.Writes() {
		if name, ok := strings.CutPrefix(op, "delete "); ok {
			out = append(out, name)
		}
	}
	return out
}

func TestForeignZoneIsCopiedCountedAndDeleted(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World) {
		ns := withForeign(t, w, "f.example.")
		s := mustSync(t, w, apply.SyncOptions{}, report.ExitOK)
		ends(t, s, "f.example.", report.Foreign, report.Done, "", "")
		copies, err := w.Store.Copies(t.Context(), "ns1", pretend.Name("f.example."))
		if err != nil || len(copies) != 1 {
			t.Fatalf("copies %+v, %v", copies, err)
		}
		c, err := w.Store.Copy(t.Context(), copies[0].ID)
		var want []byte
		for set := range pretend.Content("f.example.", 7).All() {
			want = set.AppendWire(want)
		}
		if err != nil || string(c.Content) != string(want) || c.Settings != "primary" || *c.Serial != 7 || c.Records != 2 || c.Expires.Sub(c.Taken).Hours() != 30*24 {
			t.Errorf("copy %+v, %v", c, err)
		}
		if n, err := w.Store.ForeignDeletions(t.Context(), ns.ID, c.Taken.Add(-1e9)); err != nil || n != 1 {
			t.Errorf("%d deletions counted, %v", n, err)
		}
		ev, err := w.Store.Events(t.Context(), fleet.EventFilter{Zone: pretend.Name("f.example.")})
		if err != nil || len(ev) != 1 || ev[0].Action != "delete" || ev[0].Before == "" {
			t.Errorf("events %+v, %v", ev, err)
		}
	})
}

func TestStaleZoneNeedsNoCopyWhileItsTombstoneKeepsOne(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World) {
		ns := w.Server("ns1")
		w.Create("a.example.", "old.example.", "purged.example.")
		mustSync(t, w, apply.SyncOptions{}, report.ExitOK)
		w.Delete("old.example.", "purged.example.")
		if _, err := w.Edit.Delete(t.Context(), []zone.Name{pretend.Name("purged.example.")}, true, apply.Options{}.Meta); err != nil {
			t.Fatal(err)
		}
		s := mustSync(t, w, apply.SyncOptions{}, report.ExitOK)
		ends(t, s, "old.example.", report.Stale, report.Done, "", "")
		ends(t, s, "purged.example.", report.Stale, report.Done, "", "")
		copies, err := w.Store.Copies(t.Context(), "", "")
		if err != nil || len(copies) != 1 || !copies[0].Zone.Equal(pretend.Name("purged.example.")) {
			t.Errorf("copies %+v, %v", copies, err)
		}
		if ns.Has("old.example.") || ns.Has("purged.example.") {
			t.Error("a stale zone is still there")
		}
	})
}

// copyless is a store that cannot store copies.
type copyless struct{ apply.Store }

func (copyless) AddCopy(context.Context, report.Copy) (int64, error) {
	return 0, errors.New("disk full")
}

func TestWithoutACopyNothingIsDeleted(t *testing.T) {
	failing := func(err error) func(string, zone.Name) error {
		return func(op string, _ zone.Name) error {
			if op == "export" {
				return err
			}
			return nil
		}
	}
	tests := []struct {
		name   string
		set    func(w *pretend.World, ns *pretend.Server)
		noCopy bool
		gone   bool
	}{
		{"it cannot be copied", func(_ *pretend.World, ns *pretend.Server) { ns.Before = failing(nameserver.ErrNoCopy) }, false, false},
		{"it cannot be copied, which is meant", func(_ *pretend.World, ns *pretend.Server) { ns.Before = failing(nameserver.ErrNoCopy) }, true, true},
		{"copying fails otherwise, whatever is meant", func(_ *pretend.World, ns *pretend.Server) { ns.Before = failing(nameserver.ErrAnswer) }, true, false},
		{"it is not loaded", func(_ *pretend.World, ns *pretend.Server) { ns.Swap("f.example.", nil) }, false, false},
		{"the copy came without content", func(_ *pretend.World, ns *pretend.Server) { ns.Hollow = true }, false, false},
		{"the copy cannot be stored, whatever is meant", func(w *pretend.World, _ *pretend.Server) { w.Applier.Store = copyless{w.Store} }, true, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *pretend.World) {
				ns := withForeign(t, w, "f.example.")
				tt.set(w, ns)
				want, outcome, guard := report.ExitWithheld, report.Withheld, plan.GuardCopy
				if tt.gone {
					want, outcome, guard = report.ExitOK, report.Done, ""
				}
				s := mustSync(t, w, apply.SyncOptions{Plan: plan.Options{NoCopy: tt.noCopy}}, want)
				ends(t, s, "f.example.", report.Foreign, outcome, guard, "")
				if ns.Has("f.example.") == tt.gone {
					t.Errorf("gone %v, want %v", !ns.Has("f.example."), tt.gone)
				}
			})
		})
	}
}

func TestCopyPrecedesTransfersThatReplaceContent(t *testing.T) {
	for _, exportable := range []bool{true, false} {
		t.Run(fmt.Sprintf("exportable %v", exportable), func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *pretend.World) {
				ns := w.Server("ns1")
				w.Create("a.example.")
				mustSync(t, w, apply.SyncOptions{}, report.ExitOK)
				ns.Swap("a.example.", pretend.Content("a.example.", ns.Serves("a.example.")+9))
				ns.Before = func(op string, name zone.Name) error {
					if op == "export" && !exportable {
						return nameserver.ErrNoCopy
					}
					return nil
				}
				if !exportable {
					s := mustSync(t, w, apply.SyncOptions{}, report.ExitWithheld)
					ends(t, s, "a.example.", report.Ahead, report.Withheld, plan.GuardCopy, "")
					return
				}
				s := mustSync(t, w, apply.SyncOptions{}, report.ExitOK)
				ends(t, s, "a.example.", report.Ahead, report.Done, "", "")
				if c, err := w.Store.Copies(t.Context(), "ns1", ""); err != nil || len(c) != 1 || c[0].Reason != "ahead retransfer" {
					t.Errorf("copies %+v, %v", c, err)
				}
			})
		})
	}
}

func TestZoneThatBecameWantedIsNotDeleted(t *testing.T) {
	for _, op := range []string{"zone", "export"} {
		t.Run("during "+op, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *pretend.World) {
				ns := withForeign(t, w, "f.example.")
				ns.ListsPrimaries = true // so that only the deletion reads the zone
				made := false
				ns.Before = func(o string, name zone.Name) error {
					if o == op && is(name.String(), "f.example.") && !made {
						made = true
						w.Create("f.example.")
					}
					return nil
				}
				s := mustSync(t, w, apply.SyncOptions{}, report.ExitDropped)
				ends(t, s, "f.example.", report.Foreign, report.Dropped, "", "it is wanted now")
				if got := deletes(ns); len(got) != 0 {
					t.Errorf("deleted %q", got)
				}
			})
		})
	}
}

func TestZoneThatBecameWantedWhileItWasDeletedIsAddedAgainBehindTheMarker(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World) {
		ns := withForeign(t, w, "f.example.")
		ns.Before = func(op string, name zone.Name) error {
			switch {
			case op == "delete":
				w.Create("f.example.")
			case op == "add":
				row, err := w.Store.WantedOne(t.Context(), ns.ID, name)
				ses := w.Open(ns)
				defer ses.Close()
				mark, merr := ses.Mark(t.Context())
				if err != nil || merr != nil || mark.Pos < row.FirstFeed {
					t.Errorf("added at position %d while the marker is at %d (%v, %v)", row.FirstFeed, mark.Pos, err, merr)
				}
			}
			return nil
		}
		s := mustSync(t, w, apply.SyncOptions{}, report.ExitDropped)
		ends(t, s, "f.example.", report.Foreign, report.Dropped, "", "added again")
		if !ns.Has("f.example.") {
			t.Error("it is not there")
		}
		ns.Before = nil
		mustSync(t, w, apply.SyncOptions{}, report.ExitOK)
	})
}

// rowless cannot say whether a zone is wanted.
type rowless struct{ apply.Store }

func (rowless) WantedAmong(context.Context, int64, []zone.Name) ([]fleet.Wanted, error) {
	return nil, errors.New("database is gone")
}

func TestZoneWhoseRowCannotBeReadIsNotDeleted(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World) {
		ns := withForeign(t, w, "f.example.")
		w.Applier.Store = rowless{w.Store}
		s := mustSync(t, w, apply.SyncOptions{}, report.ExitPartial)
		ends(t, s, "f.example.", report.Foreign, report.Failed, "", "database is gone")
		if got := deletes(ns); len(got) != 0 {
			t.Errorf("deleted %q", got)
		}
	})
}

func TestZoneThatIsAnotherOneByNowIsNotDeleted(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*nameserver.ZoneState)
	}{
		{"another role", func(z *nameserver.ZoneState) { z.Role = nameserver.Secondary }},
		{"declared", func(z *nameserver.ZoneState) { z.Origin = nameserver.Declared }},
		{"a catalog's member", func(z *nameserver.ZoneState) { z.Origin = nameserver.Cataloged }},
		{"signed there", func(z *nameserver.ZoneState) { z.Signs = true }},
		{"with our primaries", func(z *nameserver.ZoneState) { z.Primaries = []nameserver.PrimaryRef{{Addr: pretend.Primary}} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *pretend.World) {
				ns := withForeign(t, w, "f.example.")
				ns.ListsPrimaries = true // so that only the deletion reads the zone
				ns.Before = func(op string, name zone.Name) error {
					if op == "zone" && is(name.String(), "f.example.") {
						ns.Alter("f.example.", tt.change)
					}
					return nil
				}
				s := mustSync(t, w, apply.SyncOptions{}, report.ExitDropped)
				ends(t, s, "f.example.", report.Foreign, report.Dropped, "", "another kind")
				if got := deletes(ns); len(got) != 0 {
					t.Errorf("deleted %q", got)
				}
			})
		})
	}
}

func TestDeletionIsProvenOnBothChannels(t *testing.T) {
	tests := []struct {
		name   string
		set    func(ns *pretend.Server)
		reason string
	}{
		{"the control channel still lists it", func(ns *pretend.Server) {
			ns.Hidden = func(zone.Name) bool { return true }
		}, "still lists it"},
		{"it is still answered for", func(ns *pretend.Server) { ns.Undead = map[string]bool{"f1.example.": true} }, "still answers"},
		{"silence is no proof", func(ns *pretend.Server) {
			ns.Asked = func(name zone.Name) bool { return is(name.String(), "f1.example.") }
		}, "no answer"},
		{"the control channel fails", func(ns *pretend.Server) {
			deleted := false
			ns.Before = func(op string, name zone.Name) error {
				if deleted && op == "zone" {
					return nameserver.ErrUnreachable
				}
				deleted = deleted || op == "delete"
				return nil
			}
		}, "cannot be reached"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *pretend.World) {
				ns := withForeign(t, w, "f1.example.", "f2.example.")
				if tt.name == "silence is no proof" {
					ns.ListsPrimaries = true
				}
				tt.set(ns)
				s := mustSync(t, w, apply.SyncOptions{}, report.ExitPartial)
				ends(t, s, "f1.example.", report.Foreign, report.Failed, "", tt.reason)
				ends(t, s, "f2.example.", report.Foreign, report.Withheld, plan.GuardBatch, "")
				if got := deletes(ns); !slices.Equal(got, []string{"f1.example."}) {
					t.Errorf("deleted %q", got)
				}
			})
		})
	}
}

func TestParentZoneOnTheSameServerDoesNotHideThatAZoneIsGone(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World) {
		ns := withForeign(t, w, "sub.a.example.")
		s := mustSync(t, w, apply.SyncOptions{}, report.ExitOK)
		ends(t, s, "sub.a.example.", report.Foreign, report.Done, "", "")
		if ns.Has("sub.a.example.") || !ns.Has("a.example.") {
			t.Error("the wrong zone went")
		}
	})
}

func TestFirstFailureStopsDeletionsOnTheServer(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World) {
		ns := withForeign(t, w, "f1.example.", "f2.example.", "f3.example.")
		ns.Before = func(op string, name zone.Name) error {
			if op == "delete" && is(name.String(), "f2.example.") {
				return nameserver.ErrAnswer
			}
			return nil
		}
		s := mustSync(t, w, apply.SyncOptions{}, report.ExitPartial)
		ends(t, s, "f1.example.", report.Foreign, report.Done, "", "")
		ends(t, s, "f2.example.", report.Foreign, report.Failed, "", "")
		ends(t, s, "f3.example.", report.Foreign, report.Withheld, plan.GuardBatch, "")
		if !ns.Has("f2.example.") || !ns.Has("f3.example.") {
			t.Error("deletions went on after a failure")
		}
		ev, err := w.Store.Events(t.Context(), fleet.EventFilter{Zone: pretend.Name("f2.example.")})
		if err != nil || len(ev) != 1 || !strings.HasPrefix(ev[0].Result, "failed: ") {
			t.Errorf("events %+v, %v", ev, err)
		}
	})
}

func TestUnconfirmedDeletionsAreWithheldAndAddsAreNot(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World) {
		ns := withForeign(t, w, "f1.example.", "f2.example.")
		w.Create("new.example.")
		asked := 0
		o := apply.SyncOptions{Options: apply.Options{Confirm: func(_ string, gone []report.Item) bool { asked = len(gone); return false }}}
		s := mustSync(t, w, o, report.ExitWithheld)
		ends(t, s, "new.example.", report.Missing, report.Done, "", "")
		ends(t, s, "f1.example.", report.Foreign, report.Withheld, plan.GuardConfirm, "")
		if asked != 2 || len(deletes(ns)) != 0 {
			t.Errorf("asked about %d, deleted %q", asked, deletes(ns))
		}
		o.Confirm = func(string, []report.Item) bool { return true }
		mustSync(t, w, o, report.ExitOK)
		if ns.Has("f1.example.") || ns.Has("f2.example.") {
			t.Error("confirmed deletions were not made")
		}
	})
}

func TestMarkerIsReadAgainBeforeDeletions(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World) {
		ns := withForeign(t, w, "f.example.")
		o := apply.SyncOptions{Options: apply.Options{Confirm: func(string, []report.Item) bool {
			// While somebody is asked, another store takes the server over.
			ns.Remove(w.Row(ns).Marker.String())
			return true
		}}}
		s := mustSync(t, w, o, report.ExitWithheld)
		ends(t, s, "f.example.", report.Foreign, report.Withheld, plan.GuardMarker, "")
		if got := deletes(ns); len(got) != 0 {
			t.Errorf("deleted %q", got)
		}
	})
}

func TestMarkerIsReadAgainBeforeEachBatchOfDeletions(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World) {
		var foreign []string
		for i := range 45 {
			foreign = append(foreign, fmt.Sprintf("f%02d.example.", i))
		}
		ns := withForeign(t, w, foreign...)
		ns.Before = func(op string, name zone.Name) error {
			if op == "delete" && is(name.String(), "f05.example.") {
				ns.Remove(w.Row(ns).Marker.String())
			}
			return nil
		}
		all := len(foreign)
		mustSync(t, w, apply.SyncOptions{Plan: plan.Options{MaxDelete: &all}}, report.ExitWithheld)
		if got := deletes(ns); len(got) != 20 {
			t.Errorf("deleted %d zones, want the batch of 20 that had begun", len(got))
		}
	})
}

func TestDailyLimitHoldsOverRuns(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World) {
		var first, second []string
		for i := range 6 {
			first, second = append(first, fmt.Sprintf("f%d.example.", i)), append(second, fmt.Sprintf("g%d.example.", i))
		}
		ns := withForeign(t, w, first...)
		mustSync(t, w, apply.SyncOptions{}, report.ExitOK)
		for _, f := range second {
			ns.Put(f, 1)
		}
		s := mustSync(t, w, apply.SyncOptions{}, report.ExitWithheld)
		ends(t, s, "g0.example.", report.Foreign, report.Withheld, plan.GuardLimit, "")
		if got := deletes(ns); len(got) != 6 {
			t.Errorf("deleted %q", got)
		}
		six := 6
		mustSync(t, w, apply.SyncOptions{Plan: plan.Options{MaxDelete: &six}}, report.ExitOK)
	})
}

// countless cannot count foreign deletions.
type countless struct{ apply.Store }

func (countless) AddForeignDeletion(context.Context, int64, zone.Name) error {
	return errors.New("disk full")
}

func TestDeletionThatCannotBeCountedIsNotMade(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World) {
		ns := withForeign(t, w, "f.example.")
		w.Applier.Store = countless{w.Store}
		s := mustSync(t, w, apply.SyncOptions{}, report.ExitPartial)
		ends(t, s, "f.example.", report.Foreign, report.Failed, "", "disk full")
		if got := deletes(ns); len(got) != 0 {
			t.Errorf("deleted %q", got)
		}
	})
}

func TestZoneThatWentByItselfIsDone(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World) {
		ns := withForeign(t, w, "f.example.")
		ns.ListsPrimaries = true
		ns.Before = func(op string, name zone.Name) error {
			if op == "zone" && is(name.String(), "f.example.") {
				ns.Remove("f.example.")
			}
			return nil
		}
		s := mustSync(t, w, apply.SyncOptions{}, report.ExitOK)
		ends(t, s, "f.example.", report.Foreign, report.Done, "", "gone already")
	})
}

func TestLastZoneOfAServerIsDeletedOnlyWhenThatIsMeant(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World) {
		ns := withForeign(t, w)
		w.Delete("a.example.")
		s := mustSync(t, w, apply.SyncOptions{}, report.ExitWithheld)
		ends(t, s, "a.example.", report.Stale, report.Withheld, plan.GuardEmpty, "--allow-empty")
		if !ns.Has("a.example.") {
			t.Error("it was deleted")
		}
		s = mustSync(t, w, apply.SyncOptions{Plan: plan.Options{AllowEmpty: true}}, report.ExitOK)
		ends(t, s, "a.example.", report.Stale, report.Done, "", "")
	})
}

func TestServerIsLeftOnWarnUntilItIsAccepted(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World) {
		ns := withForeign(t, w, "f.example.")
		if err := w.Store.AcceptServer(t.Context(), "ns1", false, fleet.By{}); err != nil {
			t.Fatal(err)
		}
		s := mustSync(t, w, apply.SyncOptions{Plan: plan.Options{Unmanaged: fleet.Delete}}, report.ExitWithheld)
		ends(t, s, "f.example.", report.Foreign, report.Withheld, plan.GuardAccept, "")
		if !ns.Has("f.example.") {
			t.Error("it was deleted")
		}
	})
}
