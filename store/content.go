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

// rrsetFields is what scanRRset reads. Numbers are packed into one, as each
// column that is read costs time.
const rrsetFields = `r.owner, (r.ttl << 32) | (CAST(r.type AS BIGINT) << 16) | r.covers, r.owner_case, r.rdata`

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

// rrsetRow is where a row of rrsetFields is scanned to.
type rrsetRow struct {
	owner, spelled, rdata sql.RawBytes
	numbers               int64
	header                sql.RawBytes // of selectSnapshot
}

func (r *rrsetRow) dest() []any { return []any{&r.owner, &r.numbers, &r.spelled, &r.rdata} }

// set is the RRset of the row that was scanned.
func (r *rrsetRow) set() (zone.Key, zone.RRset, error) {
	set := zone.RRset{Type: zone.Type(r.numbers >> 16), Covers: zone.Type(r.numbers), TTL: uint32(r.numbers >> 32), Data: zone.Rdata(r.rdata)}
	var err error
	if set.Owner, err = nameOf(r.owner, r.spelled); err != nil {
		return "", zone.RRset{}, r.corrupt(err.Error())
	}
	if len(set.Data) == 0 || !set.Data.Valid() {
		return "", zone.RRset{}, r.corrupt("its rdata is malformed")
	}
	return zone.Key(r.owner), set, nil
}

func (r *rrsetRow) corrupt(what string) error {
	return fmt.Errorf("%w: RRset with owner key %q and type %s: %s", fleet.ErrCorrupt, []byte(r.owner), zone.Type(r.numbers>>16), what)
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
func (s *Store) Snapshot(ctx context.Context, edition int64) (*zone.Snapshot, int64, error) {
	return s.Stream(ctx, edition, nil)
}

// part is how many RRsets Stream gives at once.
const part = 512

// Stream is Snapshot for who cannot wait: read is called with the version and the
// next RRsets again and again while rows are read, in canonical order and first
// with those of the apex, which the SOA is among. An error may still follow. Large
// zones are read from their chunks.
func (s *Store) Stream(ctx context.Context, edition int64, read func(version int64, sets iter.Seq[zone.RRset])) (*zone.Snapshot, int64, error) {
	snap, version, err := s.stream(ctx, edition, read)
	if err == nil {
		return snap, version, nil
	}
	// Which zone it is, or why there is none.
	var c contentOf
	if cerr := s.view(ctx, func(t *tx) (err error) {
		c, err = t.contentOf(ctx, edition)
		return err
	}); cerr != nil {
		return nil, 0, cerr
	}
	return nil, 0, fmt.Errorf("load zone %q: %w", c.apex, s.explain(ctx, err))
}

// stream reads chunks where there are such, and rows where there are none or they
// are damaged. When some of them were given already that fails once.
func (s *Store) stream(ctx context.Context, edition int64, read func(int64, iter.Seq[zone.RRset])) (*zone.Snapshot, int64, error) {
	if read == nil {
		return s.load(ctx, edition, nil)
	}
	given := false
	snap, version, err := s.loadChunks(ctx, edition, func(version int64, sets iter.Seq[zone.RRset]) {
		given = true
		read(version, sets)
	})
	if errors.Is(err, errChunk) {
		s.giveUpChunks(ctx, edition, err)
	}
	if errors.Is(err, errNoChunks) || errors.Is(err, errChunk) && !given {
		return s.load(ctx, edition, read)
	}
	return snap, version, err
}

// Content yields an edition's RRsets in canonical order, all from one state of the
// database, without keeping them; none when there is no such edition, or its
// content is gone.
func (s *Store) Content(ctx context.Context, edition int64, yield func(zone.Key, zone.RRset) error) error {
	stmt, err := s.prepared(ctx, selectSnapshot) //nolint:sqlclosecheck // the store keeps it until it is closed
	if err != nil {
		return s.explain(ctx, err)
	}
	rows, err := stmt.QueryContext(ctx, edition, edition)
	if err != nil {
		return s.explain(ctx, err)
	}
	defer rows.Close()
	var r rrsetRow
	dest := append(r.dest(), &r.header)
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return s.explain(ctx, err)
		}
		key, set, err := r.set()
		if err == nil {
			err = yield(key, set)
		}
		if err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return s.explain(ctx, err)
	}
	return nil
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
			if err := rows.Scan(r.dest()...); err != nil {
				return err
			}
			key, set, err := r.set()
			if err == nil && !key.Under(apex) {
				err = r.corrupt("it is not in the zone")
			}
			out = append(out, set)
			return err
		}, `SELECT `+rrsetFields+` FROM rrsets r WHERE r.content_id = ? AND r.owner IN (?)`, c.id)
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
