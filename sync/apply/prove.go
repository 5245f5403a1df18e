package apply

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/report"
	"dnsctl/sync/inventory"
	"dnsctl/sync/plan"
)

// proof is the wait for the steps that were asked of the server.
type proof struct {
	*run
	open  []*plan.Step
	mu    sync.Mutex
	why   map[*plan.Step]string // what the server answered instead
	total int
	turn  int // the open step that is nudged first
}

func (p *proof) because(st *plan.Step, why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.why[st] = why
}

// prove waits until every started step shows on the wire. A long series is
// bounded by its progress.
func (r *run) prove(ctx context.Context) {
	p := &proof{run: r, why: make(map[*plan.Step]string)}
	for i := range r.p.Steps {
		if r.p.Steps[i].Outcome == started {
			p.open = append(p.open, &r.p.Steps[i])
		}
	}
	p.total = len(p.open)
	deadline, nudge := r.Now().Add(r.o.ProveFor), r.Now().Add(nudgeAfter)
	for len(p.open) > 0 {
		before, begun := len(p.open), r.Now()
		if err := p.ask(ctx); err != nil {
			p.giveUp(err)
			return
		}
		r.o.Progress(report.Progress{Server: r.s.Server.Name, Phase: "transfers", Done: p.total - len(p.open), Total: p.total})
		now := r.Now()
		switch {
		case len(p.open) == 0:
			return
		case len(p.open) < before:
			deadline, nudge = now.Add(r.o.ProveFor), now.Add(nudgeAfter)
		case now.After(deadline):
			p.giveUp(fmt.Errorf("none more within %s", r.o.ProveFor))
			return
		case now.After(nudge):
			p.nudge(ctx)
			nudge = r.Now().Add(2 * nudgeAfter)
		}
		// Questions about many zones keep the server from transferring them: they are
		// to take a third of its time at most.
		if err := inventory.Pause(ctx, min(max(askEvery, 2*now.Sub(begun)), askAtLeast)); err != nil {
			p.giveUp(err)
			return
		}
	}
}

func (p *proof) giveUp(err error) {
	for _, st := range p.open {
		if w := p.why[st]; w != "" {
			fail(st, fmt.Errorf("asked for, but not proven: %w: %s", err, w))
			continue
		}
		fail(st, fmt.Errorf("asked for, but not proven: %w", err))
	}
}

// nudge looks whether the open steps are still wanted, and asks for their
// transfers again; of as many as that can be done for in a while, as a server that
// is slow only begins each of them anew. The others have their turn the next time.
func (p *proof) nudge(ctx context.Context) {
	var gone atomic.Bool // the others would wait as long in vain
	var asked atomic.Int32
	until := p.Now().Add(nudgeAfter)
	nameserver.Each(ctx, p.s.Driver, len(p.open), func(i int) {
		st := p.open[(p.turn+i)%len(p.open)]
		if gone.Load() || p.Now().After(until) || !p.refresh(ctx, st) {
			return
		}
		asked.Add(1)
		if err := p.s.Driver.Retransfer(ctx, st.Zone); err != nil {
			p.because(st, err.Error())
			if errors.Is(err, nameserver.ErrUnreachable) {
				gone.Store(true)
			}
		}
	}, func(int) {})
	p.turn += int(asked.Load())
	p.settle()
}

// refresh reads the row of an open step again; false when the step is settled
// because its zone is not wanted any more.
func (p *proof) refresh(ctx context.Context, st *plan.Step) bool {
	w, err := p.Store.WantedOne(ctx, p.s.Server.ID, st.Zone)
	switch {
	case errors.Is(err, fleet.ErrNoZone):
		drop(st, unwanted)
		return false
	case err != nil:
		p.because(st, err.Error())
	default:
		wants(st, w)
	}
	return true
}

// settle keeps the steps open that nothing has ended.
func (p *proof) settle() {
	left := p.open[:0]
	for _, st := range p.open {
		if st.Outcome == started {
			left = append(left, st)
		}
	}
	p.open = left
}

// ask questions the server about the open steps and settles those that it
// proves.
func (p *proof) ask(ctx context.Context) error {
	asked := append([]*plan.Step(nil), p.open...)
	err := p.DNS.SOAs(ctx, len(asked), func(i int) inventory.Question { return p.question(asked[i]) }, func(i int, got plan.Probe) { p.answer(ctx, asked[i], got) })
	if err == nil {
		err = p.contents(ctx, asked)
	}
	p.endTasks(ctx, asked)
	p.settle()
	return err
}

// contents proves the steps whose content differed under the same serial: that
// serial is no proof.
func (p *proof) contents(ctx context.Context, asked []*plan.Step) error {
	for _, st := range asked {
		if st.Outcome != report.Done || st.Have == nil || st.Have.Content.Differs == "" {
			continue
		}
		c, err := p.s.Compare(ctx, st.Zone)
		switch {
		case err != nil:
			st.Outcome = started
			p.because(st, err.Error())
			return err
		case c.Differs != "" && c.Limit == "" || c.Unknown != "":
			st.Outcome = started
			p.because(st, "its content: "+c.Differs+c.Unknown)
		}
	}
	return nil
}

// answer takes one answer. What proves a step is the serial that the database
// has; one that is ahead of what was wanted when the step began may be newer
// content of ours, or somebody else's.
func (p *proof) answer(ctx context.Context, st *plan.Step, got plan.Probe) {
	if got.Serves && got.Serial.Ahead(st.Wanted.Serial) && !p.refresh(ctx, st) {
		return
	}
	switch {
	case !got.Serves:
		p.because(st, got.Err)
	case got.Serial != st.Wanted.Serial:
		p.because(st, fmt.Sprintf("it answers with serial %d", got.Serial))
	case st.Class == report.Differs && !plan.SameSOA(got.SOA, st.Wanted.SOA):
		p.because(st, "it still answers with another SOA of that serial")
	default:
		st.Outcome = report.Done
		st.Serial.Have = &got.Serial
	}
}

// endTasks removes the tasks that stood for the steps that are proven.
func (p *proof) endTasks(ctx context.Context, asked []*plan.Step) {
	var done []report.Task
	for _, st := range asked {
		if st.Outcome == report.Done {
			done = append(done, report.Task{Server: p.s.Server.Name, Zone: st.Zone, Want: report.Present, Incarnation: st.Wanted.Incarnation, Serial: st.Wanted.Serial})
		}
	}
	if err := p.Store.DoneTasks(ctx, done); err != nil {
		p.Log.Error("end tasks", "server", p.s.Server.Name, "err", err)
	}
}

func (r *run) question(st *plan.Step) inventory.Question { return r.s.Question(st.Zone) }
