// Package edit is the only way to write a zone: load, change, check, choose the
// serial, commit. Everything is computed outside the database; the commit states
// the version it was computed from and is done again when somebody was faster.
package edit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dnsctl/fleet"
	"dnsctl/report"
	"dnsctl/zone"
)

// Store is what edit needs of the store.
type Store interface {
	// Zone is the live zone of this name, else the one deleted last;
	// fleet.ErrNoZone when there was never one.
	Zone(ctx context.Context, name zone.Name) (fleet.Zone, error)
	// Present is that for many names, by their keys, with the content of what is live
	// and not large; names that no zone has had are left out.
	Present(ctx context.Context, names []zone.Name) (map[zone.Key]fleet.Present, error)
	Pool(ctx context.Context, name string) (fleet.Pool, error)
	// LastSerial is that of the latest earlier zone of this name; nil when there
	// is none.
	LastSerial(ctx context.Context, name zone.Name) (*zone.Serial, error)
	// Snapshot loads an edition's content and the version it is.
	Snapshot(ctx context.Context, edition int64) (*zone.Snapshot, int64, error)
	// At is the RRsets of some owners of an edition, in canonical order.
	Owners(ctx context.Context, edition int64, owners []zone.Key) ([]zone.RRset, error)
	// Members is every membership in a pool, ended ones too, that zones of these
	// names have had; EachMember yields the live ones of all names and returns the
	// feed position that they are the state of.
	Members(ctx context.Context, pool int64, names []zone.Name) ([]fleet.Membership, error)
	EachMember(ctx context.Context, pool int64, yield func(fleet.Membership) error) (int64, error)
	Stage(ctx context.Context, content *zone.Snapshot) (fleet.StagedContent, error)
	// Commit returns fleet.ErrConflict when an edit's base version has moved,
	// fleet.ErrExists when a live zone has a created one's name.
	Commit(ctx context.Context, c fleet.Commit) ([]fleet.Committed, error)
}

// Editor writes zones.
type Editor struct {
	Store Store
	Now   func() time.Time
}

// Meta says who makes a change, and under which condition.
type Meta struct {
	Actor    report.Actor
	Command  string
	Comment  string
	IfSerial *zone.Serial // the zone must still have this serial
}

// What became of a zone.
const (
	Created   = "created"
	Changed   = "changed"
	Unchanged = "unchanged"
	Deleted   = "deleted"
	Undeleted = "undeleted"
	Purged    = "purged"
)

// Result is what became of one zone.
type Result struct {
	Zone           zone.Name
	Action         string
	Before         *zone.Serial // nil when it is new
	Serial         zone.Serial
	Added, Removed int // records
	RRsets         int
	Records        int
	Warnings       []Warning
}

// Warning is something that does not stop a change but that a person should see.
type Warning struct {
	Place string // "file:line", or ""
	Text  string
}

// retries bounds how often a change is computed again because somebody was
// faster.
const retries = 20

// retry runs change until it does not end in a conflict.
func retry(ctx context.Context, name zone.Name, change func() error) error {
	var err error
	for range retries {
		if err = change(); !errors.Is(err, fleet.ErrConflict) {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return report.Hint(fmt.Errorf("zone %q: changed by others %d times while this change was made: %w", name, retries, err),
		"run the command again")
}

// live is the live ordinary zone of this name.
func (e *Editor) live(ctx context.Context, name zone.Name) (fleet.Zone, error) {
	z, err := e.Store.Zone(ctx, name)
	if err != nil {
		return fleet.Zone{}, err
	}
	if z.Kind != fleet.Ordinary {
		return fleet.Zone{}, untouchable(z)
	}
	if z.Deleted != nil {
		return fleet.Zone{}, report.Hint(fmt.Errorf("zone %q was deleted on %s", name, z.Deleted.UTC().Format(time.RFC3339)),
			fmt.Sprintf("bring it back with: dnsctl zone undelete %s", name))
	}
	return z, nil
}

func untouchable(z fleet.Zone) error {
	return report.Hint(fmt.Errorf("zone %q is a %s zone that dnsctl keeps for itself", z.Name, z.Kind),
		"zone and record commands leave it alone")
}

// reserved refuses names that only dnsctl itself makes zones of.
func reserved(name zone.Name) error {
	if name.Under(fleet.MarkerParent) {
		return report.Fail(report.ExitUsage, fmt.Errorf("zone %q: names under %s are dnsctl's own", name, fleet.MarkerParent), "choose another name")
	}
	return nil
}

// ifSerial checks the caller's precondition.
func (m Meta) ifSerial(name zone.Name, have zone.Serial) error {
	if m.IfSerial != nil && *m.IfSerial != have {
		return report.Hint(fmt.Errorf("zone %q is at serial %d, not %d: somebody was faster", name, have, *m.IfSerial),
			"look at the zone again, then repeat the change with its present serial")
	}
	return nil
}

// poolIDs resolves pool names.
func (e *Editor) poolIDs(ctx context.Context, names []string) ([]int64, error) {
	ids := make([]int64, 0, len(names))
	for _, n := range names {
		p, err := e.Store.Pool(ctx, n)
		if err != nil {
			return nil, err
		}
		ids = append(ids, p.ID)
	}
	return ids, nil
}
