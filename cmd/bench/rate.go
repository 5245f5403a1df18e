package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"dnsctl/dnsclient"
	"dnsctl/edit"
	"dnsctl/fleet"
	"dnsctl/nameserver"
	rndc "dnsctl/nameserver/bind"
	knotctl "dnsctl/nameserver/knot"
	nsdctl "dnsctl/nameserver/nsd"
	pdnsapi "dnsctl/nameserver/powerdns"
	"dnsctl/secret"
	"dnsctl/store"
	"dnsctl/sync/inventory"
	"dnsctl/zone"
)

// rates are how fast a plan is carried out beside what the control channel bears: on
// a nameserver with all small zones, of which some come, some change and some go, by
// sync, and in turns by its driver alone, which is given the same steps: nothing is
// planned, guarded or recorded, and read and proven only what a driver does by itself.
// Both end when the wire shows it.
func rates(of func(o options) []string) (all []measure) {
	for _, w := range byHand() {
		all = append(all, measure{"rate-" + w.kind, "a plan of small zones that come, change and go carried out on " + w.product + ": by sync, and by its driver alone", of,
			func(ctx context.Context, b *bench, store string) {
				b.bed.inside(func(in *bed) { b.rate(ctx, in, store, w) })
			}})
	}
	return all
}

func (b *bench) rate(ctx context.Context, in *bed, store string, w handmade) {
	h, t := b.awaited(ctx, in, store), b.table(store)
	n := h.ours(ctx, in, w.kind, "")
	in.must("fill "+w.product, n.fill(ctx))
	h.dnsctl(ctx, "drain", w.kind, "--reason", "bench", "--below-floor", pool, "-q")
	f := &flow{house: h, server: w.kind, addr: n.addr, part: b.zones / (2*b.repeat + 2)}
	ways := []func(ctx context.Context, s steps) error{f.sync, f.driver}
	for round := range b.repeat {
		var rates [2]float64
		for i := range ways {
			turn := (round + i) % len(ways)
			s := f.next(ctx)
			begin := time.Now()
			in.must("carry out a plan", ways[turn](ctx, s))
			rates[turn] = float64(3*f.part) / time.Since(begin).Seconds()
		}
		row := "rate/" + w.kind
		t.add(row+", sync", "steps/s", "", rates[0])
		t.add(row+", its driver alone", "steps/s", "", rates[1])
		t.add(row+", sync beside its driver", "times", "", rates[0]/rates[1])
	}
	h.dnsctl(ctx, "audit", w.kind, "-q") // or one of them has left something out
	t.done()
}

// flow changes zones in the database, and brings that to a nameserver.
type flow struct {
	*house
	server, addr string
	part, turn   int
}

// steps are the numbers of the zones, each of them the first of a part, that are to be
// added, transferred again, and deleted.
type steps struct{ added, changed, deleted int }

// next is what the database has changed to.
func (f *flow) next(ctx context.Context) steps {
	s := steps{added: f.b.zones + f.turn*f.part, changed: (f.turn + 1) * f.part, deleted: f.turn * f.part}
	f.turn++
	f.bed.must("add zones", f.bring(ctx, s.added, s.added+f.part, func(i int) edit.Source { return smallSource(i, "") }))
	f.bed.must("change zones", f.bring(ctx, s.changed, s.changed+f.part, func(i int) edit.Source { return smallSource(i, "changed A 192.0.2.1\n") }))
	f.dnsctl(ctx, slices.Concat([]string{"zone", "delete", "-q", "--max-delete", fmt.Sprint(f.part)}, f.names(s.deleted))...)
	f.bed.must("wait for mdns", awaitAnswers(ctx, f.questions(f.house.addr, s), f.as(s)))
	return s
}

func (f *flow) names(from int) (names []string) {
	for i := from; i < from+f.part; i++ {
		names = append(names, smallZone(i)+".")
	}
	return names
}

func (f *flow) questions(addr string, s steps) (all []dnsclient.Probe) {
	for _, from := range []int{s.added, s.changed, s.deleted} {
		for i := from; i < from+f.part; i++ {
			all = append(all, soaOf(addr, i))
		}
	}
	return all
}

// as says whether an answer shows what the steps were to do.
func (f *flow) as(s steps) func(r dnsclient.Result) bool {
	return func(r dnsclient.Result) bool {
		switch i, _ := r.Ref.(int); {
		case i < s.deleted+f.part:
			return r.Absent()
		case i < s.changed+f.part:
			return r.Serves() && r.Serial == smallFirst+1
		}
		return r.Serves() && r.Serial == smallFirst
	}
}

func (f *flow) sync(ctx context.Context, _ steps) error {
	_, err := execute(ctx, f.env, f.b.bin, "sync", f.server, "--yes", "-q")
	return err
}

func (f *flow) driver(ctx context.Context, s steps) error {
	ses, db, err := f.open(ctx)
	if err != nil {
		return err
	}
	defer db.Close()
	defer ses.Close()
	d := ses.Driver
	named := func(from int) (out []zone.Name) {
		for _, n := range f.names(from) {
			out = append(out, zone.MustParseName(n))
		}
		return out
	}
	wanted, err := db.WantedAmong(ctx, ses.Server.ID, named(s.added))
	if err != nil {
		return err
	}
	each := func(n int, do func(i int) error) []error {
		errs := make([]error, n)
		nameserver.Each(ctx, d, n, func(i int) { errs[i] = do(i) }, func(int) {})
		return errs
	}
	configs := make([]nameserver.ZoneConfig, len(wanted))
	for i, w := range wanted {
		configs[i] = ses.ZoneConfig(w)
	}
	var errs []error
	if bulk, ok := d.(nameserver.BulkAdder); ok {
		errs = bulk.AddAll(ctx, configs)
	} else {
		errs = each(len(configs), func(i int) error { return d.Add(ctx, configs[i]) })
	}
	changed, deleted := named(s.changed), named(s.deleted)
	errs = append(errs, each(len(changed), func(i int) error { return d.Retransfer(ctx, changed[i]) })...)
	if err := errors.Join(errs...); err != nil {
		return err
	}
	// As sync does: deletions last.
	all := f.questions(f.addr, s)
	if err := awaitAnswers(ctx, all[:2*f.part], f.as(s)); err != nil {
		return err
	}
	errs = nil
	if bulk, ok := d.(nameserver.BulkDeleter); ok {
		states := make([]nameserver.ZoneState, len(deleted))
		errs = append(errs, each(len(deleted), func(i int) (err error) {
			states[i], err = d.Zone(ctx, deleted[i])
			return err
		})...)
		errs = append(errs, bulk.DeleteAll(ctx, states)...)
	} else {
		errs = append(errs, each(len(deleted), func(i int) error { return d.Delete(ctx, deleted[i]) })...)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return awaitAnswers(ctx, all[2*f.part:], f.as(s))
}

// open is the nameserver's driver, as the commands have it.
func (f *flow) open(ctx context.Context) (*inventory.Session, *store.Store, error) {
	db, err := store.Open(ctx, f.url, store.Options{})
	if err != nil {
		return nil, nil, err
	}
	ses, err := func() (*inventory.Session, error) {
		recipient, err := db.Recipient(ctx)
		if err != nil {
			return nil, err
		}
		sealer, err := secret.NewAge(recipient, secret.AgeOptions{File: filepath.Join(f.dir, "identity.age")})
		if err != nil {
			return nil, err
		}
		var sv fleet.Server
		if sv, err = db.Server(ctx, f.server); err != nil {
			return nil, err
		}
		all := inventory.Fleet{Store: db, Sealer: sealer, DNS: inventory.DNS{Client: &dnsclient.Client{}}, Now: time.Now,
			Types: []nameserver.Type{rndc.New(), knotctl.New(), nsdctl.New(), pdnsapi.New()}}
		return all.Open(ctx, sv)
	}()
	if err != nil {
		_ = db.Close()
		return nil, nil, err
	}
	return ses, db, nil
}
