package store

import (
	"context"
	"iter"
	"time"
)

// dialect is all that differs between the two databases.
type dialect interface {
	name() string // of the folder of migrations, too
	bind() int    // sqlx's kind of placeholder
	// begin waits for the writer's turn; done gives it back, after the commit.
	begin(ctx context.Context) (done func(), err error)
	hasTable(ctx context.Context, t *tx, table string) (bool, error)
	// ids takes n fresh ids of a table, ascending.
	ids(ctx context.Context, t *tx, table string, n int) ([]int64, error)
	// insert writes many rows. Each row that rows yields is read before the next
	// is asked for.
	insert(ctx context.Context, t *tx, table string, columns []string, rows iter.Seq[[]any]) error
	// idsPast makes ids of a table go on behind those that it has.
	idsPast(ctx context.Context, t *tx, table string) error
	// lockOut keeps others from changing the tables until the commit.
	lockOut(ctx context.Context, t *tx, tables []string) error
	// forUpdate ends a SELECT whose rows are about to be changed.
	forUpdate() string
	// forShare ends a SELECT whose rows must stay as they are until the commit.
	forShare() string
	// skipLocked ends a SELECT that takes what nobody else is taking.
	skipLocked() string
	// holds is the condition that a column of octets has those of the argument in
	// it somewhere.
	holds(column string) string
	// now is the clock that all writers share, if there is one.
	now(ctx context.Context, t *tx) (time.Time, bool, error)
	// notify wakes readers in other processes when the transaction commits.
	notify(ctx context.Context, t *tx) error
	// watch calls changed after each commit by anybody and when it cannot know
	// whether there was one; it returns when ctx is done.
	watch(ctx context.Context, s *Store, changed func())
	// analyze brings the statistics about zones up to date that plans rest on.
	analyze(ctx context.Context, s *Store) error
	// explain turns a driver's error into one with place and remedy.
	explain(err error, place string) error
	// size is the database's size in octets.
	size(ctx context.Context, t *tx) (int64, error)
	close() error
}
