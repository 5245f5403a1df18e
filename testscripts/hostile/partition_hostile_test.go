package hostile_test

import (
	"fmt"
	"strings"
	"testing"

	"dnsctl/testbed"
)

// named starts one on a host and adds it to the fleet.
func (r *rig) namedOn(h *host, name string) {
	r.Helper()
	keys := r.ok("tsig", "show", "main", "--for", "bind", "--show-secret")
	var n *testbed.Named
	h.start(func(t testbed.T) { n = testbed.StartNamed(t, testbed.NamedOptions{AllowNewZones: true, Config: keys}) })
	r.ok("server", "add", name, "--no-check", "--type", "bind", "--address", h.open(n.Addr), "--control", "rndc://"+h.open(n.ControlAddr),
		"--stats", "http://"+h.open(strings.TrimPrefix(n.StatsURL, "http://")), "--control-key-file", n.KeyFile)
	r.ok("bootstrap", name, "--wait")
}

// TestANameserverThatIsCutOff takes the cable of one of two out while zones come,
// change and go. The other has all of it meanwhile, and what cannot be done is
// said; when the cable is back nobody has to do anything.
func TestANameserverThatIsCutOff(t *testing.T) {
	t.Parallel()
	if !alone(t) {
		return
	}
	near, far := newHost(t, 1), newHost(t, 2)
	// mdns is reached by each on its own cable.
	port := strings.TrimPrefix(testbed.FreeAddr(t), "127.0.0.1")
	r := newRig(t, "", "")
	r.ok("pool", "create", "main", "--primary", near.here+port, "--primary", far.here+port, "--ns", "ns1.example.net", "--email", "h@example.net")
	for _, z := range []string{"stays.example", "goes.example"} {
		r.ok("zone", "create", z)
	}
	m := r.serve(near.here+port, "--listen", far.here+port)
	r.namedOn(near, "near")
	r.namedOn(far, "far")
	r.ok("audit")

	far.unplug()
	r.ok("record", "set", "stays.example", "www", "A", "192.0.2.1")
	r.ok("zone", "create", "comes.example")
	r.ok("zone", "delete", "goes.example")
	testbed.EventuallyNil(t, 2*patience, func() error { return r.agrees("near") })
	for _, args := range [][]string{{"audit", "far"}, {"sync", "far", "--yes"}, {"bootstrap", "far"}} {
		r.want(1, []string{`^far: error: .*cannot be reached`}, args...)
	}
	r.want(4, []string{`^near: 2 ok$`, `^far: error: .*cannot be reached`}, "audit")
	testbed.EventuallyNil(t, 2*patience, func() error {
		tasks := r.ok("task", "list", "--no-headers")
		for _, want := range []string{"far\tstays.example.\tpresent", "far\tcomes.example.\tpresent", "far\tgoes.example.\tabsent"} {
			if !strings.Contains(tasks, want) {
				return fmt.Errorf("no task %q: %s", want, tasks)
			}
		}
		return nil
	})
	testbed.EventuallyNil(t, 2*patience, func() error {
		if res := r.run("mdns", "status"); res.code != 4 || !strings.Contains(res.stdout, "far\tserver\tunreachable") {
			return fmt.Errorf("%v", res)
		}
		return nil
	})

	far.plug()
	testbed.EventuallyNil(t, 3*patience, func() error {
		if tasks := r.ok("task", "list", "--no-headers"); tasks != "" {
			return fmt.Errorf("tasks: %s", tasks)
		}
		return r.agrees("far")
	})
	m.stop()
}

// TestADatabaseThatIsCutOff takes PostgreSQL's cable out under mdns and commands.
func TestADatabaseThatIsCutOff(t *testing.T) {
	t.Parallel()
	if !alone(t) {
		return
	}
	h := newHost(t, 1)
	var pg *testbed.Postgres
	url := ""
	h.start(func(t testbed.T) {
		pg = testbed.StartPostgres(t, testbed.PostgresOptions{Private: true, NoFsync: true})
		url = pg.NewDatabase(t)
	})
	addr := testbed.FreeAddr(t)
	r := newRig(t, strings.Replace(url, pg.Addr, h.open(pg.Addr), 1), addr)
	r.ok("zone", "create", "one.example")
	m := r.serve(addr)
	ns := r.secondary(kinds[0], "ns1", "main")
	ns.add("main")
	r.ok("bootstrap", "ns1", "--wait")
	key := r.key()
	served := func() string { return r.dig(addr, "-k", key, "one.example", "AXFR") }

	h.unplug()
	for _, args := range [][]string{{"zone", "list"}, {"record", "set", "one.example", "a", "A", "192.0.2.1"}, {"audit"}, {"sync", "--yes"}} {
		r.want(1, []string{`^dnsctl: error: .*store postgres://dnsctl@`, `^dnsctl: hint: `}, args...)
	}
	r.want(1, []string{`^dnsctl: error: `}, "zone", "list", "--timeout", "1s")
	testbed.Eventually(t, 2*patience, func() bool { code, _ := m.get("/readyz"); return code == 503 })
	for range 5 {
		if out := served(); !strings.Contains(out, "XFR size") {
			t.Fatalf("what it has is not served: %s", out)
		}
	}
	ns.has("one.example")

	h.plug()
	testbed.EventuallyNil(t, 3*patience, func() error {
		if res := r.run("record", "set", "one.example", "www", "A", "192.0.2.2"); res.code != 0 {
			return fmt.Errorf("%v", res)
		}
		return nil
	})
	testbed.EventuallyNil(t, 3*patience, func() error {
		if out := r.dig(ns.addr, "+norecurse", "+short", "www.one.example", "A"); out != "192.0.2.2\n" {
			return fmt.Errorf("the nameserver answers %q", out)
		}
		return r.agrees("ns1")
	})
	testbed.Eventually(t, 2*patience, func() bool { code, _ := m.get("/readyz"); return code == 200 })
	m.stop()
}
