package store

import (
	"context"
	"fmt"

	"dnsctl/fleet"
)

// ReplaceServer has next, which has no marker yet, take the place of a server:
// that one keeps its name, ID, pools, marker, tasks, copies and events, and is
// reached as next is. It is joining, or stays out of service. next is forgotten;
// fleet.ErrConflict when its marker has been seen on it. The event "replace" of the
// server has next's name as its result.
func (s *Store) ReplaceServer(ctx context.Context, name, next string, by fleet.By) error {
	err := s.change(ctx, func(t *tx) error {
		if _, err := t.exec(ctx, `UPDATE servers SET name = name WHERE name IN (?, ?)`, name, next); err != nil { // locks them
			return err
		}
		old, err := t.server(ctx, name)
		if err != nil {
			return err
		}
		v, err := t.server(ctx, next)
		if err != nil {
			return err
		}
		var placed int
		if err := t.get(ctx, &placed, `SELECT COUNT(*) FROM markers WHERE server_id = ? AND placed_at IS NOT NULL`, v.ID); err != nil {
			return err
		}
		if placed > 0 || v.ID == old.ID {
			return fmt.Errorf("server %s is one by itself: %w", next, fleet.ErrConflict)
		}
		if err := t.forgetServer(ctx, v.ID); err != nil {
			return err
		}
		for _, q := range []string{
			`UPDATE markers SET placed_at = NULL WHERE server_id = ?`,
			`DELETE FROM sightings WHERE server_id = ?`,
			`DELETE FROM health WHERE server_id = ?`,
		} {
			if _, err := t.exec(ctx, q, old.ID); err != nil {
				return err
			}
		}
		v.Pools, v.State, v.Drain = old.Pools, fleet.Joining, old.Drain
		if old.State.Out() {
			v.State = old.State
		}
		if err := s.putServer(ctx, t, old, v, by); err != nil {
			return err
		}
		return s.configured(ctx, t, configEvent(by, "replace", name, "", next))
	})
	if err != nil {
		return fmt.Errorf("replace server %s: %w", name, err)
	}
	return nil
}
