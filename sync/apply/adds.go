package apply

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/report"
	"dnsctl/sync/plan"
	"dnsctl/zone"
)

// addBatch is how many zones a driver that adds many at once is given at a time
// where it has no wish: their rows are read again right before, and what was done is
// written down right after.
const addBatch = 2000

// adds makes missing zones. The marker is moved past the first feed entry of
// every one of them, and that is proven, before the first is added.
func (r *run) adds(ctx context.Context) {
	steps := r.planned(report.Add)
	if len(steps) == 0 {
		return
	}
	var past int64
	for _, st := range steps {
		past = max(past, st.Wanted.FirstFeed)
	}
	// A missing marker is never repaired in passing; adds go on without it.
	if r.p.Marker != plan.MarkerSound {
		past = math.MaxInt64
	} else if err := r.Advance(ctx, r.s, past, r.o); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		for _, st := range steps {
			withhold(st, plan.GuardMarker, fmt.Sprintf("the marker was not proven on the server first: %v", err))
		}
		return
	}
	if bulk, ok := r.s.Driver.(nameserver.BulkAdder); ok {
		r.addAll(ctx, bulk, steps, past)
		return
	}
	r.each(ctx, steps, "adds", func(st *plan.Step) error {
		w, ok := r.reread(ctx, st)
		if !ok || !r.mayAdd(st, w, past) {
			return nil
		}
		err := r.s.Driver.Add(ctx, st.Config)
		if added(st, err) {
			r.event(ctx, st, "add", "", string(st.Class))
		}
		return err
	})
}

// mayAdd gives the step what its zone is to be added with; false when the marker
// is not past it.
func (r *run) mayAdd(st *plan.Step, w fleet.Wanted, past int64) bool {
	if w.FirstFeed > past {
		drop(st, "deleted and created again meanwhile: the next run adds it")
		return false
	}
	st.Config = r.s.ZoneConfig(w)
	return true
}

// added settles a step by what the driver said, and says whether its zone was
// added.
func added(st *plan.Step, err error) bool {
	switch {
	case err == nil:
		st.Outcome = started
	case errors.Is(err, nameserver.ErrExists):
		drop(st, "somebody else added it meanwhile")
	default:
		fail(st, err)
	}
	return err == nil
}

// addAll adds zones in batches.
func (r *run) addAll(ctx context.Context, bulk nameserver.BulkAdder, steps []*plan.Step, past int64) {
	done := 0
	for batch := range slices.Chunk(steps, cmp.Or(r.s.Driver.Capabilities().Batch, addBatch)) {
		if r.over(ctx) {
			return // Run says so of what is left
		}
		asked := r.rereadAll(ctx, batch, past)
		if len(asked) == 0 {
			done += len(batch)
			continue
		}
		configs := make([]nameserver.ZoneConfig, len(asked))
		for i, st := range asked {
			configs[i] = st.Config
		}
		var gone error
		var events []report.Event
		for i, err := range bulk.AddAll(ctx, configs) {
			st := asked[i]
			if added(st, err) {
				e := r.newEvent(r.o, r.s, "add", st.Zone, st.Serial.Want, "", string(st.Class))
				e.ZoneID = st.Wanted.ZoneID
				events = append(events, e)
			} else if errors.Is(err, nameserver.ErrUnreachable) {
				gone = err
			}
		}
		r.write(ctx, events...)
		done += len(batch)
		if gone != nil {
			for _, st := range steps[done:] {
				fail(st, fmt.Errorf("not begun: %w", gone))
			}
			return
		}
		r.o.Progress(report.Progress{Server: r.s.Server.Name, Phase: "adds", Done: done, Total: len(steps)})
	}
}

// rereadAll is guard 6 for a batch of adds: those that may go on. The others are
// settled here.
func (r *run) rereadAll(ctx context.Context, batch []*plan.Step, past int64) []*plan.Step {
	names := make([]zone.Name, len(batch))
	for i, st := range batch {
		names[i] = st.Zone
	}
	wanted, err := r.Store.WantedAmong(ctx, r.s.Server.ID, names)
	if err != nil {
		for _, st := range batch {
			fail(st, err)
		}
		return nil
	}
	rows := make(map[zone.Key]fleet.Wanted, len(wanted))
	for _, w := range wanted {
		rows[w.Name.Key()] = w
	}
	var asked []*plan.Step
	for _, st := range batch {
		w, ok := rows[st.Zone.Key()]
		if !ok {
			drop(st, unwanted)
			continue
		}
		wants(st, w)
		if r.mayAdd(st, w, past) {
			asked = append(asked, st)
		}
	}
	return asked
}
