package store

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"

	"dnsctl/fleet"
)

// feedStride is how many entries of compacted history one is kept of.
const feedStride = 1000

func (t *tx) head(ctx context.Context) (pos int64, err error) {
	err = t.get(ctx, &pos, `SELECT pos FROM feed_head`)
	return pos, err
}

// Head is the position of the feed's last entry; 0 when there is none.
func (s *Store) Head(ctx context.Context) (pos int64, err error) {
	err = s.view(ctx, func(t *tx) error {
		pos, err = t.head(ctx)
		return err
	})
	return pos, err
}

const selectFeed = `SELECT f.pos, f.id, f.kind, f.zone_id, f.edition_id, f.version, f.serial, f.at, z.name, z.name_case, COALESCE(z.kind, '')
	FROM feed f LEFT JOIN zones z ON z.id = f.zone_id`

func scanFeed(rows *sqlx.Rows) (fleet.FeedEntry, error) {
	var e fleet.FeedEntry
	var at int64
	var key, spelled []byte
	err := rows.Scan(&e.Pos, &e.ID, &e.Kind, &e.ZoneID, &e.Edition, &e.Version, &e.Serial, &at, &key, &spelled, &e.ZoneKind)
	if err != nil {
		return e, err
	}
	e.At = fromMillis(at)
	if e.ZoneID != 0 {
		if e.Zone, err = nameOf(key, spelled); err != nil {
			return e, fmt.Errorf("%w: zone %d: %w", fleet.ErrCorrupt, e.ZoneID, err)
		}
	}
	return e, nil
}

// Feed is up to limit entries behind position after, in order. They follow each
// other without gaps. fleet.ErrFeedGone when the entries there were compacted:
// start again from Index.
func (s *Store) Feed(ctx context.Context, after int64, limit int) ([]fleet.FeedEntry, error) {
	var out []fleet.FeedEntry
	err := s.view(ctx, func(t *tx) error {
		out = nil
		var compacted int64
		if err := t.get(ctx, &compacted, `SELECT compacted FROM feed_head`); err != nil {
			return err
		}
		if after < compacted {
			return fmt.Errorf("feed behind position %d: %w", after, fleet.ErrFeedGone)
		}
		return t.each(ctx, func(rows *sqlx.Rows) error {
			e, err := scanFeed(rows)
			out = append(out, e)
			return err
		}, selectFeed+` WHERE f.pos > ? ORDER BY f.pos LIMIT ?`, after, limit)
	})
	return out, err
}

// FeedEntry is the entry at a position; fleet.ErrNotFound when there is none or
// it is not kept any more.
func (s *Store) FeedEntry(ctx context.Context, pos int64) (fleet.FeedEntry, error) {
	var out []fleet.FeedEntry
	err := s.view(ctx, func(t *tx) error {
		out = nil
		return t.each(ctx, func(rows *sqlx.Rows) error {
			e, err := scanFeed(rows)
			out = append(out, e)
			return err
		}, selectFeed+` WHERE f.pos = ?`, pos)
	})
	if err != nil {
		return fleet.FeedEntry{}, err
	}
	if len(out) == 0 {
		return fleet.FeedEntry{}, fmt.Errorf("feed entry %d: %w", pos, fleet.ErrNotFound)
	}
	return out[0], nil
}

// CompactFeed deletes the entries up to a position, but for one in a thousand
// and those that markers on nameservers state, whose ids tell a fork of the
// store. A position of the last thousand is moved back, so that readers who are
// a little behind lose nothing.
func (s *Store) CompactFeed(ctx context.Context, upTo int64) error {
	for {
		more := false
		err := s.change(ctx, func(t *tx) error {
			var head, from int64
			if err := t.row(ctx, `SELECT pos, compacted FROM feed_head`+s.d.forUpdate()).Scan(&head, &from); err != nil {
				return err
			}
			end := min(upTo, head-feedStride)
			if more = end-from > sweepRows; more {
				end = from + sweepRows
			}
			if end <= from {
				return nil
			}
			_, err := t.exec(ctx, `DELETE FROM feed WHERE pos > ? AND pos <= ? AND pos % ? <> 0 AND pos NOT IN (SELECT feed_pos FROM markers)`, from, end, feedStride)
			if err != nil {
				return err
			}
			_, err = t.exec(ctx, `UPDATE feed_head SET compacted = ?`, end)
			return err
		})
		if err != nil || !more {
			return err
		}
	}
}

// feedColumns are the columns of a feed entry as appendFeed writes them.
var feedColumns = []string{"pos", "id", "kind", "zone_id", "edition_id", "version", "serial", "at"}

// takeFeed takes n positions of the feed and returns the first. It belongs at
// the very end of a transaction: from here to the commit every other writer
// waits, so that positions become visible in order.
func (t *tx) takeFeed(ctx context.Context, n int) (first int64, err error) {
	var last int64
	err = t.get(ctx, &last, `UPDATE feed_head SET pos = pos + ? RETURNING pos`, n)
	return last - int64(n) + 1, err
}

// writeFeed writes entries at positions that takeFeed gave; it fills in their
// ids and times.
func (s *Store) writeFeed(ctx context.Context, t *tx, entries []fleet.FeedEntry) error {
	err := s.d.insert(ctx, t, "feed", feedColumns, func(yield func([]any) bool) {
		for _, e := range entries {
			if !yield([]any{e.Pos, randomID(), string(e.Kind), e.ZoneID, e.Edition, e.Version, int64(e.Serial), millis(s.now())}) {
				return
			}
		}
	})
	if err != nil {
		return fmt.Errorf("write feed: %w", err)
	}
	return s.d.notify(ctx, t)
}

// configFeed ends a change of pools, servers or keys: its feed entry.
func (s *Store) configFeed(ctx context.Context, t *tx) error {
	pos, err := t.takeFeed(ctx, 1)
	if err != nil {
		return err
	}
	return s.writeFeed(ctx, t, []fleet.FeedEntry{{Pos: pos, Kind: fleet.FeedConfig}})
}
