package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dnsctl/edit"
	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/report"
	"dnsctl/sync/apply"
)

// ReplaceStore is what replacing a server needs of the store.
type ReplaceStore interface {
	Server(ctx context.Context, name string) (fleet.Server, error)
	Marker(ctx context.Context, server int64) (fleet.MarkerState, error)
	Events(ctx context.Context, f fleet.EventFilter) ([]report.Event, error)
	// ReplaceServer has next, which has no marker yet, take the place of the server
	// name. The event "replace" of that has next's name as its result.
	ReplaceServer(ctx context.Context, name, next string, by fleet.By) error
}

// deadTime is how long a server that is to be replaced has to show that it lives.
const deadTime = 10 * time.Second

// Replace gives the name of a dead server to one that was added to take its place,
// and with it its pools, their keys, its zones and its marker; how it is reached is
// the other's. A server that still answers is not replaced, and none that has zones
// already takes the place of another. Nothing is written to either; Run does the
// rest. Replacing it once more by the same is nothing.
func (b *Bootstrapper) Replace(ctx context.Context, store ReplaceStore, next, dead string, m edit.Meta) error {
	if next == dead {
		return report.Fail(report.ExitUsage, fmt.Errorf("server %s cannot take its own place", dead),
			"add the replacement under another name first: dnsctl server add "+dead+"-new")
	}
	old, err := store.Server(ctx, dead)
	if err != nil {
		return err
	}
	v, err := store.Server(ctx, next)
	if errors.Is(err, fleet.ErrNoServer) {
		if done, e := replaced(ctx, store, next, dead); e != nil || done {
			return e
		}
	}
	if err != nil {
		return err
	}
	return apply.WithLock(ctx, b.Locks, old.Name, b.Holder, func(ctx context.Context) error {
		return apply.WithLock(ctx, b.Locks, v.Name, b.Holder, func(ctx context.Context) error {
			if err := b.mayReplace(ctx, store, old, v); err != nil {
				return err
			}
			if err := b.Applier.Edit.DropMarker(ctx, v.Marker, m); err != nil {
				return fmt.Errorf("take the marker of server %s out of the database: %w", v.Name, err)
			}
			return store.ReplaceServer(ctx, old.Name, v.Name, fleet.By{Actor: m.Actor, Command: m.Command, Comment: m.Comment})
		})
	})
}

// replaced says whether next has taken a server's place already.
func replaced(ctx context.Context, store ReplaceStore, next, name string) (bool, error) {
	const enough = 1000
	events, err := store.Events(ctx, fleet.EventFilter{Server: name, Limit: enough})
	if err != nil {
		return false, err
	}
	for _, e := range events {
		if e.Action == "replace" {
			return e.Result == next, nil
		}
	}
	return false, nil
}

// mayReplace refuses what would make two servers of one, or take a server's zones
// for another's.
func (b *Bootstrapper) mayReplace(ctx context.Context, store ReplaceStore, old, next fleet.Server) error {
	state, err := store.Marker(ctx, next.ID)
	if err != nil {
		return err
	}
	if state.Placed != nil || next.State != fleet.Joining {
		return report.Fail(report.ExitWithheld, fmt.Errorf("server %s is one by itself: it has been brought up under that name", next.Name),
			"add another server to take the place of "+old.Name)
	}
	inPools := next
	inPools.Pools = old.Pools
	t, err := b.Fleet.Type(next.Type)
	if err != nil {
		return err
	}
	if err := nameserver.CheckTLS(t, inPools); err != nil {
		return report.Fail(report.ExitUsage, err, "replace it by a server of another type")
	}
	if err := b.isDead(ctx, old, next); err != nil {
		return err
	}
	return b.isEmpty(ctx, next)
}

// isDead fails when a server answers, on its control channel or over DNS. Where the
// replacement is reached by the same address, that cannot be told, and it is not
// asked.
func (b *Bootstrapper) isDead(ctx context.Context, old, next fleet.Server) error {
	ses, err := b.Fleet.Open(ctx, old)
	if err != nil {
		return err
	}
	defer ses.Close()
	ctx, cancel := context.WithTimeout(ctx, deadTime)
	defer cancel()
	answers := func(how string) error {
		return report.Fail(report.ExitWithheld, fmt.Errorf("server %s is not dead: it answers %s", old.Name, how),
			"stop it first; to reach the same nameserver another way: dnsctl server set "+old.Name+"; to retire it: dnsctl server remove "+old.Name)
	}
	if old.Control != next.Control {
		if _, err := ses.Driver.Info(ctx); !errors.Is(err, nameserver.ErrUnreachable) {
			return answers("on its control channel")
		}
	}
	if old.ProbeAddr() != next.ProbeAddr() {
		if _, err := b.Fleet.DNS.TXT(ctx, ses.Question(old.Marker)); err == nil {
			return answers("over DNS")
		}
	}
	return nil
}

// isEmpty fails when a server has zones. One that was made here may not run yet.
func (b *Bootstrapper) isEmpty(ctx context.Context, s fleet.Server) error {
	ses, err := b.Fleet.Open(ctx, s)
	if err != nil {
		return err
	}
	defer ses.Close()
	zones := 0
	err = ses.Driver.Inventory(ctx, func(z nameserver.ZoneState) error {
		if z.Role != nameserver.Other && z.Origin != nameserver.Builtin {
			zones++
		}
		return nil
	})
	switch {
	case err != nil && s.New && errors.Is(err, nameserver.ErrUnreachable):
		return nil
	case err != nil:
		return fmt.Errorf("read the zones of server %s: %w", s.Name, err)
	case zones > 0:
		return report.Fail(report.ExitWithheld, fmt.Errorf("server %s has %s: a replacement begins with none", s.Name, report.Count(zones, "zone")),
			"see them with `dnsctl audit "+s.Name+"`")
	}
	return nil
}
