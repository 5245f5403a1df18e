package commands

import (
	"context"
	"fmt"
	"slices"

	"dnsctl/fleet"
	"dnsctl/report"
	"dnsctl/zone"
)

// warnUnheld says, before a zone is put into pools, which of their nameservers can
// never have one of its name. The store is open.
func (a *App) warnUnheld(ctx context.Context, name zone.Name, pools []string) error {
	if len(pools) == 0 {
		return nil
	}
	servers, err := a.store.Servers(ctx)
	if err != nil {
		return err
	}
	for _, text := range unheld(name, pools, servers) {
		a.warn(name.String(), text)
	}
	return nil
}

// unheld says which nameservers of some pools can never have a zone of this name, and
// why.
func unheld(name zone.Name, pools []string, servers []fleet.Server) (out []string) {
	for _, s := range servers {
		if !slices.ContainsFunc(s.Pools, func(p fleet.Pool) bool { return slices.Contains(pools, p.Name) }) {
			continue
		}
		if err := canHold(s.Type, name); err != nil {
			out = append(out, fmt.Sprintf("server %s: %v", s.Name, err))
		}
	}
	return out
}

// warnUnheldBy says, before a nameserver comes into pools, how many of their zones it
// can never have. The store is open.
func (a *App) warnUnheldBy(ctx context.Context, server, kind string, pools []string) error {
	seen := make(map[zone.Key]bool) // a zone may be in several pools
	var first string
	for _, p := range pools {
		err := a.store.Zones(ctx, fleet.ZoneFilter{Pool: p, Damaged: func(error) {}}, func(z fleet.Zone) error {
			err := canHold(kind, z.Name)
			if err == nil || seen[z.Name.Key()] {
				return nil
			}
			if first == "" {
				first = fmt.Sprintf("%s: %v", z.Name, err)
			}
			seen[z.Name.Key()] = true
			return nil
		})
		if err != nil {
			return err
		}
	}
	if len(seen) > 0 {
		a.warn("", fmt.Sprintf("server %s can never have %s of its pools; %s", server, report.Count(len(seen), "zone"), first))
	}
	return nil
}

// canHold says why nameservers of a kind can never have a zone of this name.
func canHold(kind string, name zone.Name) error {
	for _, t := range nameserverTypes() {
		if t.Name() == kind {
			return t.CanHold(name)
		}
	}
	return nil // the kind is refused elsewhere
}
