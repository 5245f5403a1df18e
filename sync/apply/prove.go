package apply

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/report"
	"dnsctl/sync/inventory"
	"dnsctl/sync/plan"
)

// proof is the wait for the steps that were asked of the server.
type proof struct {
	*run
	open  []*plan.Step // those asked about the longest ago, or not yet, first
	total int          // steps that it may get
	ended int          // of those that it got
	asked int          // questions
	heard time.Time    // when the last answer came

	mu  sync.Mutex
	why map[*plan.Step]string // what the server answered instead

	late map[*plan.Step]straggler

	hasKey map[*plan.Step]bool // members of a catalog that were given theirs
}

// straggler is a step whose transfer was asked for again.
type straggler struct {
	times int
	why   string
}

const (
	// askFirst is how many steps are asked about to find out whether it is worth asking
	// about more. Servers limit how many answers without data they give one address: NSD
	// by itself to 200 a second.
	askFirst = 32
	// tail is how much slower than until then transfers come when what is left are
	// stragglers.
	tail = 10
	// firstEach is how much longer the next of many may take for each of them. NSD
	// shows what has come when it has reloaded, which takes the longer the more zones
	// it has, and asked anew for a transfer that is under way it closes a connection
	// with those of other zones on it.
	firstEach = 2 * time.Millisecond
)

func (r *run) proof() *proof {
	return &proof{run: r, total: len(r.planned(report.Add, report.Change, report.Retransfer)),
		why: make(map[*plan.Step]string), hasKey: make(map[*plan.Step]bool), late: make(map[*plan.Step]straggler)}
}

// take adds those of the steps that were asked of the server.
func (p *proof) take(steps []*plan.Step) {
	for _, st := range steps {
		if st.Outcome == started {
			p.open = append(p.open, st)
		} else {
			p.ended++
		}
	}
}

func (p *proof) because(st *plan.Step, why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.why[st] = why
}

func (p *proof) reason(st *plan.Step) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.why[st]
}

// wait waits until no more than most of the steps are without their proof on the
// wire. It gives them all up, and returns why, when none is proven any more: a long
// series is bounded by its progress.
func (p *proof) wait(ctx context.Context, most int) error {
	if len(p.open) <= most {
		return nil
	}
	patience := p.o.ProveFor + time.Duration(len(p.open))*firstEach
	began := p.Now()
	deadline, look := began.Add(patience), began.Add(nudgeAfter)
	first := began.Add(nudgeAfter + patience - p.o.ProveFor)
	pace := pace{began: began, last: began, first: p.ended, ended: p.ended, asked: p.asked}
	// A few that are asked about are to tell how it is with all of them: a server that
	// takes its time and goes in their order would otherwise always be asked about
	// those that it has not come to.
	rand.Shuffle(len(p.open), func(i, j int) { p.open[i], p.open[j] = p.open[j], p.open[i] })
	for len(p.open) > most {
		before, begun := len(p.open), p.Now()
		p.heard = begun
		err := p.keyed(ctx)
		if err == nil {
			err = p.ask(ctx)
		}
		if err != nil {
			return p.giveUp(err)
		}
		p.o.Progress(report.Progress{Server: p.s.Server.Name, Phase: "transfers", Done: p.ended, Total: p.total})
		now := p.Now()
		switch {
		case len(p.open) <= most:
			return nil
		case len(p.open) < before:
			deadline = now.Add(patience)
		case now.After(deadline):
			return p.giveUp(fmt.Errorf("none more within %s", patience.Round(time.Second)))
		}
		if now.After(look) {
			next := nudgeAfter
			if pace.dropped(p, now) && (p.ended > pace.first || now.After(first)) {
				p.nudge(ctx)
				next *= 2
			}
			look = p.Now().Add(next)
		}
		// Questions about many zones keep the server from transferring them: they are
		// to take a third of its time at most. Each takes it less than a millisecond;
		// where it was longer one got lost.
		left := time.Duration(len(p.open))
		next := min(p.heard.Sub(begun)*left/time.Duration(before), left*time.Millisecond)
		least := askEvery
		if 2*len(p.open) < before { // most have come, and so will the others
			least /= 4
		}
		if err := inventory.Pause(ctx, min(max(least, 2*next), askAtLeast)); err != nil {
			return p.giveUp(err)
		}
	}
	return nil
}

// pace is how fast steps were proven.
type pace struct {
	began, last  time.Time // the wait, and the last look
	first, ended int       // steps that were proven by then
	asked        int       // questions by the last look
}

// dropped says whether steps have come far slower since the last look than until then:
// what is left are stragglers. Where not all were asked about, one that has come says
// that the others do.
func (c *pace) dropped(p *proof, now time.Time) bool {
	some, all := p.ended-c.ended, p.ended-c.first
	yes := float64(tail*some)*now.Sub(c.began).Seconds() <= float64(all)*now.Sub(c.last).Seconds() &&
		(some == 0 || p.asked-c.asked >= len(p.open))
	c.last, c.ended, c.asked = now, p.ended, p.asked
	return yes
}

func (p *proof) giveUp(err error) error {
	for _, st := range p.open {
		if w := p.reason(st); w != "" {
			fail(st, fmt.Errorf("asked for, but not proven: %w: %s", err, w))
			continue
		}
		fail(st, fmt.Errorf("asked for, but not proven: %w", err))
	}
	p.ended += len(p.open)
	p.open = nil
	return err
}

// nudge looks whether the open steps are still wanted, and asks for their
// transfers again; of as many as that can be done for in a while, as a server that
// is slow only begins each of them anew. The others have their turn the next time.
func (p *proof) nudge(ctx context.Context) {
	p.rejoin(ctx)
	turns := slices.Clone(p.open)
	slices.SortStableFunc(turns, func(a, b *plan.Step) int { return p.late[a].times - p.late[b].times })
	var gone atomic.Bool // the others would wait as long in vain
	until := p.Now().Add(nudgeAfter)
	asked := make([]bool, len(turns))
	nameserver.Each(ctx, p.s.Driver, len(turns), func(i int) {
		st := turns[i]
		if gone.Load() || p.Now().After(until) || !p.refresh(ctx, st) {
			return
		}
		asked[i] = true
		if err := p.s.Driver.Retransfer(ctx, st.Zone); err != nil && !(p.byCatalog() && errors.Is(err, nameserver.ErrNoZone)) {
			p.because(st, err.Error())
			if errors.Is(err, nameserver.ErrUnreachable) {
				gone.Store(true)
			}
		}
	}, func(int) {})
	for i, st := range turns {
		if asked[i] {
			p.late[st] = straggler{p.late[st].times + 1, cmp.Or(p.reason(st), "no answer")}
		}
	}
	p.settle()
}

// refresh reads the row of an open step again; false when the step is settled
// because its zone is not wanted any more, or through another membership: what was
// asked of the server, with which primaries and key, was for the one before, and a
// proof of this step must not end the task that the new one has made.
func (p *proof) refresh(ctx context.Context, st *plan.Step) bool {
	w, err := p.Store.WantedOne(ctx, p.s.Server.ID, st.Zone)
	switch {
	case errors.Is(err, fleet.ErrNoZone):
		drop(st, unwanted)
		return false
	case err != nil:
		p.because(st, err.Error())
	case w.Incarnation != st.Wanted.Incarnation:
		drop(st, moved)
		return false
	default:
		wants(st, w)
	}
	return true
}

// settle keeps the steps open that nothing has ended.
func (p *proof) settle() {
	before := len(p.open)
	p.open = slices.DeleteFunc(p.open, func(st *plan.Step) bool { return st.Outcome != started })
	p.ended += before - len(p.open)
}

// ask questions the server about open steps and settles those that it proves. Those
// that were asked about the longest ago have their turn first: a few, and
// twice as many each time that at least half of them are there. Else the others
// hardly are, and are left for the next time.
func (p *proof) ask(ctx context.Context) error {
	left := len(p.open)
	for n := askFirst; left > 0; n *= 2 {
		asked := slices.Clone(p.open[:min(left, n)])
		left -= len(asked)
		p.asked += len(asked)
		p.open = append(p.open[len(asked):], asked...)
		err := p.DNS.Glance(ctx, len(asked), func(i int) inventory.Question { return p.question(asked[i]) }, func(i int, got plan.Probe) { p.answer(ctx, asked[i], got) })
		if err == nil {
			err = p.contents(ctx, asked)
		}
		p.endTasks(ctx, asked)
		before := p.ended
		if p.settle(); err != nil {
			return err
		}
		if 2*(p.ended-before) < len(asked) {
			return nil
		}
	}
	return nil
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
	p.heard = p.Now()
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
		if why := p.late[st].why; why != "" {
			st.Reason = strings.TrimPrefix(st.Reason+"; its transfer was asked for again: "+why, "; ")
		}
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
