package apply

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"dnsctl/nameserver"
	"dnsctl/report"
	"dnsctl/sync/inventory"
	"dnsctl/sync/plan"
	"dnsctl/zone"
)

const (
	// deadFor is how long a server may take to transfer from a primary where something
	// is seen to be wrong from here: it may be reached otherwise from there.
	deadFor   = 5 * time.Second
	cleanTime = 30 * time.Second
)

// ErrUnreached is wrapped when a server does not transfer zones from a primary.
var ErrUnreached = errors.New("the nameserver gets no zone from a primary")

// Reach proves that a server can transfer zones from each of its primaries: it is given
// a zone without content, which it transfers from one after the other, and which then
// goes. reached is false when it has transferred it from none; err joins what was seen
// of each that it has not, wrapped ErrUnreached, or is another error.
func (a *Applier) Reach(ctx context.Context, s *inventory.Session, o Options) (reached bool, err error) {
	name, err := s.ReachName(ctx)
	if err != nil {
		return false, err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTime)
		defer cancel()
		gone := s.Driver.Delete(ctx, name)
		if errors.Is(gone, nameserver.ErrNoZone) {
			gone = nil
		}
		if gone = errors.Join(gone, a.Edit.DropMarker(ctx, name, o.Meta)); gone != nil {
			err = errors.Join(err, fmt.Errorf("remove the zone %s by which it was tried: %w", name, gone))
		}
	}()
	var failed []error
	for _, ref := range s.Primaries() {
		err := a.reach(ctx, s, ref, name, o)
		switch {
		case err == nil:
			reached = true
		case errors.Is(err, ErrUnreached):
			failed = append(failed, err)
		default:
			return reached, err
		}
	}
	return reached, errors.Join(failed...)
}

// reach is Reach for one primary.
func (a *Applier) reach(ctx context.Context, s *inventory.Session, ref nameserver.PrimaryRef, name zone.Name, o Options) error {
	serial, err := a.Edit.Marker(ctx, name, "can "+s.Server.Name+" reach "+ref.Addr.String(), s.MarkerPools(), o.Meta)
	if err != nil {
		return err
	}
	proof := o.ProveFor
	if proof == 0 {
		proof = defaultProof
	}
	c := nameserver.ZoneConfig{Name: name, Incarnation: "reach", Primaries: []nameserver.PrimaryRef{ref}, Limited: true}
	err = s.Driver.Add(ctx, c)
	if errors.Is(err, nameserver.ErrExists) {
		err = s.Driver.Change(ctx, c)
	}
	if err != nil {
		return fmt.Errorf("try primary %s: %w", ref.Addr, err)
	}
	begun := a.Now()
	var nudge time.Time
	for last, why := "", ""; ; {
		now := a.Now()
		if now.After(nudge) {
			if err := s.Driver.Retransfer(ctx, name); err != nil {
				return fmt.Errorf("try primary %s: %w", ref.Addr, err)
			}
			nudge = now.Add(nudgeAfter)
			if why = s.Suspect(ctx, ref, name); why != "" {
				proof = min(proof, deadFor)
			}
		}
		var got plan.Probe
		if err := a.DNS.SOAs(ctx, 1, func(int) inventory.Question { return s.Question(name) }, func(_ int, p plan.Probe) { got = p }); err != nil {
			return err
		}
		if got.Serves && got.Serial == serial {
			return nil
		}
		if last = got.Err; got.Serves {
			last = "it has what it got from another primary"
		}
		if now.Sub(begun) > proof {
			if why == "" && ref.TLS != "" {
				why = "what is between them, or what it makes of the primary's certificate (" + ref.TLS + ")"
			}
			return report.Hint(fmt.Errorf("%w: %s: %s; the nameserver: %s", ErrUnreached, ref.Addr,
				cmp.Or(why, "it answers when it is asked from here, so it is what is between them: a firewall, or the address that it asks from"), last),
				"does `dnsctl mdns serve` run at that address, and may the nameserver ask it over TCP?")
		}
		if err := inventory.Pause(ctx, askEvery); err != nil {
			return err
		}
	}
}
