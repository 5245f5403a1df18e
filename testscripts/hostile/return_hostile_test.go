package hostile_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"dnsctl/testbed"
)

// absence is what a nameserver misses while it is down.
type absence struct {
	zones, changed, created, deleted int
	least                            time.Duration // so long it is down at least
}

// returns names the variable with how long an absence is, as 1h, that
// TestTheReturnOfANameserver measures with 5,000 zones, of which 1,000 change, 100 are
// created and 100 deleted meanwhile. All nameservers are down at the same time, and
// return one after the other.
const returns = "DNSCTL_TEST_RETURN"

// apart is how long one that returns has for itself.
const apart = 3 * time.Minute

// TestTheReturnOfANameserver takes one down, changes zones, and starts it again:
// mdns brings it to agreement without anybody's command.
func TestTheReturnOfANameserver(t *testing.T) {
	t.Parallel()
	a := absence{zones: 60, changed: 20, created: 5, deleted: 5}
	if text := os.Getenv(returns); text != "" {
		least, err := time.ParseDuration(text)
		if err != nil {
			t.Fatalf("%s: %v", returns, err)
		}
		for _, k := range kinds {
			a := absence{zones: 5000, changed: 1000, created: 100, deleted: 100, least: least}
			least += apart
			t.Run(k.name, func(t *testing.T) { t.Parallel(); a.measure(t, k) })
		}
		return
	}
	onAllKinds(t, a.measure)
}

// files writes master files of zones from, to, and returns their folder.
func (r *rig) files(folder string, from, to, serial int) string {
	r.Helper()
	dir := filepath.Join(r.dir, folder)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		r.Fatal(err)
	}
	for i := from; i < to; i++ {
		text := fmt.Sprintf("$TTL 300\n@ SOA ns1.example.net. h.example.net. %d 7200 900 1209600 300\n@ NS ns1.example.net.\nwww A 192.0.2.%d\n", serial, serial)
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("z%d.example.zone", i)), []byte(text), 0o600); err != nil {
			r.Fatal(err)
		}
	}
	return dir
}

func (a absence) measure(t *testing.T, k kind) {
	addr := testbed.FreeAddr(t)
	r := newRig(t, "", addr)
	r.ok("zone", "import", "-q", r.files("first", 0, a.zones, 1))
	m := r.serve(addr)
	s := r.secondary(k, "ns1", "main")
	s.add("main")
	r.ok("bootstrap", "ns1", "--wait")
	tasks := func() (n int) {
		querySQL(t, filepath.Join(r.dir, "dnsctl.db"), `SELECT count(*) FROM tasks`, &n)
		return n
	}
	// The leader proves the new server's zones for itself.
	testbed.EventuallyNil(t, 20*patience, func() error {
		if n := tasks(); n > 0 {
			return fmt.Errorf("%d tasks are left of the bootstrap", n)
		}
		return nil
	})
	s.Stop(t)
	down := time.Now()
	r.ok("zone", "import", "-q", r.files("changed", 0, a.changed, 2))
	r.ok("zone", "import", "-q", r.files("created", a.zones, a.zones+a.created, 1))
	gone := []string{"zone", "delete", "--max-delete", fmt.Sprint(a.deleted)}
	for i := range a.deleted {
		gone = append(gone, fmt.Sprintf("z%d.example", a.zones-1-i))
	}
	r.ok(gone...)
	all := a.changed + a.created + a.deleted
	testbed.EventuallyNil(t, a.least+20*patience, func() error {
		if n := tasks(); n != all || time.Since(down) < a.least {
			return fmt.Errorf("%d tasks of %d", n, all)
		}
		return nil
	})
	s.Restart(t)
	up := time.Now()
	testbed.EventuallyNil(t, 20*patience, func() error {
		if n := tasks(); n > 0 {
			return fmt.Errorf("%d tasks are left", n)
		}
		return nil
	})
	took := time.Since(up)
	r.want(0, []string{fmt.Sprintf(`^ns1: %d ok$`, a.zones+a.created-a.deleted)}, "audit")
	if out := r.dig(s.addr, "+norecurse", "+short", "www.z0.example", "A"); out != "192.0.2.2\n" {
		t.Errorf("a changed zone: %q", out)
	}
	if s.answers(fmt.Sprintf("z%d.example", a.zones-1)) || !s.answers(fmt.Sprintf("z%d.example", a.zones+a.created-1)) {
		t.Error("a deleted zone is there, or a new one is not")
	}
	t.Logf("%s: away for %s; %d changed, %d created, %d deleted of %d zones: in agreement %s after its return", k.title, up.Sub(down).Round(time.Second), a.changed, a.created, a.deleted, a.zones, took.Round(100*time.Millisecond))
	m.stop()
}
