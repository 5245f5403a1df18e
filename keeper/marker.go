package keeper

import (
	"context"
	"errors"
	"fmt"

	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/sync/apply"
	"dnsctl/sync/inventory"
	"dnsctl/sync/plan"
)

// look reads the marker: guard 1 holds for everything that follows.
func (l *leader) look(ctx context.Context, sec *secondary, s fleet.Server) error {
	ses, err := l.Fleet.Open(ctx, s)
	if err != nil {
		return err
	}
	defer ses.Close()
	for len(sec.strangers) > 0 {
		switch _, err := ses.Driver.Zone(ctx, sec.strangers[0]); {
		case err == nil:
			l.setBlocked(sec, block{code: MarkerWrong, reason: inventory.Stranger(sec.strangers[0])})
			return nil
		case !errors.Is(err, nameserver.ErrNoZone):
			return err
		}
		sec.strangers = sec.strangers[1:]
	}
	mark, err := ses.CheckMarker(ctx)
	if err != nil {
		return err
	}
	l.looked(sec, mark)
	if mark.State == plan.MarkerSound {
		l.Applier.OfferKeys(ctx, ses, l.Meta)
	}
	if mark.Stray { // a key was rotated, and the server knows the new one by now
		l.setDirty(sec)
	}
	if mark.State == plan.MarkerMissing && l.Now().Sub(sec.sought) > markerEvery {
		// Whose is there instead, as after two servers were swapped, only the whole
		// list says.
		sec.sought = l.Now()
		if err := sec.seek(ctx, ses); err != nil {
			return err
		}
		if len(sec.strangers) > 0 {
			return l.look(ctx, sec, s)
		}
	}
	l.setBlocked(sec, blockOf(mark))
	return nil
}

// seek looks for markers of others on the server.
func (sec *secondary) seek(ctx context.Context, ses *inventory.Session) error {
	sec.strangers = nil
	err := ses.Driver.Inventory(ctx, func(z nameserver.ZoneState) error {
		if fleet.IsMarkerName(z.Name) && !z.Name.Equal(sec.server.Marker) {
			sec.strangers = append(sec.strangers, z.Name)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the zones of server %s: %w", sec.server.Name, err)
	}
	return nil
}

// moveMarker lets the marker follow the feed, unless it is not sound any more. Its
// own feed entries move it no further, and NOTIFY takes it to the server. It
// never goes back: whoever moves it holds the server's lock.
func (l *leader) moveMarker(ctx context.Context, s fleet.Server) error {
	return apply.WithLock(ctx, l.Store, s.Name, l.Holder, func(ctx context.Context) error {
		ses, err := l.Fleet.Open(ctx, s)
		if err != nil {
			return err
		}
		defer ses.Close()
		if _, err := ses.SoundMark(ctx); err != nil {
			return err
		}
		o := apply.Options{Meta: l.Meta}
		if _, err := l.Applier.WriteMarker(ctx, ses, o); err != nil {
			return err
		}
		return l.Applier.ConfigureMarker(ctx, ses, o)
	})
}
