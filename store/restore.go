package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"dnsctl/fleet"
	"dnsctl/report"
)

// RestoreOptions say what a restore may replace.
type RestoreOptions struct {
	Replace bool   // the store's content may go
	Other   bool   // the file may be another store's than the one it replaces
	Keep    string // new file that the present content is backed up to first; used with Replace only
	By      fleet.By

	Progress func(report.Progress) // may be nil
}

// Restored is what a restore did.
type Restored struct {
	fleet.Identity
	Kept      string // where the content before is; "" when there was none
	Recipient string // whom the secrets in it are sealed to
	Zones     int64
	Servers   int64
}

// errNotEmpty says that a store has something in it.
var errNotEmpty = errors.New("has content")

var (
	// ofProcesses are the tables about processes that run: a restore is no concern
	// of theirs.
	ofProcesses = []string{"leases", "replicas"}
	// ofTheMoment are the tables about what was going on: it is long over.
	ofTheMoment = []string{"health", "tasks", "sightings"}
)

// Restore puts the content of a backup into the store, in one transaction: whoever
// reads sees what was there or what comes, and a restore that is killed or runs out
// of disk changes nothing. The store need not be initialised. With it a new epoch
// is opened, which is pending; tasks and leases are given up.
//
// The file is an SQLite store, as Backup makes it, and is only read; when its
// schema is older, a copy of it is migrated.
func (s *Store) Restore(ctx context.Context, file string, o RestoreOptions) (Restored, error) {
	from, done, err := s.openBackup(ctx, file)
	if err != nil {
		return Restored{}, err
	}
	defer done()
	id, err := from.Identity(ctx)
	if err != nil {
		return Restored{}, fmt.Errorf("read %s: %w", file, err)
	}
	if _, err := s.Migrate(ctx); err != nil {
		return Restored{}, err
	}
	was, err := s.Status(ctx)
	if err != nil {
		return Restored{}, err
	}
	var out Restored
	if was.Initialised && was.Zones+was.Deleted+was.Pools+was.Servers+was.Keys > 0 {
		if out.Kept, err = s.keepBefore(ctx, was, id, o); err != nil {
			return Restored{}, err
		}
	}
	tables, err := from.tables(ctx)
	if err != nil {
		return Restored{}, err
	}
	slices.Reverse(tables)
	err = from.view(ctx, func(src *tx) error {
		return s.change(ctx, func(t *tx) error {
			// First: who is changing it waits for nothing of ours, and we for them.
			if err := s.d.lockOut(ctx, t, tables); err != nil {
				return err
			}
			if err := t.unchanged(ctx, was); err != nil {
				return err
			}
			epoch := id.Epoch
			if was.StoreID == id.Store {
				epoch = max(epoch, was.Epoch)
			}
			if err := s.replace(ctx, src, t, tables, o.Progress); err != nil {
				return err
			}
			var err error
			out.Identity, err = s.openEpoch(ctx, t, epoch+1, "restored from "+filepath.Base(file), o.By)
			return err
		})
	})
	if err != nil {
		return out, fmt.Errorf("restore %s: %w", file, err)
	}
	now, err := s.Status(ctx)
	out.Recipient, out.Zones, out.Servers = now.Recipient, now.Zones, now.Servers
	return out, err
}

// openBackup opens a backup for reading and proves that it is whole. done closes
// it and removes what was made of it.
func (s *Store) openBackup(ctx context.Context, file string) (*Store, func(), error) {
	path, err := filepath.Abs(file)
	if err != nil {
		return nil, nil, fmt.Errorf("restore: %w", err)
	}
	if l, ok := s.d.(*lite); ok {
		if a, err := os.Stat(path); err == nil && os.SameFile(a, l.file) {
			return nil, nil, report.Fail(report.ExitUsage, fmt.Errorf("%s is the store itself", path), "name a file that dnsctl db backup wrote")
		}
	}
	if _, err := os.Stat(path); err != nil {
		return nil, nil, report.Fail(report.ExitUsage, fmt.Errorf("restore: %w", err), "name a file that dnsctl db backup wrote")
	}
	open := func(path string, readOnly bool) (*Store, error) {
		return Open(ctx, "sqlite:"+path, Options{ReadOnly: readOnly, AnySchema: true, Clock: s.clock, Logger: s.log})
	}
	from, err := open(path, true)
	if err != nil {
		return nil, nil, fmt.Errorf("open the backup: %w", err)
	}
	done := func() { _ = from.Close() }
	fail := func(err error) (*Store, func(), error) {
		done()
		return nil, nil, err
	}
	version, initialised, err := from.schema(ctx)
	if err == nil {
		err = from.whole(ctx)
	}
	if err != nil {
		return fail(fmt.Errorf("read the backup: %w", err))
	}
	switch {
	case !initialised:
		return fail(report.Fail(report.ExitStore, fmt.Errorf("%s is no backup of a store", path), "name a file that dnsctl db backup wrote"))
	case version > SchemaVersion():
		return fail(report.Fail(report.ExitStore, fmt.Errorf("%s has schema %d, which is newer than this program's %d", path, version, SchemaVersion()), "use the newer dnsctl"))
	case version == SchemaVersion():
		return from, done, nil
	}
	dir, err := os.MkdirTemp("", "dnsctl-restore-*") // mode 0700
	if err != nil {
		return fail(fmt.Errorf("restore: %w", err))
	}
	part := filepath.Join(dir, "store.db")
	if err = createFile(part); err == nil {
		err = from.vacuumInto(ctx, part)
	}
	_ = from.Close()
	done = func() { _ = os.RemoveAll(dir) }
	if err != nil {
		return fail(fmt.Errorf("copy %s to migrate it: %w", path, from.explain(ctx, err)))
	}
	if from, err = open(part, false); err != nil {
		return fail(fmt.Errorf("open the copy of %s: %w", path, err))
	}
	done = func() {
		_ = from.Close()
		_ = os.RemoveAll(dir)
	}
	if _, err := from.Migrate(ctx); err != nil {
		return fail(fmt.Errorf("migrate the copy of %s: %w", path, err))
	}
	return from, done, nil
}

// whole fails unless the database passes SQLite's own checks.
func (s *Store) whole(ctx context.Context) error {
	return s.view(ctx, func(t *tx) error {
		var lines []string
		if err := t.all(ctx, &lines, `PRAGMA integrity_check(10)`); err != nil {
			return err
		}
		if len(lines) == 1 && lines[0] == "ok" {
			if err := t.all(ctx, &lines, `SELECT "table" || ' has a row that refers to none in ' || parent FROM pragma_foreign_key_check LIMIT 10`); err != nil {
				return err
			}
			if len(lines) == 0 {
				return nil
			}
		}
		return report.Hint(fmt.Errorf("%s is damaged: %s", s.place, strings.Join(lines, "; ")), "use another backup; nothing was changed")
	})
}

// tables lists the store's tables in the order they were made: none refers to a
// later one. It works on SQLite.
func (s *Store) tables(ctx context.Context) (list []string, err error) {
	err = s.view(ctx, func(t *tx) error {
		list = nil
		return t.all(ctx, &list, `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name <> 'goose_db_version' ORDER BY rowid`)
	})
	return list, err
}

// keepBefore backs up what a restore is about to replace, if it may.
func (s *Store) keepBefore(ctx context.Context, was Status, id fleet.Identity, o RestoreOptions) (string, error) {
	if !o.Replace {
		return "", report.Fail(report.ExitWithheld, fmt.Errorf("store %s %w: %s, %s", s.place, errNotEmpty, report.Count(was.Zones, "zone"), report.Count(was.Servers, "server")),
			"--replace backs it up first and then replaces it; or restore into an empty one with --store")
	}
	if was.StoreID != id.Store && !o.Other {
		return "", report.Fail(report.ExitWithheld, fmt.Errorf("the backup is of the store %s, this one is %s", id.Store, was.StoreID),
			"add --other-store if another store is to take its place")
	}
	if _, err := s.Backup(ctx, o.Keep); err != nil {
		return "", fmt.Errorf("nothing was changed, since what is there could not be backed up first: %w", err)
	}
	return filepath.Abs(o.Keep)
}

// unchanged fails when the store is not as it was before it was backed up.
func (t *tx) unchanged(ctx context.Context, was Status) error {
	if !was.Initialised {
		return nil
	}
	var pos int64
	if err := t.row(ctx, `SELECT pos FROM feed_head`).Scan(&pos); err != nil {
		return err
	}
	if pos != was.Feed {
		return report.Hint(fmt.Errorf("the store was changed while it was backed up: %w", fleet.ErrConflict), "end what writes to it, then run the restore again; nothing was changed")
	}
	return nil
}

// replace puts the content of src in the place of all that is there. tables come
// with those first that refer to others.
func (s *Store) replace(ctx context.Context, src, t *tx, tables []string, progress func(report.Progress)) error {
	skipped := func(table string) bool {
		return slices.Contains(ofProcesses, table) || slices.Contains(ofTheMoment, table)
	}
	moved := func() {}
	if progress != nil {
		p := report.Progress{Server: "restore", Phase: "rows"}
		for _, table := range tables {
			var n int
			if err := src.get(ctx, &n, `SELECT count(*) FROM `+table); err != nil {
				return err
			}
			if !skipped(table) {
				p.Total += n
			}
		}
		moved = func() {
			if p.Done++; p.Done%1000 == 0 || p.Done == p.Total {
				progress(p)
			}
		}
	}
	for _, table := range tables {
		if slices.Contains(ofProcesses, table) {
			continue
		}
		if _, err := t.exec(ctx, `DELETE FROM `+table); err != nil {
			return fmt.Errorf("empty table %s: %w", table, err)
		}
	}
	for _, table := range slices.Backward(tables) {
		if skipped(table) {
			continue
		}
		var columns []string
		if err := src.all(ctx, &columns, `SELECT name FROM pragma_table_info(?) ORDER BY cid`, table); err != nil {
			return err
		}
		if err := copyTable(ctx, src, t, table, columns, moved); err != nil {
			return fmt.Errorf("write table %s: %w", table, err)
		}
		var counted int
		if err := src.get(ctx, &counted, `SELECT count(*) FROM sqlite_master WHERE name = ? AND sql LIKE '%AUTOINCREMENT%'`, table); err != nil {
			return err
		}
		if counted > 0 {
			if err := s.d.idsPast(ctx, t, table); err != nil {
				return fmt.Errorf("number table %s: %w", table, err)
			}
		}
	}
	// Whoever holds a lease holds it of the store that was.
	_, err := t.exec(ctx, `UPDATE leases SET holder = '', expires_at = 0`)
	return err
}
