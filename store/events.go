package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/jmoiron/sqlx"

	"dnsctl/fleet"
	"dnsctl/report"
	"dnsctl/zone"
)

// insertEvents writes events under their ids, at the present time.
func (s *Store) insertEvents(ctx context.Context, t *tx, events []report.Event) error {
	columns := []string{"id", "at", "actor", "command", "action", "zone_id", "zone", "server", "serial", "comment", "before", "result", "from_serial", "removed", "added"}
	var failed error
	err := s.d.insert(ctx, t, "events", columns, func(yield func([]any) bool) {
		for _, e := range events {
			actor, err := json.Marshal(e.Actor)
			if err != nil {
				failed = err
				return
			}
			row := []any{e.ID, millis(s.now()), string(actor), e.Command, e.Action, nil, nil, e.Server, nil, e.Comment, e.Before, e.Result, nil, nil, nil}
			if e.ZoneID != 0 {
				row[5] = e.ZoneID
			}
			if e.Zone != "" {
				row[6] = []byte(e.Zone.Key())
			}
			if e.Serial != nil {
				row[8] = int64(*e.Serial)
			}
			if e.From != nil {
				row[12] = int64(*e.From)
			}
			if e.Removed != nil {
				row[13] = *e.Removed
			}
			if e.Added != nil {
				row[14] = *e.Added
			}
			if !yield(row) {
				return
			}
		}
	})
	return cmp.Or(failed, err)
}

// addEvents writes events in a transaction, under new ids; those of zones get the
// ids of these where they have none.
func (s *Store) addEvents(ctx context.Context, t *tx, events []report.Event) error {
	ids, err := s.d.ids(ctx, t, "events", len(events))
	if err != nil {
		return fmt.Errorf("number events: %w", err)
	}
	events = slices.Clone(events)
	for i := range events {
		e := &events[i]
		e.ID = ids[i]
		if e.Zone == "" || e.ZoneID != 0 {
			continue
		}
		err := t.get(ctx, &e.ZoneID, `SELECT id FROM zones WHERE name = ? ORDER BY id DESC LIMIT 1`, []byte(e.Zone.Key()))
		if err = none(err, nil); err != nil {
			return err
		}
	}
	if err := s.insertEvents(ctx, t, events); err != nil {
		return fmt.Errorf("write events: %w", err)
	}
	return nil
}

// addEvent is addEvents for one.
func (s *Store) addEvent(ctx context.Context, t *tx, e report.Event) error {
	return s.addEvents(ctx, t, []report.Event{e})
}

// configEvent is the event of a change of pools, servers or keys.
func configEvent(by fleet.By, action, server, before, result string) report.Event {
	return report.Event{Actor: by.Actor, Command: by.Command, Action: cmp.Or(by.Action, action), Comment: by.Comment, Server: server, Before: before, Result: result}
}

// AddEvent is AddEvents for one.
func (s *Store) AddEvent(ctx context.Context, e report.Event) error {
	return s.AddEvents(ctx, []report.Event{e})
}

// AddEvents appends to the log of changes, all in one transaction. Their IDs and
// times are the store's, and the ids of zones where they are 0.
func (s *Store) AddEvents(ctx context.Context, events []report.Event) error {
	if len(events) == 0 {
		return nil
	}
	return s.change(ctx, func(t *tx) error { return s.addEvents(ctx, t, events) })
}

// Events is what the filter selects, newest first.
func (s *Store) Events(ctx context.Context, f fleet.EventFilter) ([]report.Event, error) {
	q := `SELECT id, at, actor, command, action, zone, server, serial, comment, before, result, COALESCE(zone_id, 0), from_serial, removed, added
		FROM events WHERE 1 = 1`
	var args []any
	if f.ZoneID != 0 {
		q += ` AND zone_id = ?`
		args = append(args, f.ZoneID)
	}
	if f.Zone != "" {
		q += ` AND zone = ?`
		args = append(args, []byte(f.Zone.Key()))
	}
	if f.Server != "" {
		q += ` AND server = ?`
		args = append(args, f.Server)
	}
	if f.Database {
		q += ` AND server = ''`
	}
	if !f.Since.IsZero() {
		q += ` AND at >= ?`
		args = append(args, millis(f.Since))
	}
	if f.Before != 0 {
		q += ` AND id < ?`
		args = append(args, f.Before)
	}
	args = append(args, cmp.Or(f.Limit, 100))
	out := []report.Event{}
	err := s.view(ctx, func(t *tx) error {
		out = out[:0]
		return t.each(ctx, func(rows *sqlx.Rows) error {
			var e report.Event
			var at int64
			var actor, key []byte
			var serial, from sql.NullInt64
			err := rows.Scan(&e.ID, &at, &actor, &e.Command, &e.Action, &key, &e.Server, &serial, &e.Comment, &e.Before, &e.Result,
				&e.ZoneID, &from, &e.Removed, &e.Added)
			if err != nil {
				return err
			}
			if err := json.Unmarshal(actor, &e.Actor); err != nil {
				return fmt.Errorf("%w: event %d: %w", fleet.ErrCorrupt, e.ID, err)
			}
			if key != nil {
				if e.Zone, err = zone.Key(key).Name(); err != nil {
					return fmt.Errorf("%w: event %d: %w", fleet.ErrCorrupt, e.ID, err)
				}
			}
			e.At, e.Serial, e.From = fromMillis(at), serialPtr(serial), serialPtr(from)
			out = append(out, e)
			return nil
		}, q+` ORDER BY id DESC LIMIT ?`, args...)
	})
	return out, err
}

func serialPtr(n sql.NullInt64) *zone.Serial {
	if !n.Valid {
		return nil
	}
	s := zone.Serial(n.Int64)
	return &s
}
