package apply

import (
	"context"
	"errors"
	"slices"
	"sync"

	"dnsctl/fleet"
	"dnsctl/report"
	"dnsctl/sync/inventory"
	"dnsctl/sync/plan"
)

// parallel is how many nameservers are worked on at a time.
const parallel = 8

// Syncer makes nameservers' zones equal the database's.
type Syncer struct {
	Fleet   *inventory.Fleet
	Applier *Applier
	Locks   Locks
	Holder  string // who holds the locks: host, process
}

// SyncOptions of one sync.
type SyncOptions struct {
	Options
	Plan   plan.Options
	DryRun bool // plan only, and take no lock
	Deep   bool // compare content, primaries and keys of every zone
	All    bool // zones in agreement as items too, which are only counted otherwise
	Out    bool // servers that are out of service as well, which are left alone otherwise

	made  func(plan.Named)       // gets each server's part of a plan file; for several servers at once
	named map[string]*plan.Named // by server: only what a plan file names
}

func (o SyncOptions) mode() report.Mode {
	if o.DryRun {
		return report.DryRun
	}
	return report.Applied
}

// Sync plans each server and carries the plan out. Servers are worked on side by
// side; what happens to one never stops another. One that is named twice is
// worked on once.
func (y *Syncer) Sync(ctx context.Context, command string, servers []fleet.Server, o SyncOptions) (report.Report, error) {
	id, err := y.Applier.Store.Identity(ctx)
	if err != nil {
		return report.Report{}, err
	}
	rep := report.Report{Schema: report.Schema, Command: command, Store: id.Store, Epoch: id.Epoch, Started: y.Applier.Now().UTC()}
	rep.Servers = Each(distinct(servers), func(s fleet.Server) report.Server {
		if out, rests := Resting(s); rests && !o.Out {
			return out
		}
		var out report.Server
		work := func(ctx context.Context) error {
			var err error
			out, err = y.one(ctx, s, o)
			return err
		}
		var err error
		if o.DryRun {
			err = work(ctx)
		} else {
			err = WithLock(ctx, y.Locks, s.Name, y.Holder, work)
		}
		out.Drained = s.Drain
		if err != nil {
			return Failed(out, s, err)
		}
		return out
	})
	rep.Exit = rep.Verdict(o.mode())
	return rep, ctx.Err()
}

func (y *Syncer) one(ctx context.Context, s fleet.Server, o SyncOptions) (report.Server, error) {
	ses, err := y.Fleet.Open(ctx, s)
	if err != nil {
		return report.Server{}, err
	}
	defer ses.Close()
	named := o.named[s.Name]
	in, err := ses.Look(ctx, inventory.LookOptions{Deep: o.Deep, Brief: !o.All, Progress: o.Progress, Closely: closely(named)})
	if err != nil {
		return report.Server{}, err
	}
	in.Options = o.Plan
	if in.Named = named; named != nil && named.ApprovedDeletions != nil {
		in.Options.NoLimit, o.Confirm = true, nil
	}
	if o.made != nil {
		in.Options.NoLimit = true // the file's approval names the number
	}
	p := plan.Make(in)
	if o.made != nil {
		o.made(plan.Name(in, p))
	}
	if o.DryRun {
		return Report(p), nil
	}
	return y.Applier.Run(ctx, ses, p, o.Options), nil
}

// Resting is the report of a server that is out of service and that is not looked
// at.
func Resting(s fleet.Server) (report.Server, bool) {
	if !s.State.Out() {
		return report.Server{}, false
	}
	out := report.Server{Name: s.Name, Complete: true, Drained: &report.Drain{Since: s.Created}, Items: []report.Item{}}
	if s.Drain != nil {
		out.Drained = s.Drain
	}
	out.Count()
	return out, true
}

func distinct(servers []fleet.Server) []fleet.Server {
	var out []fleet.Server
	for _, s := range servers {
		if !slices.ContainsFunc(out, func(o fleet.Server) bool { return o.ID == s.ID }) {
			out = append(out, s)
		}
	}
	return out
}

// Each runs look for every server, several at a time, and returns the results in
// the servers' order.
func Each(servers []fleet.Server, look func(fleet.Server) report.Server) []report.Server {
	out := make([]report.Server, len(servers))
	slots := make(chan struct{}, parallel)
	var wg sync.WaitGroup
	for i, s := range servers {
		slots <- struct{}{}
		wg.Go(func() {
			out[i] = look(s)
			<-slots
		})
	}
	wg.Wait()
	return out
}

// Failed is the report of a server whose run ended with err; what was done until
// then stays in it. An error that says that a guard held is no failure.
func Failed(out report.Server, s fleet.Server, err error) report.Server {
	out.Name = s.Name
	if out.Items == nil {
		out.Items = []report.Item{}
	}
	exit, hint := report.ExitOf(err)
	if hint == "" && errors.Is(err, fleet.ErrCorrupt) {
		hint = fleet.CorruptHint
	}
	out.Hint, out.Busy = hint, exit == report.ExitBusy
	if exit == report.ExitWithheld {
		out.Complete, out.Withheld = true, err.Error()
	} else {
		out.Error = err.Error()
	}
	if out.Counts == nil {
		out.Count()
	}
	return out
}
