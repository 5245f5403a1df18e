package pretend

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/secret"
	"dnsctl/sync/inventory"
	"dnsctl/sync/plan"
	"dnsctl/zone"
)

// DNS asks the world's servers.
type DNS struct{ w *World }

var _ inventory.Asker = DNS{}

// ErrLost is what comes of a question that nobody answers.
var ErrLost = errors.New("no answer")

func (d DNS) at(addr netip.AddrPort) *Server {
	rows, err := d.w.Store.Servers(context.Background())
	if err != nil {
		return nil
	}
	for _, r := range rows {
		if r.ProbeAddr() == addr {
			return d.w.Servers[r.Name]
		}
	}
	return nil
}

// SOAs implements inventory.Asker.
func (d DNS) SOAs(ctx context.Context, n int, question func(i int) inventory.Question, got func(i int, p plan.Probe)) error {
	for i := range n {
		if err := ctx.Err(); err != nil {
			return err
		}
		got(i, d.soa(question(i)))
	}
	return ctx.Err()
}

// Glance is SOAs: here nothing gets lost.
func (d DNS) Glance(ctx context.Context, n int, question func(i int) inventory.Question, got func(i int, p plan.Probe)) error {
	return d.SOAs(ctx, n, question, got)
}

func (d DNS) soa(q inventory.Question) plan.Probe {
	s := d.at(q.Addr)
	if s == nil || s.Asked != nil && s.Asked(q.Zone) {
		return plan.Probe{Asked: true, Lost: true, Err: ErrLost.Error()}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	z := s.zones[q.Zone.Key()]
	if z == nil {
		for _, other := range s.zones {
			if other.content != nil && q.Zone.Under(other.state.Name) {
				return plan.Probe{Asked: true, Serial: other.content.Serial(), Err: "it answers for " + other.state.Name.String() + " instead"}
			}
		}
		return plan.Probe{Asked: true, Err: "it answers REFUSED"}
	}
	if z.content == nil {
		return plan.Probe{Asked: true, Err: "it answers SERVFAIL"}
	}
	return plan.Probe{Asked: true, Serves: true, Serial: z.content.Serial(), SOA: z.content.SOASet().Data.First()}
}

// Witnesses implements inventory.Asker.
func (d DNS) Witnesses(ctx context.Context, n int, question func(i int) (inventory.Question, zone.Type), got func(i int, data zone.Rdata, has bool)) error {
	for i := range n {
		q, typ := question(i)
		id := zone.ID{Owner: q.Zone.Key(), Type: typ}
		if typ == zone.TypeRRSIG {
			id.Covers = zone.TypeSOA
		}
		s := d.at(q.Addr)
		if s == nil || s.Asked != nil && s.Asked(q.Zone) {
			got(i, "", false)
			continue
		}
		s.mu.Lock()
		z := s.zones[q.Zone.Key()]
		s.mu.Unlock()
		if z == nil || z.content == nil {
			got(i, "", false)
			continue
		}
		set, _ := z.content.Get(id)
		got(i, set.Data, true)
	}
	return ctx.Err()
}

// TXT implements inventory.Asker.
func (d DNS) TXT(ctx context.Context, q inventory.Question) (string, error) {
	content, err := d.Transfer(ctx, q)
	if err != nil {
		return "", err
	}
	set, ok := content.Get(zone.ID{Owner: q.Zone.Key(), Type: zone.TypeTXT})
	text, whole := fleet.TXTText(set.Data.First())
	if !ok || !whole {
		return "", errors.New("it has no TXT")
	}
	return text, nil
}

// Accepts implements inventory.Asker.
func (d DNS) Accepts(_ context.Context, q inventory.Question) inventory.Acceptance {
	s := d.at(q.Addr)
	switch {
	case s == nil || s.Asked != nil && s.Asked(q.Zone):
		return inventory.Doubtful
	case s.Rejects != nil && s.Rejects(q.Key.Name):
		return inventory.Doubtful
	case d.soa(q).Serves:
		return inventory.Served
	}
	return inventory.Known
}

// Transfer implements inventory.Asker.
func (d DNS) Transfer(ctx context.Context, q inventory.Question) (*zone.Snapshot, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s := d.at(q.Addr)
	if s == nil || s.Asked != nil && s.Asked(q.Zone) {
		return nil, ErrLost
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	z := s.zones[q.Zone.Key()]
	if z == nil || z.content == nil {
		return nil, errors.New("it answers REFUSED")
	}
	return z.content, nil
}

// Walk implements inventory.Asker.
func (d DNS) Walk(ctx context.Context, q inventory.Question, put func(zone.Key, zone.RRset)) error {
	if s := d.at(q.Addr); s != nil && s.Walked != nil {
		if err := s.Walked(q.Zone); err != nil {
			return err
		}
	}
	content, err := d.Transfer(ctx, q)
	if err != nil {
		return err
	}
	for set := range content.All() {
		put(set.Owner.Key(), set)
	}
	return nil
}

// Type is the kind of the world's servers.
type Type struct{ w *World }

var (
	_ nameserver.Type    = Type{}
	_ nameserver.Alterer = Type{}
)

// Name implements nameserver.Type.
func (Type) Name() string { return "pretend" }

// NewCredential implements nameserver.Type.
func (Type) NewCredential() (secret.Plain, error) { return secret.New([]byte("credential")), nil }

// ReadCredential implements nameserver.Type.
func (Type) ReadCredential(file []byte) (secret.Plain, error) { return secret.New(file), nil }

// Check implements nameserver.Type.
func (Type) Check(fleet.Server) error { return nil }

// CanHold implements nameserver.Type.
func (t Type) CanHold(name zone.Name) error {
	if t.w.CannotHold != nil && t.w.CannotHold(name) {
		return fmt.Errorf("%w: it has an odd character", nameserver.ErrBadName)
	}
	return nil
}

// Alters implements nameserver.Alterer.
func (t Type) Alters(set zone.RRset, signed bool) (how string, harmless bool) {
	if t.w.Alters == nil {
		return "", false
	}
	return t.w.Alters(set, signed)
}

// Open implements nameserver.Type.
func (t Type) Open(target nameserver.Target) (nameserver.Driver, error) {
	s := t.w.Servers[target.Server.Name]
	if s == nil {
		return nil, nameserver.ErrUnreachable
	}
	if s.Bulk {
		return bulkDriver{driver{s}}, nil
	}
	return driver{s}, nil
}

// Config implements nameserver.Type.
func (Type) Config(r nameserver.ConfigRequest) ([]nameserver.File, error) {
	return []nameserver.File{{Path: "keys.conf", Mode: 0o600, Secret: true}, {Path: "a.conf", Mode: 0o644, Content: []byte(r.Dir)}}, nil
}

// CheckConfig implements nameserver.Type.
func (Type) CheckConfig(context.Context, string) (bool, error) { return false, nil }
