package nsd

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"dnsctl/nameserver"
	"dnsctl/report"
	"dnsctl/zone"
)

// zoneFolder is where the files of zones go on a server with a configuration of
// its own: below the folder that Debian's NSD may write to.
const zoneFolder = "/var/lib/nsd/dnsctl"

// Prepared says which patterns nsd.conf lacks, and what to add to it.
func (d *driver) Prepared(ctx context.Context, r nameserver.ConfigRequest) error {
	var lacking []nameserver.ZoneConfig
	for _, z := range r.Settings {
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
	for _, z := range lacking {
		names, text = append(names, patternName(z)), append(text, patternText(z, zoneFolder, nil))
	}
	for _, t := range r.TLS {
		text = append([]string{tlsText(t)}, text...)
	}
	hint := "NSD adds zones by the patterns of its nsd.conf. Add these, with a folder for zonefile that NSD may write to"
	if len(r.TLS) > 0 {
		hint += ", each tls-auth that is not there yet (and tls-cert-bundle below server:)"
	}
	if len(r.Keys) > 0 {
		hint += "; the keys that they name come from: dnsctl tsig show NAME --for nsd --show-secret. Then run: nsd-control reconfig"
	} else {
		hint += ". Then run: nsd-control reconfig"
	}
	err := fmt.Errorf("%w: %s", errNoPattern, strings.Join(names, ", "))
	return report.Hint(err, hint+"\n\n"+strings.Join(text, "\n"))
}
