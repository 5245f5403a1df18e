package store

import (
	"context"
	"fmt"
	"time"

	"dnsctl/fleet"
)

// leaseNow is the clock that leases run by: the database's where it has one, so
// that the clocks of hosts need not agree.
func (s *Store) leaseNow(ctx context.Context, t *tx) (time.Time, error) {
	if !s.injected {
		if now, ok, err := s.d.now(ctx, t); ok || err != nil {
			return now, err
		}
	}
	return s.now(), nil
}

// Lease takes a lease for a time, or says who has it: held is false then, and
// the lease is that of the holder. Its fence grows with every new holding.
// A holder that has it already keeps its fence.
func (s *Store) Lease(ctx context.Context, name, holder string, ttl time.Duration) (l fleet.Lease, held bool, err error) {
	err = s.change(ctx, func(t *tx) error {
		now, err := s.leaseNow(ctx, t)
		if err != nil {
			return err
		}
		_, err = t.exec(ctx, `INSERT INTO leases (name, holder, fence, expires_at, taken_at) VALUES (?, '', 0, 0, 0) ON CONFLICT DO NOTHING`, name)
		if err != nil {
			return err
		}
		var expires, taken int64
		l = fleet.Lease{Name: name}
		err = t.row(ctx, `SELECT holder, fence, expires_at, taken_at FROM leases WHERE name = ?`+s.d.forUpdate(), name).Scan(&l.Holder, &l.Fence, &expires, &taken)
		if err != nil {
			return err
		}
		l.Expires, l.Taken = fromMillis(expires), fromMillis(taken)
		current := l.Holder != "" && expires > millis(now)
		if held = !current || l.Holder == holder; !held {
			return nil
		}
		if !current {
			l.Fence++
			l.Taken = fromMillis(millis(now))
		}
		l.Holder, l.Expires = holder, fromMillis(millis(now.Add(ttl)))
		_, err = t.exec(ctx, `UPDATE leases SET holder = ?, fence = ?, expires_at = ?, taken_at = ? WHERE name = ?`, holder, l.Fence, millis(l.Expires), millis(l.Taken), name)
		return err
	})
	if err != nil {
		return fleet.Lease{}, false, fmt.Errorf("take lease %q: %w", name, err)
	}
	return l, held, nil
}

// Renew extends a lease; fleet.ErrLeaseLost when somebody has taken it since.
// One that has run out but that nobody took is renewed.
func (s *Store) Renew(ctx context.Context, l fleet.Lease, ttl time.Duration) (fleet.Lease, error) {
	err := s.change(ctx, func(t *tx) error {
		now, err := s.leaseNow(ctx, t)
		if err != nil {
			return err
		}
		l.Expires = fromMillis(millis(now.Add(ttl)))
		n, err := t.exec(ctx, `UPDATE leases SET expires_at = ? WHERE name = ? AND holder = ? AND fence = ?`, millis(l.Expires), l.Name, l.Holder, l.Fence)
		if err == nil && n == 0 {
			err = fleet.ErrLeaseLost
		}
		return err
	})
	if err != nil {
		return l, fmt.Errorf("renew lease %q: %w", l.Name, err)
	}
	return l, nil
}

// Release gives a lease back; one that was lost is left alone.
func (s *Store) Release(ctx context.Context, l fleet.Lease) error {
	err := s.change(ctx, func(t *tx) error {
		_, err := t.exec(ctx, `UPDATE leases SET holder = '', expires_at = 0 WHERE name = ? AND holder = ? AND fence = ?`, l.Name, l.Holder, l.Fence)
		return err
	})
	if err != nil {
		return fmt.Errorf("release lease %q: %w", l.Name, err)
	}
	return nil
}

// Leases is all leases that somebody holds.
func (s *Store) Leases(ctx context.Context) ([]fleet.Lease, error) {
	out := []fleet.Lease{}
	err := s.view(ctx, func(t *tx) error {
		out = out[:0]
		now, err := s.leaseNow(ctx, t)
		if err != nil {
			return err
		}
		rows, err := t.QueryContext(ctx, t.sql(`SELECT name, holder, fence, expires_at, taken_at FROM leases WHERE holder <> '' AND expires_at > ? ORDER BY name`), millis(now))
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var l fleet.Lease
			var expires, taken int64
			if err := rows.Scan(&l.Name, &l.Holder, &l.Fence, &expires, &taken); err != nil {
				return err
			}
			l.Expires, l.Taken = fromMillis(expires), fromMillis(taken)
			out = append(out, l)
		}
		return rows.Err()
	})
	return out, err
}

// fenced fails with fleet.ErrLeaseLost unless l is the present holding of its
// lease, which stays so until the transaction ends.
func (s *Store) fenced(ctx context.Context, t *tx, l fleet.Lease) error {
	var fence int64
	var holder string
	err := t.row(ctx, `SELECT holder, fence FROM leases WHERE name = ?`+s.d.forShare(), l.Name).Scan(&holder, &fence)
	if err = none(err, nil); err != nil {
		return err
	}
	if holder != l.Holder || fence != l.Fence || holder == "" {
		return fmt.Errorf("lease %q: %w", l.Name, fleet.ErrLeaseLost)
	}
	return nil
}

// Cursor is a stored feed position; 0 when it was never set.
func (s *Store) Cursor(ctx context.Context, name string) (pos int64, err error) {
	err = s.view(ctx, func(t *tx) error {
		return none(t.get(ctx, &pos, `SELECT pos FROM cursors WHERE name = ?`, name), nil)
	})
	return pos, err
}

// SetCursor stores a feed position, which only moves forward. It fails with
// fleet.ErrLeaseLost unless l is still held; a zero l is no condition.
func (s *Store) SetCursor(ctx context.Context, name string, pos int64, l fleet.Lease) error {
	return s.change(ctx, func(t *tx) error {
		if l.Name != "" {
			if err := s.fenced(ctx, t, l); err != nil {
				return err
			}
		}
		_, err := t.exec(ctx, `INSERT INTO cursors (name, pos) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET pos = excluded.pos WHERE cursors.pos < excluded.pos`, name, pos)
		return err
	})
}
