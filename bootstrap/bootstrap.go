// Package bootstrap brings a new or replacement nameserver from nothing to all
// its zones: its configuration, its marker, its zones in waves, until each one
// answers with the right serial, while zones come and go.
package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/report"
	"dnsctl/sync/apply"
	"dnsctl/sync/inventory"
	"dnsctl/sync/plan"
	"dnsctl/zone"
)

// Store is what bootstrap needs of the store beside what sync reads.
type Store interface {
	Server(ctx context.Context, name string) (fleet.Server, error)
	SetServerState(ctx context.Context, name string, state fleet.State, by fleet.By) error
	AddEvent(ctx context.Context, e report.Event) error
	Events(ctx context.Context, f fleet.EventFilter) ([]report.Event, error)
}

// Bootstrapper brings nameservers up.
type Bootstrapper struct {
	Store   Store
	Fleet   *inventory.Fleet
	Applier *apply.Applier
	Locks   apply.Locks
	Holder  string
	Now     func() time.Time
}

// Options of one bootstrap.
type Options struct {
	apply.Options
	Wait   bool // end only when every zone answers with the right serial, or Patience is over
	Resume bool // go on with the last run that did not end: wait if that did, and report what it has added
}

// into is a way of taking a server into service.
type into struct {
	command string
	first   func(ctx context.Context, ses *inventory.Session) error // nil: nothing
	narrow  func(*plan.Plan)                                        // takes out of a plan what is not its business
	agrees  func(report.Item) bool                                  // the zone needs nothing more
	last    func(ctx context.Context, out report.Server) error      // when all zones agree
	did     []report.Item                                           // by an earlier run, which this one goes on with
}

// Run adds what is missing on the server and catches it up. It follows the
// database while it does: a zone deleted meanwhile is not waited for, one created
// meanwhile joins, and the end is agreement with the database as it is then. It
// can be run again at any point. Deletions are not its business: it reports
// them.
func (b *Bootstrapper) Run(ctx context.Context, name string, o Options) (report.Report, error) {
	s, err := b.Store.Server(ctx, name)
	if err != nil {
		return report.Report{}, err
	}
	var last earlier
	if o.Resume {
		if last, err = b.lastRun(ctx, name); err != nil {
			return report.Report{}, fmt.Errorf("read the events of server %s: %w", name, err)
		}
		o.Wait = o.Wait || last.waits
	}
	rep, err := b.bring(ctx, s, o, into{
		command: "bootstrap",
		did:     last.did,
		first: func(ctx context.Context, ses *inventory.Session) error {
			if err := b.begins(ctx, name, o, last); err != nil {
				return err
			}
			return b.mark(ctx, ses, o)
		},
		narrow: func(p *plan.Plan) { withoutDeletions(p, "bootstrap deletes nothing", false) },
		agrees: agrees,
		last: func(ctx context.Context, out report.Server) error {
			if slices.ContainsFunc(out.Items, report.Item.Hopeless) {
				return nil // the report says so, and the server stays out of service
			}
			return b.ready(ctx, s, o)
		},
	})
	if err == nil && (rep.Exit == report.ExitOK || rep.Exit == report.ExitPartial && !o.Wait) {
		err = b.ends(ctx, name, o)
	}
	return rep, err
}

// bring is Run, and Undrain.
func (b *Bootstrapper) bring(ctx context.Context, s fleet.Server, o Options, w into) (report.Report, error) {
	id, err := b.Applier.Store.Identity(ctx)
	if err != nil {
		return report.Report{}, err
	}
	rep := report.Report{Schema: report.Schema, Command: w.command, Store: id.Store, Epoch: id.Epoch, Started: b.Now().UTC()}
	var out report.Server
	err = apply.WithLock(ctx, b.Locks, s.Name, b.Holder, func(ctx context.Context) error {
		out, err = b.run(ctx, s, o, w)
		return err
	})
	if errors.Is(err, nameserver.ErrUnprepared) { // its hint is text to copy, for which a report has no room
		return report.Report{}, err
	}
	// A server that was never read is unknown, which is worse than late.
	late := o.Wait && err != nil && out.Complete && errors.Is(ctx.Err(), context.DeadlineExceeded)
	if late {
		err = context.Cause(ctx)
	}
	if err != nil {
		out = apply.Failed(out, s, err)
	}
	rep.Servers = []report.Server{out}
	rep.Exit = rep.Verdict(report.Applied)
	if late || err == nil && rep.Exit == report.ExitPartial && o.Wait {
		rep.Exit = report.ExitNotReady
		return rep, nil
	}
	return rep, ctx.Err()
}

func (b *Bootstrapper) run(ctx context.Context, s fleet.Server, o Options, w into) (report.Server, error) {
	ses, err := b.Fleet.Open(ctx, s)
	if err != nil {
		return report.Server{}, err
	}
	defer ses.Close()
	if err := ses.Prepared(ctx); err != nil {
		return report.Server{}, fmt.Errorf("server %q: %w", s.Name, err)
	}
	if w.first != nil {
		if err := w.first(ctx, ses); err != nil {
			return report.Server{}, err
		}
	}
	late := make(lateness)
	did := w.did
	var last report.Server
	look := inventory.LookOptions{Progress: o.Progress}
	for settled := 0; ; look.Again = true {
		out, open, err := b.pass(ctx, ses, o, w, look)
		if err != nil {
			return last, err // how it stood before
		}
		if out.Withheld != "" {
			return out, nil
		}
		if o.Wait {
			standing(&out)
		}
		last = out
		did = merge(did, &out)
		if len(open) == 0 {
			moved, err := b.moved(ctx, ses, out, o.Wait)
			if err != nil {
				return out, err
			}
			// In a database that never rests, the last changes are the leader's work, as
			// on any other server.
			if settled++; moved == 0 || settled > settlePasses {
				return out, w.last(ctx, out)
			}
		}
		if !o.Wait {
			return out, nil
		}
		look.Closely = make(map[zone.Key]bool, len(open)) // what has moved meanwhile has other primaries or another key
		for _, k := range open {
			look.Closely[k] = false
		}
		longest := late.note(open, b.Now())
		if len(open) == 0 {
			continue
		}
		if longest > patience*max(o.ProveFor, 30*time.Second) {
			return out, nil
		}
		if err := inventory.Pause(ctx, betweenPasses); err != nil {
			return out, err
		}
	}
}

const (
	settlePasses  = 10 // that leave nothing open
	patience      = 4  // a straggler gets that many times what one pass gives it
	betweenPasses = time.Second
)

// lateness is since when zones have been open, pass after pass. Where zones come and
// go there are always some, which are others each time.
type lateness map[zone.Key]time.Time

// note takes the zones that are open after a pass, and says for how long one of them
// has been at most.
func (l lateness) note(open []zone.Key, now time.Time) (longest time.Duration) {
	before := maps.Clone(l)
	clear(l)
	for _, k := range open {
		if l[k] = now; !before[k].IsZero() {
			l[k] = before[k]
		}
		longest = max(longest, now.Sub(l[k]))
	}
	return longest
}

// moved counts the zones that are wanted by now and that the pass did not know of;
// closely also those that are wanted with another serial than the server has been
// seen with in it, or not any more. With none, every zone that is wanted answers.
func (b *Bootstrapper) moved(ctx context.Context, ses *inventory.Session, out report.Server, closely bool) (int, error) {
	wanted, _, err := ses.Wanted(ctx)
	if err != nil {
		return 0, err
	}
	known := make(map[zone.Key]report.Item, len(out.Items))
	for _, it := range out.Items {
		if it.Serial.Want != nil && it.Class != "" { // markers have no class
			known[it.Zone.Key()] = it
		}
	}
	n := 0
	for _, w := range wanted {
		it, ok := known[w.Name.Key()]
		delete(known, w.Name.Key())
		if !ok || closely && !it.Hopeless() && (it.Serial.Have == nil || *it.Serial.Have != w.Serial) {
			n++
		}
	}
	if closely {
		n += len(known)
	}
	return n, nil
}

// agrees says whether a zone needs nothing more: it did not need anything, that
// is proven, or what it needs is not bootstrap's business.
func agrees(it report.Item) bool {
	switch it.Class {
	case report.OK, report.Stale, report.Foreign, "": // markers have no class
		return it.Outcome != report.Failed
	}
	return it.Outcome == report.Done
}

// standing has the counts of a pass say how it stands after it: what it did is
// proven.
func standing(out *report.Server) {
	for _, it := range out.Items {
		if it.Outcome != report.Done || it.Class == "" || it.Action == report.Delete {
			continue
		}
		if out.Counts[it.Class]--; out.Counts[it.Class] == 0 {
			delete(out.Counts, it.Class)
		}
		out.Counts[report.OK]++
	}
}

// merge puts what earlier passes did into the report of the last one, whose
// counts say how it stands, and returns all that was done so far.
func merge(did []report.Item, out *report.Server) []report.Item {
	last := make(map[zone.Key]int, len(out.Items))
	for i, it := range out.Items {
		last[it.Zone.Key()] = i
	}
	for _, it := range did {
		if i, there := last[it.Zone.Key()]; there && out.Items[i].Class == report.OK {
			it.Serial = out.Items[i].Serial
			out.Items[i] = it
		} else if !there && it.Action == report.Delete {
			out.Items = append(out.Items, it)
		}
	}
	did = nil
	for _, it := range out.Items {
		if it.Outcome == report.Done {
			did = append(did, it)
		}
	}
	return did
}

// pass plans and carries out what is its business. open is the zones that are not in
// agreement after it. Of one that was deleted meanwhile nothing is said.
func (b *Bootstrapper) pass(ctx context.Context, ses *inventory.Session, o Options, w into, look inventory.LookOptions) (out report.Server, open []zone.Key, err error) {
	in, err := ses.Look(ctx, look)
	if err != nil {
		return out, nil, err
	}
	p := plan.Make(in)
	w.narrow(&p)
	out = b.Applier.Run(ctx, ses, p, o.Options)
	out.Items = slices.DeleteFunc(out.Items, apply.Deleted)
	out.Count()
	for _, it := range out.Items {
		if !w.agrees(it) && !it.Hopeless() { // what cannot help is not waited for
			open = append(open, it.Zone.Key())
		}
	}
	return out, open, nil
}

// withoutDeletions takes deletions out of a plan, but those of stale zones where
// these are meant.
func withoutDeletions(p *plan.Plan, why string, stale bool) {
	for i := range p.Steps {
		if st := &p.Steps[i]; st.Action == report.Delete && !(stale && st.Class == report.Stale) {
			st.Action, st.Outcome, st.Guard = report.None, "", ""
			st.Reason += "; " + why + ": dnsctl sync " + p.Server.Name
		}
	}
}

// mark puts the marker on a server that has neither zones nor a marker. On one
// that has ours, the bootstrap goes on where it was.
func (b *Bootstrapper) mark(ctx context.Context, ses *inventory.Session, o Options) error {
	if err := b.reaches(ctx, ses, o.Options); err != nil {
		return err
	}
	own, others, err := found(ctx, ses)
	if err != nil {
		return err
	}
	if own {
		// It may still be on its first way there, when an earlier bootstrap was killed:
		// then there is nothing else. On a server with zones it is judged as it is.
		if _, err := ses.Mark(ctx); err == nil || others > 0 {
			return nil
		}
		return b.Applier.Place(ctx, ses, o.Options)
	}
	if others > 0 {
		return report.Fail(report.ExitWithheld, fmt.Errorf("server %s has %s and no marker of this store", ses.Server.Name, report.Count(others, "zone")),
			"see them with `dnsctl audit "+ses.Server.Name+"`, then `dnsctl server accept "+ses.Server.Name+"`")
	}
	return b.Applier.Place(ctx, ses, o.Options)
}

// ready takes a server that has caught up into service.
func (b *Bootstrapper) ready(ctx context.Context, s fleet.Server, o Options) error {
	if s.State != fleet.Joining {
		return nil
	}
	return b.Store.SetServerState(ctx, s.Name, fleet.Active, fleet.By{Actor: o.Meta.Actor, Command: o.Meta.Command})
}
