package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"dnsctl/fleet"
)

// PutReplica writes what a process of the hidden primary says of itself. When it
// was seen, and first seen, is the time that all processes share.
func (s *Store) PutReplica(ctx context.Context, r fleet.Replica) error {
	listen, err := json.Marshal(r.Listen)
	if err == nil {
		err = s.change(ctx, func(t *tx) error {
			now, err := s.leaseNow(ctx, t)
			if err != nil {
				return err
			}
			_, err = t.exec(ctx, `INSERT INTO replicas (id, host, pid, version, listen, http, holder, state, reason, feed_pos, started_at, seen_at)
				VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
				ON CONFLICT (id) DO UPDATE SET state = excluded.state, reason = excluded.reason, feed_pos = excluded.feed_pos, seen_at = excluded.seen_at`,
				r.ID, r.Host, r.PID, r.Version, string(listen), r.HTTP, r.Holder, r.State, r.Reason, r.Position, millis(now), millis(now))
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("write replica %s: %w", r.ID, err)
	}
	return nil
}

// DropReplica forgets a process that has ended.
func (s *Store) DropReplica(ctx context.Context, id string) error {
	err := s.change(ctx, func(t *tx) error {
		_, err := t.exec(ctx, `DELETE FROM replicas WHERE id = ?`, id)
		return err
	})
	if err != nil {
		return fmt.Errorf("forget replica %s: %w", id, err)
	}
	return nil
}

// DropReplicas forgets processes that have not been seen for some time, and
// returns how many.
func (s *Store) DropReplicas(ctx context.Context, unseen time.Duration) (n int64, err error) {
	err = s.change(ctx, func(t *tx) error {
		now, err := s.leaseNow(ctx, t)
		if err == nil {
			n, err = t.exec(ctx, `DELETE FROM replicas WHERE seen_at < ?`, millis(now.Add(-unseen)))
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("forget replicas: %w", err)
	}
	return n, nil
}

// Replicas is all processes of the hidden primary, the one started first first,
// and the time that they were seen at is to be compared with.
func (s *Store) Replicas(ctx context.Context) (out []fleet.Replica, now time.Time, err error) {
	err = s.view(ctx, func(t *tx) error {
		out = []fleet.Replica{}
		if now, err = s.leaseNow(ctx, t); err != nil {
			return err
		}
		return t.each(ctx, func(rows *sqlx.Rows) error {
			var r fleet.Replica
			var listen string
			var started, seen int64
			err := rows.Scan(&r.ID, &r.Host, &r.PID, &r.Version, &listen, &r.HTTP, &r.Holder, &r.State, &r.Reason, &r.Position, &started, &seen)
			if err != nil {
				return err
			}
			if err := json.Unmarshal([]byte(listen), &r.Listen); err != nil {
				return fmt.Errorf("%w: replica %s: %w", fleet.ErrCorrupt, r.ID, err)
			}
			r.Started, r.Seen = fromMillis(started), fromMillis(seen)
			out = append(out, r)
			return nil
		}, `SELECT id, host, pid, version, listen, http, holder, state, reason, feed_pos, started_at, seen_at FROM replicas ORDER BY started_at, id`)
	})
	if err != nil {
		return nil, now, fmt.Errorf("read replicas: %w", err)
	}
	return out, now, nil
}

// SetHealth writes what the leader has seen of a server. It fails with
// fleet.ErrLeaseLost unless l is still held; a server that was removed is
// passed over.
func (s *Store) SetHealth(ctx context.Context, h fleet.Health, l fleet.Lease) error {
	err := s.change(ctx, func(t *tx) error {
		if err := s.fenced(ctx, t, l); err != nil {
			return err
		}
		var id int64
		err := t.get(ctx, &id, `SELECT id FROM servers WHERE id = ?`+s.d.forShare(), h.Server)
		if err != nil {
			return none(err, nil)
		}
		_, err = t.exec(ctx, `INSERT INTO health (server_id, blocked, reason, told, since, marker_pos, looked_at, proven_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (server_id) DO UPDATE SET blocked = excluded.blocked, reason = excluded.reason, told = excluded.told, since = excluded.since,
				marker_pos = excluded.marker_pos, looked_at = COALESCE(excluded.looked_at, health.looked_at), proven_at = COALESCE(excluded.proven_at, health.proven_at)`,
			h.Server, h.Blocked, h.Reason, flag(h.Told), millis(h.Since), h.Marker, millisPtr(h.Looked), millisPtr(h.Proven))
		return err
	})
	if err != nil {
		return fmt.Errorf("write health of server %d: %w", h.Server, err)
	}
	return nil
}

// Health is what a leader has last seen of each server, by its id.
func (s *Store) Health(ctx context.Context) (map[int64]fleet.Health, error) {
	out := make(map[int64]fleet.Health)
	err := s.view(ctx, func(t *tx) error {
		clear(out)
		return t.each(ctx, func(rows *sqlx.Rows) error {
			var h fleet.Health
			var since int64
			var looked, proven sql.NullInt64
			err := rows.Scan(&h.Server, &h.Blocked, &h.Reason, &h.Told, &since, &h.Marker, &looked, &proven)
			h.Since, h.Looked, h.Proven = fromMillis(since), timePtr(looked), timePtr(proven)
			out[h.Server] = h
			return err
		}, `SELECT server_id, blocked, reason, told, since, marker_pos, looked_at, proven_at FROM health`)
	})
	if err != nil {
		return nil, fmt.Errorf("read health: %w", err)
	}
	return out, nil
}
