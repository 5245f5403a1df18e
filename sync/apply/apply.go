// Package apply carries out a plan on one nameserver: adds behind the marker,
// changes and retransfers, deletions last, each with its copy first (guard 5),
// its row read again before and after (guard 6), and its proof on the wire
// (guard 7). One holder of the server's lock at a time.
package apply

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"dnsctl/edit"
	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/report"
	"dnsctl/sync/inventory"
	"dnsctl/sync/plan"
	"dnsctl/zone"
)

// Store is what apply needs of the store beside what the session reads.
type Store interface {
	Identity(ctx context.Context) (fleet.Identity, error)
	Head(ctx context.Context) (int64, error)
	FeedEntry(ctx context.Context, pos int64) (fleet.FeedEntry, error)
	WantedOne(ctx context.Context, server int64, name zone.Name) (fleet.Wanted, error)
	// WantedAmong is those of the names, none of them twice, that are wanted there.
	WantedAmong(ctx context.Context, server int64, names []zone.Name) ([]fleet.Wanted, error)
	AddEvent(ctx context.Context, e report.Event) error
	// AddEvents writes all of them, or none.
	AddEvents(ctx context.Context, events []report.Event) error
	AddCopy(ctx context.Context, c report.Copy) (int64, error)
	AddForeignDeletion(ctx context.Context, server int64, name zone.Name) error
	// SetMarker remembers which feed position a server's marker states, and with
	// placed that it was seen on the server.
	SetMarker(ctx context.Context, server, feed int64, placed bool) error
	// DoneTasks removes the tasks that want just this, where there are any.
	DoneTasks(ctx context.Context, done []report.Task) error
}

// Applier holds what every run shares.
type Applier struct {
	Store  Store
	Edit   *edit.Editor
	Sealer Sealer
	DNS    inventory.Asker
	Now    func() time.Time
	Log    *slog.Logger
	// Retention is how long quarantined copies are kept; 0: 30 days.
	Retention time.Duration
}

// Options of one run.
type Options struct {
	Meta     edit.Meta
	Progress func(report.Progress)
	ProveFor time.Duration // how long steps may go without any of them being proven, many a little longer; 0: 30 s
	// BeginFor is how long steps are begun; the others are withheld by
	// plan.GuardEnded. 0: as long as there are any.
	BeginFor time.Duration
	// Outstanding is how many zones may have been asked for and not be proven yet when
	// more are asked for: the server's queue of transfers stays short enough for what
	// the leader asks for meanwhile, and never empty. 0: 10,000.
	Outstanding int
	// Confirm is asked once before the first deletion, with all of them; nil
	// confirms. A refusal withholds them.
	Confirm func(server string, deletions []report.Item) bool
}

const (
	defaultProof     = 30 * time.Second
	outstanding      = 10_000
	defaultRetention = 30 * 24 * time.Hour
	deletionBatch    = 20
	deletionBulk     = 100 // where a driver deletes many in one exchange
	// deletionSlow is from when on an exchange's length is its own and not its zones',
	// as of a transaction among many zones: after one, four times as many go with the
	// next, up to deletionMost.
	deletionSlow = 200 * time.Millisecond
	deletionMost = 1600
	askSoon      = 10 * time.Millisecond // the second time where all wait for one answer
	askEvery     = 200 * time.Millisecond
	askAtLeast   = 2 * time.Second // so often also when the questions take long
	nudgeAfter   = 3 * time.Second // a transfer not proven by then is asked for again
	// nudgeMarker is that for the first of the marker, which may be asked of a primary
	// that has not seen it yet: then everything waits for it.
	nudgeMarker = 300 * time.Millisecond
)

// unwanted is why a step is dropped whose zone is not wanted any more.
const unwanted = "deleted from the database meanwhile"

// moved is why a step is dropped whose zone is in a pool anew.
const moved = "moved, or deleted and created again, meanwhile: the next run looks at it"

// Deleted says whether an item ended so.
func Deleted(it report.Item) bool { return it.Outcome == report.Dropped && it.Reason == unwanted }

// errLater is why steps are left when their run has had its time.
var errLater = errors.New("its turn comes later")

// started marks a step that has been asked of the server and awaits its proof.
const started report.Outcome = "started"

// run is one plan being carried out; it belongs to one goroutine.
type run struct {
	*Applier
	o     Options
	s     *inventory.Session
	p     plan.Plan
	begun time.Time
	notes sync.WaitGroup // events that are being written
	// exchange is how long the last deletion of many took.
	exchange time.Duration
}

// over says whether no further step is to be begun: the run was interrupted, lost
// its lock, or has had its time.
func (r *run) over(ctx context.Context) bool {
	return ctx.Err() != nil || r.o.BeginFor > 0 && r.Now().Sub(r.begun) >= r.o.BeginFor
}

// Run carries out the plan's steps that are planned, and says of every step how
// it ended. Errors of single steps are in the report; the caller holds the
// server's lock.
func (a *Applier) Run(ctx context.Context, s *inventory.Session, p plan.Plan, o Options) report.Server {
	o.ProveFor = cmp.Or(o.ProveFor, defaultProof)
	o.Outstanding = cmp.Or(o.Outstanding, outstanding)
	if o.Progress == nil {
		o.Progress = func(report.Progress) {}
	}
	r := &run{Applier: a, o: o, s: s, p: p, begun: a.Now()}
	defer r.notes.Wait()
	if p.Marker == plan.MarkerSound {
		a.OfferKeys(ctx, s, o.Meta)
		r.subscribe(ctx)
	}
	pr := r.proof()
	r.adds(ctx, pr)
	r.changes(ctx, pr)
	_ = pr.wait(ctx, 0) // what it does not prove says so itself
	r.deletions(ctx)
	cause := context.Cause(ctx)
	if cause == nil {
		cause = errLater
	}
	for _, st := range r.planned(report.Add, report.Change, report.Retransfer, report.Delete) { // nothing else leaves one so
		withhold(st, plan.GuardEnded, fmt.Sprintf("not begun: %v", cause))
	}
	return Report(r.p)
}

// OfferKeys gives the server the TSIG keys of rotations, where its driver can, and
// writes that down. That it fails is no matter: the old ones work.
func (a *Applier) OfferKeys(ctx context.Context, s *inventory.Session, m edit.Meta) {
	made, err := s.OfferKeys(ctx)
	if err != nil {
		a.Log.Warn("give the server a rotated TSIG key", "server", s.Server.Name, "err", err)
	}
	for _, key := range made {
		e := report.Event{At: a.Now(), Actor: m.Actor, Command: m.Command, Action: "key", Server: s.Server.Name, Comment: m.Comment, Result: "TSIG key " + key.String()}
		if err := a.Store.AddEvent(context.WithoutCancel(ctx), e); err != nil {
			a.Log.Error("write event", "server", s.Server.Name, "key", key.String(), "err", err)
		}
	}
}

// Report is a plan as the server's part of a report.
func Report(p plan.Plan) report.Server {
	out := report.Server{Name: p.Server.Name, Complete: true, Withheld: p.Withheld, Allowed: p.Allowed, Agreed: p.Agreed, Items: make([]report.Item, 0, len(p.Steps))}
	for _, st := range p.Steps {
		out.Items = append(out.Items, st.Item)
	}
	out.Count()
	return out
}

func (r *run) planned(a ...report.Action) []*plan.Step {
	var out []*plan.Step
	for i := range r.p.Steps {
		if st := &r.p.Steps[i]; st.Outcome == report.Planned && slices.Contains(a, st.Action) {
			out = append(out, st)
		}
	}
	return out
}

func fail(st *plan.Step, err error) { st.Outcome, st.Reason = report.Failed, err.Error() }

func drop(st *plan.Step, reason string) { st.Outcome, st.Reason = report.Dropped, reason }

func withhold(st *plan.Step, guard, reason string) {
	st.Outcome, st.Guard, st.Reason = report.Withheld, guard, reason
}

// untilGone calls do for every number below n, as many at a time as the driver
// bears. When one finds that the server cannot be reached, the others would wait as
// long in vain: do gets that error for those not begun yet.
func (r *run) untilGone(ctx context.Context, n int, progress func(done int), do func(i int, gone error) error) (gone error) {
	var found atomic.Pointer[error]
	nameserver.Each(ctx, r.s.Driver, n, func(i int) {
		if err := found.Load(); err != nil {
			_ = do(i, *err)
		} else if r.over(ctx) {
			return // Run says so of what is left
		} else if err := do(i, nil); errors.Is(err, nameserver.ErrUnreachable) {
			found.Store(&err)
		}
	}, progress)
	if err := found.Load(); err != nil {
		gone = *err
	}
	return gone
}

// reread is guard 6 for steps that rest on a zone's being wanted; false when the
// step has been settled here.
func (r *run) reread(ctx context.Context, st *plan.Step) (fleet.Wanted, bool) {
	w, err := r.Store.WantedOne(ctx, r.s.Server.ID, st.Zone)
	switch {
	case errors.Is(err, fleet.ErrNoZone):
		drop(st, unwanted)
		return w, false
	case err != nil:
		fail(st, err)
		return w, false
	}
	wants(st, w)
	return w, true
}

// wants gives a step the row that it rests on.
func wants(st *plan.Step, w fleet.Wanted) { st.Wanted, st.Serial.Want = &w, &w.Serial }

// changes carries out changes and retransfers, each after the copy of what it
// would replace.
func (r *run) changes(ctx context.Context, p *proof) {
	steps := r.planned(report.Change, report.Retransfer)
	r.paced(ctx, p, steps, eachBatch, func(batch []*plan.Step, done int) error {
		return r.untilGone(ctx, len(batch), func(n int) {
			r.o.Progress(report.Progress{Server: r.s.Server.Name, Phase: "changes", Done: done + n, Total: len(steps)})
		}, func(i int, gone error) error {
			if gone != nil {
				fail(batch[i], notBegun(gone))
				return gone
			}
			return r.changeOne(ctx, batch[i])
		})
	})
}

// changeOne carries out one change or retransfer, and settles its step.
func (r *run) changeOne(ctx context.Context, st *plan.Step) error {
	planned := st.Wanted.Incarnation
	w, ok := r.reread(ctx, st)
	if ok && st.Action == report.Retransfer && w.Incarnation != planned { // its settings were right for another pool
		drop(st, moved)
		return nil
	}
	if !ok || st.Copy && !r.copy(ctx, st) {
		return nil
	}
	err := r.carryOut(ctx, st, w)
	switch {
	case err == nil:
		st.Outcome = started
	case errors.Is(err, nameserver.ErrNoZone):
		drop(st, "it went from the server meanwhile")
	default:
		fail(st, err)
	}
	return err
}

// carryOut asks for one change or retransfer.
func (r *run) carryOut(ctx context.Context, st *plan.Step, w fleet.Wanted) error {
	if st.Action == report.Change {
		c := r.s.ZoneConfig(w)
		c.Member = r.byCatalog() && st.Have.Origin == nameserver.Cataloged
		if err := r.change(ctx, st, c); err != nil {
			return err
		}
	}
	if err := r.s.Driver.Retransfer(ctx, st.Zone); err != nil {
		return err
	}
	if st.Action == report.Retransfer {
		r.event(ctx, st, "retransfer", "", string(st.Class))
	}
	return nil
}

// change gives a zone its settings.
func (r *run) change(ctx context.Context, st *plan.Step, c nameserver.ZoneConfig) error {
	return r.configure(ctx, r.s, c, func() { r.event(ctx, st, "change", st.Have.Detail, string(st.Class)) })
}

// configure gives a zone its settings, and reads them back: content that is in
// agreement would prove nothing. did is called when it has been asked for.
func (a *Applier) configure(ctx context.Context, s *inventory.Session, c nameserver.ZoneConfig, did func()) error {
	if err := s.Driver.Change(ctx, c); err != nil {
		return err
	}
	did()
	z, err := s.Driver.Zone(ctx, c.Name)
	if err != nil {
		return fmt.Errorf("changed, but reading it back: %w", err)
	}
	if z.Role != nameserver.Secondary || z.Known && !nameserver.SamePrimaries(z.Primaries, c.Primaries) {
		return fmt.Errorf("changed, but the server still has it otherwise: %s", z.Detail)
	}
	return nil
}

// copy is guard 5. False when the step may not go on.
func (r *run) copy(ctx context.Context, st *plan.Step) bool {
	_, _, err := r.keep(ctx, r.s, st.Zone, string(st.Class)+" "+string(st.Action), r.o)
	switch {
	case err == nil, errors.Is(err, nameserver.ErrNoCopy) && r.p.NoCopy && ctx.Err() == nil:
		return true
	}
	withhold(st, plan.GuardCopy, fmt.Sprintf("no copy, so nothing is done: %v (--no-copy if its content does not matter)", err))
	return false
}

// keep puts a copy of a zone as the server has it, settings and content, into
// the quarantine.
func (a *Applier) keep(ctx context.Context, s *inventory.Session, name zone.Name, reason string, o Options) (int64, nameserver.Export, error) {
	ex, err := s.Driver.Export(ctx, name)
	if err == nil && ex.Content == nil {
		err = fmt.Errorf("%w: it came without content", nameserver.ErrNoCopy)
	}
	if err != nil {
		return 0, ex, err
	}
	serial := ex.Content.Serial()
	c := report.Copy{Server: s.Server.Name, View: s.Server.View, Zone: name, Reason: reason, Settings: ex.Settings, Serial: &serial, Records: ex.Content.Records(),
		Taken: a.Now(), Expires: a.Now().Add(cmp.Or(a.Retention, defaultRetention))}
	for set := range ex.Content.All() {
		c.Content = set.AppendWire(c.Content)
	}
	id, err := a.Store.AddCopy(ctx, c)
	if err != nil {
		return 0, ex, fmt.Errorf("store the copy: %w", err)
	}
	return id, ex, nil
}

// event records what was done to the nameserver. The deed stands even when the
// log cannot be written; that is said, not hidden.
func (r *run) event(ctx context.Context, st *plan.Step, action, before, result string) {
	r.Applier.event(ctx, r.o, r.s, action, st.Zone, st.Serial.Want, before, result)
}

func (a *Applier) event(ctx context.Context, o Options, s *inventory.Session, action string, name zone.Name, serial *zone.Serial, before, result string) {
	e := a.newEvent(o, s, action, name, serial, before, result)
	if err := a.Store.AddEvent(context.WithoutCancel(ctx), e); err != nil {
		a.Log.Error("write event", "server", s.Server.Name, "zone", name.String(), "err", err)
	}
}

// write records what was done to many zones at once, like event.
func (r *run) write(ctx context.Context, events ...report.Event) {
	if err := r.Store.AddEvents(context.WithoutCancel(ctx), events); err != nil {
		r.Log.Error("write events", "server", r.s.Server.Name, "events", len(events), "err", err)
	}
}

func (a *Applier) newEvent(o Options, s *inventory.Session, action string, name zone.Name, serial *zone.Serial, before, result string) report.Event {
	return report.Event{At: a.Now(), Actor: o.Meta.Actor, Command: o.Meta.Command, Action: action, Zone: name,
		Server: s.Server.Name, Serial: serial, Comment: o.Meta.Comment, Before: before, Result: result}
}
