package hostile_test

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"dnsctl/testbed"
)

// killedAt runs a command that is killed at the n-th call of the API, which that
// still gets; false when it ended well before.
func (c *httpControlled) killedAt(n int, args ...string) bool {
	c.Helper()
	var running atomic.Pointer[daemon]
	killWhen(c.proxy, &running, " HTTP/1.1\r\n", n)
	d := c.start(args...)
	running.Store(d)
	res := d.wait()
	c.proxy.watch.Store(nil)
	c.expireLocks()
	if res.code > 0 {
		c.Fatalf("%v was not killed at call %d: %v", args, n, res)
	}
	return res.code != 0
}

// eachCall tries a command that is killed at each of its calls; every fourth when
// tests are to be short. try says whether it was killed.
func eachCall(t *testing.T, least int, try func(t *testing.T, n int) bool) {
	t.Helper()
	step := 1
	if testing.Short() {
		step = 4
	}
	for n := 1; ; n += step {
		killed := false
		if !t.Run(fmt.Sprintf("call %d", n), func(t *testing.T) { killed = try(t, n) }) {
			return
		}
		if !killed {
			if n <= least {
				t.Errorf("it makes only %d calls", n-1)
			}
			return
		}
	}
}

// of is the rig for a subtest.
func (c *httpControlled) of(t *testing.T) *httpControlled {
	r, s := *c.rig, *c
	r.T, s.rig = t, &r
	return &s
}

func (c *httpControlled) whole(name string) bool {
	return slices.ContainsFunc(c.copies(), func(r copyRow) bool { return r.Zone == name+"." && r.Records == 3 })
}

func TestASyncOfPowerDNSKilledAtEachCallConvergesWhenRunAgain(t *testing.T) {
	t.Parallel()
	all := newHTTPControlled(t, "a.example")
	all.ok("server", "accept", "ns1", "--yes")
	eachCall(t, 8, func(t *testing.T, n int) bool {
		c := all.of(t)
		foreign := []string{fmt.Sprintf("one%d.example", n), fmt.Sprintf("two%d.example", n)}
		for _, z := range foreign {
			c.foreign(z)
		}
		killed := c.killedAt(n, "sync", "--yes", "--max-delete", "2")
		for _, z := range foreign {
			if !c.answers(z) && !c.whole(z) {
				t.Errorf("%s is gone without a copy", z)
			}
		}
		left := 0
		for _, z := range foreign {
			if c.answers(z) {
				left++
			}
		}
		c.want(0, nil, "sync", "--yes", "--max-delete", fmt.Sprint(left))
		for _, z := range foreign {
			if c.answers(z) || !c.whole(z) {
				t.Errorf("%s: answered %v, whole copy %v", z, c.answers(z), c.whole(z))
			}
		}
		if !c.answers("a.example") {
			t.Error("a zone of ours is gone")
		}
		c.want(0, nil, "audit")
		return killed
	})
}

func TestABootstrapOfPowerDNSKilledAtEachCallCompletesWhenRunAgain(t *testing.T) {
	t.Parallel()
	zones := []string{"a.example", "b.example", "c.example"}
	all := newHTTPControlled(t, zones...)
	eachCall(t, 8, func(t *testing.T, n int) bool {
		c := all.of(t)
		c.pdns = testbed.StartPowerDNS(t, testbed.PowerDNSOptions{})
		c.proxy = newProxy(t, strings.TrimPrefix(c.pdns.APIURL, "http://"))
		name := fmt.Sprintf("new%d", n)
		c.ok("server", "add", name, "--type", "powerdns", "--address", c.pdns.Addr, "--control", "http://"+c.proxy.addr, "--control-key-file", c.pdns.KeyFile)
		killed := c.killedAt(n, "bootstrap", name, "--wait")
		c.ok("bootstrap", name, "--wait")
		for _, z := range zones {
			if !c.answers(z) {
				t.Errorf("%s does not answer", z)
			}
		}
		c.want(0, nil, "audit", name)
		c.ok("server", "remove", name, "--leave-zones", "--yes")
		return killed
	})
}

func TestAnAdoptionFromPowerDNSKilledAtEachCallCompletesWhenRunAgain(t *testing.T) {
	t.Parallel()
	all := newHTTPControlled(t, "a.example")
	eachCall(t, 8, func(t *testing.T, n int) bool {
		c := all.of(t)
		name := fmt.Sprintf("old%d.example", n)
		c.foreign(name)
		killed := c.killedAt(n, "zone", "adopt", "ns1", name)
		if !c.answers(name) { // it is converted in place
			t.Error("it does not answer")
		}
		c.want(0, nil, "zone", "adopt", "ns1", name)
		if out := c.dig(c.pdns.Addr, "+norecurse", "+short", "www."+name, "A"); out != "203.0.113.66\n" {
			t.Errorf("it answers %q", out)
		}
		c.want(0, []string{`(?m)^www\.` + name + `\.\t60\tA\t203\.0\.113\.66$`}, "record", "list", name)
		c.want(0, nil, "audit")
		if !c.whole(name) {
			t.Errorf("it has no whole copy: %v", c.copies())
		}
		return killed
	})
}

func TestARestoreToPowerDNSKilledAtEachCallCompletesWhenRunAgain(t *testing.T) {
	t.Parallel()
	all := newHTTPControlled(t, "a.example")
	all.ok("server", "accept", "ns1", "--yes")
	eachCall(t, 5, func(t *testing.T, n int) bool {
		c := all.of(t)
		name := fmt.Sprintf("rogue%d.example", n)
		c.foreign(name)
		c.ok("sync", "--yes", "--max-delete", "1")
		copies := c.copies()
		i := slices.IndexFunc(copies, func(r copyRow) bool { return r.Zone == name+"." })
		if i < 0 {
			t.Fatalf("no copy: %v", copies)
		}
		id := fmt.Sprint(copies[i].ID)
		killed := c.killedAt(n, "quarantine", "restore", id)
		c.want(0, nil, "sync", "--yes") // takes nothing half-done for what it is not
		c.want(0, nil, "quarantine", "restore", id)
		c.want(0, nil, "sync", "--yes")
		c.want(0, nil, "audit")
		if out := c.dig(c.pdns.Addr, "+norecurse", "+short", "www."+name, "A"); out != "203.0.113.66\n" {
			t.Errorf("it does not come back: %q", out)
		}
		if out := c.ok("zone", "list", "-o", "name"); out != "a.example.\n" {
			t.Errorf("the database has %q", out)
		}
		return killed
	})
}
