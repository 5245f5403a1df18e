package store

import (
	"context"
	"crypto/tls"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"iter"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"dnsctl/report"
)

const (
	postgresConns   = 16
	postgresChannel = "dnsctl_feed"
	// copyAbove is from how many rows on COPY beats an INSERT.
	copyAbove = 50
)

// postgres is the dialect of PostgreSQL.
type postgres struct {
	dsn string
}

var _ dialect = (*postgres)(nil)

func (s *Store) openPostgres(ctx context.Context, dsn string) error {
	s.d = &postgres{dsn: dsn}
	connector, err := pq.NewConnector(dsn)
	if err != nil {
		return report.Fail(report.ExitUsage, fmt.Errorf("store %s: %w", s.place, err), "write postgres://USER@HOST/DATABASE")
	}
	connector.Dialer(postgresDialer{})
	db := sqlx.NewDb(sql.OpenDB(byIndex{connector}), "postgres")
	db.SetMaxOpenConns(postgresConns)
	db.SetMaxIdleConns(4)
	s.read = db
	if !s.readOnly {
		s.write = db
	}
	if err := db.PingContext(ctx); err != nil {
		return s.explain(ctx, err)
	}
	return nil
}

// planByIndex makes a connection's plans follow indexes. Until its statistics are
// up to date, PostgreSQL takes a zone of a million RRsets for one of a few and
// sorts it on disk, and a zone looked up by its name for many, and reads all
// editions to join them. A plan that must sort all the same counts as so costly
// then that PostgreSQL would compile it, which takes half a second.
const planByIndex = "SET enable_sort = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET random_page_cost = 1.1; SET jit = off"

// byIndex makes connections that plan so.
type byIndex struct{ driver.Connector }

func (b byIndex) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := b.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	x, ok := conn.(driver.ExecerContext)
	if !ok {
		return nil, errors.Join(errors.New("the driver runs no statements"), conn.Close())
	}
	if _, err := x.ExecContext(ctx, planByIndex, nil); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

func (*postgres) name() string               { return "postgres" }
func (*postgres) bind() int                  { return sqlx.DOLLAR }
func (*postgres) forUpdate() string          { return " FOR UPDATE" }
func (*postgres) forShare() string           { return " FOR SHARE" }
func (*postgres) holds(column string) string { return "position(?::bytea IN " + column + ") > 0" }
func (*postgres) skipLocked() string         { return " FOR UPDATE SKIP LOCKED" }
func (*postgres) close() error               { return nil }

func (*postgres) begin(context.Context) (func(), error) { return func() {}, nil }

func (*postgres) hasTable(ctx context.Context, t *tx, table string) (bool, error) {
	var there bool
	err := t.get(ctx, &there, `SELECT to_regclass(?) IS NOT NULL`, table)
	return there, err
}

func (*postgres) ids(ctx context.Context, t *tx, table string, n int) ([]int64, error) {
	out := make([]int64, 0, n)
	err := t.all(ctx, &out, `SELECT nextval(pg_get_serial_sequence(?, 'id')) FROM generate_series(1, ?)`, table, n)
	return out, err
}

// idsPast never goes back: what was numbered once is never again.
func (*postgres) idsPast(ctx context.Context, t *tx, table string) error {
	_, err := t.exec(ctx, `SELECT setval(pg_get_serial_sequence(?, 'id'), greatest(nextval(pg_get_serial_sequence(?, 'id')), (SELECT COALESCE(max(id), 0) + 1 FROM `+table+`)), false)`, table, table)
	return err
}

func (*postgres) lockOut(ctx context.Context, t *tx, tables []string) error {
	_, err := t.exec(ctx, `LOCK TABLE `+strings.Join(tables, ", ")+` IN EXCLUSIVE MODE`)
	return err
}

func (*postgres) insert(ctx context.Context, t *tx, table string, columns []string, rows iter.Seq[[]any]) error {
	var few [][]any // until it is clear that there are many
	var in *sql.Stmt
	for row := range rows {
		if in == nil {
			if few = append(few, slices.Clone(row)); len(few) <= copyAbove {
				continue
			}
			var err error
			if in, err = t.PrepareContext(ctx, "copy "+table+" ("+strings.Join(columns, ", ")+") from stdin"); err != nil { //nolint:sqlclosecheck // closed below
				return err
			}
			defer in.Close()
			for _, row := range few {
				if _, err := in.ExecContext(ctx, row...); err != nil {
					return err
				}
			}
			continue
		}
		if _, err := in.ExecContext(ctx, row...); err != nil {
			return err
		}
	}
	if in == nil {
		return insertFew(ctx, t, table, columns, few)
	}
	_, err := in.ExecContext(ctx)
	return err
}

func insertFew(ctx context.Context, t *tx, table string, columns []string, rows [][]any) error {
	if len(rows) == 0 {
		return nil
	}
	args := make([]any, 0, len(rows)*len(columns))
	for _, row := range rows {
		args = append(args, row...)
	}
	_, err := t.exec(ctx, insertSQL(table, columns, len(rows)), args...)
	return err
}

func (*postgres) now(ctx context.Context, t *tx) (time.Time, bool, error) {
	var ms int64
	err := t.get(ctx, &ms, `SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint`)
	return fromMillis(ms), true, err
}

func (*postgres) notify(ctx context.Context, t *tx) error {
	_, err := t.exec(ctx, `SELECT pg_notify(?, '')`, postgresChannel)
	return err
}

// watch listens on a connection of its own. Notifications are lost while it is
// down, so every reconnection counts as a change.
func (d *postgres) watch(ctx context.Context, s *Store, changed func()) {
	l := pq.NewDialListener(postgresDialer{}, d.dsn, 50*time.Millisecond, 5*time.Second, func(e pq.ListenerEventType, err error) {
		if err != nil {
			s.log.Warn("watching the store for commits was interrupted", "err", err)
		}
	})
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	defer l.Close()
	if err := l.Listen(postgresChannel); err != nil { // the listener reconnects by itself; this is that it was closed
		return
	}
	changed()
	ping := time.NewTicker(15 * time.Second) // finds connections that died silently
	defer ping.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case _, open := <-l.Notify: // nil after a reconnection
			if !open {
				return
			}
			changed()
		case <-ping.C:
			go func() { _ = l.Ping() }()
		}
	}
}

// analyze does at once what PostgreSQL does by itself within a minute or so. Until
// then it looks for one zone among all memberships.
func (*postgres) analyze(ctx context.Context, s *Store) error {
	_, err := s.write.ExecContext(ctx, `ANALYZE (SKIP_LOCKED) zones, editions, memberships`)
	return err
}

func (*postgres) size(ctx context.Context, t *tx) (int64, error) {
	var n int64
	err := t.get(ctx, &n, `SELECT pg_database_size(current_database())`)
	return n, err
}

// Error codes of PostgreSQL (its manual, appendix A).
const (
	pgSerialization = "40001"
	pgDeadlock      = "40P01"
	pgNoDatabase    = "3D000"
	pgUnique        = "23505"
	pgReadOnly      = "25006"
	pgDiskFull      = "53100"
	pgNoTable       = "42P01"
	pgNoPrivilege   = "42501"
)

func (*postgres) explain(err error, place string) error {
	var e *pq.Error
	var n net.Error
	wrapped := fmt.Errorf("store %s: %w", place, err)
	switch {
	case errors.As(err, &e):
	case errors.As(err, &n), errors.Is(err, driver.ErrBadConn), errors.Is(err, net.ErrClosed):
		return report.Hint(wrapped, "PostgreSQL cannot be reached or went away: is it running, and is the address right? What was committed is kept, the rest was not done")
	case errors.Is(err, pq.ErrSSLNotSupported):
		return report.Hint(wrapped, "this PostgreSQL does not speak TLS: turn it on there, or say sslmode=disable in the URL where the way to it is safe")
	case errors.As(err, new(*tls.CertificateVerificationError)):
		return report.Hint(wrapped, "its certificate is not trusted here: name the CA in the URL with sslrootcert=FILE, and the host as the certificate has it")
	default:
		return err
	}
	switch code := string(e.Code); {
	case code == pgSerialization, code == pgDeadlock:
		return fmt.Errorf("%w: %w", errRetry, wrapped)
	case code == pgNoDatabase:
		return report.Fail(report.ExitStore, wrapped, "make the database with createdb, then: dnsctl db init")
	case code == pgReadOnly:
		return report.Hint(wrapped, "this PostgreSQL takes no writes: is it a standby? Name the primary in the store's URL")
	case code == pgDiskFull, code[:2] == "53":
		return report.Hint(wrapped, "PostgreSQL is out of disk, memory or connections: make room, then run it again; nothing was changed")
	case code[:2] == "28":
		return report.Hint(wrapped, "PostgreSQL rejects this user or password: see the store's URL and pg_hba.conf")
	case code == pgNoPrivilege:
		return report.Hint(wrapped, "the database's user lacks a privilege: dnsctl must own its tables")
	case code[:2] == "57", code[:2] == "08":
		return report.Hint(wrapped, "PostgreSQL went away: is it running? What was committed is kept, the rest was not done")
	}
	return wrapped
}
