package store

import (
	"context"
	"errors"
	"fmt"

	"dnsctl/fleet"
	"dnsctl/report"
)

// OpenEpoch opens a new epoch of the store: every marker on a nameserver is of an
// earlier one from now on, and no server is accepted. It is pending until
// FinishEpoch. One that is pending already is not followed by another.
func (s *Store) OpenEpoch(ctx context.Context, reason string, by fleet.By) (id fleet.Identity, err error) {
	err = s.change(ctx, func(t *tx) error {
		if id, err = t.identity(ctx); err != nil || id.Pending {
			return err
		}
		id, err = s.openEpoch(ctx, t, id.Epoch+1, reason, by)
		return err
	})
	if err != nil {
		return id, fmt.Errorf("open an epoch: %w", err)
	}
	return id, nil
}

func (s *Store) openEpoch(ctx context.Context, t *tx, epoch int64, reason string, by fleet.By) (fleet.Identity, error) {
	head, err := t.head(ctx)
	if err != nil {
		return fleet.Identity{}, err
	}
	if _, err := t.exec(ctx, `INSERT INTO epochs (epoch, id, feed_pos, reason, opened_at) VALUES (?, ?, ?, ?, ?)`, epoch, randomID(), head, reason, millis(s.now())); err != nil {
		return fleet.Identity{}, err
	}
	if _, err := t.exec(ctx, `UPDATE store SET epoch = ?`, epoch); err != nil {
		return fleet.Identity{}, err
	}
	if _, err := t.exec(ctx, `UPDATE servers SET accepted = 0`); err != nil {
		return fleet.Identity{}, err
	}
	if err := s.configured(ctx, t, configEvent(by, "new-epoch", "", fmt.Sprintf("epoch %d", epoch-1), fmt.Sprintf("epoch %d: %s", epoch, reason))); err != nil {
		return fleet.Identity{}, err
	}
	return t.identity(ctx)
}

// FinishEpoch notes that all serials are past what nameservers serve. It fails
// unless the epoch is the present one.
func (s *Store) FinishEpoch(ctx context.Context, epoch int64, by fleet.By) error {
	err := s.change(ctx, func(t *tx) error {
		id, err := t.identity(ctx)
		switch {
		case err != nil:
			return err
		case id.Epoch != epoch:
			return report.Hint(fmt.Errorf("epoch %d was opened meanwhile: %w", id.Epoch, fleet.ErrConflict), "run the command again")
		case !id.Pending:
			return nil
		}
		if _, err := t.exec(ctx, `UPDATE epochs SET stepped_at = ? WHERE epoch = ?`, millis(s.now()), epoch); err != nil {
			return err
		}
		return s.configured(ctx, t, configEvent(by, "new-epoch", "", "", fmt.Sprintf("epoch %d: serials are past what nameservers serve", epoch)))
	})
	if err != nil {
		return fmt.Errorf("finish epoch %d: %w", epoch, err)
	}
	return nil
}

// Stepped is the editions that have a change which begins the epoch for them.
func (s *Store) Stepped(ctx context.Context, epoch int64) (map[int64]bool, error) {
	var ids []int64
	err := s.view(ctx, func(t *tx) error {
		ids = nil
		return t.all(ctx, &ids, `SELECT edition_id FROM deltas WHERE epoch = ? AND at >= (SELECT opened_at FROM epochs WHERE epoch = ?)`, epoch, epoch)
	})
	if err != nil {
		return nil, fmt.Errorf("read what epoch %d has: %w", epoch, err)
	}
	out := make(map[int64]bool, len(ids))
	for _, id := range ids {
		out[id] = true
	}
	return out, nil
}

// errNoEpoch says that the store's own row lacks its epoch.
var errNoEpoch = errors.New("its epoch is not in the list of epochs")

func (t *tx) identity(ctx context.Context) (fleet.Identity, error) {
	var id fleet.Identity
	var stepped *int64
	err := t.row(ctx, `SELECT s.store_id, s.epoch, e.stepped_at FROM store s JOIN epochs e ON e.epoch = s.epoch`).Scan(&id.Store, &id.Epoch, &stepped)
	id.Pending = stepped == nil
	return id, none(err, fmt.Errorf("%w: %w", fleet.ErrCorrupt, errNoEpoch))
}
