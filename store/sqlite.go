package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/jmoiron/sqlx"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"dnsctl/report"
)

const (
	// sqliteReaders bounds the read connections: streams that are open at once.
	sqliteReaders = 16
	// sqliteParams is how many parameters one INSERT carries: measured, more make it
	// slower.
	sqliteParams = 350
	// sqlitePoll is how often we look whether another process has committed.
	sqlitePoll = 10 * time.Millisecond
)

// lite is the dialect of SQLite.
type lite struct {
	path      string
	file      os.FileInfo // as it was opened
	turnstile *turnstile  // nil when read only
	reading   string      // mode of connections that only read
}

var _ dialect = (*lite)(nil)

// openSQLite opens the database file; with o.Create it makes an empty one where
// there is none.
func (s *Store) openSQLite(ctx context.Context, path string, o Options) error {
	d := &lite{path: path, reading: "ro"}
	s.d = d
	info, err := os.Stat(path)
	switch {
	case err == nil && !info.Mode().IsRegular():
		return report.Fail(report.ExitUsage, fmt.Errorf("%s is not a file", path), "name the file of an SQLite database")
	case errors.Is(err, fs.ErrNotExist) && o.Create && !o.ReadOnly:
		if err := createFile(path); err != nil {
			return report.Fail(report.ExitStore, fmt.Errorf("make store: %w", err), "name another place with --store sqlite:PATH")
		}
	case errors.Is(err, fs.ErrNotExist):
		return report.Fail(report.ExitStore, fmt.Errorf("there is no store at %s", path), "make it with: dnsctl db init --store sqlite:"+path)
	case err != nil:
		return report.Hint(fmt.Errorf("open store: %w", err), noPermission)
	}
	common := []string{"busy_timeout(10000)", "foreign_keys(1)"}
	mode := "rw"
	if !o.ReadOnly {
		err := s.openWriter(ctx, d, path, common)
		switch {
		case err == nil:
		case o.Readable && (errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS)):
			s.readOnly, s.locked = true, err
		default:
			return err
		}
	}
	if s.readOnly {
		if mode = "ro"; !exists(path + "-wal") {
			mode += "&immutable=1" // the file is whole, and SQLite makes no other beside it (sqlite.org/uri.html)
		}
		d.reading = mode
	}
	s.read, err = sqlx.Open("sqlite", sqliteDSN(path, mode, "deferred", append(common, "query_only(1)", "cache_size(-16384)")))
	if err != nil {
		return s.explain(ctx, err)
	}
	s.read.SetMaxOpenConns(sqliteReaders)
	s.read.SetMaxIdleConns(sqliteReaders)
	// Reads the file's header, which a ping does not.
	var version int
	if err := s.read.GetContext(ctx, &version, "PRAGMA schema_version"); err != nil {
		return s.explain(ctx, err)
	}
	if d.file, err = os.Stat(path); err != nil {
		return report.Hint(fmt.Errorf("open store: %w", err), noPermission)
	}
	return nil
}

func (s *Store) openWriter(ctx context.Context, d *lite, path string, common []string) (err error) {
	if d.turnstile, err = newTurnstile(path); err != nil {
		return report.Hint(fmt.Errorf("open store %s for writing: %w", path, err), "the folder and the files beside the database must be writable for this user")
	}
	s.write, err = sqlx.Open("sqlite", sqliteDSN(path, "rw", "immediate",
		append(common, "synchronous(FULL)", "wal_autocheckpoint(4000)", "cache_size(-65536)")))
	if err != nil {
		return s.explain(ctx, err)
	}
	s.write.SetMaxOpenConns(1)
	var mode string
	if err := s.write.GetContext(ctx, &mode, "PRAGMA journal_mode"); err != nil {
		return s.explain(ctx, err)
	}
	if mode == "wal" {
		return nil
	}
	leave, err := d.turnstile.enter(ctx)
	if err != nil {
		return s.explain(ctx, err)
	}
	defer leave()
	if _, err := s.write.ExecContext(ctx, "PRAGMA journal_mode = WAL"); err != nil {
		return s.explain(ctx, err)
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// createFile makes an empty file that only its owner can read; SQLite gives its
// other files the same mode. Losing a race for it is no error.
func createFile(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return f.Close()
}

func sqliteDSN(path, mode, txlock string, pragmas []string) string {
	u := url.URL{Scheme: "file", Path: path, RawQuery: "mode=" + mode + "&" + url.Values{"_txlock": {txlock}, "_pragma": pragmas}.Encode()}
	return u.String()
}

func (*lite) name() string               { return "sqlite" }
func (*lite) bind() int                  { return sqlx.QUESTION }
func (*lite) forUpdate() string          { return "" } // there is one writer
func (*lite) forShare() string           { return "" }
func (*lite) holds(column string) string { return "instr(" + column + ", ?) > 0" }
func (*lite) skipLocked() string         { return "" }

// begin refuses to write into a file that is not in its place any more: SQLite
// would, and nobody would ever see it.
func (d *lite) begin(ctx context.Context) (func(), error) {
	leave, err := d.turnstile.enter(ctx)
	if err != nil {
		return nil, err
	}
	now, err := os.Stat(d.path)
	if err == nil && d.file != nil && !os.SameFile(now, d.file) {
		err = fmt.Errorf("%s was replaced by another file", d.path)
	}
	if err != nil {
		leave()
		return nil, report.Hint(fmt.Errorf("store is gone: %w", err), "end this program, look after the file, and start again; nothing was changed")
	}
	return leave, nil
}

func (d *lite) close() error {
	if d.turnstile == nil {
		return nil
	}
	return d.turnstile.close()
}

func (*lite) hasTable(ctx context.Context, t *tx, table string) (bool, error) {
	var n int
	err := t.get(ctx, &n, `SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?`, table)
	return n > 0, err
}

func (*lite) ids(ctx context.Context, t *tx, table string, n int) ([]int64, error) {
	var last int64
	if err := t.get(ctx, &last, `SELECT COALESCE((SELECT seq FROM sqlite_sequence WHERE name = ?), 0)`, table); err != nil {
		return nil, err
	}
	out := make([]int64, n)
	for i := range out {
		out[i] = last + 1 + int64(i)
	}
	return out, nil
}

// idsPast: SQLite sees to it by itself.
func (*lite) idsPast(context.Context, *tx, string) error { return nil }

// lockOut: there is one writer.
func (*lite) lockOut(context.Context, *tx, []string) error { return nil }

func (*lite) insert(ctx context.Context, t *tx, table string, columns []string, rows iter.Seq[[]any]) error {
	n := max(1, sqliteParams/len(columns))
	full, err := t.PreparexContext(ctx, insertSQL(table, columns, n)) //nolint:sqlclosecheck // closed below
	if err != nil {
		return err
	}
	defer full.Close()
	args := make([]any, 0, n*len(columns))
	for row := range rows {
		if args = append(args, row...); len(args) == cap(args) {
			if _, err := full.ExecContext(ctx, args...); err != nil {
				return err
			}
			args = args[:0]
		}
	}
	if len(args) > 0 {
		_, err = t.ExecContext(ctx, insertSQL(table, columns, len(args)/len(columns)), args...)
	}
	return err
}

// now: all writers are on one machine, whose clock they share.
func (*lite) now(context.Context, *tx) (time.Time, bool, error) { return time.Time{}, false, nil }

// notify is not needed: readers watch the database file.
func (*lite) notify(context.Context, *tx) error { return nil }

// watch polls the counter that SQLite changes with every commit of another
// connection. It belongs to one connection, which is kept for this.
func (*lite) watch(ctx context.Context, s *Store, changed func()) {
	tick := time.NewTicker(sqlitePoll)
	defer tick.Stop()
	for ctx.Err() == nil {
		err := pollVersion(ctx, s, tick, changed)
		if ctx.Err() == nil {
			s.log.Warn("watching the store for commits was interrupted", "err", err)
			changed()
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}
}

func pollVersion(ctx context.Context, s *Store, tick *time.Ticker, changed func()) error {
	conn, err := s.read.Connx(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	for last := int64(-1); ; {
		var v int64
		if err := conn.GetContext(ctx, &v, "PRAGMA data_version"); err != nil {
			return err
		}
		if v != last {
			last = v
			changed()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// analyze: SQLite plans well for our queries without statistics.
func (*lite) analyze(context.Context, *Store) error { return nil }

func (*lite) size(ctx context.Context, t *tx) (int64, error) {
	var pages, size int64
	if err := t.get(ctx, &pages, "PRAGMA page_count"); err != nil {
		return 0, err
	}
	err := t.get(ctx, &size, "PRAGMA page_size")
	return pages * size, err
}

const noPermission = "the file, its folder and the files beside it must be readable and writable for this user"

func (*lite) explain(err error, place string) error {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return err
	}
	hint := ""
	exit := report.ExitFailed
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_FULL:
		hint = "the disk, or this user's quota, is full: make room, then run it again; nothing was changed"
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM:
		hint = "the database, its folder and the files beside it must be writable for this user; nothing was changed"
	case sqlite3.SQLITE_CANTOPEN:
		hint = noPermission
	case sqlite3.SQLITE_IOERR:
		hint = "the disk under the store fails or is full, or its files are gone: look at the system's log; nothing was changed"
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		hint = "another program, which is not dnsctl, holds the database locked: end it, then run this again"
	case sqlite3.SQLITE_NOTADB:
		exit, hint = report.ExitStore, "this is not an SQLite database: is it the right path?"
	case sqlite3.SQLITE_CORRUPT:
		hint = "the database is damaged: keep the file, and restore a backup"
	default:
		return fmt.Errorf("store %s: %w", place, err)
	}
	return report.Fail(exit, fmt.Errorf("store %s: %w", place, err), hint)
}
