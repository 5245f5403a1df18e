package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"

	"dnsctl/fleet"
	"dnsctl/report"
)

// Options say how a store is opened.
type Options struct {
	// Create makes an SQLite store that is not there. Without it that is an error,
	// so that a mistyped path never becomes an empty store.
	Create bool
	// Recipient is whom a new store's secrets are to be sealed to. With Create, a
	// store that is not initialised is, for it; it is asked for only then. Without
	// a Recipient that is left to Init.
	Recipient func(ctx context.Context) (string, error)
	// ReadOnly opens for a short look: every write fails, no file is made, and what
	// others commit meanwhile may not be seen.
	ReadOnly bool
	// Readable opens a store for reading where it cannot be opened for writing: its
	// file system is mounted read-only, or its folder is another user's. The first
	// write says why it fails.
	Readable bool
	// AnySchema opens a store that is not initialised or needs a migration, for
	// Init, Migrate and Status.
	AnySchema bool
	Clock     func() time.Time // nil: time.Now, and PostgreSQL's clock for leases
	Logger    *slog.Logger     // nil: nothing is logged
}

// Store is an open store.
type Store struct {
	d        dialect
	write    *sqlx.DB // one connection on SQLite; the same as read on PostgreSQL; nil when ReadOnly
	read     *sqlx.DB
	place    string // for messages; carries no password
	readOnly bool
	locked   error // why a store that is Readable cannot be written
	clock    func() time.Time
	injected bool // clock is the caller's
	log      *slog.Logger
	wake     *waker

	stmtMu sync.Mutex // guards stmts
	stmts  map[string]*sql.Stmt

	zonesMade, analyzeAt atomic.Int64 // see created
	badChunks            sync.Map     // editions whose chunks are not to be read, see giveUpChunks
}

// Open opens the store that a URL names: sqlite:PATH or postgres://... . On
// PostgreSQL, sslmode is "require" unless the URL has one, and "disable" over a
// Unix socket or loopback.
//
// The errors carry report.ExitStore when the store is absent, not initialised,
// needs a migration, or is newer than this program.
func Open(ctx context.Context, url string, o Options) (*Store, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Store{clock: o.Clock, injected: o.Clock != nil, log: o.Logger, readOnly: o.ReadOnly}
	if s.clock == nil {
		s.clock = time.Now
	}
	loc, err := parseURL(url)
	if err != nil {
		return nil, err
	}
	s.place = loc.place
	s.wake = newWaker(s)
	s.analyzeAt.Store(analyzeFirst)
	if loc.path != "" {
		err = s.openSQLite(ctx, loc.path, o)
	} else {
		err = s.openPostgres(ctx, loc.dsn)
	}
	if err == nil && o.Create && o.Recipient != nil && loc.path != "" {
		err = s.initNew(ctx, o)
	}
	if err == nil && !o.AnySchema {
		err = s.checkSchema(ctx)
	}
	if err != nil {
		_ = s.Close() // err says more
		return nil, err
	}
	return s, nil
}

// Close ends the store's goroutines and connections.
func (s *Store) Close() error {
	s.wake.stop()
	var errs []error
	if s.write != nil && s.write != s.read {
		errs = append(errs, s.write.Close())
	}
	if s.read != nil {
		errs = append(errs, s.read.Close())
	}
	if s.d != nil {
		errs = append(errs, s.d.close())
	}
	return errors.Join(errs...)
}

// Writable is nil unless the store is open for reading only; then it says why.
func (s *Store) Writable() error {
	switch {
	case s.locked != nil:
		return s.locked
	case s.readOnly:
		return report.Hint(fmt.Errorf("store %s is open for reading only", s.place), "what is asked for writes: run it as the user who owns the store")
	}
	return nil
}

// Place names the store in messages; it carries no password.
func (s *Store) Place() string { return s.place }

// Kind is "sqlite" or "postgres".
func (s *Store) Kind() string { return s.d.name() }

func (s *Store) now() time.Time { return s.clock() }

// Identity says which store this is, and in which epoch.
func (s *Store) Identity(ctx context.Context) (fleet.Identity, error) {
	var id fleet.Identity
	err := s.view(ctx, func(t *tx) (err error) {
		id, err = t.identity(ctx)
		return err
	})
	if err != nil {
		return fleet.Identity{}, fmt.Errorf("read the store's identity: %w", err)
	}
	return id, nil
}

// Recipient is whom the store's secrets are sealed to.
func (s *Store) Recipient(ctx context.Context) (string, error) {
	var r string
	err := s.view(ctx, func(t *tx) error {
		return t.row(ctx, `SELECT recipient FROM store`).Scan(&r)
	})
	if err != nil {
		return "", fmt.Errorf("read the store's recipient: %w", err)
	}
	return r, nil
}

// prepared is a query on the read connections that is kept prepared.
func (s *Store) prepared(ctx context.Context, q string) (*sql.Stmt, error) {
	s.stmtMu.Lock()
	defer s.stmtMu.Unlock()
	if st := s.stmts[q]; st != nil {
		return st, nil
	}
	st, err := s.read.PrepareContext(ctx, sqlx.Rebind(s.d.bind(), q)) //nolint:sqlclosecheck // closed with the store
	if err != nil {
		return nil, err
	}
	if s.stmts == nil {
		s.stmts = make(map[string]*sql.Stmt)
	}
	s.stmts[q] = st
	return st, nil
}

// each calls scan for every row of a query that is kept prepared: one statement,
// which sees one state of the database without a transaction.
func (s *Store) each(ctx context.Context, scan func(*sqlx.Rows) error, q string, args ...any) error {
	st, err := s.prepared(ctx, q) //nolint:sqlclosecheck // the store keeps it until it is closed
	if err != nil {
		return s.explain(ctx, err)
	}
	raw, err := st.QueryContext(ctx, args...) //nolint:rowserrcheck // asked of rows, which wraps it
	if err != nil {
		return s.explain(ctx, err)
	}
	defer raw.Close()
	rows := &sqlx.Rows{Rows: raw, Mapper: s.read.Mapper}
	for rows.Next() {
		if err := scan(rows); err != nil {
			return s.explain(ctx, err)
		}
	}
	return s.explain(ctx, rows.Err())
}

// none turns sql.ErrNoRows into another error.
func none(err, instead error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return instead
	}
	return err
}
