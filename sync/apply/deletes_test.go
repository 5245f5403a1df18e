package apply_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/report"
	"dnsctl/sync/apply"
	"dnsctl/sync/plan"
	"dnsctl/testbed/pretend"
	"dnsctl/zone"
)

// manyForeign is a server that deletes many zones in one exchange, with so many
// foreign ones, and the options that let them go.
func manyForeign(t *testing.T, w *pretend.World, n int) (ns *pretend.Server, names []string, o apply.SyncOptions) {
	t.Helper()
	for i := range n {
		names = append(names, fmt.Sprintf("f%03d.example.", i))
	}
	ns = withForeign(t, w, names...)
	ns.Bulk = true
	return ns, names, apply.SyncOptions{Plan: plan.Options{MaxDelete: &n}}
}

func TestBulkDeletionsAreEachCopiedCountedAndProven(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World) {
		ns, names, o := manyForeign(t, w, 250)
		exchanges := 0
		copied := make(map[string]bool)
		ns.Before = func(op string, name zone.Name) error {
			switch {
			case op == "delete all":
				exchanges++
			case op == "export":
				copied[name.String()] = true
			case op == "delete" && !copied[name.String()]:
				t.Errorf("%s is deleted without a copy", name)
			}
			return nil
		}
		s := mustSync(t, w, o, report.ExitOK)
		for _, name := range names {
			ends(t, s, name, report.Foreign, report.Done, "", "")
			copies, err := w.Store.Copies(t.Context(), "ns1", pretend.Name(name))
			events, everr := w.Store.Events(t.Context(), fleet.EventFilter{Server: "ns1", Zone: pretend.Name(name)})
			if err != nil || everr != nil || len(copies) != 1 || len(events) != 1 || events[0].Action != "delete" {
				t.Errorf("%s: copies %v, %v, events %+v, %v", name, copies, err, events, everr)
			}
		}
		if counted, err := w.Store.ForeignDeletions(t.Context(), ns.ID, time.Now().Add(-time.Hour)); err != nil || counted != len(names) {
			t.Errorf("%d deletions are counted, %v", counted, err)
		}
		if exchanges != 3 {
			t.Errorf("%d exchanges", exchanges)
		}
	})
}

func TestBulkDeletionThatFailsEndsThoseAfterItsBatch(t *testing.T) {
	for what, broken := range map[string]struct {
		op, name string
		err      error
		deleted  int
		says     string
	}{
		"one is refused":             {"delete", "f005.example.", nameserver.ErrRefused, 99, "refused"},
		"the exchange fails":         {"delete all", "", nameserver.ErrUnreachable, 0, "cannot be reached"},
		"one cannot be read before":  {"zone", "f005.example.", nameserver.ErrAnswer, 0, "malformed"},
		"one cannot be copied first": {"export", "f005.example.", nameserver.ErrNoCopy, 149, ""},
	} {
		t.Run(what, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *pretend.World) {
				ns, _, o := manyForeign(t, w, 150)
				ns.Before = func(op string, name zone.Name) error {
					if op == broken.op && (broken.name == "" || is(name.String(), broken.name)) {
						return broken.err
					}
					return nil
				}
				rep, err := w.Sync(t.Context(), o)
				if err != nil {
					t.Fatal(err)
				}
				if got := deletes(ns); len(got) != broken.deleted {
					t.Errorf("%d zones were deleted, want %d", len(got), broken.deleted)
				}
				for _, it := range rep.Servers[0].Items {
					switch {
					case it.Outcome == report.Failed && !strings.Contains(it.Reason, broken.says):
						t.Errorf("%s: %s", it.Zone, it.Reason)
					case it.Outcome == report.Withheld && it.Guard != plan.GuardBatch && it.Guard != plan.GuardCopy:
						t.Errorf("%s is withheld by %s", it.Zone, it.Guard)
					case it.Outcome == report.Done && ns.Has(it.Zone.String()):
						t.Errorf("%s is said to be done", it.Zone)
					}
				}
			})
		})
	}
}

func TestSlowExchangesDeleteMoreEach(t *testing.T) {
	for took, want := range map[time.Duration][]int{
		200 * time.Millisecond: {100, 100, 100, 100, 100, 100, 100, 50},
		time.Second:            {100, 400, 250},
	} {
		t.Run(took.String(), func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *pretend.World) {
				ns, _, o := manyForeign(t, w, 750)
				var exchanges []int
				ns.Before = func(op string, _ zone.Name) error {
					switch op {
					case "delete all":
						<-time.After(took)
						exchanges = append(exchanges, 0)
					case "delete":
						exchanges[len(exchanges)-1]++
					}
					return nil
				}
				mustSync(t, w, o, report.ExitOK)
				if !slices.Equal(exchanges, want) {
					t.Errorf("deleted %v, want %v", exchanges, want)
				}
			})
		})
	}
}

func TestZoneThatBecameWantedIsLeftOutOfABulkDeletion(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World) {
		ns, _, o := manyForeign(t, w, 30)
		ns.Before = func(op string, name zone.Name) error {
			if op == "export" && is(name.String(), "f007.example.") {
				w.Create("f007.example.")
			}
			return nil
		}
		s := mustSync(t, w, o, report.ExitDropped)
		ends(t, s, "f007.example.", report.Foreign, report.Dropped, "", "wanted now")
		if got := deletes(ns); len(got) != 29 || !ns.Has("f007.example.") {
			t.Errorf("deleted %q", got)
		}
	})
}
