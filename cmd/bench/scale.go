package main

import (
	"context"
	"fmt"
	"io"
	"slices"

	"dnsctl/edit"
)

// measureScale has four nameservers of four kinds with -fleet-zones tiny zones, all
// out of service, so that the leader does not do what is measured. The fastest way
// to get there: NSD and Knot DNS take the zones by a sync, BIND and PowerDNS are
// given them in files. Then it looks at and after all of them at once, and one by
// one. In the end a thirtieth each of the zones is added, changed, and deleted, half
// of them for good: what the database does not keep must be copied before it goes
// from a nameserver.
func measureScale(ctx context.Context, b *bench, kind string) {
	t := b.table(kind)
	defer t.done() // a run that ends early has what was measured until then
	used := func(name string, u usage) {
		t.add(name, "s", "", u.wall)
		t.add(name+" cpu", "s", "", u.cpu)
		t.add(name+" memory", "MB", "<= 300", u.rss)
	}
	b.bed.inside(func(in *bed) {
		h := b.house(ctx, in, kind)
		h.start(ctx)
		servers := []string{"nsd", "knot", "powerdns", "bind"}
		nsd, knot, powerdns, bind := h.nsd(ctx, in, "nsd"), h.knot(ctx, in, "knot"), h.powerdns(ctx, in, "powerdns"), h.nameserver(ctx, in, "bind")
		for _, s := range servers {
			h.dnsctl(ctx, "bootstrap", s, "--wait", "-q")
			h.dnsctl(ctx, "drain", s, "--yes", "-q", "--reason", "bench", "--below-floor", pool)
		}
		in.must("make many zones", h.bring(ctx, 0, b.fleet, func(i int) edit.Source { return tinySource(i, 1) }))
		h.seedBIND(ctx, in, bind, "bind", b.fleet)
		h.seedPowerDNS(in, powerdns, "powerdns", b.fleet)
		for _, s := range []string{"knot", "nsd"} {
			used("scale/sync, all zones added, "+s, h.dnsctl(ctx, "sync", s, "--yes", "-q"))
		}
		pids := map[string]int{"nsd": nsd.PID(), "knot": knot.PID(), "powerdns": powerdns.PID(), "bind": bind.PID()}
		for range b.repeat {
			used("scale/audit, all four", h.dnsctl(ctx, slices.Concat([]string{"audit", "-q"}, servers)...))
			for _, s := range servers {
				before := family(pids[s])
				used("scale/audit, "+s, h.dnsctl(ctx, "audit", "-q", s))
				t.add("scale/audit, "+s+" its cpu", "s", "", family(pids[s])-before)
			}
			used("scale/sync, nothing to do, all four", h.dnsctl(ctx, slices.Concat([]string{"sync", "--yes", "-q"}, servers)...))
		}
		part := b.fleet / 30
		in.must("add zones", h.bring(ctx, b.fleet, b.fleet+part, func(i int) edit.Source { return tinySource(i, 1) }))
		in.must("change zones", h.bring(ctx, 0, part, func(i int) edit.Source { return tinySource(i, 2) }))
		for i, how := range []string{"--comment=bench", "--purge"} {
			var names []string
			for n := part * (i + 2) / 2; n < part*(i+3)/2; n++ {
				names = append(names, smallZone(n))
			}
			h.dnsctl(ctx, slices.Concat([]string{"zone", "delete", "-q", how, "--max-delete", fmt.Sprint(len(names))}, names)...)
		}
		for _, s := range servers {
			before := family(pids[s])
			u := h.dnsctl(ctx, "sync", "--yes", "-q", s)
			used(fmt.Sprintf("scale/sync, %d steps, %s", 3*part, s), u)
			t.add(fmt.Sprintf("scale/sync, %d steps, %s its cpu", 3*part, s), "s", "", family(pids[s])-before)
			t.add("scale/steps, "+s, "/s", "", float64(3*part)/u.wall)
		}
		used("scale/audit after it, all four", h.dnsctl(ctx, slices.Concat([]string{"audit", "-q"}, servers)...))
	})
}

// tinySource is a tiny zone for an import.
func tinySource(number, serial int) edit.Source {
	return sourceOf(number, func(w io.Writer) error { return tiny(w, number, serial) })
}
