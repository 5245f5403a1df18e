package dnsclient

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"dnsctl/wire"
	"dnsctl/zone"
)

// IXFR brings a zone up to date by an incremental transfer over TCP (RFC 1995).
// The result is from itself when the server has nothing newer. A server may
// answer with the whole zone; that is taken too. An error that wraps
// zone.ErrDelta says that the changes do not fit from: fetch the whole zone with
// Transfer then, and likewise after ErrNotImp and ErrFormErr. What is checked is
// as with Transfer.
func (c *Client) IXFR(ctx context.Context, addr netip.AddrPort, from *zone.Snapshot, key *wire.Key, o TransferOptions) (*zone.Snapshot, error) {
	name := from.Apex()
	fail := &Error{Op: OpChanges, Server: addr, Zone: name, Type: zone.TypeIXFR, Key: keyName(key)}
	var snap *zone.Snapshot
	err := c.stream(ctx, addr, ask{name: name, typ: zone.TypeIXFR, soa: from.SOASet(), key: key}, o, func(s *stream) (err error) {
		snap, err = readChanges(s, from)
		return err
	})
	if err != nil {
		return nil, fail.complete(ctx, err)
	}
	return snap, nil
}

// readChanges reads an IXFR's answer in any of its three forms.
func readChanges(s *stream, from *zone.Snapshot) (*zone.Snapshot, error) {
	first, err := s.firstSOA()
	if err != nil {
		return nil, err
	}
	target, err := serialOf(first)
	if err != nil {
		return nil, err
	}
	if s.answers == 0 && !target.Ahead(from.Serial()) {
		return s.finished(from)
	}
	second, err := s.next()
	if err != nil {
		return nil, err
	}
	soa, err := s.isSOA(second)
	if err != nil {
		return nil, err
	}
	if soa {
		serial, err := serialOf(second)
		if err != nil {
			return nil, err
		}
		// A closing SOA here is that of a whole zone without other records.
		if serial == from.Serial() && serial != target {
			return readDeltas(s, from, first, second)
		}
	}
	return readRest(s, first, second)
}

// finished is the zone when nothing is wrong with the end of the transfer.
func (s *stream) finished(snap *zone.Snapshot) (*zone.Snapshot, error) {
	if err := s.finish(); err != nil {
		return nil, err
	}
	return snap, nil
}

// readDeltas reads differences, oldest first, and applies them one by one. old is
// the SOA that opens the first.
func readDeltas(s *stream, snap *zone.Snapshot, first, old record) (*zone.Snapshot, error) {
	for {
		if !sameSOA(old.rdata, snap.SOASet().Data.First()) {
			return nil, bad(zone.ErrDelta, "it begins at another SOA than that of serial %d here", snap.Serial())
		}
		removed, soa, err := s.untilSOA()
		if err != nil {
			return nil, err
		}
		added, closing, err := s.untilSOA()
		if err != nil {
			return nil, err
		}
		to, err := serialOf(soa)
		if err != nil {
			return nil, err
		}
		if !to.Ahead(snap.Serial()) {
			return nil, bad(ErrMalformed, "changes from serial %d back to %d", snap.Serial(), to)
		}
		if snap, err = apply(snap, soa, removed, added); err != nil {
			return nil, err
		}
		if sameSOA(closing.rdata, first.rdata) && sameSOA(soa.rdata, first.rdata) {
			return s.finished(snap)
		}
		old = closing
	}
}

// untilSOA collects the records before the next SOA.
func (s *stream) untilSOA() (records []record, soa record, err error) {
	for {
		r, err := s.next()
		if err != nil {
			return nil, r, err
		}
		end, err := s.isSOA(r)
		if err != nil {
			return nil, r, err
		}
		if end {
			return records, r, nil
		}
		records = append(records, r)
	}
}

// apply makes the next version. Records that join an RRset take its spelling of
// the owner, which servers need not keep.
func apply(snap *zone.Snapshot, soa record, removed, added []record) (*zone.Snapshot, error) {
	d := zone.Delta{
		OldSOA:  snap.SOASet(),
		NewSOA:  zone.RRset{Owner: snap.SOASet().Owner, Type: zone.TypeSOA, TTL: soa.ttl, Data: zone.PackRdata(soa.rdata)},
		Removed: sorted(removed),
		Added:   sorted(added),
	}
	gone := make(map[zone.ID]int)
	for _, r := range d.Removed {
		gone[r.ID()] = r.Data.Len()
	}
	for i, a := range d.Added {
		if cur, ok := snap.Get(a.ID()); ok && cur.Data.Len() > gone[a.ID()] {
			d.Added[i].Owner = cur.Owner
		}
	}
	next, err := snap.Apply(d)
	if err != nil {
		return nil, fmt.Errorf("apply changes to serial %d: %w", d.To(), err)
	}
	return next, nil
}

// sorted makes RRsets in canonical order.
func sorted(records []record) []zone.RRset {
	sets := rrsets(records)
	slices.SortFunc(sets, func(a, b zone.RRset) int { return a.ID().Compare(b.ID()) })
	return sets
}
