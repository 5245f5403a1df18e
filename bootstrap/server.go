package bootstrap

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"dnsctl/edit"
	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/report"
	"dnsctl/secret"
	"dnsctl/sync/apply"
	"dnsctl/sync/inventory"
	"dnsctl/sync/plan"
	"dnsctl/zone"
)

// ServerStore is what adding and accepting a server needs of the store.
type ServerStore interface {
	Pool(ctx context.Context, name string) (fleet.Pool, error)
	AddServer(ctx context.Context, s fleet.Server, by fleet.By) (fleet.Server, error)
	AcceptServer(ctx context.Context, name string, accepted bool, by fleet.By) error
	Replicas(ctx context.Context) ([]fleet.Replica, time.Time, error)
}

// NewServer is a nameserver to be added.
type NewServer struct {
	Server     fleet.Server // what the flags say; no ID, marker or credential
	Pools      []string
	ControlKey []byte // content of the --control-key-file; nil with Server.New, and where the channel needs none
	Unchecked  bool   // whether it gets zones from its primaries is not tried
}

// Added is the server as it was added, and what was found on it.
type Added struct {
	Server fleet.Server
	Info   nameserver.Info // zero for a new one
	Zones  int             // it had already
	Proven bool            // it was seen to get zones from each of its primaries
}

// Add adds a server to the fleet. One that runs is looked at first: when it has
// zones of its own, or somebody's marker, its policy for foreign zones is at
// most warn until it is accepted. Nothing is written to it.
func (b *Bootstrapper) Add(ctx context.Context, store ServerStore, n NewServer, m edit.Meta) (Added, error) {
	s := n.Server
	t, err := b.Fleet.Type(s.Type)
	if err != nil {
		return Added{}, report.Fail(report.ExitUsage, err, "see: dnsctl server add --help")
	}
	if len(n.Pools) == 0 {
		return Added{}, report.Fail(report.ExitUsage, fmt.Errorf("server %q: no pool", s.Name), "name one with --pool")
	}
	for _, name := range n.Pools {
		p, err := store.Pool(ctx, name)
		if err != nil {
			return Added{}, err
		}
		s.Pools = append(s.Pools, p)
	}
	if err := t.Check(s); err != nil {
		return Added{}, report.Fail(report.ExitUsage, fmt.Errorf("server %q: %w", s.Name, err), "see: dnsctl server add --help")
	}
	if err := nameserver.CheckTLS(t, s); err != nil {
		return Added{}, report.Fail(report.ExitUsage, err, "put it into another pool")
	}
	if err := s.CheckProvision(); err != nil {
		return Added{}, report.Fail(report.ExitUsage, err, provisionHint)
	}
	if s.Credential, err = b.credential(ctx, t, s, n.ControlKey); err != nil {
		return Added{}, err
	}
	s.State, s.Accepted = fleet.Joining, true
	var out Added
	if !s.New {
		if out, err = b.meet(ctx, store, s, n.Unchecked, m); err != nil {
			return Added{}, err
		}
		s.Accepted = out.Zones == 0
	}
	out.Server, err = store.AddServer(ctx, s, fleet.By{Actor: m.Actor, Command: m.Command, Comment: m.Comment})
	return out, err
}

// credential makes or reads the server's control credential, and seals it; nil
// where its channel needs none.
func (b *Bootstrapper) credential(ctx context.Context, t nameserver.Type, s fleet.Server, file []byte) ([]byte, error) {
	if keyless, ok := t.(nameserver.Keyless); ok && file == nil && keyless.Keyless(s) {
		return nil, nil
	}
	var cred secret.Plain
	var err error
	if s.New {
		cred, err = t.NewCredential()
	} else {
		cred, err = t.ReadCredential(file)
	}
	if err != nil {
		return nil, fmt.Errorf("control credential of server %q: %w", s.Name, err)
	}
	sealed, err := b.Fleet.Sealer.Seal(ctx, cred)
	if err != nil {
		return nil, fmt.Errorf("seal the control credential of server %q: %w", s.Name, err)
	}
	return sealed, nil
}

// meet looks at a server that runs already, counts its zones, and tries whether it
// reaches its primaries.
func (b *Bootstrapper) meet(ctx context.Context, store ServerStore, s fleet.Server, unchecked bool, m edit.Meta) (out Added, err error) {
	ses, err := b.Fleet.Open(ctx, s)
	if err != nil {
		return out, err
	}
	defer ses.Close()
	if out.Info, err = ses.Driver.Info(ctx); err != nil {
		return out, report.Hint(fmt.Errorf("reach server %q: %w", s.Name, err),
			cmp.Or(nameserver.HintOf(err), "check --control and --control-key-file; a server that does not run yet is added with --new"))
	}
	if err := ses.Prepared(ctx); err != nil {
		return out, fmt.Errorf("server %q: %w", s.Name, err)
	}
	if _, out.Zones, err = found(ctx, ses); err != nil || unchecked {
		return out, err
	}
	out.Proven, err = b.prove(ctx, store, ses, apply.Options{Meta: m})
	return out, err
}

// Acceptance is what accepting a server would mean.
type Acceptance struct {
	Marker  string // what is wrong with its marker; "" when nothing is
	Foreign []zone.Name
	Stale   []zone.Name
	markers []zone.Name // of others, which go
}

// Preview looks at the server as if it were accepted.
func (b *Bootstrapper) Preview(ctx context.Context, s fleet.Server) (Acceptance, error) {
	s.Accepted = true
	// Before the serials are past what the server has, a sync of it would put old
	// ones back on the wire.
	id, err := b.Applier.Store.Identity(ctx)
	if err != nil {
		return Acceptance{}, err
	}
	if id.Pending {
		return Acceptance{}, report.Fail(report.ExitWithheld, fmt.Errorf("epoch %d is not finished: serials are not yet past what nameservers serve", id.Epoch), "run first: dnsctl db new-epoch")
	}
	ses, err := b.Fleet.Open(ctx, s)
	if err != nil {
		return Acceptance{}, err
	}
	defer ses.Close()
	in, err := ses.Look(ctx, inventory.LookOptions{})
	if err != nil {
		return Acceptance{}, err
	}
	a := Acceptance{Marker: in.Marker.Reason}
	for _, st := range plan.Make(in).Steps {
		switch {
		case slices.Contains(st.Attributes, report.MarkerZone):
			if fleet.IsMarkerName(st.Zone) && !st.Zone.Equal(s.Marker) {
				a.markers = append(a.markers, st.Zone)
			}
		case st.Class == report.Foreign && !st.Restored():
			a.Foreign = append(a.Foreign, st.Zone)
		case st.Class == report.Stale:
			a.Stale = append(a.Stale, st.Zone)
		}
	}
	return a, nil
}

// Accept makes the server this store's: others' markers go, ours is placed and
// proven, and the pool's policy for foreign zones holds from now on.
func (b *Bootstrapper) Accept(ctx context.Context, store ServerStore, s fleet.Server, a Acceptance, o apply.Options) error {
	return apply.WithLock(ctx, b.Locks, s.Name, b.Holder, func(ctx context.Context) error {
		ses, err := b.Fleet.Open(ctx, s)
		if err != nil {
			return err
		}
		defer ses.Close()
		// Ours first: between the two, both stores leave the server alone.
		if err := b.Applier.Place(ctx, ses, o); err != nil {
			return err
		}
		for _, n := range a.markers {
			if err := ses.Driver.Delete(ctx, n); err != nil && !errors.Is(err, nameserver.ErrNoZone) {
				return fmt.Errorf("remove the marker %s of another store: %w", n, err)
			}
			e := report.Event{At: b.Now(), Actor: o.Meta.Actor, Command: o.Meta.Command, Action: "delete", Zone: n, Server: s.Name,
				Comment: o.Meta.Comment, Result: "the marker of another store"}
			if err := b.Applier.Store.AddEvent(ctx, e); err != nil {
				return fmt.Errorf("write event: %w", err)
			}
		}
		return store.AcceptServer(ctx, s.Name, true, fleet.By{Actor: o.Meta.Actor, Command: o.Meta.Command, Comment: o.Meta.Comment})
	})
}
