package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"dnsctl/fleet"
	"dnsctl/report"
	"dnsctl/sync/plan"
	"dnsctl/zone"
)

// Plan is a dry run whose steps are written down, to be applied later. What a
// server's plan withholds is not in it; a server that could not be read is not
// either.
func (y *Syncer) Plan(ctx context.Context, command string, servers []fleet.Server, o SyncOptions) (plan.Document, report.Report, error) {
	st := y.Applier.Store
	id, err := st.Identity(ctx)
	if err != nil {
		return plan.Document{}, report.Report{}, err
	}
	doc := plan.Document{Schema: plan.DocumentSchema, Store: id.Store, Epoch: id.Epoch, Made: y.Applier.Now().UTC(),
		By: o.Meta.Actor, Comment: o.Meta.Comment, Servers: []plan.Named{}}
	if doc.Position, err = st.Head(ctx); err != nil {
		return doc, report.Report{}, err
	}
	if doc.Position > 0 {
		e, err := st.FeedEntry(ctx, doc.Position)
		if err != nil {
			return doc, report.Report{}, fmt.Errorf("read entry %d of the change feed: %w", doc.Position, err)
		}
		doc.Entry = e.ID
	}
	var mu sync.Mutex
	o.DryRun = true
	o.made = func(n plan.Named) {
		mu.Lock()
		defer mu.Unlock()
		doc.Servers = append(doc.Servers, n)
	}
	rep, err := y.Sync(ctx, command, servers, o)
	slices.SortFunc(doc.Servers, func(a, b plan.Named) int { return strings.Compare(a.Name, b.Name) })
	return doc, rep, err
}

// Apply carries out what a plan file names, as far as what each step rests on
// still holds, and nothing else. servers is the fleet as it is now. A plan of
// another store, or of a state of it that this one does not come from, is refused
// whole.
func (y *Syncer) Apply(ctx context.Context, command string, doc plan.Document, servers []fleet.Server, o SyncOptions) (report.Report, error) {
	if err := y.belongs(ctx, doc); err != nil {
		return report.Report{}, err
	}
	o.named = make(map[string]*plan.Named, len(doc.Servers))
	var there []fleet.Server
	for i := range doc.Servers {
		n := &doc.Servers[i]
		o.named[n.Name] = n
		if s, why := pick(servers, n, o); why == "" {
			there = append(there, s)
		}
	}
	rep, err := y.Sync(ctx, command, there, o)
	if len(there) == len(doc.Servers) || len(rep.Servers) != len(there) {
		return rep, err
	}
	done := rep.Servers
	rep.Servers = nil
	for i := range doc.Servers {
		n := &doc.Servers[i]
		if _, why := pick(servers, n, o); why != "" {
			rep.Servers = append(rep.Servers, dropped(n, why))
		} else {
			rep.Servers, done = append(rep.Servers, done[0]), done[1:]
		}
	}
	rep.Exit = rep.Verdict(o.mode())
	return rep, err
}

// pick is the server that a part of a plan file is about, or why there is none.
func pick(servers []fleet.Server, n *plan.Named, o SyncOptions) (s fleet.Server, why string) {
	i := slices.IndexFunc(servers, func(s fleet.Server) bool { return s.Name == n.Name })
	switch {
	case i < 0:
		return s, "the server is not in the database any more"
	case !servers[i].Marker.Equal(n.Marker.Zone):
		return s, "the server was removed and added again since"
	case servers[i].State.Out() && !o.Out:
		return s, "the server is out of service: dnsctl undrain " + n.Name
	}
	return servers[i], ""
}

// dropped is the report of a server of which nothing can be done any more.
func dropped(n *plan.Named, why string) report.Server {
	out := report.Server{Name: n.Name, Complete: true, Items: []report.Item{}}
	for i := range n.Steps {
		out.Items = append(out.Items, n.Steps[i].Dropped(why))
	}
	out.Count()
	return out
}

// belongs says whether a plan file is of this store, and not of a later or another
// life of it.
func (y *Syncer) belongs(ctx context.Context, doc plan.Document) error {
	refuse := func(format string, args ...any) error {
		return report.Fail(report.ExitWithheld, fmt.Errorf("%w: "+format, append([]any{plan.ErrDocument}, args...)...), "look at --store, or make a new one: dnsctl sync --plan-out FILE")
	}
	id, err := y.Applier.Store.Identity(ctx)
	if err != nil {
		return err
	}
	head, err := y.Applier.Store.Head(ctx)
	if err != nil {
		return err
	}
	switch {
	case doc.Store != id.Store:
		return refuse("it was made from the store %s, this one is %s", doc.Store, id.Store)
	case doc.Epoch != id.Epoch:
		return refuse("it was made in epoch %d, this store is in epoch %d", doc.Epoch, id.Epoch)
	case doc.Position > head:
		return refuse("it was made at position %d of the change feed, this store is at %d only: it is an older copy", doc.Position, head)
	case doc.Position == 0:
		return nil
	}
	e, err := y.Applier.Store.FeedEntry(ctx, doc.Position)
	switch {
	case errors.Is(err, fleet.ErrNotFound):
		return nil // not kept any more; guard 1 looks at each server's marker all the same
	case err != nil:
		return err
	case e.ID != doc.Entry:
		return refuse("it knows position %d of the change feed under another id: this store is a fork of its", doc.Position)
	}
	return nil
}

// closely is the zones that a plan file names, true where it was their content
// that differed.
func closely(n *plan.Named) map[zone.Key]bool {
	if n == nil {
		return nil
	}
	out := make(map[zone.Key]bool, len(n.Steps))
	for _, st := range n.Steps {
		out[st.Zone.Key()] = st.Class == report.Differs
	}
	return out
}
