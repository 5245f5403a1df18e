package keeper

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"dnsctl/fleet"
	"dnsctl/report"
	"dnsctl/sync/apply"
	"dnsctl/sync/inventory"
	"dnsctl/sync/plan"
	"dnsctl/zone"
)

// compare is the periodic safety net: a whole look at the server. What it finds
// of our zones becomes tasks; foreign zones go when two comparisons have found
// them. Its error wraps errBusy while another dnsctl is at work on the server: what
// is missing there now is that one's business, and a look would only hold it up, but
// for the one that a catalog waits for.
func (l *leader) compare(ctx context.Context, sec *secondary, s fleet.Server) error {
	busy, err := apply.Busy(ctx, l.Store, s.Name, l.Holder)
	if err != nil || busy && !l.isAwaited(sec) {
		return cmp.Or(err, errBusy)
	}
	ses, err := l.Fleet.Open(ctx, s)
	if err != nil {
		return err
	}
	defer ses.Close()
	in, err := ses.Look(ctx, inventory.LookOptions{Brief: true})
	if err != nil {
		return err
	}
	sec.strangers = nil
	for _, h := range in.Have {
		if fleet.IsMarkerName(h.Name) && !h.Name.Equal(s.Marker) {
			sec.strangers = append(sec.strangers, h.Name)
		}
	}
	l.looked(sec, in.Marker)
	l.setBlocked(sec, blockOf(in.Marker))
	l.setListed(sec)
	if busy { // and waits, maybe, for the catalog that waited for this list
		return errBusy
	}
	p := plan.Make(in)
	l.Metrics.compared(s.Name, apply.Report(p))
	tasks := l.tasksOf(p)
	if len(tasks) == 0 {
		l.shown(s.ID)
	}
	if err := l.Store.PutTasks(ctx, tasks); err != nil {
		return err
	}
	sec.wake()
	return l.deleteForeign(ctx, ses, p)
}

var errBusy = errors.New("another dnsctl is at work on the server")

func (l *leader) compareEvery(s fleet.Server) time.Duration {
	every := l.CompareEvery
	for _, p := range s.Pools {
		if p.CompareEvery > 0 {
			every = min(every, p.CompareEvery)
		}
	}
	return max(every, time.Second) // two comparisons are never one
}

// tasksOf is the plan's steps about our zones as tasks.
func (l *leader) tasksOf(p plan.Plan) []report.Task {
	var out []report.Task
	for i := range p.Steps {
		switch st := &p.Steps[i]; {
		case st.Outcome != report.Planned:
		case st.Wanted != nil:
			out = append(out, l.present(p.Server.Name, *st.Wanted)...)
		case st.Class == report.Stale:
			out = append(out, l.absent(p.Server.Name, *st.Tomb)...)
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
