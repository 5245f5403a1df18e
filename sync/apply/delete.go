package apply

import (
	"context"
	"errors"
	"fmt"

	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/report"
	"dnsctl/sync/inventory"
	"dnsctl/sync/plan"
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
	for n, st := range steps {
		if ctx.Err() != nil {
			return // Run says so of what is left
		}
		// The plan's marker was read before the adds; much may have happened since.
		if n%deletionBatch == 0 {
			if err := r.markerStillOurs(ctx); err != nil {
				r.stop(steps[n:], plan.GuardMarker, err.Error())
				return
			}
		}
		r.delete(ctx, st)
		if st.Outcome == report.Failed {
			r.stop(steps[n:], plan.GuardBatch, "an earlier deletion on this server failed")
			return
		}
		r.o.Progress(report.Progress{Server: r.s.Server.Name, Phase: "deletions", Done: n + 1, Total: len(steps)})
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

// delete removes one zone: the server's zone is read again, then come the copy,
// its row once more, the deletion, the proof, and the row again.
func (r *run) delete(ctx context.Context, st *plan.Step) {
	z, err := r.s.Driver.Zone(ctx, st.Zone)
	switch {
	case errors.Is(err, nameserver.ErrNoZone):
		st.Outcome, st.Reason = report.Done, st.Reason+"; it was gone already"
		r.settled(ctx, st)
		return
	case err != nil:
		fail(st, err)
		return
	case r.another(st, z):
		drop(st, "it is another kind of zone on the server now")
		return
	}
	if st.Copy && !r.copy(ctx, st) {
		return
	}
	_, err = r.Store.WantedOne(ctx, r.s.Server.ID, st.Zone)
	switch {
	case err == nil:
		drop(st, "it is wanted now")
		return
	case !errors.Is(err, fleet.ErrNoZone):
		fail(st, err)
		return
	}
	// Counted before it is done: a deletion that the limit does not know of must
	// not happen.
	if st.Class == report.Foreign {
		if err := r.Store.AddForeignDeletion(ctx, r.s.Server.ID, st.Zone); err != nil {
			fail(st, fmt.Errorf("count the deletion: %w", err))
			return
		}
	}
	if err := r.s.Driver.Delete(ctx, st.Zone); err != nil && !errors.Is(err, nameserver.ErrNoZone) {
		// It may have been done all the same, when the answer was lost.
		r.event(ctx, st, "delete", z.Detail, "failed: "+err.Error())
		fail(st, err)
		return
	}
	// The event comes before the proof: what is recorded is that it was done.
	r.event(ctx, st, "delete", z.Detail, string(st.Class))
	if err := r.gone(ctx, st); err != nil {
		fail(st, fmt.Errorf("deleted, but: %w", err))
		return
	}
	st.Outcome = report.Done
	r.settled(ctx, st)
	w, err := r.Store.WantedOne(ctx, r.s.Server.ID, st.Zone)
	switch {
	case err == nil:
		if err := r.addBack(ctx, st, w); err != nil {
			fail(st, fmt.Errorf("it became wanted while it was deleted, and adding it again: %w", err))
			return
		}
		drop(st, "it became wanted while it was deleted, and was added again")
	case !errors.Is(err, fleet.ErrNoZone):
		fail(st, fmt.Errorf("deleted, but whether it is wanted now could not be read: %w", err))
	}
}

// another says whether the zone on the server is not the one that the step was
// planned for any more.
func (r *run) another(st *plan.Step, now nameserver.ZoneState) bool {
	was := st.Have
	return now.Role != was.Role || now.Role == nameserver.Other || now.Signs ||
		now.Origin == nameserver.Declared || now.Origin == nameserver.Cataloged || now.Origin == nameserver.Builtin ||
		now.Known && was.Known && !plan.SamePrimaries(now.Primaries, was.Primaries) ||
		st.Class == report.Foreign && now.Known && r.s.Ours(now.Primaries)
}

// addBack adds a zone that became wanted while it was deleted, behind the marker
// like any other.
func (r *run) addBack(ctx context.Context, st *plan.Step, w fleet.Wanted) error {
	if err := r.Advance(ctx, r.s, w.FirstFeed, r.o); err != nil {
		return err
	}
	if err := r.s.Driver.Add(ctx, r.s.ZoneConfig(w)); err != nil && !errors.Is(err, nameserver.ErrExists) {
		return err
	}
	st.Serial.Want = &w.Serial
	r.event(ctx, st, "add", "", string(st.Class))
	return nil
}

// settled removes the task that stood for the deletion.
func (r *run) settled(ctx context.Context, st *plan.Step) {
	if st.Tomb == nil {
		return
	}
	done := report.Task{Server: r.s.Server.Name, Zone: st.Zone, Want: report.Absent, Incarnation: st.Tomb.Incarnation, Serial: st.Tomb.LastSerial}
	if err := r.Store.DoneTasks(context.WithoutCancel(ctx), []report.Task{done}); err != nil {
		r.Log.Error("settle task", "server", r.s.Server.Name, "zone", st.Zone.String(), "err", err)
	}
}

// gone is guard 7: neither the control channel nor the wire knows the zone. A
// parent zone on the same server answers too: what counts is the owner of the
// SOA.
func (r *run) gone(ctx context.Context, st *plan.Step) error {
	_, err := r.s.Driver.Zone(ctx, st.Zone)
	if err == nil {
		return errors.New("the control channel still lists it")
	}
	if !errors.Is(err, nameserver.ErrNoZone) {
		return err
	}
	for try := 0; ; try++ {
		left := "no answer"
		got := plan.Probe{Lost: true, Err: left}
		err := r.DNS.SOAs(ctx, 1, func(int) inventory.Question { return r.question(st) }, func(_ int, p plan.Probe) { got = p })
		switch {
		case err != nil:
			left = err.Error()
		case got.Lost: // silence proves nothing
			left = got.Err
		case got.Serves:
			left = "the server still answers for it"
		default:
			return nil
		}
		if try == 10 {
			return errors.New(left)
		}
		if err := inventory.Pause(ctx, askEvery); err != nil {
			return err
		}
	}
}
