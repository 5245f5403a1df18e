package store

import (
	"context"
	"fmt"

	"github.com/jmoiron/sqlx"

	"dnsctl/fleet"
	"dnsctl/zone"
)

// deltaColumns are the columns of a delta as Commit writes them.
var deltaColumns = []string{"edition_id", "version", "from_serial", "to_serial", "removed", "added", "octets", "event_id", "at", "epoch"}

// packSide is one half of a delta at rest: its SOA, then its records.
func packSide(soa zone.RRset, sets []zone.RRset) []byte {
	b := soa.AppendWire(nil)
	for _, set := range sets {
		b = set.AppendWire(b)
	}
	return b
}

func unpackSide(b []byte) (soa zone.RRset, sets []zone.RRset, err error) {
	if sets, err = zone.ParseWire(b); err != nil {
		return soa, nil, err
	}
	if len(sets) == 0 || sets[0].Type != zone.TypeSOA || sets[0].Data.Len() != 1 {
		return soa, nil, fmt.Errorf("%w: no SOA at the start", zone.ErrBadRecords)
	}
	return sets[0], sets[1:], nil
}

// deltaInfo is a stored delta without its records.
type deltaInfo struct {
	Version  int64 // of the edition after it
	From, To zone.Serial
	Octets   int64
}

// deltaChain is the unbroken chain of stored deltas that leads from one serial
// of an edition to another, oldest first, and their size as stored; nil when
// history does not lead from one to the other, or an epoch began between them: a
// nameserver may have had other content under the serial then. A serial that the
// edition has had more than once counts as the last time.
func (t *tx) deltaChain(ctx context.Context, edition int64, from, to zone.Serial) ([]deltaInfo, int64, error) {
	var first, last int64
	err := t.row(ctx, `SELECT COALESCE(max(version), 0) FROM deltas WHERE edition_id = ? AND to_serial = ?`, edition, int64(to)).Scan(&last)
	if err == nil {
		err = t.row(ctx, `SELECT COALESCE(max(version), 0) FROM deltas WHERE edition_id = ? AND from_serial = ? AND version <= ?`, edition, int64(from), last).Scan(&first)
	}
	if err != nil || first == 0 || last == 0 {
		return nil, 0, err
	}
	var chain []deltaInfo
	var octets int64
	broken := false
	err = t.each(ctx, func(rows *sqlx.Rows) error {
		var d deltaInfo
		var epoch int64
		err := rows.Scan(&d.Version, &d.From, &d.To, &d.Octets, &epoch)
		chain = append(chain, d)
		octets += d.Octets
		broken = broken || epoch != 0
		return err
	}, `SELECT version, from_serial, to_serial, octets, epoch FROM deltas WHERE edition_id = ? AND version BETWEEN ? AND ? ORDER BY version`, edition, first, last)
	if err != nil || broken {
		return nil, 0, err
	}
	for i, d := range chain {
		if d.Version != first+int64(i) || i > 0 && d.From != chain[i-1].To {
			return nil, 0, nil // a version without a delta: purged, or a signed zone replaced whole
		}
	}
	return chain, octets, nil
}

// Versions is the present version of an edition and those that an unbroken chain
// of stored deltas leads back to, newest first.
func (s *Store) Versions(ctx context.Context, edition int64) ([]fleet.Version, error) {
	var out []fleet.Version
	err := s.view(ctx, func(t *tx) error {
		var v fleet.Version
		if err := t.row(ctx, `SELECT version, serial FROM editions WHERE id = ?`, edition).Scan(&v.Version, &v.Serial); err != nil {
			return none(err, fmt.Errorf("edition %d: %w", edition, fleet.ErrNoZone))
		}
		out = []fleet.Version{v}
		broken := false
		return t.each(ctx, func(rows *sqlx.Rows) error {
			var version int64
			var from, to zone.Serial
			if err := rows.Scan(&version, &from, &to); err != nil {
				return err
			}
			last := &out[len(out)-1]
			if broken = broken || version != last.Version || to != last.Serial; broken {
				return nil
			}
			last.Whole = true
			out = append(out, fleet.Version{Version: version - 1, Serial: from})
			return nil
		}, `SELECT version, from_serial, to_serial FROM deltas WHERE edition_id = ? ORDER BY version DESC`, edition)
	})
	return out, err
}

// Delta is the stored change that made a version of an edition;
// fleet.ErrNotFound when it is not kept.
func (s *Store) Delta(ctx context.Context, edition, version int64) (d zone.Delta, err error) {
	err = s.view(ctx, func(t *tx) error {
		var removed, added []byte
		err := t.row(ctx, `SELECT removed, added FROM deltas WHERE edition_id = ? AND version = ?`, edition, version).Scan(&removed, &added)
		if err != nil {
			return none(err, fmt.Errorf("change to version %d: %w", version, fleet.ErrNotFound))
		}
		d, err = unpackDelta(edition, version, removed, added)
		return err
	})
	return d, err
}

func unpackDelta(edition, version int64, removed, added []byte) (d zone.Delta, err error) {
	if d.OldSOA, d.Removed, err = unpackSide(removed); err == nil {
		d.NewSOA, d.Added, err = unpackSide(added)
	}
	if err != nil {
		return d, fmt.Errorf("%w: delta to version %d of edition %d: %w", fleet.ErrCorrupt, version, edition, err)
	}
	return d, nil
}

// Deltas is the unbroken chain of stored changes that leads from one serial of
// an edition to another, oldest first; nil when history does not reach back that
// far, or when the chain is larger than maxOctets as stored.
func (s *Store) Deltas(ctx context.Context, edition int64, from, to zone.Serial, maxOctets int64) ([]zone.Delta, error) {
	var out []zone.Delta
	err := s.view(ctx, func(t *tx) error {
		out = nil
		chain, octets, err := t.deltaChain(ctx, edition, from, to)
		if err != nil || len(chain) == 0 || octets > maxOctets {
			return err
		}
		out, err = t.deltas(ctx, edition, chain[0].Version, chain[len(chain)-1].Version)
		return err
	})
	return out, err
}

// Since is the stored changes that made the versions of an edition after this one,
// oldest first, also those before an epoch; nil when one of them is not kept.
func (s *Store) Since(ctx context.Context, edition, version int64) ([]zone.Delta, error) {
	var out []zone.Delta
	err := s.view(ctx, func(t *tx) error {
		out = nil
		var n, last int64
		err := t.row(ctx, `SELECT count(*), COALESCE(max(version), 0) FROM deltas WHERE edition_id = ? AND version > ?`, edition, version).Scan(&n, &last)
		if err != nil || n == 0 || last != version+n {
			return err
		}
		out, err = t.deltas(ctx, edition, version+1, last)
		return err
	})
	return out, err
}

func (t *tx) deltas(ctx context.Context, edition, first, last int64) ([]zone.Delta, error) {
	out := make([]zone.Delta, 0, last-first+1)
	err := t.each(ctx, func(rows *sqlx.Rows) error {
		var removed, added []byte
		var version int64
		if err := rows.Scan(&version, &removed, &added); err != nil {
			return err
		}
		d, err := unpackDelta(edition, version, removed, added)
		out = append(out, d)
		return err
	}, `SELECT version, removed, added FROM deltas WHERE edition_id = ? AND version BETWEEN ? AND ? ORDER BY version`, edition, first, last)
	return out, err
}
