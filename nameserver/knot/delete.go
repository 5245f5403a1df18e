package knot

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"dnsctl/nameserver"
	"dnsctl/zone"
)

// Delete removes a zone with its content, and proves it gone. The zone file of a
// primary stays: an operator has written it.
func (d *driver) Delete(ctx context.Context, name zone.Name) error {
	if err := d.delete(ctx, name); err != nil {
		return fmt.Errorf("delete zone %s: %w", name, err)
	}
	return nil
}

func (d *driver) delete(ctx context.Context, name zone.Name) error {
	has, err := d.touch(ctx, name)
	if err != nil {
		return err
	}
	errs := make([]error, 1)
	if err := errors.Join(d.remove(ctx, []nameserver.ZoneState{has.ZoneState}, errs), errs[0]); err != nil {
		return err
	}
	return d.with(ctx, func(c *channel) error {
		_, err := c.one(ctx, unit{itemCommand: "zone-status", itemZone: nameText(name)})
		switch {
		case errors.Is(err, nameserver.ErrNoZone):
			return nil
		case err == nil:
			err = fmt.Errorf("%w: the zone is still there", nameserver.ErrRefused)
		}
		return fmt.Errorf("prove it gone: %w", err)
	})
}

// DeleteAll removes zones in one transaction.
func (d *driver) DeleteAll(ctx context.Context, zones []nameserver.ZoneState) []error {
	errs := make([]error, len(zones))
	for i, z := range zones {
		errs[i] = touchable(details{ZoneState: z, in: true})
	}
	err := d.remove(ctx, zones, errs)
	for i := range errs {
		if errs[i] == nil {
			errs[i] = err
		}
		if errs[i] != nil {
			errs[i] = fmt.Errorf("delete zone %s: %w", zones[i].Name, errs[i])
		}
	}
	return errs
}

// remove removes those zones, with their content, that have no error yet. What is
// stored goes first, when the transaction is sure to succeed: a run that is killed
// after its commit must leave nothing that a zone added later is served from.
func (d *driver) remove(ctx context.Context, zones []nameserver.ZoneState, errs []error) error {
	var orphans [][]unit
	var last []unit // of all zones that are not configured any more the timers go with those of one
	err := d.transact(ctx, func(c *channel) error {
		own, err := c.own(ctx, zones, errs)
		if err != nil {
			return err
		}
		var requests [][]unit
		for i, z := range zones {
			if errs[i] != nil {
				continue
			}
			text := nameText(z.Name)
			requests, orphans = append(requests, []unit{confUnit("conf-unset", "zone", text, "", "")}), append(orphans, purge(text, purgeJournal))
			last = purge(text, purgeOrphan)
			switch {
			case z.Role == nameserver.Primary:
			case own[i]:
				requests = append(requests, purge(text, purgeContent))
			default:
				requests = append(requests, purge(text, purgeContent+purgeFile))
			}
		}
		return c.all(ctx, requests)
	})
	if err != nil {
		return err
	}
	if len(last) == 0 {
		return nil
	}
	orphans = append(orphans, last)
	if err := d.with(ctx, func(c *channel) error { return c.all(ctx, orphans) }); err != nil {
		return fmt.Errorf("remove its content: %w", err)
	}
	return nil
}

// own says of each zone without an error whether we have made it: it has a template
// of ours. One that is not configured gets ErrNoZone.
func (c *channel) own(ctx context.Context, zones []nameserver.ZoneState, errs []error) ([]bool, error) {
	requests := make([][]unit, len(zones))
	for i, z := range zones {
		requests[i] = []unit{confUnit("conf-get", "zone", nameText(z.Name), "template", "")}
	}
	answers, said, err := c.small(ctx, requests...)
	if err != nil {
		return nil, err
	}
	own := make([]bool, len(zones))
	for i, answer := range answers {
		switch {
		case errs[i] != nil:
		case says(said[i], saysNoID):
			errs[i] = nameserver.ErrNoZone
		case said[i] != nil && !says(said[i], saysNoItem):
			errs[i] = said[i]
		}
		own[i] = len(answer) > 0 && strings.HasPrefix(answer[0][itemData], ownPrefix)
	}
	return own, nil
}
