package keeper

import (
	"context"
	"time"

	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/report"
	"dnsctl/sync/apply"
	"dnsctl/sync/plan"
	"dnsctl/zone"
)

// present and absent are the tasks that bring a server to what is wanted of it.
func (l *leader) present(server string, wanted ...fleet.Wanted) (out []report.Task) {
	for _, w := range wanted {
		out = append(out, report.Task{Server: server, Zone: w.Name, Want: report.Present, Incarnation: w.Incarnation, Serial: w.Serial, NextTry: l.Now()})
	}
	return out
}

func (l *leader) absent(server string, gone ...fleet.Tombstone) (out []report.Task) {
	for _, t := range gone {
		out = append(out, report.Task{Server: server, Zone: t.Name, Want: report.Absent, Incarnation: t.Incarnation, Serial: t.LastSerial, NextTry: l.Now()})
	}
	return out
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

// tasks carries out what is due on the server; true when there may be more.
func (l *leader) tasks(ctx context.Context, sec *secondary, s fleet.Server) (bool, error) {
	due, err := l.Store.DueTasks(ctx, s.Name, l.Holder, taskBatch, taskLease)
	if err != nil {
		return false, err
	}
	if len(due) == 0 {
		return false, nil
	}
	left := 0
	err = apply.WithLock(ctx, l.Store, s.Name, l.Holder, func(ctx context.Context) (err error) {
		left, err = l.work(ctx, sec, s, due)
		return err
	})
	if err == nil {
		return len(due) == taskBatch || left > 0, nil
	}
	// The server could not be worked on: that is no attempt at any of its zones.
	if err := l.deferTasks(ctx, due, err.Error()); err != nil {
		return false, err
	}
	if exit, _ := report.ExitOf(err); exit == report.ExitBusy {
		return false, nil
	}
	return false, err
}

// work plans and applies the zones of some tasks, as many as are begun in a short
// time; the others are given back, and counted.
func (l *leader) work(ctx context.Context, sec *secondary, s fleet.Server, due []report.Task) (left int, err error) {
	ses, err := l.Fleet.Open(ctx, s)
	if err != nil {
		return 0, err
	}
	defer ses.Close()
	names := make([]zone.Name, len(due))
	for i, t := range due {
		names[i] = t.Zone
	}
	in, err := ses.LookAt(ctx, names)
	if err != nil {
		return 0, err
	}
	l.looked(sec, in.Marker)
	l.setBlocked(sec, blockOf(in.Marker))
	p := plan.Make(in)
	onlyOurs(&p)
	waiting := leaving(&p)
	out := l.Applier.Run(ctx, ses, p, apply.Options{Meta: l.Meta, ProveFor: proveFor, BeginFor: beginFor})
	items := make(map[zone.Key]report.Item, len(out.Items))
	for _, it := range out.Items {
		items[it.Zone.Key()] = it
	}
	var done, later, leave []report.Task
	for _, t := range due {
		it, there := items[t.Zone.Key()]
		switch {
		case !there || settled(it): // not there: neither wanted nor on the server
			done = append(done, t)
		case waiting[t.Zone.Key()]:
			leave = append(leave, t)
		case it.Outcome == report.Withheld && it.Guard == plan.GuardEnded:
			later = append(later, t)
		default:
			if err := l.failTask(ctx, s, t, it.Reason); err != nil {
				return 0, err
			}
		}
	}
	if len(later) > 0 {
		// They stay before those that came after them.
		if err := l.Store.DeferTasks(ctx, later, "", due[0].NextTry); err != nil {
			return 0, err
		}
	}
	if len(leave) > 0 {
		err := ses.RefreshCatalog(ctx)
		if err == nil {
			err = l.deferTasks(ctx, leave, "it goes with the catalog")
		}
		if err != nil {
			return 0, err
		}
	}
	if len(done) == 0 {
		return len(later), nil
	}
	l.Metrics.done.WithLabelValues(s.Name).Add(float64(len(done)))
	l.shown(s.ID)
	return len(later), l.Store.DoneTasks(ctx, done)
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

// leaving takes out of a plan the deletions of members of the catalog that the server
// takes its zones from, and says which they are. They go when the catalog lets them go,
// which waits for this very server to be looked at.
func leaving(p *plan.Plan) map[zone.Key]bool {
	out := make(map[zone.Key]bool)
	for i := range p.Steps {
		if st := &p.Steps[i]; p.Server.Catalog() != "" && st.Action == report.Delete && st.Have.Origin == nameserver.Cataloged {
			st.Action, st.Outcome = report.None, ""
			out[st.Zone.Key()] = true
		}
	}
	return out
}

func (l *leader) failTask(ctx context.Context, s fleet.Server, t report.Task, reason string) error {
	l.Metrics.failed.WithLabelValues(s.Name).Inc()
	return l.Store.FailTask(ctx, t, reason, l.Now().Add(backoff(2*time.Second, 10*time.Minute, t.Attempts, t.Zone.String())))
}

// deferTasks gives tasks back, also when the term has ended.
func (l *leader) deferTasks(ctx context.Context, tasks []report.Task, reason string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTime)
	defer cancel()
	return l.Store.DeferTasks(ctx, tasks, reason, l.Now().Add(blockedRetry))
}

// settled says whether a zone's task is done with: it was found in agreement, its
// step is proven, or it is no business of a task. A step that was dropped is
// looked at again.
func settled(it report.Item) bool {
	return it.Outcome == report.Done || it.Outcome == "" && (it.Class == report.OK || it.Class == report.Foreign)
}
