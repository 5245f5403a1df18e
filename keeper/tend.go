package keeper

import (
	"context"
	"time"

	"dnsctl/fleet"
	"dnsctl/report"
	"dnsctl/sync/apply"
	"dnsctl/sync/inventory"
	"dnsctl/sync/plan"
	"dnsctl/zone"
)

// tend is one server's goroutine: its marker's verdict, its tasks, its periodic
// comparison. What happens to one server never delays another.
func (l *leader) tend(ctx context.Context, m *member, s fleet.Server) {
	if why := blockedBy(s); why != "" {
		l.setBlocked(m, block{why, "taken out of service"})
		<-ctx.Done()
		return
	}
	var looked, marked, compared time.Time
	failures := 0
	for ctx.Err() == nil {
		now := l.Now()
		blocked := l.blocked(m)
		if blocked.code != "" || now.Sub(looked) > markerEvery {
			err := l.look(ctx, m, s)
			looked = l.Now()
			if err != nil {
				failures++
				l.setBlocked(m, block{"unreachable", err.Error()})
			} else {
				failures = 0
			}
			blocked = l.blocked(m)
		}
		if blocked.code == "" {
			busy, err := l.tasks(ctx, m, s)
			if err != nil && ctx.Err() == nil {
				l.setBlocked(m, block{"unreachable", err.Error()})
				continue
			}
			if busy {
				continue
			}
			if now.Sub(marked) > markerEvery && l.takeDirty(m) {
				if err := l.moveMarker(ctx, s); err != nil && ctx.Err() == nil {
					l.Log.Warn("move the marker", "server", s.Name, "err", err)
				}
				marked = l.Now()
			}
			if l.Now().Sub(compared) > l.compareEvery(s) {
				if err := l.compare(ctx, s); err != nil && ctx.Err() == nil {
					l.Log.Warn("compare", "server", s.Name, "err", err)
				}
				compared = l.Now()
			}
		}
		wait := taskEvery
		if blocked.code != "" {
			wait = backoff(blockedRetry, time.Minute, failures, s.Name)
		}
		select {
		case <-ctx.Done():
		case <-m.kick:
		case <-time.After(wait):
		}
	}
}

func (l *leader) blocked(m *member) block {
	l.mu.Lock()
	defer l.mu.Unlock()
	return m.blocked
}

func (l *leader) takeDirty(m *member) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	d := m.dirty
	m.dirty = false
	return d
}

func (l *leader) compareEvery(s fleet.Server) time.Duration {
	every := l.CompareEvery
	for _, p := range s.Pools {
		if p.CompareEvery > 0 {
			every = min(every, p.CompareEvery)
		}
	}
	return every
}

// look reads the marker: guard 1 holds for everything that follows.
func (l *leader) look(ctx context.Context, m *member, s fleet.Server) error {
	ses, err := l.Fleet.Open(ctx, s)
	if err != nil {
		return err
	}
	defer ses.Close()
	in, err := ses.LookAt(ctx, nil)
	if err != nil {
		return err
	}
	l.setBlocked(m, blockOf(in.Marker))
	return nil
}

// tasks carries out what is due on the server; true when there may be more.
func (l *leader) tasks(ctx context.Context, m *member, s fleet.Server) (bool, error) {
	due, err := l.Store.DueTasks(ctx, s.Name, l.Holder, taskBatch, taskLease)
	if err != nil {
		return false, err
	}
	if err := l.measure(ctx, s); err != nil {
		return false, err
	}
	if len(due) == 0 {
		return false, nil
	}
	err = apply.WithLock(ctx, l.Store, s.Name, l.Holder, func(ctx context.Context) error {
		return l.work(ctx, m, s, due)
	})
	if err == nil {
		return len(due) == taskBatch, nil
	}
	// The server could not be worked on: that is no attempt at any of its zones.
	for _, t := range due {
		if derr := l.Store.DeferTask(context.WithoutCancel(ctx), t, err.Error(), l.Now().Add(blockedRetry)); derr != nil {
			return false, derr
		}
	}
	if exit, _ := report.ExitOf(err); exit == report.ExitBusy {
		return false, nil
	}
	return false, err
}

// measure sets how far the server is behind, as the tasks say.
func (l *leader) measure(ctx context.Context, s fleet.Server) error {
	n, oldest, err := l.Store.TaskLag(ctx, s.Name)
	if err != nil {
		return err
	}
	lag := time.Duration(0)
	if n > 0 {
		lag = l.Now().Sub(oldest)
	}
	l.Metrics.tasks.WithLabelValues(s.Name).Set(float64(n))
	l.Metrics.lag.WithLabelValues(s.Name).Set(lag.Seconds())
	return nil
}

// work plans and applies the zones of some tasks.
func (l *leader) work(ctx context.Context, m *member, s fleet.Server, due []report.Task) error {
	ses, err := l.Fleet.Open(ctx, s)
	if err != nil {
		return err
	}
	defer ses.Close()
	names := make([]zone.Name, len(due))
	for i, t := range due {
		names[i] = t.Zone
	}
	in, err := ses.LookAt(ctx, names)
	if err != nil {
		return err
	}
	l.setBlocked(m, blockOf(in.Marker))
	p := plan.Make(in)
	onlyOurs(&p)
	out := l.Applier.Run(ctx, ses, p, apply.Options{Meta: l.Meta, ProveFor: proveFor})
	items := make(map[zone.Key]report.Item, len(out.Items))
	for _, it := range out.Items {
		items[it.Zone.Key()] = it
	}
	for _, t := range due {
		it, there := items[t.Zone.Key()]
		// Not wanted and not there: nothing was planned.
		if !there || settledOutcome(it.Outcome, it.Class) || it.Class == report.Foreign {
			if _, err := l.Store.DoneTask(ctx, t); err != nil {
				return err
			}
			l.Metrics.done.WithLabelValues(s.Name).Inc()
			continue
		}
		if err := l.failTask(ctx, s, t, it.Reason); err != nil {
			return err
		}
	}
	return nil
}

// onlyOurs leaves of a plan what the leader does on its own: everything about
// wanted zones, and deletions of stale ones.
func onlyOurs(p *plan.Plan) {
	for i := range p.Steps {
		if st := &p.Steps[i]; st.Action == report.Delete && st.Class != report.Stale {
			st.Action, st.Outcome = report.None, ""
		}
	}
}

func (l *leader) failTask(ctx context.Context, s fleet.Server, t report.Task, reason string) error {
	l.Metrics.failed.WithLabelValues(s.Name).Inc()
	return l.Store.FailTask(ctx, t, reason, l.Now().Add(backoff(2*time.Second, 10*time.Minute, t.Attempts, t.Zone.String())))
}

// moveMarker lets the marker follow the feed. Its own feed entries move it no
// further, and NOTIFY takes it to the server.
func (l *leader) moveMarker(ctx context.Context, s fleet.Server) error {
	ses, err := l.Fleet.Open(ctx, s)
	if err != nil {
		return err
	}
	defer ses.Close()
	_, err = l.Applier.WriteMarker(ctx, ses, apply.Options{Meta: l.Meta})
	return err
}

// compare is the periodic safety net: a whole look, and a sync whose deletions of
// foreign zones wait until two comparisons have found them.
func (l *leader) compare(ctx context.Context, s fleet.Server) error {
	return apply.WithLock(ctx, l.Store, s.Name, l.Holder, func(ctx context.Context) error {
		ses, err := l.Fleet.Open(ctx, s)
		if err != nil {
			return err
		}
		defer ses.Close()
		in, err := ses.Look(ctx, inventory.LookOptions{})
		if err != nil {
			return err
		}
		p := plan.Make(in)
		var foreign []zone.Name
		for _, st := range p.Steps {
			if st.Class == report.Foreign && st.Action == report.Delete && st.Outcome == report.Planned {
				foreign = append(foreign, st.Zone)
			}
		}
		now := l.Now()
		first, err := l.Store.Sight(ctx, s.ID, foreign)
		if err != nil {
			return err
		}
		for i := range p.Steps {
			if st := &p.Steps[i]; st.Class == report.Foreign && st.Action == report.Delete && !twice(first, st.Zone, now.Add(-l.compareEvery(s))) {
				st.Action, st.Outcome = report.None, ""
			}
		}
		out := l.Applier.Run(ctx, ses, p, apply.Options{Meta: l.Meta, ProveFor: proveFor})
		l.Metrics.compared(s.Name, out)
		return nil
	})
}

// twice says whether a zone was seen by an earlier comparison, long enough ago.
func twice(first map[zone.Key]time.Time, name zone.Name, before time.Time) bool {
	at, seen := first[name.Key()]
	return seen && !at.After(before)
}
