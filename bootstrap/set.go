package bootstrap

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"dnsctl/edit"
	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/report"
	"dnsctl/secret"
	"dnsctl/sync/apply"
	"dnsctl/sync/plan"
	"dnsctl/zone"
)

// SetStore is what changing a server needs of the store.
type SetStore interface {
	Pool(ctx context.Context, name string) (fleet.Pool, error)
	Zones(ctx context.Context, f fleet.ZoneFilter, yield func(fleet.Zone) error) error
	Marker(ctx context.Context, server int64) (fleet.MarkerState, error)
	UpdateServer(ctx context.Context, name string, by fleet.By, change func(*fleet.Server) error) error
}

// ServerChange is what Set changes; nil leaves it.
type ServerChange struct {
	Address, Probe, Notify *netip.AddrPort // the zero Probe and Notify mean Address
	Control, Stats, View   *string
	Provision              *fleet.Provision
	ControlKey             []byte // content of a credential file
	AddPools, RemovePools  []string
	Unchecked              bool // the server is not reached
}

// reached says whether the change is about how the server is reached.
func (c ServerChange) reached() bool {
	return c.Address != nil || c.Probe != nil || c.Control != nil || c.Stats != nil || c.View != nil || c.ControlKey != nil
}

// to makes the change, pools and credential apart.
func (c ServerChange) to(s *fleet.Server) {
	for from, dest := range map[**netip.AddrPort]*netip.AddrPort{&c.Address: &s.Address, &c.Probe: &s.Probe, &c.Notify: &s.Notify} {
		if *from != nil {
			*dest = **from
		}
	}
	for from, dest := range map[**string]*string{&c.Control: &s.Control, &c.Stats: &s.Stats, &c.View: &s.View} {
		if *from != nil {
			*dest = **from
		}
	}
	if c.Provision != nil {
		s.Provision = *c.Provision
	}
}

// pools are those that the server is in after the change.
func (c ServerChange) pools(ctx context.Context, store SetStore, s fleet.Server) ([]fleet.Pool, error) {
	var out []fleet.Pool
	for _, p := range s.Pools {
		if !slices.Contains(c.RemovePools, p.Name) {
			out = append(out, p)
		}
	}
	for _, name := range c.AddPools {
		p, err := store.Pool(ctx, name)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(out, func(o fleet.Pool) bool { return o.ID == p.ID }) {
			out = append(out, p)
		}
	}
	if len(out) == 0 {
		return nil, report.Fail(report.ExitUsage, fmt.Errorf("server %s would be in no pool", s.Name), "to take it out of the fleet: dnsctl server remove "+s.Name)
	}
	return out, nil
}

// Next is the server as it would be after the change, its credential apart, with the
// zones that would come to it and those that would be stale there, as it leaves the
// pools that it has them from. A change that cannot be is an error.
func (b *Bootstrapper) Next(ctx context.Context, store SetStore, s fleet.Server, c ServerChange) (next fleet.Server, come, stale []zone.Name, err error) {
	next = s
	c.to(&next)
	if next.Pools, err = c.pools(ctx, store, s); err != nil {
		return next, nil, nil, err
	}
	t, err := b.Fleet.Type(s.Type)
	if err != nil {
		return next, nil, nil, err
	}
	if err := t.Check(next); err != nil {
		return next, nil, nil, report.Fail(report.ExitUsage, fmt.Errorf("server %q: %w", s.Name, err), "see: dnsctl server set --help")
	}
	if err := next.CheckProvision(); err != nil {
		return next, nil, nil, report.Fail(report.ExitUsage, err, provisionHint)
	}
	if len(c.AddPools)+len(c.RemovePools) == 0 {
		return next, nil, nil, nil
	}
	if s.Provision == fleet.ByCatalog {
		return next, nil, nil, report.Fail(report.ExitUsage, fmt.Errorf("server %s has its zones from catalog %s, and would keep those of the pool that it leaves", s.Name, s.Catalog()),
			"first: dnsctl server set "+s.Name+" --provision control")
	}
	if stale, err = onlyIn(ctx, store, s.Pools, next.Pools); err == nil {
		come, err = onlyIn(ctx, store, next.Pools, s.Pools)
	}
	return next, come, stale, err
}

// onlyIn is the zones of some pools that are in none of the others.
func onlyIn(ctx context.Context, store SetStore, some, others []fleet.Pool) ([]zone.Name, error) {
	kept := make(map[zone.Key]bool)
	for _, p := range others {
		err := store.Zones(ctx, fleet.ZoneFilter{Pool: p.Name}, func(z fleet.Zone) error {
			kept[z.Name.Key()] = true
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	var out []zone.Name
	for _, p := range some {
		err := store.Zones(ctx, fleet.ZoneFilter{Pool: p.Name}, func(z fleet.Zone) error {
			if k := z.Name.Key(); !kept[k] {
				kept[k] = true
				out = append(out, z.Name)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Set changes a server. A new way to reach it is tried first: it must lead to a
// nameserver that answers, and to no other than the one whose marker is known.
// When its pools change, its marker follows, which is proven.
func (b *Bootstrapper) Set(ctx context.Context, store SetStore, s fleet.Server, c ServerChange, m edit.Meta) error {
	t, err := b.Fleet.Type(s.Type)
	if err != nil {
		return err
	}
	next, _, _, err := b.Next(ctx, store, s, c)
	if err != nil {
		return err
	}
	moved := len(c.AddPools)+len(c.RemovePools) > 0
	if c.ControlKey != nil {
		var cred secret.Plain
		if cred, err = t.ReadCredential(c.ControlKey); err != nil {
			return fmt.Errorf("control credential of server %q: %w", s.Name, err)
		}
		if next.Credential, err = b.Fleet.Sealer.Seal(ctx, cred); err != nil {
			return fmt.Errorf("seal the control credential of server %q: %w", s.Name, err)
		}
	}
	state, err := store.Marker(ctx, s.ID)
	if err != nil {
		return err
	}
	if c.reached() && !c.Unchecked {
		// Its pools as they are: their keys open its marker.
		same := next
		same.Pools = s.Pools
		if err := b.try(ctx, same, state.Placed != nil); err != nil {
			return err
		}
	}
	by := fleet.By{Actor: m.Actor, Command: m.Command, Comment: m.Comment}
	if next.Provision != s.Provision && !c.Unchecked {
		return b.reprovision(ctx, store, next, c, state.Placed != nil, m, by)
	}
	if !moved || state.Placed == nil || c.Unchecked {
		return b.update(ctx, store, next, c, by)
	}
	return apply.WithLock(ctx, b.Locks, s.Name, b.Holder, func(ctx context.Context) error {
		return b.move(ctx, store, s, next, c, m, by)
	})
}

// update writes the change to the row as it is by now.
func (b *Bootstrapper) update(ctx context.Context, store SetStore, next fleet.Server, c ServerChange, by fleet.By) error {
	return store.UpdateServer(ctx, next.Name, by, func(v *fleet.Server) error {
		c.to(v)
		v.Pools = next.Pools
		if c.ControlKey != nil {
			v.Credential = next.Credential
		}
		return nil
	})
}

// try reaches a server the way it would be reached after a change.
func (b *Bootstrapper) try(ctx context.Context, s fleet.Server, marked bool) error {
	ses, err := b.Fleet.Open(ctx, s)
	if err != nil {
		return err
	}
	defer ses.Close()
	const unchecked = "check what was changed; --no-check stores it all the same"
	if _, err := ses.Driver.Info(ctx); err != nil {
		return report.Hint(fmt.Errorf("reach server %q: %w", s.Name, err), cmp.Or(nameserver.HintOf(err), unchecked))
	}
	if !marked {
		return nil
	}
	mark, err := ses.CheckMarker(ctx)
	switch {
	case err != nil:
		return report.Hint(err, unchecked)
	case mark.State != plan.MarkerSound:
		return report.Fail(report.ExitWithheld, fmt.Errorf("server %q: what is reached there is not what this store has filled: %s", s.Name, mark.Reason),
			"if it is a replacement: --no-check, then dnsctl bootstrap or dnsctl server accept "+s.Name)
	}
	return nil
}

// move is update for a server that changes its pools: its marker is known by
// their keys, so it moves too.
func (b *Bootstrapper) move(ctx context.Context, store SetStore, s, next fleet.Server, c ServerChange, m edit.Meta, by fleet.By) error {
	reach := next
	reach.Pools = s.Pools
	before, err := b.Fleet.Open(ctx, reach)
	if err != nil {
		return err
	}
	_, err = before.SoundMark(ctx)
	_ = before.Close()
	if err != nil {
		return report.Fail(report.ExitWithheld, fmt.Errorf("server %s: %w", s.Name, err), "--no-check moves it in the database only, then: dnsctl server accept "+s.Name)
	}
	if err := b.update(ctx, store, next, c, by); err != nil {
		return err
	}
	after, err := b.Fleet.Open(ctx, next)
	if err == nil {
		err = b.Applier.MoveMarker(ctx, after, apply.Options{Meta: m})
		_ = after.Close()
	}
	if err == nil {
		return nil
	}
	back := store.UpdateServer(context.WithoutCancel(ctx), s.Name, by, func(v *fleet.Server) error { v.Pools = s.Pools; return nil })
	return errors.Join(report.Hint(fmt.Errorf("its marker does not follow it to its new pools, so it stays in those it was in: %w", err),
		"does the nameserver know the TSIG keys of its new pools (dnsctl tsig show KEY --for "+s.Type+"), and does `dnsctl mdns serve` run?"), back)
}
