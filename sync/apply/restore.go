package apply

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/report"
	"dnsctl/sync/inventory"
	"dnsctl/sync/plan"
	"dnsctl/zone"
)

// cleanUpTime bounds undoing a restore, which goes on when the run was
// interrupted.
const cleanUpTime = 30 * time.Second

// CopyStore is what bringing a copy back needs of the store.
type CopyStore interface {
	Copy(ctx context.Context, id int64) (report.Copy, error)
	Server(ctx context.Context, name string) (fleet.Server, error)
	// MarkRestored protects the zone on its server until ReleaseCopy.
	MarkRestored(ctx context.Context, id int64) error
	ReleaseCopy(ctx context.Context, id int64) error
}

// Restore brings a quarantined zone back to the server that it came from, with
// its content and settings, and protects it there. mdns must be running: control
// channels carry no content, so it arrives by transfer and is then converted in
// place to what it was.
func (y *Syncer) Restore(ctx context.Context, store CopyStore, id int64, o Options) (report.Report, error) {
	ident, err := y.Applier.Store.Identity(ctx)
	if err != nil {
		return report.Report{}, err
	}
	c, err := store.Copy(ctx, id)
	if err != nil {
		return report.Report{}, err
	}
	s, err := store.Server(ctx, c.Server)
	if err != nil {
		return report.Report{}, err
	}
	rep := report.Report{Schema: report.Schema, Command: "quarantine restore", Store: ident.Store, Epoch: ident.Epoch, Started: y.Applier.Now().UTC()}
	item := report.Item{Zone: c.Zone, View: c.View, Class: report.Foreign, Attributes: []string{report.Protected}, Action: report.Add, Outcome: report.Done,
		Reason: fmt.Sprintf("copy %d is back, protected until it is adopted or released", id), Serial: report.Serials{Have: c.Serial}}
	err = WithLock(ctx, y.Locks, s.Name, y.Holder, func(ctx context.Context) error {
		return y.restore(ctx, store, s, c, o)
	})
	if err != nil {
		item.Attributes = []string{}
	}
	return ofOneZone(rep, s.Name, item, err), ctx.Err()
}

func (y *Syncer) restore(ctx context.Context, store CopyStore, s fleet.Server, c report.Copy, o Options) (err error) {
	content, err := copyContent(c)
	if err != nil {
		return err
	}
	ses, err := y.Fleet.Open(ctx, s)
	if err != nil {
		return err
	}
	defer ses.Close()
	in, err := ses.LookAt(ctx, []zone.Name{c.Zone})
	switch {
	case err != nil:
		return err
	case in.Marker.State != plan.MarkerSound:
		return report.Fail(report.ExitWithheld, errors.New(in.Marker.Reason), "nothing was done; how it stands: dnsctl audit "+s.Name)
	case len(in.Wanted) > 0:
		return report.Hint(fmt.Errorf("zone %q is in the database and wanted on server %s", c.Zone, s.Name), "see what the copy has with: dnsctl quarantine show "+fmt.Sprint(c.ID)+"; to put it in place of ours, first: dnsctl zone delete "+c.Zone.String())
	}
	// An earlier restore of this copy that was killed may have left its secondary. A
	// zone that was adopted and then deleted may still be there, to go back in place.
	_, stale := in.Tombstones[c.Zone.Key()]
	half := (c.Restored != nil || stale) && len(in.Have) == 1 && onItsWay(ses, in.Have[0].ZoneState)
	if c.Restored != nil && len(in.Have) == 1 && !half {
		// It may be back already: all but the end of a restore that was killed, or one
		// that is run again.
		if got, err := y.Applier.probe(ctx, ses, c.Zone); err != nil {
			return err
		} else if got.Serves && got.Serial == content.Serial() {
			return y.Applier.Edit.DropRestored(ctx, c.Zone, o.Meta)
		}
	}
	if len(in.Have) > 0 && !half {
		return report.Hint(fmt.Errorf("server %s has a zone %q", s.Name, c.Zone), "nothing is replaced; look at it with: dnsctl audit "+s.Name+" --all")
	}
	a := y.Applier
	if err := a.Edit.DropRestored(ctx, c.Zone, o.Meta); err != nil {
		return fmt.Errorf("take what an earlier restore left out of the database: %w", err)
	}
	if err := a.Edit.Restored(ctx, content, ses.MarkerPools(), o.Meta); err != nil {
		return fmt.Errorf("put copy %d into the database: %w", c.ID, err)
	}
	// Protected before it is there, so that no comparison finds it foreign.
	if err := store.MarkRestored(ctx, c.ID); err != nil {
		return errors.Join(err, a.Edit.DropRestored(context.WithoutCancel(ctx), c.Zone, o.Meta))
	}
	converting := false
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpTime)
		defer cancel()
		if err != nil {
			err = errors.Join(err, takeBack(ctx, store, ses, c, converting))
		}
		err = errors.Join(err, a.Edit.DropRestored(ctx, c.Zone, o.Meta))
	}()
	if !half {
		w := fleet.Wanted{Name: c.Zone, Pools: ses.MarkerPools(), Incarnation: fmt.Sprintf("copy%d", c.ID)}
		if err := ses.Driver.Add(ctx, ses.ZoneConfig(w)); err != nil {
			return fmt.Errorf("add zone %q: %w", c.Zone, err)
		}
	}
	if err := a.proveServed(ctx, ses, c.Zone, content.Serial(), o); err != nil {
		return err
	}
	converting = true
	if err := ses.Driver.Convert(ctx, c.Zone, c.Settings); err != nil {
		return fmt.Errorf("give zone %q its settings back: %w", c.Zone, err)
	}
	if err := a.proveServed(ctx, ses, c.Zone, content.Serial(), o); err != nil {
		return err
	}
	serial := content.Serial()
	return a.Store.AddEvent(ctx, report.Event{At: a.Now(), Actor: o.Meta.Actor, Command: o.Meta.Command, Action: "restore", Zone: c.Zone,
		Server: s.Name, Serial: &serial, Comment: o.Meta.Comment, Result: fmt.Sprintf("copy %d", c.ID)})
}

// onItsWay says whether a zone on the server is the secondary of ours that a
// restore begins with.
func onItsWay(ses *inventory.Session, z nameserver.ZoneState) bool {
	return z.Role == nameserver.Secondary && z.Known && ses.Ours(z.Primaries)
}

// takeBack undoes a restore that failed. Only the secondary that it made is
// taken off the server: what somebody else has put there stays, and what may have
// its former settings already stays and stays protected.
func takeBack(ctx context.Context, store CopyStore, ses *inventory.Session, c report.Copy, converting bool) error {
	z, err := ses.Driver.Zone(ctx, c.Zone)
	switch {
	case errors.Is(err, nameserver.ErrNoZone):
		return store.ReleaseCopy(ctx, c.ID)
	case err != nil:
		return fmt.Errorf("see what is left of it on the server: %w", err)
	case !onItsWay(ses, z) && converting:
		return fmt.Errorf("zone %q is on server %s with its former settings, but not proven; it is left there, protected", c.Zone, ses.Server.Name)
	case !onItsWay(ses, z):
		return store.ReleaseCopy(ctx, c.ID)
	}
	if err := ses.Driver.Delete(ctx, c.Zone); err != nil && !errors.Is(err, nameserver.ErrNoZone) {
		return fmt.Errorf("take it off the server again: %w", err)
	}
	return store.ReleaseCopy(ctx, c.ID)
}

func copyContent(c report.Copy) (*zone.Snapshot, error) {
	sets, err := zone.ParseWire(c.Content)
	if err != nil {
		return nil, fmt.Errorf("copy %d: %w", c.ID, err)
	}
	b := zone.NewBuilder(c.Zone, len(sets))
	for _, set := range sets {
		b.Add(set)
	}
	snap, err := b.Build()
	if err != nil {
		return nil, fmt.Errorf("copy %d: %w", c.ID, err)
	}
	return snap, nil
}

// probe asks the server for the zone's SOA.
func (a *Applier) probe(ctx context.Context, s *inventory.Session, name zone.Name) (got plan.Probe, err error) {
	err = a.DNS.SOAs(ctx, 1, func(int) inventory.Question { return s.Question(name) }, func(_ int, p plan.Probe) { got = p })
	return got, err
}

// proveServed waits until the server answers for the zone with the serial.
func (a *Applier) proveServed(ctx context.Context, s *inventory.Session, name zone.Name, serial zone.Serial, o Options) error {
	proof := o.ProveFor
	if proof == 0 {
		proof = defaultProof
	}
	deadline, nudge := a.Now().Add(proof), a.Now().Add(nudgeAfter)
	for {
		got, err := a.probe(ctx, s, name)
		if err != nil {
			return err
		}
		if got.Serves && got.Serial == serial {
			return nil
		}
		if got.Serves {
			got.Err = fmt.Sprintf("it answers with serial %d, not %d", got.Serial, serial)
		}
		if now := a.Now(); now.After(deadline) {
			return report.Hint(fmt.Errorf("server %s does not serve zone %q within %s: %s", s.Server.Name, name, proof, got.Err),
				"does `dnsctl mdns serve` run, and can the server reach it?")
		} else if now.After(nudge) {
			if err := s.Driver.Retransfer(ctx, name); err != nil {
				return err
			}
			nudge = now.Add(nudgeAfter)
		}
		if err := inventory.Pause(ctx, askEvery); err != nil {
			return err
		}
	}
}
