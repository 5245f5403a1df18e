package hostile_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"dnsctl/testbed"
)

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
