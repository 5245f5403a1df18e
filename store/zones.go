package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"

	"dnsctl/fleet"
	"dnsctl/zone"
)

// sortRRsets brings RRsets into canonical order.
func sortRRsets(sets []zone.RRset) {
	slices.SortFunc(sets, func(a, b zone.RRset) int { return a.ID().Compare(b.ID()) })
}

// selectZones selects what zoneRow holds.
const selectZones = `SELECT z.id, z.name, z.name_case, z.kind, z.serial_style, z.catalog_group, z.priority, z.created_at, z.deleted_at, z.purged_at,
	e.id AS edition, e.audience, e.signing, e.version, e.serial, e.soa, e.signed, e.rrsets, e.records, e.octets, e.changed_at,
	COALESCE((SELECT string_agg(m.pool_name, ',') FROM memberships m WHERE m.zone_id = z.id AND m.deleted_at IS NULL), '') AS pools
	FROM zones z JOIN editions e ON e.zone_id = z.id`

const selectZone = selectZones + ` WHERE z.name = ? AND (z.deleted_at IS NULL OR z.kind <> 'restored')
	ORDER BY CASE WHEN z.deleted_at IS NULL THEN 0 ELSE 1 END, z.deleted_at DESC, z.id DESC LIMIT 1`

type zoneRow struct {
	ID          int64         `db:"id"`
	Name        []byte        `db:"name"`
	NameCase    []byte        `db:"name_case"`
	Kind        string        `db:"kind"`
	SerialStyle string        `db:"serial_style"`
	Group       string        `db:"catalog_group"`
	Priority    int           `db:"priority"`
	CreatedAt   int64         `db:"created_at"`
	DeletedAt   sql.NullInt64 `db:"deleted_at"`
	PurgedAt    sql.NullInt64 `db:"purged_at"`
	Edition     int64         `db:"edition"`
	Audience    string        `db:"audience"`
	Signing     string        `db:"signing"`
	Version     int64         `db:"version"`
	Serial      int64         `db:"serial"`
	SOA         []byte        `db:"soa"`
	Signed      int64         `db:"signed"`
	RRsets      int           `db:"rrsets"`
	Records     int           `db:"records"`
	Octets      int           `db:"octets"`
	ChangedAt   int64         `db:"changed_at"`
	Pools       string        `db:"pools"`
}

func (r zoneRow) zone() (fleet.Zone, error) {
	name, err := nameOf(r.Name, r.NameCase)
	if err != nil {
		return fleet.Zone{}, fmt.Errorf("%w: zone %d: %w", fleet.ErrCorrupt, r.ID, err)
	}
	soa, err := unpackSOA(r.SOA, name)
	if err != nil {
		return fleet.Zone{Name: name}, err
	}
	z := fleet.Zone{ID: r.ID, Name: name, Kind: fleet.Kind(r.Kind), SerialStyle: zone.SerialStyle(r.SerialStyle), Group: r.Group, Priority: r.Priority,
		Created: fromMillis(r.CreatedAt), Deleted: timePtr(r.DeletedAt), Purged: r.PurgedAt.Valid, Pools: []string{},
		Edition: fleet.Edition{ID: r.Edition, ZoneID: r.ID, Audience: r.Audience, Signing: r.Signing, Version: r.Version,
			Serial: zone.Serial(r.Serial), SOA: soa, Signed: r.Signed != 0, RRsets: r.RRsets, Records: r.Records, Octets: r.Octets,
			Changed: fromMillis(r.ChangedAt)}}
	if r.Pools != "" {
		z.Pools = strings.Split(r.Pools, ",")
		slices.Sort(z.Pools)
	}
	return z, nil
}

func unpackSOA(b []byte, name zone.Name) (zone.RRset, error) {
	sets, err := zone.ParseWire(b)
	if err == nil && (len(sets) != 1 || sets[0].Type != zone.TypeSOA) {
		err = zone.ErrBadRecords
	}
	if err != nil {
		return zone.RRset{}, fmt.Errorf("%w: SOA of zone %q: %w", fleet.ErrCorrupt, name, err)
	}
	return sets[0], nil
}

// Zone is the live zone of this name, whatever its kind, else the one deleted
// last that was no copy on its way back; fleet.ErrNoZone when there never was one.
func (s *Store) Zone(ctx context.Context, name zone.Name) (fleet.Zone, error) {
	var z fleet.Zone
	err := fmt.Errorf("zone %q: %w", name, fleet.ErrNoZone)
	if qerr := s.each(ctx, func(rows *sqlx.Rows) error {
		var r zoneRow
		if err = rows.StructScan(&r); err == nil {
			z, err = r.zone()
		}
		return nil
	}, selectZone, []byte(name.Key())); qerr != nil {
		return fleet.Zone{}, qerr
	}
	return z, err
}

// Zones yields the zones that f selects, in canonical order of their names, all
// from one state of the database.
func (s *Store) Zones(ctx context.Context, f fleet.ZoneFilter, yield func(fleet.Zone) error) error {
	match, err := glob(f.Glob)
	if err != nil {
		return err
	}
	state := "IS NULL"
	if f.Deleted {
		state = "IS NOT NULL"
	}
	q := selectZones + ` WHERE z.kind = ? AND z.deleted_at ` + state
	args := []any{string(cmp.Or(f.Kind, fleet.Ordinary))}
	if f.Pool != "" {
		q += ` AND EXISTS (SELECT 1 FROM memberships p WHERE p.zone_id = z.id AND p.pool_name = ?`
		args = append(args, f.Pool)
		if f.Deleted { // the memberships that ended with the zone
			q += ` AND p.deleted_at = z.deleted_at)`
		} else {
			q += ` AND p.deleted_at IS NULL)`
		}
	}
	return s.view(ctx, func(t *tx) error {
		return t.each(ctx, func(rows *sqlx.Rows) error {
			var r zoneRow
			if err := rows.StructScan(&r); err != nil {
				return err
			}
			z, err := r.zone()
			switch {
			case z.Name != "" && !match(z.Name):
				return nil
			case err != nil && f.Damaged != nil:
				f.Damaged(err)
				return nil
			case err != nil:
				return err
			}
			return yield(z)
		}, q+` ORDER BY z.name, z.id`, args...)
	})
}

// glob makes a match of a pattern over lower-case names without their final dot;
// * does not stop at dots.
func glob(pattern string) (func(zone.Name) bool, error) {
	if pattern == "" {
		return func(zone.Name) bool { return true }, nil
	}
	plain := func(s string) string {
		return strings.ReplaceAll(strings.TrimSuffix(strings.ToLower(s), "."), "/", "\x00")
	}
	pattern = plain(pattern)
	if _, err := path.Match(pattern, ""); err != nil {
		return nil, fmt.Errorf("pattern %q: %w", pattern, err)
	}
	return func(n zone.Name) bool {
		ok, _ := path.Match(pattern, plain(n.String())) // the pattern is well formed
		return ok
	}, nil
}

// Names is up to limit names of live ordinary zones that start with prefix, in
// presentation form without regard to case, for completion and suggestions.
func (s *Store) Names(ctx context.Context, prefix string, limit int) ([]zone.Name, error) {
	prefix = strings.ToLower(prefix)
	q, args := `SELECT name FROM zones WHERE deleted_at IS NULL AND kind = ?`, []any{string(fleet.Ordinary)}
	if part := keyPart(prefix); part != nil {
		q += ` AND (` + s.d.holds("name") + ` OR substr(name, 1, ?) = ?)`
		args = append(args, part, len(part)-1, part[1:])
	}
	var out []zone.Name
	err := s.view(ctx, func(t *tx) error {
		out = nil
		rows, err := t.QueryContext(ctx, t.sql(q+` ORDER BY name`), args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for len(out) < limit && rows.Next() {
			var key []byte
			if err := rows.Scan(&key); err != nil {
				return err
			}
			if n, err := zone.Key(key).Name(); err == nil && strings.HasPrefix(n.String(), prefix) {
				out = append(out, n)
			}
		}
		return rows.Err()
	})
	return out, err
}

// keyPart is what the keys of all names that begin with prefix have somewhere
// behind the end of a label, or at the start: the labels that are whole, and the
// start of the last one, where it is the only one. Nil where nothing can be said.
// The database looks for it in the index by itself, which is some ten times as
// fast as handing every name out.
func keyPart(prefix string) []byte {
	labels := strings.Split(prefix, ".")
	if prefix == "" || strings.ContainsFunc(prefix, func(r rune) bool { return r == '\\' || r < 2 }) || slices.Contains(labels[:len(labels)-1], "") {
		return nil
	}
	if len(labels) == 1 {
		return []byte("\x00" + prefix)
	}
	part := []byte{0}
	for _, l := range slices.Backward(labels[:len(labels)-1]) {
		part = append(append(part, l...), 0)
	}
	return part
}

// LastSerial is the last serial that deleted zones of this name had, by RFC
// 1982, copies on their way back not counted; nil when there is none.
func (s *Store) LastSerial(ctx context.Context, name zone.Name) (*zone.Serial, error) {
	var all []int64
	err := s.each(ctx, func(rows *sqlx.Rows) error {
		var n int64
		err := rows.Scan(&n)
		all = append(all, n)
		return err
	}, selectLastSerials, []byte(name.Key()))
	return latest(all), err
}

const selectLastSerials = `SELECT e.serial FROM zones z JOIN editions e ON e.zone_id = z.id
	WHERE z.name = ? AND z.deleted_at IS NOT NULL AND z.kind <> 'restored' ORDER BY z.deleted_at, z.id`

func (t *tx) lastSerial(ctx context.Context, name zone.Key) (*zone.Serial, error) {
	var all []int64
	err := t.all(ctx, &all, selectLastSerials, []byte(name))
	return latest(all), err
}

// latest is the greatest of serials that follow each other in time.
func latest(all []int64) *zone.Serial {
	var last *zone.Serial
	for _, n := range all {
		if s := zone.Serial(n); last == nil || s.Ahead(*last) {
			last = &s
		}
	}
	return last
}

// selectServed selects what scanServed reads, selectServedPools the pools of zones beside
// it: a list for each zone in the same statement takes a database longer than both.
const (
	selectServed = `SELECT z.id, z.name, z.name_case, z.kind, e.id, e.version, e.serial, e.soa, e.octets
	FROM zones z JOIN editions e ON e.zone_id = z.id WHERE z.deleted_at IS NULL`
	selectServedPools = `SELECT zone_id, pool_id FROM memberships WHERE deleted_at IS NULL`
)

// membership is a zone's in a pool.
type membership struct{ zone, pool int64 }

func compareMembership(a, b membership) int {
	return cmp.Or(cmp.Compare(a.zone, b.zone), cmp.Compare(a.pool, b.pool))
}

// memberships are sorted by zone and pool.
type memberships []membership

func (m *memberships) scan(rows *sqlx.Rows) error {
	var one membership
	if err := rows.Scan(&one.zone, &one.pool); err != nil {
		return err
	}
	*m = append(*m, one)
	return nil
}

// of is the pools of a zone.
func (m memberships) of(zoneID int64) []int64 {
	at, _ := slices.BinarySearchFunc(m, membership{zone: zoneID}, compareMembership)
	var pools []int64
	for ; at < len(m) && m[at].zone == zoneID; at++ {
		pools = append(pools, m[at].pool)
	}
	return pools
}

// scanServed reads a row. One that is malformed is no error, but says so: the
// other zones are served all the same.
func scanServed(rows *sqlx.Rows, m memberships) (fleet.Served, error) {
	var v fleet.Served
	var key, spelled, soa sql.RawBytes
	err := rows.Scan(&v.ZoneID, &key, &spelled, &v.Kind, &v.Edition, &v.Version, &v.Serial, &soa, &v.Octets)
	if err != nil {
		return v, err
	}
	v.Pools = m.of(v.ZoneID)
	if v.Name, err = nameOf(key, spelled); err != nil {
		v.Damage = fmt.Errorf("%w: zone %d: %w", fleet.ErrCorrupt, v.ZoneID, err)
		return v, nil
	}
	v.SOA, v.Damage = unpackSOA(soa, v.Name)
	return v, nil
}

// Index yields every live zone of every kind, those with damage too, in any order, and returns the feed
// position that this is the state of, all from one state of the database.
func (s *Store) Index(ctx context.Context, yield func(fleet.Served) error) (pos int64, err error) {
	err = s.view(ctx, func(t *tx) error {
		if pos, err = t.head(ctx); err != nil {
			return err
		}
		var m memberships
		if err := t.each(ctx, m.scan, selectServedPools); err != nil {
			return err
		}
		slices.SortFunc(m, compareMembership)
		return t.each(ctx, func(rows *sqlx.Rows) error {
			v, err := scanServed(rows, m)
			if err != nil {
				return err
			}
			return yield(v)
		}, selectServed)
	})
	return pos, err
}

// Served is the present state of those of the zones that are live; the others
// are left out.
func (s *Store) Served(ctx context.Context, zoneIDs []int64) ([]fleet.Served, error) {
	var out []fleet.Served
	err := s.view(ctx, func(t *tx) error {
		out = make([]fleet.Served, 0, len(zoneIDs))
		var m memberships
		if err := in(ctx, t, zoneIDs, m.scan, selectServedPools+` AND zone_id IN (?)`); err != nil {
			return err
		}
		slices.SortFunc(m, compareMembership)
		return in(ctx, t, zoneIDs, func(rows *sqlx.Rows) error {
			v, err := scanServed(rows, m)
			out = append(out, v)
			return err
		}, selectServed+` AND z.id IN (?)`)
	})
	return out, err
}
