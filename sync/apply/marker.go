package apply

import (
	"context"
	"errors"
	"fmt"

	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/secret"
	"dnsctl/sync/inventory"
	"dnsctl/sync/plan"
)

// Sealer seals marks.
type Sealer = secret.Sealer

// Advance moves the server's marker to the present head of the feed when what it
// says on the server does not cover position past yet, and waits until the
// server shows it. A marker that is not sound is not repaired here: that is an
// error.
func (a *Applier) Advance(ctx context.Context, s *inventory.Session, past int64, o Options) error {
	mark, err := s.SoundMark(ctx)
	if err != nil || mark.Pos >= past {
		return err
	}
	return a.MoveMarker(ctx, s, o)
}

// MoveMarker writes the marker with the feed's present head, in the pools that
// the server is in, and waits until the server shows it. What it showed before
// was sound.
func (a *Applier) MoveMarker(ctx context.Context, s *inventory.Session, o Options) error {
	mark, err := a.WriteMarker(ctx, s, o)
	if err != nil {
		return err
	}
	if err := a.ConfigureMarker(ctx, s, o); err != nil {
		return err
	}
	if err := s.Driver.Retransfer(ctx, s.Server.Marker); err != nil {
		return fmt.Errorf("retransfer the marker: %w", err)
	}
	return a.proveMarker(ctx, s, mark, o)
}

// ConfigureMarker gives the marker that the server has the primaries and keys
// that it should be transferred with by now. They change when the server moves
// to another pool, and when a key is rotated.
func (a *Applier) ConfigureMarker(ctx context.Context, s *inventory.Session, o Options) error {
	c, err := a.markerConfig(ctx, s)
	if err != nil {
		return err
	}
	z, err := s.Driver.Zone(ctx, c.Name)
	if err != nil {
		return fmt.Errorf("read the marker on the server: %w", err)
	}
	if !z.Known || nameserver.SamePrimaries(z.Primaries, c.Primaries) {
		return nil
	}
	err = a.configure(ctx, s, c, func() { a.event(ctx, o, s, "change", c.Name, nil, z.Detail, "the marker's primaries and keys") })
	if err != nil {
		return fmt.Errorf("change the marker on the server: %w", err)
	}
	return nil
}

func (a *Applier) markerConfig(ctx context.Context, s *inventory.Session) (nameserver.ZoneConfig, error) {
	w, err := a.Store.WantedOne(ctx, s.Server.ID, s.Server.Marker)
	if err != nil {
		return nameserver.ZoneConfig{}, fmt.Errorf("read the marker of server %s: %w", s.Server.Name, err)
	}
	c := s.ZoneConfig(w)
	c.Limited = true
	return c, nil
}

// Place writes the marker with the feed's present head, makes sure that the
// server has the zone, and waits until it answers with it. Only bootstrap and
// server accept may do that.
func (a *Applier) Place(ctx context.Context, s *inventory.Session, o Options) error {
	mark, err := a.WriteMarker(ctx, s, o)
	if err != nil {
		return err
	}
	_, err = s.Driver.Zone(ctx, s.Server.Marker)
	switch {
	case errors.Is(err, nameserver.ErrNoZone):
		c, err := a.markerConfig(ctx, s)
		if err != nil {
			return err
		}
		if err := s.Driver.Add(ctx, c); err != nil && !errors.Is(err, nameserver.ErrExists) {
			return fmt.Errorf("add the marker: %w", err)
		}
	case err != nil:
		return fmt.Errorf("read the marker on the server: %w", err)
	default:
		if err := a.ConfigureMarker(ctx, s, o); err != nil {
			return err
		}
		if err := s.Driver.Retransfer(ctx, s.Server.Marker); err != nil {
			return fmt.Errorf("retransfer the marker: %w", err)
		}
	}
	return a.proveMarker(ctx, s, mark, o)
}

// WriteMarker writes the marker zone in the database with the feed's present
// head.
func (a *Applier) WriteMarker(ctx context.Context, s *inventory.Session, o Options) (fleet.Mark, error) {
	id, err := a.Store.Identity(ctx)
	if err != nil {
		return fleet.Mark{}, err
	}
	head, err := a.Store.Head(ctx)
	if err != nil {
		return fleet.Mark{}, err
	}
	m := fleet.Mark{Store: id.Store, Epoch: id.Epoch, Server: s.Server.ID, Pos: head}
	if head > 0 {
		e, err := a.Store.FeedEntry(ctx, head)
		if err != nil {
			return fleet.Mark{}, fmt.Errorf("read entry %d of the change feed: %w", head, err)
		}
		m.Entry = e.ID
	}
	txt, err := m.TXT(ctx, a.Sealer)
	if err != nil {
		return fleet.Mark{}, err
	}
	if _, err := a.Edit.Marker(ctx, s.Server.Marker, txt, s.MarkerPools(), o.Meta); err != nil {
		return fleet.Mark{}, fmt.Errorf("write the marker of server %s: %w", s.Server.Name, err)
	}
	return m, a.Store.SetMarker(ctx, s.Server.ID, head, false)
}

// proveMarker waits until the server answers with at least this mark. A
// retransfer is asked for again from time to time: the primary may not have
// seen the new serial yet when the first one was.
func (a *Applier) proveMarker(ctx context.Context, s *inventory.Session, m fleet.Mark, o Options) error {
	proof := o.ProveFor
	if proof == 0 {
		proof = defaultProof
	}
	deadline := a.Now().Add(proof)
	nudge := a.Now().Add(nudgeMarker)
	for wait := askSoon; ; wait = min(2*wait, askEvery) {
		// An old marker that is ahead of us proves nothing: it must be sound.
		got, err := s.SoundMark(ctx)
		if err == nil && got.Pos >= m.Pos {
			return a.Store.SetMarker(ctx, s.Server.ID, got.Pos, true)
		}
		if err == nil {
			err = fmt.Errorf("it shows the marker at position %d, not %d", got.Pos, m.Pos)
		}
		if now := a.Now(); now.After(deadline) {
			return fmt.Errorf("the server does not show its marker within %s: %w (does `dnsctl mdns serve` run, and can the server reach it?)", proof, err)
		} else if now.After(nudge) {
			if err := s.Driver.Retransfer(ctx, s.Server.Marker); err != nil {
				return fmt.Errorf("retransfer the marker: %w", err)
			}
			nudge = now.Add(nudgeAfter)
		}
		if err := inventory.Pause(ctx, wait); err != nil {
			return err
		}
	}
}

// markerStillOurs reads the marker again, right before deletions.
func (r *run) markerStillOurs(ctx context.Context) error {
	m, err := r.s.CheckMarker(ctx)
	if err != nil {
		return fmt.Errorf("the marker could not be read again: %w", err)
	}
	if m.State != plan.MarkerSound {
		return errors.New(m.Reason)
	}
	return nil
}
