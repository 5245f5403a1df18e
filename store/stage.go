package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"time"

	"dnsctl/fleet"
	"dnsctl/zone"
)

const (
	// stagedFor is how long staged content is kept that nobody renews.
	stagedFor = 15 * time.Minute
	// turnTime is about how long one transaction of bulk work may take, so that
	// other writers get in between.
	turnTime = 80 * time.Millisecond
	// sweepRows is how many RRsets one step of a sweep deletes.
	sweepRows = 10000
)

// Stage writes content ahead in short transactions, for a Commit that switches
// to it. No reader sees it before. It expires unless it is committed in time,
// and is then removed by Sweep. On an error nothing is left that Sweep does not
// remove. Stage sweeps what others have left, first.
func (s *Store) Stage(ctx context.Context, content *zone.Snapshot) (fleet.StagedContent, error) {
	out := fleet.StagedContent{SOA: content.SOASet(), RRsets: content.RRsets(), Records: content.Records(), Octets: content.Octets()}
	if err := s.Sweep(ctx); err != nil {
		return fleet.StagedContent{}, err
	}
	err := s.change(ctx, func(t *tx) error {
		ids, err := s.newContents(ctx, t, "staged", 1)
		if err == nil {
			out.ID = ids[0]
		}
		return err
	})
	if err != nil {
		return fleet.StagedContent{}, fmt.Errorf("stage zone %q: %w", content.Apex(), err)
	}
	renew := func(ctx context.Context, t *tx) error {
		n, err := t.exec(ctx, `UPDATE contents SET expires_at = ? WHERE id = ? AND state = 'staged'`, millis(s.now().Add(stagedFor)), out.ID)
		if err == nil && n == 0 {
			err = fleet.ErrStagedGone
		}
		return err
	}
	err = s.inTurns(ctx, "rrsets", rrsetColumns, rrsetRows(out.ID, content.From("")), renew)
	if err == nil && out.RRsets >= chunksFrom {
		out.Chunked = true
		err = s.inTurns(ctx, "chunks", chunkColumns, chunkRows(out.ID, content.From(""), content.Apex().Key()), renew)
	}
	if err != nil {
		return fleet.StagedContent{}, errors.Join(fmt.Errorf("stage zone %q: %w", content.Apex(), err), s.Unstage(context.WithoutCancel(ctx), out))
	}
	return out, nil
}

// inTurns inserts many rows in short transactions, each of which begins with
// first. A row that rows yields may be used again for the next.
func (s *Store) inTurns(ctx context.Context, table string, columns []string, rows iter.Seq[[]any], first func(context.Context, *tx) error) error {
	next, stop := iter.Pull(rows)
	defer stop()
	row, more := next()
	for more {
		// Once only: the rows are pulled, so this cannot be run again.
		err := s.changeOnce(ctx, func(t *tx) error {
			start := time.Now()
			if err := first(ctx, t); err != nil {
				return err
			}
			return s.d.insert(ctx, t, table, columns, func(yield func([]any) bool) {
				for i := 1; more; i++ {
					ok := yield(row)
					row, more = next()
					if !ok || i%64 == 0 && time.Since(start) > turnTime {
						return
					}
				}
			})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Unstage gives up staged content; Sweep removes it.
func (s *Store) Unstage(ctx context.Context, c fleet.StagedContent) error {
	return s.change(ctx, func(t *tx) error {
		_, err := t.exec(ctx, `UPDATE contents SET state = 'dead' WHERE id = ? AND state = 'staged'`, c.ID)
		return err
	})
}

// newContents makes rows for n contents and returns their ids.
func (s *Store) newContents(ctx context.Context, t *tx, state string, n int) ([]int64, error) {
	ids, err := s.d.ids(ctx, t, "contents", n)
	if err != nil {
		return nil, err
	}
	now := s.now()
	return ids, s.d.insert(ctx, t, "contents", []string{"id", "state", "expires_at", "created_at"}, func(yield func([]any) bool) {
		for _, id := range ids {
			if !yield([]any{id, state, millis(now.Add(stagedFor)), millis(now)}) {
				return
			}
		}
	})
}

// Sweep removes content that is dead, or staged and expired, in short
// transactions. It may be run at any time, by several at once.
func (s *Store) Sweep(ctx context.Context) error {
	for {
		var ids []int64
		err := s.view(ctx, func(t *tx) error {
			ids = nil
			return t.all(ctx, &ids, `SELECT id FROM contents WHERE state = 'dead' OR state = 'staged' AND expires_at < ? LIMIT 100`, millis(s.now()))
		})
		if err != nil {
			return fmt.Errorf("sweep: %w", err)
		}
		if len(ids) == 0 {
			return nil
		}
		for _, id := range ids {
			if err := s.sweepContent(ctx, id); err != nil {
				return fmt.Errorf("sweep: %w", err)
			}
		}
	}
}

// sweepContent deletes a content that nobody uses, from its first owner on. It
// never looks back: PostgreSQL passes over what was deleted as if it were there.
func (s *Store) sweepContent(ctx context.Context, id int64) error {
	var swept []byte // up to here; nil at the start, and when all are
	for more := true; more; {
		// Once only: swept moves.
		err := s.changeOnce(ctx, func(t *tx) error {
			// From here on it cannot be committed any more.
			n, err := t.exec(ctx, `UPDATE contents SET state = 'dead' WHERE id = ? AND (state = 'dead' OR state = 'staged' AND expires_at < ?)`, id, millis(s.now()))
			if err != nil || n == 0 {
				more = false
				return err
			}
			for start := time.Now(); more && time.Since(start) < turnTime; {
				if swept, err = sweepSome(ctx, t, id, swept); err != nil {
					return err
				}
				more = swept != nil
			}
			if more {
				return nil
			}
			if more, err = t.dropChunks(ctx, id); err != nil || more {
				return err
			}
			_, err = t.exec(ctx, `DELETE FROM contents WHERE id = ?`, id)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// sweepSome deletes some of the RRsets behind an owner (nil: all) and returns
// the last owner that is gone; nil when there are no more.
func sweepSome(ctx context.Context, t *tx, id int64, from []byte) (last []byte, err error) {
	behind := `content_id = ? AND owner > ?`
	if from == nil {
		behind, from = `content_id = ? AND owner >= ?`, []byte{}
	}
	err = t.get(ctx, &last, `SELECT owner FROM rrsets WHERE `+behind+` ORDER BY owner LIMIT 1 OFFSET ?`, id, from, sweepRows)
	if errors.Is(err, sql.ErrNoRows) {
		_, err = t.exec(ctx, `DELETE FROM rrsets WHERE `+behind, id, from)
		return nil, err
	}
	if err != nil {
		return nil, err
	}
	_, err = t.exec(ctx, `DELETE FROM rrsets WHERE `+behind+` AND owner <= ?`, id, from, last)
	return last, err
}
