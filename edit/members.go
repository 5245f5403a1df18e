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

// Change is what Set changes of a zone's settings.
type Change struct {
	AddPools, RemovePools []string
	SerialStyle           zone.SerialStyle // "" leaves it
	Group                 *string          // of catalogs; nil leaves it
	Priority              *int             // nil leaves it
}

// Set changes a zone's pools, serial style, group or priority.
func (e *Editor) Set(ctx context.Context, name zone.Name, c Change, m Meta) (Result, error) {
	z, err := e.live(ctx, name)
	if err != nil {
		return Result{}, err
	}
	res := Result{Zone: z.Name, Action: Unchanged, Before: &z.Edition.Serial, Serial: z.Edition.Serial, RRsets: z.Edition.RRsets, Records: z.Edition.Records}
	mc := fleet.MemberChange{Zone: z}
	var add, remove []string
	for _, p := range c.AddPools {
		if !slices.Contains(z.Pools, p) {
			add = append(add, p)
		}
	}
	for _, p := range c.RemovePools {
		if slices.Contains(z.Pools, p) {
			remove = append(remove, p)
		}
	}
	if len(remove) > 0 && len(z.Pools)+len(add) == len(remove) {
		return Result{}, report.Hint(fmt.Errorf("zone %q would be in no pool", name), "to take it off every nameserver: dnsctl zone delete "+name.String())
	}
	if c.SerialStyle != z.SerialStyle {
		mc.SerialStyle = c.SerialStyle
	}
	if c.Group != nil && *c.Group != z.Group {
		if err := fleet.CheckGroup(*c.Group); err != nil {
			return Result{}, report.Fail(report.ExitUsage, err, "a group is a name that the nameservers' configuration knows")
		}
		mc.Group = c.Group
	}
	if c.Priority != nil && *c.Priority != z.Priority {
		if err := fleet.CheckPriority(*c.Priority); err != nil {
			return Result{}, report.Fail(report.ExitUsage, err, "zones of a higher priority come first; 0 is usual")
		}
		mc.Priority = c.Priority
	}
	if len(add) == 0 && len(remove) == 0 && mc.SerialStyle == "" && mc.Group == nil && mc.Priority == nil {
		return res, nil
	}
	if mc.AddPools, err = e.poolIDs(ctx, add); err != nil {
		return Result{}, err
	}
	if mc.RemovePools, err = e.poolIDs(ctx, remove); err != nil {
		return Result{}, err
	}
	res.Action = Changed
	_, err = e.Store.Commit(ctx, fleet.Commit{Members: []fleet.MemberChange{mc}, Actor: m.Actor, Command: m.Command, Comment: m.Comment})
	return res, err
}

// Delete takes zones off: their memberships become tombstones, their content
// stays until it is purged, which with purge is at once. All of them go in one
// commit, or none. A zone that is deleted already is only purged.
func (e *Editor) Delete(ctx context.Context, names []zone.Name, purge bool, m Meta) ([]Result, error) {
	c := fleet.Commit{Actor: m.Actor, Command: m.Command, Comment: m.Comment}
	var out []Result
	for _, n := range names {
		z, err := e.Store.Zone(ctx, n)
		if err != nil {
			return nil, err
		}
		if z.Kind != fleet.Ordinary {
			return nil, untouchable(z)
		}
		if err := m.ifSerial(n, z.Edition.Serial); err != nil {
			return nil, err
		}
		res := Result{Zone: z.Name, Action: Deleted, Before: &z.Edition.Serial, Serial: z.Edition.Serial}
		switch {
		case z.Deleted != nil && (z.Purged || !purge):
			res.Action = Unchanged
		case purge:
			res.Action = Purged
			fallthrough
		default:
			c.Members = append(c.Members, fleet.MemberChange{Zone: z, Delete: z.Deleted == nil, Purge: purge})
		}
		out = append(out, res)
	}
	if len(c.Members) == 0 {
		return out, nil
	}
	_, err := e.Store.Commit(ctx, c)
	return out, err
}

// Undelete brings back a deleted zone with its content, under a new serial, in
// the pools it was in.
func (e *Editor) Undelete(ctx context.Context, name zone.Name, m Meta) (Result, error) {
	var res Result
	err := retry(ctx, name, func() error {
		z, err := e.Store.Zone(ctx, name)
		if err != nil {
			return err
		}
		switch {
		case z.Kind != fleet.Ordinary:
			return untouchable(z)
		case z.Deleted == nil:
			return report.Hint(fmt.Errorf("zone %q is not deleted", name), "look at it with: dnsctl zone show "+name.String())
		case z.Purged:
			return report.Hint(fmt.Errorf("zone %q was purged: its content is gone", name), "make it again with zone create or zone import")
		}
		c := fleet.Commit{Actor: m.Actor, Command: m.Command, Comment: m.Comment, Members: []fleet.MemberChange{{Zone: z, Undelete: true}}}
		before := z.Edition.Serial
		res = Result{Zone: z.Name, Action: Undeleted, Before: &before, Serial: before, RRsets: z.Edition.RRsets, Records: z.Edition.Records}
		if !z.Edition.Signed { // a signed zone cannot be re-serialled; its content is the same, so its serial may be
			serial := before.Next(z.SerialStyle, e.Now())
			last, err := e.Store.LastSerial(ctx, name)
			if err != nil {
				return err
			}
			if last != nil && !serial.Ahead(*last) { // a later zone of this name has come and gone
				serial = last.Next(z.SerialStyle, e.Now())
			}
			ed, err := soaEdit(z, serial)
			if err != nil {
				return err
			}
			c.Edits = []fleet.Edit{ed}
			res.Serial = ed.Delta.To()
		}
		_, err = e.Store.Commit(ctx, c)
		return err
	})
	if errors.Is(err, fleet.ErrExists) {
		return Result{}, report.Hint(fmt.Errorf("a zone %q was made again since", name), "delete that one first, or leave the old one deleted")
	}
	return res, err
}

// soaEdit is an edit that changes nothing but the serial.
func soaEdit(z fleet.Zone, serial zone.Serial) (fleet.Edit, error) {
	soa, err := zone.ParseSOA(z.Edition.SOA.Data.First())
	if err != nil {
		return fleet.Edit{}, fmt.Errorf("zone %q: %w", z.Name, err)
	}
	set := z.Edition.SOA
	set.Data = zone.PackRdata(soa.WithSerial(serial).Rdata())
	return fleet.Edit{Zone: z, Base: z.Edition.Version, Put: []zone.RRset{set}, Delta: zone.Delta{OldSOA: z.Edition.SOA, NewSOA: set},
		Signed: z.Edition.Signed, RRsets: z.Edition.RRsets, Records: z.Edition.Records, Octets: z.Edition.Octets}, nil
}
