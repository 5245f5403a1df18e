package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"dnsctl/fleet"
)

const (
	// expireRows is how many rows one transaction of a sweep deletes.
	expireRows = 500
	// seenFor is how long it is kept that foreign zones were seen or deleted: the
	// guards ask for the last day.
	seenFor = 7 * 24 * time.Hour
	// replicaFor is how long a process that is not heard of any more is listed.
	replicaFor = time.Hour
)

// Expire removes what is older than the retention says, in short transactions:
// the content of deleted zones, changes of zones, events, entries of the change
// feed that cursor is past, quarantined copies whose time is over, and what the
// guards and the list of replicas need no more. It may be run at any time.
func (s *Store) Expire(ctx context.Context, r fleet.Retention, cursor string, by fleet.By) error {
	if r.Deleted > 0 {
		if _, err := s.PurgeDeleted(ctx, s.now().Add(-r.Deleted), by.Actor, by.Command); err != nil {
			return err
		}
	}
	for _, step := range []struct {
		what string
		keep time.Duration
		do   func(ctx context.Context, before int64) error
	}{
		{"changes of zones", r.History, s.expireDeltas},
		{"events", r.Events, s.expireEvents},
		{"the change feed", r.Feed, func(ctx context.Context, before int64) error { return s.expireFeed(ctx, before, cursor) }},
		{"sightings", seenFor, s.expireSightings},
	} {
		if step.keep <= 0 {
			continue
		}
		if err := step.do(ctx, millis(s.now().Add(-step.keep))); err != nil {
			return fmt.Errorf("expire %s: %w", step.what, err)
		}
	}
	if _, err := s.PurgeCopies(ctx); err != nil {
		return fmt.Errorf("expire copies: %w", err)
	}
	_, err := s.DropReplicas(ctx, replicaFor)
	return err
}

// inBatches runs a statement that deletes as many rows as its last parameter says,
// in transactions of their own, until it deletes fewer; it returns how many in
// all.
func (s *Store) inBatches(ctx context.Context, q string, args ...any) (all int64, err error) {
	for n := int64(expireRows); n >= expireRows; {
		if ctx.Err() != nil {
			return all, ctx.Err()
		}
		err := s.change(ctx, func(t *tx) (err error) {
			n, err = t.exec(ctx, q, append(args[:len(args):len(args)], expireRows)...)
			return err
		})
		if err != nil {
			return all, err
		}
		all += n
	}
	return all, nil
}

func (s *Store) expireDeltas(ctx context.Context, before int64) error {
	_, err := s.inBatches(ctx, `DELETE FROM deltas WHERE (edition_id, version) IN (SELECT edition_id, version FROM deltas WHERE at < ? ORDER BY at LIMIT ?)`, before)
	return err
}

func (s *Store) expireSightings(ctx context.Context, before int64) error {
	return s.change(ctx, func(t *tx) error {
		if _, err := t.exec(ctx, `DELETE FROM foreign_deletions WHERE at < ?`, before); err != nil {
			return err
		}
		_, err := t.exec(ctx, `DELETE FROM sightings WHERE last_seen < ?`, before)
		return err
	})
}

// expireEvents deletes events from the first one on: they are numbered in the
// order they come in, so that no index by time is needed.
func (s *Store) expireEvents(ctx context.Context, before int64) error {
	from := int64(0)
	for old := expireRows; old == expireRows; {
		last := from
		err := s.view(ctx, func(t *tx) error {
			old = 0
			return t.each(ctx, func(rows *sqlx.Rows) error {
				var id, at int64
				err := rows.Scan(&id, &at)
				if at < before {
					old, last = old+1, id
				}
				return err
			}, `SELECT id, at FROM events WHERE id > ? ORDER BY id LIMIT ?`, from, expireRows)
		})
		if err != nil || old == 0 {
			return err
		}
		if err := s.change(ctx, func(t *tx) error {
			_, err := t.exec(ctx, `DELETE FROM events WHERE id > ? AND id <= ? AND at < ?`, from, last, before)
			return err
		}); err != nil {
			return err
		}
		from = last
	}
	return nil
}

// expireFeed compacts the feed up to the first entry that is young enough, but
// not what the cursor has not passed.
func (s *Store) expireFeed(ctx context.Context, before int64, cursor string) error {
	var upTo int64
	err := s.view(ctx, func(t *tx) error {
		var compacted, passed int64
		if err := t.get(ctx, &compacted, `SELECT compacted FROM feed_head`); err != nil {
			return err
		}
		if err := none(t.get(ctx, &passed, `SELECT pos FROM cursors WHERE name = ?`, cursor), nil); err != nil {
			return err
		}
		err := t.get(ctx, &upTo, `SELECT pos - 1 FROM feed WHERE pos > ? AND at >= ? ORDER BY pos LIMIT 1`, compacted, before)
		if err = none(err, nil); err != nil {
			return err
		}
		if upTo == 0 { // none is
			if upTo, err = t.head(ctx); err != nil {
				return err
			}
		}
		upTo = min(upTo, passed)
		return nil
	})
	if err != nil {
		return err
	}
	return s.CompactFeed(ctx, upTo)
}
