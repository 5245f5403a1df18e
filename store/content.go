package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"

	"github.com/jmoiron/sqlx"

	"dnsctl/fleet"
	"dnsctl/zone"
)

// rrsetColumns are the columns of an RRset as insertRRsets writes them.
var rrsetColumns = []string{"content_id", "owner", "type", "covers", "ttl", "owner_case", "rdata"}

const selectRRsets = `SELECT owner, type, covers, ttl, owner_case, rdata FROM rrsets WHERE content_id = ?`

// nameCase is what is kept of a name beside its key: its wire form where that
// is not the lower-case one, else NULL.
func nameCase(n zone.Name) any {
	if n == n.Lower() {
		return nil
	}
	return []byte(n)
}

// nameOf puts a name together from its key and what nameCase kept.
func nameOf(key, spelled []byte) (zone.Name, error) {
	if spelled == nil {
		return zone.Key(key).Name()
	}
	n := zone.Name(spelled)
	if !n.Valid() || n.Key() != zone.Key(key) {
		return "", errors.New("the name's spelling is not that of its key")
	}
	return n, nil
}

// rrsetRows yields RRsets as rows of rrsetColumns. The row is used again.
func rrsetRows(content int64, sets iter.Seq2[zone.Key, zone.RRset]) iter.Seq[[]any] {
	return func(yield func([]any) bool) {
		row := make([]any, len(rrsetColumns))
		row[0] = content
		for k, set := range sets {
			row[1], row[2], row[3], row[4] = []byte(k), int64(set.Type), int64(set.Covers), int64(set.TTL)
			row[5], row[6] = nameCase(set.Owner), []byte(set.Data)
			if !yield(row) {
				return
			}
		}
	}
}

// keyed adds their keys to RRsets.
func keyed(sets []zone.RRset) iter.Seq2[zone.Key, zone.RRset] {
	return func(yield func(zone.Key, zone.RRset) bool) {
		for _, set := range sets {
			if !yield(set.Owner.Key(), set) {
				return
			}
		}
	}
}

// scanRRset reads a row of selectRRsets. apex is that of its zone.
func scanRRset(rows *sqlx.Rows, apex zone.Key, r *rrsetRow) (zone.Key, zone.RRset, error) {
	if err := rows.Scan(&r.owner, &r.typ, &r.covers, &r.ttl, &r.spelled, &r.rdata); err != nil {
		return "", zone.RRset{}, err
	}
	key := zone.Key(r.owner)
	set := zone.RRset{Type: zone.Type(r.typ), Covers: zone.Type(r.covers), TTL: uint32(r.ttl), Data: zone.Rdata(r.rdata)}
	corrupt := func(what string) error {
		return fmt.Errorf("%w: RRset %q type %d: %s", fleet.ErrCorrupt, r.owner, r.typ, what)
	}
	var err error
	if set.Owner, err = nameOf(r.owner, r.spelled); err != nil {
		return "", zone.RRset{}, corrupt(err.Error())
	}
	switch {
	case !key.Under(apex):
		return "", zone.RRset{}, corrupt("the owner is not in the zone")
	case r.typ < 1 || r.typ > 0xffff || r.covers < 0 || r.covers > 0xffff:
		return "", zone.RRset{}, corrupt("there is no such type")
	case r.ttl < 0 || r.ttl > 0xffffffff:
		return "", zone.RRset{}, corrupt("the TTL is out of range")
	case len(set.Data) == 0 || !set.Data.Valid():
		return "", zone.RRset{}, corrupt("its rdata is malformed")
	}
	return key, set, nil
}

// rrsetRow is where a row is scanned to.
type rrsetRow struct {
	owner, spelled, rdata sql.RawBytes
	typ, covers, ttl      int64
}

// contentOf is where an edition's content is.
type contentOf struct {
	id      int64
	version int64
	rrsets  int
	apex    zone.Name
}

// contentOf looks an edition's content up. ErrNoZone when there is no such
// edition, ErrPurged when its content is gone for good.
func (t *tx) contentOf(ctx context.Context, edition int64) (contentOf, error) {
	var c contentOf
	var key, spelled []byte
	var purged sql.NullInt64
	err := t.row(ctx, `SELECT e.content_id, e.version, e.rrsets, z.name, z.name_case, z.purged_at
		FROM editions e JOIN zones z ON z.id = e.zone_id WHERE e.id = ?`, edition).
		Scan(&c.id, &c.version, &c.rrsets, &key, &spelled, &purged)
	if err != nil {
		return c, none(err, fmt.Errorf("edition %d: %w", edition, fleet.ErrNoZone))
	}
	if c.apex, err = nameOf(key, spelled); err != nil {
		return c, fmt.Errorf("%w: zone %d: %w", fleet.ErrCorrupt, edition, err)
	}
	if purged.Valid {
		return c, fmt.Errorf("zone %q: %w", c.apex, fleet.ErrPurged)
	}
	return c, nil
}

// Snapshot loads an edition's content and the version it is of, both from one
// state of the database. fleet.ErrNoZone when there is no such edition,
// fleet.ErrPurged when its content is gone; a malformed row is an error that
// names the zone and the row (fleet.ErrCorrupt).
func (s *Store) Snapshot(ctx context.Context, edition int64) (snap *zone.Snapshot, version int64, err error) {
	err = s.view(ctx, func(t *tx) error {
		c, err := t.contentOf(ctx, edition)
		if err != nil {
			return err
		}
		apex := c.apex.Key()
		b := zone.NewBuilder(c.apex, c.rrsets)
		var r rrsetRow
		err = t.each(ctx, func(rows *sqlx.Rows) error {
			key, set, err := scanRRset(rows, apex, &r)
			if err == nil {
				b.AddKeyed(key, set)
			}
			return err
		}, selectRRsets+` ORDER BY owner, type, covers`, c.id)
		if err != nil {
			return fmt.Errorf("load zone %q: %w", c.apex, err)
		}
		if snap, err = b.Build(); err != nil {
			return fmt.Errorf("load zone %q: %w: %w", c.apex, fleet.ErrCorrupt, err)
		}
		version = c.version
		return nil
	})
	return snap, version, err
}

// Owners is the RRsets that the owners with these keys have in an edition, in
// canonical order.
func (s *Store) Owners(ctx context.Context, edition int64, owners []zone.Key) ([]zone.RRset, error) {
	var out []zone.RRset
	err := s.view(ctx, func(t *tx) error {
		out = nil
		c, err := t.contentOf(ctx, edition)
		if err != nil {
			return err
		}
		list := make([][]byte, len(owners))
		for i, k := range owners {
			list[i] = []byte(k)
		}
		apex := c.apex.Key()
		var r rrsetRow
		err = in(ctx, t, list, func(rows *sqlx.Rows) error {
			_, set, err := scanRRset(rows, apex, &r)
			out = append(out, set)
			return err
		}, selectRRsets+` AND owner IN (?)`, c.id)
		if err != nil {
			return fmt.Errorf("read zone %q: %w", c.apex, err)
		}
		return nil
	})
	sortRRsets(out)
	return out, err
}

// Has says whether a name exists in an edition: it owns a record, or a name
// below it does (RFC 4592 section 2.2.2).
func (s *Store) Has(ctx context.Context, edition int64, name zone.Key) (bool, error) {
	found := false
	err := s.view(ctx, func(t *tx) error {
		c, err := t.contentOf(ctx, edition)
		if err != nil {
			return err
		}
		var owner []byte
		err = t.get(ctx, &owner, `SELECT owner FROM rrsets WHERE content_id = ? AND owner >= ? ORDER BY owner LIMIT 1`, c.id, []byte(name))
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		found = err == nil && zone.Key(owner).Under(name)
		return err
	})
	return found, err
}
