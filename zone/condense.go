package zone

import (
	"maps"
	"slices"
)

// Condense is the one delta that does what an unbroken chain of them does (RFC
// 1995 section 5): what comes and goes on the way is left out. It is the Diff of
// the chain's ends, made without them.
func Condense(chain []Delta) Delta {
	type change struct{ removed, added RRset } // without data when there is none
	changes := make(map[ID]*change)
	at := func(id ID) *change {
		if changes[id] == nil {
			changes[id] = &change{}
		}
		return changes[id]
	}
	for _, d := range chain {
		for _, r := range d.Removed {
			c := at(r.ID())
			// What this chain has not added was there before it.
			before := r.Data.Without(c.added.Data)
			c.added.Data = c.added.Data.Without(r.Data)
			if before != "" {
				r.Data = c.removed.Data.With(before)
				c.removed = r
			}
		}
		for _, a := range d.Added {
			c := at(a.ID())
			if a.TTL == c.removed.TTL && a.Owner == c.removed.Owner {
				back := c.removed.Data
				c.removed.Data = back.Without(a.Data)
				a.Data = a.Data.Without(back)
			}
			a.Data = c.added.Data.With(a.Data)
			c.added = a
		}
	}
	out := Delta{OldSOA: chain[0].OldSOA, NewSOA: chain[len(chain)-1].NewSOA}
	for _, id := range slices.SortedFunc(maps.Keys(changes), ID.Compare) {
		if c := changes[id]; c.removed.Data != "" {
			out.Removed = append(out.Removed, c.removed)
		}
		if c := changes[id]; c.added.Data != "" {
			out.Added = append(out.Added, c.added)
		}
	}
	return out
}
