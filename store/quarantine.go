package store

import (
	"bytes"
	"compress/gzip"
	"context"
	"database/sql"
	"fmt"
	"io"
	"time"

	"github.com/jmoiron/sqlx"

	"dnsctl/fleet"
	"dnsctl/report"
	"dnsctl/zone"
)

const selectCopies = `SELECT id, server, view, zone, reason, settings, serial, records, taken_at, expires_at,
	CASE WHEN released_at IS NULL THEN restored_at END FROM quarantine`

func scanCopy(row interface{ Scan(...any) error }, more ...any) (report.Copy, error) {
	var c report.Copy
	var key []byte
	var serial, restored sql.NullInt64
	var taken, expires int64
	dest := []any{&c.ID, &c.Server, &c.View, &key, &c.Reason, &c.Settings, &serial, &c.Records, &taken, &expires, &restored}
	if err := row.Scan(append(dest, more...)...); err != nil {
		return c, err
	}
	var err error
	if c.Zone, err = zone.Key(key).Name(); err != nil {
		return c, fmt.Errorf("%w: copy %d: %w", fleet.ErrCorrupt, c.ID, err)
	}
	c.Serial, c.Taken, c.Expires, c.Restored = serialPtr(serial), fromMillis(taken), fromMillis(expires), timePtr(restored)
	return c, nil
}

// AddCopy stores a copy of a zone as a nameserver has it and returns its id. A
// zero Taken is now.
func (s *Store) AddCopy(ctx context.Context, c report.Copy) (id int64, err error) {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err = w.Write(c.Content); err == nil {
		err = w.Close()
	}
	if err != nil {
		return 0, fmt.Errorf("compress copy: %w", err)
	}
	if c.Taken.IsZero() {
		c.Taken = s.now()
	}
	err = s.change(ctx, func(t *tx) error {
		var server int64
		if err := t.get(ctx, &server, `SELECT id FROM servers WHERE name = ?`, c.Server); err != nil {
			return none(err, fmt.Errorf("server %q: %w", c.Server, fleet.ErrNoServer))
		}
		ids, err := s.d.ids(ctx, t, "quarantine", 1)
		if err != nil {
			return err
		}
		id = ids[0]
		var serial any
		if c.Serial != nil {
			serial = int64(*c.Serial)
		}
		_, err = t.exec(ctx, `INSERT INTO quarantine (id, server_id, server, view, zone, reason, settings, serial, records, content, taken_at, expires_at)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, id, server, c.Server, c.View, []byte(c.Zone.Key()), c.Reason, c.Settings, serial, c.Records,
			packed.Bytes(), millis(c.Taken), millis(c.Expires))
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("store copy of zone %q: %w", c.Zone, err)
	}
	return id, nil
}

// Copies is the quarantined copies of a server ("" is all) and zone ("" is all),
// newest first, without content.
func (s *Store) Copies(ctx context.Context, server string, name zone.Name) ([]report.Copy, error) {
	q := selectCopies + ` WHERE (? = '' OR server = ?)`
	args := []any{server, server}
	if name != "" {
		q += ` AND zone = ?`
		args = append(args, []byte(name.Key()))
	}
	out := []report.Copy{}
	err := s.view(ctx, func(t *tx) error {
		out = out[:0]
		return t.each(ctx, func(rows *sqlx.Rows) error {
			c, err := scanCopy(rows)
			out = append(out, c)
			return err
		}, q+` ORDER BY id DESC`, args...)
	})
	return out, err
}

// Copy is one copy with its content, or fleet.ErrNoCopy.
func (s *Store) Copy(ctx context.Context, id int64) (report.Copy, error) {
	var c report.Copy
	err := s.view(ctx, func(t *tx) error {
		var packed []byte
		q := selectCopies[:len(selectCopies)-len(" FROM quarantine")] + `, content FROM quarantine WHERE id = ?`
		var err error
		if c, err = scanCopy(t.row(ctx, q, id), &packed); err != nil {
			return none(err, fmt.Errorf("copy %d: %w", id, fleet.ErrNoCopy))
		}
		r, err := gzip.NewReader(bytes.NewReader(packed))
		if err == nil {
			c.Content, err = io.ReadAll(r)
		}
		if err != nil {
			return fmt.Errorf("%w: copy %d: %w", fleet.ErrCorrupt, id, err)
		}
		return nil
	})
	return c, err
}

// MarkRestored notes that a copy is back on its server, where it is protected
// until ReleaseCopy.
func (s *Store) MarkRestored(ctx context.Context, id int64) error {
	return s.setCopy(ctx, id, `UPDATE quarantine SET restored_at = ?, released_at = NULL WHERE id = ?`)
}

// ReleaseCopy ends the protection of a restored copy.
func (s *Store) ReleaseCopy(ctx context.Context, id int64) error {
	return s.setCopy(ctx, id, `UPDATE quarantine SET released_at = ? WHERE id = ?`)
}

// Unprotect is ReleaseCopy as somebody's command: it leaves an event, and a copy
// that protects nothing is an error that wraps fleet.ErrNoCopy.
func (s *Store) Unprotect(ctx context.Context, id int64, by fleet.By) (c report.Copy, err error) {
	err = s.change(ctx, func(t *tx) error {
		if c, err = scanCopy(t.row(ctx, selectCopies+` WHERE id = ?`, id)); err != nil {
			return none(err, fmt.Errorf("copy %d: %w", id, fleet.ErrNoCopy))
		}
		n, err := t.exec(ctx, `UPDATE quarantine SET released_at = ? WHERE id = ? AND `+protectedCopy, millis(s.now()), id)
		if err != nil {
			return err
		}
		if n == 0 {
			return report.Hint(fmt.Errorf("copy %d protects nothing on a nameserver: there is %w to release", id, fleet.ErrNoCopy), "the copies that do are those with a time in RESTORED: dnsctl quarantine list")
		}
		return s.addEvent(ctx, t, report.Event{Actor: by.Actor, Command: by.Command, Action: "release", Zone: c.Zone, Server: c.Server, Serial: c.Serial,
			Comment: by.Comment, Before: "protected", Result: fmt.Sprintf("copy %d", id)})
	})
	c.Restored = nil
	return c, err
}

func (s *Store) setCopy(ctx context.Context, id int64, q string) error {
	return s.change(ctx, func(t *tx) error {
		n, err := t.exec(ctx, q, millis(s.now()), id)
		if err == nil && n == 0 {
			err = fmt.Errorf("copy %d: %w", id, fleet.ErrNoCopy)
		}
		return err
	})
}

// protectedCopy is the condition that a copy is back on its server.
const protectedCopy = `(restored_at IS NOT NULL AND released_at IS NULL)`

// PurgeCopy deletes a copy; fleet.ErrInUse while it is restored and protected.
func (s *Store) PurgeCopy(ctx context.Context, id int64) error {
	return s.change(ctx, func(t *tx) error {
		n, err := t.exec(ctx, `DELETE FROM quarantine WHERE id = ? AND NOT `+protectedCopy, id)
		if err != nil || n > 0 {
			return err
		}
		c, err := scanCopy(t.row(ctx, selectCopies+` WHERE id = ?`, id))
		if err != nil {
			return none(err, fmt.Errorf("copy %d: %w", id, fleet.ErrNoCopy))
		}
		return report.Hint(fmt.Errorf("copy %d is %w: it is back on server %s and protected there", id, fleet.ErrInUse, c.Server),
			fmt.Sprintf("take the zone into the database with: dnsctl zone adopt %s %s; or end the protection with: dnsctl quarantine release %d", c.Server, c.Zone, id))
	})
}

// PurgeCopies deletes the copies that have expired, but those that are restored
// and protected, and returns how many.
func (s *Store) PurgeCopies(ctx context.Context) (int64, error) {
	return s.inBatches(ctx, `DELETE FROM quarantine WHERE id IN (SELECT id FROM quarantine WHERE expires_at < ? AND NOT `+protectedCopy+` LIMIT ?)`, millis(s.now()))
}

// Protected is the zones of which a restored copy is protected on a server.
func (s *Store) Protected(ctx context.Context, server int64) ([]zone.Name, error) {
	var out []zone.Name
	err := s.view(ctx, func(t *tx) error {
		out = nil
		return t.each(ctx, func(rows *sqlx.Rows) error {
			var key []byte
			if err := rows.Scan(&key); err != nil {
				return err
			}
			n, err := zone.Key(key).Name()
			out = append(out, n)
			return err
		}, `SELECT DISTINCT zone FROM quarantine WHERE server_id = ? AND `+protectedCopy+` ORDER BY zone`, server)
	})
	return out, err
}

// Sight notes the foreign zones that a comparison has just found on a server,
// and forgets those that it did not find. It returns when each was first seen.
func (s *Store) Sight(ctx context.Context, server int64, names []zone.Name) (map[zone.Key]time.Time, error) {
	var out map[zone.Key]time.Time
	err := s.change(ctx, func(t *tx) error {
		out = make(map[zone.Key]time.Time, len(names))
		now := millis(s.now())
		first := make(map[zone.Key]int64)
		err := t.each(ctx, func(rows *sqlx.Rows) error {
			var key []byte
			var at int64
			err := rows.Scan(&key, &at)
			first[zone.Key(key)] = at
			return err
		}, `SELECT zone, first_seen FROM sightings WHERE server_id = ?`+s.d.forUpdate(), server)
		if err != nil {
			return err
		}
		for _, n := range names {
			k := n.Key()
			at, seen := first[k]
			if !seen {
				at = now
			}
			out[k] = fromMillis(at)
		}
		for k := range first {
			if _, still := out[k]; !still {
				if _, err := t.exec(ctx, `DELETE FROM sightings WHERE server_id = ? AND zone = ?`, server, []byte(k)); err != nil {
					return err
				}
			}
		}
		return t.upsert(ctx, "sightings", []string{"server_id", "zone"}, []string{"server_id", "zone", "first_seen", "last_seen"}, func(yield func([]any) bool) {
			for k, at := range out {
				if !yield([]any{server, []byte(k), millis(at), now}) {
					return
				}
			}
		})
	})
	if err != nil {
		return nil, fmt.Errorf("note foreign zones: %w", err)
	}
	return out, nil
}

// ForeignDeletions counts the foreign zones that were deleted from a server
// since a time.
func (s *Store) ForeignDeletions(ctx context.Context, server int64, since time.Time) (n int, err error) {
	err = s.view(ctx, func(t *tx) error {
		return t.get(ctx, &n, `SELECT count(*) FROM foreign_deletions WHERE server_id = ? AND at >= ?`, server, millis(since))
	})
	return n, err
}

// AddForeignDeletion notes that a foreign zone is about to be deleted from a
// server.
func (s *Store) AddForeignDeletion(ctx context.Context, server int64, name zone.Name) error {
	return s.change(ctx, func(t *tx) error {
		_, err := t.exec(ctx, `INSERT INTO foreign_deletions (server_id, zone, at) VALUES (?, ?, ?)`, server, []byte(name.Key()), millis(s.now()))
		return err
	})
}
