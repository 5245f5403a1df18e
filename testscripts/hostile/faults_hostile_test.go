package hostile_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"dnsctl/testbed"
)

// faulty is a fleet of one nameserver of each type, of which every way goes
// through a relay: from mdns to their DNS, from them to mdns, and to those control
// channels that are no sockets.
type faulty struct {
	*rig
	m       *mdns
	primary *testbed.Relay
	control []*testbed.Relay
	all     []*secondary
}

func newFaulty(t *testing.T) *faulty {
	t.Helper()
	addr := testbed.FreeAddr(t)
	f := &faulty{primary: testbed.StartRelay(t, addr, testbed.RelayOptions{})}
	f.rig = newRig(t, "", f.primary.Addr)
	for _, z := range []string{"stays.example", "goes.example"} {
		f.ok("zone", "create", z)
	}
	f.m = f.serve(addr)
	for _, k := range kinds {
		s := f.secondary(k, k.name, "main")
		if at := *s.proxy.target.Load(); network(at) == "tcp" {
			relay := testbed.StartRelay(t, at, testbed.RelayOptions{})
			s.proxy.target.Store(&relay.Addr)
			f.control = append(f.control, relay)
		}
		f.all = append(f.all, s)
	}
	return f
}

// join adds all, and bootstraps them.
func (f *faulty) join() {
	f.Helper()
	for _, s := range f.all {
		s.add("main")
		f.want(0, nil, "bootstrap", s.name, "--wait")
	}
}

// weather is the same on all ways.
func (f *faulty) weather(w testbed.Weather) {
	for _, r := range append([]*testbed.Relay{f.primary}, f.control...) {
		r.Set(w)
	}
	for _, s := range f.all {
		s.dns.Set(w)
	}
}

// change makes, changes and deletes a zone.
func (f *faulty) change() {
	f.Helper()
	f.ok("record", "set", "stays.example", "www", "A", "192.0.2.1")
	f.ok("zone", "create", "comes.example")
	f.ok("zone", "delete", "goes.example")
}

// agree waits until all that was changed is on each nameserver, without anybody's
// command.
func (f *faulty) agree() {
	f.Helper()
	testbed.EventuallyNil(f, 12*patience, func() error {
		for _, s := range f.all {
			if out := f.dig(s.addr, "+norecurse", "+short", "www.stays.example", "A"); out != "192.0.2.1\n" {
				return fmt.Errorf("%s: a changed zone: %q", s.name, out)
			}
			if !s.answers("comes.example") || s.answers("goes.example") {
				return fmt.Errorf("%s: the new zone is there: %v; the deleted one: %v", s.name, s.answers("comes.example"), s.answers("goes.example"))
			}
		}
		if tasks := f.ok("task", "list", "--no-headers"); tasks != "" {
			return fmt.Errorf("tasks: %s", tasks)
		}
		return nil
	})
}

// TestAThirdOfAllPacketsLost bootstraps, changes and audits in it. What is lost is
// asked for again, or said.
func TestAThirdOfAllPacketsLost(t *testing.T) {
	t.Parallel()
	f := newFaulty(t)
	f.join()
	f.weather(testbed.Weather{Loss: 0.3})
	f.change()
	f.agree()
	// Where an answer is lost three times a zone is unknown, never absent.
	for range 3 {
		res := f.run("audit")
		said := strings.Contains(res.stdout+res.stderr, "no answer in time")
		if res.code != 0 && (!said || strings.Contains(res.stdout, "missing")) {
			t.Errorf("audit: %v", res)
		}
	}
	f.weather(testbed.Weather{})
	f.want(0, nil, "audit")
	f.m.stop()
}

// TestHalfASecondOfLatency adds, bootstraps, changes and audits over it.
func TestHalfASecondOfLatency(t *testing.T) {
	t.Parallel()
	f := newFaulty(t)
	f.weather(testbed.Weather{Delay: 250 * time.Millisecond}) // each way
	f.join()
	f.change()
	f.agree()
	f.want(0, nil, "audit")
	f.m.stop()
}

// TestNameserversThatTakeAndNeverAnswer are two of four, and then the other two:
// those that answer have all that changes meanwhile, and commands end with what is
// the matter.
func TestNameserversThatTakeAndNeverAnswer(t *testing.T) {
	t.Parallel()
	f := newFaulty(t)
	f.join()
	for i, dumb := range [][]*secondary{f.all[:2], f.all[2:]} {
		for _, s := range dumb {
			s.dns.Set(testbed.Weather{Mute: true})
			s.proxy.behave(hangs)
			s.list.behave(hangs)
		}
		zone := fmt.Sprintf("new%d.example", i)
		f.ok("zone", "create", zone)
		for _, s := range f.all {
			if slices.Contains(dumb, s) {
				for _, args := range [][]string{{"audit"}, {"sync", "--yes"}, {"bootstrap"}} {
					f.want(1, []string{`^` + s.name + `: error: .*(deadline|timeout|no answer)`, "!missing"}, append(args, s.name, "--timeout", "2s")...)
				}
				continue
			}
			testbed.Eventually(f, 4*patience, func() bool { return s.answers(zone) })
		}
		for _, s := range dumb {
			s.dns.Set(testbed.Weather{})
			s.proxy.behave(nil)
			s.list.behave(nil)
		}
	}
	f.change()
	f.agree()
	f.want(0, nil, "audit")
	f.m.stop()
}

// TestWaysThatAreSlow let 4,000 octets a second through, each way.
func TestWaysThatAreSlow(t *testing.T) {
	t.Parallel()
	f := newFaulty(t)
	f.join()
	f.weather(testbed.Weather{Rate: 4000})
	f.change()
	f.agree()
	f.want(0, nil, "audit")
	f.m.stop()
}

// TestAClockThatIsOffByAnHour is the nameserver's: every signature is refused by
// the other side (RFC 8945 section 5.2.3), which is said. When it is right again
// nobody has to do anything.
func TestAClockThatIsOffByAnHour(t *testing.T) {
	t.Parallel()
	f := newFaulty(t)
	f.join()
	for _, s := range f.all {
		*s.clockOff = time.Hour
		s.Restart(t)
	}
	f.change()
	for _, s := range f.all {
		testbed.EventuallyNil(f, 2*patience, func() error {
			res := f.run("audit", s.name)
			if res.code == 0 || !strings.Contains(strings.ToLower(res.stdout+res.stderr), "clock") {
				return fmt.Errorf("audit %s: %v", s.name, res)
			}
			return nil
		})
	}
	for _, s := range f.all {
		if f.dig(s.addr, "+norecurse", "+short", "www.stays.example", "A") != "" {
			t.Errorf("%s has taken a signature of another hour", s.name)
		}
		*s.clockOff = 0
		s.Restart(t)
	}
	f.agree()
	f.want(0, nil, "audit")
	f.m.stop()
}
