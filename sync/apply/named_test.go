package apply_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"dnsctl/edit"
	"dnsctl/fleet"
	"dnsctl/report"
	"dnsctl/sync/apply"
	"dnsctl/sync/plan"
	"dnsctl/testbed/pretend"
)

// makePlan is a plan file of all servers as they are.
func makePlan(t *testing.T, w *pretend.World, want report.Exit) plan.Document {
	t.Helper()
	servers, err := w.Store.Servers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	doc, rep, err := w.Syncer.Plan(t.Context(), "sync", servers, apply.SyncOptions{})
	if err != nil || rep.Exit != want {
		t.Fatalf("plan: %v, exit %d, want %d: %+v", err, rep.Exit, want, rep.Servers)
	}
	return doc
}

func applyPlan(t *testing.T, w *pretend.World, doc plan.Document, o apply.SyncOptions) (report.Report, error) {
	t.Helper()
	servers, err := w.Store.Servers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return w.Syncer.Apply(t.Context(), "sync", doc, servers, o)
}

func TestYesterdaysPlanDoesWhatStillHolds(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World) {
		ns1, ns2 := w.Server("ns1"), w.Server("ns2")
		w.Create("a.example.", "b.example.")
		ns1.Put("f.example.", 1)
		ns1.Put("g.example.", 1)
		refuse := func(string, []report.Item) bool { t.Error("somebody was asked"); return false }
		doc := makePlan(t, w, report.ExitDifferences)
		if got := append(ns1.Writes(), ns2.Writes()...); strings.Contains(strings.Join(got, " "), "example") {
			t.Fatalf("making a plan wrote %q", got)
		}
		w.Delete("b.example.")
		w.Create("c.example.") // which the plan does not name
		ns1.Swap("g.example.", pretend.Content("g.example.", 2))
		ns1.Put("h.example.", 1)
		rep, err := applyPlan(t, w, doc, apply.SyncOptions{Options: apply.Options{Confirm: refuse}})
		if err != nil || rep.Exit != report.ExitDropped || len(rep.Servers) != 2 {
			t.Fatalf("%v, %+v", err, rep)
		}
		s := rep.Servers[0]
		ends(t, s, "a.example.", report.Missing, report.Done, "", "")
		ends(t, s, "b.example.", report.Missing, report.Dropped, "", "deleted from the database")
		ends(t, s, "f.example.", report.Foreign, report.Done, "", "")
		ends(t, s, "g.example.", report.Foreign, report.Dropped, "", "serial on the server is 2 now")
		ends(t, s, "c.example.", report.Missing, "", "", "")
		ends(t, s, "h.example.", report.Foreign, "", "", "")
		ends(t, rep.Servers[1], "a.example.", report.Missing, report.Done, "", "")
		if ns1.Has("c.example.") || ns2.Has("c.example.") || !ns1.Has("g.example.") || !ns1.Has("h.example.") || ns1.Has("f.example.") {
			t.Errorf("ns1 got %q, ns2 %q", ns1.Writes(), ns2.Writes())
		}
		// Again: what was done is done.
		ns1.ForgetWrites()
		rep, err = applyPlan(t, w, doc, apply.SyncOptions{})
		if err != nil || rep.Exit != report.ExitDropped || len(ns1.Writes()) != 0 {
			t.Errorf("again: %v, exit %d, writes %q", err, rep.Exit, ns1.Writes())
		}
		ends(t, rep.Servers[0], "a.example.", report.OK, report.Done, "", "already")
		ends(t, rep.Servers[0], "f.example.", report.Foreign, report.Done, "", "gone already")
	})
}

func TestPlanOfManyDeletionsIsItsOwnApproval(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World) {
		ns := w.Server("ns1")
		w.Create("a.example.")
		mustSync(t, w, apply.SyncOptions{}, report.ExitOK)
		for i := range 25 {
			ns.Put(fmt.Sprintf("f%d.example.", i), 1)
		}
		doc := makePlan(t, w, report.ExitDifferences)
		unapproved := doc
		unapproved.Servers = []plan.Named{doc.Servers[0]}
		unapproved.Servers[0].ApprovedDeletions = nil
		rep, err := applyPlan(t, w, unapproved, apply.SyncOptions{})
		if err != nil || rep.Exit != report.ExitWithheld {
			t.Fatalf("unapproved: %v, exit %d", err, rep.Exit)
		}
		ends(t, rep.Servers[0], "f0.example.", report.Foreign, report.Withheld, plan.GuardLimit, "")
		rep, err = applyPlan(t, w, doc, apply.SyncOptions{})
		if err != nil || rep.Exit != report.ExitOK || ns.Has("f24.example.") {
			t.Fatalf("%v, exit %d", err, rep.Exit)
		}
		// They count all the same.
		for i := range 5 {
			ns.Put(fmt.Sprintf("g%d.example.", i), 1)
		}
		s := mustSync(t, w, apply.SyncOptions{}, report.ExitWithheld)
		ends(t, s, "g0.example.", report.Foreign, report.Withheld, plan.GuardLimit, "25 went in the last 24 hours")
	})
}

func TestPlanOfAnotherStoreIsRefusedWhole(t *testing.T) {
	for what, change := range map[string]func(*plan.Document){
		"the store other":      func(d *plan.Document) { d.Store = "other" },
		"in epoch 2":           func(d *plan.Document) { d.Epoch = 2 },
		"an older copy":        func(d *plan.Document) { d.Position += 1000 },
		"a fork of its":        func(d *plan.Document) { d.Entry = "0123" },
		"a fork":               func(d *plan.Document) { d.Entry = "" },
		"not of this position": func(d *plan.Document) { d.Position--; d.Entry = "x" },
	} {
		t.Run(what, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *pretend.World) {
				ns := w.Server("ns1")
				w.Create("a.example.")
				doc := makePlan(t, w, report.ExitDifferences)
				change(&doc)
				ns.ForgetWrites()
				_, err := applyPlan(t, w, doc, apply.SyncOptions{})
				if exit, hint := report.ExitOf(err); exit != report.ExitWithheld || hint == "" || len(ns.Writes()) != 0 {
					t.Errorf("%v, exit %d, writes %q", err, exit, ns.Writes())
				}
			})
		})
	}
}

func TestPlanForAServerThatIsNotTheSameIsDropped(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World) {
		w.Server("ns1")
		ns2 := w.Server("ns2")
		w.Create("a.example.")
		doc := makePlan(t, w, report.ExitDifferences)
		ctx := context.Background()
		for _, n := range []string{"ns1"} {
			if err := w.Store.RemoveServer(ctx, n, fleet.By{}); err != nil {
				t.Fatal(err)
			}
		}
		rep, err := applyPlan(t, w, doc, apply.SyncOptions{})
		if err != nil || rep.Exit != report.ExitDropped || rep.Servers[0].Name != "ns1" || rep.Servers[1].Name != "ns2" {
			t.Fatalf("%v, %+v", err, rep)
		}
		ends(t, rep.Servers[0], "a.example.", report.Missing, report.Dropped, "", "not in the database any more")
		if !ns2.Has("a.example.") {
			t.Error("ns2 did not get its zone")
		}
		w.Server("ns1")
		rep, err = applyPlan(t, w, doc, apply.SyncOptions{})
		if err != nil || rep.Exit != report.ExitDropped {
			t.Fatalf("%v, %+v", err, rep)
		}
		ends(t, rep.Servers[0], "a.example.", report.Missing, report.Dropped, "", "removed and added again")
	})
}

func TestAPlanThatIsAppliedTwiceAtOnceIsAppliedOnce(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World) {
		ns := w.Server("ns1")
		w.Create("a.example.")
		ns.Put("f.example.", 1)
		doc := makePlan(t, w, report.ExitDifferences)
		other := *w.Syncer
		other.Holder = "other"
		servers, err := w.Store.Servers(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan report.Exit, 2)
		for _, y := range []*apply.Syncer{w.Syncer, &other} {
			go func() {
				rep, err := y.Apply(context.Background(), "sync", doc, servers, apply.SyncOptions{Options: apply.Options{Meta: edit.Meta{Command: "sync"}}})
				if err != nil {
					t.Error(err)
				}
				ended <- rep.Exit
			}()
		}
		for range 2 {
			if exit := <-ended; exit != report.ExitOK {
				t.Errorf("exit %d", exit)
			}
		}
		if got := strings.Join(ns.Writes(), " "); strings.Count(got, "add a.example.") != 1 || strings.Count(got, "delete f.example.") != 1 {
			t.Errorf("writes %q", got)
		}
	})
}
