package apply

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"dnsctl/edit"
	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/report"
	"dnsctl/sync/inventory"
	"dnsctl/sync/plan"
	"dnsctl/zone"
)

// AdoptStore is what adopting a zone needs of the store.
type AdoptStore interface {
	Zone(ctx context.Context, name zone.Name) (fleet.Zone, error)
	Snapshot(ctx context.Context, edition int64) (*zone.Snapshot, int64, error)
	Copies(ctx context.Context, server string, name zone.Name) ([]report.Copy, error)
	// Unprotect ends the protection of a restored copy, with an event.
	Unprotect(ctx context.Context, id int64, by fleet.By) (report.Copy, error)
}

// AdoptOptions of one adoption.
type AdoptOptions struct {
	Options
	Pool string // of a zone that is new to the database; "" is the server's only one
	Lax  bool   // coexistence and glue faults are warnings
}

// Adopt takes a zone that a nameserver has from elsewhere into the database, and
// makes it a secondary of ours there, in place. A copy of it is kept first. It
// steps on from wherever an earlier run was killed.
func (y *Syncer) Adopt(ctx context.Context, store AdoptStore, s fleet.Server, name zone.Name, o AdoptOptions) (report.Report, error) {
	ident, err := y.Applier.Store.Identity(ctx)
	if err != nil {
		return report.Report{}, err
	}
	rep := report.Report{Schema: report.Schema, Command: "zone adopt", Store: ident.Store, Epoch: ident.Epoch, Started: y.Applier.Now().UTC()}
	d := &adoption{Applier: y.Applier, store: store, o: o, name: name}
	d.item = report.Item{Zone: name, View: s.View, Class: report.Foreign, Attributes: []string{}, Action: report.Adopt, Outcome: report.Done}
	err = WithLock(ctx, y.Locks, s.Name, y.Holder, func(ctx context.Context) error {
		ses, err := y.Fleet.Open(ctx, s)
		if err != nil {
			return err
		}
		defer ses.Close()
		d.s = ses
		return d.run(ctx)
	})
	return ofOneZone(rep, s.Name, d.item, err), ctx.Err()
}

// ofOneZone is the report of a run that was about one zone of one server, and
// ended with err.
func ofOneZone(rep report.Report, server string, item report.Item, err error) report.Report {
	out := report.Server{Name: server, Complete: true}
	if err != nil {
		exit, hint := report.ExitOf(err)
		item.Outcome, item.Reason = report.Failed, err.Error()
		switch exit {
		case report.ExitWithheld:
			item.Outcome = report.Withheld
		case report.ExitBusy:
			out.Error, out.Busy = err.Error(), true
		}
		out.Hint = hint
	}
	out.Items = []report.Item{item}
	out.Count()
	rep.Servers = []report.Server{out}
	rep.Exit = rep.Verdict(report.Applied)
	if rep.Exit == report.ExitPartial {
		rep.Exit = report.ExitFailed
	}
	return rep
}

// adoption is one under way; it belongs to one goroutine.
type adoption struct {
	*Applier
	store AdoptStore
	s     *inventory.Session
	name  zone.Name
	o     AdoptOptions
	item  report.Item
}

func (d *adoption) run(ctx context.Context) error {
	in, err := d.s.LookAt(ctx, []zone.Name{d.name})
	switch {
	case err != nil:
		return err
	case in.Marker.State != plan.MarkerSound:
		return report.Fail(report.ExitWithheld, errors.New(in.Marker.Reason), "nothing was done; how it stands: dnsctl audit "+d.s.Server.Name)
	case len(in.Have) == 0 && len(in.Wanted) == 0:
		return report.Hint(fmt.Errorf("server %s has no zone %q", d.s.Server.Name, d.name), "see what it has with: dnsctl audit "+d.s.Server.Name+" --all")
	case len(in.Have) == 0: // an earlier adoption ended where the server had let go of it
		err = d.addBack(ctx, in.Wanted[0])
	case onItsWay(d.s, in.Have[0].ZoneState) && len(in.Wanted) > 0:
		d.item.Reason = "it transfers from here already"
	case onItsWay(d.s, in.Have[0].ZoneState):
		return report.Hint(fmt.Errorf("zone %q transfers from our primaries or with our key on server %s, but is not in the database: the database may be an older copy of itself", d.name, d.s.Server.Name),
			"see: dnsctl audit "+d.s.Server.Name)
	default:
		err = d.takeOver(ctx, in)
	}
	if err != nil {
		return err
	}
	return d.finish(ctx)
}

// takeOver does the work: copy, import, conversion.
func (d *adoption) takeOver(ctx context.Context, in plan.Input) error {
	has := in.Have[0].ZoneState
	if err := adoptable(has, d.s.Server.Name); err != nil {
		return err
	}
	pools, err := d.pools(ctx, in)
	if err != nil {
		return err
	}
	// Whether our transfers reach the server is found out before anything is done.
	head, err := d.Store.Head(ctx)
	if err != nil {
		return err
	}
	if err := d.advance(ctx, head); err != nil {
		return err
	}
	id, ex, err := d.keep(ctx, d.s, d.name, "foreign adopt", d.o.Options)
	if err != nil {
		return report.Fail(report.ExitWithheld, fmt.Errorf("no copy of it could be made, so nothing was done: %w", err), copyHint(err))
	}
	d.item.Reason = fmt.Sprintf("copy %d is what it was; to go back: dnsctl zone delete %s, then dnsctl quarantine restore %d", id, d.name, id)
	if err := d.imported(ctx, ex.Content, pools); err != nil {
		return err
	}
	w, err := d.Store.WantedOne(ctx, d.s.Server.ID, d.name)
	if err != nil {
		return fmt.Errorf("read zone %q: %w", d.name, err)
	}
	if err := d.advance(ctx, w.FirstFeed); err != nil {
		return err
	}
	err = d.configure(ctx, d.s, d.s.ZoneConfig(w), func() {
		d.event(ctx, d.o.Options, d.s, "adopt", d.name, &w.Serial, has.Detail, fmt.Sprintf("copy %d", id))
	})
	if err != nil {
		return report.Hint(fmt.Errorf("make it a secondary: %w", err), "it is in the database by now: run the command again, or dnsctl sync "+d.s.Server.Name)
	}
	return d.catchUp(ctx, ex.Content.Serial(), pools)
}

// adoptable says why a zone cannot be taken over, if so.
func adoptable(z nameserver.ZoneState, server string) error {
	refuse := func(reason, hint string) error {
		return report.Hint(fmt.Errorf("zone %q on server %s %s", z.Name, server, reason), hint)
	}
	switch {
	case fleet.IsMarkerName(z.Name):
		return refuse("is a marker", "markers are dnsctl's own: dnsctl server accept "+server)
	case z.Role == nameserver.Other:
		return refuse("is not one to transfer: "+z.Detail, "")
	case z.Origin == nameserver.Declared:
		return refuse("is declared in the server's own configuration file, which dnsctl does not write",
			fmt.Sprintf("import its file (dnsctl zone import), take it out of the configuration, and dnsctl sync %s adds it", server))
	case z.Origin == nameserver.Cataloged:
		return refuse("is a member of a catalog zone, which would bring it back", "take it out of the catalog")
	case z.Origin != nameserver.Runtime || z.Serial == nil:
		return refuse("is not loaded: "+z.Detail, "there is no content to take over; see the server's log")
	case z.Signs:
		return refuse("is signed by the server with keys that cannot be copied", "end its signing there first, and remove its DS records before that")
	}
	return nil
}

// pools is where the zone is to be: one of the server's pools, where it is new.
func (d *adoption) pools(ctx context.Context, in plan.Input) ([]string, error) {
	z, err := d.store.Zone(ctx, d.name)
	live := err == nil && z.Deleted == nil
	if err != nil && !errors.Is(err, fleet.ErrNoZone) {
		return nil, err
	}
	if live && len(in.Wanted) == 0 {
		return nil, report.Hint(fmt.Errorf("zone %q is in the database, but in none of the pools of server %s", d.name, d.s.Server.Name),
			fmt.Sprintf("put it there first: dnsctl zone set %s --add-pool %s", d.name, d.s.Server.Pools[0].Name))
	}
	if live {
		return nil, nil
	}
	var names []string
	for _, p := range d.s.Server.Pools {
		if d.o.Pool == "" || d.o.Pool == p.Name {
			names = append(names, p.Name)
		}
	}
	switch {
	case len(names) == 1:
		return names, nil
	case len(names) == 0:
		return nil, report.Fail(report.ExitUsage, fmt.Errorf("server %s is not in pool %q", d.s.Server.Name, d.o.Pool), "see: dnsctl server show "+d.s.Server.Name)
	}
	return nil, report.Fail(report.ExitUsage, fmt.Errorf("server %s is in the pools %s", d.s.Server.Name, strings.Join(names, ", ")), "name one of them with --pool")
}

// advance is Advance; what it waits for is mdns.
func (d *adoption) advance(ctx context.Context, past int64) error {
	if err := d.Advance(ctx, d.s, past, d.o.Options); err != nil {
		return report.Fail(report.ExitWithheld, fmt.Errorf("the marker was not proven on the server first: %w", err), "is dnsctl mdns serve running, and can the nameserver reach it? dnsctl mdns status says")
	}
	return nil
}

// copyHint is the remedy of a copy that failed.
func copyHint(err error) string {
	if _, own := report.ExitOf(err); own != "" {
		return own
	}
	return "the nameserver must let dnsctl transfer the zone, or give it over its control channel; its log says why it did not"
}

// imported makes sure that the database has the content, under the serial that
// the server has or one past it. What it has already is never replaced.
func (d *adoption) imported(ctx context.Context, content *zone.Snapshot, pools []string) error {
	z, err := d.store.Zone(ctx, d.name)
	switch {
	case err == nil && z.Deleted == nil:
		ours, _, err := d.store.Snapshot(ctx, z.Edition.ID)
		if err != nil {
			return err
		}
		if what := differs(ours, content); what != "" {
			return report.Hint(fmt.Errorf("zone %q is in the database with other content than on server %s: %s", d.name, d.s.Server.Name, what),
				fmt.Sprintf("decide which is right: dnsctl zone import takes the server's, dnsctl sync %s puts ours there", d.s.Server.Name))
		}
	case err != nil && !errors.Is(err, fleet.ErrNoZone):
		return err
	}
	return d.take(ctx, content, pools)
}

// take imports content.
func (d *adoption) take(ctx context.Context, content *zone.Snapshot, pools []string) error {
	var failed error
	src := edit.Source{Path: "server " + d.s.Server.Name, Parse: func(context.Context) (edit.Parsed, error) { return edit.Parsed{Content: content}, nil }}
	err := d.Edit.Import(ctx, []edit.Source{src}, edit.ImportOptions{Pools: pools, Lax: d.o.Lax}, d.o.Meta, func(_ edit.Source, _ edit.Result, err error) { failed = err })
	if failed != nil {
		hint := "--lax lets faults of coexistence and glue pass"
		if _, own := report.ExitOf(failed); own != "" {
			hint = own + "; " + hint
		}
		err = report.Hint(fmt.Errorf("take its content into the database: %w", failed), hint)
	}
	return err
}

// differs says in what two contents of a zone differ, their serials apart; "" if
// in nothing.
func differs(ours, theirs *zone.Snapshot) string {
	d := zone.Diff(ours, theirs)
	removed, added := d.Records()
	var what []string
	if ours.SOA().WithSerial(0) != theirs.SOA().WithSerial(0) || ours.SOASet().TTL != theirs.SOASet().TTL {
		what = append(what, "the SOA")
	}
	for _, side := range []struct {
		n    int
		text string
		sets []zone.RRset
	}{{removed, "only in the database", d.Removed}, {added, "only on the server", d.Added}} {
		if side.n > 0 {
			what = append(what, fmt.Sprintf("%d records %s (%s %s)", side.n, side.text, side.sets[0].Owner, side.sets[0].Type))
		}
	}
	return strings.Join(what, ", ")
}

// catchUp takes over what was changed on the server between the copy and the
// conversion, by a dynamic update. From the conversion on nothing changes there
// but by our transfers.
func (d *adoption) catchUp(ctx context.Context, copied zone.Serial, pools []string) error {
	got, err := d.probe(ctx, d.s, d.name)
	if err != nil || !got.Serves || !got.Serial.Ahead(copied) {
		return err
	}
	w, err := d.Store.WantedOne(ctx, d.s.Server.ID, d.name)
	if err != nil || got.Serial == w.Serial {
		return err
	}
	_, ex, err := d.keep(ctx, d.s, d.name, "foreign adopt", d.o.Options)
	if err != nil {
		return fmt.Errorf("take over what changed meanwhile: %w", err)
	}
	return d.take(ctx, ex.Content, pools)
}

// addBack makes a zone again that the server had let go of when an earlier run
// was killed.
func (d *adoption) addBack(ctx context.Context, w fleet.Wanted) error {
	if err := d.advance(ctx, w.FirstFeed); err != nil {
		return err
	}
	if err := d.s.Driver.Add(ctx, d.s.ZoneConfig(w)); err != nil && !errors.Is(err, nameserver.ErrExists) {
		return err
	}
	d.item.Reason = "it was in the database and not on the server any more, and was added"
	d.event(ctx, d.o.Options, d.s, "add", d.name, &w.Serial, "", d.item.Reason)
	return nil
}

// finish proves that the server serves what the database has, and ends the
// protection of what is adopted now.
func (d *adoption) finish(ctx context.Context) error {
	w, err := d.Store.WantedOne(ctx, d.s.Server.ID, d.name)
	if err != nil {
		return fmt.Errorf("read zone %q: %w", d.name, err)
	}
	d.item.Serial = report.Serials{Want: &w.Serial, Have: &w.Serial}
	d.item.Class = report.OK
	if got, err := d.probe(ctx, d.s, d.name); err != nil {
		return err
	} else if got.Serves && got.Serial.Ahead(w.Serial) {
		return report.Hint(fmt.Errorf("server %s has zone %q under serial %d, ahead of the database's %d", d.s.Server.Name, d.name, got.Serial, w.Serial),
			fmt.Sprintf("dnsctl sync %s puts ours there, with a copy of what it has first", d.s.Server.Name))
	} else if !got.Serves || got.Serial != w.Serial {
		if err := d.s.Driver.Retransfer(ctx, d.name); err != nil {
			return err
		}
	}
	if err := d.proveServed(ctx, d.s, d.name, w.Serial, d.o.Options); err != nil {
		return err
	}
	copies, err := d.store.Copies(ctx, d.s.Server.Name, d.name)
	if err != nil {
		return err
	}
	for _, c := range copies {
		if c.Restored == nil {
			continue
		}
		if _, err := d.store.Unprotect(ctx, c.ID, fleet.By{Actor: d.o.Meta.Actor, Command: d.o.Meta.Command, Comment: d.o.Meta.Comment}); err != nil {
			return err
		}
	}
	return nil
}
