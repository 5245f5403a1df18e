package inventory

import (
	"context"
	"fmt"

	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/zone"
)

// Serials is every serial that the server has, by its control channel, or answers
// with, over DNS, for the zones that ours picks. An error means that not all of
// them are known: the server must be read whole.
func (s *Session) Serials(ctx context.Context, ours func(zone.Name) bool) (map[zone.Key][]zone.Serial, error) {
	var zones []nameserver.ZoneState
	var ask []fleet.Wanted
	if err := s.Driver.Inventory(ctx, func(z nameserver.ZoneState) error {
		if ours(z.Name) {
			zones, ask = append(zones, z), append(ask, fleet.Wanted{Name: z.Name})
		}
		return nil
	}); err != nil {
		return nil, fmt.Errorf("read the zones of server %s: %w", s.Server.Name, err)
	}
	have, err := s.probe(ctx, ask, zones)
	if err != nil {
		return nil, err
	}
	out := make(map[zone.Key][]zone.Serial)
	for _, h := range have {
		k := h.Name.Key()
		if h.Serial != nil {
			out[k] = append(out[k], *h.Serial)
		}
		switch {
		case h.Probe.Serves:
			out[k] = append(out[k], h.Probe.Serial)
		case h.Probe.Lost:
			return nil, fmt.Errorf("server %s does not say which serial of zone %q it serves: %s", s.Server.Name, h.Name, h.Probe.Err)
		}
	}
	return out, nil
}
