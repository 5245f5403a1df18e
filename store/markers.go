package store

import (
	"context"
	"fmt"

	"dnsctl/fleet"
	"dnsctl/zone"
)

// Marker is what is remembered of a server's marker zone.
func (s *Store) Marker(ctx context.Context, server int64) (fleet.MarkerState, error) {
	m := fleet.MarkerState{Server: server}
	err := s.view(ctx, func(t *tx) error {
		var key []byte
		var placed *int64
		err := t.row(ctx, `SELECT m.name, m.feed_pos, m.placed_at, COALESCE(z.id, 0) FROM markers m
			LEFT JOIN zones z ON z.name = m.name AND z.deleted_at IS NULL WHERE m.server_id = ?`, server).Scan(&key, &m.Feed, &placed, &m.ZoneID)
		if err != nil {
			return none(err, fmt.Errorf("marker of server %d: %w", server, fleet.ErrNoServer))
		}
		if placed != nil {
			at := fromMillis(*placed)
			m.Placed = &at
		}
		m.Name, err = zone.Key(key).Name()
		return err
	})
	return m, err
}

// SetMarker remembers which feed position a server's marker zone states, and
// with placed that the marker was seen on the server.
func (s *Store) SetMarker(ctx context.Context, server, feed int64, placed bool) error {
	return s.change(ctx, func(t *tx) error {
		q := `UPDATE markers SET feed_pos = ? WHERE server_id = ?`
		args := []any{feed, server}
		if placed {
			q = `UPDATE markers SET feed_pos = ?, placed_at = COALESCE(placed_at, ?) WHERE server_id = ?`
			args = []any{feed, millis(s.now()), server}
		}
		n, err := t.exec(ctx, q, args...)
		if err == nil && n == 0 {
			err = fmt.Errorf("marker of server %d: %w", server, fleet.ErrNoServer)
		}
		return err
	})
}
