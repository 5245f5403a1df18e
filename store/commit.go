package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"

	"dnsctl/fleet"
	"dnsctl/report"
	"dnsctl/zone"
)

// Commit carries out a change of zones: all of it, or nothing. Content, deltas,
// editions, memberships, events and feed entries go in one transaction. It
// returns a row per create, edit and member change, in that order.
//
// fleet.ErrConflict when an edit's base version has moved, a zone was deleted or
// undeleted by somebody else, or an earlier zone's last serial is not the one
// that a create was computed from; fleet.ErrExists when a live zone has a name
// that is to be live; fleet.ErrStagedGone when staged content has expired;
// fleet.ErrNoPool when a pool is gone. All say which zone they are about.
func (s *Store) Commit(ctx context.Context, c fleet.Commit) ([]fleet.Committed, error) {
	var out []fleet.Committed
	err := s.change(ctx, func(t *tx) error {
		w := &commit{s: s, t: t, Commit: c, now: millis(s.now())}
		if err := w.run(ctx); err != nil {
			return err
		}
		out = w.out
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.created(ctx, len(c.Creates))
	return out, nil
}

// analyzeFirst is how many zones a process creates before it has the statistics
// brought up to date; then it does whenever that number has doubled.
const analyzeFirst = 100

// created counts new zones. Plans are no worse than they were when it fails.
func (s *Store) created(ctx context.Context, zones int) {
	n, at := s.zonesMade.Add(int64(zones)), s.analyzeAt.Load()
	if zones == 0 || n < at || !s.analyzeAt.CompareAndSwap(at, 2*n) {
		return
	}
	if err := s.d.analyze(ctx, s); err != nil && ctx.Err() == nil {
		s.log.Warn("statistics of the store cannot be brought up to date", "err", err)
	}
}

// commit is a commit under way, inside its transaction.
type commit struct {
	fleet.Commit
	s   *Store
	t   *tx
	now int64

	have    map[int64]*committing // by zone id: the zones that are edited or whose members change
	pools   map[int64]string
	catalog map[int64]string // of pools, by id
	eventID []int64          // of creates, edits, members in order; 0 where there is no event
	events  []report.Event
	members []newMember
	feed    []fleet.FeedEntry // positions count from 0 until they are taken
	out     []fleet.Committed
}

// committing is what the database has of a zone that a commit changes.
type committing struct {
	edition, content int64
	version          int64
	serial           zone.Serial
	deleted, purged  sql.NullInt64
	kind             fleet.Kind
	undelete         bool // by this commit
	chunked          bool // its chunks are current
}

// newMember is a membership to be written.
type newMember struct {
	zone, pool int64
	feed       int // index into feed of the entry that it begins with
}

func (w *commit) run(ctx context.Context) error {
	for _, step := range []func(context.Context) error{w.lock, w.lockPools, w.takeEvents, w.create, w.edit, w.change, w.writeEvents, w.publish} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// lock reads the zones to be changed so that nobody else changes them until the
// commit. All commits lock in the same order: editions by zone, pools, the feed.
// The order is that of the index on zones: in the order of ids, PostgreSQL would
// rather go through all editions for a zone that its statistics do not know yet.
func (w *commit) lock(ctx context.Context) error {
	ids := make([]int64, 0, len(w.Edits)+len(w.Members))
	for _, e := range w.Edits {
		ids = append(ids, e.Zone.ID)
	}
	for _, m := range w.Members {
		ids = append(ids, m.Zone.ID)
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	w.have = make(map[int64]*committing, len(ids))
	err := in(ctx, w.t, ids, func(rows *sqlx.Rows) error {
		var id int64
		var c committing
		err := rows.Scan(&id, &c.edition, &c.content, &c.version, &c.serial, &c.chunked)
		w.have[id] = &c
		return err
	}, `SELECT zone_id, id, content_id, version, serial, chunked = version FROM editions WHERE zone_id IN (?) ORDER BY zone_id, audience, signing`+w.s.d.forUpdate())
	if err != nil {
		return fmt.Errorf("lock zones: %w", err)
	}
	// In a statement of its own: it sees what others committed before the lock.
	err = in(ctx, w.t, ids, func(rows *sqlx.Rows) error {
		var id int64
		var kind fleet.Kind
		var deleted, purged sql.NullInt64
		err := rows.Scan(&id, &kind, &deleted, &purged)
		if c := w.have[id]; c != nil {
			c.kind, c.deleted, c.purged = kind, deleted, purged
		}
		return err
	}, `SELECT id, kind, deleted_at, purged_at FROM zones WHERE id IN (?)`)
	if err != nil {
		return fmt.Errorf("read zones: %w", err)
	}
	for _, m := range w.Members {
		if c := w.have[m.Zone.ID]; c != nil && m.Undelete {
			c.undelete = true
		}
	}
	return nil
}

// at is what the database has of a zone.
func (w *commit) at(z fleet.Zone) (*committing, error) {
	c := w.have[z.ID]
	if c == nil {
		return nil, fmt.Errorf("zone %q: %w", z.Name, fleet.ErrNoZone)
	}
	return c, nil
}

// lockPools reads the pools that zones are put into, so that none is deleted
// before the commit.
func (w *commit) lockPools(ctx context.Context) error {
	var ids []int64
	for _, c := range w.Creates {
		ids = append(ids, c.Pools...)
	}
	for _, m := range w.Members {
		ids = append(ids, m.AddPools...)
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	w.pools, w.catalog = make(map[int64]string, len(ids)), make(map[int64]string)
	if err := w.readPools(ctx, ids); err != nil {
		return err
	}
	for _, id := range ids {
		if _, there := w.pools[id]; !there {
			return fmt.Errorf("pool number %d: %w", id, fleet.ErrNoPool)
		}
	}
	return nil
}

func (w *commit) readPools(ctx context.Context, ids []int64) error {
	err := in(ctx, w.t, ids, func(rows *sqlx.Rows) error {
		var id int64
		var name, catalog string
		err := rows.Scan(&id, &name, &catalog)
		w.pools[id], w.catalog[id] = name, catalog
		return err
	}, `SELECT id, name, catalog FROM pools WHERE id IN (?) ORDER BY id`+w.s.d.forShare())
	if err != nil {
		return fmt.Errorf("lock pools: %w", err)
	}
	return nil
}

// takeEvents gives each change the id of its event. Markers are moved all the
// time and leave none.
func (w *commit) takeEvents(ctx context.Context) error {
	var told []bool
	n := 0
	tell := func(kind fleet.Kind) {
		told = append(told, kind != fleet.Marker)
		if kind != fleet.Marker {
			n++
		}
	}
	for _, c := range w.Creates {
		tell(c.Kind)
	}
	for _, e := range w.Edits {
		tell(e.Zone.Kind)
	}
	for _, m := range w.Members {
		tell(m.Zone.Kind)
	}
	ids, err := w.s.d.ids(ctx, w.t, "events", n)
	if err != nil {
		return fmt.Errorf("number events: %w", err)
	}
	w.eventID = make([]int64, len(told))
	for i := range told {
		if told[i] {
			w.eventID[i], ids = ids[0], ids[1:]
		}
	}
	return nil
}

// event notes what became of change number i; e says what is its own.
func (w *commit) event(i int, e report.Event) {
	if w.eventID[i] == 0 {
		return
	}
	e.ID, e.Actor, e.Command, e.Comment = w.eventID[i], w.Actor, w.Command, w.Comment
	w.events = append(w.events, e)
}

func (w *commit) writeEvents(ctx context.Context) error {
	if err := w.s.insertEvents(ctx, w.t, w.events); err != nil {
		return fmt.Errorf("write events: %w", err)
	}
	return nil
}

// announce notes a feed entry, and what the caller gets for it.
func (w *commit) announce(kind fleet.FeedKind, name zone.Name, z int64, c *committing) {
	w.feed = append(w.feed, fleet.FeedEntry{Kind: kind, ZoneID: z, Edition: c.edition, Version: c.version, Serial: c.serial})
	w.done(name, z, c, int64(len(w.feed)-1))
}

func (w *commit) done(name zone.Name, z int64, c *committing, feed int64) {
	w.out = append(w.out, fleet.Committed{ZoneID: z, Name: name, Edition: c.edition, Serial: c.serial, Feed: feed})
}

// publish takes the feed positions and writes what states them. Every other
// writer waits from here to the commit.
func (w *commit) publish(ctx context.Context) error {
	if len(w.feed) == 0 {
		for i := range w.out {
			w.out[i].Feed = 0
		}
		return nil
	}
	first, err := w.t.takeFeed(ctx, len(w.feed))
	if err != nil {
		return fmt.Errorf("take feed positions: %w", err)
	}
	for i := range w.feed {
		w.feed[i].Pos = first + int64(i)
	}
	for i := range w.out {
		if w.out[i].Feed >= 0 {
			w.out[i].Feed += first
		} else {
			w.out[i].Feed = 0
		}
	}
	columns := []string{"zone_id", "pool_id", "pool_name", "incarnation", "first_feed", "created_at"}
	err = w.s.d.insert(ctx, w.t, "memberships", columns, func(yield func([]any) bool) {
		for _, m := range w.members {
			if !yield([]any{m.zone, m.pool, w.pools[m.pool], randomID(), first + int64(m.feed), w.now}) {
				return
			}
		}
	})
	if err != nil {
		return fmt.Errorf("write memberships: %w", err)
	}
	return w.s.writeFeed(ctx, w.t, w.feed)
}

// poolNames is the names of pools in the order of their ids.
func (w *commit) poolNames(ids []int64) string {
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = w.pools[id]
	}
	return strings.Join(names, ", ")
}
