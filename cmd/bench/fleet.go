package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"dnsctl/edit"
	"dnsctl/store"
	"dnsctl/testbed"
	"dnsctl/zone"
)

// changeEvery is the pause between the commits of one sample of waits.
const changeEvery = 100 * time.Millisecond

// measureServed and measureBIND commit from this process, with the packages that
// the command uses, so that the moment of the commit is known to the
// microsecond; mdns and BIND are processes of their own.
func measureServed(ctx context.Context, b *bench, kind string) {
	h := b.loadedHouse(ctx, kind)
	b.latency(ctx, h, "served", "<= 50", map[string]string{"mdns": h.addr})
	t := b.table(kind)
	for i := range 5 * b.repeat {
		u := h.dnsctl(ctx, "record", "set", smallZone(1), "www", "A", addressOf(i))
		t.add("served/dnsctl record set, the process", "ms", "", u.wall*1000)
	}
	t.done()
}

func measureBIND(ctx context.Context, b *bench, kind string) {
	b.bed.inside(func(in *bed) {
		h := b.house(ctx, in, kind)
		for i := range 20 {
			h.dnsctl(ctx, "zone", "import", "-q", zoneFile(b.smallDir, i))
		}
		h.start(ctx)
		n := h.nameserver(ctx, in, "ns1")
		if u, err := execute(ctx, h.env, b.bin, "bootstrap", "ns1", "--wait", "-q"); err != nil {
			in.Fatalf("%v (after %.1f s)", err, u.wall)
		}
		b.latency(ctx, h, "bind", "", map[string]string{"mdns": h.addr, "BIND": n.Addr})
	})
}

// latency commits changes, and looks when each address answers with the new
// serial. One sample is a percentile over all changes.
func (b *bench) latency(ctx context.Context, h *house, name, goal string, addrs map[string]string) {
	s, err := store.Open(ctx, h.url, store.Options{})
	b.bed.must("open the store", err)
	defer s.Close()
	e := &edit.Editor{Store: s, Now: time.Now}
	apex := zone.MustParseName(smallZone(0) + ".")
	t := b.table(h.name)
	watches := map[string]*soaWatch{}
	for at, addr := range addrs {
		w, err := watchSOA(addr, smallZone(0))
		b.bed.must("ask for the serial", err)
		watches[at] = w
	}
	for range b.repeat {
		took := map[string][]float64{}
		next := time.NewTicker(changeEvery)
		for i := range b.changes {
			<-next.C
			begin := time.Now()
			ops := []edit.Op{{Verb: edit.Set, Owner: zone.MustParseName("www." + apex.String()), Type: zone.TypeA, Data: []string{string([]byte{198, 18, byte(i), byte(time.Now().UnixNano())})}}}
			res, err := e.Records(ctx, apex, ops, edit.Meta{Command: "bench"})
			committed := time.Now()
			b.bed.must("edit a record", err)
			took["commit"] = append(took["commit"], committed.Sub(begin).Seconds()*1000)
			var mu sync.Mutex
			var wg sync.WaitGroup
			var failed error
			for at, w := range watches {
				wg.Go(func() {
					seen, err := w.until(ctx, res.Serial, 30*time.Second)
					mu.Lock()
					defer mu.Unlock()
					if err != nil {
						failed = fmt.Errorf("%s: %w", at, err)
					}
					took[at] = append(took[at], max(seen.Sub(committed).Seconds()*1000, 0))
				})
			}
			wg.Wait()
			b.bed.must("wait for a change", failed)
		}
		next.Stop()
		for _, at := range []string{"commit", "mdns", "BIND"} {
			if v := took[at]; v != nil {
				label, bound := name+"/commit to "+at, goal
				if at == "commit" {
					label, bound = name+"/the commit itself", ""
				}
				t.add(label+" p50", "ms", "", percentile(v, 0.5))
				t.add(label+" p99", "ms", bound, percentile(v, 0.99))
			}
		}
	}
	t.done()
}

// nameserver adds a BIND to the database, writes its configuration and runs it.
func (h *house) nameserver(ctx context.Context, t *bed, name string) *testbed.Named {
	dns, control, stats := testbed.FreeAddr(t), testbed.FreeAddr(t), testbed.FreeAddr(t)
	dir := h.newServer(ctx, name, "--type", "bind", "--address", dns, "--control", "rndc://"+control, "--stats", "http://"+stats)
	return testbed.StartNamed(t, testbed.NamedOptions{ConfigFile: filepath.Join(dir, "named.conf"), Addr: dns, ControlAddr: control, StatsAddr: stats})
}

// powerdns adds a PowerDNS on SQLite in the same way.
func (h *house) powerdns(ctx context.Context, t *bed, name string) *testbed.PowerDNS {
	dns, control := testbed.FreeAddr(t), testbed.FreeAddr(t)
	dir := h.newServer(ctx, name, "--type", "powerdns", "--address", dns, "--control", "http://"+control)
	return testbed.StartPowerDNS(t, testbed.PowerDNSOptions{ConfigFile: filepath.Join(dir, "pdns.conf"), Addr: dns, APIAddr: control})
}

// knot adds a Knot DNS in the same way.
func (h *house) knot(ctx context.Context, t *bed, name string) *testbed.Knot {
	dns, socket := testbed.FreeAddr(t), filepath.Join(t.TempDir(), "knot.sock")
	dir := h.newServer(ctx, name, "--type", "knot", "--address", dns, "--control", "unix:"+socket)
	// As its README says.
	out, err := exec.CommandContext(ctx, "sh", "-c", `sed -n /conf-import/p "$0" | sh -e`, filepath.Join(dir, "README")).CombinedOutput()
	t.must("import the configuration of Knot DNS: "+string(out), err)
	return testbed.StartKnot(t, testbed.KnotOptions{Database: filepath.Join(dir, "confdb"), Addr: dns, Socket: socket})
}

// nsd adds an NSD in the same way.
func (h *house) nsd(ctx context.Context, t *bed, name string) *testbed.NSD {
	dns, control := testbed.FreeAddr(t), testbed.FreeAddr(t)
	dir := h.newServer(ctx, name, "--type", "nsd", "--address", dns, "--control", "tls://"+control)
	return testbed.StartNSD(t, testbed.NSDOptions{ConfigFile: filepath.Join(dir, "nsd.conf"), Addr: dns, Control: control})
}

// newServer adds a server, and returns the folder with its configuration.
func (h *house) newServer(ctx context.Context, name string, flags ...string) string {
	h.dnsctl(ctx, append([]string{"server", "add", name, "--new"}, flags...)...)
	dir := filepath.Join(h.dir, name)
	h.dnsctl(ctx, "bootstrap", name, "--out", dir)
	if h.without == nil {
		return dir
	}
	for _, file := range []string{"named.conf", "nsd.conf", "knot.conf", "pdns.conf"} { // it is one of them
		path := filepath.Join(dir, file)
		if text, err := os.ReadFile(path); err == nil {
			h.bed.must("leave settings out", os.WriteFile(path, h.without.ReplaceAll(text, nil), 0o600))
		}
	}
	return dir
}

// measureFleet bootstraps a new BIND and a new PowerDNS with all small zones, once
// because it takes long, and looks at and after both: deeply once, too.
func measureFleet(ctx context.Context, b *bench, kind string) {
	t := b.table(kind)
	used := func(name string, u usage) {
		t.add(name, "s", "", u.wall)
		t.add(name+" cpu", "s", "", u.cpu)
		t.add(name+" memory", "MB", "", u.rss)
	}
	b.bed.inside(func(in *bed) {
		h := b.house(ctx, in, kind)
		h.importSmall(ctx)
		h.start(ctx)
		bind, powerdns := h.nameserver(ctx, in, "bind"), h.powerdns(ctx, in, "powerdns")
		used("fleet/bootstrap --wait, BIND", h.dnsctl(ctx, "bootstrap", "bind", "--wait", "-q"))
		used("fleet/bootstrap --wait, PowerDNS", h.dnsctl(ctx, "bootstrap", "powerdns", "--wait", "-q"))
		for i := range b.repeat {
			for _, servers := range [][]string{{"bind"}, {"powerdns"}, {"bind", "powerdns"}} {
				of := ", " + strings.Join(servers, " and ")
				used("fleet/audit"+of, h.dnsctl(ctx, slices.Concat([]string{"audit", "-q"}, servers)...))
				used("fleet/sync, nothing to do"+of, h.dnsctl(ctx, slices.Concat([]string{"sync", "--yes", "-q"}, servers)...))
				if i == 0 && len(servers) == 1 {
					used("fleet/audit --deep"+of, h.dnsctl(ctx, slices.Concat([]string{"audit", "--deep", "-q"}, servers)...))
				}
			}
		}
		t.add("fleet/memory of named", "MB", "", status(bind.PID(), "VmRSS"))
		t.add("fleet/memory of pdns_server", "MB", "", status(powerdns.PID(), "VmRSS"))
		t.add("fleet/memory of mdns", "MB", "", status(h.mdns.Process.Pid, "VmRSS"))
	})
	t.done()
}
