package storetest

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"dnsctl/fleet"
	"dnsctl/store"
)

var lifeTests = map[string]func(*testing.T, *env){
	"init is done once and keeps the identity": func(t *testing.T, e *env) {
		first, err := e.Identity(t.Context())
		if err != nil || len(first.Store) != 32 || first.Epoch != 1 {
			t.Fatalf("identity %+v, %v", first, err)
		}
		made, err := e.Init(t.Context(), "age1other")
		if err != nil || made {
			t.Fatalf("made %v, %v", made, err)
		}
		if again, err := e.Identity(t.Context()); err != nil || again != first {
			t.Fatalf("identity %+v, %v", again, err)
		}
		if r, err := e.Recipient(t.Context()); err != nil || r != "age1recipient" {
			t.Fatalf("recipient %q, %v", r, err)
		}
		if ran, err := e.Migrate(t.Context()); err != nil || len(ran) != 0 {
			t.Fatalf("migrations %v, %v", ran, err)
		}
	},
	"status counts what there is": func(t *testing.T, e *env) {
		p := e.pool("eu")
		e.server("ns1", p)
		e.create(content(t, "a.example.", 1, 3), p)
		z := e.create(content(t, "b.example.", 1, 3), p)
		e.commit(fleet.Commit{Members: []fleet.MemberChange{{Zone: z, Delete: true}}})
		st, err := e.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if st.Kind != e.Kind() || st.Schema != store.SchemaVersion() || !st.Initialised || st.Zones != 1 || st.Deleted != 1 || st.RRsets != 5 || st.Records != 6 ||
			st.Pools != 1 || st.Servers != 1 || st.Octets == 0 || st.Feed != 5 || st.Recipient != "age1recipient" {
			t.Fatalf("status %+v", st)
		}
	},
	"a store opened for reading refuses writes": func(t *testing.T, e *env) {
		z := e.create(content(t, "a.example.", 1, 3))
		r := e.open(store.Options{ReadOnly: true})
		if _, _, err := r.Snapshot(t.Context(), z.Edition.ID); err != nil {
			t.Fatal(err)
		}
		if err := r.SetCursor(t.Context(), "x", 1, fleet.Lease{}); err == nil {
			t.Fatal("it wrote")
		}
	},
	"a cancelled context ends a call": func(t *testing.T, e *env) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := e.Head(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("read: %v", err)
		}
		if err := e.SetCursor(ctx, "x", 1, fleet.Lease{}); !errors.Is(err, context.Canceled) {
			t.Errorf("write: %v", err)
		}
		if _, err := e.Stage(ctx, content(t, "a.example.", 1, 3)); !errors.Is(err, context.Canceled) {
			t.Errorf("stage: %v", err)
		}
	},
	"a backup is an SQLite store with everything in it": func(t *testing.T, e *env) {
		p := e.pool("eu")
		v := e.server("ns1", p)
		want := content(t, "Example.org.", 1, 500)
		z := e.create(want, p)
		root := content(t, ".", 1, 2)
		e.create(root, p)
		z = e.change(z, 400)
		if _, err := e.AddCopy(t.Context(), copyOf("ns1", "gone.example.", 5)); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "backup.db")
		recipient, err := e.Backup(t.Context(), file)
		if err != nil || recipient != "age1recipient" {
			t.Fatalf("recipient %q, %v", recipient, err)
		}
		info, err := os.Stat(file)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Fatalf("mode %v, %v", info.Mode(), err)
		}
		if left, err := os.ReadDir(filepath.Dir(file)); err != nil || len(left) != 1 {
			t.Fatalf("left behind: %v, %v", left, err)
		}
		e.change(z, 10) // after the backup
		b := &env{t: t, url: "sqlite:" + file, clock: e.clock}
		b.Store = b.open(store.Options{})
		got, version := b.snapshot(b.zone("example.org."))
		same(t, got, content(t, "Example.org.", 2, 400))
		if version != 2 {
			t.Errorf("version %d", version)
		}
		got, _ = b.snapshot(b.zone("."))
		same(t, got, root)
		if was, err := b.Server(t.Context(), "ns1"); err != nil || was.Marker != v.Marker || len(was.Pools) != 1 {
			t.Errorf("server %+v, %v", was, err)
		}
		if c, err := b.Copy(t.Context(), 1); err != nil || string(c.Content) != "content" {
			t.Errorf("copy %+v, %v", c, err)
		}
		if d, err := b.Deltas(t.Context(), z.Edition.ID, 1, 2, 1<<20); err != nil || len(d) != 1 {
			t.Errorf("deltas %v, %v", d, err)
		}
		// It goes on from there.
		b.create(content(t, "new.example.", 1, 1), p)
		b.change(b.zone("example.org."), 5)
		if _, err := e.Backup(t.Context(), file); !errors.Is(err, fs.ErrExist) {
			t.Errorf("replaced: %v", err)
		}
	},
	"whoever waits is woken by every commit": func(t *testing.T, e *env) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		mine, others := e.Wake(ctx), e.open(store.Options{}).Wake(ctx)
		for i := range 3 {
			drain(mine)
			drain(others)
			e.create(content(t, string(rune('a'+i))+".example.", 1, 0))
			awaitWake(t, mine)
			awaitWake(t, others)
		}
		cancel()
		deadline := time.After(10 * time.Second)
		for open := true; open; {
			select {
			case _, open = <-mine:
			case <-deadline:
				t.Fatal("the channel stays open")
			}
		}
	},
}

func drain(ch <-chan struct{}) {
	select {
	case <-ch:
	default:
	}
}

func awaitWake(t *testing.T, ch <-chan struct{}) {
	t.Helper()
	select {
	case <-ch:
	case <-time.After(10 * time.Second):
		t.Fatal("nobody was woken")
	}
}
