package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"

	"dnsctl/fleet"
	"dnsctl/report"
	"dnsctl/zone"
)

const selectTasks = `SELECT s.name, t.zone, t.want, t.incarnation, t.serial, t.attempts, t.created_at, t.next_at, t.last_error
	FROM tasks t JOIN servers s ON s.id = t.server_id`

func scanTask(rows *sqlx.Rows) (report.Task, error) {
	var k report.Task
	var key []byte
	var since, next int64
	err := rows.Scan(&k.Server, &key, &k.Want, &k.Incarnation, &k.Serial, &k.Attempts, &since, &next, &k.LastError)
	if err != nil {
		return k, err
	}
	k.Since, k.NextTry = fromMillis(since), fromMillis(next)
	if k.Zone, err = zone.Key(key).Name(); err != nil {
		return k, fmt.Errorf("%w: task of server %s: %w", fleet.ErrCorrupt, k.Server, err)
	}
	return k, nil
}

// PutTasks notes zones that are not proven converged on their servers: a row per
// server and zone. One that wants the same as the row that is there leaves it as
// it is, attempts and next try included; one that wants something else starts
// anew. One without an incarnation is about content alone: of a row that is there it
// replaces the serial, and it is no reason to forget that a zone is to go. Tasks of
// servers that are not there any more are left out.
func (s *Store) PutTasks(ctx context.Context, tasks []report.Task) error {
	if len(tasks) == 0 {
		return nil
	}
	err := s.change(ctx, func(t *tx) error {
		ids := make(map[string]int64)
		err := t.each(ctx, func(rows *sqlx.Rows) error {
			var id int64
			var name string
			err := rows.Scan(&id, &name)
			ids[name] = id
			return err
		}, `SELECT id, name FROM servers ORDER BY id`+s.d.forShare())
		if err != nil {
			return err
		}
		now := s.now()
		for _, k := range tasks {
			id, there := ids[k.Server]
			if !there {
				continue
			}
			next := k.NextTry
			if next.IsZero() {
				next = now
			}
			_, err := t.exec(ctx, `INSERT INTO tasks (server_id, zone, want, incarnation, serial, attempts, created_at, next_at) VALUES (?, ?, ?, ?, ?, 0, ?, ?)
				ON CONFLICT (server_id, zone) DO UPDATE SET want = excluded.want, serial = excluded.serial,
					incarnation = CASE excluded.incarnation WHEN '' THEN tasks.incarnation ELSE excluded.incarnation END,
					attempts = 0, created_at = excluded.created_at, next_at = excluded.next_at, last_error = '', leased_by = '', lease_until = 0
				WHERE CASE excluded.incarnation WHEN '' THEN tasks.want = excluded.want AND tasks.serial <> excluded.serial
					ELSE tasks.want <> excluded.want OR tasks.incarnation <> excluded.incarnation OR tasks.serial <> excluded.serial END`,
				id, []byte(k.Zone.Key()), k.Want, k.Incarnation, int64(k.Serial), millis(now), millis(next))
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("write tasks: %w", err)
	}
	return nil
}

// Tasks is the tasks of a server ("" is all), by server and zone.
func (s *Store) Tasks(ctx context.Context, server string) ([]report.Task, error) {
	out := []report.Task{}
	err := s.view(ctx, func(t *tx) error {
		out = out[:0]
		return t.each(ctx, func(rows *sqlx.Rows) error {
			k, err := scanTask(rows)
			out = append(out, k)
			return err
		}, selectTasks+` WHERE ? = '' OR s.name = ? ORDER BY s.name, t.zone`, server, server)
	})
	return out, err
}

// DueTasks takes up to limit tasks of a server that are due and that nobody has
// taken, oldest first, for holder and for a time.
func (s *Store) DueTasks(ctx context.Context, server, holder string, limit int, ttl time.Duration) ([]report.Task, error) {
	const ofServer = ` WHERE server_id = (SELECT id FROM servers WHERE name = ?)`
	out := []report.Task{}
	err := s.change(ctx, func(t *tx) error {
		out = out[:0]
		now := millis(s.now())
		var due [][]byte
		err := t.all(ctx, &due, `SELECT zone FROM tasks`+ofServer+` AND next_at <= ? AND lease_until <= ?
			ORDER BY next_at, zone LIMIT ?`+s.d.skipLocked(), server, now, now, limit)
		if err != nil {
			return err
		}
		nothing := func(*sqlx.Rows) error { return nil }
		if err := in(ctx, t, due, nothing, `UPDATE tasks SET leased_by = ?, lease_until = ?`+ofServer+` AND zone IN (?) RETURNING zone`, holder, now+ttl.Milliseconds(), server); err != nil {
			return err
		}
		err = in(ctx, t, due, func(rows *sqlx.Rows) error {
			k, err := scanTask(rows)
			out = append(out, k)
			return err
		}, selectTasks+` WHERE s.name = ? AND t.zone IN (?)`, server)
		slices.SortFunc(out, func(a, b report.Task) int {
			return cmp.Or(a.NextTry.Compare(b.NextTry), cmp.Compare(a.Zone.Key(), b.Zone.Key()))
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("take tasks: %w", err)
	}
	return out, nil
}

// FreeTasks gives back what others than the holder of a lease have taken: whoever
// took it does not lead any more. It fails with fleet.ErrLeaseLost unless l is
// still held.
func (s *Store) FreeTasks(ctx context.Context, l fleet.Lease) error {
	err := s.change(ctx, func(t *tx) error {
		if err := s.fenced(ctx, t, l); err != nil {
			return err
		}
		_, err := t.exec(ctx, `UPDATE tasks SET leased_by = '', lease_until = 0 WHERE leased_by <> ? AND leased_by <> ''`, l.Holder)
		return err
	})
	if err != nil {
		return fmt.Errorf("free tasks: %w", err)
	}
	return nil
}

// sameTask is the condition that a task's row still wants what the task wants.
const sameTask = ` WHERE server_id = (SELECT id FROM servers WHERE name = ?) AND zone = ? AND want = ? AND incarnation = ? AND serial = ?`

func sameArgs(k report.Task) []any {
	return []any{k.Server, []byte(k.Zone.Key()), k.Want, k.Incarnation, int64(k.Serial)}
}

// DoneTasks removes the tasks whose end the wire has proven, unless something
// else is wanted by now. One without an incarnation, of which only the content is
// proven, ends none that has one; a row without one is ended by any.
// Where there is none of them nothing is written, and no reader is woken: most
// changes are proven before they need a task.
func (s *Store) DoneTasks(ctx context.Context, tasks []report.Task) error {
	found, err := s.sameTasks(ctx, tasks)
	if err == nil && len(found) > 0 {
		err = s.change(ctx, func(t *tx) error {
			for _, k := range found {
				if _, err := t.exec(ctx, `DELETE FROM tasks`+sameTask, sameArgs(k)...); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err != nil {
		return fmt.Errorf("end tasks: %w", err)
	}
	return nil
}

// sameTasks reads the rows that want what one of the tasks wants.
func (s *Store) sameTasks(ctx context.Context, tasks []report.Task) (found []report.Task, err error) {
	type want struct {
		server            string
		zone              zone.Key
		want, incarnation string
		serial            zone.Serial
	}
	wants, contents := make(map[want]bool, len(tasks)), make(map[want]bool, len(tasks))
	zones := make(map[string][]zone.Name)
	for _, k := range tasks {
		wants[want{k.Server, k.Zone.Key(), k.Want, k.Incarnation, k.Serial}] = true
		contents[want{k.Server, k.Zone.Key(), k.Want, "", k.Serial}] = true
		zones[k.Server] = append(zones[k.Server], k.Zone)
	}
	err = s.view(ctx, func(t *tx) error {
		found = nil
		for server, names := range zones {
			err := in(ctx, t, keysOf(names), func(rows *sqlx.Rows) error {
				k, err := scanTask(rows)
				w := want{k.Server, k.Zone.Key(), k.Want, k.Incarnation, k.Serial}
				if wants[w] || contents[w] {
					found = append(found, k)
				}
				return err
			}, selectTasks+` WHERE s.name = ? AND t.zone IN (?)`, server)
			if err != nil {
				return err
			}
		}
		return nil
	})
	return found, err
}

// FailTask notes an attempt that failed and when to try again, unless something
// else is wanted by now. It gives the task back.
func (s *Store) FailTask(ctx context.Context, k report.Task, failure string, next time.Time) error {
	return s.postpone(ctx, []report.Task{k}, failure, next, 1)
}

// DeferTasks gives tasks back without an attempt: their server is not reachable,
// or busy.
func (s *Store) DeferTasks(ctx context.Context, tasks []report.Task, reason string, next time.Time) error {
	return s.postpone(ctx, tasks, reason, next, 0)
}

func (s *Store) postpone(ctx context.Context, tasks []report.Task, reason string, next time.Time, attempts int) error {
	err := s.change(ctx, func(t *tx) error {
		for _, k := range tasks {
			_, err := t.exec(ctx, `UPDATE tasks SET attempts = attempts + ?, last_error = ?, next_at = ?, leased_by = '', lease_until = 0`+sameTask,
				append([]any{attempts, reason, millis(next)}, sameArgs(k)...)...)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("postpone tasks: %w", err)
	}
	return nil
}

// RetryTasks makes tasks due now: those of a server ("" is all), of one zone or
// of all (""). It returns how many.
func (s *Store) RetryTasks(ctx context.Context, server string, name zone.Name) (n int64, err error) {
	err = s.change(ctx, func(t *tx) error {
		q := `UPDATE tasks SET next_at = ? WHERE (? = '' OR server_id IN (SELECT id FROM servers WHERE name = ?))`
		args := []any{millis(s.now()), server, server}
		if name != "" {
			q += ` AND zone = ?`
			args = append(args, []byte(name.Key()))
		}
		n, err = t.exec(ctx, q, args...)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("retry tasks: %w", err)
	}
	return n, nil
}

// TaskLag is how many tasks a server has, and since when the oldest.
func (s *Store) TaskLag(ctx context.Context, server string) (n int, oldest time.Time, err error) {
	err = s.view(ctx, func(t *tx) error {
		var since sql.NullInt64
		err := t.row(ctx, `SELECT count(*), min(t.created_at) FROM tasks t JOIN servers s ON s.id = t.server_id WHERE s.name = ?`, server).Scan(&n, &since)
		if since.Valid {
			oldest = fromMillis(since.Int64)
		}
		return err
	})
	if err != nil {
		return 0, time.Time{}, fmt.Errorf("count tasks: %w", err)
	}
	return n, oldest, nil
}
