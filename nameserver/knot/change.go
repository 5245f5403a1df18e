package knot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"dnsctl/nameserver"
	"dnsctl/zone"
)

// Filters of zone-purge: what it removes. To remove the timers of one zone knotd reads
// those of all.
const (
	purgeContent = "j" // the journal; the zone goes on with what it has in memory
	purgeFile    = "f"
	purgeJournal = "oj"  // of a zone that is not configured any more
	purgeOrphan  = "ojt" // the same, and the timers of all such zones
)

// purge is a request to remove what these filters say; F means that it is meant.
func purge(name, filters string) []unit {
	return []unit{{itemCommand: "zone-purge", itemZone: name, itemFlags: "F", itemFilters: filters}}
}

// Add makes a secondary zone. ErrExists for members of catalogs, too.
func (d *driver) Add(ctx context.Context, z nameserver.ZoneConfig) error {
	return d.AddAll(ctx, []nameserver.ZoneConfig{z})[0]
}

// AddAll makes secondary zones in one transaction.
func (d *driver) AddAll(ctx context.Context, zones []nameserver.ZoneConfig) []error {
	errs := make([]error, len(zones))
	templates := make([]string, len(zones))
	err := d.prepare(ctx, zones, templates, errs)
	if err == nil {
		err = d.addAll(ctx, zones, templates, errs)
	}
	for i := range errs {
		if errs[i] == nil {
			errs[i] = err
		}
		if errs[i] != nil {
			errs[i] = fmt.Errorf("add zone %s: %w", zones[i].Name, errs[i])
		}
	}
	return errs
}

func (d *driver) addAll(ctx context.Context, zones []nameserver.ZoneConfig, templates []string, errs []error) error {
	var todo []int
	for i := range zones {
		if errs[i] == nil {
			todo = append(todo, i)
		}
	}
	if len(todo) == 0 {
		return nil
	}
	return d.transact(ctx, func(c *channel) error {
		_, said, err := c.many(ctx, len(todo), func(n int) []unit {
			return []unit{{itemCommand: "zone-status", itemZone: nameText(zones[todo[n]].Name), itemFilters: "r"}}
		})
		if err != nil {
			return err
		}
		var missing []int
		for n, i := range todo {
			switch {
			case errors.Is(said[n], nameserver.ErrNoZone):
				missing = append(missing, i)
			case said[n] == nil:
				errs[i] = nameserver.ErrExists
			default:
				errs[i] = said[n]
			}
		}
		// Two requests each: a zone that an operator has unset may have left a journal.
		_, said, err = c.many(ctx, 2*len(missing), func(n int) []unit {
			i := missing[n/2]
			name := nameText(zones[i].Name)
			if n%2 == 0 {
				return purge(name, purgeJournal)
			}
			return append([]unit{confUnit("conf-set", "zone", name, "", "")}, setUnits(name, itemsOf(zones[i], templates[i]))...)
		})
		if err != nil {
			return err
		}
		for n, i := range missing {
			errs[i] = cmp.Or(said[2*n], said[2*n+1])
		}
		return nil
	})
}

// Change makes a zone a secondary with the settings of z; it goes on answering
// with the content that it has.
func (d *driver) Change(ctx context.Context, z nameserver.ZoneConfig) error {
	if err := d.change(ctx, z); err != nil {
		return fmt.Errorf("change zone %s: %w", z.Name, err)
	}
	return nil
}

func (d *driver) change(ctx context.Context, z nameserver.ZoneConfig) error {
	if err := check(z); err != nil {
		return err
	}
	has, err := d.touch(ctx, z.Name)
	if z.Catalog && errors.Is(err, nameserver.ErrUntouchable) && slices.ContainsFunc(has.items, interprets) {
		err = nil
	}
	if err != nil {
		return err
	}
	templates, errs := make([]string, 1), make([]error, 1)
	if err := d.prepare(ctx, []nameserver.ZoneConfig{z}, templates, errs); err != nil || errs[0] != nil {
		return errors.Join(err, errs[0])
	}
	items := itemsOf(z, templates[0])
	if slices.EqualFunc(has.items, items, func(a, b item) bool { return a.Name == b.Name && slices.Equal(a.Values, b.Values) }) {
		return nil
	}
	return d.replace(ctx, has, items)
}

// itemsOf are a zone's items in the configuration. The members of a catalog come with
// the template of the catalog zone itself, whatever their groups.
func itemsOf(z nameserver.ZoneConfig, template string) []item {
	items := []item{{"template", []string{template}}}
	if z.Catalog {
		items = append(items, item{"catalog-role", []string{interpret}}, item{"catalog-template", []string{template}})
	}
	return items
}

// interpret is the role of a catalog zone that zones are taken from.
const interpret = "interpret"

func interprets(it item) bool { return it.Name == "catalog-role" && it.Values[0] == interpret }

// setUnits give a zone these items.
func setUnits(name string, items []item) (units []unit) {
	for _, it := range items {
		for _, v := range it.Values {
			units = append(units, confUnit("conf-set", "zone", name, it.Name, v))
		}
	}
	return units
}

// touch reads a zone that is to be changed or deleted.
func (d *driver) touch(ctx context.Context, name zone.Name) (z details, err error) {
	err = d.with(ctx, func(c *channel) error {
		z, _, err = c.look(ctx, name)
		return err
	})
	if err == nil {
		err = touchable(z)
	}
	return z, err
}

// replace gives a zone other items in the configuration.
func (d *driver) replace(ctx context.Context, has details, list []item) error {
	name := nameText(has.Name)
	var unset []unit
	for _, it := range has.items {
		unset = append(unset, confUnit("conf-unset", "zone", name, it.Name, ""))
	}
	set := setUnits(name, list)
	var requests [][]unit
	for _, units := range [][]unit{unset, set} {
		if len(units) > 0 {
			requests = append(requests, units)
		}
	}
	return d.transact(ctx, func(c *channel) error { return c.all(ctx, requests) })
}

// Retransfer asks for an AXFR; knotd answers when that is queued.
func (d *driver) Retransfer(ctx context.Context, name zone.Name) error {
	err := nameserver.ErrNoZone
	if New().CanHold(name) == nil {
		err = d.with(ctx, func(c *channel) error {
			_, err := c.one(ctx, unit{itemCommand: "zone-retransfer", itemZone: nameText(name)})
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("retransfer zone %s: %w", name, err)
	}
	return nil
}
