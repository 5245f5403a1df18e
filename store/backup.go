package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"github.com/jmoiron/sqlx"

	"dnsctl/report"
)

// Backup writes the whole store, as it is at one moment, into a file that only
// its owner can read, while others go on reading and writing. The file is an
// SQLite store of the same schema, whatever this store is: it can be opened as
// sqlite:FILE. It appears when it is whole; one that is there is not replaced.
//
// Its secrets stay sealed: they need the identity of the recipient returned.
func (s *Store) Backup(ctx context.Context, file string) (recipient string, err error) {
	if recipient, err = s.Recipient(ctx); err != nil {
		return "", err
	}
	file, err = filepath.Abs(file)
	if err != nil {
		return "", fmt.Errorf("back up: %w", err)
	}
	exists := report.Hint(fmt.Errorf("back up to %s: %w", file, fs.ErrExist), "nothing is overwritten: name a new file")
	if _, err := os.Lstat(file); err == nil {
		return "", exists
	}
	// Beside the file, so that the rename is one step; a folder, as SQLite makes
	// files beside a database.
	dir, err := os.MkdirTemp(filepath.Dir(file), ".backup-*") // mode 0700
	if err != nil {
		return "", report.Hint(fmt.Errorf("back up to %s: %w", file, bare(err)), "name a file in a folder that is there and can be written")
	}
	defer os.RemoveAll(dir)
	part := filepath.Join(dir, "store.db")
	if err := createFile(part); err != nil {
		return "", fmt.Errorf("back up: %w", err)
	}
	if s.d.name() == "sqlite" {
		err = s.vacuumInto(ctx, part)
	} else {
		err = s.dumpInto(ctx, part)
	}
	if err == nil {
		err = syncPath(part)
	}
	if err != nil {
		return "", fmt.Errorf("back up to %s: %w", file, s.explain(ctx, err))
	}
	switch err := os.Link(part, file); { // a link never replaces a file
	case errors.Is(err, fs.ErrExist):
		return "", exists
	case err != nil:
		return "", fmt.Errorf("back up: %w", err)
	}
	if err := syncPath(filepath.Dir(file)); err != nil {
		return "", fmt.Errorf("back up: %w", err)
	}
	return recipient, nil
}

// syncPath brings a file or folder to the disk.
func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// vacuumInto copies an SQLite database, without what is free in it.
func (s *Store) vacuumInto(ctx context.Context, path string) error {
	// The read pool is query_only, which forbids this.
	mode := "ro"
	if d, ok := s.d.(*lite); ok {
		mode = d.reading
	}
	db, err := sqlx.Open("sqlite", sqliteDSN(s.place, mode, "deferred", []string{"busy_timeout(10000)"}))
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.ExecContext(ctx, "VACUUM INTO ?", path)
	return err
}

// dumpInto copies every table of a PostgreSQL database into a new SQLite one.
func (s *Store) dumpInto(ctx context.Context, path string) error {
	out, err := Open(ctx, "sqlite:"+path, Options{AnySchema: true, Clock: s.clock, Logger: s.log})
	if err != nil {
		return err
	}
	defer out.Close()
	if _, err := out.Migrate(ctx); err != nil {
		return err
	}
	tables, err := out.tables(ctx)
	if err != nil {
		return err
	}
	err = s.view(ctx, func(from *tx) error {
		for _, table := range tables {
			err := out.change(ctx, func(to *tx) error {
				var columns []string
				if err := to.all(ctx, &columns, `SELECT name FROM pragma_table_info(?) ORDER BY cid`, table); err != nil {
					return err
				}
				return copyTable(ctx, from, to, table, columns, func() {})
			})
			if err != nil {
				return fmt.Errorf("copy table %s: %w", table, err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	// One file, without a write-ahead log beside it.
	if err := out.read.Close(); err != nil {
		return err
	}
	out.read = nil
	_, err = out.write.ExecContext(ctx, "PRAGMA journal_mode = DELETE")
	return err
}

// copyTable adds the rows of one store's table to another's, and calls moved for
// each.
func copyTable(ctx context.Context, from, to *tx, table string, columns []string, moved func()) error {
	// Prepared, so that octets come as such and not in hex.
	all, err := from.PreparexContext(ctx, "SELECT "+strings.Join(columns, ", ")+" FROM "+table)
	if err != nil {
		return err
	}
	defer all.Close()
	rows, err := all.QueryxContext(ctx) //nolint:sqlclosecheck // closed below; the linter loses it in the closure
	if err != nil {
		return err
	}
	defer rows.Close()
	var failed error
	var each iter.Seq[[]any] = func(yield func([]any) bool) {
		for rows.Next() {
			row, err := rows.SliceScan()
			if err != nil {
				failed = err
				return
			}
			if !yield(row) {
				return
			}
			moved()
		}
	}
	if err := to.d.insert(ctx, to, table, columns, each); err != nil {
		return err
	}
	return errors.Join(failed, rows.Err())
}

// bare is an error of the file system without the path, where that is one of our
// own making.
func bare(err error) error {
	var e *fs.PathError
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}
