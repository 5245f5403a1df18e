package nsd

import (
	"context"
	"errors"
	"fmt"

	"dnsctl/nameserver"
	"dnsctl/zone"
)

// Delete removes a zone and proves it gone. Its file stays, which NSD never
// removes; no zone that is added later has the same one.
func (d *driver) Delete(ctx context.Context, name zone.Name) error {
	if err := d.delete(ctx, name); err != nil {
		return fmt.Errorf("delete zone %s: %w", name, err)
	}
	return nil
}

func (d *driver) delete(ctx context.Context, name zone.Name) error {
	_, has, err := d.look(ctx, name)
	if err != nil {
		return err
	}
	if err := touchable(has); err != nil {
		return err
	}
	if err := d.checkCatalog(ctx, has); err != nil {
		return err
	}
	if err := d.control.order(ctx, "delzone "+typed(name)); err != nil {
		return err
	}
	switch _, _, err := d.look(ctx, name); {
	case errors.Is(err, nameserver.ErrNoZone):
		return nil
	case err != nil:
		return fmt.Errorf("prove it gone: %w", err)
	}
	return fmt.Errorf("prove it gone: %w: the zone is still there", nameserver.ErrRefused)
}

// DeleteAll removes zones with one delzones. NSD answers each line, reports errors
// and goes on.
func (d *driver) DeleteAll(ctx context.Context, zones []nameserver.ZoneState) []error {
	errs := make([]error, len(zones))
	var input []string
	var at []int // index in zones of each line
	for i, z := range zones {
		errs[i] = touchable(z)
		if errs[i] == nil {
			errs[i] = d.checkCatalog(ctx, z)
		}
		if errs[i] == nil {
			input, at = append(input, typed(z.Name)), append(at, i)
		}
	}
	if len(input) > 0 {
		n, err := d.lines(ctx, "delzones", lineReader{input: input, done: func(n int, err error) { errs[at[n]] = err }, each: "removed", all: "deleted"})
		for ; err != nil && n < len(at); n++ {
			errs[at[n]] = err
		}
	}
	for i, err := range errs {
		if err != nil {
			errs[i] = fmt.Errorf("delete zone %s: %w", zones[i].Name, err)
		}
	}
	return errs
}

// checkCatalog refuses zones that are catalogs (RFC 9432: TXT "2" or "1" at
// version), of which this NSD knows nothing: it may give one to others, who would
// lose its members. Zones that we added are none.
func (d *driver) checkCatalog(ctx context.Context, z nameserver.ZoneState) error {
	if z.Primaries != nil || z.Serial == nil || d.transfer == nil {
		return nil
	}
	content, err := d.content(ctx, z.Name)
	if err != nil {
		return nil // whoever deletes without a copy was asked about that
	}
	return nameserver.CheckNoCatalog(content)
}
