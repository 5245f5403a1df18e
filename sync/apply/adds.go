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

// Zones are asked for in batches, and what was done is written down right after each.
// addBatch is how many are in one for a driver that adds many at once and has no
// wish, whose rows are read again right before; eachBatch where it is one by one.
const (
	addBatch  = 2000
	eachBatch = 200
)

// adds makes missing zones. The marker is moved past the first feed entry of
// every one of them, and that is proven, before the first is added.
func (r *run) adds(ctx context.Context, p *proof) {
	steps := r.planned(report.Add)
	if len(steps) == 0 {
		return
	}
	var past int64
	for _, st := range steps {
		past = max(past, st.Wanted.FirstFeed)
	}
	// A missing marker is never repaired in passing; adds go on without it, but for
	// those with a catalog, which is itself something that is written there.
	if r.p.Marker != plan.MarkerSound {
		if past = math.MaxInt64; r.byCatalog() {
			for _, st := range steps {
				withhold(st, plan.GuardMarker, r.p.Withheld)
			}
			return
		}
	} else if err := r.Advance(ctx, r.s, past, r.o); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		for _, st := range steps {
			withhold(st, plan.GuardMarker, fmt.Sprintf("the marker was not proven on the server first: %v", err))
		}
		return
	}
	if r.byCatalog() {
		r.join(ctx, steps)
		p.take(steps)
		return
	}
	size := eachBatch
	if _, bulk := r.s.Driver.(nameserver.BulkAdder); bulk {
		size = cmp.Or(r.s.Driver.Capabilities().Batch, addBatch)
	}
	r.paced(ctx, p, steps, size, func(batch []*plan.Step, done int) error { return r.addBatched(ctx, batch, past, done, len(steps)) })
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

// settle ends a step, or has it wait for its proof, by what the driver said.
func settle(st *plan.Step, err error) {
	switch {
	case err == nil:
		st.Outcome = started
	case errors.Is(err, nameserver.ErrExists):
		drop(st, "somebody else added it meanwhile")
	default:
		fail(st, err)
	}
}

// addBatched adds a batch of zones, and writes down which. done of all came before
// it. Its error is that the server cannot be reached.
func (r *run) addBatched(ctx context.Context, batch []*plan.Step, past int64, done, all int) (gone error) {
	progress := func(n int) {
		r.o.Progress(report.Progress{Server: r.s.Server.Name, Phase: "adds", Done: done + n, Total: all})
	}
	if bulk, ok := r.s.Driver.(nameserver.BulkAdder); ok {
		gone = r.addAll(ctx, bulk, r.rereadAll(ctx, batch, past))
		progress(len(batch))
	} else {
		gone = r.addEach(ctx, batch, past, progress)
	}
	for some := range slices.Chunk(batch, addBatch) {
		var events []report.Event
		for _, st := range some {
			if st.Outcome == started {
				e := r.newEvent(r.o, r.s, "add", st.Zone, st.Serial.Want, "", string(st.Class))
				e.ZoneID = st.Wanted.ZoneID
				events = append(events, e)
			}
		}
		// The server transfers meanwhile.
		r.notes.Wait()
		r.notes.Go(func() { r.write(ctx, events...) })
	}
	return gone
}

// addAll adds zones in one exchange.
func (r *run) addAll(ctx context.Context, bulk nameserver.BulkAdder, asked []*plan.Step) (gone error) {
	if len(asked) == 0 {
		return nil
	}
	configs := make([]nameserver.ZoneConfig, len(asked))
	for i, st := range asked {
		configs[i] = st.Config
	}
	for i, err := range bulk.AddAll(ctx, configs) {
		if settle(asked[i], err); gone == nil && errors.Is(err, nameserver.ErrUnreachable) {
			gone = err
		}
	}
	return gone
}

// addEach adds zones one by one, or as many at a time as the driver bears; the row
// of each is read again right before.
func (r *run) addEach(ctx context.Context, batch []*plan.Step, past int64, progress func(done int)) (gone error) {
	return r.untilGone(ctx, len(batch), progress, func(i int, gone error) error {
		st := batch[i]
		if gone != nil {
			fail(st, notBegun(gone))
			return gone
		}
		w, ok := r.reread(ctx, st)
		if !ok || !r.mayAdd(st, w, past) {
			return nil
		}
		err := r.s.Driver.Add(ctx, st.Config)
		settle(st, err)
		return err
	})
}

// rereadAll is guard 6 for a batch of adds: those that may go on. The others are
// settled here. Of a large batch not all rows are in memory at a time.
func (r *run) rereadAll(ctx context.Context, batch []*plan.Step, past int64) (asked []*plan.Step) {
	for some := range slices.Chunk(batch, addBatch) {
		asked = append(asked, r.rereadSome(ctx, some, past)...)
	}
	return asked
}

func (r *run) rereadSome(ctx context.Context, batch []*plan.Step, past int64) (asked []*plan.Step) {
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
