package knot

import (
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
	// knotd does no more of a request of which something has failed.
	for _, some := range []int{atOnce, 1} {
		err := d.transact(ctx, func(c *channel) error {
			if err := c.members(ctx, zones, todo, errs); err != nil {
				return err
			}
			return c.add(ctx, zones, templates, todo, some, errs)
		})
		if !errors.Is(err, errSome) {
			return err
		}
	}
	return nil
}

// atOnce is of how many zones a request is: knotd answers each of them, and writes a
// line into its log.
const atOnce = 100

var errSome = errors.New("one of many zones cannot be added")

// members gives zones ErrExists that come from a catalog. Those that the
// configuration has are known when they are added.
func (c *channel) members(ctx context.Context, zones []nameserver.ZoneConfig, todo []int, errs []error) error {
	if len(todo) > atOnce {
		// knotd looks through all its zones for it, and at least logs no errors.
		has, err := c.interprets(ctx)
		if err != nil || !has {
			return err
		}
	}
	_, said, err := c.many(ctx, len(todo), func(n int) []unit {
		return []unit{{itemCommand: "zone-status", itemZone: nameText(zones[todo[n]].Name), itemFilters: "r"}}
	})
	for n, i := range todo {
		switch {
		case err != nil || errors.Is(said[n], nameserver.ErrNoZone):
		case said[n] == nil:
			errs[i] = nameserver.ErrExists
		default:
			errs[i] = said[n]
		}
	}
	return err
}

// interprets says whether knotd has a catalog zone that it takes zones from.
func (c *channel) interprets(ctx context.Context) (bool, error) {
	answers, said, err := c.small(ctx, []unit{confUnit("conf-read", "zone", "", "catalog-role", "")}, []unit{confUnit("conf-read", "template", "", "catalog-role", "")})
	for n, answer := range answers {
		if err == nil && said[n] != nil && !says(said[n], saysNoItem) {
			err = said[n]
		}
		if slices.ContainsFunc(answer, func(u unit) bool { return u[itemData] == interpret }) {
			return true, err
		}
	}
	return false, err
}

// add puts zones into the configuration, some with each request, and removes the
// journals that zones of these names have left which an operator has unset.
func (c *channel) add(ctx context.Context, zones []nameserver.ZoneConfig, templates []string, todo []int, some int, errs []error) error {
	each := func(units func(i int) []unit) error {
		todo = slices.DeleteFunc(slices.Clone(todo), func(i int) bool { return errs[i] != nil })
		requests := slices.Collect(slices.Chunk(todo, some))
		_, said, err := c.many(ctx, len(requests), func(n int) (list []unit) {
			for _, i := range requests[n] {
				list = append(list, units(i)...)
			}
			return list
		})
		for n, request := range requests {
			switch {
			case err != nil || said[n] == nil:
			case len(request) > 1:
				return errSome
			default:
				errs[request[0]] = said[n]
			}
		}
		return err
	}
	// In this order: the journal of a zone that is there is not for us to remove.
	err := each(func(i int) []unit {
		name := nameText(zones[i].Name)
		return append([]unit{confUnit("conf-set", "zone", name, "", "")}, setUnits(name, itemsOf(zones[i], templates[i]))...)
	})
	if err != nil {
		return err
	}
	return each(func(i int) []unit { return purge(nameText(zones[i].Name), purgeJournal) })
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
