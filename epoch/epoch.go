// Package epoch opens a new epoch of the store, after a restore or a promotion: it
// reads the serials that nameservers serve and steps every zone past them, so
// that no serial goes back on the wire. From then on every marker on a
// nameserver is of an earlier epoch, which withholds every write until the
// server is accepted.
package epoch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"dnsctl/edit"
	"dnsctl/fleet"
	"dnsctl/report"
	"dnsctl/sync/inventory"
	"dnsctl/zone"
)

// Store is what opening an epoch needs of the store.
type Store interface {
	Identity(ctx context.Context) (fleet.Identity, error)
	// OpenEpoch opens an epoch, which is pending until FinishEpoch; one that is
	// pending is not followed by another.
	OpenEpoch(ctx context.Context, reason string, by fleet.By) (fleet.Identity, error)
	FinishEpoch(ctx context.Context, epoch int64, by fleet.By) error
	// Stepped is the editions that have been stepped in the epoch.
	Stepped(ctx context.Context, epoch int64) (map[int64]bool, error)
	Zones(ctx context.Context, f fleet.ZoneFilter, yield func(fleet.Zone) error) error
	Servers(ctx context.Context) ([]fleet.Server, error)
	Marker(ctx context.Context, server int64) (fleet.MarkerState, error)
}

// Opener opens epochs.
type Opener struct {
	Store Store
	Fleet *inventory.Fleet
	Edit  *edit.Editor
}

// Options of one opening.
type Options struct {
	Reason  string
	Without []string // servers that are not asked
	Meta    edit.Meta
	// Continue only does what is left of an epoch that was opened and is pending.
	Continue bool
	Progress func(report.Progress) // may be nil
}

// Zone is one that could not be put past what a nameserver has.
type Zone struct {
	Zone   zone.Name    `json:"zone"`   // "" when its row cannot be read: see Reason
	Serial zone.Serial  `json:"serial"` // in the database
	Ahead  *zone.Serial `json:"ahead"`  // the greatest that a nameserver has, where it is ahead
	Reason string       `json:"reason"`
}

// Result is what an opening did.
type Result struct {
	fleet.Identity
	Servers []string // that were read
	Without []string // that were left out, or have never been filled
	Stepped int      // zones that have a new serial
	Left    []Zone   // those that nameservers have under a serial ahead of the database's, or that could not be stepped
}

const batch = 200

// Open opens an epoch, or goes on with one that is pending, and steps every
// serial. When a server cannot be read, nothing is opened and nothing stepped:
// report.ExitWithheld says which to leave out if that is meant. It can be killed
// at any point and run again.
func (o *Opener) Open(ctx context.Context, opts Options) (Result, error) {
	servers, err := o.pick(ctx, opts.Without)
	if err != nil {
		return Result{}, err
	}
	zones, err := o.zones(ctx)
	if err != nil {
		return Result{}, err
	}
	had, err := o.read(ctx, servers.ask, zones)
	if err != nil {
		return Result{}, err
	}
	by := fleet.By{Actor: opts.Meta.Actor, Command: opts.Meta.Command, Comment: opts.Meta.Comment}
	id, err := o.Store.Identity(ctx)
	if err == nil && !opts.Continue {
		id, err = o.Store.OpenEpoch(ctx, opts.Reason, by)
	}
	if err != nil {
		return Result{}, err
	}
	res := Result{Identity: id, Servers: names(servers.ask), Without: names(servers.without)}
	if !id.Pending {
		return res, nil
	}
	if err := o.step(ctx, &res, had, opts); err != nil {
		return res, err
	}
	if err := o.Store.FinishEpoch(ctx, id.Epoch, by); err != nil {
		return res, err
	}
	res.Pending = false
	return res, nil
}

// picked is which servers are asked.
type picked struct{ ask, without []fleet.Server }

// pick leaves out the servers named, and those that were never reached: none of
// ours is on them.
func (o *Opener) pick(ctx context.Context, without []string) (picked, error) {
	all, err := o.Store.Servers(ctx)
	if err != nil {
		return picked{}, err
	}
	var p picked
	for _, s := range all {
		marker, err := o.Store.Marker(ctx, s.ID)
		if err != nil {
			return p, err
		}
		if slices.Contains(without, s.Name) || s.New && s.State == fleet.Joining && marker.Placed == nil {
			p.without = append(p.without, s)
		} else {
			p.ask = append(p.ask, s)
		}
	}
	for _, n := range without {
		if !slices.ContainsFunc(all, func(s fleet.Server) bool { return s.Name == n }) {
			return p, report.Fail(report.ExitUsage, fmt.Errorf("server %q: %w", n, fleet.ErrNoServer), "the servers are "+strings.Join(names(all), ", "))
		}
	}
	return p, nil
}

func names(list []fleet.Server) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = s.Name
	}
	return out
}

// zones is the names of all live zones, markers too.
func (o *Opener) zones(ctx context.Context) (map[zone.Key]bool, error) {
	out := make(map[zone.Key]bool)
	err := o.each(ctx, func(error) {}, func(z fleet.Zone) error {
		out[z.Name.Key()] = true
		return nil
	})
	return out, err
}

func (o *Opener) each(ctx context.Context, damaged func(error), yield func(fleet.Zone) error) error {
	for _, kind := range []fleet.Kind{fleet.Ordinary, fleet.Marker} {
		if err := o.Store.Zones(ctx, fleet.ZoneFilter{Kind: kind, Damaged: damaged}, yield); err != nil {
			return fmt.Errorf("read the zones: %w", err)
		}
	}
	return nil
}

// read asks all servers, side by side, for the serials they have.
func (o *Opener) read(ctx context.Context, servers []fleet.Server, zones map[zone.Key]bool) (map[zone.Key][]zone.Serial, error) {
	all := make([]map[zone.Key][]zone.Serial, len(servers))
	errs := make([]error, len(servers))
	var wg sync.WaitGroup
	for i, s := range servers {
		wg.Go(func() { all[i], errs[i] = o.readOne(ctx, s, zones) })
	}
	wg.Wait()
	var lost []string
	for i, err := range errs {
		if err != nil {
			lost = append(lost, "--without "+servers[i].Name)
			errs[i] = fmt.Errorf("server %s cannot be read: %w", servers[i].Name, err)
		}
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if len(lost) > 0 {
		return nil, report.Fail(report.ExitWithheld, errors.Join(errs...), "serials must be stepped past what each server serves: bring it back and run the command again; or, "+
			"if what it serves does not matter, add "+strings.Join(lost, " "))
	}
	out := make(map[zone.Key][]zone.Serial)
	for _, m := range all {
		for k, serials := range m {
			out[k] = append(out[k], serials...)
		}
	}
	return out, nil
}

func (o *Opener) readOne(ctx context.Context, s fleet.Server, zones map[zone.Key]bool) (map[zone.Key][]zone.Serial, error) {
	ses, err := o.Fleet.Open(ctx, s)
	if err != nil {
		return nil, err
	}
	defer ses.Close()
	return ses.Serials(ctx, func(n zone.Name) bool { return zones[n.Key()] })
}

// step gives a serial of this epoch to every zone that has none yet, or is behind
// all the same.
func (o *Opener) step(ctx context.Context, res *Result, had map[zone.Key][]zone.Serial, opts Options) error {
	stepped, err := o.Store.Stepped(ctx, res.Epoch)
	if err != nil {
		return err
	}
	var todo []fleet.Zone
	damaged := func(err error) { res.Left = append(res.Left, Zone{Reason: err.Error()}) }
	err = o.each(ctx, damaged, func(z fleet.Zone) error {
		ahead := aheadOf(z.Edition.Serial, had[z.Name.Key()])
		switch {
		case z.Edition.Signed:
			if ahead != nil {
				res.Left = append(res.Left, Zone{z.Name, z.Edition.Serial, ahead, "it arrived signed and is never re-serialled: sign it anew past that serial and import it"})
			}
		case !stepped[z.Edition.ID] || ahead != nil:
			todo = append(todo, z)
		}
		return nil
	})
	if err != nil {
		return err
	}
	done := 0
	for part := range slices.Chunk(todo, batch) {
		failed, err := o.Edit.Step(ctx, part, had, res.Epoch, opts.Meta)
		if err != nil {
			return fmt.Errorf("step serials: %w", err)
		}
		res.Stepped += len(part) - len(failed)
		if done += len(part); opts.Progress != nil {
			opts.Progress(report.Progress{Server: fmt.Sprintf("epoch %d", res.Epoch), Phase: "serials", Done: done, Total: len(todo)})
		}
		for _, z := range part {
			if err := failed[z.Name]; err != nil {
				res.Left = append(res.Left, Zone{z.Name, z.Edition.Serial, aheadOf(z.Edition.Serial, had[z.Name.Key()]), err.Error()})
			}
		}
	}
	return nil
}

// aheadOf is the greatest of the serials that is ahead of s; nil when none is.
func aheadOf(s zone.Serial, had []zone.Serial) *zone.Serial {
	var out *zone.Serial
	for _, h := range had {
		if h.Ahead(s) && (out == nil || h.Ahead(*out)) {
			out = &h
		}
	}
	return out
}
