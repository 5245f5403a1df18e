package keeper

import (
	"context"
	"fmt"

	"dnsctl/dnsclient"
	"dnsctl/fleet"
	"dnsctl/wire"
	"dnsctl/zone"
)

// NotifyDNS is the NotifySender that goes over the network. NOTIFY leaves from
// the client's address, which the nameservers must know as one of the zone's
// primaries.
type NotifyDNS struct {
	Client *dnsclient.Client // its Tries are made within each try of the Notifier
	Prober *dnsclient.Prober
	// Key is the newest valid key of the pool through which the server has the
	// zone; nil when it has none.
	Key func(ctx context.Context, s fleet.Server, name zone.Name) (*wire.Key, error)
}

var _ NotifySender = NotifyDNS{}

// Notify implements NotifySender.
func (n NotifyDNS) Notify(ctx context.Context, s fleet.Server, name zone.Name, soa zone.RRset) error {
	key, err := n.Key(ctx, s, name)
	if err != nil {
		return fmt.Errorf("find the key of zone %s: %w", name, err)
	}
	return n.Client.Notify(ctx, s.NotifyAddr(), name, soa, key)
}

// Serial implements NotifySender.
func (n NotifyDNS) Serial(ctx context.Context, s fleet.Server, name zone.Name) (zone.Serial, error) {
	key, err := n.Key(ctx, s, name)
	if err != nil {
		return 0, fmt.Errorf("find the key of zone %s: %w", name, err)
	}
	r := n.Prober.SOA(ctx, dnsclient.Probe{Server: s.ProbeAddr(), Zone: name, Key: key})
	switch {
	case r.Err != nil:
		return 0, r.Err
	case !r.Serves():
		return 0, fmt.Errorf("the server does not answer for zone %s: %s", name, r.Rcode)
	}
	return r.Serial, nil
}
