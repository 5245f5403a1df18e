package keeper

import (
	"context"
	"maps"
	"slices"
	"time"

	"dnsctl/fleet"
	"dnsctl/report"
	"dnsctl/zone"
)

const (
	settleEvery = 20 * time.Millisecond
	settleBatch = 1000
)

// verdict is what the notifier found out about a change: the server serves it,
// or has not for too long, with the cause.
type verdict struct {
	server int64
	zone   zone.Name
	serial zone.Serial
	cause  error
}

// settle writes verdicts, those of some milliseconds at once. What cannot be
// written now is tried again until the term ends: until then it stays
// outstanding, and the cursor does not move past it.
func (l *leader) settle(ctx context.Context) {
	for batch := l.gather(ctx); len(batch) > 0; batch = l.gather(ctx) {
		for err := l.write(ctx, batch); err != nil; err = l.write(ctx, batch) {
			if ctx.Err() == nil {
				l.Log.Warn("write what servers were proven to have", "changes", len(batch), "err", err)
			}
			if !pause(ctx, blockedRetry) {
				return
			}
		}
		for _, v := range batch {
			l.open.drop(v.server, v.zone, v.serial)
		}
	}
}

// gather waits for a verdict and takes those that follow it closely; nil when the
// term has ended.
func (l *leader) gather(ctx context.Context) (batch []verdict) {
	var closing <-chan time.Time
	for len(batch) < settleBatch {
		select {
		case <-ctx.Done():
			return nil
		case v := <-l.verdicts:
			if closing == nil {
				closing = time.After(settleEvery)
			}
			batch = append(batch, v)
		case <-closing:
			return batch
		}
	}
	return batch
}

// write ends the tasks of zones whose content is proven, and makes tasks of the
// others. Content does not prove that a zone that came or moved is set up as it
// should be: that and a zone's deletion have tasks of their own, and a marker's
// changes have none.
func (l *leader) write(ctx context.Context, batch []verdict) error {
	var done []report.Task
	missing := make(changes)
	for _, v := range batch {
		switch {
		case fleet.IsMarkerName(v.zone):
		case v.cause == nil:
			l.shown(v.server)
			done = append(done, report.Task{Server: l.nameOf(v.server), Zone: v.zone, Want: report.Present, Serial: v.serial})
		default:
			missing.add(v.server, v.zone)
		}
	}
	if err := l.standIn(ctx, missing); err != nil { // first: the same zone may be proven by now
		return err
	}
	return l.Store.DoneTasks(ctx, done)
}

// changes are changed zones by the servers that have not got them.
type changes map[int64]map[zone.Key]zone.Name

func (c changes) add(server int64, name zone.Name) {
	if c[server] == nil {
		c[server] = make(map[zone.Key]zone.Name)
	}
	c[server][name.Key()] = name
}

// standIn makes tasks of changes that servers have not, or may not be told of
// now: guard 1 holds even NOTIFY back. The deletion of a zone has a task of its
// own.
func (l *leader) standIn(ctx context.Context, c changes) error {
	var tasks []report.Task
	for server, zones := range c {
		wanted, err := l.Store.WantedAmong(ctx, server, slices.Collect(maps.Values(zones)))
		if err != nil {
			return err
		}
		for _, t := range l.present(l.nameOf(server), wanted...) {
			t.Incarnation = ""
			tasks = append(tasks, t)
		}
	}
	return l.Store.PutTasks(ctx, tasks)
}

func (l *leader) nameOf(server int64) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if sec, ok := l.servers[server]; ok {
		return sec.server.Name
	}
	return ""
}
