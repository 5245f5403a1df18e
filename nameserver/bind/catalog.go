package bind

import (
	"context"
	"errors"
	"fmt"

	"dnsctl/nameserver"
	"dnsctl/report"
)

// catalogFile is where named keeps the catalog zone that it takes its zones from.
const catalogFile = "dnsctl-catalog.db"

// catalogOption has named take zones from a catalog, in options or in a view. It looks
// at a new version after a second, instead of five.
func catalogOption(z nameserver.ZoneConfig) string {
	return fmt.Sprintf("catalog-zones { zone %s default-primaries %s min-update-interval 1; };", nameText(z.Name), primariesText(z))
}

// catalogZone is the statement of the catalog zone itself.
func catalogZone(z nameserver.ZoneConfig) string {
	return "zone " + nameText(z.Name) + " " + secondaryText(z, catalogFile, "")
}

// Prepared says what named.conf lacks for the catalog that zones are to come from.
func (d *driver) Prepared(ctx context.Context, r nameserver.ConfigRequest) error {
	if r.Catalog.Name == "" {
		return nil
	}
	return d.consumes(ctx, r.Catalog)
}

// consumes makes sure that named has the catalog zone with these primaries. named
// takes zones from a catalog only as its configuration file says, and shows nowhere
// that it does: where catalog-zones is missing, no member comes.
func (d *driver) consumes(ctx context.Context, z nameserver.ZoneConfig) error {
	if err := d.check(ctx, z); err != nil {
		return err
	}
	has, err := d.look(ctx, z.Name)
	switch {
	case err == nil && has.Role == nameserver.Secondary && (!has.Known || nameserver.SamePrimaries(has.Primaries, z.Primaries)):
		return nil
	case err != nil && !errors.Is(err, nameserver.ErrNoZone):
		return err
	}
	return report.Hint(fmt.Errorf("%w: catalog zone %s with its present primaries and key", nameserver.ErrUnprepared, z.Name),
		"in named.conf, put this into options, or into the view: "+catalogOption(z)+" and this beside it, or into the view: "+catalogZone(z)+" then run rndc reconfig")
}
