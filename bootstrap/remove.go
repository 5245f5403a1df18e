package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/report"
	"dnsctl/sync/apply"
	"dnsctl/sync/inventory"
	"dnsctl/sync/plan"
	"dnsctl/zone"
)

// RemoveStore is what removing a server needs of the store.
type RemoveStore interface {
	Marker(ctx context.Context, server int64) (fleet.MarkerState, error)
	UpdateServer(ctx context.Context, name string, by fleet.By, change func(*fleet.Server) error) error
	RemoveServer(ctx context.Context, name string, by fleet.By) error
}

// RemoveOptions of one removal.
type RemoveOptions struct {
	apply.Options
	Zones       bool // our zones are removed from it first
	NoCopy      bool // even those that cannot be copied
	LeaveMarker bool // it is not talked to: its marker stays on it
}

// Remove takes a server out of the fleet. Its marker goes last, after our zones
// where they are to go, and before its row. It can be run again wherever it was
// killed; until the row is gone the leader leaves the server alone.
func (b *Bootstrapper) Remove(ctx context.Context, store RemoveStore, s fleet.Server, o RemoveOptions) (report.Report, error) {
	if o.Zones && s.Catalog() != "" {
		return report.Report{}, report.Fail(report.ExitWithheld, fmt.Errorf("server %s has its zones from catalog %s, which has them still", s.Name, s.Catalog()),
			"remove the catalog from its configuration there, and its zones go; then: dnsctl server remove "+s.Name+" --leave-zones")
	}
	id, err := b.Applier.Store.Identity(ctx)
	if err != nil {
		return report.Report{}, err
	}
	rep := report.Report{Schema: report.Schema, Command: "server remove", Store: id.Store, Epoch: id.Epoch, Started: b.Now().UTC()}
	r := &removal{Bootstrapper: b, store: store, server: s, o: o}
	r.out = report.Server{Name: s.Name, Complete: true, Items: []report.Item{}}
	err = apply.WithLock(ctx, b.Locks, s.Name, b.Holder, r.run)
	if err != nil {
		r.out = apply.Failed(r.out, s, err)
	}
	r.out.Count()
	rep.Servers = []report.Server{r.out}
	rep.Exit = rep.Verdict(report.Applied)
	return rep, ctx.Err()
}

// removal is one under way; it belongs to one goroutine.
type removal struct {
	*Bootstrapper
	store  RemoveStore
	server fleet.Server
	o      RemoveOptions
	out    report.Server
}

func (r *removal) by() fleet.By {
	return fleet.By{Actor: r.o.Meta.Actor, Command: r.o.Meta.Command, Comment: r.o.Meta.Comment}
}

func (r *removal) run(ctx context.Context) error {
	if !r.o.LeaveMarker {
		if err := r.clean(ctx); err != nil {
			return err
		}
	}
	if left := unsettled(r.out); left > 0 {
		return report.Fail(report.ExitWithheld, fmt.Errorf("server %s stays: it still has %s to be removed", r.server.Name, report.Count(left, "zone")),
			"the report says why of each; to leave them there: dnsctl server remove "+r.server.Name+" --leave-zones")
	}
	if err := r.Applier.Edit.DropMarker(ctx, r.server.Marker, r.o.Meta); err != nil {
		return fmt.Errorf("take the marker out of the database: %w", err)
	}
	return r.store.RemoveServer(ctx, r.server.Name, r.by())
}

// unsettled counts the steps that did not end as they should.
func unsettled(out report.Server) int {
	n := 0
	for _, it := range out.Items {
		if it.Action == report.Delete && it.Outcome != report.Done {
			n++
		}
	}
	return n
}

// clean takes off the nameserver what is ours: the zones where that is asked for,
// then the marker.
func (r *removal) clean(ctx context.Context) error {
	ses, err := r.Fleet.Open(ctx, r.server)
	if err != nil {
		return err
	}
	defer ses.Close()
	mark, err := ses.CheckMarker(ctx)
	if err != nil {
		state, serr := r.store.Marker(ctx, r.server.ID)
		if serr == nil && state.Placed == nil && !r.o.Zones && errors.Is(err, nameserver.ErrUnreachable) {
			return nil // it has never been seen there
		}
		return report.Hint(err, fmt.Sprintf("when it is gone for good: dnsctl server remove %s --leave-zones --leave-marker", r.server.Name))
	}
	if mark.State == plan.MarkerWrong {
		return report.Fail(report.ExitWithheld, errors.New(mark.Reason), "nothing was done to it; to forget it here only: dnsctl server remove "+r.server.Name+" --leave-zones --leave-marker")
	}
	if r.o.Zones {
		if err := r.zones(ctx, ses); err != nil || unsettled(r.out) > 0 {
			return err
		}
	}
	return r.marker(ctx, ses)
}

// zones removes our zones under all guards.
func (r *removal) zones(ctx context.Context, ses *inventory.Session) error {
	in, err := ses.Look(ctx, inventory.LookOptions{Deep: true, Progress: r.o.Progress})
	if err != nil {
		return err
	}
	p := plan.Make(r.unwanted(in))
	var gone []report.Item
	for i := range p.Steps {
		st := &p.Steps[i]
		if st.Class == report.Stale {
			st.Reason = "the server is being removed"
		}
		if st.Action == report.Delete && st.Outcome == report.Planned {
			gone = append(gone, st.Item)
		}
	}
	if r.out = only(apply.Report(p)); len(r.out.Items) == 0 {
		// Nothing of ours is on it: a marker that is gone already withholds nothing.
		r.out.Withheld, r.out.Allowed = "", nil
	}
	if len(gone) == 0 {
		return nil
	}
	if r.o.Confirm != nil && !r.o.Confirm(r.server.Name, gone) {
		for i := range r.out.Items {
			if it := &r.out.Items[i]; it.Outcome == report.Planned {
				it.Outcome, it.Guard, it.Reason = report.Withheld, plan.GuardConfirm, "not confirmed: type the number of zones when asked, or give --yes"
			}
		}
		return nil
	}
	// The leader adds nothing back from here on.
	err = r.store.UpdateServer(ctx, r.server.Name, r.by(), func(v *fleet.Server) error {
		if v.State = fleet.Drained; v.Drain == nil {
			v.Drain = &report.Drain{Reason: "it is being removed", By: r.o.Meta.Actor, Since: r.Now().UTC().Truncate(time.Millisecond)}
		}
		return nil
	})
	if err != nil {
		return err
	}
	o := r.o.Options
	o.Confirm = nil
	a := *r.Applier
	a.Store = leaving{a.Store}
	r.out = only(a.Run(ctx, ses, p, o))
	return ctx.Err()
}

// unwanted is what was seen, with our zones as stale ones: what the plan then
// says of them is what it says of any zone that is not wanted any more. What the
// server has under the name of one of ours from elsewhere is not ours to remove.
func (r *removal) unwanted(in plan.Input) plan.Input {
	elsewhere := make(map[zone.Key]bool)
	for _, h := range in.Have {
		elsewhere[h.Name.Key()] = h.Role != nameserver.Secondary || h.Known && !in.Ours(h.Primaries)
	}
	for _, w := range in.Wanted {
		if k := w.Name.Key(); !elsewhere[k] {
			in.Tombstones[k] = fleet.Tombstone{Name: w.Name, ZoneID: w.ZoneID, Incarnation: w.Incarnation, LastSerial: w.Serial, Deleted: r.Now(), Kept: true}
		}
	}
	in.Wanted = nil
	in.Options = plan.Options{Unmanaged: fleet.Ignore, AllowEmpty: true, NoCopy: r.o.NoCopy}
	return in
}

// only is a report of the zones that are to go.
func only(s report.Server) report.Server {
	items := []report.Item{}
	for _, it := range s.Items {
		if it.Action == report.Delete {
			items = append(items, it)
		}
	}
	s.Items = items
	return s
}

// leaving is a store of which the server wants nothing any more (guard 6).
type leaving struct{ apply.Store }

func (leaving) WantedOne(_ context.Context, _ int64, name zone.Name) (fleet.Wanted, error) {
	return fleet.Wanted{}, fmt.Errorf("zone %q: %w", name, fleet.ErrNoZone)
}

func (leaving) WantedAmong(context.Context, int64, []zone.Name) ([]fleet.Wanted, error) {
	return nil, nil
}

// marker removes the marker and proves it gone.
func (r *removal) marker(ctx context.Context, ses *inventory.Session) error {
	err := ses.Driver.Delete(ctx, r.server.Marker)
	if errors.Is(err, nameserver.ErrNoZone) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove the marker: %w", err)
	}
	e := report.Event{At: r.Now(), Actor: r.o.Meta.Actor, Command: r.o.Meta.Command, Action: "delete", Zone: r.server.Marker, Server: r.server.Name,
		Comment: r.o.Meta.Comment, Result: "its marker"}
	if err := r.Applier.Store.AddEvent(ctx, e); err != nil {
		return fmt.Errorf("write event: %w", err)
	}
	if _, err := ses.Driver.Zone(ctx, r.server.Marker); !errors.Is(err, nameserver.ErrNoZone) {
		return fmt.Errorf("the marker was removed, but that is not proven: %w", err)
	}
	return nil
}
