package keeper

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"dnsctl/fleet"
	"dnsctl/nameserver"
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
		l.rest(m, why, s)
		l.publish(ctx, m)
		<-ctx.Done()
		return
	}
	var looked, marked, compare time.Time
	failures := 0
	for ctx.Err() == nil {
		now := l.Now()
		if relook := l.takeRelook(m); relook || l.blocked(m).code != "" || now.Sub(looked) > markerEvery {
			if err := l.look(ctx, m, s); err != nil {
				failures++
				l.setBlocked(m, l.unreachable(ctx, m, s, err))
			} else {
				failures = 0
			}
			looked = l.Now()
		}
		waiting, err := l.measure(ctx, s)
		if err != nil && ctx.Err() == nil {
			l.Log.Warn("count tasks", "server", s.Name, "err", err)
		}
		if waiting > 0 && l.blocked(m).code == "" {
			busy, err := l.tasks(ctx, m, s)
			if err != nil && ctx.Err() == nil {
				l.setBlocked(m, l.unreachable(ctx, m, s, err))
			}
			if busy {
				l.publish(ctx, m)
				continue
			}
		}
		if l.blocked(m).code == "" && now.Sub(marked) > markerEvery && l.takeDirty(m) {
			if err := l.moveMarker(ctx, s); err != nil && ctx.Err() == nil {
				l.Log.Warn("move the marker", "server", s.Name, "err", err)
				l.setDirty(m)
			}
			marked = l.Now()
		}
		if l.blocked(m).code == "" && !l.Now().Before(compare) {
			compare = l.Now().Add(l.compareEvery(s))
			if err := l.compare(ctx, m, s); err != nil && ctx.Err() == nil {
				l.Log.Warn("compare", "server", s.Name, "err", err)
				compare = l.Now().Add(min(compareRetry, l.compareEvery(s)))
			}
		}
		l.publish(ctx, m)
		wait := taskEvery
		if l.blocked(m).code != "" {
			wait = backoff(blockedRetry, time.Minute, failures, s.Name)
		}
		select {
		case <-ctx.Done():
		case <-m.kick:
		case <-time.After(wait):
		}
	}
}

// rest notes that the server is out of service. That is somebody's will and no
// trouble: it has no tasks and no lag that anybody should be told of.
func (l *leader) rest(m *member, why string, s fleet.Server) {
	reason := "taken out of service"
	if s.Drain != nil {
		reason = s.Drain.Reason
	}
	l.mu.Lock()
	m.blocked = block{code: why, reason: reason}
	m.health.block(m.blocked, l.Now())
	l.tell()
	l.mu.Unlock()
	l.Metrics.rest(s.Name)
	l.Log.Info("server is out of service", "server", s.Name, "state", why, "reason", reason)
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

func (l *leader) takeRelook(m *member) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := m.relook
	m.relook = false
	return r
}

func (l *leader) setListed(m *member) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m.listed = true
}

func (l *leader) setDirty(m *member) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m.dirty = true
}

func (l *leader) compareEvery(s fleet.Server) time.Duration {
	every := l.CompareEvery
	for _, p := range s.Pools {
		if p.CompareEvery > 0 {
			every = min(every, p.CompareEvery)
		}
	}
	return max(every, time.Second) // two comparisons are never one
}

// look reads the marker: guard 1 holds for everything that follows.
func (l *leader) look(ctx context.Context, m *member, s fleet.Server) error {
	ses, err := l.Fleet.Open(ctx, s)
	if err != nil {
		return err
	}
	defer ses.Close()
	for len(m.strangers) > 0 {
		switch _, err := ses.Driver.Zone(ctx, m.strangers[0]); {
		case err == nil:
			l.setBlocked(m, block{code: MarkerWrong, reason: inventory.Stranger(m.strangers[0])})
			return nil
		case !errors.Is(err, nameserver.ErrNoZone):
			return err
		}
		m.strangers = m.strangers[1:]
	}
	mark, err := ses.CheckMarker(ctx)
	if err != nil {
		return err
	}
	l.looked(m, mark)
	if mark.State == plan.MarkerSound {
		l.Applier.OfferKeys(ctx, ses, l.Meta)
	}
	if mark.Stray { // a key was rotated, and the server knows the new one by now
		l.setDirty(m)
	}
	if mark.State == plan.MarkerMissing && l.Now().Sub(m.sought) > markerEvery {
		// Whose is there instead, as after two servers were swapped, only the whole
		// list says.
		m.sought = l.Now()
		if err := m.seek(ctx, ses); err != nil {
			return err
		}
		if len(m.strangers) > 0 {
			return l.look(ctx, m, s)
		}
	}
	l.setBlocked(m, blockOf(mark))
	return nil
}

// seek looks for markers of others on the server.
func (m *member) seek(ctx context.Context, ses *inventory.Session) error {
	m.strangers = nil
	err := ses.Driver.Inventory(ctx, func(z nameserver.ZoneState) error {
		if fleet.IsMarkerName(z.Name) && !z.Name.Equal(m.server.Marker) {
			m.strangers = append(m.strangers, z.Name)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the zones of server %s: %w", m.server.Name, err)
	}
	return nil
}

// unreachable is the block of a server whose control channel fails. When it
// shows a sound marker over DNS, guard 1 holds, and it is told of changes all the
// same: NOTIFY needs no control channel.
func (l *leader) unreachable(ctx context.Context, m *member, s fleet.Server, cause error) block {
	b := block{code: "unreachable", reason: cause.Error()}
	if len(m.strangers) > 0 {
		return b
	}
	ses, err := l.Fleet.Open(ctx, s)
	if err != nil {
		return b
	}
	defer ses.Close()
	_, err = ses.SoundMark(ctx)
	b.notify, b.diverged = err == nil, inventory.Diverged(err)
	return b
}

// tasks carries out what is due on the server; true when there may be more.
func (l *leader) tasks(ctx context.Context, m *member, s fleet.Server) (bool, error) {
	due, err := l.Store.DueTasks(ctx, s.Name, l.Holder, taskBatch, taskLease)
	if err != nil {
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
		if derr := l.deferTask(ctx, t, err.Error()); derr != nil {
			return false, derr
		}
	}
	if exit, _ := report.ExitOf(err); exit == report.ExitBusy {
		return false, nil
	}
	return false, err
}

// deferTask gives a task back, also when the term has ended.
func (l *leader) deferTask(ctx context.Context, t report.Task, reason string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTime)
	defer cancel()
	return l.Store.DeferTask(ctx, t, reason, l.Now().Add(blockedRetry))
}

// measure counts the server's tasks and sets how far it is behind, as they say.
func (l *leader) measure(ctx context.Context, s fleet.Server) (int, error) {
	n, oldest, err := l.Store.TaskLag(ctx, s.Name)
	if err != nil {
		return 0, err
	}
	lag := time.Duration(0)
	if n > 0 {
		lag = l.Now().Sub(oldest)
	}
	l.Metrics.tasks.WithLabelValues(s.Name).Set(float64(n))
	l.Metrics.lag.WithLabelValues(s.Name).Set(lag.Seconds())
	return n, nil
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
	l.looked(m, in.Marker)
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
		if !there || settled(it) {
			if _, err := l.Store.DoneTask(ctx, t); err != nil {
				return err
			}
			l.Metrics.done.WithLabelValues(s.Name).Inc()
			l.shown(s.ID)
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

// moveMarker lets the marker follow the feed, unless it is not sound any more. Its
// own feed entries move it no further, and NOTIFY takes it to the server. It
// never goes back: whoever moves it holds the server's lock.
func (l *leader) moveMarker(ctx context.Context, s fleet.Server) error {
	return apply.WithLock(ctx, l.Store, s.Name, l.Holder, func(ctx context.Context) error {
		ses, err := l.Fleet.Open(ctx, s)
		if err != nil {
			return err
		}
		defer ses.Close()
		if _, err := ses.SoundMark(ctx); err != nil {
			return err
		}
		o := apply.Options{Meta: l.Meta}
		if _, err := l.Applier.WriteMarker(ctx, ses, o); err != nil {
			return err
		}
		return l.Applier.ConfigureMarker(ctx, ses, o)
	})
}

// compare is the periodic safety net: a whole look at the server. What it finds
// of our zones becomes tasks; foreign zones go when two comparisons have found
// them.
func (l *leader) compare(ctx context.Context, m *member, s fleet.Server) error {
	ses, err := l.Fleet.Open(ctx, s)
	if err != nil {
		return err
	}
	defer ses.Close()
	in, err := ses.Look(ctx, inventory.LookOptions{})
	if err != nil {
		return err
	}
	m.strangers = nil
	for _, h := range in.Have {
		if fleet.IsMarkerName(h.Name) && !h.Name.Equal(s.Marker) {
			m.strangers = append(m.strangers, h.Name)
		}
	}
	l.looked(m, in.Marker)
	l.setBlocked(m, blockOf(in.Marker))
	l.setListed(m)
	p := plan.Make(in)
	l.Metrics.compared(s.Name, apply.Report(p))
	tasks := l.tasksOf(p)
	if len(tasks) == 0 {
		l.shown(s.ID)
	}
	if err := l.Store.PutTasks(ctx, tasks); err != nil {
		return err
	}
	m.wake()
	return l.deleteForeign(ctx, ses, p)
}

// tasksOf is the plan's steps about our zones as tasks.
func (l *leader) tasksOf(p plan.Plan) []report.Task {
	var out []report.Task
	for i := range p.Steps {
		switch st := &p.Steps[i]; {
		case st.Outcome != report.Planned:
		case st.Wanted != nil:
			out = append(out, l.present(p.Server.Name, *st.Wanted))
		case st.Class == report.Stale:
			out = append(out, l.absent(p.Server.Name, *st.Tomb))
		}
	}
	return out
}

// deleteForeign deletes the plan's foreign zones that an earlier comparison has
// found already, and gives the server's lock up from time to time.
func (l *leader) deleteForeign(ctx context.Context, ses *inventory.Session, p plan.Plan) error {
	var found []zone.Name
	var steps []plan.Step
	for _, st := range p.Steps {
		if st.Class == report.Foreign && st.Action == report.Delete && st.Outcome == report.Planned {
			found, steps = append(found, st.Zone), append(steps, st)
		}
	}
	first, err := l.Store.Sight(ctx, p.Server.ID, found)
	if err != nil {
		return err
	}
	before := l.Now().Add(-l.compareEvery(p.Server))
	steps = slices.DeleteFunc(steps, func(st plan.Step) bool { return !twice(first, st.Zone, before) })
	for chunk := range slices.Chunk(steps, taskBatch) {
		part := p
		part.Steps = chunk
		failed := false
		err := apply.WithLock(ctx, l.Store, p.Server.Name, l.Holder, func(ctx context.Context) error {
			out := l.Applier.Run(ctx, ses, part, apply.Options{Meta: l.Meta, ProveFor: proveFor})
			failed = slices.ContainsFunc(out.Items, func(it report.Item) bool { return it.Outcome == report.Failed || it.Outcome == report.Withheld })
			return nil
		})
		if err != nil || failed {
			return err
		}
	}
	return nil
}

// twice says whether a zone was seen by an earlier comparison, long enough ago.
func twice(first map[zone.Key]time.Time, name zone.Name, before time.Time) bool {
	at, seen := first[name.Key()]
	return seen && !at.After(before)
}
