package storetest

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"dnsctl/edit"
	"dnsctl/fleet"
	"dnsctl/report"
	"dnsctl/store"
	"dnsctl/zone"
)

// another is a store on a database of its own.
func (e *env) another(t *testing.T) *env {
	t.Helper()
	b := &env{t: t, url: e.fresh(t), fresh: e.fresh, clock: e.clock}
	b.Store = b.open(store.Options{AnySchema: true, Create: true})
	return b
}

func (e *env) identity() fleet.Identity {
	e.t.Helper()
	id, err := e.Identity(e.t.Context())
	if err != nil {
		e.t.Fatal(err)
	}
	return id
}

func (e *env) backup() string {
	e.t.Helper()
	file := filepath.Join(e.t.TempDir(), "backup.db")
	if _, err := e.Backup(e.t.Context(), file); err != nil {
		e.t.Fatal(err)
	}
	return file
}

var epochTests = map[string]func(*testing.T, *env){
	"an epoch is opened once and pending until it is finished": func(t *testing.T, e *env) {
		e.server("ns1")
		if err := e.AcceptServer(t.Context(), "ns1", true, fleet.By{}); err != nil {
			t.Fatal(err)
		}
		first := e.identity()
		if first.Pending || first.Epoch != 1 {
			t.Fatalf("%+v", first)
		}
		head, _ := e.Head(t.Context())
		for range 2 {
			id, err := e.OpenEpoch(t.Context(), "a test", by("db new-epoch"))
			if err != nil || id.Epoch != 2 || !id.Pending || id.Store != first.Store {
				t.Fatalf("%+v, %v", id, err)
			}
		}
		if v, err := e.Server(t.Context(), "ns1"); err != nil || v.Accepted {
			t.Errorf("still accepted: %v", err)
		}
		if now, _ := e.Head(t.Context()); now != head+1 {
			t.Errorf("%d feed entries", now-head)
		}
		if err := e.FinishEpoch(t.Context(), 1, by("x")); !errors.Is(err, fleet.ErrConflict) {
			t.Errorf("another epoch was finished: %v", err)
		}
		for range 2 {
			if err := e.FinishEpoch(t.Context(), 2, by("db new-epoch")); err != nil {
				t.Fatal(err)
			}
		}
		if id := e.identity(); id.Pending || id.Epoch != 2 {
			t.Errorf("%+v", id)
		}
		events, err := e.Events(t.Context(), fleet.EventFilter{})
		if err != nil || events[0].Action != "new-epoch" || events[1].Action != "new-epoch" {
			t.Errorf("%+v, %v", events, err)
		}
	},
	"a step is past what nameservers have, and no IXFR leads across it": func(t *testing.T, e *env) {
		p := e.pool("eu")
		a := e.change(e.create(content(t, "a.example.", 5, 3), p), 4)
		b := e.create(content(t, "b.example.", 7, 1), p)
		gone := e.create(content(t, "gone.example.", 7, 1), p)
		far := e.create(content(t, "far.example.", 1, 1), p)
		e.commit(fleet.Commit{Members: []fleet.MemberChange{{Zone: gone, Delete: true}}})
		ed := edit.Editor{Store: e, Now: e.clock.Now}
		had := map[zone.Key][]zone.Serial{a.Name.Key(): {6, 90, 40}, b.Name.Key(): {3}, far.Name.Key(): {1 + 1<<31}}
		// b is changed by somebody else meanwhile.
		stale := b
		b = e.change(b, 2)
		failed, err := ed.Step(t.Context(), []fleet.Zone{a, stale, gone, far}, had, 2, edit.Meta{})
		if err != nil || len(failed) != 1 || failed[far.Name] == nil {
			t.Fatalf("%v, %v", failed, err)
		}
		for n, want := range map[string]zone.Serial{"a.example.": 91, "b.example.": 9, "far.example.": 1} {
			if z := e.zone(n); z.Edition.Serial != want {
				t.Errorf("%s has serial %d, want %d", n, z.Edition.Serial, want)
			}
		}
		snap, _ := e.snapshot(e.zone("a.example."))
		same(t, snap, content(t, "a.example.", 91, 4))
		if d, err := e.Deltas(t.Context(), a.Edition.ID, 5, 6, 1<<20); err != nil || len(d) != 1 {
			t.Errorf("before the step: %v, %v", d, err)
		}
		z := e.change(e.zone("a.example."), 5)
		for _, from := range []zone.Serial{5, 6} {
			if d, err := e.Deltas(t.Context(), a.Edition.ID, from, z.Edition.Serial, 1<<20); err != nil || d != nil {
				t.Errorf("IXFR from %d: %v, %v", from, d, err)
			}
		}
		if d, err := e.Deltas(t.Context(), a.Edition.ID, 91, 92, 1<<20); err != nil || len(d) != 1 {
			t.Errorf("after the step: %v, %v", d, err)
		}
		// What people had before the epoch can be had again.
		if res, _, err := ed.Rollback(t.Context(), e, a.Name, 5, false, edit.Meta{}); err != nil || res.Serial != 93 {
			t.Errorf("rollback across the epoch: %+v, %v", res, err)
		}
		snap, _ = e.snapshot(e.zone("a.example."))
		same(t, snap, content(t, "a.example.", 93, 3))
		if _, err := e.OpenEpoch(t.Context(), "a test", by("db new-epoch")); err != nil {
			t.Fatal(err)
		}
		if _, err := ed.Step(t.Context(), []fleet.Zone{e.zone("far.example.")}, nil, 2, edit.Meta{}); err != nil {
			t.Fatal(err)
		}
		if got, err := e.Stepped(t.Context(), 2); err != nil || len(got) != 1 || !got[far.Edition.ID] {
			t.Errorf("stepped in the epoch: %v, %v", got, err)
		}
	},
	"a backup is restored into an empty store": func(t *testing.T, e *env) {
		p := e.pool("eu")
		v := e.server("ns1", p)
		want := content(t, "Example.org.", 1, 800)
		z := e.change(e.create(want, p), 700)
		if _, err := e.AddCopy(t.Context(), copyOf("ns1", "gone.example.", 5)); err != nil {
			t.Fatal(err)
		}
		e.put(task("ns1", "a.example.", 1))
		file := e.backup()
		b := e.another(t)
		out, err := b.Restore(t.Context(), file, store.RestoreOptions{By: by("db restore")})
		if err != nil {
			t.Fatal(err)
		}
		id := b.identity()
		if id.Store != e.identity().Store || id.Epoch != 2 || !id.Pending || out.Identity != id || out.Zones != 1 || out.Servers != 1 || out.Kept != "" || out.Recipient != "age1recipient" {
			t.Fatalf("%+v, restored %+v", id, out)
		}
		got, _ := b.snapshot(b.zone("example.org."))
		same(t, got, content(t, "Example.org.", 2, 700))
		if was, err := b.Server(t.Context(), "ns1"); err != nil || was.Marker != v.Marker || len(was.Pools) != 1 || was.Accepted {
			t.Errorf("server %+v, %v", was, err)
		}
		if c, err := b.Copy(t.Context(), 1); err != nil || string(c.Content) != "content" {
			t.Errorf("copy %+v, %v", c, err)
		}
		if d, err := b.Deltas(t.Context(), z.Edition.ID, 1, 2, 1<<20); err != nil || len(d) != 1 {
			t.Errorf("deltas %v, %v", d, err)
		}
		if all, err := b.Tasks(t.Context(), ""); err != nil || len(all) != 0 {
			t.Errorf("tasks %v, %v", all, err)
		}
		// It goes on from there: ids, feed and events too.
		head, _ := b.Head(t.Context())
		b.create(content(t, "new.example.", 1, 1), p)
		b.change(b.zone("example.org."), 5)
		b.pool("asia")
		b.server("ns2", p)
		if feed, err := b.Feed(t.Context(), head-1, 10); err != nil || len(feed) != 5 {
			t.Errorf("feed %v, %v", feed, err)
		}
	},
	"a store with content is replaced only when that is said, and kept first": func(t *testing.T, e *env) {
		p := e.pool("eu")
		e.server("ns1", p)
		e.create(content(t, "old.example.", 1, 3), p)
		file := e.backup()
		e.create(content(t, "later.example.", 1, 3), p)
		l, _, err := e.Lease(t.Context(), "leader", "me", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.PutReplica(t.Context(), fleet.Replica{ID: "a"}); err != nil {
			t.Fatal(err)
		}
		exit := func(err error) report.Exit {
			code, hint := report.ExitOf(err)
			if hint == "" {
				t.Errorf("no hint: %v", err)
			}
			return code
		}
		keep := filepath.Join(t.TempDir(), "kept.db")
		if _, err := e.Restore(t.Context(), file, store.RestoreOptions{Keep: keep}); exit(err) != report.ExitWithheld {
			t.Fatalf("without --replace: %v", err)
		}
		if _, err := os.Stat(keep); err == nil {
			t.Error("it was kept although nothing was done")
		}
		e.zone("later.example.")
		out, err := e.Restore(t.Context(), file, store.RestoreOptions{Replace: true, Keep: keep, By: by("db restore")})
		if err != nil || out.Kept != keep || out.Epoch != 2 {
			t.Fatalf("%+v, %v", out, err)
		}
		if _, err := e.Zone(t.Context(), name("later.example.")); !errors.Is(err, fleet.ErrNoZone) {
			t.Errorf("later.example. is there: %v", err)
		}
		if _, err := e.Renew(t.Context(), l, time.Hour); !errors.Is(err, fleet.ErrLeaseLost) {
			t.Errorf("the leader goes on: %v", err)
		}
		if all, _, err := e.Replicas(t.Context()); err != nil || len(all) != 1 {
			t.Errorf("replicas %v, %v", all, err)
		}
		// What was kept can be put back in turn: the epoch only grows.
		again := filepath.Join(t.TempDir(), "again.db")
		if out, err = e.Restore(t.Context(), keep, store.RestoreOptions{Replace: true, Keep: again}); err != nil || out.Epoch != 3 {
			t.Fatalf("%+v, %v", out, err)
		}
		e.zone("later.example.")

		other := e.another(t)
		if _, err := other.Init(t.Context(), "age1other"); err != nil {
			t.Fatal(err)
		}
		other.pool("eu")
		if _, err := other.Restore(t.Context(), file, store.RestoreOptions{Replace: true, Keep: filepath.Join(t.TempDir(), "x.db")}); exit(err) != report.ExitWithheld {
			t.Errorf("over another store: %v", err)
		}
		if _, err := other.Restore(t.Context(), file, store.RestoreOptions{Replace: true, Other: true, Keep: filepath.Join(t.TempDir(), "x.db")}); err != nil {
			t.Errorf("over another store, said: %v", err)
		}
	},
	"a file that is no whole backup changes nothing": func(t *testing.T, e *env) {
		p := e.pool("eu")
		e.create(content(t, "a.example.", 1, 2000), p)
		file := e.backup()
		whole, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		write := func(n string, b []byte) string {
			path := filepath.Join(t.TempDir(), n)
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			return path
		}
		damaged := append([]byte{}, whole...)
		for i := len(damaged) / 2; i < len(damaged)/2+4096; i++ {
			damaged[i] = 0xee
		}
		head, _ := e.Head(t.Context())
		for what, path := range map[string]string{"absent": file + ".not", "text": write("text", []byte("no database, a text of some length that goes on\n")), "empty": write("empty", nil),
			"cut": write("cut", whole[:len(whole)*2/3]), "damaged": write("damaged", damaged)} {
			_, err := e.Restore(t.Context(), path, store.RestoreOptions{Replace: true, Keep: filepath.Join(t.TempDir(), "kept.db")})
			if code, hint := report.ExitOf(err); err == nil || hint == "" || code == 0 {
				t.Errorf("%s: %v (hint %q)", what, err, hint)
			}
		}
		if now, _ := e.Head(t.Context()); now != head || e.identity().Epoch != 1 {
			t.Error("something was changed")
		}
		if _, err := e.Restore(t.Context(), file, store.RestoreOptions{Replace: true, Keep: filepath.Join(t.TempDir(), "kept.db")}); err != nil {
			t.Error(err)
		}
	},
}
