package dnsclient

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"net/netip"
	"time"

	"dnsctl/wire"
)

// SweepOptions say how hard a sweep asks; the zero value has the defaults.
type SweepOptions struct {
	Window int // questions under way at once; 200 when 0, which common socket buffers bear
	Rate   int // questions begun per second; 0 is as fast as the window lets
	// GiveUp is after how many unanswered questions in a row a server counts as
	// dead; 100 when 0. Further ones then fail at once with ErrTimeout, but for
	// one at a time that finds out whether it is back.
	GiveUp int
	// Late is for who asks again anyway: when all is asked and no answer has come for
	// so long, nor for as long as the others took, the sweep ends without those that
	// are missing, which have no Result. 0: each question has all its tries.
	Late time.Duration
}

// maxWindow leaves room for other sweeps of the same Prober.
const maxWindow = perSocket / 2

// Sweep asks all questions and calls yield with every result, in the order of
// the answers. Both items and yield run on the caller's goroutine; memory is
// bounded by the window. Sweep one server at a time, several in parallel, so
// that a dead one does not fill the window of the others. It returns early only
// with the context's error or yield's.
func (p *Prober) Sweep(ctx context.Context, items iter.Seq[Probe], o SweepOptions, yield func(Result) error) error {
	o.Window = min(cmp.Or(o.Window, 200), maxWindow)
	o.GiveUp = cmp.Or(o.GiveUp, 100)
	ctx, cancel := context.WithCancel(ctx) // ends the questions on TCP with the sweep
	defer cancel()
	s := &sweep{
		prober: p, opts: o, yield: yield,
		results: make(chan Result, o.Window), servers: make(map[netip.AddrPort]*pulse),
	}
	err := s.run(ctx, items)
	if s.open > 0 {
		for _, k := range p.sockets {
			k.drop(func(q *question) bool { return q.results == (chan<- Result)(s.results) })
		}
	}
	return err
}

// sweep is the state of one Sweep; its caller's goroutine owns it.
type sweep struct {
	prober  *Prober
	opts    SweepOptions
	yield   func(Result) error
	results chan Result // room for all open questions: sending never waits
	open    int
	servers map[netip.AddrPort]*pulse
	encoder wire.Encoder
	next    time.Time // when pacing lets the next question go
	last    time.Time // when the last answer came
}

// pulse is what a sweep knows of a server's life.
type pulse struct {
	lost  int  // questions without an answer since the last answer
	trial bool // the server counts as dead and one question is out
}

func (s *sweep) run(ctx context.Context, items iter.Seq[Probe]) error {
	began := time.Now()
	for probe := range items {
		if err := s.wait(ctx); err != nil {
			return err
		}
		probe.Server = unmap(probe.Server)
		if s.dead(probe.Server) {
			q := question{probe: probe}
			e := q.error()
			e.Kind, e.Err = ErrTimeout, errDead
			if err := s.yield(Result{Probe: probe, Err: e}); err != nil {
				return err
			}
			continue
		}
		s.open++
		s.prober.start(&s.encoder, &question{ctx: ctx, probe: probe, results: s.results})
	}
	for s.open > 0 {
		err := s.take(ctx, s.late(began))
		if errors.Is(err, errTick) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// late is until when the next answer is waited for; zero is as long as it takes.
func (s *sweep) late(began time.Time) time.Time {
	if s.opts.Late == 0 || s.last.IsZero() {
		return time.Time{}
	}
	return s.last.Add(max(s.opts.Late, s.last.Sub(began)))
}

var errDead = errors.New("the server has left too many questions before unanswered")

// wait hands out results until pacing and the window let another question go.
func (s *sweep) wait(ctx context.Context) error {
	for s.open == s.opts.Window {
		if err := s.take(ctx, time.Time{}); err != nil {
			return err
		}
	}
	for len(s.results) > 0 {
		if err := s.take(ctx, time.Time{}); err != nil {
			return err
		}
	}
	if s.opts.Rate <= 0 {
		return ctx.Err()
	}
	// A sweep that fell behind its pace catches up by 10 ms worth at most.
	now := time.Now()
	if behind := now.Add(-10 * time.Millisecond); s.next.Before(behind) {
		s.next = behind
	}
	until := s.next
	s.next = s.next.Add(time.Second / time.Duration(s.opts.Rate))
	if until.Sub(now) < time.Millisecond {
		return ctx.Err()
	}
	for {
		err := s.take(ctx, until)
		if errors.Is(err, errTick) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

var errTick = errors.New("tick")

// take waits for one result and hands it out; errTick when the time has come first. A
// zero time does not come.
func (s *sweep) take(ctx context.Context, until time.Time) error {
	var tick <-chan time.Time
	if !until.IsZero() {
		timer := time.NewTimer(time.Until(until))
		defer timer.Stop()
		tick = timer.C
	}
	select {
	case r := <-s.results:
		s.open--
		s.observe(r)
		return s.yield(r)
	case <-tick:
		return errTick
	case <-ctx.Done():
		return ctx.Err()
	}
}

// observe feels the server's pulse.
func (s *sweep) observe(r Result) {
	p := s.servers[r.Server]
	if errors.Is(r.Err, ErrTimeout) {
		if p == nil {
			p = new(pulse)
			s.servers[r.Server] = p
		}
		p.lost++
		p.trial = false
		return
	}
	s.last = time.Now()
	delete(s.servers, r.Server)
}

// dead says whether a question to the server would be wasted.
func (s *sweep) dead(server netip.AddrPort) bool {
	p := s.servers[server]
	if p == nil || p.lost < s.opts.GiveUp {
		return false
	}
	if !p.trial {
		p.trial = true
		return false
	}
	return true
}
