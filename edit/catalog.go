package edit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"dnsctl/fleet"
	"dnsctl/zone"
)

// The SOA of catalog zones. Nameservers ask on their own every five minutes, for
// a NOTIFY that was lost; what they have must never expire, since all the zones
// in it might go with it.
const (
	catalogRefresh = 300
	catalogRetry   = 60
	catalogExpire  = 2147483646
)

// epochLeap is how far the serial of a catalog is stepped when an epoch begins:
// past anything that the history which was lost can have published, and still
// ahead of it (RFC 1982).
const epochLeap = 1 << 30

// CatalogChange is what a change of a catalog zone did.
type CatalogChange struct {
	Joined, Left int
	Held         []zone.Name // that should leave, or come in anew, and were not allowed to leave
	Serial       zone.Serial
	Feed         int64 // position of the change; 0 when there was nothing to do
}

// UpdateCatalog brings the members of these names in a pool's catalog zone (RFC
// 9432) to what the database has, in one commit: its cost is that of the names,
// not of the catalog. A member's label is its membership's incarnation, so that a
// zone created again comes in under another one and nameservers drop what they
// had of it. A member leaves only when its membership has a tombstone and leave
// is set; one that would come in anew keeps its place until it may leave, since a
// catalog with two members of one name is none (section 4.1).
// fleet.ErrNoZone when there is no catalog zone yet.
func (e *Editor) UpdateCatalog(ctx context.Context, pool fleet.Pool, names []zone.Name, leave bool, m Meta) (CatalogChange, error) {
	var out CatalogChange
	err := retry(ctx, pool.Catalog, func() error {
		z, err := e.catalog(ctx, pool)
		if err != nil {
			return err
		}
		out = CatalogChange{Serial: z.Edition.Serial}
		d, err := e.catalogDelta(ctx, pool, z, names, leave, &out)
		if err != nil || d.Empty() {
			return err
		}
		ed := fleet.Edit{Zone: z, Base: z.Edition.Version, Put: append([]zone.RRset{d.NewSOA}, d.Added...), Delta: d,
			RRsets: z.Edition.RRsets + len(d.Added) - len(d.Removed), Records: z.Edition.Records + len(d.Added) - len(d.Removed), Octets: z.Edition.Octets}
		for _, set := range d.Added {
			ed.Octets += set.Octets()
		}
		for _, set := range d.Removed {
			ed.Octets -= set.Octets()
			if !slices.ContainsFunc(d.Added, func(a zone.RRset) bool { return a.ID() == set.ID() }) { // else Put replaces it
				ed.Drop = append(ed.Drop, set.ID())
			}
		}
		done, err := e.Store.Commit(ctx, fleet.Commit{Edits: []fleet.Edit{ed}, Actor: m.Actor, Command: m.Command, Comment: m.Comment})
		if err != nil {
			return err
		}
		out.Serial, out.Feed = done[0].Serial, done[0].Feed
		return nil
	})
	return out, err
}

// catalog is the live catalog zone of a pool.
func (e *Editor) catalog(ctx context.Context, pool fleet.Pool) (fleet.Zone, error) {
	z, err := e.Store.Zone(ctx, pool.Catalog)
	switch {
	case err != nil:
		return z, err
	case z.Deleted != nil:
		return z, fmt.Errorf("catalog %q: %w", pool.Catalog, fleet.ErrNoZone)
	case z.Kind != fleet.Catalog || !slices.Equal(z.Pools, []string{pool.Name}):
		return z, fmt.Errorf("zone %q is not the catalog of pool %s", pool.Catalog, pool.Name)
	}
	return z, nil
}

// catalogDelta is what is to be changed about the members of these names.
func (e *Editor) catalogDelta(ctx context.Context, pool fleet.Pool, z fleet.Zone, names []zone.Name, leave bool, out *CatalogChange) (zone.Delta, error) {
	d := zone.Delta{OldSOA: z.Edition.SOA}
	names = slices.Clone(names)
	slices.SortFunc(names, func(a, b zone.Name) int { return cmp.Compare(a.Key(), b.Key()) })
	names = slices.CompactFunc(names, zone.Name.Equal)
	all, err := e.Store.Members(ctx, pool.ID, names)
	if err != nil {
		return d, err
	}
	sets := make(map[string][]zone.RRset, len(all)) // by incarnation
	keys := make([]zone.Key, 0, 2*len(all))
	of := make(map[zone.Key][]fleet.Membership, len(names))
	for _, v := range all {
		its, err := memberSets(pool.Catalog, v)
		if err != nil {
			return d, err
		}
		sets[v.Incarnation] = its
		for _, set := range its {
			keys = append(keys, set.Owner.Key())
		}
		of[v.Zone.Key()] = append(of[v.Zone.Key()], v)
	}
	have, err := e.Store.Owners(ctx, z.Edition.ID, keys)
	if err != nil {
		return d, err
	}
	there := make(map[zone.Key]zone.RRset, len(have))
	for _, set := range have {
		there[set.Owner.Key()] = set
	}
	for _, n := range names {
		was := of[n.Key()]
		var join, gone []zone.RRset
		for _, v := range was {
			for _, set := range sets[v.Incarnation] {
				now, in := there[set.Owner.Key()]
				wanted := v.Deleted == nil && set.Data != ""
				same := wanted && in && now.Data == set.Data
				if wanted && !same {
					join = append(join, set)
				}
				if in && !same {
					gone = append(gone, now)
				}
			}
		}
		left := pointers(gone)
		if left > 0 && !leave {
			out.Held = append(out.Held, n)
			continue
		}
		out.Joined, out.Left = out.Joined+pointers(join), out.Left+left
		d.Added, d.Removed = append(d.Added, join...), append(d.Removed, gone...)
	}
	for _, sets := range [][]zone.RRset{d.Added, d.Removed} {
		slices.SortFunc(sets, func(a, b zone.RRset) int { return a.ID().Compare(b.ID()) })
	}
	d.NewSOA = nextSOA(z, z.Edition.Serial.Next(z.SerialStyle, e.Now()))
	return d, nil
}

// nextSOA is the catalog's SOA with another serial.
func nextSOA(z fleet.Zone, serial zone.Serial) zone.RRset {
	set := z.Edition.SOA
	set.Data = zone.PackRdata(catalogSOA(serial))
	return set
}

func catalogSOA(serial zone.Serial) string {
	soa := zone.SOA{MName: markerNS, RName: markerNS, Serial: serial, Refresh: catalogRefresh, Retry: catalogRetry, Expire: catalogExpire}
	return soa.Rdata()
}

// pointers is how many members there are in the RRsets of some.
func pointers(sets []zone.RRset) (n int) {
	for _, set := range sets {
		if set.Type == zone.TypePTR {
			n++
		}
	}
	return n
}

// memberSets are the PTR of a member and its group (RFC 9432 sections 4.1 and
// 4.4.2), whose data is empty where it has none.
func memberSets(catalog zone.Name, v fleet.Membership) ([]zone.RRset, error) {
	owner, err := catalog.Prepend("zones")
	if err == nil {
		owner, err = owner.Prepend(v.Incarnation)
	}
	group := zone.RRset{Type: zone.TypeTXT}
	if err == nil {
		group.Owner, err = owner.Prepend("group")
	}
	if err != nil {
		return nil, fmt.Errorf("member %q of catalog %q: %w", v.Zone, catalog, err)
	}
	if v.Group != "" {
		group.Data = zone.PackRdata(fleet.TXTRdata(v.Group))
	}
	return []zone.RRset{{Owner: owner, Type: zone.TypePTR, Data: zone.PackRdata(string(v.Zone))}, group}, nil
}

// CreateCatalog makes a pool's catalog zone with all the members that the pool
// has, in one commit: nameservers see the whole list or none. Without a member
// none is made, and made is false: an empty catalog says that all zones go. It
// returns the feed position that the list is the state of.
func (e *Editor) CreateCatalog(ctx context.Context, pool fleet.Pool, m Meta) (pos int64, made bool, err error) {
	err = retry(ctx, pool.Catalog, func() error {
		last, err := e.Store.LastSerial(ctx, pool.Catalog)
		if err != nil {
			return err
		}
		serial := zone.Serial(1)
		if last != nil {
			serial = last.Next(zone.SerialIncrement, e.Now())
		}
		b := zone.NewBuilder(pool.Catalog, 0)
		b.Add(zone.RRset{Owner: pool.Catalog, Type: zone.TypeSOA, Data: zone.PackRdata(catalogSOA(serial))})
		b.Add(zone.RRset{Owner: pool.Catalog, Type: zone.TypeNS, Data: zone.PackRdata(string(markerNS))})
		version, err := pool.Catalog.Prepend("version")
		if err != nil {
			return err
		}
		b.Add(zone.RRset{Owner: version, Type: zone.TypeTXT, Data: zone.PackRdata(fleet.TXTRdata("2"))})
		empty := b.Len()
		if pos, err = e.Store.EachMember(ctx, pool.ID, func(v fleet.Membership) error {
			sets, err := memberSets(pool.Catalog, v)
			for _, set := range sets {
				if set.Data != "" {
					b.Add(set)
				}
			}
			return err
		}); err != nil {
			return err
		}
		if made = b.Len() > empty; !made {
			return nil
		}
		snap, err := b.Build()
		if err != nil {
			return err
		}
		cr := fleet.Create{Name: pool.Catalog, Kind: fleet.Catalog, SerialStyle: zone.SerialIncrement, Pools: []int64{pool.ID}, After: last}
		if snap.RRsets() > stageAbove {
			cr.Staged, err = e.Store.Stage(ctx, snap)
		} else {
			cr.Content = snap
		}
		if err == nil {
			_, err = e.Store.Commit(ctx, fleet.Commit{Creates: []fleet.Create{cr}, Actor: m.Actor, Command: m.Command, Comment: m.Comment})
		}
		return err
	})
	return pos, made, err
}

// CompareCatalog reads a pool's whole catalog zone and its whole list of members,
// and returns the names about which they differ, for UpdateCatalog; how many
// members the list has; and the feed position that it is the state of.
func (e *Editor) CompareCatalog(ctx context.Context, pool fleet.Pool) (differ []zone.Name, members int, pos int64, err error) {
	type member struct { // of an RRset
		key  zone.Key
		data zone.Rdata
		name zone.Name
	}
	z, err := e.catalog(ctx, pool)
	if err != nil {
		return nil, 0, 0, err
	}
	// The catalog first: who joins or leaves meanwhile is looked at once more.
	content, _, err := e.Store.Snapshot(ctx, z.Edition.ID)
	if err != nil {
		return nil, 0, 0, err
	}
	var list []member
	pos, err = e.Store.EachMember(ctx, pool.ID, func(v fleet.Membership) error {
		sets, err := memberSets(pool.Catalog, v)
		for _, set := range sets {
			if set.Data != "" {
				list = append(list, member{set.Owner.Key(), set.Data, v.Zone})
			}
		}
		members++
		return err
	})
	if err != nil {
		return nil, 0, 0, err
	}
	slices.SortFunc(list, func(a, b member) int { return cmp.Compare(a.key, b.key) })
	left := list
	var name zone.Name // of the member whose RRsets these are: its PTR is the first
	for key, set := range content.From("") {
		if set.Type == zone.TypePTR {
			if name, _, err = zone.UnpackName([]byte(set.Data.First())); err != nil {
				return nil, 0, 0, fmt.Errorf("catalog %q: %s: %w", pool.Catalog, set.Owner, err)
			}
		} else if set.Type != zone.TypeTXT || name == "" {
			continue
		}
		for len(left) > 0 && left[0].key < key {
			differ, left = append(differ, left[0].name), left[1:]
		}
		if len(left) > 0 && left[0].key == key {
			if left[0].data != set.Data {
				differ = append(differ, name)
			}
			left = left[1:]
			continue
		}
		differ = append(differ, name)
	}
	for _, v := range left {
		differ = append(differ, v.name)
	}
	return differ, members, pos, nil
}

// StepCatalog begins an epoch for a pool's catalog zone: its serial is stepped
// past all that a lost history can have published, and no IXFR leads across.
// There may be no catalog zone yet.
func (e *Editor) StepCatalog(ctx context.Context, pool fleet.Pool, epoch int64, m Meta) error {
	return retry(ctx, pool.Catalog, func() error {
		z, err := e.catalog(ctx, pool)
		if errors.Is(err, fleet.ErrNoZone) {
			return nil
		}
		if err != nil {
			return err
		}
		ed, err := soaEdit(z, z.Edition.Serial+epochLeap)
		if err != nil {
			return err
		}
		ed.Epoch = epoch
		_, err = e.Store.Commit(ctx, fleet.Commit{Edits: []fleet.Edit{ed}, Actor: m.Actor, Command: m.Command, Comment: m.Comment})
		return err
	})
}
