package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/jmoiron/sqlx"

	"dnsctl/fleet"
	"dnsctl/report"
	"dnsctl/zone"
)

// catalogText is a catalog's name as a pool's row has it.
func catalogText(n zone.Name) string {
	if n == "" {
		return ""
	}
	return n.Lower().String()
}

// checkCatalog refuses a catalog for a pool whose name another pool's has, or a
// zone.
func (t *tx) checkCatalog(ctx context.Context, p fleet.Pool) error {
	if p.Catalog == "" {
		return nil
	}
	if err := fleet.CheckCatalog(p.Catalog); err != nil {
		return report.Fail(report.ExitUsage, err, "choose another name")
	}
	var others []string
	if err := t.all(ctx, &others, `SELECT name FROM pools WHERE catalog = ? AND id <> ?`, catalogText(p.Catalog), p.ID); err != nil {
		return err
	}
	if len(others) > 0 {
		return report.Fail(report.ExitUsage, fmt.Errorf("catalog %q is that of pool %s", p.Catalog, others[0]), "choose another name: each pool has a catalog of its own")
	}
	var zones int
	if err := t.get(ctx, &zones, `SELECT count(*) FROM zones WHERE name = ? AND deleted_at IS NULL`, []byte(p.Catalog.Key())); err != nil {
		return err
	}
	if zones > 0 {
		return report.Fail(report.ExitUsage, fmt.Errorf("catalog %q: there is a zone of this name", p.Catalog), "choose another name")
	}
	return nil
}

// dropCatalog takes the catalog zone of a pool off, if it was ever published.
// Nameservers keep what they have of it.
func (s *Store) dropCatalog(ctx context.Context, t *tx, pool int64, by fleet.By) error {
	if _, err := t.exec(ctx, `DELETE FROM catalogs WHERE pool_id = ?`, pool); err != nil {
		return err
	}
	var zones []fleet.Zone
	err := t.each(ctx, func(rows *sqlx.Rows) error {
		var r zoneRow
		if err := rows.StructScan(&r); err != nil {
			return err
		}
		z, err := r.zone()
		zones = append(zones, z)
		return err
	}, selectZones+` WHERE z.kind = 'catalog' AND z.deleted_at IS NULL
		AND EXISTS (SELECT 1 FROM memberships p WHERE p.zone_id = z.id AND p.pool_id = ? AND p.deleted_at IS NULL)`, pool)
	if err != nil {
		return err
	}
	for _, z := range zones {
		w := &commit{s: s, t: t, now: millis(s.now()), Commit: fleet.Commit{Actor: by.Actor, Command: by.Command, Comment: by.Comment,
			Members: []fleet.MemberChange{{Zone: z, Delete: true, Purge: true}}}}
		if err := w.run(ctx); err != nil {
			return fmt.Errorf("delete catalog %q: %w", z.Name, err)
		}
	}
	return nil
}

// refuseCatalogs keeps the names of catalogs for them: a catalog is made only
// for the pool that names it, and no other zone has such a name.
func (w *commit) refuseCatalogs(ctx context.Context) error {
	var names []zone.Name
	for _, c := range w.Creates {
		switch {
		case c.Kind != fleet.Catalog:
			names = append(names, c.Name)
		case len(c.Pools) != 1 || w.catalog[c.Pools[0]] != catalogText(c.Name):
			return fmt.Errorf("catalog %q is no pool's any more: %w", c.Name, fleet.ErrConflict)
		}
	}
	return w.refuseCatalogNames(ctx, names...)
}

// refuseCatalogNames fails when one of the names is that of a pool's catalog.
func (w *commit) refuseCatalogNames(ctx context.Context, names ...zone.Name) error {
	pools := make(map[string]string) // catalog -> pool
	err := w.t.each(ctx, func(rows *sqlx.Rows) error {
		var name, catalog string
		err := rows.Scan(&name, &catalog)
		pools[catalog] = name
		return err
	}, `SELECT name, catalog FROM pools WHERE catalog <> ''`)
	if err != nil || len(pools) == 0 {
		return err
	}
	for _, n := range names {
		if pool, taken := pools[catalogText(n)]; taken {
			return report.Fail(report.ExitUsage, fmt.Errorf("zone %q: that is the name of the catalog of pool %s", n, pool), "choose another name")
		}
	}
	return nil
}

// selectMembers selects what scanMember reads. The zones come first, also for
// SQLite, which takes a CROSS JOIN in the order it is written: a few names are
// looked up in a pool of a million.
const selectMembers = `SELECT z.name, z.name_case, z.id, m.pool_name, m.incarnation, m.created_at, m.deleted_at, m.last_serial, z.catalog_group
	FROM zones z CROSS JOIN memberships m WHERE m.zone_id = z.id AND z.kind = 'zone' AND m.pool_id = ?`

func scanMember(rows *sqlx.Rows) (fleet.Membership, error) {
	var v fleet.Membership
	var key, spelled sql.RawBytes
	var created int64
	var deleted, last sql.NullInt64
	err := rows.Scan(&key, &spelled, &v.ZoneID, &v.Pool, &v.Incarnation, &created, &deleted, &last, &v.Group)
	if err != nil {
		return v, err
	}
	if v.Zone, err = nameOf(key, spelled); err != nil {
		return v, fmt.Errorf("%w: zone %d: %w", fleet.ErrCorrupt, v.ZoneID, err)
	}
	v.Created, v.Deleted, v.LastSerial = fromMillis(created), timePtr(deleted), zone.Serial(last.Int64)
	return v, nil
}

// Members is every membership in a pool, ended ones too, that zones of these
// names have had.
func (s *Store) Members(ctx context.Context, pool int64, names []zone.Name) ([]fleet.Membership, error) {
	var out []fleet.Membership
	err := s.view(ctx, func(t *tx) error {
		out = nil
		return in(ctx, t, keysOf(names), func(rows *sqlx.Rows) error {
			v, err := scanMember(rows)
			out = append(out, v)
			return err
		}, selectMembers+` AND z.name IN (?)`, pool)
	})
	if err != nil {
		return nil, fmt.Errorf("read the members of pool %d: %w", pool, err)
	}
	return out, nil
}

// EachMember yields the live memberships in a pool, in any order, and returns
// the feed position that this is the state of, all from one state of the
// database.
func (s *Store) EachMember(ctx context.Context, pool int64, yield func(fleet.Membership) error) (pos int64, err error) {
	err = s.view(ctx, func(t *tx) error {
		if pos, err = t.head(ctx); err != nil {
			return err
		}
		return t.each(ctx, func(rows *sqlx.Rows) error {
			v, err := scanMember(rows)
			if err != nil {
				return err
			}
			return yield(v)
		}, selectMembers+` AND m.deleted_at IS NULL AND z.deleted_at IS NULL`, pool)
	})
	if err != nil {
		return 0, fmt.Errorf("read the members of pool %d: %w", pool, err)
	}
	return pos, nil
}

// Catalog is how far a pool's catalog zone is; fleet.ErrNotFound when it was
// never published.
func (s *Store) Catalog(ctx context.Context, pool int64) (c fleet.CatalogState, err error) {
	c.Pool = pool
	var since int64
	err = s.view(ctx, func(t *tx) error {
		err := t.row(ctx, `SELECT epoch, feed_pos, members, held, reason, since FROM catalogs WHERE pool_id = ?`, pool).
			Scan(&c.Epoch, &c.Pos, &c.Members, &c.Held, &c.Reason, &since)
		if errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("catalog of pool %d: %w", pool, fleet.ErrNotFound)
		}
		c.Since = fromMillis(since)
		return err
	})
	return c, err
}

// CatalogMembers is how many members a catalog zone's edition has: it reads all of
// it.
func (s *Store) CatalogMembers(ctx context.Context, edition int64) (n int, err error) {
	err = s.view(ctx, func(t *tx) error {
		return t.get(ctx, &n, `SELECT count(*) FROM rrsets WHERE content_id = (SELECT content_id FROM editions WHERE id = ?) AND type = ?`, edition, int(zone.TypePTR))
	})
	if err != nil {
		return 0, fmt.Errorf("count the members of a catalog: %w", err)
	}
	return n, nil
}

// SetCatalog writes how far a pool's catalog zone is. It fails with
// fleet.ErrLeaseLost unless l is still held, and with fleet.ErrConflict when the
// pool's catalog has another name by now, or none.
func (s *Store) SetCatalog(ctx context.Context, name zone.Name, c fleet.CatalogState, l fleet.Lease) error {
	err := s.change(ctx, func(t *tx) error {
		if err := s.fenced(ctx, t, l); err != nil {
			return err
		}
		var is []string
		if err := t.all(ctx, &is, `SELECT catalog FROM pools WHERE id = ?`+s.d.forShare(), c.Pool); err != nil {
			return err
		}
		if !slices.Equal(is, []string{catalogText(name)}) {
			return fleet.ErrConflict
		}
		_, err := t.exec(ctx, `INSERT INTO catalogs (pool_id, epoch, feed_pos, members, held, reason, since) VALUES (?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (pool_id) DO UPDATE SET epoch = excluded.epoch, feed_pos = excluded.feed_pos, members = excluded.members, held = excluded.held,
				reason = excluded.reason, since = excluded.since`,
			c.Pool, c.Epoch, c.Pos, c.Members, c.Held, c.Reason, millis(c.Since))
		return err
	})
	if err != nil {
		return fmt.Errorf("write how far catalog %q is: %w", name, err)
	}
	return nil
}
