package apply_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/report"
	"dnsctl/sync/apply"
	"dnsctl/testbed/pretend"
	"dnsctl/zone"
)

// inBulk is a world with the server ns1, which takes many adds in one exchange.
func inBulk(t *testing.T, f func(t *testing.T, w *pretend.World, ns *pretend.Server)) {
	t.Helper()
	inWorld(t, func(t *testing.T, w *pretend.World) {
		ns := w.Server("ns1")
		ns.Bulk = true
		f(t, w, ns)
	})
}

func TestBulkAddsAreOneExchangeWithAnErrorForEach(t *testing.T) {
	inBulk(t, func(t *testing.T, w *pretend.World, ns *pretend.Server) {
		names := manyNames(w, 30)
		exchanges := 0
		ns.Before = func(op string, name zone.Name) error {
			switch {
			case op == "add all":
				exchanges++
			case op == "add" && is(name.String(), "z3.example."):
				return nameserver.ErrExists
			case op == "add" && is(name.String(), "z7.example."):
				return nameserver.ErrRefused
			}
			return nil
		}
		s := mustSync(t, w, apply.SyncOptions{}, report.ExitPartial)
		for _, name := range names {
			events, err := w.Store.Events(t.Context(), fleet.EventFilter{Server: "ns1", Zone: pretend.Name(name)})
			if err != nil {
				t.Fatal(err)
			}
			want := 1
			switch name {
			case "z3.example.":
				ends(t, s, name, report.Missing, report.Dropped, "", "somebody else")
				want = 0
			case "z7.example.":
				ends(t, s, name, report.Missing, report.Failed, "", "refused")
				want = 0
			default:
				ends(t, s, name, report.Missing, report.Done, "", "")
			}
			if len(events) != want || want == 1 && (events[0].Action != "add" || events[0].Serial == nil || events[0].ZoneID == 0) {
				t.Errorf("%s: events %+v", name, events)
			}
		}
		if exchanges != 1 {
			t.Errorf("%d exchanges", exchanges)
		}
	})
}

func TestBulkAddsAreBehindTheMarkerAndReadTheirRowsAgain(t *testing.T) {
	inBulk(t, func(t *testing.T, w *pretend.World, ns *pretend.Server) {
		w.Create("a.example.", "b.example.", "c.example.")
		// Between the plan and the adds: the marker is moved then.
		moved := false
		ns.Before = func(op string, name zone.Name) error {
			if op == "retransfer" && fleet.IsMarkerName(name) && !moved {
				moved = true
				w.Delete("a.example.", "b.example.")
				w.Create("b.example.")
			}
			if op == "add all" && !moved {
				t.Error("zones are added before the marker is past them")
			}
			return nil
		}
		s := mustSync(t, w, apply.SyncOptions{}, report.ExitDropped)
		ends(t, s, "a.example.", report.Missing, report.Dropped, "", "deleted from the database")
		ends(t, s, "b.example.", report.Missing, report.Dropped, "", "created again")
		ends(t, s, "c.example.", report.Missing, report.Done, "", "")
		if ns.Has("a.example.") || ns.Has("b.example.") {
			t.Error("they were added")
		}
	})
}

func TestBulkAddsEndWithTheirServer(t *testing.T) {
	inBulk(t, func(t *testing.T, w *pretend.World, ns *pretend.Server) {
		w.Create("a.example.", "b.example.")
		ns.Before = func(op string, _ zone.Name) error {
			if op == "add all" {
				return nameserver.ErrUnreachable
			}
			return nil
		}
		s := mustSync(t, w, apply.SyncOptions{}, report.ExitPartial)
		ends(t, s, "a.example.", report.Missing, report.Failed, "", "cannot be reached")
		ends(t, s, "b.example.", report.Missing, report.Failed, "", "cannot be reached")
	})
}

func TestBulkAddsComeInBatches(t *testing.T) {
	inBulk(t, func(t *testing.T, w *pretend.World, ns *pretend.Server) {
		manyNames(w, 2001)
		exchanges := 0
		ns.Before = func(op string, _ zone.Name) error {
			if op != "add all" {
				return nil
			}
			exchanges++
			return nameserver.ErrUnreachable
		}
		s := mustSync(t, w, apply.SyncOptions{}, report.ExitPartial)
		ends(t, s, "z0.example.", report.Missing, report.Failed, "", "cannot be reached")
		last := 0
		for _, it := range s.Items {
			if strings.HasPrefix(it.Reason, "not begun: ") {
				last++
			}
		}
		if exchanges != 1 || last != 1 {
			t.Errorf("%d exchanges, %d were not begun", exchanges, last)
		}
	})
}

func TestBulkAddsAreProven(t *testing.T) {
	inBulk(t, func(t *testing.T, w *pretend.World, ns *pretend.Server) {
		w.Create("a.example.", "b.example.")
		ns.Stalled = func(name zone.Name) bool { return is(name.String(), "a.example.") }
		s := mustSync(t, w, apply.SyncOptions{Options: apply.Options{ProveFor: time.Minute}}, report.ExitPartial)
		ends(t, s, "a.example.", report.Missing, report.Failed, "", "not proven")
		ends(t, s, "b.example.", report.Missing, report.Done, "", "")
	})
}

func TestALostQuestionIsSoonAskedAgain(t *testing.T) {
	inBulk(t, func(t *testing.T, w *pretend.World, ns *pretend.Server) {
		w.Create("a.example.", "b.example.")
		var lost time.Time
		ns.Asked = func(name zone.Name) bool {
			if !is(name.String(), "a.example.") || !ns.Has("a.example.") || !lost.IsZero() {
				return false
			}
			<-time.After(3 * time.Second)
			lost = time.Now()
			return true
		}
		s := mustSync(t, w, apply.SyncOptions{}, report.ExitOK)
		ends(t, s, "a.example.", report.Missing, report.Done, "", "")
		if again := time.Since(lost); lost.IsZero() || again > time.Second {
			t.Errorf("it was proven %s after its question was lost", again)
		}
	})
}

func TestASlowServerIsSeenToProceed(t *testing.T) {
	zones := 1000
	if testing.Short() { // make test has them all
		zones = 300
	}
	for _, bulk := range []bool{false, true} {
		t.Run(fmt.Sprint("in bulk ", bulk), func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *pretend.World) {
				ns := w.Server("ns1")
				ns.Bulk = bulk
				manyNames(w, zones)
				begun := time.Now()
				ns.Asked = func(name zone.Name) bool { // it answers for ten more a second, in their order
					n, ok := numberOf(name)
					return ok && time.Since(begun) < time.Duration(n)*100*time.Millisecond
				}
				s := mustSync(t, w, apply.SyncOptions{Options: apply.Options{ProveFor: 2 * time.Second}}, report.ExitOK)
				ends(t, s, fmt.Sprintf("z%d.example.", zones-1), report.Missing, report.Done, "", "")
			})
		})
	}
}

// Of many zones most are not asked about for long. That few have answered since most
// did at once is no reason to ask for the others again, which takes the server's time.
func TestZonesThatComeSteadilyAreNotAskedForAgain(t *testing.T) {
	if testing.Short() {
		t.Skip("fewer zones would all be asked about; make test runs it")
	}
	inWorld(t, func(t *testing.T, w *pretend.World) {
		ns := w.Server("ns1")
		ns.Bulk = true
		manyNames(w, 4000)
		begun, again := time.Now(), askedAgain(ns)
		ns.Asked = func(name zone.Name) bool {
			n, ok := numberOf(name)
			return ok && time.Since(begun) < 4*time.Second+time.Duration(max(0, n-2500))*10*time.Millisecond
		}
		mustSync(t, w, apply.SyncOptions{}, report.ExitOK)
		if *again > 0 {
			t.Errorf("%d transfers were asked for again", *again)
		}
	})
}

// listless cannot say which zones are wanted.
type listless struct{ apply.Store }

func (listless) WantedAmong(context.Context, int64, []zone.Name) ([]fleet.Wanted, error) {
	return nil, errors.New("database is gone")
}

func TestBulkAddsNeedTheirRows(t *testing.T) {
	inBulk(t, func(t *testing.T, w *pretend.World, ns *pretend.Server) {
		w.Create("a.example.")
		w.Applier.Store = listless{w.Store}
		s := mustSync(t, w, apply.SyncOptions{}, report.ExitPartial)
		ends(t, s, "a.example.", report.Missing, report.Failed, "", "database is gone")
		if ns.Has("a.example.") {
			t.Error("it was added")
		}
	})
}
