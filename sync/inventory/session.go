// Package inventory looks at a nameserver: the zones it has by its control
// channel, what it answers for them over DNS, its marker, and what the database
// wants of it. The result is the input of a plan.
package inventory

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/report"
	"dnsctl/secret"
	"dnsctl/sync/plan"
	"dnsctl/zone"
)

// Store is what a look needs of the store.
type Store interface {
	Identity(ctx context.Context) (fleet.Identity, error)
	Head(ctx context.Context) (int64, error)
	// FeedEntry is the entry at a position; fleet.ErrNotFound when its id is not
	// kept any more.
	FeedEntry(ctx context.Context, pos int64) (fleet.FeedEntry, error)
	Keys(ctx context.Context) ([]fleet.Key, error)
	// Wanted yields what the server should have, in canonical order, all from one
	// database snapshot, and returns that snapshot's feed position.
	Wanted(ctx context.Context, server int64, yield func(fleet.Wanted) error) (int64, error)
	// Witnesses yields the RRsets of the server's zones that change with their content,
	// in canonical order of zones: the SOA's RRSIG, and ZONEMD.
	Witnesses(ctx context.Context, server int64, yield func(zone.Key, zone.RRset) error) error
	// Moved yields the server's zones whose membership began after a position of the
	// feed and that, or others of their names, had another one before, in any order.
	Moved(ctx context.Context, server, after int64, yield func(zone.Key) error) error
	// WantedAmong is those of the names, none of them twice, that are wanted there.
	WantedAmong(ctx context.Context, server int64, names []zone.Name) ([]fleet.Wanted, error)
	// TombstonesAmong is the names, none of them twice, that the server once should
	// have had and should not have now.
	TombstonesAmong(ctx context.Context, server int64, names []zone.Name) ([]fleet.Tombstone, error)
	Protected(ctx context.Context, server int64) ([]zone.Name, error)
	ForeignDeletions(ctx context.Context, server int64, since time.Time) (int, error)
	Zone(ctx context.Context, name zone.Name) (fleet.Zone, error)
	// Content yields an edition's RRsets in canonical order, from one state of the
	// database.
	Content(ctx context.Context, edition int64, yield func(zone.Key, zone.RRset) error) error
}

// Asker is what is asked over DNS.
type Asker interface {
	// SOAs asks n questions, each for a zone's SOA, and calls got for each answer,
	// from one goroutine, in any order. A question may be called for twice.
	SOAs(ctx context.Context, n int, question func(i int) Question, got func(i int, p plan.Probe)) error
	// Glance is SOAs for who asks again anyway: it does not wait for the answers that
	// take far longer than the others, as those do that got lost, and does not call got
	// for these.
	Glance(ctx context.Context, n int, question func(i int) Question, got func(i int, p plan.Probe)) error
	// Witnesses asks for RRsets of zones' apexes, RRSIG or ZONEMD, as SOAs does; has is
	// false when the answer does not tell.
	Witnesses(ctx context.Context, n int, question func(i int) (Question, zone.Type), got func(i int, data zone.Rdata, has bool)) error
	// TXT is the first TXT record at name, as one text.
	TXT(ctx context.Context, q Question) (string, error)
	// Accepts asks for the zone's SOA to find out whether the server takes the
	// question's key.
	Accepts(ctx context.Context, q Question) Acceptance
	// Transfer is the zone's content as the server has it.
	Transfer(ctx context.Context, q Question) (*zone.Snapshot, error)
	// Walk is Transfer for content that need not be kept: put gets each RRset, or
	// pieces of it, as it arrives. What it got counts only when the error is nil.
	Walk(ctx context.Context, q Question, put func(zone.Key, zone.RRset)) error
}

// Fleet opens sessions with nameservers.
type Fleet struct {
	Store  Store
	Types  []nameserver.Type
	Sealer secret.Sealer
	DNS    Asker
	Now    func() time.Time

	proofs proofs
	once   sync.Once
	room   *semaphore.Weighted // for the contents being compared, in RRsets
}

// Session is a nameserver being looked at or worked on; it belongs to one
// goroutine.
type Session struct {
	Server fleet.Server
	Driver nameserver.Driver
	Type   nameserver.Type
	keys   keyring
	f      *Fleet
}

// Type is the nameserver type of this name.
func (f *Fleet) Type(name string) (nameserver.Type, error) {
	for _, t := range f.Types {
		if t.Name() == name {
			return t, nil
		}
	}
	return nil, fmt.Errorf("nameserver type %q is not known", name)
}

// Open prepares a session; the first call connects.
func (f *Fleet) Open(ctx context.Context, s fleet.Server) (*Session, error) {
	t, err := f.Type(s.Type)
	if err != nil {
		return nil, err
	}
	if err := nameserver.CheckTLS(t, s); err != nil {
		return nil, report.Fail(report.ExitUsage, err, "take it out of the pool, or give the pool primaries without TLS: dnsctl pool set --require-tls=false --primary")
	}
	var cred secret.Plain
	if len(s.Credential) > 0 {
		if cred, err = f.Sealer.Open(ctx, s.Credential); err != nil {
			return nil, fmt.Errorf("open the control credential of server %s: %w", s.Name, err)
		}
	}
	ses := &Session{Server: s, Type: t, f: f}
	if ses.keys, err = f.keyring(ctx, s); err != nil {
		return nil, err
	}
	ses.Driver, err = t.Open(nameserver.Target{Server: s, Credential: cred, Key: ses.key,
		Transfer: func(ctx context.Context, n zone.Name) (content *zone.Snapshot, err error) {
			err = ses.transfer(n, func(q Question) error {
				content, err = f.DNS.Transfer(ctx, q)
				return err
			})
			return content, err
		}})
	if err != nil {
		return nil, fmt.Errorf("open server %s: %w", s.Name, err)
	}
	return ses, nil
}

// Close ends the session.
func (s *Session) Close() error { return s.Driver.Close() }

// Wanted reads the whole list, the server's own marker left out, in one
// snapshot, with its feed position.
func (s *Session) Wanted(ctx context.Context) ([]fleet.Wanted, int64, error) {
	var out []fleet.Wanted
	pos, err := s.f.Store.Wanted(ctx, s.Server.ID, func(w fleet.Wanted) error {
		if w.Kind == fleet.Ordinary {
			out = append(out, w)
		}
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("read what server %s should have: %w", s.Server.Name, err)
	}
	return out, pos, nil
}

// LookAt is Look for some zones only: each is read afresh, nothing else is
// looked at, and the plan that results is partial.
func (s *Session) LookAt(ctx context.Context, names []zone.Name) (plan.Input, error) {
	in := s.input()
	in.Partial = true
	tombs, err := s.f.Store.TombstonesAmong(ctx, s.Server.ID, names)
	if err != nil {
		return in, fmt.Errorf("read tombstones: %w", err)
	}
	if err := s.lists(ctx, &in, tombs); err != nil {
		return in, err
	}
	if in.Wanted, err = s.f.Store.WantedAmong(ctx, s.Server.ID, names); err != nil {
		return in, err
	}
	states, err := s.afresh(ctx, names, func(int) {})
	if err != nil {
		return in, err
	}
	var zones []nameserver.ZoneState
	for _, z := range states {
		if z != nil {
			zones = append(zones, *z)
		}
	}
	if in.Marker, err = s.CheckMarker(ctx); err != nil {
		return in, err
	}
	in.Have, err = s.probe(ctx, in.Wanted, zones)
	return in, err
}

func (s *Session) input() plan.Input {
	return plan.Input{Server: s.Server, Primaries: s.keys.primaries, Ours: s.keys.ours, CanHold: s.Type.CanHold,
		Tombstones: make(map[zone.Key]fleet.Tombstone), Protected: make(map[zone.Key]bool)}
}

// lists adds what the store knows beside the wanted list.
func (s *Session) lists(ctx context.Context, in *plan.Input, tombs []fleet.Tombstone) error {
	for _, t := range tombs {
		in.Tombstones[t.Name.Key()] = t
	}
	prot, err := s.f.Store.Protected(ctx, s.Server.ID)
	if err != nil {
		return fmt.Errorf("read protected zones: %w", err)
	}
	for _, n := range prot {
		in.Protected[n.Key()] = true
	}
	in.ForeignDeleted, err = s.f.Store.ForeignDeletions(ctx, s.Server.ID, s.f.Now().Add(-24*time.Hour))
	if err != nil {
		return fmt.Errorf("count deletions: %w", err)
	}
	return nil
}

// probe asks the server for the SOA of every zone that is wanted and there.
func (s *Session) probe(ctx context.Context, wanted []fleet.Wanted, zones []nameserver.ZoneState) ([]plan.Have, error) {
	isWanted := make(map[zone.Key]bool, len(wanted))
	for _, w := range wanted {
		isWanted[w.Name.Key()] = true
	}
	have := make([]plan.Have, len(zones))
	var at []int
	for i, z := range zones {
		have[i].ZoneState = z
		if isWanted[z.Name.Key()] && z.Role != nameserver.Other {
			at = append(at, i)
			have[i].Probe = plan.Probe{Asked: true, Lost: true, Err: "no answer"}
		}
	}
	err := s.f.DNS.SOAs(ctx, len(at), func(i int) Question { return s.Question(zones[at[i]].Name) }, func(i int, p plan.Probe) {
		p.Asked = true
		have[at[i]].Probe = p
	})
	if err != nil {
		return nil, fmt.Errorf("ask server %s for its SOAs: %w", s.Server.Name, err)
	}
	return have, nil
}

// afresh reads zones one by one, as many at a time as the driver bears; nil is for
// one that the server does not have.
func (s *Session) afresh(ctx context.Context, names []zone.Name, progress func(done int)) ([]*nameserver.ZoneState, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	out := make([]*nameserver.ZoneState, len(names))
	nameserver.Each(ctx, s.Driver, len(names), func(i int) {
		z, err := s.Driver.Zone(ctx, names[i])
		switch {
		case err == nil:
			out[i] = &z
		case !errors.Is(err, nameserver.ErrNoZone):
			stop(fmt.Errorf("read zone %q of server %s: %w", names[i], s.Server.Name, err))
		}
	}, progress)
	return out, context.Cause(ctx)
}
