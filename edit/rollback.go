package edit

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"dnsctl/fleet"
	"dnsctl/report"
	"dnsctl/zone"
)

// RolledBack is what became of a zone that went back to an earlier version.
const RolledBack = "rolled back"

// HistoryStore is what going back needs of the store beside what other edits do.
type HistoryStore interface {
	Store
	// Versions is the present version of an edition and those that stored deltas
	// lead back to, newest first.
	Versions(ctx context.Context, edition int64) ([]fleet.Version, error)
	// Since is the changes after a version, oldest first; nil when one is not kept.
	Since(ctx context.Context, edition, version int64) ([]zone.Delta, error)
}

// Rollback gives a zone the content that it had under an earlier serial, under a
// new serial: nameservers take nothing that goes back (RFC 1982). It works with
// the changes since then only, not with the whole zone. With dry it changes
// nothing. The delta is what changes, or would.
func (e *Editor) Rollback(ctx context.Context, history HistoryStore, name zone.Name, to zone.Serial, dry bool, m Meta) (Result, zone.Delta, error) {
	var res Result
	var d zone.Delta
	err := retry(ctx, name, func() error {
		z, err := e.live(ctx, name)
		if err != nil {
			return err
		}
		if err := m.ifSerial(name, z.Edition.Serial); err != nil {
			return err
		}
		res, d, err = e.rollback(ctx, history, z, to, dry, m)
		return err
	})
	return res, d, err
}

func (e *Editor) rollback(ctx context.Context, history HistoryStore, z fleet.Zone, to zone.Serial, dry bool, m Meta) (Result, zone.Delta, error) {
	before := z.Edition.Serial
	res := Result{Zone: z.Name, Action: Unchanged, Before: &before, Serial: before, RRsets: z.Edition.RRsets, Records: z.Edition.Records}
	versions, err := history.Versions(ctx, z.Edition.ID)
	if err != nil {
		return res, zone.Delta{}, err
	}
	version, err := hadOnce(z, versions, to)
	if err != nil {
		return res, zone.Delta{}, err
	}
	if to == before {
		return res, zone.Delta{OldSOA: z.Edition.SOA, NewSOA: z.Edition.SOA}, nil
	}
	now, then, err := e.parts(ctx, history, z, version)
	if err != nil {
		return res, zone.Delta{}, err
	}
	if z.Edition.Signed || then.Signed() {
		return res, zone.Delta{}, report.Hint(fmt.Errorf("zone %q arrived signed, now or at serial %d: it is served as it is, and no earlier version can get a new serial", z.Name, to),
			"go back where it is signed, and import it again")
	}
	if then, err = withSerial(then, before.Next(z.SerialStyle, e.Now())); err != nil {
		return res, zone.Delta{}, err
	}
	d := zone.Diff(now, then)
	if d.Empty() && now.SOA() == then.SOA().WithSerial(before) && now.SOASet().TTL == then.SOASet().TTL {
		return res, zone.Delta{OldSOA: z.Edition.SOA, NewSOA: z.Edition.SOA}, nil
	}
	res.Action, res.Serial = RolledBack, then.Serial()
	res.Removed, res.Added = d.Records()
	res.RRsets += then.RRsets() - now.RRsets()
	res.Records += then.Records() - now.Records()
	if dry {
		return res, d, nil
	}
	ed := fleet.Edit{Zone: z, Base: z.Edition.Version, Delta: d, RRsets: res.RRsets, Records: res.Records,
		Octets: z.Edition.Octets + then.Octets() - now.Octets()}
	if len(d.Removed)+len(d.Added) <= stageAbove {
		ed.Put, ed.Drop = rows(d, then)
	} else if ed.Staged, err = e.stageChanged(ctx, z, d); err != nil {
		return res, d, err
	}
	_, err = e.Store.Commit(ctx, fleet.Commit{Edits: []fleet.Edit{ed}, Actor: m.Actor, Command: m.Command, Comment: m.Comment})
	return res, d, err
}

// hadOnce is the version that has the serial: exactly one that can be had again
// must.
func hadOnce(z fleet.Zone, versions []fleet.Version, serial zone.Serial) (version int64, err error) {
	n := 0
	for _, v := range versions {
		if v.Serial == serial {
			n, version = n+1, v.Version
		}
	}
	switch {
	case n == 1:
		return version, nil
	case n > 1:
		return 0, report.Hint(fmt.Errorf("zone %q has had serial %d %d times (serials wrap, RFC 1982): which one is meant is not clear", z.Name, serial, n),
			"go back to the serial before or after it, then make the last change by hand; see: dnsctl zone history "+z.Name.String())
	}
	oldest := versions[len(versions)-1].Serial
	if len(versions) == 1 {
		return 0, report.Hint(fmt.Errorf("zone %q: serial %d is not kept", z.Name, serial), fmt.Sprintf("only the present one, %d, is", oldest))
	}
	return 0, report.Hint(fmt.Errorf("zone %q: serial %d is not kept", z.Name, serial),
		fmt.Sprintf("the oldest that is kept is %d; see: dnsctl zone history %s", oldest, z.Name))
}

// parts is as much of a zone as has changed since a version, as it is and as it
// was: all RRsets of every owner concerned, and the SOA.
func (e *Editor) parts(ctx context.Context, history HistoryStore, z fleet.Zone, since int64) (now, then *zone.Snapshot, err error) {
	deltas, err := history.Since(ctx, z.Edition.ID, since)
	if err != nil {
		return nil, nil, err
	}
	if len(deltas) == 0 { // it was there a moment ago
		return nil, nil, fleet.ErrConflict
	}
	apex := z.Name.Key()
	seen := map[zone.Key]bool{apex: true}
	for _, d := range deltas {
		for _, sets := range [][]zone.RRset{d.Removed, d.Added} {
			for _, set := range sets {
				seen[set.Owner.Key()] = true
			}
		}
	}
	owners := make([]zone.Key, 0, len(seen))
	for k := range seen {
		owners = append(owners, k)
	}
	slices.Sort(owners)
	sets, err := e.Store.Owners(ctx, z.Edition.ID, owners)
	if err != nil {
		return nil, nil, err
	}
	b := zone.NewBuilder(z.Name, len(sets))
	for _, set := range sets {
		b.Add(set)
	}
	if now, err = b.Build(); err != nil {
		return nil, nil, fmt.Errorf("%w: zone %q: %w", fleet.ErrCorrupt, z.Name, err)
	}
	if now.SOASet() != z.Edition.SOA { // read after somebody else's change
		return nil, nil, fleet.ErrConflict
	}
	then = now
	for _, d := range slices.Backward(deltas) {
		if then, err = then.Apply(d.Reverse()); err != nil {
			return nil, nil, fmt.Errorf("%w: zone %q: %w", fleet.ErrCorrupt, z.Name, err)
		}
	}
	return now, then, nil
}

// stageChanged writes the whole changed content ahead, where that many RRsets
// change that one transaction would be long.
func (e *Editor) stageChanged(ctx context.Context, z fleet.Zone, d zone.Delta) (fleet.StagedContent, error) {
	all, version, err := e.Store.Snapshot(ctx, z.Edition.ID)
	if err != nil {
		return fleet.StagedContent{}, err
	}
	if version != z.Edition.Version {
		return fleet.StagedContent{}, fleet.ErrConflict
	}
	if all, err = all.Apply(d); err != nil {
		return fleet.StagedContent{}, errors.Join(fleet.ErrCorrupt, err)
	}
	return e.Store.Stage(ctx, all)
}
