package store

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jmoiron/sqlx"

	"dnsctl/fleet"
	"dnsctl/report"
)

// change deletes and undeletes zones and changes their pools and settings.
func (w *commit) change(ctx context.Context) error {
	for i, m := range w.Members {
		if err := w.changeOne(ctx, len(w.Creates)+len(w.Edits)+i, m); err != nil {
			return fmt.Errorf("zone %q: %w", m.Zone.Name, err)
		}
	}
	return nil
}

func (w *commit) changeOne(ctx context.Context, i int, m fleet.MemberChange) error {
	c, err := w.at(m.Zone)
	if err != nil {
		return err
	}
	action, result := "set", ""
	announced := false
	switch {
	case m.Delete:
		action, announced = "delete", true
		err = w.delete(ctx, m, c)
	case m.Undelete:
		action, announced = "undelete", true
		result, err = w.undelete(ctx, m, c)
	case m.Purge && !c.deleted.Valid:
		err = errors.New("only a deleted zone can be purged")
	case !m.Purge && c.deleted.Valid:
		err = fleet.ErrConflict
	}
	if err != nil {
		return err
	}
	if m.Purge {
		if !m.Delete {
			action = "purge"
		}
		if err := w.purge(ctx, m.Zone.ID); err != nil {
			return err
		}
	}
	before := ""
	if len(m.AddPools)+len(m.RemovePools) > 0 && !m.Delete {
		announced = true
		before = "pools " + fmt.Sprint(m.Zone.Pools)
		if err := w.move(ctx, m, c); err != nil {
			return err
		}
		result = fmt.Sprintf("+%d -%d pools", len(m.AddPools), len(m.RemovePools))
	}
	if m.SerialStyle != "" {
		if _, err := w.t.exec(ctx, `UPDATE zones SET serial_style = ? WHERE id = ?`, string(m.SerialStyle), m.Zone.ID); err != nil {
			return err
		}
		before += fmt.Sprintf(" serial style %s", m.Zone.SerialStyle)
		result += fmt.Sprintf(" serial style %s", m.SerialStyle)
	}
	if m.Group != nil {
		announced = true // the catalogs of its pools have it
		if _, err := w.t.exec(ctx, `UPDATE zones SET catalog_group = ? WHERE id = ?`, *m.Group, m.Zone.ID); err != nil {
			return err
		}
		before += fmt.Sprintf(" group %q", m.Zone.Group)
		result += fmt.Sprintf(" group %q", *m.Group)
	}
	if m.Priority != nil {
		if _, err := w.t.exec(ctx, `UPDATE zones SET priority = ? WHERE id = ?`, *m.Priority, m.Zone.ID); err != nil {
			return err
		}
		before += fmt.Sprintf(" priority %d", m.Zone.Priority)
		result += fmt.Sprintf(" priority %d", *m.Priority)
	}
	serial := c.serial
	w.event(i, report.Event{Action: action, ZoneID: m.Zone.ID, Zone: m.Zone.Name, Serial: &serial, Before: before, Result: result})
	if announced {
		w.announce(fleet.FeedMember, m.Zone.Name, m.Zone.ID, c)
	} else {
		w.done(m.Zone.Name, m.Zone.ID, c, -1)
	}
	return nil
}

// delete takes a zone off: its memberships become tombstones.
func (w *commit) delete(ctx context.Context, m fleet.MemberChange, c *committing) error {
	if c.deleted.Valid || m.Undelete {
		return fleet.ErrConflict
	}
	if _, err := w.t.exec(ctx, `UPDATE zones SET deleted_at = ? WHERE id = ?`, w.now, m.Zone.ID); err != nil {
		return err
	}
	_, err := w.t.exec(ctx, `UPDATE memberships SET deleted_at = ?, last_serial = ? WHERE zone_id = ? AND deleted_at IS NULL`,
		w.now, int64(c.serial), m.Zone.ID)
	c.deleted.Int64, c.deleted.Valid = w.now, true
	return err
}

// undelete brings a zone back, in those of the pools it was in at last that are
// still there.
func (w *commit) undelete(ctx context.Context, m fleet.MemberChange, c *committing) (result string, err error) {
	switch {
	case !c.deleted.Valid:
		return "", fleet.ErrConflict
	case c.purged.Valid:
		return "", fleet.ErrPurged
	}
	key := []byte(m.Zone.Name.Key())
	if err := w.refuseLive(ctx, [][]byte{key}); err != nil {
		return "", err
	}
	if err := w.refuseCatalogNames(ctx, m.Zone.Name); err != nil {
		return "", err
	}
	if _, err := w.t.exec(ctx, `UPDATE zones SET deleted_at = NULL WHERE id = ?`, m.Zone.ID); err != nil {
		return "", w.unique(err, "write zone")
	}
	if err := w.checkUndeleted(ctx, m.Zone, c); err != nil {
		return "", err
	}
	var pools []int64
	err = w.t.each(ctx, func(rows *sqlx.Rows) error {
		var id int64
		err := rows.Scan(&id)
		pools = append(pools, id)
		return err
	}, `SELECT pool_id FROM memberships WHERE zone_id = ? AND deleted_at = ? ORDER BY pool_id`, m.Zone.ID, c.deleted.Int64)
	if err != nil {
		return "", err
	}
	if err := w.readPools(ctx, pools); err != nil {
		return "", err
	}
	pools = slices.DeleteFunc(pools, func(id int64) bool {
		return w.pools[id] == "" || slices.Contains(m.AddPools, id) || slices.Contains(m.RemovePools, id)
	})
	for _, p := range pools {
		w.members = append(w.members, newMember{zone: m.Zone.ID, pool: p, feed: len(w.feed)})
	}
	c.deleted.Valid = false
	return "pools " + w.poolNames(pools), nil
}

// checkUndeleted keeps a zone that comes back from being behind, or level with
// other content than, another zone that has had its name in the meantime.
func (w *commit) checkUndeleted(ctx context.Context, z fleet.Zone, c *committing) error {
	last, err := w.t.lastSerial(ctx, z.Name.Key())
	if err != nil || last == nil || c.serial.Ahead(*last) {
		return err
	}
	return fmt.Errorf("its serial %d is not ahead of %d, which another zone of its name has had", c.serial, *last)
}

// purge gives up a deleted zone's content and history.
func (w *commit) purge(ctx context.Context, id int64) error {
	for _, q := range []string{
		`UPDATE contents SET state = 'dead' WHERE id IN (SELECT content_id FROM editions WHERE zone_id = ?)`,
		`DELETE FROM deltas WHERE edition_id IN (SELECT id FROM editions WHERE zone_id = ?)`,
	} {
		if _, err := w.t.exec(ctx, q, id); err != nil {
			return err
		}
	}
	_, err := w.t.exec(ctx, `UPDATE zones SET purged_at = ? WHERE id = ?`, w.now, id)
	return err
}

// move takes a zone out of pools and puts it into others.
func (w *commit) move(ctx context.Context, m fleet.MemberChange, c *committing) error {
	for _, p := range m.RemovePools {
		_, err := w.t.exec(ctx, `UPDATE memberships SET deleted_at = ?, last_serial = ? WHERE zone_id = ? AND pool_id = ? AND deleted_at IS NULL`,
			w.now, int64(c.serial), m.Zone.ID, p)
		if err != nil {
			return err
		}
	}
	var in []int64
	if err := w.t.all(ctx, &in, `SELECT pool_id FROM memberships WHERE zone_id = ? AND deleted_at IS NULL`, m.Zone.ID); err != nil {
		return err
	}
	for _, p := range m.AddPools {
		if !slices.Contains(in, p) {
			w.members = append(w.members, newMember{zone: m.Zone.ID, pool: p, feed: len(w.feed)})
		}
	}
	return nil
}
