package keeper

import (
	"cmp"
	"context"
	"errors"
	"time"

	"dnsctl/fleet"
)

// tend is one server's goroutine: its marker's verdict, its tasks, its periodic
// comparison. What happens to one server never delays another.
func (l *leader) tend(ctx context.Context, sec *secondary, s fleet.Server) {
	if s.State.Out() {
		l.rest(sec, s)
		l.publish(ctx, sec)
		<-ctx.Done()
		return
	}
	var looked, marked, compare time.Time
	yielded := l.Now()
	failures := 0
	for ctx.Err() == nil {
		now := l.Now()
		if relook := l.takeRelook(sec); relook || l.blocked(sec).code != "" || now.Sub(looked) > markerEvery {
			if err := l.look(ctx, sec, s); err != nil {
				failures++
				l.setBlocked(sec, l.unreachable(ctx, sec, s, err))
			} else {
				failures = 0
			}
			looked = l.Now()
		}
		waiting, err := l.measure(ctx, s)
		if err != nil && ctx.Err() == nil {
			l.Log.Warn("count tasks", "server", s.Name, "err", err)
		}
		if waiting > 0 && l.blocked(sec).code == "" {
			busy, err := l.tasks(ctx, sec, s)
			if err != nil && ctx.Err() == nil {
				l.setBlocked(sec, l.unreachable(ctx, sec, s, err))
			}
			if busy {
				l.publish(ctx, sec)
				if l.Now().Sub(yielded) >= yieldEvery {
					pause(ctx, yieldFor)
					yielded = l.Now()
				}
				continue
			}
		}
		if l.blocked(sec).code == "" && now.Sub(marked) > markerEvery && l.takeDirty(sec) {
			if err := l.moveMarker(ctx, s); err != nil && ctx.Err() == nil {
				l.Log.Warn("move the marker", "server", s.Name, "err", err)
				l.setDirty(sec)
			}
			marked = l.Now()
		}
		if l.blocked(sec).code == "" && !l.Now().Before(compare) {
			compare = l.Now().Add(l.compareEvery(s))
			switch err := l.compare(ctx, sec, s); {
			case errors.Is(err, errBusy):
				compare = l.Now().Add(min(compareBusy, l.compareEvery(s)))
			case err != nil && ctx.Err() == nil:
				l.Log.Warn("compare", "server", s.Name, "err", err)
				compare = l.Now().Add(min(compareRetry, l.compareEvery(s)))
			}
		}
		l.publish(ctx, sec)
		wait := taskEvery
		if l.blocked(sec).code != "" {
			wait = backoff(blockedRetry, time.Minute, failures, s.Name)
		}
		select {
		case <-ctx.Done():
		case <-sec.kick:
		case <-time.After(wait):
		}
	}
}

// rest notes that the server is out of service. That is somebody's will and no
// trouble: it has no tasks and no lag that anybody should be told of.
func (l *leader) rest(sec *secondary, s fleet.Server) {
	reason := ""
	if s.Drain != nil {
		reason = s.Drain.Reason
	}
	l.mu.Lock()
	sec.blocked = block{code: string(s.State), reason: cmp.Or(reason, "taken out of service")}
	sec.health.block(sec.blocked, l.Now())
	l.tell()
	l.mu.Unlock()
	l.Metrics.rest(s.Name)
	l.Log.Info("server is out of service", "server", s.Name, "state", s.State, "reason", reason)
}

func (l *leader) takeDirty(sec *secondary) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	d := sec.dirty
	sec.dirty = false
	return d
}

func (l *leader) takeRelook(sec *secondary) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := sec.relook
	sec.relook = false
	return r
}

func (l *leader) setListed(sec *secondary) {
	l.mu.Lock()
	defer l.mu.Unlock()
	sec.listed, sec.awaited = true, false
}

func (l *leader) isAwaited(sec *secondary) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return sec.awaited
}

func (l *leader) setDirty(sec *secondary) {
	l.mu.Lock()
	defer l.mu.Unlock()
	sec.dirty = true
}
