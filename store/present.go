package store

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"

	"dnsctl/fleet"
	"dnsctl/zone"
)

// presentRRsets is how many RRsets a zone may have to be read together with
// others.
const presentRRsets = 1000

// Present is Zone for many names at once, by their keys, and the content of those
// zones that are live and not large, all from one state of the database. Names
// that no zone has had are left out.
func (s *Store) Present(ctx context.Context, names []zone.Name) (map[zone.Key]fleet.Present, error) {
	var out map[zone.Key]fleet.Present
	err := s.view(ctx, func(t *tx) error {
		out = make(map[zone.Key]fleet.Present, len(names))
		rows := make(map[zone.Key]zoneRow, len(names))
		err := in(ctx, t, keysOf(names), func(r *sqlx.Rows) error {
			var row zoneRow
			if err := r.StructScan(&row); err != nil {
				return err
			}
			if old, twice := rows[zone.Key(row.Name)]; !twice || row.before(old) {
				rows[zone.Key(row.Name)] = row
			}
			return nil
		}, selectZones+` WHERE z.name IN (?) AND (z.deleted_at IS NULL OR z.kind <> 'restored')`)
		if err != nil {
			return err
		}
		editions := make(map[int64]zone.Key, len(rows))
		for key, row := range rows {
			z, err := row.zone()
			out[key] = fleet.Present{Zone: z, Damage: err}
			if err == nil && z.Deleted == nil && row.RRsets <= presentRRsets {
				editions[row.Edition] = key
			}
		}
		contents, err := t.contents(ctx, editions)
		for edition, c := range contents {
			p := out[editions[edition]]
			p.Content = c
			out[editions[edition]] = p
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read zones: %w", err)
	}
	return out, nil
}

// before says whether the row is the zone of its name rather than another is: the
// live one, else the one deleted last.
func (r zoneRow) before(other zoneRow) bool {
	if r.DeletedAt.Valid != other.DeletedAt.Valid {
		return !r.DeletedAt.Valid
	}
	if r.DeletedAt.Int64 != other.DeletedAt.Int64 {
		return r.DeletedAt.Int64 > other.DeletedAt.Int64
	}
	return r.ID > other.ID
}

// contents is the content of editions. What is damaged is left out: Snapshot says
// how.
func (t *tx) contents(ctx context.Context, editions map[int64]zone.Key) (map[int64]*zone.Snapshot, error) {
	ids := make([]int64, 0, len(editions))
	for id := range editions {
		ids = append(ids, id)
	}
	sets := make(map[int64][]rrsetOf, len(ids))
	damaged := make(map[int64]bool)
	var edition int64
	var r rrsetRow
	dest := append(r.dest(), &edition)
	err := in(ctx, t, ids, func(rows *sqlx.Rows) error {
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		key, set, err := r.set()
		damaged[edition] = damaged[edition] || err != nil || !key.Under(editions[edition])
		sets[edition] = append(sets[edition], rrsetOf{key, set})
		return nil
	}, `SELECT `+rrsetFields+`, e.id FROM editions e JOIN rrsets r ON r.content_id = e.content_id WHERE e.id IN (?)`)
	if err != nil {
		return nil, err
	}
	out := make(map[int64]*zone.Snapshot, len(ids))
	for id, all := range sets {
		if damaged[id] {
			continue
		}
		var b *zone.Builder
		for _, s := range all {
			if s.set.Type == zone.TypeSOA && s.key == editions[id] {
				b = zone.NewBuilder(s.set.Owner, len(all))
			}
		}
		if b == nil {
			continue
		}
		for _, s := range all {
			b.AddKeyed(s.key, s.set)
		}
		if snap, err := b.Build(); err == nil {
			out[id] = snap
		}
	}
	return out, nil
}
