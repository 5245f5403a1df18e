package zone

import (
	"errors"
	"fmt"
	"slices"
)

// Delta is what changes from one version of a zone to the next, record by
// record, as an IXFR shows it (RFC 1995 section 4). OldSOA and NewSOA are not
// among Removed and Added. An RRset whose TTL or owner's spelling changes is
// removed and added whole.
type Delta struct {
	OldSOA, NewSOA RRset
	Removed, Added []RRset // canonical order
}

// From is the serial the delta applies to.
func (d Delta) From() Serial { return serialOf(d.OldSOA) }

// To is the serial it makes.
func (d Delta) To() Serial { return serialOf(d.NewSOA) }

func serialOf(set RRset) Serial {
	soa, err := ParseSOA(set.Data.First())
	if err != nil {
		return 0
	}
	return soa.Serial
}

// Empty says whether nothing but the SOA differs.
func (d Delta) Empty() bool { return len(d.Removed) == 0 && len(d.Added) == 0 }

// Reverse is the delta back.
func (d Delta) Reverse() Delta {
	return Delta{OldSOA: d.NewSOA, NewSOA: d.OldSOA, Removed: d.Added, Added: d.Removed}
}

// Records counts the records removed and added, the SOAs not among them.
func (d Delta) Records() (removed, added int) {
	for _, s := range d.Removed {
		removed += s.Data.Len()
	}
	for _, s := range d.Added {
		added += s.Data.Len()
	}
	return removed, added
}

// Diff is the delta that makes old into new; both have the same apex.
func Diff(old, new *Snapshot) Delta {
	d := Delta{OldSOA: old.soaSet, NewSOA: new.soaSet}
	a, b := flatten(old), flatten(new)
	for len(a) > 0 || len(b) > 0 {
		c := 0
		switch {
		case len(a) == 0:
			c = 1
		case len(b) == 0:
			c = -1
		default:
			c = a[0].id().Compare(b[0].id())
		}
		switch {
		case c < 0:
			d.remove(a[0].set)
			a = a[1:]
		case c > 0:
			d.add(b[0].set)
			b = b[1:]
		default:
			d.Replace(a[0].set, b[0].set)
			a, b = a[1:], b[1:]
		}
	}
	return d
}

func flatten(s *Snapshot) []entry { return slices.Concat(s.blocks...) }

func (d *Delta) remove(set RRset) {
	if set.Type != TypeSOA {
		d.Removed = append(d.Removed, set)
	}
}

func (d *Delta) add(set RRset) {
	if set.Type != TypeSOA {
		d.Added = append(d.Added, set)
	}
}

// Replace records that the RRset old became new, which has the same ID. Call it
// in canonical order. SOA RRsets are left out.
func (d *Delta) Replace(old, new RRset) {
	if old.Equal(new) {
		return
	}
	if old.Owner != new.Owner || old.TTL != new.TTL {
		d.remove(old)
		d.add(new)
		return
	}
	if gone := old.Data.Without(new.Data); gone != "" {
		o := old
		o.Data = gone
		d.remove(o)
	}
	if more := new.Data.Without(old.Data); more != "" {
		n := new
		n.Data = more
		d.add(n)
	}
}

// ErrDelta is wrapped by Apply's errors: the delta is not for this version.
var ErrDelta = errors.New("delta does not fit the zone's content")

// Apply makes the version that d leads to. The cost is that of the blocks
// touched and of the list of blocks. The error wraps ErrDelta.
func (s *Snapshot) Apply(d Delta) (*Snapshot, error) {
	if s.soaSet != d.OldSOA {
		return nil, fmt.Errorf("%w: zone %s is at serial %d, delta starts at %d", ErrDelta, s.apex, s.Serial(), d.From())
	}
	sets := map[ID]RRset{{s.apexKey, TypeSOA, 0}: d.NewSOA}
	current := func(id ID) (RRset, bool) {
		if set, ok := sets[id]; ok {
			return set, set.Data != ""
		}
		return s.Get(id)
	}
	for _, r := range d.Removed {
		id := r.ID()
		cur, ok := current(id)
		if !ok || cur.TTL != r.TTL {
			return nil, fmt.Errorf("%w: %s %s is not there to be removed", ErrDelta, r.Owner, r.Type)
		}
		left := cur.Data.Without(r.Data)
		if len(left) != len(cur.Data)-len(r.Data) {
			return nil, fmt.Errorf("%w: records of %s %s are not there to be removed", ErrDelta, r.Owner, r.Type)
		}
		cur.Data = left
		sets[id] = cur
	}
	for _, r := range d.Added {
		id := r.ID()
		cur, ok := current(id)
		switch {
		case !ok:
			cur = r
		case cur.TTL != r.TTL || cur.Owner != r.Owner:
			return nil, fmt.Errorf("%w: %s %s would get a second TTL or spelling", ErrDelta, r.Owner, r.Type)
		default:
			all := cur.Data.With(r.Data)
			if len(all) != len(cur.Data)+len(r.Data) {
				return nil, fmt.Errorf("%w: records of %s %s are there already", ErrDelta, r.Owner, r.Type)
			}
			cur.Data = all
		}
		sets[id] = cur
	}
	return s.with(sets)
}

// with is the snapshot with these RRsets in place of those of the same ID; one
// without data is dropped.
func (s *Snapshot) with(sets map[ID]RRset) (*Snapshot, error) {
	ids := make([]ID, 0, len(sets))
	for id := range sets {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, ID.Compare)
	n := &Snapshot{apex: s.apex, apexKey: s.apexKey, rrsets: s.rrsets, records: s.records, octets: s.octets}
	n.blocks = make([][]entry, 0, len(s.blocks)+1)
	for bi, b := range s.blocks {
		// This block takes the IDs up to its last entry; the last one takes the rest.
		k := len(ids)
		if bi < len(s.blocks)-1 {
			last := b[len(b)-1].id()
			k, _ = slices.BinarySearchFunc(ids, last, ID.Compare)
			if k < len(ids) && ids[k] == last {
				k++
			}
		}
		if k == 0 {
			n.blocks = append(n.blocks, b)
			continue
		}
		n.replace(b, rewrite(b, ids[:k], sets))
		ids = ids[k:]
	}
	if len(s.blocks) == 0 {
		n.replace(nil, rewrite(nil, ids, sets))
	}
	if err := n.setSOA(); err != nil {
		return nil, err
	}
	return n, nil
}

// rewrite merges the changed RRsets into a block's entries.
func rewrite(b []entry, ids []ID, sets map[ID]RRset) []entry {
	out := make([]entry, 0, len(b)+len(ids))
	put := func(id ID) {
		if set := sets[id]; set.Data != "" {
			out = append(out, entry{id.Owner, set})
		}
	}
	for _, e := range b {
		for len(ids) > 0 && ids[0].Compare(e.id()) < 0 {
			put(ids[0])
			ids = ids[1:]
		}
		if len(ids) > 0 && ids[0] == e.id() {
			put(ids[0])
			ids = ids[1:]
			continue
		}
		out = append(out, e)
	}
	for _, id := range ids {
		put(id)
	}
	return out
}

// replace appends what a block has become: as one where it fits, else in equal
// parts, so that the next changes fit.
func (s *Snapshot) replace(old, b []entry) {
	for i := range old {
		s.count(old[i].set, -1)
	}
	octets := 0
	for i := range b {
		octets += s.count(b[i].set, 0)
	}
	parts := max((octets+blockOctets-1)/blockOctets, (len(b)+blockSize-1)/blockSize, 1)
	each := (len(b) + parts - 1) / parts
	for ; len(b) > each; b = b[each:] {
		s.addBlocks(b[:each:each])
	}
	s.addBlocks(b)
}
