package hostile_test

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"dnsctl/testbed"
)

// killing is a command that is killed at each thing that it says on the control
// channel, and run again.
type killing struct {
	name  string
	holds string // what, in words
	least int    // so many things it says at least; 0: it is killed once only
	// try kills the command at the n-th of them, sees to it that nothing is lost, and
	// runs it again. It says whether the command was killed, or had ended before.
	try func(g *guarded, n int) bool
}

var killings = []killing{
	{"kill -9 at each step of sync", "nothing goes without a copy; the next run does the rest", 5, killedSync},
	{"kill -9 at each step of a restore", "nothing half-done is taken for what it is not; the next run does the rest", 4, killedRestore},
	{"kill -9 at each step of an adoption", "the content is never lost; the next run does the rest", 5, killedAdoption},
	{"kill -9 at each step of a bootstrap", "the next run does the rest", 5, killedBootstrap},
	{"kill -9 of the leader at a deletion", "the next leader does the rest", 0, killedLeader},
}

// everyStep names the variable that has each command killed at each of its steps;
// without it every sixth is tried, others on each type.
const everyStep = "DNSCTL_TEST_EVERY_STEP"

// TestKilledAnywhere kills each command on each type of nameserver.
func TestKilledAnywhere(t *testing.T) {
	t.Parallel()
	for _, kill := range killings {
		t.Run(kill.name, func(t *testing.T) {
			t.Parallel()
			onAllKinds(t, func(t *testing.T, k kind) {
				g := newKilled(t, k)
				first, step := 1, 1
				if os.Getenv(everyStep) == "" {
					first, step = 1+slices.IndexFunc(kinds, func(o kind) bool { return o.name == k.name }), 6
				}
				if kill.least == 0 {
					first = 1
				}
				for n, killed := first, true; killed && (kill.least > 0 || n == 1); n += step {
					if !t.Run(fmt.Sprintf("at %d", n), func(t *testing.T) {
						defer func(outer *testing.T) { g.T = outer }(g.T)
						g.T = t
						killed = kill.try(g, n)
					}) {
						return
					}
					if !killed && n <= kill.least {
						t.Errorf("it says only %d things", n-1)
					}
				}
				guardMatrix.set(kill.name, k, "0 when run again")
			})
		})
	}
}

// newKilled is a fleet of one nameserver, on SQLite.
func newKilled(t *testing.T, k kind) *guarded {
	t.Helper()
	addr := testbed.FreeAddr(t)
	g := &guarded{addr: addr, rig: newRig(t, "", addr)}
	for _, z := range []string{"a.example", "b.example", "c.example"} {
		g.ok("zone", "create", z)
	}
	g.m = g.serve(addr)
	g.ns1 = g.secondary(k, "ns1", "main")
	g.ns1.add("main")
	g.ok("bootstrap", "ns1", "--wait")
	return g
}

// killedAt runs a command that is killed at the n-th thing that it says to the
// nameserver, which still gets it; false when it ended well before.
func (s *secondary) killedAt(n int, args ...string) bool {
	s.Helper()
	var running atomic.Pointer[daemon]
	var times atomic.Int32
	watch := func(string) {
		if int(times.Add(1)) != n {
			return
		}
		for running.Load() == nil { // it is just being started
			runtime.Gosched()
		}
		running.Load().kill()
	}
	s.proxy.watch.Store(&watch)
	d := s.rig.start(args...)
	running.Store(d)
	res := d.wait()
	s.proxy.watch.Store(nil)
	s.expireLocks()
	if res.code > 0 {
		s.Fatalf("%v was not killed at %d: %v", args, n, res)
	}
	return res.code != 0
}

// again runs a command that must succeed now. On a machine that is busy enough a run
// loses its lock, says so and ends; then it is run once more.
func (r *rig) again(args ...string) {
	r.Helper()
	testbed.EventuallyNil(r, 2*patience, func() error {
		res := r.run(args...)
		if res.code == 0 {
			return nil
		}
		if !strings.Contains(res.stdout+res.stderr, "renew lease") {
			r.Fatalf("dnsctl %s: %v", strings.Join(args, " "), res)
		}
		return fmt.Errorf("%v", res)
	})
}

func killedSync(g *guarded, n int) bool {
	zones := []string{fmt.Sprintf("one%d.example", n), fmt.Sprintf("two%d.example", n)}
	for _, z := range zones {
		g.ns1.foreign(z)
	}
	killed := g.ns1.killedAt(n, "sync", "--yes", "--max-delete", "2")
	left := 0
	for _, z := range zones {
		switch {
		case g.ns1.isForeign(z):
			left++
		case !g.copy(z):
			g.Errorf("%s is gone without a copy", z)
		}
	}
	g.again("sync", "--yes", "--max-delete", fmt.Sprint(left))
	for _, z := range zones {
		if g.ns1.answers(z) || !g.copy(z) {
			g.Errorf("%s: answered %v, whole copy %v", z, g.ns1.answers(z), g.copy(z))
		}
	}
	g.ns1.has("a.example")
	g.want(0, nil, "audit")
	return killed
}

func killedRestore(g *guarded, n int) bool {
	zone := fmt.Sprintf("rogue%d.example", n)
	g.ns1.foreign(zone)
	g.again("sync", "--yes", "--max-delete", "1")
	copies := g.copies()
	i := slices.IndexFunc(copies, func(r copyRow) bool { return r.Zone == zone+"." })
	if i < 0 {
		g.Fatalf("no copy: %v", copies)
	}
	id := fmt.Sprint(copies[i].ID)
	killed := g.ns1.killedAt(n, "quarantine", "restore", id)
	g.again("sync", "--yes") // takes nothing half-done for what it is not
	g.again("quarantine", "restore", id)
	g.again("sync", "--yes")
	g.want(0, nil, "audit")
	if !g.ns1.isForeign(zone) {
		g.Error("it does not come back")
	}
	if out := g.ok("zone", "list", "-o", "name"); out != "a.example.\nb.example.\nc.example.\n" {
		g.Errorf("the database has %q", out)
	}
	return killed
}

func killedAdoption(g *guarded, n int) bool {
	zone := fmt.Sprintf("old%d.example", n)
	g.ns1.foreign(zone)
	killed := g.ns1.killedAt(n, "zone", "adopt", "ns1", zone)
	if !g.ns1.answers(zone) && !g.copy(zone) { // some types convert it in place
		g.Error("it is gone without a copy")
	}
	g.again("zone", "adopt", "ns1", zone)
	testbed.Eventually(g, patience, func() bool { return g.ns1.isForeign(zone) })
	g.want(0, []string{`(?m)^www\.` + zone + `\.\t\d+\tA\t203\.0\.113\.66$`}, "record", "list", zone)
	g.want(0, nil, "audit")
	if !g.copy(zone) {
		g.Errorf("it has no whole copy: %v", g.copies())
	}
	return killed
}

func killedBootstrap(g *guarded, n int) bool {
	s := g.secondary(g.ns1.kind, fmt.Sprintf("new%d", n), "main")
	s.add("main")
	killed := s.killedAt(n, "bootstrap", s.name, "--wait")
	again := []string{"bootstrap", s.name, "--wait"}
	if n%2 == 0 {
		again = append(again, "--resume")
	}
	g.again(again...)
	s.has("a.example", "b.example", "c.example")
	g.want(0, nil, "audit", s.name)
	g.ok("server", "remove", s.name, "--leave-zones", "--yes")
	return killed
}

// killedLeader kills mdns while it removes a zone that was deleted from the
// database.
func killedLeader(g *guarded, _ int) bool {
	watch := func(said string) {
		if strings.Contains(said, g.ns1.kind.deletes) {
			g.m.kill()
		}
	}
	g.ns1.proxy.watch.Store(&watch)
	g.ok("zone", "delete", "b.example", "c.example")
	testbed.Eventually(g, patience, g.m.ended)
	g.ns1.proxy.watch.Store(nil)
	g.expireLocks()
	g.exec(`UPDATE tasks SET lease_until = 1`, "")
	g.ok("zone", "create", "e.example")
	g.m = g.serve(g.addr)
	testbed.Eventually(g, 2*patience, func() bool {
		return !g.ns1.answers("b.example") && !g.ns1.answers("c.example") && g.ns1.answers("e.example") && g.ok("task", "list", "--no-headers") == ""
	})
	g.ns1.has("a.example")
	g.want(0, nil, "audit")
	return true
}
