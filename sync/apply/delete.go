package apply

import (
	"context"
	"errors"
	"fmt"

	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/report"
	"dnsctl/sync/plan"
)

// deletions removes zones in small batches; the first failure ends them on this
// server.
func (r *run) deletions(ctx context.Context) {
	steps := r.planned(report.Delete)
	if len(steps) == 0 {
		return
	}
	if r.o.Confirm != nil && !r.o.Confirm(r.s.Server.Name, len(steps)) {
		for _, st := range steps {
			withhold(st, plan.GuardConfirm, "deletions were not confirmed: type their count when asked, or give --yes")
		}
		return
	}
	for n := 0; n < len(steps); n += deletionBatch {
		batch := steps[n:min(n+deletionBatch, len(steps))]
		// The plan's marker was read before the adds; much may have happened since.
		if err := r.markerStillOurs(ctx); err != nil {
			r.stop(steps[n:], plan.GuardMarker, err.Error())
			return
		}
		failed := false
		for _, st := range batch {
			if ctx.Err() != nil {
				r.stop(steps[n:], plan.GuardConfirm, "interrupted")
				return
			}
			r.delete(ctx, st)
			failed = failed || st.Outcome == report.Failed
		}
		r.o.Progress(report.Progress{Server: r.s.Server.Name, Phase: "deletions", Done: min(n+deletionBatch, len(steps)), Total: len(steps)})
		if failed {
			r.stop(steps[n+len(batch):], "batch", "an earlier deletion on this server failed")
			return
		}
	}
}

func (r *run) stop(steps []*plan.Step, guard, reason string) {
	for _, st := range steps {
		if st.Outcome == report.Planned {
			withhold(st, guard, reason)
		}
	}
}

// delete removes one zone: its row and the server's zone are read again, then
// the copy, the deletion, the proof, and the row once more.
func (r *run) delete(ctx context.Context, st *plan.Step) {
	_, err := r.Store.WantedOne(ctx, r.s.Server.ID, st.Zone)
	switch {
	case err == nil:
		drop(st, "it is wanted now")
		return
	case !errors.Is(err, fleet.ErrNoZone):
		fail(st, err)
		return
	}
	z, err := r.s.Driver.Zone(ctx, st.Zone)
	switch {
	case errors.Is(err, nameserver.ErrNoZone):
		st.Outcome, st.Reason = report.Done, st.Reason+"; it was gone already"
		r.settled(ctx, st)
		return
	case err != nil:
		fail(st, err)
		return
	case z.Role != st.Have.Role || z.Origin == nameserver.Declared || z.Origin == nameserver.Cataloged || z.Role == nameserver.Other:
		drop(st, "it is another kind of zone on the server now")
		return
	}
	if st.Copy && !r.copy(ctx, st) {
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
		fail(st, err)
		return
	}
	// The event comes before the proof: what is recorded is that it was done.
	r.event(ctx, st, "delete", z.Detail)
	if err := r.gone(ctx, st); err != nil {
		fail(st, fmt.Errorf("deleted, but: %w", err))
		return
	}
	st.Outcome = report.Done
	r.settled(ctx, st)
	w, err := r.Store.WantedOne(ctx, r.s.Server.ID, st.Zone)
	switch {
	case err == nil:
		if err := r.s.Driver.Add(ctx, r.s.ZoneConfig(w)); err != nil && !errors.Is(err, nameserver.ErrExists) {
			fail(st, fmt.Errorf("it became wanted while it was deleted, and adding it again: %w", err))
			return
		}
		drop(st, "it became wanted while it was deleted, and was added again")
	case !errors.Is(err, fleet.ErrNoZone):
		fail(st, fmt.Errorf("deleted, but whether it is wanted now could not be read: %w", err))
	}
}

// settled removes the task that stood for the deletion.
func (r *run) settled(ctx context.Context, st *plan.Step) {
	if st.Tomb == nil {
		return
	}
	if _, err := r.Store.DoneTask(context.WithoutCancel(ctx), report.Task{Server: r.s.Server.Name, Zone: st.Zone, Want: report.Absent, Incarnation: st.Tomb.Incarnation, Serial: st.Tomb.LastSerial}); err != nil {
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
		steps := []*plan.Step{st}
		serves := false
		err := r.DNS.SOAs(ctx, r.questions(steps), func(_ int, p plan.Probe) { serves = p.Serves })
		if err == nil && !serves {
			return nil
		}
		if err != nil {
			left = err.Error()
		} else {
			left = "the server still answers for it"
		}
		if try == 10 {
			return errors.New(left)
		}
		if err := pause(ctx, askEvery); err != nil {
			return err
		}
	}
}
