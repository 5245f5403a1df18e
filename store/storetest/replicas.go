package storetest

import (
	"errors"
	"testing"
	"time"

	"dnsctl/fleet"
)

var replicaTests = map[string]func(*testing.T, *env){
	"replicas say what they do and are forgotten": func(t *testing.T, e *env) {
		r := fleet.Replica{ID: "a1", Host: "h", PID: 7, Version: "v1", Listen: []string{"192.0.2.1:53", "[2001:db8::1]:53"}, HTTP: "127.0.0.1:8080",
			Holder: "x@h pid 7", State: fleet.ReplicaReady, Position: 3}
		put := func(r fleet.Replica) {
			t.Helper()
			if err := e.PutReplica(t.Context(), r); err != nil {
				t.Fatal(err)
			}
		}
		put(r)
		started := e.clock.Now()
		e.clock.advance(5 * time.Second)
		r.State, r.Reason, r.Position = fleet.ReplicaNotReady, "no database", 9
		put(r)
		put(fleet.Replica{ID: "b2", State: fleet.ReplicaReady})
		all, now, err := e.Replicas(t.Context())
		if err != nil || len(all) != 2 {
			t.Fatalf("%+v, %v", all, err)
		}
		got := all[0]
		if got.ID != "a1" || got.State != fleet.ReplicaNotReady || got.Reason != "no database" || got.Position != 9 || got.PID != 7 || len(got.Listen) != 2 ||
			!near(got.Started, started) || !near(now, got.Seen) || got.Holder != r.Holder || got.HTTP != r.HTTP {
			t.Fatalf("%+v", got)
		}
		e.clock.advance(time.Minute)
		put(fleet.Replica{ID: "b2", State: fleet.ReplicaReady})
		if n, err := e.DropReplicas(t.Context(), 30*time.Second); err != nil || n != 1 {
			t.Fatalf("forgotten: %d, %v", n, err)
		}
		if err := e.DropReplica(t.Context(), "b2"); err != nil {
			t.Fatal(err)
		}
		if all, _, err := e.Replicas(t.Context()); err != nil || len(all) != 0 {
			t.Fatalf("%+v, %v", all, err)
		}
	},
	"a server's health is what its leader says": func(t *testing.T, e *env) {
		v := e.server("ns1")
		l, _, err := e.Lease(t.Context(), "leader", "a", time.Minute)
		if err != nil || !near(l.Taken, e.clock.Now()) {
			t.Fatalf("%+v, %v", l, err)
		}
		at := e.clock.Now().UTC().Truncate(time.Millisecond)
		h := fleet.Health{Server: v.ID, Since: at, Marker: 4, Looked: &at, Proven: &at}
		if err := e.SetHealth(t.Context(), h, l); err != nil {
			t.Fatal(err)
		}
		// Times that are not known leave what was.
		if err := e.SetHealth(t.Context(), fleet.Health{Server: v.ID, Blocked: "unreachable", Reason: "refused", Told: true, Since: at, Marker: 4}, l); err != nil {
			t.Fatal(err)
		}
		all, err := e.Health(t.Context())
		got := all[v.ID]
		if err != nil || got.Blocked != "unreachable" || got.Reason != "refused" || !got.Told || !got.Since.Equal(at) || got.Marker != 4 || !got.Looked.Equal(at) || !got.Proven.Equal(at) {
			t.Fatalf("%+v, %v", got, err)
		}
		if err := e.SetHealth(t.Context(), fleet.Health{Server: 99}, l); err != nil {
			t.Errorf("a server that is gone: %v", err)
		}
		e.clock.advance(2 * time.Minute)
		next, _, err := e.Lease(t.Context(), "leader", "b", time.Minute)
		if err != nil || !next.Taken.After(l.Taken) {
			t.Fatalf("%+v, %v", next, err)
		}
		if err := e.SetHealth(t.Context(), h, l); !errors.Is(err, fleet.ErrLeaseLost) {
			t.Errorf("of an earlier leader: %v", err)
		}
		if err := e.RemoveServer(t.Context(), "ns1", by("server remove")); err != nil {
			t.Fatal(err)
		}
		if all, err := e.Health(t.Context()); err != nil || len(all) != 0 {
			t.Errorf("%+v, %v", all, err)
		}
	},
}

// near says whether two times of the test's clock, which moves on whenever it is
// read, are one moment.
func near(a, b time.Time) bool { return a.Sub(b).Abs() < time.Second }
