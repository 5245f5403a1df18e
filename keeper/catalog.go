package keeper

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"dnsctl/edit"
	"dnsctl/fleet"
	"dnsctl/zone"
)

const (
	catalogEvery = time.Second      // between two versions of a catalog; the first goes out at once
	catalogSave  = 10 * time.Second // between two notes of how far a catalog is, when nothing else of it has changed
	catalogNames = 20000            // that one version takes up
	catalogFeed  = 2000             // feed entries that are read at once
)

// catalogs keeps the catalog zone of each pool that has one (RFC 9432). They
// follow the change feed by themselves: a catalog of a million members that is
// made or compared delays nothing else.
func (l *leader) catalogs(ctx context.Context) {
	have := make(map[int64]*catalog)
	for ctx.Err() == nil {
		pools, err := l.Store.Pools(ctx)
		if err != nil && ctx.Err() == nil {
			l.Log.Warn("read the pools for their catalogs", "err", err)
		}
		if err == nil {
			l.setCatalogs(have, pools)
		}
		for _, c := range have {
			if err := c.pass(ctx); err != nil && ctx.Err() == nil {
				l.Log.Warn("write the catalog", "pool", c.pool.Name, "catalog", c.pool.Catalog.String(), "err", err)
			}
		}
		select {
		case <-ctx.Done():
		case <-l.recatalog:
		case <-time.After(min(l.Poll, catalogEvery)):
		}
	}
}

// setCatalogs makes them those of the pools.
func (l *leader) setCatalogs(have map[int64]*catalog, pools []fleet.Pool) {
	named := make(map[int64]bool)
	for _, p := range pools {
		if p.Catalog == "" {
			continue
		}
		named[p.ID] = true
		if c := have[p.ID]; c != nil && c.pool.Catalog == p.Catalog {
			c.pool = p
			continue
		}
		have[p.ID] = &catalog{leader: l, pool: p, held: make(map[zone.Key]zone.Name), told: make(map[int64]zone.Serial)}
	}
	for id, c := range have {
		if !named[id] {
			l.Metrics.forgetCatalog(c.pool.Name)
			delete(have, id)
		}
	}
}

// catalog is the catalog zone of one pool; the goroutine of catalogs owns it.
type catalog struct {
	*leader
	pool    fleet.Pool
	state   fleet.CatalogState // as it is in the store
	saved   time.Time
	started bool   // the zone is there, and pos is known
	waits   string // why it is not started; "" when nothing is in the way

	pos     int64 // feed position up to which members have come in
	behind  int64 // the last position before somebody was held back
	held    map[zone.Key]zone.Name
	since   time.Time // when the first of them was
	members int       // that the zone has
	emptied int       // members that an empty list has left in
	written time.Time

	served *fleet.Zone // the zone as it was last written; nil when that is to be read
	feed   int64       // position at which it is so
	told   map[int64]zone.Serial
}

// pass brings the catalog up to the feed. What may not be done now is done by a
// later pass.
func (c *catalog) pass(ctx context.Context) error {
	may := c.consumers()
	err := c.work(ctx, &may)
	if err != nil && errors.Is(err, fleet.ErrNoZone) {
		c.started = false // somebody took it away: it is made anew
	}
	if serr := c.save(ctx, may); err == nil {
		err = serr
	}
	if err == nil && c.started {
		err = c.tell(ctx)
	}
	return err
}

func (c *catalog) work(ctx context.Context, may *permit) error {
	id, err := c.Store.Identity(ctx)
	if err != nil {
		return err
	}
	if c.started && c.state.Epoch != id.Epoch {
		c.started = false
	}
	if !c.started {
		if err := c.start(ctx, id.Epoch, *may); err != nil {
			return err
		}
	}
	if !c.started || !may.publish || c.Now().Sub(c.written) < catalogEvery {
		return nil
	}
	if err := c.follow(ctx); err != nil || len(c.held) == 0 || !c.started {
		return err
	}
	if *may = c.consumers(); !may.leave {
		return nil
	}
	return c.release(ctx)
}

// start finds out how far the catalog is, or makes it.
func (c *catalog) start(ctx context.Context, epoch int64, may permit) error {
	c.waits, c.served = "", nil
	_, err := c.zone(ctx)
	if errors.Is(err, fleet.ErrNoZone) {
		return c.create(ctx, epoch, may)
	}
	if err != nil {
		return err
	}
	state, err := c.Store.Catalog(ctx, c.pool.ID)
	if errors.Is(err, fleet.ErrNotFound) { // it was made, and that was all: nobody knows in which epoch
		state, err = fleet.CatalogState{Pool: c.pool.ID}, nil
	}
	if err != nil {
		return err
	}
	if c.state = state; state.Epoch != epoch {
		// What nameservers have of it may be another history's: the zone of this store
		// takes its place when all of them are this store's again.
		if !may.leave {
			c.waits = fmt.Sprintf("epoch %d was opened: %s", epoch, may.reason)
			return nil
		}
		if err := c.Applier.Edit.StepCatalog(ctx, c.pool, epoch, c.Meta); err != nil {
			return err
		}
		c.Log.Info("the catalog begins an epoch", "pool", c.pool.Name, "catalog", c.pool.Catalog.String(), "epoch", epoch)
		c.state.Epoch, state.Pos = epoch, 0
	}
	if state.Pos == 0 {
		if !may.publish {
			c.waits = may.reason
			return nil
		}
		return c.compare(ctx)
	}
	if err := c.count(ctx); err != nil {
		return err
	}
	c.begin(state.Pos)
	return nil
}

// create makes the catalog zone. Where one of this name was served before,
// nameservers may have members of it that are not in the list any more: then it
// waits until members may leave.
func (c *catalog) create(ctx context.Context, epoch int64, may permit) error {
	last, err := c.Store.LastSerial(ctx, c.pool.Catalog)
	if err != nil {
		return err
	}
	if !may.publish || last != nil && !may.leave {
		c.waits = may.reason
		return nil
	}
	pos, made, err := c.Applier.Edit.CreateCatalog(ctx, c.pool, c.Meta)
	if err != nil || !made {
		return err
	}
	c.Log.Info("catalog made", "pool", c.pool.Name, "catalog", c.pool.Catalog.String())
	c.state = fleet.CatalogState{Pool: c.pool.ID, Epoch: epoch}
	if err := c.count(ctx); err != nil {
		return err
	}
	c.begin(pos)
	c.written = c.Now()
	return nil
}

// begin follows the feed from a position on.
func (c *catalog) begin(pos int64) {
	c.started, c.pos, c.behind, c.emptied, c.served = true, pos, pos, 0, nil
	clear(c.held)
}

// zone is the catalog zone; fleet.ErrNoZone when there is none.
func (c *catalog) zone(ctx context.Context) (fleet.Zone, error) {
	z, err := c.Store.Zone(ctx, c.pool.Catalog)
	if err == nil && (z.Deleted != nil || z.Kind != fleet.Catalog) {
		err = fmt.Errorf("catalog %q: %w", c.pool.Catalog, fleet.ErrNoZone)
	}
	return z, err
}

// count reads how many members the catalog has; what then changes is added to it.
func (c *catalog) count(ctx context.Context) error {
	z, err := c.zone(ctx)
	if err == nil {
		c.members, err = c.Store.CatalogMembers(ctx, z.Edition.ID)
	}
	return err
}

// compare brings the catalog up to the whole list of members, where the feed does
// not say what changed. From an empty list nothing follows: nobody leaves by it.
func (c *catalog) compare(ctx context.Context) error {
	if err := c.count(ctx); err != nil {
		return err
	}
	differ, members, pos, err := c.Applier.Edit.CompareCatalog(ctx, c.pool)
	if err != nil {
		return err
	}
	c.begin(pos)
	c.behind = 0 // until all of it is in
	if members == 0 && len(differ) > 0 {
		c.emptied = len(differ)
		return nil
	}
	for names := range slices.Chunk(differ, catalogNames) {
		if err := c.update(ctx, names); err != nil {
			c.started = false
			return err
		}
	}
	if len(c.held) == 0 {
		c.behind = pos
	}
	return nil
}

// follow takes up what the feed says of members: who comes comes in, who goes is
// held until release.
func (c *catalog) follow(ctx context.Context) error {
	names, pos := make(map[zone.Key]zone.Name), c.pos
	for len(names) < catalogNames {
		entries, err := c.Store.Feed(ctx, pos, catalogFeed)
		if errors.Is(err, fleet.ErrFeedGone) {
			c.Log.Warn("the change feed was compacted past the catalog: its whole list is compared", "pool", c.pool.Name, "pos", pos)
			return c.compare(ctx)
		}
		if err != nil {
			return err
		}
		for _, e := range entries {
			if e.Kind == fleet.FeedMember && e.ZoneKind == fleet.Ordinary {
				names[e.Zone.Key()] = e.Zone
			}
			pos = e.Pos
		}
		if len(entries) < catalogFeed {
			break
		}
	}
	if len(names) > 0 && c.emptied > 0 {
		return c.compare(ctx) // the list may not be empty any more
	}
	if err := c.update(ctx, slices.Collect(maps.Values(names))); err != nil {
		return err
	}
	if c.pos = pos; len(c.held) == 0 && c.emptied == 0 {
		c.behind = pos
	}
	return nil
}

// update writes one version in which nobody leaves.
func (c *catalog) update(ctx context.Context, names []zone.Name) error {
	if len(names) == 0 {
		return nil
	}
	done, err := c.Applier.Edit.UpdateCatalog(ctx, c.pool, names, false, c.Meta)
	if err != nil {
		return err
	}
	for _, n := range names {
		delete(c.held, n.Key()) // it may be back
	}
	if len(c.held) == 0 {
		c.since = c.Now()
	}
	for _, n := range done.Held {
		c.held[n.Key()] = n
	}
	c.wrote(done)
	return nil
}

// release lets those leave that were held back.
func (c *catalog) release(ctx context.Context) error {
	for names := range slices.Chunk(slices.Collect(maps.Values(c.held)), catalogNames) {
		done, err := c.Applier.Edit.UpdateCatalog(ctx, c.pool, names, true, c.Meta)
		if err != nil {
			return err
		}
		for _, n := range names {
			delete(c.held, n.Key())
		}
		c.wrote(done)
	}
	c.behind = c.pos
	return nil
}

// wrote notes that there is a new version, if there is.
func (c *catalog) wrote(done edit.CatalogChange) {
	if done.Feed != 0 {
		c.members += done.Joined - done.Left
		c.written, c.served = c.Now(), nil
	}
}
