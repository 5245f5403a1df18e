package apply

import (
	"context"
	"errors"
	"fmt"
	"math"

	"dnsctl/nameserver"
	"dnsctl/report"
	"dnsctl/sync/inventory"
	"dnsctl/sync/plan"
	"dnsctl/zone"
)

// Subscribe makes sure that a server that takes its zones from a catalog (RFC 9432) has
// the catalog zone, with the primaries and the key that it should be transferred with by
// now; its members have the same. Where only the server's operator can do that, the
// error wraps nameserver.ErrUnprepared. The server's marker is sound.
func (a *Applier) Subscribe(ctx context.Context, s *inventory.Session, o Options) error {
	c := s.CatalogConfig()
	if c.Name == "" {
		return nil
	}
	has, err := s.Driver.Zone(ctx, c.Name)
	switch {
	case errors.Is(err, nameserver.ErrNoZone):
		if err = s.Driver.Add(ctx, c); err == nil {
			a.event(ctx, o, s, "add", c.Name, nil, "", "the catalog that it takes its zones from")
		}
	case err == nil && (has.Role != nameserver.Other || has.Known && !nameserver.SamePrimaries(has.Primaries, c.Primaries)):
		if err = s.Driver.Change(ctx, c); err == nil && has.Origin != nameserver.Declared {
			a.event(ctx, o, s, "change", c.Name, nil, has.Detail, "the catalog that it takes its zones from")
		}
	}
	if err != nil {
		return fmt.Errorf("catalog zone of server %s: %w", s.Server.Name, err)
	}
	return nil
}

// byCatalog says whether zones come to the server with a catalog.
func (r *run) byCatalog() bool { return r.s.Server.Catalog() != "" }

// subscribe is Subscribe for a run: without the catalog nothing can be added.
func (r *run) subscribe(ctx context.Context) {
	err := r.Subscribe(ctx, r.s, r.o)
	if err == nil {
		return
	}
	for _, st := range r.planned(report.Add) {
		fail(st, err)
	}
}

// join waits for zones that come with the catalog: nothing is asked of the server but
// to look at it, and in which order they come is its own affair. They are proven as if
// they had been added.
func (r *run) join(ctx context.Context, steps []*plan.Step) {
	for _, st := range r.rereadAll(ctx, steps, math.MaxInt64) {
		st.Config.Member = true
		st.Outcome = started
	}
}

// rejoin has the server transfer the catalog again where zones should come with it.
func (p *proof) rejoin(ctx context.Context) {
	if !p.byCatalog() {
		return
	}
	for _, st := range p.open {
		if st.Action == report.Add {
			if err := p.s.RefreshCatalog(ctx); err != nil {
				p.Log.Warn("transfer the catalog again", "server", p.s.Server.Name, "err", err)
			}
			return
		}
	}
}

// keyed gives zones that have come with the catalog the key that they are transferred
// with, where the server does not do that.
func (p *proof) keyed(ctx context.Context) error {
	if !p.byCatalog() || !p.s.Driver.Capabilities().KeylessMembers {
		return nil
	}
	waiting := make(map[zone.Key]*plan.Step)
	for _, st := range p.open {
		if st.Config.Member && !p.hasKey[st] && len(st.Config.Primaries) > 0 && st.Config.Primaries[0].Key != "" {
			waiting[st.Zone.Key()] = st
		}
	}
	if len(waiting) == 0 {
		return nil
	}
	var come []*plan.Step
	err := p.s.Driver.Inventory(ctx, func(z nameserver.ZoneState) error {
		if st := waiting[z.Name.Key()]; st != nil {
			come = append(come, st)
		}
		return nil
	})
	if err != nil {
		return err
	}
	nameserver.Each(ctx, p.s.Driver, len(come), func(i int) {
		err := p.s.Driver.Change(ctx, come[i].Config)
		if err == nil {
			err = p.s.Driver.Retransfer(ctx, come[i].Zone)
		}
		if err != nil {
			p.because(come[i], err.Error())
			come[i] = nil
		}
	}, func(int) {})
	for _, st := range come {
		p.hasKey[st] = st != nil
	}
	return nil
}

// leave waits until a member has left with the catalog, which decides about that under
// guards of its own (keeper/catalog_consumers.go).
func (r *run) leave(ctx context.Context, st *plan.Step) error {
	deadline, nudge := r.Now().Add(r.o.ProveFor), r.Now().Add(nudgeAfter)
	for {
		_, err := r.s.Driver.Zone(ctx, st.Zone)
		switch now := r.Now(); {
		case errors.Is(err, nameserver.ErrNoZone):
			return nil
		case err != nil:
			return err
		case now.After(deadline):
			return fmt.Errorf("it is still a member of the catalog %s after %s: dnsctl pool show %s says what holds it back; does `dnsctl mdns serve` run?",
				r.s.Server.Catalog(), r.o.ProveFor, r.s.Server.Pools[0].Name)
		case now.After(nudge):
			if err := r.s.RefreshCatalog(ctx); err != nil {
				return err
			}
			nudge = now.Add(2 * nudgeAfter)
		}
		if err := inventory.Pause(ctx, askEvery); err != nil {
			return err
		}
	}
}

// members parts the deletions of zones that leave with the catalog from the others.
func (r *run) members(list []*deletion) (members, others []*deletion) {
	for _, d := range list {
		if r.byCatalog() && d.was.Origin == nameserver.Cataloged {
			members = append(members, d)
		} else {
			others = append(others, d)
		}
	}
	return members, others
}

// left waits for members to leave, and returns those that have.
func (r *run) left(ctx context.Context, members []*deletion) (on []*deletion) {
	for _, d := range members {
		if err := r.leave(ctx, d.Step); err != nil {
			fail(d.Step, err)
			return on
		}
		r.event(ctx, d.Step, "delete", d.was.Detail, string(d.Class)+", with the catalog")
		on = append(on, d)
	}
	return on
}
