package keeper

import (
	"context"
	"errors"
	"maps"
	"slices"

	"dnsctl/fleet"
	"dnsctl/report"
	"dnsctl/zone"
)

const followBatch = 500

// errForked says that the database has another history than the one that was
// followed: it was put back, or a standby that lacks the end was promoted.
var errForked = errors.New("the change feed is not the one that was followed")

// next is the feed's entries after a position. With them it reads the one before
// again, which must be the one that is known.
func (l *leader) next(ctx context.Context, pos int64) ([]fleet.FeedEntry, error) {
	entries, err := l.Store.Feed(ctx, max(0, pos-1), followBatch+1)
	switch {
	case errors.Is(err, fleet.ErrFeedGone): // it may be that one only that is gone
		return l.Store.Feed(ctx, pos, followBatch)
	case err != nil || pos == 0:
		return entries, err
	case len(entries) == 0, entries[0].Pos == pos && l.lastID != "" && entries[0].ID != l.lastID:
		return nil, errForked
	case entries[0].Pos == pos:
		l.lastID = entries[0].ID
		entries = entries[1:]
	}
	return entries, nil
}

// follow handles the feed's next entries and returns the position after them.
func (l *leader) follow(ctx context.Context, pos int64) (int64, error) {
	entries, err := l.next(ctx, pos)
	if err == nil && l.Served != nil {
		served := l.Served()
		entries = slices.DeleteFunc(entries, func(e fleet.FeedEntry) bool { return e.Pos > served })
	}
	if err != nil || len(entries) == 0 {
		return pos, err
	}
	// Of several entries about a zone only the last one counts.
	content, moved := make(map[int64]int64), make(map[zone.Key]zone.Name)
	config, catalogs := false, false
	var ids []int64
	for _, e := range entries {
		catalogs = catalogs || e.Kind != fleet.FeedContent || e.ZoneKind == fleet.Catalog
		switch e.Kind {
		case fleet.FeedContent:
			content[e.ZoneID] = e.Pos
			ids = append(ids, e.ZoneID)
		case fleet.FeedMember:
			if e.ZoneKind == fleet.Ordinary {
				moved[e.Zone.Key()] = e.Zone
			}
		case fleet.FeedConfig:
			config = true
		}
	}
	if config {
		if err := l.reload(ctx); err != nil {
			return pos, err
		}
	}
	if catalogs {
		select {
		case l.recatalog <- struct{}{}:
		default:
		}
	}
	if err := l.memberships(ctx, moved); err != nil {
		return pos, err
	}
	slices.Sort(ids)
	served, err := l.Store.Served(ctx, slices.Compact(ids))
	if err != nil {
		return pos, err
	}
	held := make(changes)
	for _, z := range served {
		if z.Damage != nil { // there is nothing to tell of it
			l.Log.Error("zone cannot be read", "zone", z.Name.String(), "err", z.Damage)
			continue
		}
		l.changed(z, content[z.ZoneID], held)
	}
	if err := l.standIn(ctx, held); err != nil {
		return pos, err
	}
	last := entries[len(entries)-1]
	l.lastID = last.ID
	return last.Pos, nil
}

// changed tells the servers that have the zone, and adds it to held for those
// that may not be told.
func (l *leader) changed(z fleet.Served, pos int64, held changes) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, sec := range l.servers {
		if z.Kind == fleet.Marker && !z.Name.Equal(sec.server.Marker) || z.Kind == fleet.Restored || z.Kind == fleet.Catalog || !inPools(sec.server, z.Pools) {
			continue
		}
		if z.Kind == fleet.Ordinary {
			sec.dirty = true
		}
		if z.Kind == fleet.Marker && sec.blocked.code != "" {
			sec.wake() // it may just have been placed
			continue
		}
		if sec.server.State.Out() {
			continue // what it misses, it catches up with before it is back in service
		}
		if !sec.blocked.told() {
			held.add(sec.server.ID, z.Name)
			continue
		}
		if z.Kind == fleet.Ordinary {
			l.open.add(sec.server.ID, z.Name, z.Serial, pos)
		}
		l.note.Add(sec.server.ID, z.Name, z.Serial, z.SOA)
	}
}

// memberships makes tasks of zones that came, went or moved, on the servers that
// should have them or should have had them.
func (l *leader) memberships(ctx context.Context, zones map[zone.Key]zone.Name) error {
	if len(zones) == 0 {
		return nil
	}
	names := slices.Collect(maps.Values(zones))
	all := l.all()
	var tasks []report.Task
	for _, sec := range all {
		if sec.server.State.Out() {
			continue
		}
		wanted, err := l.Store.WantedAmong(ctx, sec.server.ID, names)
		if err != nil {
			return err
		}
		gone, err := l.Store.TombstonesAmong(ctx, sec.server.ID, names)
		if err != nil {
			return err
		}
		if len(wanted)+len(gone) > 0 {
			l.setDirty(sec)
		}
		tasks = append(append(tasks, l.present(sec.server.Name, wanted...)...), l.absent(sec.server.Name, gone...)...)
	}
	if err := l.Store.PutTasks(ctx, tasks); err != nil {
		return err
	}
	for _, sec := range all {
		sec.wake()
	}
	return nil
}
