package nsd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"dnsctl/nameserver"
	"dnsctl/report"
	"dnsctl/zone"
)

// zoneFolder is where the files of zones go on a server with a configuration of
// its own: below the folder that Debian's NSD may write to.
const zoneFolder = "/var/lib/nsd/dnsctl"

// settings are all that patterns are needed for.
func settings(r nameserver.ConfigRequest) []nameserver.ZoneConfig {
	if r.Catalog.Name == "" {
		return r.Settings
	}
	return append(slices.Clone(r.Settings), r.Catalog)
}

// Prepared says which patterns nsd.conf lacks, and what to add to it.
func (d *driver) Prepared(ctx context.Context, r nameserver.ConfigRequest) error {
	if err := checkTLS(r); err != nil {
		return err
	}
	var lacking []nameserver.ZoneConfig
	for _, z := range settings(r) {
		z.Name = zone.Root // any will do
		if err := check(z); err != nil {
			return err
		}
		err := d.hasPattern(ctx, patternName(z))
		switch {
		case err == nil:
		case errors.Is(err, errNoPattern):
			lacking = append(lacking, z)
		default:
			return fmt.Errorf("look for pattern %s: %w", patternName(z), err)
		}
	}
	if len(lacking) == 0 {
		return nil
	}
	var names, text []string
	for _, t := range r.TLS {
		text = append(text, tlsText(t))
	}
	for _, z := range lacking {
		names, text = append(names, patternName(z)), append(text, patternText(z, zoneFolder, nil))
	}
	err := fmt.Errorf("%w: patterns %s", nameserver.ErrUnprepared, strings.Join(names, " and "))
	hint := "NSD adds zones by patterns of its nsd.conf; "
	if len(r.Keys) > 0 {
		hint += "keys for them are printed by dnsctl tsig show NAME --for nsd; "
	}
	if len(r.TLS) > 0 {
		hint += "each tls-auth may be there once only, and tls-cert-bundle in its server part has the CA; "
	}
	// nsd.conf takes all of it on one line as well.
	hint += "with a folder that NSD may write to in place of " + zoneFolder + ", add this and run nsd-control reconfig: "
	return report.Hint(err, hint+strings.Join(strings.Fields(strings.Join(text, "")), " "))
}
