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

// Step gives zones a serial past their own and past those that nameservers were
// found to have, as the beginning of an epoch; nothing else of them changes. All
// of them go in one commit; those that somebody changes meanwhile are stepped
// one by one. It returns what could not be stepped, by name; a zone that is gone
// is left out. Zones that arrived signed cannot be stepped and must not be given.
func (e *Editor) Step(ctx context.Context, zones []fleet.Zone, had map[zone.Key][]zone.Serial, epoch int64, m Meta) (map[zone.Name]error, error) {
	failed := make(map[zone.Name]error)
	c := fleet.Commit{Actor: m.Actor, Command: m.Command, Comment: m.Comment}
	for _, z := range zones {
		ed, err := e.stepEdit(z, had[z.Name.Key()], epoch)
		if err != nil {
			failed[z.Name] = err
			continue
		}
		c.Edits = append(c.Edits, ed)
	}
	if len(c.Edits) == 0 {
		return failed, nil
	}
	_, err := e.Store.Commit(ctx, c)
	if !errors.Is(err, fleet.ErrConflict) && !errors.Is(err, fleet.ErrNoZone) && !errors.Is(err, fleet.ErrPurged) {
		return failed, err
	}
	for _, ed := range c.Edits {
		name := ed.Zone.Name
		err := retry(ctx, name, func() error {
			z, err := e.Store.Zone(ctx, name)
			if errors.Is(err, fleet.ErrNoZone) || err == nil && (z.Deleted != nil || z.Edition.Signed) {
				return nil
			}
			if err != nil {
				return err
			}
			one, err := e.stepEdit(z, had[name.Key()], epoch)
			if err != nil {
				failed[name] = err
				return nil
			}
			_, err = e.Store.Commit(ctx, fleet.Commit{Edits: []fleet.Edit{one}, Actor: m.Actor, Command: m.Command, Comment: m.Comment})
			return err
		})
		if err != nil {
			return failed, err
		}
	}
	return failed, nil
}

func (e *Editor) stepEdit(z fleet.Zone, had []zone.Serial, epoch int64) (fleet.Edit, error) {
	last := z.Edition.Serial
	for _, s := range had {
		if s.Ahead(last) {
			last = s
		}
	}
	next := last.Next(z.SerialStyle, e.Now())
	for _, s := range slices.Concat(had, []zone.Serial{z.Edition.Serial}) {
		if !next.Ahead(s) {
			return fleet.Edit{}, report.Hint(fmt.Errorf("no serial is ahead of both %d and %d (RFC 1982)", last, s),
				"the nameserver is told to transfer it anew by: dnsctl sync")
		}
	}
	ed, err := soaEdit(z, next)
	ed.Epoch = epoch
	return ed, err
}
