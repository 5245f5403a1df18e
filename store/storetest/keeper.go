package storetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"dnsctl/fleet"
	"dnsctl/report"
	"dnsctl/zone"
)

func task(server, n string, serial zone.Serial) report.Task {
	return report.Task{Server: server, Zone: name(n), Want: "present", Incarnation: "i", Serial: serial}
}

// contentTask is a task about content alone.
func contentTask(server, n string, serial zone.Serial) report.Task {
	k := task(server, n, serial)
	k.Incarnation = ""
	return k
}

func (e *env) put(tasks ...report.Task) {
	e.t.Helper()
	if err := e.PutTasks(e.t.Context(), tasks); err != nil {
		e.t.Fatal(err)
	}
}

func (e *env) due(server, holder string) (names []string, all []report.Task) {
	e.t.Helper()
	all, err := e.DueTasks(e.t.Context(), server, holder, 10, time.Minute)
	if err != nil {
		e.t.Fatal(err)
	}
	for _, k := range all {
		names = append(names, k.Server+" "+k.Zone.String())
	}
	return names, all
}

var keeperTests = map[string]func(*testing.T, *env){
	"a lease has one holder, and each holding a higher fence": func(t *testing.T, e *env) {
		l, held, err := e.Lease(t.Context(), "leader", "a", time.Minute)
		if err != nil || !held || l.Fence != 1 || l.Holder != "a" {
			t.Fatalf("lease %+v %v, %v", l, held, err)
		}
		if other, held, err := e.Lease(t.Context(), "leader", "b", time.Minute); err != nil || held || other.Holder != "a" {
			t.Fatalf("lease %+v %v, %v", other, held, err)
		}
		if again, held, err := e.Lease(t.Context(), "leader", "a", time.Minute); err != nil || !held || again.Fence != 1 {
			t.Fatalf("lease %+v %v, %v", again, held, err)
		}
		e.clock.advance(50 * time.Second)
		if l, err = e.Renew(t.Context(), l, time.Minute); err != nil {
			t.Fatal(err)
		}
		e.clock.advance(50 * time.Second)
		if _, held, _ := e.Lease(t.Context(), "leader", "b", time.Minute); held {
			t.Fatal("taken although it was renewed")
		}
		if err := e.SetCursor(t.Context(), "keeper", 5, l); err != nil {
			t.Fatal(err)
		}
		e.clock.advance(time.Minute)
		b, held, err := e.Lease(t.Context(), "leader", "b", time.Minute)
		if err != nil || !held || b.Fence != 2 {
			t.Fatalf("lease %+v %v, %v", b, held, err)
		}
		if _, err := e.Renew(t.Context(), l, time.Minute); !errors.Is(err, fleet.ErrLeaseLost) {
			t.Errorf("renewed a lost one: %v", err)
		}
		if err := e.SetCursor(t.Context(), "keeper", 9, l); !errors.Is(err, fleet.ErrLeaseLost) {
			t.Errorf("a late write was taken: %v", err)
		}
		if err := e.Release(t.Context(), l); err != nil {
			t.Error(err)
		}
		if all, err := e.Leases(t.Context()); err != nil || len(all) != 1 || all[0].Holder != "b" {
			t.Errorf("leases %+v, %v", all, err)
		}
		if err := e.Release(t.Context(), b); err != nil {
			t.Error(err)
		}
		if c, held, err := e.Lease(t.Context(), "leader", "c", time.Minute); err != nil || !held || c.Fence != 3 {
			t.Errorf("lease %+v %v, %v", c, held, err)
		}
	},
	"a cursor only moves forward": func(t *testing.T, e *env) {
		for _, step := range []struct{ set, want int64 }{{3, 3}, {2, 3}, {7, 7}} {
			if err := e.SetCursor(t.Context(), "keeper", step.set, fleet.Lease{}); err != nil {
				t.Fatal(err)
			}
			if pos, err := e.Cursor(t.Context(), "keeper"); err != nil || pos != step.want {
				t.Errorf("cursor %d instead of %d, %v", pos, step.want, err)
			}
		}
		if pos, err := e.Cursor(t.Context(), "other"); err != nil || pos != 0 {
			t.Errorf("cursor %d, %v", pos, err)
		}
	},
	"tasks are taken when they are due, by one": func(t *testing.T, e *env) {
		e.server("ns1")
		e.server("ns2")
		late := task("ns1", "late.example.", 1)
		late.NextTry = e.clock.Now().Add(time.Hour)
		e.put(task("ns1", "b.example.", 1), task("ns2", "a.example.", 1), task("ns1", "a.example.", 1), task("gone", "a.example.", 1), late)
		if names, _ := e.due("ns1", "x"); !slices.Equal(names, []string{"ns1 a.example.", "ns1 b.example."}) {
			t.Fatalf("due %v", names)
		}
		if names, _ := e.due("ns1", "y"); names != nil {
			t.Fatalf("taken twice: %v", names)
		}
		if names, _ := e.due("ns2", "y"); !slices.Equal(names, []string{"ns2 a.example."}) {
			t.Fatalf("due %v", names)
		}
		e.clock.advance(2 * time.Minute)
		if names, _ := e.due("ns1", "z"); len(names) != 2 {
			t.Fatalf("due after the lease %v", names)
		}
		e.clock.advance(time.Hour)
		if names, _ := e.due("ns1", "z"); len(names) != 3 {
			t.Fatalf("due later %v", names)
		}
		if all, err := e.Tasks(t.Context(), ""); err != nil || len(all) != 4 || all[3].Server != "ns2" || all[0].Zone != name("a.example.") {
			t.Fatalf("tasks %+v, %v", all, err)
		}
		if n, since, err := e.TaskLag(t.Context(), "ns1"); err != nil || n != 3 || since.IsZero() {
			t.Fatalf("lag %d since %v, %v", n, since, err)
		}
		if n, since, err := e.TaskLag(t.Context(), "gone"); err != nil || n != 0 || !since.IsZero() {
			t.Fatalf("lag %d since %v, %v", n, since, err)
		}
	},
	"what an earlier leader has taken is free for the next": func(t *testing.T, e *env) {
		e.server("ns1")
		e.put(task("ns1", "a.example.", 1), task("ns1", "b.example.", 1))
		if _, err := e.DueTasks(t.Context(), "ns1", "old", 1, time.Hour); err != nil {
			t.Fatal(err)
		}
		old, _, err := e.Lease(t.Context(), "leader", "old", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		e.clock.advance(2 * time.Minute)
		l, _, err := e.Lease(t.Context(), "leader", "me", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if names, _ := e.due("ns1", "me"); len(names) != 1 {
			t.Fatalf("due before: %v", names)
		}
		if err := e.FreeTasks(t.Context(), old); !errors.Is(err, fleet.ErrLeaseLost) {
			t.Errorf("by an earlier leader: %v", err)
		}
		if err := e.FreeTasks(t.Context(), l); err != nil {
			t.Fatal(err)
		}
		if names, _ := e.due("ns1", "me"); !slices.Equal(names, []string{"ns1 a.example."}) {
			t.Errorf("due: %v", names)
		}
	},
	"a task keeps its attempts until something else is wanted": func(t *testing.T, e *env) {
		e.server("ns1")
		k := task("ns1", "a.example.", 1)
		e.put(k)
		_, all := e.due("ns1", "x")
		next := e.clock.Now().Add(time.Minute)
		if err := e.FailTask(t.Context(), all[0], "refused", next); err != nil {
			t.Fatal(err)
		}
		e.put(k)
		got, err := e.Tasks(t.Context(), "ns1")
		if err != nil || len(got) != 1 || got[0].Attempts != 1 || got[0].LastError != "refused" || got[0].NextTry.UnixMilli() != next.UnixMilli() {
			t.Fatalf("tasks %+v, %v", got, err)
		}
		if err := e.DeferTasks(t.Context(), []report.Task{k}, "busy", next); err != nil {
			t.Fatal(err)
		}
		if names, _ := e.due("ns1", "x"); names != nil {
			t.Fatalf("due %v", names)
		}
		if n, err := e.RetryTasks(t.Context(), "", name("A.example.")); err != nil || n != 1 {
			t.Fatalf("retried %d, %v", n, err)
		}
		if names, _ := e.due("ns1", "x"); len(names) != 1 {
			t.Fatalf("due %v", names)
		}
		e.put(task("ns1", "a.example.", 2))
		if got, _ := e.Tasks(t.Context(), "ns1"); got[0].Attempts != 0 || got[0].Serial != 2 || got[0].LastError != "" {
			t.Fatalf("tasks %+v", got)
		}
		// Who still has the old one in hand ends nothing.
		if err := e.DoneTasks(t.Context(), []report.Task{k}); err != nil {
			t.Fatal(err)
		}
		if err := e.FailTask(t.Context(), k, "late", next); err != nil {
			t.Fatal(err)
		}
		if got, _ := e.Tasks(t.Context(), "ns1"); len(got) != 1 || got[0].Attempts != 0 {
			t.Fatalf("tasks %+v", got)
		}
		if err := e.DoneTasks(t.Context(), []report.Task{task("ns1", "a.example.", 2)}); err != nil {
			t.Fatal(err)
		}
		if got, err := e.Tasks(t.Context(), "ns1"); err != nil || len(got) != 0 {
			t.Fatalf("tasks %+v, %v", got, err)
		}
	},
	"a task about content alone leaves what else is to be done": func(t *testing.T, e *env) {
		e.server("ns1")
		absent := task("ns1", "b.example.", 1)
		absent.Want = report.Absent
		e.put(task("ns1", "a.example.", 1), absent, contentTask("ns1", "c.example.", 1))
		e.put(contentTask("ns1", "a.example.", 2), contentTask("ns1", "b.example.", 2), task("ns1", "c.example.", 1))
		var got []string
		all, err := e.Tasks(t.Context(), "ns1")
		for _, k := range all {
			got = append(got, fmt.Sprintf("%s %s %q %d", k.Zone, k.Want, k.Incarnation, k.Serial))
		}
		want := []string{`a.example. present "i" 2`, `b.example. absent "i" 1`, `c.example. present "i" 1`}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("tasks %v, %v, want %v", got, err, want)
		}
	},
	"many tasks are ended at once, each if it wants just that": func(t *testing.T, e *env) {
		e.server("ns1")
		e.server("ns2")
		absent := task("ns2", "b.example.", 1)
		absent.Want = report.Absent
		e.put(task("ns1", "a.example.", 1), task("ns1", "b.example.", 2), contentTask("ns1", "c.example.", 1), contentTask("ns1", "d.example.", 1),
			task("ns1", "e.example.", 1), task("ns2", "a.example.", 1), absent)
		err := e.DoneTasks(t.Context(), []report.Task{task("ns1", "a.example.", 1), task("ns1", "a.example.", 2), task("ns1", "b.example.", 1),
			task("ns1", "c.example.", 1), contentTask("ns1", "d.example.", 1), contentTask("ns1", "e.example.", 1),
			task("ns1", "none.example.", 1), task("ns2", "b.example.", 1), task("gone", "a.example.", 1)})
		if err != nil {
			t.Fatal(err)
		}
		var left []string
		all, err := e.Tasks(t.Context(), "")
		for _, k := range all {
			left = append(left, k.Server+" "+k.Zone.String())
		}
		if want := []string{"ns1 b.example.", "ns1 e.example.", "ns2 a.example.", "ns2 b.example."}; err != nil || !slices.Equal(left, want) {
			t.Errorf("left %v, %v, want %v", left, err, want)
		}
	},
	"tasks go with their server": func(t *testing.T, e *env) {
		e.server("ns1")
		e.put(task("ns1", "a.example.", 1))
		if err := e.RemoveServer(t.Context(), "ns1", by("server remove")); err != nil {
			t.Fatal(err)
		}
		if all, err := e.Tasks(t.Context(), ""); err != nil || len(all) != 0 {
			t.Fatalf("tasks %+v, %v", all, err)
		}
	},
}
