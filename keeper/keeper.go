// Package keeper is what runs beside mdns in the leader: it follows the change
// feed, tells nameservers with NOTIFY, keeps a task for every zone on every
// server that is not proven converged, carries creates and deletes out, and
// compares each server with the database from time to time.
package keeper

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"dnsctl/edit"
	"dnsctl/fleet"
	"dnsctl/report"
	"dnsctl/sync/apply"
	"dnsctl/sync/inventory"
	"dnsctl/zone"
)

// Store is what the keeper needs of the store beside what apply and inventory
// read.
type Store interface {
	apply.Locks
	Servers(ctx context.Context) ([]fleet.Server, error)
	Head(ctx context.Context) (int64, error)
	Feed(ctx context.Context, after int64, limit int) ([]fleet.FeedEntry, error)
	Served(ctx context.Context, zoneIDs []int64) ([]fleet.Served, error)
	// WantedAmong is those of the names, none of them twice, that the server should
	// have; TombstonesAmong those that it should have had once.
	WantedAmong(ctx context.Context, server int64, names []zone.Name) ([]fleet.Wanted, error)
	TombstonesAmong(ctx context.Context, server int64, names []zone.Name) ([]fleet.Tombstone, error)
	// Cursor is a stored feed position; 0 when it was never set.
	Cursor(ctx context.Context, name string) (int64, error)
	SetCursor(ctx context.Context, name string, pos int64, held fleet.Lease) error
	PutTasks(ctx context.Context, tasks []report.Task) error
	DueTasks(ctx context.Context, server, holder string, limit int, ttl time.Duration) ([]report.Task, error)
	// FreeTasks gives back what earlier leaders have taken.
	FreeTasks(ctx context.Context, held fleet.Lease) error
	FailTask(ctx context.Context, t report.Task, reason string, next time.Time) error
	DeferTasks(ctx context.Context, tasks []report.Task, reason string, next time.Time) error
	// DoneTasks removes the tasks that want just this, where there are any; one
	// without an incarnation only those that have none, which any removes.
	DoneTasks(ctx context.Context, done []report.Task) error
	// TaskLag is how many tasks a server has, and since when the oldest.
	TaskLag(ctx context.Context, server string) (n int, oldest time.Time, err error)
	// Sight notes the foreign zones that a comparison has found and returns when
	// each was first seen; what it did not find is forgotten.
	Sight(ctx context.Context, server int64, names []zone.Name) (map[zone.Key]time.Time, error)
	// SetHealth writes what the leader has seen of a server, for others to read.
	SetHealth(ctx context.Context, h fleet.Health, held fleet.Lease) error
	// Sweep removes content that nobody uses, Expire what is older than it is kept
	// for; of the feed only what the cursor has passed.
	Sweep(ctx context.Context) error
	// Rechunk makes what large zones are quicker to read from where that is missing.
	Rechunk(ctx context.Context) error
	Identity(ctx context.Context) (fleet.Identity, error)
	Pools(ctx context.Context) ([]fleet.Pool, error)
	Zone(ctx context.Context, name zone.Name) (fleet.Zone, error)
	LastSerial(ctx context.Context, name zone.Name) (*zone.Serial, error)
	// Catalog is how far a pool's catalog zone is; fleet.ErrNotFound when that was
	// never written. SetCatalog writes it; fleet.ErrConflict when the pool's catalog
	// is another one by now.
	Catalog(ctx context.Context, pool int64) (fleet.CatalogState, error)
	SetCatalog(ctx context.Context, name zone.Name, c fleet.CatalogState, held fleet.Lease) error
	CatalogMembers(ctx context.Context, edition int64) (int, error) // reads the whole catalog
	Expire(ctx context.Context, r fleet.Retention, cursor string, by fleet.By) error
}

// Keeper does the leader's work.
type Keeper struct {
	Store        Store
	Fleet        *inventory.Fleet
	Applier      *apply.Applier
	Notify       NotifySender
	Wake         <-chan struct{} // the feed may have grown; nothing is lost when one is missed
	Poll         time.Duration   // how often to look without being woken
	CompareEvery time.Duration   // of servers whose pools set nothing
	Retention    fleet.Retention
	// Served is the feed position that this process's mdns serves: a nameserver that
	// were told earlier would ask mdns, find the old serial and be content with it.
	// nil: what is in the feed is served.
	Served func() int64
	// Lag is how old the first change is that mdns does not serve yet, where it reads
	// from a standby of the database. A leader whose own has fallen behind would hold
	// up what others serve already, and lets them lead. nil: never.
	Lag     func() time.Duration
	Meta    edit.Meta
	Holder  string
	Now     func() time.Time
	Log     *slog.Logger
	Metrics *Metrics
}

const (
	// LeaderLease is the name of the lease that the leader holds.
	LeaderLease  = "leader"
	leaderTTL    = 6 * time.Second
	leaderRenew  = 2 * time.Second
	markerEvery  = time.Minute
	compareRetry = time.Minute // after a comparison that failed
	compareBusy  = 5 * time.Second
	sweepEvery   = 10 * time.Minute
	taskBatch    = 100
	taskEvery    = time.Second
	taskLease    = 30 * time.Second // the server's lock guards the work; this only keeps a batch together
	blockedRetry = 2 * time.Second
	beginFor     = 3 * time.Second        // steps of one batch are begun
	proveFor     = 6 * time.Second        // without any progress; less than a command waits for the server's lock
	yieldEvery   = 3 * time.Second        // of batches that follow each other, the server's lock is left to commands
	yieldFor     = 300 * time.Millisecond // they look five times a second
	lagMost      = 5 * time.Second        // of one that leads while another could
	lagTerm      = 30 * time.Second       // how long one leads that lags, where nobody else does
)

// Run competes for leadership and leads while it has it, until ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	for {
		if k.lags() && !pause(ctx, 2*leaderTTL) { // others first
			return nil
		}
		lease, held, err := k.Store.Lease(ctx, LeaderLease, k.Holder, leaderTTL)
		switch {
		case err != nil && ctx.Err() == nil:
			k.Log.Warn("take leadership", "err", err)
		case held:
			k.lead(ctx, lease)
			give, end := context.WithTimeout(context.WithoutCancel(ctx), leaderTTL)
			if err := k.Store.Release(give, lease); err != nil {
				k.Log.Warn("release leadership", "err", err)
			}
			end()
		}
		if !pause(ctx, leaderRenew) {
			return nil
		}
	}
}

// lags says whether another would lead better.
func (k *Keeper) lags() bool { return k.Lag != nil && k.Lag() > lagMost }

// lead works until leadership is lost or ctx ends.
func (k *Keeper) lead(ctx context.Context, lease fleet.Lease) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	k.Log.Info("leading", "holder", k.Holder)
	k.Metrics.leader.Set(1)
	defer k.Metrics.leader.Set(0)
	l := &leader{Keeper: k, lease: lease, servers: make(map[int64]*secondary), recatalog: make(chan struct{}, 1)}
	var wg sync.WaitGroup
	wg.Go(func() {
		defer cancel()
		renewed := k.Now()
		term := renewed
		for pause(ctx, leaderRenew) {
			if k.lags() && k.Now().Sub(term) > lagTerm {
				k.Log.Warn("leadership given up: the standby of the database is behind", "lag", k.Lag().Round(time.Second))
				return
			}
			began := k.Now()
			try, end := context.WithTimeout(ctx, leaderRenew)
			_, err := k.Store.Renew(try, lease, leaderTTL)
			end()
			switch {
			case err == nil:
				renewed = began
			case ctx.Err() != nil:
			case errors.Is(err, fleet.ErrLeaseLost):
				k.Log.Warn("leadership lost")
				return
			case k.Now().Sub(renewed) >= leaderTTL-leaderRenew:
				k.Log.Warn("leadership given up: the store does not answer", "err", err)
				return
			}
		}
	})
	wg.Go(func() {
		for {
			if err := k.Store.Sweep(ctx); err != nil && ctx.Err() == nil {
				k.Log.Warn("sweep", "err", err)
			}
			if err := k.Store.Rechunk(ctx); err != nil && ctx.Err() == nil {
				k.Log.Warn("keep large zones quick to read", "err", err)
			}
			by := fleet.By{Actor: k.Meta.Actor, Command: "retention"}
			if err := k.Store.Expire(ctx, k.Retention, cursorName, by); err != nil && ctx.Err() == nil {
				k.Log.Warn("remove what is kept no longer", "err", err)
			}
			if !pause(ctx, sweepEvery) {
				return
			}
		}
	})
	l.run(ctx)
	cancel()
	wg.Wait()
}

// pause waits; false when ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// backoff is how long to wait before the next of several tries: doubled from
// first up to most, less a part that depends on what is tried, so that tries do
// not march in step.
func backoff(first, most time.Duration, attempts int, what string) time.Duration {
	d := first
	for range min(attempts, 30) {
		if d *= 2; d >= most {
			d = most
			break
		}
	}
	h := uint32(2166136261)
	for i := range len(what) {
		h = (h ^ uint32(what[i])) * 16777619
	}
	return d - d/4*time.Duration(h%256)/256
}
