package mdns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"dnsctl/fleet"
	"dnsctl/zone"
)

// feedBatch is how many feed entries are read at once.
const feedBatch = 1000

// follower keeps the index at the feed's end. One goroutine runs it.
type follower struct {
	source Follower
	index  *index
	access func(ctx context.Context) error // reloads pools and keys
	forget func()                          // drops all content: versions count anew
	log    *slog.Logger
	m      *metrics
	now    func() time.Time

	epoch  int64  // that the index is of
	lastID string // random id of the entry at the index's position; empty: not known
	behind bool   // the store was found behind the index; said once
}

// indexBatch is how many zones are handed on at once while the index is read.
const indexBatch = 512

// read reads the store's index. Entries are made of what was read while further
// zones are: with a million of them each is seconds of a processor.
func (f *follower) read(ctx context.Context) (fresh *index, pos int64, bad int, err error) {
	fresh = newIndex()
	batches, made := make(chan []fleet.Served, 4), make(chan struct{})
	go func() {
		defer close(made)
		for batch := range batches {
			for _, z := range batch {
				e, err := makeEntry(z)
				if err != nil {
					bad++
					f.log.Error("zone cannot be read", "zone", z.Name.String(), "err", err)
					e = f.index.of(z.Name, z.ZoneID) // served on as it was
				}
				if e != nil {
					fresh.put(e)
				}
			}
		}
	}()
	batch := make([]fleet.Served, 0, indexBatch)
	pos, err = f.source.Index(ctx, func(z fleet.Served) error {
		if batch = append(batch, z); len(batch) == indexBatch {
			batches <- batch
			batch = make([]fleet.Served, 0, indexBatch)
		}
		return nil
	})
	batches <- batch
	close(batches)
	<-made
	return fresh, pos, bad, err
}

// load reads the whole index. Where the old one has served a serial that the new
// state is behind, the zone is held back. A state from before the old one is
// refused, since it is of a lagging replica, unless the store is known to have
// another history now: forked.
func (f *follower) load(ctx context.Context, forked bool) error {
	begin := f.now()
	fresh, pos, bad, err := f.read(ctx)
	if err != nil {
		return fmt.Errorf("load index: %w", err)
	}
	if pos < f.index.position() && !forked {
		f.m.regressions.Inc()
		return fmt.Errorf("load index: the store is at feed position %d, behind %d", pos, f.index.position())
	}
	id := ""
	if pos > 0 {
		entries, err := f.source.Feed(ctx, pos-1, 1)
		if err != nil {
			return fmt.Errorf("load index: %w", err)
		}
		if len(entries) == 1 && entries[0].Pos == pos {
			id = entries[0].ID
		}
	}
	if err := f.access(ctx); err != nil {
		return err
	}
	store, err := f.source.Identity(ctx)
	if err != nil {
		return fmt.Errorf("load index: %w", err)
	}
	held := f.index.replace(fresh, pos, forked)
	if f.epoch == 0 {
		f.epoch = store.Epoch
	} else {
		f.enter(store)
	}
	if forked {
		f.forget()
	}
	f.lastID = id
	f.m.reloads.Inc()
	f.m.position.Set(float64(pos))
	f.m.zones.Set(float64(len(fresh.byName)))
	f.log.Info("index loaded", "zones", len(fresh.byName), "position", pos, "held", held, "bad", bad, "took", f.now().Sub(begin))
	return nil
}

// replace takes over another index's zones and says how many of them are held.
func (x *index) replace(fresh *index, pos int64, forked bool) (held int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for name, e := range fresh.byName {
		old := x.byName[name]
		if old == nil || !forked && old.zoneID != e.zoneID { // deleted, and made again
			continue
		}
		if !forked && old.edition == e.edition && old.version > e.version {
			// Content was met that is newer than this state: see raise.
			n := old.in(e.form.pools)
			fresh.share(n)
			fresh.byName[name] = n
			continue
		}
		if e.after(old); e.held() {
			held++
		}
	}
	x.byName, x.pools, x.forms, x.pos = fresh.byName, fresh.pools, fresh.forms, pos
	return held
}

// catchUp applies what the feed has beyond the index's position. Where the feed
// does not continue what was read before (compacted away, another history), the
// index is loaded anew.
func (f *follower) catchUp(ctx context.Context) error {
	for {
		pos := f.index.position()
		after := pos
		if pos > 0 && f.lastID != "" {
			after-- // read the last entry again: it must be the one that we know
		}
		entries, err := f.source.Feed(ctx, after, feedBatch)
		if errors.Is(err, fleet.ErrFeedGone) {
			f.log.Warn("feed was compacted past what was followed; loading the index", "position", pos)
			return f.load(ctx, false)
		}
		if err != nil {
			return fmt.Errorf("read feed after %d: %w", after, err)
		}
		if after < pos {
			if len(entries) == 0 {
				return f.regressed(ctx, pos)
			}
			if entries[0].Pos != pos || entries[0].ID != f.lastID {
				f.log.Warn("feed is not the one that was followed; loading the index", "position", pos)
				return f.load(ctx, true)
			}
			entries = entries[1:]
		}
		f.behind = false
		if len(entries) == 0 {
			f.m.lag.Set(0)
			return nil
		}
		for i, e := range entries {
			if e.Pos != pos+int64(i)+1 {
				f.log.Warn("feed has a gap; loading the index", "position", pos, "next", e.Pos)
				return f.load(ctx, false)
			}
		}
		if err := f.apply(ctx, entries); err != nil {
			return err
		}
		if len(entries) < feedBatch-1 {
			f.m.lag.Set(0)
			return nil
		}
	}
}

// enter takes note of a new epoch. Once its serials are past what nameservers
// have, what this process has served does not hold zones back any more.
func (f *follower) enter(store fleet.Identity) {
	if store.Epoch == f.epoch || store.Pending {
		return
	}
	f.epoch = store.Epoch
	f.log.Info("the store is in a new epoch", "epoch", store.Epoch, "released", f.index.release())
}

// release ends that zones are held back, and says how many were.
func (x *index) release() (n int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for name, e := range x.byName {
		if e.floor == e.serial {
			continue
		}
		if e.held() {
			n++
		}
		free := *e
		free.floor = free.serial
		x.byName[name] = &free
	}
	return n
}

// regressed handles a feed that ends before our position. A lagging replica of
// the database is waited for, with everything served as it was. A store put back
// to an earlier state shows by a new epoch, or by an entry with another id once
// it passes us.
func (f *follower) regressed(ctx context.Context, pos int64) error {
	store, err := f.source.Identity(ctx)
	if err != nil {
		return fmt.Errorf("read the store's epoch: %w", err)
	}
	if store.Epoch > f.epoch {
		f.log.Warn("the store was put back to an earlier state; loading the index", "position", pos, "epoch", store.Epoch)
		return f.load(ctx, true)
	}
	head, err := f.source.Head(ctx)
	if err != nil {
		return fmt.Errorf("read feed head: %w", err)
	}
	if head >= pos {
		entries, err := f.source.Feed(ctx, pos-1, 1)
		if err != nil {
			return fmt.Errorf("read feed entry %d: %w", pos, err)
		}
		if len(entries) == 1 && entries[0].Pos == pos { // committed since: perhaps another than ours
			return f.catchUp(ctx)
		}
		return f.load(ctx, false) // ours has gone
	}
	f.m.lag.Set(float64(head - pos))
	if !f.behind {
		f.behind = true
		f.m.regressions.Inc()
		f.log.Warn("store is behind what has been served; serving on until it has caught up", "position", pos, "head", head)
	}
	return nil
}

// apply brings the zones that the entries are about to their present state.
func (f *follower) apply(ctx context.Context, entries []fleet.FeedEntry) error {
	var ids []int64
	gone := map[int64]zone.Name{} // zones that entries are about and that are not found
	config := false
	for _, e := range entries {
		if e.Kind == fleet.FeedConfig {
			config = true
		} else if _, seen := gone[e.ZoneID]; !seen {
			gone[e.ZoneID] = e.Zone
			ids = append(ids, e.ZoneID)
		}
	}
	if config {
		if err := f.access(ctx); err != nil {
			return err
		}
		store, err := f.source.Identity(ctx)
		if err != nil {
			return fmt.Errorf("read the store's epoch: %w", err)
		}
		defer f.enter(store)
	}
	var zones []*entry
	if len(ids) > 0 {
		served, err := f.source.Served(ctx, ids)
		if err != nil {
			return fmt.Errorf("read changed zones: %w", err)
		}
		for _, z := range served {
			delete(gone, z.ZoneID)
			e, err := makeEntry(z)
			if err != nil { // it is served on as it was
				f.log.Error("zone cannot be read", "zone", z.Name.String(), "err", err)
				continue
			}
			zones = append(zones, e)
		}
	}
	for _, name := range gone {
		if name == "" { // the store does not know its name any more
			return f.load(ctx, false)
		}
	}
	last := entries[len(entries)-1]
	f.index.mu.Lock()
	for id, name := range gone { // first: another zone of the name owes nothing to its serial
		f.index.drop(name, id)
	}
	for _, e := range zones {
		f.index.put(e)
	}
	f.index.pos = last.Pos
	count := len(f.index.byName)
	f.index.mu.Unlock()
	f.lastID = last.ID
	f.m.position.Set(float64(last.Pos))
	f.m.zones.Set(float64(count))
	f.m.followed.Set(float64(f.now().UnixMilli()) / 1000)
	if d := f.now().Sub(last.At); d >= 0 {
		f.m.delay.Observe(d.Seconds())
	}
	return nil
}

// run follows until the context ends. Errors are logged, once per run of equal
// ones, and tried again.
func (f *follower) run(ctx context.Context, wake <-chan struct{}, poll time.Duration, done func(error)) {
	timer := time.NewTicker(poll)
	defer timer.Stop()
	said := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case _, ok := <-wake:
			if !ok {
				wake = nil
				continue
			}
		}
		err := f.catchUp(ctx)
		if ctx.Err() != nil {
			return
		}
		done(err)
		switch {
		case err == nil:
			said = ""
		case err.Error() != said:
			said = err.Error()
			f.log.Error("feed cannot be followed", "err", err)
		}
	}
}
