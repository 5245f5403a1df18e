package store

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"dnsctl/fleet"
	"dnsctl/zone"
)

// selectSnapshot is one statement, which sees one state of the database without
// a transaction. The SOA's row carries the edition's version and number of
// RRsets.
const selectSnapshot = `SELECT ` + rrsetFields + `, CASE WHEN r.type = 6 THEN
	(SELECT CAST(e.version AS TEXT) || ' ' || CAST(e.rrsets AS TEXT) FROM editions e JOIN zones z ON z.id = e.zone_id WHERE e.id = ? AND z.name = r.owner) END
	FROM rrsets r WHERE r.content_id = (SELECT e.content_id FROM editions e JOIN zones z ON z.id = e.zone_id WHERE e.id = ? AND z.purged_at IS NULL)
	ORDER BY r.owner, r.type, r.covers`

// together is how many editions Snapshots reads with one statement.
const together = 32

// selectSnapshots is selectSnapshot for several editions, which may be named more
// than once.
var selectSnapshots = `SELECT ` + rrsetFields + `, CASE WHEN r.type = 6 AND r.owner = z.name THEN CAST(e.version AS TEXT) || ' ' || CAST(e.rrsets AS TEXT) END, e.id
	FROM editions e JOIN zones z ON z.id = e.zone_id JOIN rrsets r ON r.content_id = e.content_id
	WHERE e.id IN (?` + strings.Repeat(", ?", together-1) + `) AND z.purged_at IS NULL ORDER BY e.id, r.owner, r.type, r.covers`

// Snapshots loads several contents, which should be small, with one statement for
// every 32 of them: where many are wanted that takes a database half as long as a
// statement for each. Editions that there are not, and those whose content is gone
// or damaged, are left out; Snapshot says what it is about one.
func (s *Store) Snapshots(ctx context.Context, editions []int64) (map[int64]fleet.Loaded, error) {
	out := make(map[int64]fleet.Loaded, len(editions))
	for len(editions) > 0 {
		n := min(together, len(editions))
		if err := s.loadTogether(ctx, editions[:n], out); err != nil {
			return out, s.explain(ctx, err)
		}
		editions = editions[n:]
	}
	return out, nil
}

func (s *Store) loadTogether(ctx context.Context, editions []int64, out map[int64]fleet.Loaded) error {
	stmt, err := s.prepared(ctx, selectSnapshots) //nolint:sqlclosecheck // the store keeps it until it is closed
	if err != nil {
		return err
	}
	args := make([]any, together)
	for i := range args {
		args[i] = editions[i%len(editions)]
	}
	rows, err := stmt.QueryContext(ctx, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	var a assembly
	var damaged error // of the edition that is read
	var edition, now int64
	end := func() {
		if l, err := a.end(); damaged == nil && err == nil {
			out[edition] = l
		}
	}
	var r rrsetRow
	dest := append(r.dest(), &r.header, &now)
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		if now != edition {
			end()
			edition, a, damaged = now, assembly{}, nil
		}
		if damaged == nil {
			damaged = a.add(&r)
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	end()
	return nil
}

func (s *Store) load(ctx context.Context, edition int64, read func(int64, iter.Seq[zone.RRset])) (*zone.Snapshot, int64, error) {
	stmt, err := s.prepared(ctx, selectSnapshot) //nolint:sqlclosecheck // the store keeps it until it is closed
	if err != nil {
		return nil, 0, err
	}
	rows, err := stmt.QueryContext(ctx, edition, edition)
	if err != nil {
		return nil, 0, err
	}
	defer rows.Close()
	a := assembly{read: read}
	var r rrsetRow
	dest := append(r.dest(), &r.header)
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return nil, 0, err
		}
		if err := a.add(&r); err != nil {
			return nil, 0, err
		}
	}
	if err := rows.Err(); err != nil {
		return nil, 0, err
	}
	l, err := a.end()
	return l.Content, l.Version, err
}

// assembly puts a content together from its rows, which come in canonical order.
type assembly struct {
	read    func(version int64, sets iter.Seq[zone.RRset]) // may be nil
	b       *zone.Builder                                  // once the SOA has come
	apex    zone.Key
	first   []rrsetOf // what the apex owns before its SOA
	version int64
	given   int // RRsets that read was given
}

type rrsetOf struct {
	key zone.Key
	set zone.RRset
}

var errNoApex = fmt.Errorf("%w: there is no SOA at the zone apex", fleet.ErrCorrupt)

// add takes the row that was scanned.
func (a *assembly) add(r *rrsetRow) error {
	key, set, err := r.set()
	switch {
	case err != nil:
		return err
	case a.b != nil && key.Under(a.apex):
		if a.read != nil && (a.b.Len()-a.given >= part || a.given == 0 && key != a.apex) {
			a.read(a.version, a.b.From(a.given))
			a.given = a.b.Len()
		}
		a.b.AddKeyed(key, set)
		if !a.b.Sorted() {
			return r.corrupt("it is out of order")
		}
	case a.b != nil:
		return r.corrupt("it is not in the zone")
	case r.header == nil:
		a.first = append(a.first, rrsetOf{key, set})
	default:
		var n int
		if _, err := fmt.Sscan(string(r.header), &a.version, &n); err != nil {
			return err
		}
		a.b, a.apex = zone.NewBuilder(set.Owner, n), key
		for _, f := range a.first {
			if f.key != a.apex {
				return fmt.Errorf("%w: RRset %s %s: it is not in the zone", fleet.ErrCorrupt, f.set.Owner, f.set.Type)
			}
			a.b.AddKeyed(f.key, f.set)
		}
		a.b.AddKeyed(key, set)
	}
	return nil
}

// end is the content when there are no more rows.
func (a *assembly) end() (fleet.Loaded, error) {
	if a.b == nil {
		return fleet.Loaded{}, errNoApex
	}
	if a.read != nil && a.b.Len() > a.given {
		a.read(a.version, a.b.From(a.given))
	}
	snap, err := a.b.Build()
	if err != nil {
		return fleet.Loaded{}, fmt.Errorf("%w: %w", fleet.ErrCorrupt, err)
	}
	return fleet.Loaded{Content: snap, Version: a.version}, nil
}
