package edit

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"dnsctl/fleet"
	"dnsctl/zone"
)

// markerNS is the name server of marker zones: none (as RFC 9432 section 4.1 has
// it for catalog zones, which nobody looks anything up in either).
var markerNS = zone.MustParseName("invalid.")

// Marker writes a server's marker zone: an SOA, an NS and one TXT. It makes the
// zone in the given pools when there is none, and gives it those pools and a
// new serial otherwise. It returns the serial.
func (e *Editor) Marker(ctx context.Context, name zone.Name, txt string, pools []int64, m Meta) (zone.Serial, error) {
	var serial zone.Serial
	err := retry(ctx, name, func() error {
		z, err := e.Store.Zone(ctx, name)
		create := errors.Is(err, fleet.ErrNoZone) || err == nil && z.Deleted != nil
		if err != nil && !create {
			return err
		}
		c := fleet.Commit{Actor: m.Actor, Command: m.Command, Comment: m.Comment}
		if create {
			last, err := e.Store.LastSerial(ctx, name)
			if err != nil {
				return err
			}
			serial = 1
			if last != nil {
				serial = last.Next(zone.SerialIncrement, e.Now())
			}
			snap, err := markerContent(name, txt, serial)
			if err != nil {
				return err
			}
			c.Creates = []fleet.Create{{Name: name, Kind: fleet.Marker, SerialStyle: zone.SerialIncrement, Pools: pools, Content: snap, After: last}}
		} else {
			if z.Kind != fleet.Marker {
				return fmt.Errorf("zone %q is not a marker zone", name)
			}
			old, version, err := e.Store.Snapshot(ctx, z.Edition.ID)
			if err != nil {
				return err
			}
			serial = old.Serial().Next(zone.SerialIncrement, e.Now())
			snap, err := markerContent(name, txt, serial)
			if err != nil {
				return err
			}
			d := zone.Diff(old, snap)
			put, drop := rows(d, snap)
			c.Edits = []fleet.Edit{{Zone: z, Base: version, Put: put, Drop: drop, Delta: d, RRsets: snap.RRsets(), Records: snap.Records(), Octets: snap.Octets()}}
			if c.Members, err = e.markerPools(ctx, z, pools); err != nil {
				return err
			}
		}
		_, err = e.Store.Commit(ctx, c)
		return err
	})
	return serial, err
}

// markerPools moves a marker zone to the pools that its server is in by now.
func (e *Editor) markerPools(ctx context.Context, z fleet.Zone, want []int64) ([]fleet.MemberChange, error) {
	have, err := e.poolIDs(ctx, z.Pools)
	if err != nil {
		return nil, err
	}
	m := fleet.MemberChange{Zone: z}
	for _, id := range want {
		if !slices.Contains(have, id) {
			m.AddPools = append(m.AddPools, id)
		}
	}
	for _, id := range have {
		if !slices.Contains(want, id) {
			m.RemovePools = append(m.RemovePools, id)
		}
	}
	if len(m.AddPools)+len(m.RemovePools) == 0 {
		return nil, nil
	}
	return []fleet.MemberChange{m}, nil
}

// DropMarker takes the marker zone of a server that is removed out of the store.
func (e *Editor) DropMarker(ctx context.Context, name zone.Name, m Meta) error {
	return e.drop(ctx, name, fleet.Marker, m)
}

func markerContent(name zone.Name, txt string, serial zone.Serial) (*zone.Snapshot, error) {
	b := zone.NewBuilder(name, 3)
	soa := zone.SOA{MName: markerNS, RName: markerNS, Serial: serial, Refresh: 3600, Retry: 600, Expire: 2147483646, Minimum: 0}
	b.Add(zone.RRset{Owner: name, Type: zone.TypeSOA, Data: zone.PackRdata(soa.Rdata())})
	b.Add(zone.RRset{Owner: name, Type: zone.TypeNS, Data: zone.PackRdata(string(markerNS))})
	b.Add(zone.RRset{Owner: name, Type: zone.TypeTXT, Data: zone.PackRdata(fleet.TXTRdata(txt))})
	return b.Build()
}

// Restored puts a quarantined copy into the store as a zone of kind restored,
// so that mdns serves it to the server that gets it back.
func (e *Editor) Restored(ctx context.Context, content *zone.Snapshot, pools []int64, m Meta) error {
	_, err := e.Store.Commit(ctx, fleet.Commit{Actor: m.Actor, Command: m.Command, Comment: m.Comment,
		Creates: []fleet.Create{{Name: content.Apex(), Kind: fleet.Restored, SerialStyle: zone.SerialIncrement, Pools: pools, Content: content, Signed: content.Signed()}}})
	return err
}

// DropRestored takes a restored zone out of the store again, for good.
func (e *Editor) DropRestored(ctx context.Context, name zone.Name, m Meta) error {
	return e.drop(ctx, name, fleet.Restored, m)
}

// drop deletes and purges the live zone of this name, if it is of the kind.
func (e *Editor) drop(ctx context.Context, name zone.Name, kind fleet.Kind, m Meta) error {
	z, err := e.Store.Zone(ctx, name)
	if errors.Is(err, fleet.ErrNoZone) || err == nil && (z.Deleted != nil || z.Kind != kind) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = e.Store.Commit(ctx, fleet.Commit{Actor: m.Actor, Command: m.Command, Comment: m.Comment,
		Members: []fleet.MemberChange{{Zone: z, Delete: true, Purge: true}}})
	return err
}
