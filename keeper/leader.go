package keeper

import (
	"context"
	"errors"
	"sync"
	"time"

	"dnsctl/fleet"
	"dnsctl/zone"
)

const (
	cursorName = "keeper"
	saveEvery  = time.Second
	storeTime  = 10 * time.Second // bounds what is written when a term has ended
)

// leader is one term of leadership.
type leader struct {
	*Keeper
	lease   fleet.Lease
	mu      sync.Mutex
	servers map[int64]*secondary // guarded by mu
	note    *Notifier
	open    outstanding
	// verdicts are what the notifier has found out and settle has still to write.
	verdicts chan verdict
	lastID   string // of the feed entry that was followed last; "" when it is not known
	// recatalog says that members came or went, or a catalog is served.
	recatalog chan struct{}
}

// run follows the feed and keeps one goroutine per server.
func (l *leader) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	l.open.init()
	l.verdicts = make(chan verdict, settleBatch)
	l.note = NewNotifier(l.Notify, func(server int64, name zone.Name, serial zone.Serial, err error) {
		select {
		case l.verdicts <- verdict{server, name, serial, err}:
		case <-ctx.Done():
		}
	})
	l.note.Metrics, l.note.Now = l.Metrics.notify, l.Now
	var wg sync.WaitGroup
	wg.Go(func() { l.note.Run(ctx) })
	wg.Go(func() { l.settle(ctx) })
	defer wg.Wait()
	defer cancel()
	defer func() { l.end(l.all()) }()
	pos, err := l.start(ctx)
	for err != nil {
		if ctx.Err() != nil {
			return
		}
		l.Log.Warn("start leading", "err", err)
		if !pause(ctx, blockedRetry) {
			return
		}
		pos, err = l.start(ctx)
	}
	wg.Go(func() { l.catalogs(ctx) })
	saved, saveAt := pos, l.Now()
	for ctx.Err() == nil {
		next, err := l.follow(ctx, pos)
		if errors.Is(err, fleet.ErrFeedGone) {
			l.lost(ctx, pos)
			return
		}
		if errors.Is(err, errForked) {
			// The next term begins with a look at every marker, and tells nobody before.
			l.Log.Warn("leading begins anew", "err", err, "pos", pos)
			return
		}
		if err != nil && ctx.Err() == nil {
			l.Log.Warn("follow the change feed", "err", err)
		}
		more := next > pos
		pos = next
		// Each write wakes all who follow the feed, this loop too.
		if safe := l.open.safe(pos); safe > saved && l.Now().Sub(saveAt) >= saveEvery {
			if err := l.Store.SetCursor(ctx, cursorName, safe, l.lease); err != nil && ctx.Err() == nil {
				l.Log.Warn("store the cursor", "err", err)
			} else {
				saved, saveAt = safe, l.Now()
			}
		}
		if more {
			continue
		}
		wait := l.Poll
		if saved < pos {
			wait = min(wait, saveEvery)
		}
		select {
		case <-ctx.Done():
		case <-l.Wake:
		case <-time.After(wait):
		}
	}
	if safe := l.open.safe(pos); safe > saved {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTime)
		defer cancel()
		if err := l.Store.SetCursor(ctx, cursorName, safe, l.lease); err != nil {
			l.Log.Warn("store the cursor", "err", err)
		}
	}
}

// lost begins at the feed's head after the entries behind pos were compacted
// away. The term ends: the comparisons that the next one begins with find what
// those entries were about.
func (l *leader) lost(ctx context.Context, pos int64) {
	l.Log.Warn("the change feed was compacted past the cursor: all servers are compared", "pos", pos)
	head, err := l.Store.Head(ctx)
	if err == nil {
		err = l.Store.SetCursor(ctx, cursorName, head, l.lease)
	}
	if err != nil && ctx.Err() == nil {
		l.Log.Warn("store the cursor", "err", err)
	}
}

// start loads the servers and the cursor. Where there is none, what came before
// is left to the first comparison.
func (l *leader) start(ctx context.Context) (int64, error) {
	if err := l.Store.FreeTasks(ctx, l.lease); err != nil {
		return 0, err
	}
	if err := l.reload(ctx); err != nil {
		return 0, err
	}
	pos, err := l.Store.Cursor(ctx, cursorName)
	if err != nil {
		return 0, err
	}
	head, err := l.Store.Head(ctx)
	if err != nil {
		return 0, err
	}
	if pos > 0 {
		return min(pos, head), nil
	}
	return head, l.Store.SetCursor(ctx, cursorName, head, l.lease)
}
