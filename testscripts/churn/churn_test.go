// Package churn_test is a property test of the whole: while zones are created,
// deleted, made again, moved between pools and changed, while a bootstrap and two
// syncs run, and while dnsctl, mdns and the nameservers are killed, no wanted zone
// goes from a nameserver, and when it all stops each nameserver has exactly what
// the database has.
//
// CHURN_SEED repeats a run's choices (not its timing); CHURN_FOR=5m is a long run.
package churn_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/rogpeppe/go-internal/testscript"

	"dnsctl/commands"
	"dnsctl/fleet"
	"dnsctl/testbed"
)

func TestMain(m *testing.M) {
	testscript.Main(runner{m}, map[string]func(){
		"dnsctl": func() { os.Exit(commands.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Environ())) },
	})
}

// runner ends the servers that the tests shared.
type runner struct{ m *testing.M }

func (r runner) Run() int {
	// A test has some ten processes, most of which wait for others.
	flag.Parse()
	if err := flag.Set("test.parallel", "2"); err != nil {
		panic(err)
	}
	dir, err := os.MkdirTemp("", "dnsctl-churn-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	if err := testbed.TwoBinaries(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return testbed.Main(r.m)
}

// patience is how long a condition may take to become true.
const patience = 3 * time.Minute

// size of a run.
type size struct {
	churn time.Duration
	names int           // of zones
	rate  int           // changes a second
	every time.Duration // between two looks of the watchers
	mdns  time.Duration // about, between two kills of an mdns
	ns    time.Duration // and of a nameserver
	kills int           // of a hundred commands
}

func sizeOfRun(t *testing.T) size {
	text := os.Getenv("CHURN_FOR")
	if text == "" {
		return size{churn: 10 * time.Second, names: 60, rate: 50, every: 250 * time.Millisecond, mdns: 4 * time.Second, ns: 4 * time.Second, kills: 25}
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("CHURN_FOR: %v", err)
	}
	return size{churn: d, names: 400, rate: 50, every: time.Second, mdns: 15 * time.Second, ns: 15 * time.Second, kills: 20}
}

func seedOfRun(t *testing.T) uint64 {
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("CHURN_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("CHURN_SEED: %v", err)
		}
	}
	t.Logf("CHURN_SEED=%d", seed)
	return seed
}

func TestBINDIsRightWhileItChanges(t *testing.T) {
	t.Parallel()
	churned(t, "bind", "")
}

func TestNSDIsRightWhileItChanges(t *testing.T) {
	t.Parallel()
	churned(t, "nsd", postgres(t))
}

func TestKnotIsRightWhileItChanges(t *testing.T) {
	t.Parallel()
	churned(t, "knot", "")
}

func TestPowerDNSIsRightWhileItChanges(t *testing.T) {
	t.Parallel()
	churned(t, "powerdns", postgres(t))
}

func postgres(t *testing.T) string {
	return testbed.StartPostgres(t, testbed.PostgresOptions{NoFsync: true}).NewDatabase(t)
}

// churned is the test, for two nameservers of a kind: ns1 serves, and ns2 is taken
// into service while everything changes.
func churned(t *testing.T, kind, url string) {
	o, seed := sizeOfRun(t), seedOfRun(t)
	r := newRig(t, url)
	z := newZones(r, o.names)
	rnd := rand.New(rand.NewPCG(seed, 5))
	for _, n := range z.all[:o.names/2] {
		if err := z.create(t.Context(), n, somePool(rnd)); err != nil {
			t.Fatal(err)
		}
	}
	servers := []*nameserver{r.newServer(kind, "ns1"), r.newServer(kind, "ns2")}
	r.ok("bootstrap", "ns1", "--wait")

	ctx, cancel := context.WithTimeout(t.Context(), o.churn)
	defer cancel()
	watching, end := context.WithCancel(t.Context())
	defer end()
	var churning, watchers sync.WaitGroup
	churning.Go(func() { z.churn(ctx, seed, o.rate) })
	churning.Go(func() { z.commands(ctx, seed, o.kills) })
	churning.Go(func() { z.repeat(ctx, seed+1, o, "sync", "--yes") })
	churning.Go(func() { z.repeat(ctx, seed+2, o, "sync", "ns1", "--yes") })
	churning.Go(func() { z.repeat(ctx, seed+3, o, "bootstrap", "ns2", "--wait", "--timeout", "30s") })
	var all []*watcher
	for i, s := range servers {
		w := &watcher{zones: z, s: s, every: o.every}
		all = append(all, w)
		watchers.Go(func() { w.watch(watching, seed+uint64(i)) })
	}
	z.disturb(ctx, rnd, o, servers)
	churning.Wait()
	stopped := time.Now()

	// ns2 may not have come into service yet; then the leader does the rest. A lock that
	// a killed command has left is free after some seconds.
	res := r.run(0, "bootstrap", "ns2", "--wait")
	for res.code == 11 && time.Since(stopped) < patience {
		res = r.run(0, "bootstrap", "ns2", "--wait")
	}
	if res.code != 0 {
		t.Errorf("bootstrap ns2: exit %d\n%s%s", res.code, res.stdout, res.stderr)
	}
	audit := z.agreement(stopped)
	agreed := time.Since(stopped)
	end()
	watchers.Wait()
	if audit.code != 0 {
		t.Errorf("after %s audit ends with %d:\n%s%s", agreed.Round(time.Second), audit.code, audit.stdout, audit.stderr)
	}
	if res := r.run(0, "audit", "--deep"); res.code != 0 {
		t.Errorf("audit --deep: exit %d\n%s%s", res.code, res.stdout, res.stderr)
	}
	for _, s := range servers {
		z.compare(s)
	}
	z.deletions(servers)
	r.faults.mu.Lock()
	for _, f := range r.faults.all {
		t.Error(f)
	}
	r.faults.mu.Unlock()
	z.show(kind, o, all, agreed)
}

// repeat runs a command again and again until ctx ends, and kills a part of its
// runs.
func (z *zones) repeat(ctx context.Context, seed uint64, o size, args ...string) {
	rnd := rand.New(rand.NewPCG(seed, 6))
	for pause(ctx, time.Duration(rnd.IntN(500))*time.Millisecond) {
		res := z.run(mortality(rnd, o.kills, 1500*time.Millisecond), args...)
		z.count(fmt.Sprintf("%s exit %d", args[0], res.code))
		// 1: the server cannot be reached; 4: some steps failed, or one server is down;
		// 5: a server whose marker cannot be read now; 6: zones went meanwhile; 7: late;
		// 11: another dnsctl has the server.
		if !slices.Contains([]int{-1, 0, 1, 4, 5, 6, 7, 11}, res.code) {
			z.faults.add("dnsctl %s: exit %d: %s%s", strings.Join(args, " "), res.code, res.stdout, res.stderr)
		}
		if res.code == 5 && os.Getenv("CHURN_VERBOSE") != "" {
			z.Logf("dnsctl %s: exit %d: %s%s", strings.Join(args, " "), res.code, res.stdout, res.stderr)
		}
	}
}

// disturb kills mdns and nameservers, and starts them again, until ctx ends.
func (z *zones) disturb(ctx context.Context, rnd *rand.Rand, o size, servers []*nameserver) {
	z.Helper()
	about := func(d time.Duration) time.Time { return time.Now().Add(d/2 + time.Duration(rnd.Int64N(int64(d)))) }
	nextMdns, nextNS, nextCount := about(o.mdns), about(o.ns), time.Now()
	for pause(ctx, 50*time.Millisecond) {
		away := time.Duration(rnd.IntN(1000)) * time.Millisecond
		switch now := time.Now(); {
		case now.After(nextMdns):
			m := z.mdns[rnd.IntN(len(z.mdns))]
			m.kill()
			z.count("mdns killed")
			pause(ctx, away)
			m.start()
			nextMdns = about(o.mdns)
		case now.After(nextNS):
			s := servers[rnd.IntN(len(servers))]
			s.starts.Add(1)
			s.process.Kill(z)
			z.count("nameserver killed")
			pause(ctx, away)
			s.process.Restart(z)
			nextNS = about(o.ns)
		case now.After(nextCount):
			for _, m := range z.mdns {
				m.count()
			}
			nextCount = now.Add(time.Second)
		}
	}
}

// agreement waits until audit has nothing to say, and no task is left.
func (z *zones) agreement(since time.Time) (last result) {
	for time.Since(since) < patience {
		last = z.run(0, "audit")
		if last.code == 0 {
			if tasks := z.run(0, "task", "list", "--no-headers"); tasks.code == 0 && tasks.stdout == "" {
				return last
			}
		}
		pause(context.Background(), 200*time.Millisecond)
	}
	if last.code == 0 {
		last = z.run(0, "task", "list")
		last.code = -1
	}
	return last
}

// compare looks at everything that a nameserver has, by itself: the list, and each
// zone by transfer.
func (z *zones) compare(s *nameserver) {
	z.Helper()
	have, err := s.list()
	if err != nil {
		z.Errorf("%s: %v", s.name, err)
		return
	}
	want := map[string]fleet.Zone{}
	err = z.store.Zones(context.Background(), fleet.ZoneFilter{}, func(row fleet.Zone) error {
		if !slices.Contains(row.Pools, poolAway) {
			want[row.Name.Lower().String()] = row
		}
		return nil
	})
	if err != nil {
		z.Error(err)
		return
	}
	for n := range have {
		if _, wanted := want[n]; !wanted {
			z.Errorf("%s still has %s", s.name, n)
		}
	}
	for n, row := range want {
		if !have[n] {
			z.Errorf("%s does not have %s", s.name, n)
			continue
		}
		if err := z.same(s, n, row); err != nil {
			z.Errorf("%s: %s: %v", s.name, n, err)
		}
	}
	z.mu.Lock()
	z.stats["zones compared at the end"] += len(want)
	z.mu.Unlock()
}

// same compares a zone of the nameserver with the database's.
func (z *zones) same(s *nameserver, name string, row fleet.Zone) error {
	rrs, err := s.transfer(name, row.Pools[0]+".")
	if err != nil {
		return err
	}
	if err := ofOneLife(rrs); err != nil {
		return err
	}
	want := z.run(0, "zone", "export", name)
	if want.code != 0 {
		return errors.New(want.stderr)
	}
	var here, there []string
	p := dns.NewZoneParser(strings.NewReader(want.stdout), name, "")
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		here = append(here, text(rr))
	}
	if err := p.Err(); err != nil {
		return err
	}
	for _, rr := range rrs {
		there = append(there, text(rr))
	}
	slices.Sort(here)
	slices.Sort(there)
	if !slices.Equal(here, there) {
		return fmt.Errorf("the database has\n%s\nthe nameserver\n%s", strings.Join(here, "\n"), strings.Join(there, "\n"))
	}
	return nil
}

// text is a record; nameservers give owners their own letter case.
func text(rr dns.RR) string { return strings.ToLower(rr.String()) }

// show prints what happened.
func (z *zones) show(kind string, o size, all []*watcher, agreed time.Duration) {
	z.mu.Lock()
	defer z.mu.Unlock()
	changes := 2 * z.stats["re-create"]
	for _, k := range []string{"create", "delete", "move", "record", "undelete", "command"} {
		changes += z.stats[k]
	}
	out := fmt.Sprintf("%s: %s of churn with up to %d zones, %d changes (%.0f a second); agreement %s after it", kind, o.churn, o.names, changes,
		float64(changes)/o.churn.Seconds(), agreed.Round(10*time.Millisecond))
	for _, k := range slices.Sorted(maps.Keys(z.stats)) {
		out += fmt.Sprintf("\n  %-28s %6d", k, z.stats[k])
	}
	sent := z.transfers()
	for _, k := range slices.Sorted(maps.Keys(sent)) {
		out += fmt.Sprintf("\n  %-28s %6d", "transfers, "+k, sent[k])
	}
	for _, w := range all {
		out += fmt.Sprintf("\n  %s: %d looks at its list, %d questions, %d transfers; %d wanted zones went while they had just become so, %d were not answered for a moment",
			w.s.name, w.looks, w.soas, w.copies, w.raced, w.silent)
	}
	z.Log(out)
}
