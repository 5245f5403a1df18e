package hostile_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"dnsctl/testbed"
)

// killWhen kills a running command at the n-th time that it says this on the
// control channel. The nameserver still gets what was said.
func killWhen(p *proxy, d *atomic.Pointer[daemon], said string, n int) {
	var times atomic.Int32
	f := func(text string) {
		if !strings.Contains(text, said) || int(times.Add(1)) != n {
			return
		}
		for d.Load() == nil { // it is just being started
			runtime.Gosched()
		}
		d.Load().kill()
	}
	p.watch.Store(&f)
}

// expireLocks saves the test the seconds after which the lock of a killed run is
// free.
func (r *rig) expireLocks() {
	r.Helper()
	execSQL(r, "sqlite", filepath.Join(r.dir, "dnsctl.db"), `UPDATE leases SET expires_at = 1 WHERE name LIKE 'server:%'`)
}

type copyRow struct {
	ID      int    `json:"id"`
	Zone    string `json:"zone"`
	Records int    `json:"records"`
}

func (r *rig) copies() []copyRow {
	r.Helper()
	var out []copyRow
	if err := json.Unmarshal([]byte(r.ok("quarantine", "list", "-o", "json")), &out); err != nil {
		r.Fatal(err)
	}
	return out
}

// TestASyncKilledAnywhereConvergesWhenRunAgain kills it before and after each of
// its commands about a foreign zone. Whatever is gone from the nameserver has
// its copy, and the next run does the rest.
func TestASyncKilledAnywhereConvergesWhenRunAgain(t *testing.T) {
	t.Parallel()
	for i, at := range []struct {
		said string
		n    int
	}{
		{`zonestatus "rogue2.example"`, 1}, {`delzone `, 1}, {`zonestatus "rogue1.example"`, 2}, {`zonestatus "rogue1.example"`, 3}, {`delzone `, 3},
	} {
		t.Run(fmt.Sprintf("%d %s", i, at.said), func(t *testing.T) {
			t.Parallel()
			c := newControlled(t, "a.example")
			foreign := []string{"rogue1.example", "rogue2.example", "rogue3.example"}
			for _, z := range foreign {
				c.foreign(z)
			}
			c.ok("server", "accept", "ns1", "--yes")
			var running atomic.Pointer[daemon]
			killWhen(c.control, &running, at.said, at.n)
			d := c.start("sync", "--yes")
			running.Store(d)
			if res := d.wait(); res.code != -1 {
				t.Fatalf("it was not killed: %v", res)
			}
			c.control.watch.Store(nil)
			if i > 0 {
				c.expireLocks()
			}
			var copied []string
			for _, row := range c.copies() {
				copied = append(copied, row.Zone)
			}
			for _, z := range foreign {
				if !c.answers(z) && !slices.Contains(copied, z+".") {
					t.Errorf("%s is gone without a copy", z)
				}
			}
			c.want(0, nil, "sync", "--yes")
			for _, z := range foreign {
				if c.answers(z) {
					t.Errorf("%s is still there after the second run", z)
				}
				if !slices.ContainsFunc(c.copies(), func(r copyRow) bool { return r.Zone == z+"." && r.Records == 3 }) {
					t.Errorf("%s has no whole copy: %v", z, c.copies())
				}
			}
			if !c.answers("a.example") {
				t.Error("a zone of ours is gone")
			}
			c.want(0, nil, "audit")
			id := fmt.Sprint(c.copies()[0].ID)
			c.ok("quarantine", "restore", id)
			if z := strings.TrimSuffix(c.copies()[0].Zone, "."); !c.answers(z) {
				t.Errorf("the copy of %s does not come back", z)
			}
		})
	}
}

// TestABootstrapKilledAnywhereCompletesWhenRunAgain kills it at the marker and
// between two zones.
func TestABootstrapKilledAnywhereCompletesWhenRunAgain(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2, 4} {
		t.Run(fmt.Sprintf("at add %d", n), func(t *testing.T) {
			t.Parallel()
			c := newControlled(t)
			c.ok("server", "add", "ns2", "--type", "bind", "--address", c.secondNamed(), "--control", "rndc://"+c.control.addr,
				"--stats", "http://"+c.stats.addr, "--control-key-file", c.named.KeyFile)
			zones := []string{"a.example", "b.example", "c.example", "d.example"}
			for _, z := range zones {
				c.ok("zone", "create", z)
			}
			var running atomic.Pointer[daemon]
			killWhen(c.control, &running, "addzone ", n)
			d := c.start("bootstrap", "ns2", "--wait")
			running.Store(d)
			if res := d.wait(); res.code != -1 {
				t.Fatalf("it was not killed: %v", res)
			}
			c.control.watch.Store(nil)
			c.expireLocks()
			c.ok("bootstrap", "ns2", "--wait")
			for _, z := range zones {
				if !c.answers(z) {
					t.Errorf("%s does not answer", z)
				}
			}
			c.want(0, nil, "audit", "ns2")
		})
	}
}

// secondNamed replaces the rig's nameserver by a fresh one behind the same
// proxies, and returns its address.
func (c *controlled) secondNamed() string {
	c.Helper()
	c.named = testbed.StartNamed(c, testbed.NamedOptions{AllowNewZones: true, Config: c.ok("tsig", "show", "main", "--for", "bind", "--show-secret")})
	stats := strings.TrimPrefix(c.named.StatsURL, "http://")
	c.control.target.Store(&c.named.ControlAddr)
	c.stats.target.Store(&stats)
	return c.named.Addr
}

// TestAnImportThatIsKilledLeavesNothing kills one while it writes its rows
// ahead; mdns runs beside it.
func TestAnImportThatIsKilledLeavesNothing(t *testing.T) {
	t.Parallel()
	addr := testbed.FreeAddr(t)
	r := newRig(t, "", addr)
	r.ok("zone", "create", "small.example")
	m := r.serve(addr)
	var text strings.Builder
	text.WriteString("$TTL 300\n@ SOA ns1.example.net. h.example.net. 1 2 3 4 5\n@ NS ns1.example.net.\n")
	for i := range 100000 {
		fmt.Fprintf(&text, "host%d A 192.0.2.1\n", i)
	}
	r.write("large.example.zone", text.String())
	staged := func() int {
		var n int
		querySQL(t, filepath.Join(r.dir, "dnsctl.db"), `SELECT count(*) FROM contents WHERE state <> 'live'`, &n)
		return n
	}
	d := r.start("zone", "import", "large.example.zone")
	testbed.Eventually(t, patience, func() bool { return staged() > 0 || d.ended() })
	d.kill()
	if staged() == 0 {
		t.Fatal("it was too fast for the test")
	}
	if out := r.ok("zone", "list", "-o", "name"); out != "small.example.\n" {
		t.Errorf("zone list after the kill: %q", out)
	}
	if !strings.Contains(r.dig(m.addr, "-k", r.key(), "small.example", "AXFR"), "XFR size") {
		t.Error("mdns does not serve")
	}
	r.ok("record", "set", "small.example", "www", "A", "192.0.2.1")
	r.want(0, []string{`large\.example\.\tcreated\t1\t100002\t`}, "zone", "import", "large.example.zone")
	testbed.Eventually(t, patience, func() bool {
		return strings.Contains(r.dig(m.addr, "-k", r.key(), "host99999.large.example", "A"), "192.0.2.1")
	})
	// What the killed one left goes when its time is over.
	execSQL(t, "sqlite", filepath.Join(r.dir, "dnsctl.db"), `UPDATE contents SET expires_at = 1 WHERE state = 'staged'`)
	r.ok("zone", "import", "large.example.zone")
	m.stop()
	r.serve(addr) // a leader sweeps when it begins
	testbed.Eventually(t, patience, func() bool { return staged() == 0 })
}

// TestMDNSThatIsKilledServesTheSameWhenStartedAgain changes zones meanwhile.
func TestMDNSThatIsKilledServesTheSameWhenStartedAgain(t *testing.T) {
	t.Parallel()
	addr := testbed.FreeAddr(t)
	r := newRig(t, "", addr)
	r.ok("zone", "create", "a.example")
	r.ok("zone", "create", "b.example")
	key := r.key()
	axfr := func(m *mdns, z string) []string {
		var out []string
		for line := range strings.Lines(r.dig(m.addr, "-k", key, z, "AXFR")) {
			if f := strings.Fields(line); len(f) > 4 && f[2] == "IN" {
				out = append(out, strings.Join(f, " "))
			}
		}
		return out
	}
	r.ok("record", "set", "b.example", "many", "A", "192.0.2.10", "192.0.2.11", "192.0.2.12", "192.0.2.13", "192.0.2.14", "192.0.2.15")
	m := r.serve(addr)
	before := axfr(m, "a.example")
	m.kill()
	r.ok("record", "set", "b.example", "www", "A", "192.0.2.1")
	m = r.serve(addr)
	if after := axfr(m, "a.example"); !slices.Equal(before, after) || len(after) < 3 {
		t.Errorf("before the kill %q, after it %q", before, after)
	}
	if b := axfr(m, "b.example"); !slices.ContainsFunc(b, func(l string) bool { return strings.Contains(l, "192.0.2.1") }) {
		t.Errorf("a change made meanwhile is not served: %q", b)
	}
	if out := r.dig(m.addr, "-k", key, "b.example", "IXFR=2"); !strings.Contains(out, "XFR size: 5 records") {
		t.Errorf("history is lost: %s", out)
	}
}

// TestTwoSyncsAtOnceDeleteOnce runs several against one server.
func TestTwoSyncsAtOnceDeleteOnce(t *testing.T) {
	t.Parallel()
	c := newControlled(t, "a.example")
	var foreign []string
	for i := range 8 {
		foreign = append(foreign, fmt.Sprintf("rogue%d.example", i))
		c.foreign(foreign[i])
	}
	c.ok("server", "accept", "ns1", "--yes")
	var deletes atomic.Int32
	watch := func(said string) {
		if strings.Contains(said, "delzone ") {
			deletes.Add(1)
		}
	}
	c.control.watch.Store(&watch)
	var wg sync.WaitGroup
	results := make([]result, 3)
	for i := range results {
		cmd := c.command("sync", "--yes")
		wg.Go(func() { results[i] = runIt(c, cmd) })
	}
	wg.Wait()
	done := 0
	for _, r := range results {
		switch r.code {
		case 0:
			done++
		case 11:
			r.check(t, 11, []string{`held by another dnsctl \(.* pid \d+`, `^dnsctl: hint: `})
		default:
			t.Errorf("a sync ends with %v", r)
		}
	}
	if done == 0 || int(deletes.Load()) != len(foreign) || len(c.copies()) != len(foreign) {
		t.Errorf("%d syncs done, %d deletions and %d copies of %d zones", done, deletes.Load(), len(c.copies()), len(foreign))
	}
	for _, z := range foreign {
		if c.answers(z) {
			t.Errorf("%s is still there", z)
		}
	}
	c.want(0, nil, "audit")
}

// TestARestoreKilledAnywhereCompletesWhenRunAgain kills it at each of its steps:
// the zone is added, and then replaced by what it was.
func TestARestoreKilledAnywhereCompletesWhenRunAgain(t *testing.T) {
	t.Parallel()
	for i, at := range []struct {
		said string
		n    int
	}{{`zonestatus "rogue.example"`, 1}, {`addzone "rogue.example"`, 1}, {`delzone "rogue.example"`, 1}, {`addzone "rogue.example"`, 2}} {
		t.Run(fmt.Sprintf("%d %s", i, at.said), func(t *testing.T) {
			t.Parallel()
			c := newControlled(t, "a.example")
			c.foreign("rogue.example")
			c.ok("server", "accept", "ns1", "--yes")
			c.ok("sync", "--yes")
			id := fmt.Sprint(c.copies()[0].ID)
			var running atomic.Pointer[daemon]
			killWhen(c.control, &running, at.said, at.n)
			d := c.start("quarantine", "restore", id)
			running.Store(d)
			if res := d.wait(); res.code != -1 {
				t.Fatalf("it was not killed: %v", res)
			}
			c.control.watch.Store(nil)
			c.expireLocks()
			c.want(0, nil, "sync", "--yes") // takes nothing half-done for what it is not
			c.want(0, nil, "quarantine", "restore", id)
			c.want(0, nil, "sync", "--yes")
			c.want(0, nil, "audit")
			if out := c.dig(c.named.Addr, "+norecurse", "+short", "www.rogue.example"); out != "203.0.113.66\n" {
				t.Errorf("it does not come back: %q", out)
			}
			if out := c.ok("zone", "list", "-o", "name"); out != "a.example.\n" {
				t.Errorf("the database has %q", out)
			}
		})
	}
}

// TestALeaderKilledAtADeletionIsFollowedByOneThatCompletesIt kills mdns while it
// removes a zone that was deleted from the database.
func TestALeaderKilledAtADeletionIsFollowedByOneThatCompletesIt(t *testing.T) {
	t.Parallel()
	c := newControlled(t, "a.example", "b.example", "c.example")
	var running atomic.Pointer[daemon]
	running.Store(c.m.daemon)
	killWhen(c.control, &running, "delzone ", 1)
	c.ok("zone", "delete", "a.example", "b.example")
	testbed.Eventually(t, patience, c.m.ended)
	c.control.watch.Store(nil)
	c.expireLocks()
	execSQL(t, "sqlite", filepath.Join(c.dir, "dnsctl.db"), `UPDATE tasks SET lease_until = 1`)
	c.ok("zone", "create", "d.example")
	c.m = c.serve(c.m.addr)
	testbed.Eventually(t, 2*patience, func() bool {
		return !c.answers("a.example") && !c.answers("b.example") && c.answers("d.example") && c.ok("task", "list", "--no-headers") == ""
	})
	if !c.answers("c.example") {
		t.Error("another zone is gone")
	}
	c.want(0, nil, "audit")
}

// TestAnAdoptionKilledAnywhereCompletesWhenRunAgain kills it before and after the
// copy, where the zone is off the nameserver, and where it is back. Its content is
// never lost, and the second run, or the leader before it, ends right.
func TestAnAdoptionKilledAnywhereCompletesWhenRunAgain(t *testing.T) {
	t.Parallel()
	for i, at := range []struct {
		said string
		n    int
	}{
		{`zonestatus "old.example"`, 1}, {`zonestatus "old.example"`, 2}, {`zonestatus "old.example"`, 3}, {`delzone "old.example"`, 1},
		{`addzone "old.example"`, 1}, {`showzone "old.example"`, 4},
	} {
		t.Run(fmt.Sprintf("%d %s", i, at.said), func(t *testing.T) {
			t.Parallel()
			c := newControlled(t, "a.example")
			c.foreign("old.example")
			var running atomic.Pointer[daemon]
			killWhen(c.control, &running, at.said, at.n)
			d := c.start("zone", "adopt", "ns1", "old.example")
			running.Store(d)
			if res := d.wait(); res.code != -1 {
				t.Fatalf("it was not killed: %v", res)
			}
			c.control.watch.Store(nil)
			kept := slices.ContainsFunc(c.copies(), func(r copyRow) bool { return r.Zone == "old.example." && r.Records == 3 })
			if !c.answers("old.example") && !kept {
				t.Error("it is gone without a copy")
			}
			c.expireLocks()
			c.want(0, nil, "zone", "adopt", "ns1", "old.example")
			if out := c.dig(c.named.Addr, "+norecurse", "+short", "www.old.example", "A"); !strings.Contains(out, "203.0.113.66") {
				t.Errorf("it answers %q", out)
			}
			c.want(0, []string{`(?m)^www\.old\.example\.\t300\tA\t203\.0\.113\.66$`}, "record", "list", "old.example")
			c.want(0, nil, "audit")
			if !slices.ContainsFunc(c.copies(), func(r copyRow) bool { return r.Zone == "old.example." && r.Records == 3 }) {
				t.Errorf("it has no whole copy: %v", c.copies())
			}
		})
	}
}
