package apply

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/report"
	"dnsctl/sync/inventory"
	"dnsctl/sync/plan"
	"dnsctl/zone"
)

// deletions removes zones in small batches, before each of which the marker is
// read again; the first failure ends them on this server.
func (r *run) deletions(ctx context.Context) {
	steps := r.planned(report.Delete)
	if len(steps) == 0 {
		return
	}
	if r.o.Confirm != nil && !r.o.Confirm(r.s.Server.Name, items(steps)) {
		for _, st := range steps {
			withhold(st, plan.GuardConfirm, "deletions were not confirmed: type their count when asked, or give --yes")
		}
		return
	}
	// Of those that are deleted one by one no more are begun before they are proven
	// than are under way at a time.
	size, group := deletionBatch, max(1, r.s.Driver.Capabilities().AtOnce)
	if _, ok := r.s.Driver.(nameserver.BulkDeleter); ok {
		size, group = deletionBulk, deletionBulk
	}
	done := 0
	for done < len(steps) {
		batch := steps[done:min(done+size, len(steps))]
		// The plan's marker was read before the adds; much may have happened since.
		if err := r.markerStillOurs(ctx); err != nil && ctx.Err() == nil {
			r.stop(steps[done:], plan.GuardMarker, err.Error())
			return
		}
		for some := range slices.Chunk(batch, group) {
			if r.over(ctx) {
				return // Run says so of what is left
			}
			r.deleteSome(ctx, some)
			if slices.ContainsFunc(some, func(st *plan.Step) bool { return st.Outcome == report.Failed }) {
				r.stop(steps[done:], plan.GuardBatch, "an earlier deletion on this server failed")
				return
			}
			done += len(some)
			r.o.Progress(report.Progress{Server: r.s.Server.Name, Phase: "deletions", Done: done, Total: len(steps)})
		}
		if r.exchange > deletionSlow {
			size = min(4*size, deletionMost)
			group = size
		}
	}
}

func items(steps []*plan.Step) []report.Item {
	out := make([]report.Item, len(steps))
	for i, st := range steps {
		out[i] = st.Item
	}
	return out
}

func (r *run) stop(steps []*plan.Step, guard, reason string) {
	for _, st := range steps {
		if st.Outcome == report.Planned {
			withhold(st, guard, reason)
		}
	}
}

// deletion is a step that deletes, and its zone as the server had it right before.
type deletion struct {
	*plan.Step
	was nameserver.ZoneState
}

// deleteSome removes some zones. Each is read on the server again; then come the
// copies, the rows once more, the deletions, the proofs, and the rows again. A
// failure before the deletions keeps all of them from being made.
func (r *run) deleteSome(ctx context.Context, steps []*plan.Step) {
	list := make([]*deletion, len(steps))
	for i, st := range steps {
		list[i] = &deletion{Step: st}
	}
	for _, part := range []func(context.Context, []*deletion) []*deletion{r.ready, r.unwanted, r.counted} {
		list = part(ctx, list)
		if slices.ContainsFunc(steps, func(st *plan.Step) bool { return st.Outcome == report.Failed }) {
			return
		}
	}
	members, list := r.members(list)
	list = r.gone(ctx, append(r.delete(ctx, list), r.left(ctx, members)...))
	for _, d := range list {
		d.Outcome = report.Done
	}
	r.settled(ctx, list)
	r.wantedSince(ctx, list)
}

// ready reads the zones on the server again, and has those copied that need it.
func (r *run) ready(ctx context.Context, list []*deletion) []*deletion {
	goes := make([]bool, len(list))
	nameserver.Each(ctx, r.s.Driver, len(list), func(i int) { goes[i] = r.isReady(ctx, list[i]) }, func(int) {})
	var on []*deletion
	for i, d := range list {
		if goes[i] {
			on = append(on, d)
		}
	}
	return on
}

func (r *run) isReady(ctx context.Context, d *deletion) bool {
	var err error
	d.was, err = r.s.Driver.Zone(ctx, d.Zone)
	switch {
	case errors.Is(err, nameserver.ErrNoZone):
		d.Outcome, d.Reason = report.Done, d.Reason+"; it was gone already"
		r.settled(ctx, []*deletion{d})
		return false
	case err != nil:
		fail(d.Step, err)
		return false
	case r.another(d.Step, d.was):
		drop(d.Step, "it is another kind of zone on the server now")
		return false
	}
	return !d.Copy || r.copy(ctx, d.Step)
}

// unwanted drops what is wanted by now.
func (r *run) unwanted(ctx context.Context, list []*deletion) (on []*deletion) {
	wanted, err := r.wantedOf(ctx, list)
	for _, d := range list {
		_, is := wanted[d.Zone.Key()]
		switch {
		case err != nil:
			fail(d.Step, err)
		case is:
			drop(d.Step, "it is wanted now")
		default:
			on = append(on, d)
		}
	}
	return on
}

// counted counts foreign zones before they are deleted: a deletion that the limit
// does not know of must not happen.
func (r *run) counted(ctx context.Context, list []*deletion) []*deletion {
	for _, d := range list {
		if d.Class != report.Foreign {
			continue
		}
		if err := r.Store.AddForeignDeletion(ctx, r.s.Server.ID, d.Zone); err != nil {
			fail(d.Step, fmt.Errorf("count the deletion: %w", err))
		}
	}
	return list
}

// delete deletes zones, in one exchange where the driver can, and returns those that
// it says are gone. Its events are written before the proof: what is recorded is
// that it was done.
func (r *run) delete(ctx context.Context, list []*deletion) (on []*deletion) {
	errs := make([]error, len(list))
	if bulk, ok := r.s.Driver.(nameserver.BulkDeleter); ok && len(list) > 0 {
		zones := make([]nameserver.ZoneState, len(list))
		for i, d := range list {
			zones[i] = d.was
		}
		began := r.Now()
		errs = bulk.DeleteAll(ctx, zones)
		r.exchange = r.Now().Sub(began)
	} else {
		for i := range errs {
			errs[i] = errNotBegun
		}
		nameserver.Each(ctx, r.s.Driver, len(list), func(i int) { errs[i] = r.s.Driver.Delete(ctx, list[i].Zone) }, func(int) {})
	}
	var events []report.Event
	for i, err := range errs {
		d, result := list[i], string(list[i].Class)
		switch {
		case errors.Is(err, errNotBegun):
			continue // Run says so
		case err == nil || errors.Is(err, nameserver.ErrNoZone):
			on = append(on, d)
		default: // it may have been done all the same, when the answer was lost
			result = "failed: " + err.Error()
			fail(d.Step, err)
		}
		events = append(events, r.newEvent(r.o, r.s, "delete", d.Zone, d.Serial.Want, d.was.Detail, result))
	}
	r.write(ctx, events...)
	return on
}

var errNotBegun = errors.New("not begun")

// wantedOf is those of the zones that are wanted.
func (r *run) wantedOf(ctx context.Context, list []*deletion) (map[zone.Key]fleet.Wanted, error) {
	names := make([]zone.Name, len(list))
	for i, d := range list {
		names[i] = d.Zone
	}
	rows, err := r.Store.WantedAmong(ctx, r.s.Server.ID, names)
	out := make(map[zone.Key]fleet.Wanted, len(rows))
	for _, w := range rows {
		out[w.Name.Key()] = w
	}
	return out, err
}

// wantedSince adds zones again that became wanted while they were deleted.
func (r *run) wantedSince(ctx context.Context, list []*deletion) {
	wanted, err := r.wantedOf(ctx, list)
	for _, d := range list {
		w, is := wanted[d.Zone.Key()]
		switch {
		case err != nil:
			fail(d.Step, fmt.Errorf("deleted, but whether it is wanted now could not be read: %w", err))
		case is:
			if err := r.addBack(ctx, d.Step, w); err != nil {
				fail(d.Step, fmt.Errorf("it became wanted while it was deleted, and adding it again: %w", err))
				continue
			}
			drop(d.Step, "it became wanted while it was deleted, and was added again")
		}
	}
}

// another says whether the zone on the server is not the one that the step was
// planned for any more.
func (r *run) another(st *plan.Step, now nameserver.ZoneState) bool {
	was := st.Have
	return now.Role != was.Role || now.Role == nameserver.Other || now.Signs ||
		now.Origin == nameserver.Declared || now.Origin == nameserver.Cataloged && !r.byCatalog() || now.Origin == nameserver.Builtin ||
		now.Known && was.Known && !nameserver.SamePrimaries(now.Primaries, was.Primaries) ||
		st.Class == report.Foreign && now.Known && r.s.Ours(now.Primaries)
}

// addBack adds a zone that became wanted while it was deleted, behind the marker
// like any other.
func (r *run) addBack(ctx context.Context, st *plan.Step, w fleet.Wanted) error {
	if err := r.Advance(ctx, r.s, w.FirstFeed, r.o); err != nil {
		return err
	}
	if r.byCatalog() {
		return nil // it comes with the catalog
	}
	if err := r.s.Driver.Add(ctx, r.s.ZoneConfig(w)); err != nil && !errors.Is(err, nameserver.ErrExists) {
		return err
	}
	st.Serial.Want = &w.Serial
	r.event(ctx, st, "add", "", string(st.Class))
	return nil
}

// settled removes the tasks that stood for deletions.
func (r *run) settled(ctx context.Context, list []*deletion) {
	var done []report.Task
	for _, d := range list {
		if d.Tomb != nil {
			done = append(done, report.Task{Server: r.s.Server.Name, Zone: d.Zone, Want: report.Absent, Incarnation: d.Tomb.Incarnation, Serial: d.Tomb.LastSerial})
		}
	}
	if err := r.Store.DoneTasks(context.WithoutCancel(ctx), done); err != nil {
		r.Log.Error("settle tasks", "server", r.s.Server.Name, "tasks", len(done), "err", err)
	}
}

// gone is guard 7: neither the control channel nor the wire knows the zones. It
// returns those of which that is proven.
func (r *run) gone(ctx context.Context, list []*deletion) (proven []*deletion) {
	left := make([]string, len(list)) // why each is not proven yet
	for i := range left {
		left[i] = "the run ended"
	}
	nameserver.Each(ctx, r.s.Driver, len(list), func(i int) {
		_, err := r.s.Driver.Zone(ctx, list[i].Zone)
		switch {
		case err == nil:
			err = errors.New("the control channel still lists it")
		case errors.Is(err, nameserver.ErrNoZone):
			left[i] = "no answer"
			return
		}
		left[i] = ""
		fail(list[i].Step, fmt.Errorf("deleted, but: %w", err))
	}, func(int) {})
	for try := 0; ; try++ {
		var open []int
		for i, why := range left {
			if why != "" {
				open = append(open, i)
			}
		}
		if len(open) == 0 {
			return proven
		}
		err := r.DNS.SOAs(ctx, len(open), func(n int) inventory.Question { return r.s.Question(list[open[n]].Zone) }, func(n int, p plan.Probe) {
			if left[open[n]] = remains(p); left[open[n]] == "" {
				proven = append(proven, list[open[n]])
			}
		})
		if len(proven) == len(list) {
			return proven
		}
		if err == nil && try < 10 {
			if err = inventory.Pause(ctx, askEvery); err == nil {
				continue
			}
		}
		for _, i := range open {
			if why := left[i]; why != "" {
				if err != nil {
					why = err.Error()
				}
				fail(list[i].Step, fmt.Errorf("deleted, but: %s", why))
			}
		}
		return proven
	}
}

// remains says what an answer has against a zone's being gone; "" is nothing. A
// parent zone on the same server answers too: what counts is the owner of the SOA.
func remains(p plan.Probe) string {
	switch {
	case p.Lost: // silence proves nothing
		return cmp.Or(p.Err, "no answer")
	case p.Serves:
		return "the server still answers for it"
	}
	return ""
}
