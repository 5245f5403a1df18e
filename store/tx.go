package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"dnsctl/report"
	"dnsctl/zone"
)

// tx is a transaction whose queries are written with ? on both databases.
type tx struct {
	*sqlx.Tx
	d dialect
}

func (t *tx) sql(q string) string { return sqlx.Rebind(t.d.bind(), q) }

func (t *tx) exec(ctx context.Context, q string, args ...any) (int64, error) {
	r, err := t.ExecContext(ctx, t.sql(q), args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

func (t *tx) row(ctx context.Context, q string, args ...any) *sqlx.Row {
	return t.QueryRowxContext(ctx, t.sql(q), args...)
}

func (t *tx) get(ctx context.Context, dest any, q string, args ...any) error {
	return t.GetContext(ctx, dest, t.sql(q), args...)
}

func (t *tx) all(ctx context.Context, dest any, q string, args ...any) error {
	return t.SelectContext(ctx, dest, t.sql(q), args...)
}

// each calls scan for every row of a query.
func (t *tx) each(ctx context.Context, scan func(*sqlx.Rows) error, q string, args ...any) error {
	rows, err := t.QueryxContext(ctx, t.sql(q), args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// in calls each with a list for the query's (?), in pieces that stay below the
// databases' limits of parameters. More arguments stand before the list.
func in[T any](ctx context.Context, t *tx, list []T, scan func(*sqlx.Rows) error, q string, before ...any) error {
	const piece = 500
	for len(list) > 0 {
		n := min(piece, len(list))
		q, args, err := sqlx.In(q, append(before[:len(before):len(before)], list[:n])...)
		if err != nil {
			return err
		}
		if err := t.each(ctx, scan, q, args...); err != nil {
			return err
		}
		list = list[n:]
	}
	return nil
}

// keysOf are names as arguments of in.
func keysOf(names []zone.Name) [][]byte {
	keys := make([][]byte, len(names))
	for i, n := range names {
		keys[i] = []byte(n.Key())
	}
	return keys
}

// view runs f in a read transaction that sees one state of the database.
func (s *Store) view(ctx context.Context, f func(*tx) error) error {
	o := &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead}
	if s.d.bind() == sqlx.QUESTION {
		o = nil // SQLite's transactions are all of that kind
	}
	raw, err := s.read.BeginTxx(ctx, o)
	if err != nil {
		return s.explain(ctx, err)
	}
	defer func() { _ = raw.Rollback() }()
	if err := f(&tx{Tx: raw, d: s.d}); err != nil {
		return s.explain(ctx, err)
	}
	return nil
}

// attempts bounds how often a transaction is run again that the database ended
// to resolve a deadlock.
const attempts = 5

// change runs f in a write transaction, which is committed when f returns nil.
// f may be run again, so it must not leave traces elsewhere.
func (s *Store) change(ctx context.Context, f func(*tx) error) error {
	err := s.Writable()
	if err != nil {
		return err
	}
	for range attempts {
		if err = s.changeOnce(ctx, f); !errors.Is(err, errRetry) {
			break
		}
	}
	if err != nil {
		return err
	}
	s.wake.signal()
	return nil
}

// errRetry is wrapped by an error that ended a transaction through no fault of
// its own.
var errRetry = errors.New("transaction ended by the database")

func (s *Store) changeOnce(ctx context.Context, f func(*tx) error) error {
	done, err := s.d.begin(ctx)
	if err != nil {
		return s.explain(ctx, err)
	}
	defer done()
	raw, err := s.write.BeginTxx(ctx, nil)
	if err != nil {
		return s.explain(ctx, err)
	}
	defer func() { _ = raw.Rollback() }()
	if err := f(&tx{Tx: raw, d: s.d}); err != nil {
		return s.explain(ctx, err)
	}
	if err := raw.Commit(); err != nil {
		return s.explain(ctx, err)
	}
	return nil
}

// explain gives an error of the driver its place and remedy. Errors of ctx and
// those that have a remedy already pass through.
func (s *Store) explain(ctx context.Context, err error) error {
	var told *report.Error
	switch {
	case err == nil, errors.As(err, &told):
		return err
	case ctx.Err() != nil:
		if errors.Is(err, ctx.Err()) {
			return fmt.Errorf("store %s: %w", s.place, err)
		}
		return fmt.Errorf("store %s: %w (%w)", s.place, ctx.Err(), err)
	}
	return s.d.explain(err, s.place)
}

func millis(t time.Time) int64 { return t.UnixMilli() }

func fromMillis(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

func timePtr(ms sql.NullInt64) *time.Time {
	if !ms.Valid {
		return nil
	}
	t := fromMillis(ms.Int64)
	return &t
}

func millisPtr(t *time.Time) any {
	if t == nil {
		return nil
	}
	return millis(*t)
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// insertSQL is an INSERT of n rows.
func insertSQL(table string, columns []string, n int) string {
	row := ",(" + strings.Repeat(",?", len(columns))[1:] + ")"
	return "INSERT INTO " + table + " (" + strings.Join(columns, ", ") + ") VALUES " + strings.Repeat(row, n)[1:]
}

// upsert writes many rows; those whose key is there already replace the other
// columns. No key may come twice.
func (t *tx) upsert(ctx context.Context, table string, key, columns []string, rows iter.Seq[[]any]) error {
	const params = 350
	n := max(1, params/len(columns))
	conflict := " ON CONFLICT (" + strings.Join(key, ", ") + ") DO UPDATE SET "
	for i, c := range slices.DeleteFunc(slices.Clone(columns), func(c string) bool { return slices.Contains(key, c) }) {
		if i > 0 {
			conflict += ", "
		}
		conflict += c + " = excluded." + c
	}
	args := make([]any, 0, n*len(columns))
	flush := func() error {
		if len(args) == 0 {
			return nil
		}
		_, err := t.exec(ctx, insertSQL(table, columns, len(args)/len(columns))+conflict, args...)
		args = args[:0]
		return err
	}
	for row := range rows {
		if args = append(args, row...); len(args) == cap(args) {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}
