package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"dnsctl/report"
)

//go:embed migrations
var migrations embed.FS

// SchemaVersion is the schema that this program works with.
func SchemaVersion() int64 {
	var last int64
	files, _ := fs.Glob(migrations, "migrations/sqlite/*.sql") // the pattern is well formed
	for _, f := range files {
		number, _, _ := strings.Cut(f[strings.LastIndexByte(f, '/')+1:], "_")
		if n, err := strconv.ParseInt(number, 10, 64); err == nil {
			last = max(last, n)
		}
	}
	return last
}

// schema is the version that the database has; 0 when it has none. initialised is
// whether Init has been through.
func (s *Store) schema(ctx context.Context) (version int64, initialised bool, err error) {
	err = s.view(ctx, func(t *tx) error {
		there, err := s.d.hasTable(ctx, t, "goose_db_version")
		if err != nil || !there {
			return err
		}
		var v sql.NullInt64
		if err := t.get(ctx, &v, `SELECT max(version_id) FROM goose_db_version WHERE is_applied`); err != nil {
			return err
		}
		version = v.Int64
		if there, err = s.d.hasTable(ctx, t, "store"); err != nil || !there {
			return err
		}
		var n int
		err = t.get(ctx, &n, `SELECT count(*) FROM store`)
		initialised = n > 0
		return err
	})
	return version, initialised, err
}

// checkSchema fails unless the store can be worked with.
func (s *Store) checkSchema(ctx context.Context) error {
	have, initialised, err := s.schema(ctx)
	if err != nil {
		return err
	}
	want := SchemaVersion()
	switch {
	case have > want:
		return report.Fail(report.ExitStore, fmt.Errorf("store %s has schema %d, which is newer than this program's %d", s.place, have, want), "use the newer dnsctl")
	case !initialised:
		return report.Fail(report.ExitStore, fmt.Errorf("store %s is not initialised", s.place), "run: dnsctl db init")
	case have < want:
		return report.Fail(report.ExitStore, fmt.Errorf("store %s has schema %d, this program needs %d", s.place, have, want), "run: dnsctl db migrate")
	}
	return nil
}

// initNew initialises a store that is not yet, if there is nobody else to have
// done it.
func (s *Store) initNew(ctx context.Context, o Options) error {
	version, initialised, err := s.schema(ctx)
	if err != nil || initialised || version > SchemaVersion() {
		return err
	}
	recipient, err := o.Recipient(ctx)
	if err != nil {
		return err
	}
	_, err = s.Init(ctx, recipient)
	return err
}

// Init makes the tables and the store's identity; secrets will be sealed to
// recipient. On a store that is initialised it changes nothing; made says
// whether it was not.
func (s *Store) Init(ctx context.Context, recipient string) (made bool, err error) {
	if _, err := s.Migrate(ctx); err != nil {
		return false, err
	}
	err = s.change(ctx, func(t *tx) error {
		now := millis(s.now())
		n, err := t.exec(ctx, `INSERT INTO store (one, store_id, epoch, recipient, created_at) VALUES (1, ?, 1, ?, ?) ON CONFLICT DO NOTHING`,
			randomID(), recipient, now)
		made = n > 0
		if err != nil || n == 0 {
			return err
		}
		if _, err := t.exec(ctx, `INSERT INTO epochs (epoch, id, feed_pos, reason, opened_at, stepped_at) VALUES (1, ?, 0, 'init', ?, ?)`, randomID(), now, now); err != nil {
			return err
		}
		_, err = t.exec(ctx, `INSERT INTO feed_head (one, pos) VALUES (1, 0)`)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("initialise store: %w", err)
	}
	return made, nil
}

// Migrate brings the schema to this program's version and returns the numbers
// of the migrations that ran.
func (s *Store) Migrate(ctx context.Context) (ran []int64, err error) {
	have, _, err := s.schema(ctx)
	if err != nil {
		return nil, err
	}
	if want := SchemaVersion(); have >= want {
		if have > want {
			return nil, s.checkSchema(ctx)
		}
		return nil, nil
	}
	if err := s.Writable(); err != nil {
		return nil, err
	}
	files, err := fs.Sub(migrations, "migrations/"+s.d.name())
	if err != nil {
		return nil, err
	}
	done, err := s.d.begin(ctx)
	if err != nil {
		return nil, s.explain(ctx, err)
	}
	defer done()
	kind, options := goose.DialectSQLite3, []goose.ProviderOption{goose.WithDisableGlobalRegistry(true)}
	if s.d.name() != "sqlite" {
		locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300))
		if err != nil {
			return nil, err
		}
		kind, options = goose.DialectPostgres, append(options, goose.WithSessionLocker(locker))
	}
	p, err := goose.NewProvider(kind, s.write.DB, files, options...)
	if err != nil {
		return nil, fmt.Errorf("read migrations: %w", err)
	}
	results, err := p.Up(ctx)
	for _, r := range results {
		ran = append(ran, r.Source.Version)
	}
	if err != nil {
		return ran, s.explain(ctx, fmt.Errorf("migrate store: %w", err))
	}
	return ran, nil
}

// randomID is 16 random octets in hex.
func randomID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
