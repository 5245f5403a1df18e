package store

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/jmoiron/sqlx"

	"dnsctl/fleet"
	"dnsctl/zone"
)

// selectWanted yields a row per zone and pool that a server is in, from the pools on.
const selectWanted = wantedColumns + `
	FROM zones z
	JOIN memberships m ON m.zone_id = z.id AND m.deleted_at IS NULL
	JOIN server_pools p ON p.pool_id = m.pool_id AND p.left_at IS NULL
	JOIN editions e ON e.zone_id = z.id
	WHERE ` + isWanted

// selectWantedAmong is the same for some names, from these on: SQLite keeps the order
// of a CROSS JOIN, where it would else read all members of a pool for them.
const selectWantedAmong = wantedColumns + `
	FROM zones z CROSS JOIN server_pools p CROSS JOIN memberships m JOIN editions e ON e.zone_id = z.id
	WHERE m.zone_id = z.id AND m.pool_id = p.pool_id AND m.deleted_at IS NULL AND p.left_at IS NULL AND ` + isWanted

const (
	wantedColumns = `SELECT z.name, z.name_case, z.kind, z.id, e.id, e.serial, e.soa, m.incarnation, m.pool_id, m.first_feed, z.priority, e.octets`
	isWanted      = `p.server_id = ? AND z.deleted_at IS NULL AND (z.kind = 'zone' OR z.kind = 'marker'
		AND EXISTS (SELECT 1 FROM markers k WHERE k.server_id = p.server_id AND k.name = z.name))`
)

// wantedMerger folds the rows of a zone, which follow each other, into one.
type wantedMerger struct {
	cur   fleet.Wanted
	yield func(fleet.Wanted) error
}

func (w *wantedMerger) scan(rows *sqlx.Rows) error {
	var key, spelled, soa sql.RawBytes
	var v fleet.Wanted
	var pool int64
	err := rows.Scan(&key, &spelled, &v.Kind, &v.ZoneID, &v.Edition, &v.Serial, &soa, &v.Incarnation, &pool, &v.FirstFeed, &v.Priority, &v.Octets)
	if err != nil {
		return err
	}
	if v.ZoneID == w.cur.ZoneID {
		w.cur.Pools = append(w.cur.Pools, pool)
		return nil
	}
	if err := w.flush(); err != nil {
		return err
	}
	if v.Name, err = nameOf(key, spelled); err != nil {
		return fmt.Errorf("%w: zone %d: %w", fleet.ErrCorrupt, v.ZoneID, err)
	}
	set, err := unpackSOA(soa, v.Name)
	if err != nil {
		return err
	}
	v.SOA = set.Data.First()
	v.Pools = []int64{pool}
	w.cur = v
	return nil
}

func (w *wantedMerger) flush() error {
	if w.cur.ZoneID == 0 {
		return nil
	}
	return w.yield(w.cur)
}

// Wanted yields the zones that a server should have, the union over its pools
// and its own marker once that is written, in canonical order, and returns the
// feed position that this is the state of, all from one state of the database.
func (s *Store) Wanted(ctx context.Context, server int64, yield func(fleet.Wanted) error) (pos int64, err error) {
	err = s.view(ctx, func(t *tx) error {
		if pos, err = t.head(ctx); err != nil {
			return err
		}
		w := wantedMerger{yield: yield}
		if err := t.each(ctx, w.scan, selectWanted+` ORDER BY z.name, m.pool_id`, server); err != nil {
			return err
		}
		return w.flush()
	})
	return pos, err
}

// WantedOne reads one of the zones that a server should have; fleet.ErrNoZone
// when it should not have it.
func (s *Store) WantedOne(ctx context.Context, server int64, name zone.Name) (fleet.Wanted, error) {
	var out fleet.Wanted
	w := wantedMerger{yield: func(v fleet.Wanted) error {
		out = v
		return nil
	}}
	if err := s.each(ctx, w.scan, selectWantedAmong+` AND z.name = ? ORDER BY m.pool_id`, server, []byte(name.Key())); err != nil {
		return fleet.Wanted{}, err
	}
	if err := w.flush(); err != nil {
		return fleet.Wanted{}, err
	}
	if out.ZoneID == 0 {
		return fleet.Wanted{}, fmt.Errorf("zone %q: %w", name, fleet.ErrNoZone)
	}
	return out, nil
}

// WantedAmong is those of the zones that a server should have, in any order. No
// name may come twice.
func (s *Store) WantedAmong(ctx context.Context, server int64, names []zone.Name) ([]fleet.Wanted, error) {
	var out []fleet.Wanted
	err := s.view(ctx, func(t *tx) error {
		out = nil
		w := wantedMerger{yield: func(v fleet.Wanted) error {
			out = append(out, v)
			return nil
		}}
		if err := in(ctx, t, keysOf(names), w.scan, selectWantedAmong+` AND z.name IN (?) ORDER BY z.name, m.pool_id`, server); err != nil {
			return err
		}
		return w.flush()
	})
	return out, err
}

// Moved yields those of the zones that a server should have whose membership began
// after a position of the feed, and whose name had another one before: they came from
// another pool, or were deleted and made again. They come in no order.
func (s *Store) Moved(ctx context.Context, server, after int64, yield func(zone.Key) error) error {
	return s.each(ctx, func(rows *sqlx.Rows) error {
		var key []byte
		if err := rows.Scan(&key); err != nil {
			return err
		}
		return yield(zone.Key(key))
	}, `SELECT DISTINCT z.name
		FROM server_pools p
		JOIN memberships m ON m.pool_id = p.pool_id AND m.deleted_at IS NULL AND m.first_feed > ?
		JOIN zones z ON z.id = m.zone_id AND z.deleted_at IS NULL AND z.kind = 'zone'
		WHERE p.server_id = ? AND p.left_at IS NULL AND EXISTS (SELECT 1 FROM zones y
			JOIN memberships o ON o.zone_id = y.id AND o.deleted_at IS NOT NULL WHERE y.name = z.name)`, after, server)
}

// Witnesses yields, of the zones that a server should have, the RRsets of the apex
// that change with the content: the SOA's signatures, and ZONEMD (RFC 8976). They
// come in canonical order of zones, their owners in lower case.
func (s *Store) Witnesses(ctx context.Context, server int64, yield func(zone.Key, zone.RRset) error) error {
	return s.view(ctx, func(t *tx) error {
		return t.each(ctx, func(rows *sqlx.Rows) error {
			var key, data sql.RawBytes
			var set zone.RRset
			if err := rows.Scan(&key, &set.Type, &set.Covers, &data); err != nil {
				return err
			}
			k := zone.Key(key)
			var err error
			if set.Owner, err = k.Name(); err != nil {
				return fmt.Errorf("%w: zone %x: %w", fleet.ErrCorrupt, []byte(key), err)
			}
			set.Data = zone.Rdata(data)
			return yield(k, set)
		}, `SELECT DISTINCT z.name, r.type, r.covers, r.rdata
			FROM zones z
			JOIN memberships m ON m.zone_id = z.id AND m.deleted_at IS NULL
			JOIN server_pools p ON p.pool_id = m.pool_id AND p.left_at IS NULL
			JOIN editions e ON e.zone_id = z.id
			JOIN rrsets r ON r.content_id = e.content_id AND r.owner = z.name AND r.type IN (46, 63) AND r.covers IN (0, 6)
			WHERE p.server_id = ? AND z.deleted_at IS NULL AND z.kind = 'zone' ORDER BY z.name, r.type`, server)
	})
}

// selectTombstones yields the zones that a server once should have had: those
// whose membership in one of its pools ended, and those in pools that it left.
// Names that it should have now are left out. It goes from the names on, as
// selectWantedAmong does.
const selectTombstones = `SELECT z.name, z.name_case, z.id, m.incarnation, COALESCE(m.last_serial, e.serial),
		COALESCE(m.deleted_at, p.left_at) AS ended, CASE WHEN z.purged_at IS NULL THEN 1 ELSE 0 END
	FROM zones z CROSS JOIN server_pools p CROSS JOIN memberships m JOIN editions e ON e.zone_id = z.id
	WHERE m.zone_id = z.id AND m.pool_id = p.pool_id AND (m.deleted_at IS NOT NULL OR p.left_at IS NOT NULL) AND z.kind = 'zone'
		AND p.server_id = ? AND NOT EXISTS (SELECT 1 FROM zones y
		JOIN memberships n ON n.zone_id = y.id AND n.deleted_at IS NULL
		JOIN server_pools q ON q.pool_id = n.pool_id AND q.server_id = p.server_id AND q.left_at IS NULL
		WHERE y.name = z.name AND y.kind = 'zone' AND y.deleted_at IS NULL)`

// TombstonesAmong is those of some names that a server once should have had and
// should not have now, each with its last life there, in canonical order. No name may
// come twice.
func (s *Store) TombstonesAmong(ctx context.Context, server int64, names []zone.Name) ([]fleet.Tombstone, error) {
	var out tombstones
	err := s.view(ctx, func(t *tx) error {
		out = nil
		return in(ctx, t, keysOf(names), out.scan, selectTombstones+` AND z.name IN (?)`+latestTombstone, server)
	})
	return out, err
}

// latestTombstone orders tombstones so that the latest of a name comes first.
const latestTombstone = ` ORDER BY z.name, ended DESC, m.id DESC`

// tombstones gathers the latest of each name.
type tombstones []fleet.Tombstone

func (out *tombstones) scan(rows *sqlx.Rows) error {
	var v fleet.Tombstone
	var key, spelled []byte
	var ended int64
	if err := rows.Scan(&key, &spelled, &v.ZoneID, &v.Incarnation, &v.LastSerial, &ended, &v.Kept); err != nil {
		return err
	}
	var err error
	if v.Name, err = nameOf(key, spelled); err != nil {
		return fmt.Errorf("%w: zone %d: %w", fleet.ErrCorrupt, v.ZoneID, err)
	}
	v.Deleted = fromMillis(ended)
	if n := len(*out); n == 0 || !(*out)[n-1].Name.Equal(v.Name) {
		*out = append(*out, v)
	}
	return nil
}
