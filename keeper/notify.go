package keeper

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"dnsctl/dnsclient"
	"dnsctl/fleet"
	"dnsctl/zone"
)

// NotifySender is what the Notifier does on the network; NotifyDNS is the real
// one. Each call is one try, bounded in time by the implementation.
type NotifySender interface {
	// Notify sends NOTIFY with the SOA as a hint; nil when it was acknowledged.
	Notify(ctx context.Context, s fleet.Server, name zone.Name, soa zone.RRset) error
	// Serial asks which serial the server serves; an error when it serves none.
	Serial(ctx context.Context, s fleet.Server, name zone.Name) (zone.Serial, error)
}

// ErrNotTold is reported for changes that were waiting for a server when it was
// removed or taken out of service.
var ErrNotTold = errors.New("the server is not told of changes any more")

// Notifier tells nameservers of changed zones with NOTIFY, and finds out by SOA
// questions whether they then serve them. Each server has a queue and goroutines
// of its own, so that a dead one delays no other; a queue holds one entry per
// zone, and only the newest serial is sent. Set the fields before Run.
type Notifier struct {
	Rate     int             // NOTIFY per second and server; 2,500 when 0
	Window   int             // NOTIFY and questions under way per server; 128 when 0
	Attempts int             // to have NOTIFY acknowledged; 5 when 0. The first pause is a second and doubles
	Prove    []time.Duration // pauses before the SOA questions after it; 0.1, 0.3, 1, 3 and 10 s when empty
	Metrics  *NotifyMetrics  // may be nil
	Now      func() time.Time

	sender NotifySender
	report func(server int64, name zone.Name, serial zone.Serial, err error)

	mu      sync.Mutex
	ctx     context.Context // of Run while it runs; it ends the servers' goroutines
	lines   map[int64]*line
	workers sync.WaitGroup
}

// NewNotifier makes a notifier that reports each change once: with a nil error
// when the server serves the serial, else with what was wrong at last. Of
// changes that follow each other before the server has the first, the last is
// reported. report is called on the notifier's goroutines, never for two changes
// of a zone on a server at once, and may block.
func NewNotifier(sender NotifySender, report func(server int64, name zone.Name, serial zone.Serial, err error)) *Notifier {
	return &Notifier{sender: sender, report: report, lines: make(map[int64]*line)}
}

// line is one server's queue with what works on it.
type line struct {
	n      *Notifier
	cancel context.CancelFunc
	wake   chan struct{}
	work   chan operation // for those that wait for some

	mu     sync.Mutex
	server fleet.Server
	queue  *noticeQueue
	busy   int // operations under way
	asking int // those of them that are questions
	ended  bool
	shown  time.Time // when the metrics were last set
}

// Run works until ctx ends and all goroutines have; what is then still queued
// is not reported.
func (n *Notifier) Run(ctx context.Context) {
	n.mu.Lock()
	n.ctx = ctx
	for _, l := range n.lines {
		n.start(l)
	}
	n.mu.Unlock()
	<-ctx.Done()
	n.mu.Lock()   // no line starts after this
	n.mu.Unlock() //nolint:staticcheck // it waits for a start that is under way
	n.workers.Wait()
}

func (n *Notifier) now() time.Time {
	if n.Now == nil {
		return time.Now()
	}
	return n.Now()
}

// start begins a line's goroutine if Run runs; n.mu is held.
func (n *Notifier) start(l *line) {
	if n.ctx == nil || n.ctx.Err() != nil || l.cancel != nil {
		return
	}
	ctx, cancel := context.WithCancel(n.ctx)
	l.cancel = cancel
	n.workers.Go(func() { l.run(ctx) })
}

// SetServers makes these the servers that are told, with these addresses. What
// waits for others is reported with ErrNotTold, and so is what waits for servers
// that are draining or drained.
func (n *Notifier) SetServers(servers []fleet.Server) {
	n.mu.Lock()
	defer n.mu.Unlock()
	told := make(map[int64]bool)
	for _, s := range servers {
		if s.State.Out() {
			continue
		}
		told[s.ID] = true
		if l := n.lines[s.ID]; l != nil {
			l.mu.Lock()
			l.server = s
			l.mu.Unlock()
			continue
		}
		l := &line{n: n, wake: make(chan struct{}, 1), work: make(chan operation), server: s, queue: newNoticeQueue(limits{n.Rate, n.Window, n.Attempts, n.Prove}, s.Name)}
		n.lines[s.ID] = l
		n.start(l)
	}
	for id, l := range n.lines {
		if told[id] {
			continue
		}
		delete(n.lines, id)
		left := l.end()
		if n.ctx != nil && n.ctx.Err() == nil {
			n.workers.Go(func() {
				for _, w := range left {
					n.report(id, w.name, w.serial, ErrNotTold)
				}
			})
		}
	}
}

// Add tells the server that the zone has this serial. It never waits. Adding to
// a server that SetServers has not named does nothing.
func (n *Notifier) Add(server int64, name zone.Name, serial zone.Serial, soa zone.RRset) {
	if l := n.line(server); l != nil {
		l.mu.Lock()
		l.queue.add(n.now(), name, serial, soa)
		l.mu.Unlock()
		l.kick()
	}
}

func (n *Notifier) line(server int64) *line {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.lines[server]
}

func (l *line) kick() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// end stops the line and returns what it leaves. Operations under way report
// nothing.
func (l *line) end() []notice {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	if l.cancel != nil {
		l.cancel()
	}
	l.n.Metrics.forget(l.server.Name)
	return l.queue.clear()
}

// run starts operations as they fall due.
func (l *line) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		wait := l.pass(ctx)
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-l.wake:
		case <-timer.C:
		}
	}
}

// idle is how often a line looks when nothing is due, for its metrics.
const idle = time.Second

// pass starts all operations that are due and fit the window, and says when to
// look again.
func (l *line) pass(ctx context.Context) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return idle
	}
	now := l.n.now()
	window := l.queue.limits.window
	for l.busy < window {
		// Questions take half of the window at most: NOTIFY does not queue behind them.
		w, ask := l.queue.next(now, l.asking < max(1, window/2))
		if w == nil {
			break
		}
		l.busy++
		if ask {
			l.asking++
		}
		o := operation{l.server, w, *w, ask}
		select {
		case l.work <- o:
		default:
			l.n.workers.Go(func() { l.carryOut(ctx, o) })
		}
	}
	if now.Sub(l.shown) >= idle || len(l.queue.all) == 0 {
		l.shown = now
		l.n.Metrics.waiting(l.server.Name, len(l.queue.all), l.queue.lag(now))
	}
	if l.busy >= window {
		return idle // the end of an operation wakes us
	}
	return min(idle, l.queue.wait(now, l.asking < max(1, window/2)))
}

// operation is one NOTIFY, or one question; was is the entry as it stood when
// this began.
type operation struct {
	server fleet.Server
	w      *notice
	was    notice
	ask    bool
}

// carryOut does an operation, and those that follow it closely: a goroutine for
// each would grow its stack anew.
func (l *line) carryOut(ctx context.Context, o operation) {
	timer := time.NewTimer(idle)
	defer timer.Stop()
	for {
		if o.ask {
			l.prove(ctx, o.server, o.w, o.was)
		} else {
			l.notify(ctx, o.server, o.w, o.was)
		}
		l.mu.Lock()
		l.busy--
		if o.ask {
			l.asking--
		}
		l.mu.Unlock()
		l.kick()
		timer.Reset(idle)
		select {
		case o = <-l.work:
		case <-ctx.Done():
			return
		case <-timer.C:
			return
		}
	}
}

// notify sends one NOTIFY; was is the entry as it stood when this began.
func (l *line) notify(ctx context.Context, s fleet.Server, w *notice, was notice) {
	err := l.n.sender.Notify(ctx, s, was.name, was.soa)
	if ctx.Err() != nil {
		return
	}
	l.n.Metrics.sent(s.Name, err)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue.sent(l.n.now(), w, err)
}

// prove asks which serial the server has, and reports when that settles it.
func (l *line) prove(ctx context.Context, s fleet.Server, w *notice, was notice) {
	serial, err := l.n.sender.Serial(ctx, s, was.name)
	if ctx.Err() != nil {
		return
	}
	l.mu.Lock()
	settled, err := l.queue.proved(l.n.now(), w, serial, err)
	l.mu.Unlock()
	if !settled {
		return
	}
	l.n.Metrics.proven(s.Name, l.n.now().Sub(was.since), err)
	l.n.report(s.ID, was.name, was.serial, err)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue.settle(l.n.now(), w)
}

// definite says whether trying again would get the same answer.
func definite(err error) bool {
	for _, k := range []error{dnsclient.ErrRefused, dnsclient.ErrNotAuth, dnsclient.ErrNotImp, dnsclient.ErrFormErr, dnsclient.ErrTSIG} {
		if errors.Is(err, k) {
			return true
		}
	}
	return false
}

// stillAt is the error of a server that answers with another serial.
func stillAt(have, want zone.Serial) error {
	how := "still"
	if have.Ahead(want) {
		how = "ahead,"
	}
	return fmt.Errorf("the server is %s at serial %d, not %d", how, have, want)
}
