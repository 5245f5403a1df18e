package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"dnsctl/fleet"
	"dnsctl/report"
)

// DrainServer takes a server out of service: its state becomes fleet.Draining,
// and d is kept. Each of its pools keeps as many other servers in service as it
// asks for, but those named in below; else it is an error with
// report.ExitWithheld, and nothing is changed. Drains of several servers of a pool
// queue here. A server that is drained already stays so, with the reason of d.
func (s *Store) DrainServer(ctx context.Context, name string, d report.Drain, below []string, by fleet.By) error {
	err := s.change(ctx, func(t *tx) error {
		v, err := t.server(ctx, name)
		if err != nil {
			return err
		}
		// Locked in this order by all, the pools keep two drains apart.
		pools, err := t.pools(ctx, ` WHERE id IN (SELECT pool_id FROM server_pools WHERE server_id = ? AND left_at IS NULL) ORDER BY id`+s.d.forUpdate(), v.ID)
		if err != nil {
			return err
		}
		if _, err := t.exec(ctx, `UPDATE servers SET name = name WHERE id = ?`, v.ID); err != nil { // locks it
			return err
		}
		if v, err = t.server(ctx, name); err != nil {
			return err
		}
		if v.State.Out() && v.Drain != nil && (d.Reason == "" || v.Drain.Reason == d.Reason) {
			return nil
		}
		if v.State == fleet.Active {
			for _, p := range pools {
				if err := t.checkFloor(ctx, v, p, below); err != nil {
					return err
				}
			}
		}
		old := v
		if !v.State.Out() {
			v.State = fleet.Draining
		}
		v.Drain = &d
		return s.putServer(ctx, t, old, v, by)
	})
	if err != nil {
		return fmt.Errorf("drain server %s: %w", name, err)
	}
	return nil
}

// checkFloor says whether a pool has enough servers in service without this one.
func (t *tx) checkFloor(ctx context.Context, v fleet.Server, p fleet.Pool, below []string) error {
	var left int
	err := t.get(ctx, &left, `SELECT count(*) FROM servers s JOIN server_pools q ON q.server_id = s.id AND q.left_at IS NULL
		WHERE q.pool_id = ? AND s.id <> ? AND s.state = ?`, p.ID, v.ID, string(fleet.Active))
	if err != nil || left >= p.MinActive || slices.Contains(below, p.Name) {
		return err
	}
	return report.Fail(report.ExitWithheld, fmt.Errorf("pool %s would have %s in service, and keeps at least %d", p.Name, report.Count(left, "server"), p.MinActive),
		fmt.Sprintf("if that is meant: --below-floor %s", p.Name))
}

// errDrainedAnew is returned when a server was drained again, or has come back
// into service, since it was looked at.
var errDrainedAnew = errors.New("it was drained or taken into service by somebody else meanwhile")

// EndDrain gives a server that is out of service, by just this drain, another
// state: fleet.Drained when it is out for good, else one in which it is not
// drained.
func (s *Store) EndDrain(ctx context.Context, name string, d report.Drain, state fleet.State, by fleet.By) error {
	return s.UpdateServer(ctx, name, by, func(v *fleet.Server) error {
		var is report.Drain
		if v.Drain != nil {
			is = *v.Drain
		}
		if !v.State.Out() || is != d {
			return report.Fail(report.ExitBusy, errDrainedAnew, "look at it with: dnsctl server show "+name)
		}
		if v.State = state; !state.Out() {
			v.Drain = nil
		}
		return nil
	})
}

// Late counts the zones that a server should have or not have and that have been
// outstanding since before a time.
func (s *Store) Late(ctx context.Context, server string, before time.Time) (n int, err error) {
	err = s.view(ctx, func(t *tx) error {
		return t.get(ctx, &n, `SELECT count(*) FROM tasks WHERE server_id = (SELECT id FROM servers WHERE name = ?) AND want = 'present' AND created_at < ?`,
			server, millis(before))
	})
	return n, err
}
