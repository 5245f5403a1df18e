package bootstrap

import (
	"context"
	"errors"
	"fmt"

	"dnsctl/edit"
	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/report"
	"dnsctl/sync/apply"
	"dnsctl/sync/inventory"
	"dnsctl/zone"
)

// provisionHint is how a server may take its zones from a catalog.
const provisionHint = "give its one pool a catalog zone: dnsctl pool set POOL --catalog NAME"

// found counts the zones that a server has of its own or from others: neither built-in
// ones, nor a catalog of its pools and what came to it with that. own says whether it
// has this store's marker for it.
func found(ctx context.Context, ses *inventory.Session) (own bool, others int, err error) {
	tried, err := ses.ReachName(ctx)
	if err != nil {
		return false, 0, err
	}
	err = origins(ctx, ses, func(z nameserver.ZoneState) {
		switch {
		case z.Name.Equal(ses.Server.Marker):
			own = true
		case z.Name.Equal(tried): // left by a run that was killed
		case ses.Server.Catalog() == "" || z.Origin != nameserver.Cataloged:
			others++
		}
	})
	return own, others, err
}

// origins lists the zones of a server that are neither built in nor a catalog of its
// pools. Where that server takes zones from a catalog, or did, it says of each whether
// it came so: some inventories do not tell.
func origins(ctx context.Context, ses *inventory.Session, yield func(nameserver.ZoneState)) error {
	var unsure []zone.Name
	err := ses.Driver.Inventory(ctx, func(z nameserver.ZoneState) error {
		switch {
		case z.Role == nameserver.Other || z.Origin == nameserver.Builtin || ses.Server.HasCatalog(z.Name):
		case z.Origin == nameserver.Unsure && ses.Server.Pools[0].Catalog != "" && !fleet.IsMarkerName(z.Name):
			unsure = append(unsure, z.Name)
		default:
			yield(z)
		}
		return nil
	})
	for _, name := range unsure {
		if err != nil {
			break
		}
		var z nameserver.ZoneState
		switch z, err = ses.Driver.Zone(ctx, name); {
		case err == nil:
			yield(z)
		case errors.Is(err, nameserver.ErrNoZone):
			err = nil
		}
	}
	if err != nil {
		return fmt.Errorf("read the zones of server %q: %w", ses.Server.Name, err)
	}
	return nil
}

// reprovision has a server come to its zones the other way from now on. What it has
// stays as it is: to a catalog it goes with the zones that were added to it, and back
// only when it has none left that came with the catalog, as those go when it does.
func (b *Bootstrapper) reprovision(ctx context.Context, store SetStore, next fleet.Server, c ServerChange, marked bool, m edit.Meta, by fleet.By) error {
	return apply.WithLock(ctx, b.Locks, next.Name, b.Holder, func(ctx context.Context) error {
		ses, err := b.Fleet.Open(ctx, next)
		if err != nil {
			return err
		}
		defer ses.Close()
		if next.Provision == fleet.ByControl {
			members := 0
			err := origins(ctx, ses, func(z nameserver.ZoneState) {
				if z.Origin == nameserver.Cataloged {
					members++
				}
			})
			if err == nil && members > 0 {
				err = report.Fail(report.ExitWithheld, fmt.Errorf("server %s has %s from its catalog", next.Name, report.Count(members, "zone")),
					fmt.Sprintf("they go when it does not take the catalog any more: dnsctl drain %[1]s, remove the catalog from its configuration there, then this command again, and dnsctl undrain %[1]s", next.Name))
			}
			if err != nil {
				return err
			}
			return b.update(ctx, store, next, c, by)
		}
		if err := ses.Prepared(ctx); err != nil {
			return fmt.Errorf("server %q: %w", next.Name, err)
		}
		if !marked { // bootstrap does the rest
			return b.update(ctx, store, next, c, by)
		}
		if _, err := ses.SoundMark(ctx); err != nil {
			return report.Fail(report.ExitWithheld, fmt.Errorf("server %s: %w", next.Name, err), "see: dnsctl server show "+next.Name)
		}
		if err := b.update(ctx, store, next, c, by); err != nil {
			return err
		}
		return b.Applier.Subscribe(ctx, ses, apply.Options{Meta: m})
	})
}
