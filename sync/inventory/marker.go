package inventory

import (
	"context"
	"errors"
	"fmt"

	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/sync/plan"
	"dnsctl/zone"
)

// verdict is guard 1: whether this store filled the server, and is not older
// than what filled it. zones are those of the inventory, or the marker alone.
func (s *Session) verdict(ctx context.Context, zones []nameserver.ZoneState) plan.Marker {
	found := false
	for _, z := range zones {
		if !fleet.IsMarkerName(z.Name) {
			continue
		}
		if !z.Name.Equal(s.Server.Marker) {
			return wrong("%s", Stranger(z.Name))
		}
		found = true
	}
	if !found {
		return plan.Marker{State: plan.MarkerMissing, Reason: fmt.Sprintf(
			"it carries no marker of this store: see what is on it, then `dnsctl bootstrap %[1]s` or `dnsctl server accept %[1]s`", s.Server.Name)}
	}
	mark, err := s.SoundMark(ctx)
	if err != nil {
		m := wrong("%v", err)
		m.Diverged = Diverged(err)
		return m
	}
	return plan.Marker{State: plan.MarkerSound, Pos: mark.Pos}
}

// Stranger says what the marker of another store or server on a server means.
func Stranger(marker zone.Name) string {
	return fmt.Sprintf("it carries the marker %s, which is another store's or another server's: is its address right, and the store this one?", marker)
}

// SoundMark reads what the server's marker says, over DNS. The error says why it
// is not one that this store put there, or why this store is older than it.
func (s *Session) SoundMark(ctx context.Context) (fleet.Mark, error) {
	mark, err := s.Mark(ctx)
	if err != nil {
		return mark, fmt.Errorf("its marker cannot be read: %w", err)
	}
	return mark, s.judge(ctx, mark)
}

// CheckMarker is guard 1 without an inventory: only the server's own marker is
// looked at, by its control channel and over DNS.
func (s *Session) CheckMarker(ctx context.Context) (plan.Marker, error) {
	m, err := s.Driver.Zone(ctx, s.Server.Marker)
	switch {
	case err == nil:
		v := s.verdict(ctx, []nameserver.ZoneState{m})
		v.Stray = m.Known && !nameserver.SamePrimaries(m.Primaries, s.keys.primaries(fleet.Wanted{Pools: s.MarkerPools()}))
		return v, nil
	case errors.Is(err, nameserver.ErrNoZone):
		return s.verdict(ctx, nil), nil
	}
	return plan.Marker{}, fmt.Errorf("read the marker of server %s: %w", s.Server.Name, err)
}

func wrong(format string, args ...any) plan.Marker {
	return plan.Marker{State: plan.MarkerWrong, Reason: fmt.Sprintf(format, args...)}
}

// Mark reads what the server's marker says, over DNS.
func (s *Session) Mark(ctx context.Context) (fleet.Mark, error) {
	txt, err := s.f.DNS.TXT(ctx, s.Question(s.Server.Marker))
	if err != nil {
		return fleet.Mark{}, err
	}
	return fleet.OpenMark(ctx, s.f.Sealer, txt)
}

// divergence says why another history of this store left a marker.
type divergence string

// Error implements error.
func (d divergence) Error() string { return string(d) }

func diverged(format string, args ...any) error { return divergence(fmt.Sprintf(format, args...)) }

// Diverged says of an error of SoundMark that the marker is this store's, but of
// another history: one of another epoch, or ahead of the feed.
func Diverged(err error) bool {
	var d divergence
	return errors.As(err, &d)
}

// judge says what is wrong with a mark; nil when nothing is.
func (s *Session) judge(ctx context.Context, m fleet.Mark) error {
	id, err := s.f.Store.Identity(ctx)
	if err != nil {
		return fmt.Errorf("the store's own identity cannot be read: %w", err)
	}
	switch {
	case m.Store != id.Store:
		return fmt.Errorf("its marker is that of the store %s, this one is %s", m.Store, id.Store)
	case m.Server != s.Server.ID:
		return fmt.Errorf("its marker is that of another server of this store (number %d, this one is %d): were two swapped?", m.Server, s.Server.ID)
	case m.Epoch > id.Epoch:
		return diverged("its marker is of epoch %d, this store is still in epoch %d: it is an older copy", m.Epoch, id.Epoch)
	case m.Epoch < id.Epoch:
		return diverged("its marker is of epoch %d, and epoch %d was opened since: `dnsctl server accept %s`", m.Epoch, id.Epoch, s.Server.Name)
	}
	head, err := s.f.Store.Head(ctx)
	if err != nil {
		return fmt.Errorf("the store's change feed cannot be read: %w", err)
	}
	if m.Pos > head {
		return diverged("its marker is at position %d of the change feed, this store is at %d only: it is an older copy; `dnsctl db new-epoch` if that is meant", m.Pos, head)
	}
	e, err := s.f.Store.FeedEntry(ctx, m.Pos)
	switch {
	case errors.Is(err, fleet.ErrNotFound):
		// Without the entry's id a fork of this store cannot be told. The server gets
		// the present marker when it next asks for it, as for any other zone.
		return fmt.Errorf("its marker is at position %d of the change feed, which is not kept any more: it has not been transferred for long; if it stays so, `dnsctl server accept %s`", m.Pos, s.Server.Name)
	case err != nil:
		return fmt.Errorf("the store's change feed cannot be read: %w", err)
	case e.ID != m.Entry:
		return diverged("its marker knows position %d of the change feed under another id: this store is a fork; `dnsctl db new-epoch` if that is meant", m.Pos)
	}
	return nil
}

// Question is a question about a zone to this session's server, signed with the
// key in use of the first of its pools that has one.
func (s *Session) Question(name zone.Name) Question {
	return Question{Addr: s.Server.ProbeAddr(), Zone: name, Key: s.keys.probe, OrPlain: nameserver.KnowsKeysByZone(s.Type)}
}
