package hostile_test

import (
	"database/sql"
	"fmt"
	"net"
	"path"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"dnsctl/testbed"
)

// cluster is PostgreSQL with a streaming standby; the rig's store is the primary,
// by way of an address that can be moved to the standby.
type cluster struct {
	*rig
	primary, standby *testbed.Postgres
	db               string
	way              *proxy
}

func newCluster(t *testing.T, mdns ...string) *cluster {
	t.Helper()
	c := &cluster{primary: testbed.StartPostgres(t, testbed.PostgresOptions{Private: true, NoFsync: true})}
	url, _, _ := strings.Cut(c.primary.NewDatabase(t), "?")
	c.db = path.Base(url)
	c.standby = c.primary.Standby(t)
	c.way = newProxy(t, c.primary.Addr)
	c.rig = newRig(t, strings.Replace(c.primary.URL(c.db), c.primary.Addr, c.way.addr, 1), "")
	args := []string{"pool", "create", "main", "--ns", "ns1.example.net", "--email", "h@example.net", "--allow-transfer", "127.0.0.0/8"}
	for _, m := range mdns {
		args = append(args, "--primary", m)
	}
	c.ok(args...)
	return c
}

// cutOff ends streaming: the standby gets nothing of what comes.
func (c *cluster) cutOff(s *testbed.Postgres) {
	c.Helper()
	s.Exec(c, "postgres", "ALTER SYSTEM SET primary_conninfo = ''")
	s.Exec(c, "postgres", "SELECT pg_reload_conf()")
	testbed.Eventually(c, patience, func() bool {
		return query(c, s.URL("postgres"), "SELECT count(*) FROM pg_stat_wal_receiver") == 0
	})
}

// query is the one number that a query gives.
func query(t testing.TB, url, q string) (n int64) {
	t.Helper()
	db, err := sql.Open("postgres", url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRow(q).Scan(&n); err != nil {
		t.Fatalf("%s: %v", q, err)
	}
	return n
}

// number is a metric's value.
func (m *mdns) number(begin string) float64 {
	m.t.Helper()
	n, err := strconv.ParseFloat(m.metric(begin), 64)
	if err != nil {
		m.t.Fatal(err)
	}
	return n
}

// switchboard passes connections on to a target that can be changed; those that
// are open are cut off then.
type switchboard struct {
	*proxy
	mu   sync.Mutex
	open map[net.Conn]bool
}

func newSwitchboard(t *testing.T, target string) *switchboard {
	s := &switchboard{proxy: newProxy(t, target), open: map[net.Conn]bool{}}
	s.behave(func(c net.Conn, target string, _ <-chan struct{}) {
		s.mu.Lock()
		s.open[c] = true
		s.mu.Unlock()
		pass(c, target, func(b []byte) []byte { return b })
	})
	t.Cleanup(func() { s.to(target) })
	return s
}

func (s *switchboard) to(target string) {
	s.target.Store(&target)
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.open {
		c.Close()
	}
	clear(s.open)
}

// TestAReplicaOnAStandbyNeverGoesBack delays the standby, restarts the replica
// while it is behind, points it at an older one, and takes the primary away.
func TestAReplicaOnAStandbyNeverGoesBack(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "127.0.0.1:5300")
	older := c.primary.Standby(t)
	board := newSwitchboard(t, c.standby.Addr)
	from := strings.Replace(c.standby.URL(c.db), c.standby.Addr, board.addr, 1)
	c.ok("zone", "create", "one.example")
	c.ok("zone", "create", "cold.example")
	addr := testbed.FreeAddr(t)
	// The first leads; what the second says of itself is not about NOTIFY.
	onPrimary := c.serve(testbed.FreeAddr(t))
	c.env = append(c.env, "DNSCTL_MDNS_READ_STORE="+from)
	m := c.serve(addr)
	serves := func(m *mdns, serial uint32) {
		t.Helper()
		testbed.EventuallyNil(t, patience, func() error {
			if got := c.serials(m.addr, "one.example")[0]; got != serial {
				return fmt.Errorf("one.example is at %d, not %d", got, serial)
			}
			return nil
		})
	}
	set := func(data string) { t.Helper(); c.ok("record", "set", "one.example", "www", "A", data) }
	serves(m, 1)
	set("192.0.2.2")
	serves(m, 2)
	testbed.Eventually(t, patience, func() bool { return m.number("dnsctl_mdns_standby_lag_entries ") == 0 })
	testbed.Eventually(t, patience, func() bool { // the one that is to be behind has this much
		return query(t, older.URL(c.db), "SELECT pos FROM feed_head") == query(t, c.primary.URL(c.db), "SELECT pos FROM feed_head")
	})
	c.cutOff(older)

	// Delayed, it serves what it has, and says how far it is behind.
	pause := func() { t.Helper(); c.standby.Exec(t, "postgres", "SELECT pg_wal_replay_pause()") }
	resume := func() { t.Helper(); c.standby.Exec(t, "postgres", "SELECT pg_wal_replay_resume()") }
	pause()
	set("192.0.2.3")
	serves(onPrimary, 3)
	testbed.Eventually(t, patience, func() bool {
		return m.number("dnsctl_mdns_standby_lag_entries ") == 1 && m.number("dnsctl_mdns_standby_lag_seconds ") > 1
	})
	if got := c.serials(m.addr, "one.example")[0]; got != 2 {
		t.Errorf("one.example is at %d on the standby that is held at 2", got)
	}
	testbed.Eventually(t, patience, func() bool {
		return regexp.MustCompile(`(?m)^[1-9]\d*$`).MatchString(c.run("mdns", "status", "--columns", "behind", "--no-headers").stdout)
	})
	resume()
	serves(m, 3)
	testbed.Eventually(t, patience, func() bool { return m.number("dnsctl_mdns_standby_lag_entries ") == 0 })

	// Started while the standby is behind, it waits.
	pause()
	set("192.0.2.4")
	serves(onPrimary, 4)
	m.kill()
	waiting := c.start("mdns", "serve", "--listen", addr)
	testbed.Eventually(t, patience, func() bool { return strings.Contains(waiting.errs.String(), "waiting for the standby") })
	if out := c.dig(addr, "one.example", "SOA"); strings.Contains(out, "status:") {
		t.Errorf("it answers while it waits: %s", out)
	}
	resume()
	testbed.Eventually(t, patience, func() bool { return strings.Contains(waiting.out.String(), "ready: serving") })
	waiting.stop()
	m = c.serve(addr)
	serves(m, 4)

	// An older standby in the place of its own changes nothing of what is served.
	transferred(t, m.addr, "one.example.", 0)
	board.to(older.Addr)
	testbed.Eventually(t, patience, func() bool { return m.number("dnsctl_mdns_feed_regressions_total") > 0 })
	if got := c.serials(m.addr, "one.example")[0]; got != 4 {
		t.Errorf("with an older standby one.example is at %d", got)
	}
	if _, n := transferred(t, m.addr, "one.example.", 0); n != 4 {
		t.Errorf("with an older standby the transfer has %d records", n)
	}
	board.to(c.standby.Addr)
	set("192.0.2.5")
	serves(m, 5)

	// Without the primary it serves on, zones that are not in memory too.
	c.primary.Kill(t)
	testbed.Eventually(t, patience, func() bool { return m.metric("dnsctl_mdns_standby_lag_entries ") == "NaN" })
	if _, n := transferred(t, m.addr, "cold.example.", 0); n != 3 {
		t.Errorf("without the primary a zone that has to be read has %d records", n)
	}
	if code, body := m.get("/readyz"); code != 200 {
		t.Errorf("not ready without the primary: %s", body)
	}
	c.primary.Start(t)
	set("192.0.2.6")
	serves(m, 6)
}

// TestStandbysThatAreNoneAreRefused names what is no standby of the store.
func TestStandbysThatAreNoneAreRefused(t *testing.T) {
	t.Parallel()
	pg := testbed.StartPostgres(t, testbed.PostgresOptions{NoFsync: true})
	r := newRig(t, pg.NewDatabase(t), "127.0.0.1:5300")
	other := newRig(t, pg.NewDatabase(t), "127.0.0.1:5300")
	serve := []string{"mdns", "serve", "--listen", "127.0.0.1:1", "--read-store"}
	r.want(10, []string{`^dnsctl: error: --read-store: the database to read from has another history`, `^dnsctl: hint: .*pg_basebackup`}, append(serve, other.url)...)
	r.want(2, []string{`^dnsctl: error: --read-store: a standby needs PostgreSQL`, `^dnsctl: hint: .*postgres://`}, append(serve, "sqlite:x.db")...)
	r.want(10, []string{`^dnsctl: error: --read-store: .*does not exist`, `^dnsctl: hint: `}, append(serve, strings.Replace(r.url, "/test_", "/none_", 1))...)
	lite := newRig(t, "", "127.0.0.1:5300")
	lite.want(2, []string{`a standby needs PostgreSQL`}, append(serve, r.url)...)
}

// TestAPromotedStandbyLosesNothing has all that was committed: what is served goes
// on from it, and nameservers follow.
func TestAPromotedStandbyLosesNothing(t *testing.T) {
	t.Parallel()
	addr, other := testbed.FreeAddr(t), testbed.FreeAddr(t)
	c := newCluster(t, addr, other)
	c.ok("zone", "create", "one.example")
	c.serve(addr)
	c.serve(other, "--read-store", c.standby.URL(c.db))
	n := testbed.StartNamed(t, testbed.NamedOptions{AllowNewZones: true, Config: c.ok("tsig", "show", "main", "--for", "bind", "--show-secret")})
	(&filled{rig: c.rig}).join(c.rig, "ns1", n)
	c.ok("bootstrap", "ns1", "--wait")
	for i := range 5 {
		c.ok("record", "set", "one.example", fmt.Sprintf("w%d", i), "A", "192.0.2.1")
	}
	c.ok("zone", "create", "two.example")
	testbed.Eventually(t, patience, func() bool {
		return query(t, c.standby.URL(c.db), "SELECT pos FROM feed_head") == query(t, c.primary.URL(c.db), "SELECT pos FROM feed_head")
	})
	c.primary.Kill(t)
	c.standby.Promote(t)
	to := c.standby.Addr
	c.way.target.Store(&to)
	c.ok("record", "set", "one.example", "after", "A", "192.0.2.9")
	testbed.EventuallyNil(t, 2*patience, func() error {
		for i, at := range []string{addr, other, n.Addr} {
			got := c.serials(at, "one.example", "two.example")
			if at != n.Addr { // it asks without the key, from an address that may
				continue
			}
			if got[0] != 7 || got[1] != 1 {
				return fmt.Errorf("server %d has one.example at %d and two.example at %d", i, got[0], got[1])
			}
		}
		return nil
	})
	for _, at := range []string{addr, other} {
		if _, records := transferred(t, at, "one.example.", 0); records != 9 {
			t.Errorf("%s sends %d records", at, records)
		}
	}
	c.want(0, nil, "audit", "--deep")
}

// TestAPromotedStandbyThatLacksTheLastCommits shows by the marker. Nothing is
// written to nameservers before db new-epoch has stepped the serials past what
// they serve.
func TestAPromotedStandbyThatLacksTheLastCommits(t *testing.T) {
	t.Parallel()
	addr := testbed.FreeAddr(t)
	c := newCluster(t, addr)
	for _, z := range []string{"a.example", "b.example", "c.example"} {
		c.ok("zone", "create", z)
	}
	f := &filled{rig: c.rig, addr: addr}
	f.m = f.serve(addr)
	f.servers = append(f.servers, f.add("ns1"))
	n := f.servers[0]
	testbed.Eventually(t, patience, func() bool {
		return query(t, c.standby.URL(c.db), "SELECT pos FROM feed_head") == query(t, c.primary.URL(c.db), "SELECT pos FROM feed_head")
	})
	c.cutOff(c.standby)
	f.goOn() // acknowledged and served, and nowhere but on the primary
	for i := range 5 {
		c.ok("record", "set", "a.example", "more", "A", fmt.Sprintf("192.0.2.%d", i+1))
	}
	testbed.Eventually(t, patience, func() bool { return c.serials(n.Addr, "a.example")[0] == 8 })
	f.watch(n, "a.example", "c.example")
	c.primary.Kill(t)
	c.standby.Promote(t)
	before := writes(n)
	to := c.standby.Addr
	c.way.target.Store(&to)

	// mdns, which has served more than the store knows now, serves it on.
	testbed.Eventually(t, patience, func() bool { return f.m.number("dnsctl_mdns_feed_regressions_total") > 0 })
	if got := c.serials(addr, "a.example")[0]; got != 8 {
		t.Errorf("a.example is at %d on mdns after the promotion", got)
	}
	c.want(5, []string{`its marker is at position \d+ of the change feed, this store is at \d+ only: it is an older copy`, `dnsctl db new-epoch`}, "sync", "--yes")
	// What is committed to it is held back, not served under a serial that was served
	// already, and the nameserver is told nothing.
	c.ok("record", "set", "a.example", "fork", "A", "192.0.2.99")
	for i := range 40 {
		c.ok("record", "set", "c.example", "w", "A", fmt.Sprintf("192.0.2.%d", i+1))
	}
	testbed.Eventually(t, patience, func() bool { return c.serials(addr, "a.example")[0] == 0 })
	c.want(5, []string{`under another id: this store is a fork`, `dnsctl db new-epoch`}, "sync", "--yes")
	testbed.Eventually(t, patience, func() bool {
		return strings.Contains(c.run("mdns", "status").stdout, "ns1\tserver\tmarker-wrong\t")
	})
	if after := writes(n); len(after) != len(before) {
		t.Errorf("the nameserver was written to: %q", after[len(before):])
	}

	c.ok("db", "new-epoch")
	c.want(5, []string{"server accept ns1"}, "sync", "--yes")
	testbed.Eventually(t, patience, func() bool { got := c.serials(addr, "a.example")[0]; return got > 8 })
	c.ok("server", "accept", "ns1", "--yes")
	synced := c.run("sync", "--yes") // it withholds the deletion of new.example, which carries our key
	testbed.EventuallyNil(t, 2*patience, func() error {
		if out := c.dig(n.Addr, "+norecurse", "+short", "fork.a.example"); out != "192.0.2.99\n" {
			return fmt.Errorf("ns1 lacks what the promoted one has: %s; sync: %s", out, synced)
		}
		if got := c.serials(n.Addr, "new.example")[0]; got == 0 {
			return fmt.Errorf("new.example is gone, which is nowhere else")
		}
		return nil
	})
}

// TestANameserverThatAskedABehindReplicaIsToldAgain has named ask a replica whose
// standby is held, so that the first NOTIFY finds nothing new there.
func TestANameserverThatAskedABehindReplicaIsToldAgain(t *testing.T) {
	t.Parallel()
	addr := testbed.FreeAddr(t)
	c := newCluster(t, addr)
	c.ok("zone", "create", "one.example")
	leader := c.serve(testbed.FreeAddr(t))
	testbed.Eventually(t, patience, func() bool { return leader.metric("dnsctl_leader ") == "1" })
	replica := c.serve(addr, "--read-store", c.standby.URL(c.db))
	n := testbed.StartNamed(t, testbed.NamedOptions{AllowNewZones: true, Config: c.ok("tsig", "show", "main", "--for", "bind", "--show-secret")})
	(&filled{rig: c.rig}).join(c.rig, "ns1", n)
	c.ok("bootstrap", "ns1", "--wait")
	told := func() int { return strings.Count(n.Log(), "received notify for zone 'one.example'") }
	asked := func() string {
		return replica.metric(`dnsctl_mdns_queries_total{proto="udp",rcode="NOERROR",type="SOA"}`)
	}
	// named asks a moment after it was told: where that is after the standby goes on it
	// learns of the change at once, and all is done again with another change.
	for serial := uint32(1); ; serial++ {
		before, questions := told(), asked()
		c.standby.Exec(t, "postgres", "SELECT pg_wal_replay_pause()")
		c.ok("record", "set", "one.example", "www", "A", fmt.Sprintf("192.0.2.%d", serial))
		testbed.Eventually(t, patience, func() bool { return told() > before && asked() != questions })
		if got := c.serials(n.Addr, "one.example")[0]; got != serial {
			t.Fatalf("ns1 has one.example at %d, which the replica that it asks has not", got)
		}
		c.standby.Exec(t, "postgres", "SELECT pg_wal_replay_resume()")
		testbed.Eventually(t, 2*patience, func() bool { return c.serials(n.Addr, "one.example")[0] == serial+1 })
		if told() >= before+2 {
			return
		}
		if serial == 5 {
			t.Fatal("it was told of each change once, and learned of it some other way")
		}
	}
}

// writes is what was told to a nameserver that changes it, as its log has it.
func writes(n *testbed.Named) []string {
	var out []string
	for line := range strings.Lines(n.Log()) {
		if _, said, found := strings.Cut(line, "received control channel command '"); found {
			switch verb, _, _ := strings.Cut(said, " "); strings.Trim(verb, "'\n") {
			case "zonestatus", "showzone", "tsig-list", "status", "":
				continue
			}
			out = append(out, said)
		}
		if strings.Contains(line, "received notify for zone") {
			out = append(out, line)
		}
	}
	return out
}
