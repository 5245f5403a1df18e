package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"dnsctl/fleet"
	"dnsctl/report"
	"dnsctl/zone"
)

var (
	zoneColumns    = []string{"id", "name", "name_case", "kind", "serial_style", "created_at"}
	editionColumns = []string{"id", "zone_id", "content_id", "version", "serial", "soa", "signed", "rrsets", "records", "octets", "changed_at", "chunked"}
	rrsetKey       = []string{"content_id", "owner", "type", "covers"}
)

// edition is a row of editionColumns.
type edition struct {
	id, zone, content, version int64
	serial                     zone.Serial
	soa                        zone.RRset
	signed                     bool
	rrsets, records, octets    int
	chunked                    bool // the content's chunks are of this version
}

// chunks is the column chunked.
func (e edition) chunks() int64 {
	if e.chunked {
		return e.version
	}
	return 0
}

func editionRows(list []edition, now int64) iter.Seq[[]any] {
	return func(yield func([]any) bool) {
		for _, e := range list {
			if !yield([]any{e.id, e.zone, e.content, e.version, int64(e.serial), e.soa.AppendWire(nil), flag(e.signed), e.rrsets, e.records, e.octets, now, e.chunks()}) {
				return
			}
		}
	}
}

// create makes the new zones.
func (w *commit) create(ctx context.Context) error {
	if len(w.Creates) == 0 {
		return nil
	}
	names := make([][]byte, len(w.Creates))
	for i, c := range w.Creates {
		names[i] = []byte(c.Name.Key())
	}
	if err := w.refuseLive(ctx, names); err != nil {
		return err
	}
	if err := w.refuseCatalogs(ctx); err != nil {
		return err
	}
	zones, err := w.s.d.ids(ctx, w.t, "zones", len(w.Creates))
	if err != nil {
		return fmt.Errorf("number zones: %w", err)
	}
	err = w.s.d.insert(ctx, w.t, "zones", zoneColumns, func(yield func([]any) bool) {
		for i, c := range w.Creates {
			if !yield([]any{zones[i], names[i], nameCase(c.Name), string(c.Kind), string(c.SerialStyle), w.now}) {
				return
			}
		}
	})
	if err != nil {
		return w.unique(err, "write zones")
	}
	// Only now that the names are taken can nobody delete another zone of them.
	if err := w.checkAfter(ctx, names); err != nil {
		return err
	}
	contents, err := w.createContents(ctx)
	if err != nil {
		return err
	}
	ids, err := w.s.d.ids(ctx, w.t, "editions", len(w.Creates))
	if err != nil {
		return fmt.Errorf("number editions: %w", err)
	}
	editions := make([]edition, len(w.Creates))
	for i, c := range w.Creates {
		e := edition{id: ids[i], zone: zones[i], content: contents[i], version: 1, signed: c.Signed}
		if c.Content != nil {
			e.soa, e.rrsets, e.records, e.octets = c.Content.SOASet(), c.Content.RRsets(), c.Content.Records(), c.Content.Octets()
		} else {
			e.soa, e.rrsets, e.records, e.octets = c.Staged.SOA, c.Staged.RRsets, c.Staged.Records, c.Staged.Octets
			e.chunked = c.Staged.Chunked
		}
		if e.serial, err = serialOf(c.Name, e.soa); err != nil {
			return err
		}
		if c.After != nil && !e.serial.Ahead(*c.After) {
			return fmt.Errorf("zone %q: serial %d is not ahead of %d, the last one that the name had", c.Name, e.serial, *c.After)
		}
		editions[i] = e
		for _, p := range c.Pools {
			w.members = append(w.members, newMember{zone: zones[i], pool: p, feed: len(w.feed)})
		}
		w.announce(fleet.FeedMember, c.Name, zones[i], &committing{edition: e.id, version: 1, serial: e.serial})
		w.event(i, report.Event{Action: "create", ZoneID: zones[i], Zone: c.Name, Serial: &e.serial, Removed: new(0), Added: &e.records,
			Result: fmt.Sprintf("%d records, pools %s", e.records, w.poolNames(c.Pools))})
	}
	if err := w.s.d.insert(ctx, w.t, "editions", editionColumns, editionRows(editions, w.now)); err != nil {
		return fmt.Errorf("write editions: %w", err)
	}
	return nil
}

// refuseLive fails when a live zone has one of the names.
func (w *commit) refuseLive(ctx context.Context, names [][]byte) error {
	return in(ctx, w.t, names, func(rows *sqlx.Rows) error {
		var key []byte
		if err := rows.Scan(&key); err != nil {
			return err
		}
		n, _ := zone.Key(key).Name() // for the message only
		return fmt.Errorf("zone %q: %w", n, fleet.ErrExists)
	}, `SELECT name FROM zones WHERE deleted_at IS NULL AND name IN (?)`)
}

// unique tells that somebody took a name between refuseLive and the write.
func (w *commit) unique(err error, what string) error {
	var p *pq.Error
	if errors.As(err, &p) && p.Code == pgUnique || strings.Contains(err.Error(), "UNIQUE constraint failed: zones.name") {
		return fmt.Errorf("%s: %w: %w", what, fleet.ErrExists, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// checkAfter compares the last serials of earlier zones of the names with those
// that the creates were computed from.
func (w *commit) checkAfter(ctx context.Context, names [][]byte) error {
	past := make(map[zone.Key][]int64)
	err := in(ctx, w.t, names, func(rows *sqlx.Rows) error {
		var key []byte
		var serial int64
		err := rows.Scan(&key, &serial)
		past[zone.Key(key)] = append(past[zone.Key(key)], serial)
		return err
	}, `SELECT z.name, e.serial FROM zones z JOIN editions e ON e.zone_id = z.id
		WHERE z.deleted_at IS NOT NULL AND z.kind <> 'restored' AND z.name IN (?) ORDER BY z.deleted_at, z.id`)
	if err != nil {
		return fmt.Errorf("read last serials: %w", err)
	}
	for i, c := range w.Creates {
		if c.Kind == fleet.Restored {
			continue // it comes back as it was, whatever the name has had
		}
		last := latest(past[zone.Key(names[i])])
		if (last == nil) != (c.After == nil) || last != nil && *last != *c.After {
			return fmt.Errorf("zone %q: last serial of an earlier zone: %w", c.Name, fleet.ErrConflict)
		}
	}
	return nil
}

// createContents writes the new zones' content, or makes live what was staged,
// and returns the ids.
func (w *commit) createContents(ctx context.Context) ([]int64, error) {
	n := 0
	for _, c := range w.Creates {
		if c.Content != nil {
			n++
		}
	}
	fresh, err := w.s.newContents(ctx, w.t, "live", n)
	if err != nil {
		return nil, fmt.Errorf("number contents: %w", err)
	}
	ids := make([]int64, len(w.Creates))
	for i, c := range w.Creates {
		if c.Content != nil {
			ids[i], fresh = fresh[0], fresh[1:]
			continue
		}
		ids[i] = c.Staged.ID
		if err := w.useStaged(ctx, c.Name, c.Staged); err != nil {
			return nil, err
		}
	}
	err = w.s.d.insert(ctx, w.t, "rrsets", rrsetColumns, func(yield func([]any) bool) {
		for i, c := range w.Creates {
			if c.Content == nil {
				continue
			}
			for row := range rrsetRows(ids[i], c.Content.From("")) {
				if !yield(row) {
					return
				}
			}
		}
	})
	if err != nil {
		return nil, fmt.Errorf("write content: %w", err)
	}
	return ids, nil
}

// useStaged makes staged content live.
func (w *commit) useStaged(ctx context.Context, name zone.Name, c fleet.StagedContent) error {
	n, err := w.t.exec(ctx, `UPDATE contents SET state = 'live', expires_at = 0 WHERE id = ? AND state = 'staged'`, c.ID)
	if err == nil && n == 0 {
		err = fleet.ErrStagedGone
	}
	if err != nil {
		return fmt.Errorf("zone %q: use staged content: %w", name, err)
	}
	return nil
}

func serialOf(name zone.Name, soa zone.RRset) (zone.Serial, error) {
	parsed, err := zone.ParseSOA(soa.Data.First())
	if err != nil {
		return 0, fmt.Errorf("zone %q: %w", name, err)
	}
	return parsed.Serial, nil
}
