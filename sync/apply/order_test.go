package apply_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"dnsctl/edit"
	"dnsctl/fleet"
	"dnsctl/report"
	"dnsctl/sync/apply"
	"dnsctl/testbed/pretend"
	"dnsctl/zone"
)

func TestZonesOfAHigherPriorityComeFirst(t *testing.T) {
	for way, bulk := range map[string]bool{"one by one": false, "in one exchange": true} {
		t.Run(way, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *pretend.World) {
				ns := w.Server("ns1")
				ns.Bulk = bulk
				w.Create("a.example.", "b.example.", "c.example.", "d.example.")
				for name, priority := range map[string]int{"d.example.": 9, "b.example.": -3} {
					if _, err := w.Applier.Edit.Set(t.Context(), pretend.Name(name), edit.Change{Priority: new(priority)}, edit.Meta{}); err != nil {
						t.Fatal(err)
					}
				}
				var order []string
				ns.Before = func(op string, name zone.Name) error {
					switch {
					case op == "add" || op == "retransfer" && !fleet.IsMarkerName(name):
						order = append(order, name.String())
					case op == "add all":
						order = append(order, "|")
					}
					return nil
				}
				mustSync(t, w, apply.SyncOptions{}, report.ExitOK)
				want := "d.example. a.example. c.example. b.example."
				if bulk { // what is in an exchange comes in the server's own order
					want = "| d.example. | a.example. c.example. | b.example."
				}
				if got := strings.Join(order, " "); got != want {
					t.Errorf("added %s", got)
				}
				order = nil
				for _, name := range []string{"a.example.", "b.example.", "d.example."} {
					w.Change(name)
				}
				mustSync(t, w, apply.SyncOptions{}, report.ExitOK)
				if want := []string{"d.example.", "a.example.", "b.example."}; !slices.Equal(order, want) {
					t.Errorf("transferred %v", order)
				}
			})
		})
	}
}

func TestNoMoreZonesAreAskedForThanTheServerTransfers(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World) {
		ns := w.Server("ns1")
		manyNames(w, 450)
		added, most, stalled := 0, 0, true
		ns.Before = func(op string, name zone.Name) error {
			if op == "add" {
				added++
			}
			return nil
		}
		ns.Stalled = func(name zone.Name) bool { return stalled && !fleet.IsMarkerName(name) }
		ns.Asked = func(name zone.Name) bool {
			if !fleet.IsMarkerName(name) && stalled {
				most = added
			}
			return false
		}
		o := apply.Options{ProveFor: time.Minute, Outstanding: 100}
		s := mustSync(t, w, apply.SyncOptions{Options: o}, report.ExitPartial)
		failed, notBegun := 0, 0
		for _, it := range s.Items {
			switch {
			case strings.HasPrefix(it.Reason, "asked for, but not proven: none more within 1m0s"):
				failed++
			case strings.HasPrefix(it.Reason, "not begun: none more within 1m0s"):
				notBegun++
			}
		}
		if most != 200 || added != 200 || failed != 200 || notBegun != 250 {
			t.Errorf("%d added, %d failed, %d not begun", added, failed, notBegun)
		}
		stalled = false
		mustSync(t, w, apply.SyncOptions{Options: o}, report.ExitOK)
	})
}

func TestStragglersAreTransferredAgainAndSayWhy(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World) {
		ns := w.Server("ns1")
		w.Create("a.example.", "b.example.")
		again := 0
		ns.Before = func(op string, name zone.Name) error {
			if op == "retransfer" && is(name.String(), "b.example.") {
				again++
			}
			return nil
		}
		ns.Stalled = func(name zone.Name) bool { return is(name.String(), "b.example.") && again < 2 }
		s := mustSync(t, w, apply.SyncOptions{}, report.ExitOK)
		ends(t, s, "a.example.", report.Missing, report.Done, "", "not on the server")
		ends(t, s, "b.example.", report.Missing, report.Done, "", "not on the server; its transfer was asked for again: it answers SERVFAIL")
		if again != 2 {
			t.Errorf("asked for again %d times", again)
		}
	})
}

// TestManyTransfersAreNotAskedForAgainBeforeTheirTime has a server that shows none of
// 600 zones for five seconds, as NSD does which reloads once they are all there.
func TestManyTransfersAreNotAskedForAgainBeforeTheirTime(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World) {
		ns := w.Server("ns1")
		manyNames(w, 600)
		begun, again := time.Now(), askedAgain(ns)
		ns.Stalled = func(name zone.Name) bool {
			return !fleet.IsMarkerName(name) && time.Since(begun) < 5*time.Second
		}
		ns.Asked = func(name zone.Name) bool {
			if time.Since(begun) >= 5*time.Second {
				ns.Transfer(name)
			}
			return false
		}
		mustSync(t, w, apply.SyncOptions{}, report.ExitOK)
		if *again > 0 {
			t.Errorf("asked for again %d times", *again)
		}
	})
}

// askedAgain counts the transfers of zones that the server is asked for.
func askedAgain(ns *pretend.Server) *int {
	n := new(int)
	ns.Before = func(op string, name zone.Name) error {
		if op == "retransfer" && !fleet.IsMarkerName(name) {
			*n++
		}
		return nil
	}
	return n
}
