package main

import (
	"context"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"dnsctl/dnsclient"
	"dnsctl/zone"
)

// newcomer is an empty nameserver that runs, and how it gets its zones.
type newcomer struct {
	addr string
	pid  int
	fill func(ctx context.Context) error // returns when all zones answer with the right serial, and are on disk
}

// bootstraps are the measures that bring a nameserver from nothing to all small
// zones: by bootstrap --wait, and by the best known way by hand over the same
// control channel, in turns. One sample of the ratio is that of two runs one after
// the other.
func bootstraps(of func(o options) []string) (all []measure) {
	for _, w := range byHand() {
		all = append(all, measure{"bootstrap-" + w.kind, "from nothing to all small zones on " + w.product + ": bootstrap --wait, and by hand: " + w.way, of,
			func(ctx context.Context, b *bench, store string) {
				b.bed.inside(func(in *bed) { b.bootstrap(ctx, in, store, w) })
			}})
	}
	for _, w := range byHand() {
		untuned := func(o options) []string {
			if !o.untuned {
				return nil
			}
			return of(o)
		}
		all = append(all, measure{"bootstrap-untuned-" + w.kind, "the same by bootstrap --wait alone, on " + w.product + " without the settings that make it fast at that", untuned,
			func(ctx context.Context, b *bench, store string) {
				b.bed.inside(func(in *bed) { b.bootstrapUntuned(ctx, in, store, w) })
			}})
	}
	return all
}

func bootstrapGoals() (all []goal) {
	for _, w := range byHand() {
		all = append(all, goal{text: "bootstrap of " + w.product + ": 1.2 times the best way by hand", name: "bootstrap/" + w.kind + " beside by hand", unit: "times", fixed: 1.2})
	}
	return all
}

// awaited is a house that has been serving the small zones, as it has for long where a
// nameserver is replaced. Else the first to fill one would have mdns read them for the
// other, too.
func (b *bench) awaited(ctx context.Context, in *bed, store string) *house {
	h := b.house(ctx, in, store)
	h.importSmall(ctx)
	h.start(ctx)
	b.smallZones(h.desc(), smallAll)
	return h
}

// bootstrapUntuned is done once: a BIND takes 20 zones a second then.
func (b *bench) bootstrapUntuned(ctx context.Context, in *bed, store string, w handmade) {
	h, t := b.awaited(ctx, in, store), b.table(store)
	h.without = tuning
	h.newcomer(ctx, t, "bootstrap/"+w.kind+", untuned", func(in *bed) newcomer { return h.ours(ctx, in, w.kind, "-untuned") })
	t.done()
}

// tuning is the lines of generated configurations that make a nameserver fast.
var tuning = regexp.MustCompile(`(?m)^\s*(transfers-in|transfers-per-ns|serial-query-rate|startup-notify-rate|notify-rate|tcp-clients` +
	`|xfrd-tcp-max|xfrd-tcp-pipeline|xfrd-reload-timeout|zonefiles-write|journal-db-mode|retrieval-threads|xfr-cycle-interval|gsqlite3-pragma-[a-z-]+)[ :=].*\n`)

func (b *bench) bootstrap(ctx context.Context, in *bed, store string, w handmade) {
	h, t := b.awaited(ctx, in, store), b.table(store)
	row := "bootstrap/" + w.kind
	var took [2]float64 // ours, by hand
	turns := []func(round int){
		func(round int) {
			took[0] = h.newcomer(ctx, t, row, func(in *bed) newcomer { return h.ours(ctx, in, w.kind, fmt.Sprint(round)) })
		},
		func(int) {
			took[1] = h.newcomer(ctx, t, row+" by hand", func(in *bed) newcomer { return w.start(ctx, in, h) })
		},
	}
	for round := range b.repeat {
		for i := range turns {
			turns[(round+i)%len(turns)](round)
		}
		t.add(row+" beside by hand", "times", "<= 1.2", took[0]/took[1])
	}
	t.done()
}

// newcomer starts a nameserver, fills it, and says how long that took.
func (h *house) newcomer(ctx context.Context, t *table, row string, start func(in *bed) newcomer) float64 {
	var took float64
	h.bed.inside(func(in *bed) {
		n := start(in)
		parts := []struct {
			of   string
			used func() float64
		}{{"the nameserver", func() float64 { return family(n.pid) }}, {"mdns", func() float64 { return cpu(h.pid()) }}, {"who fills it", ownCPU}}
		before := make([]float64, len(parts))
		for i, p := range parts {
			before[i] = p.used()
		}
		begin := time.Now()
		in.must(row, n.fill(ctx))
		took = time.Since(begin).Seconds()
		t.add(row, "s", "", took)
		for i, p := range parts {
			t.add(row+", cpu of "+p.of, "s", "", p.used()-before[i])
		}
	})
	return took
}

// ownCPU is the processor time of this process and of those it has waited for.
func ownCPU() (sum float64) {
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var r unix.Rusage
		if err := unix.Getrusage(who, &r); err == nil {
			sum += time.Duration(r.Utime.Nano() + r.Stime.Nano()).Seconds()
		}
	}
	return sum
}

// ours is a nameserver with the configuration that bootstrap --out makes.
func (h *house) ours(ctx context.Context, in *bed, kind, suffix string) newcomer {
	name := kind + suffix
	n := newcomer{fill: func(ctx context.Context) error {
		_, err := execute(ctx, h.env, h.b.bin, "bootstrap", name, "--wait", "-q")
		return err
	}}
	switch kind {
	case "bind":
		s := h.nameserver(ctx, in, name)
		n.addr, n.pid = s.Addr, s.PID()
	case "nsd":
		s := h.nsd(ctx, in, name)
		n.addr, n.pid = s.Addr, s.PID()
	case "knot":
		s := h.knot(ctx, in, name)
		n.addr, n.pid = s.Addr, s.PID()
	default:
		s := h.powerdns(ctx, in, name)
		n.addr, n.pid = s.Addr, s.PID()
	}
	in.Cleanup(func() { // nobody is to look after a nameserver that is gone
		h.dnsctl(ctx, "drain", name, "--reason", "measured", "--below-floor", pool, "-q")
	})
	return n
}

// askAgain is the pause between two looks at the zones that do not answer yet.
const askAgain = 200 * time.Millisecond

// answering waits until a nameserver answers for all small zones with their serial.
func (b *bench) answering(ctx context.Context, addr string) error {
	open := make([]dnsclient.Probe, b.zones)
	for i := range open {
		open[i] = soaOf(addr, i)
	}
	return awaitAnswers(ctx, open, func(r dnsclient.Result) bool { return r.Serves() && r.Serial == smallFirst })
}

// soaOf asks a nameserver about a small zone.
func soaOf(addr string, i int) dnsclient.Probe {
	return dnsclient.Probe{Server: netip.MustParseAddrPort(addr), Zone: zone.MustParseName(smallZone(i) + "."), Ref: i}
}

// awaitAnswers asks until each answer is as wanted.
func awaitAnswers(ctx context.Context, open []dnsclient.Probe, wanted func(r dnsclient.Result) bool) error {
	prober, err := dnsclient.NewProber(dnsclient.ProberOptions{})
	if err != nil {
		return err
	}
	defer prober.Close()
	for {
		var left []dnsclient.Probe
		begun := time.Now()
		err := prober.Sweep(ctx, slices.Values(open), dnsclient.SweepOptions{}, func(r dnsclient.Result) error {
			if !wanted(r) {
				left = append(left, r.Probe)
			}
			return nil
		})
		if open = left; err != nil || len(open) == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d zones do not answer as they should: %w", len(open), ctx.Err())
		case <-time.After(max(askAgain, 2*time.Since(begun))):
		}
	}
}
