package commands

import (
	"context"
	"errors"
	"net/netip"
	"slices"

	"dnsctl/bootstrap"
	"dnsctl/fleet"
	"dnsctl/fleetfile"
	"dnsctl/wire"
	"dnsctl/zone"
)

// fleetStep makes one thing in the database as the document has it.
func (a *App) fleetStep(ctx context.Context, o fleetApplyOptions, want wantedFleet, d fleetfile.Difference) error {
	switch {
	case d.Kind == fleetfile.KindPool && d.Action == fleetfile.Add:
		_, err := a.store.CreatePool(ctx, want.pools[d.Name], nil, a.byWith(o.comment)) // its key is a step of its own
		return err
	case d.Kind == fleetfile.KindPool && d.Action == fleetfile.Change:
		return a.changePool(ctx, d.Name, o.comment, func(p *fleet.Pool) error {
			next := want.pools[d.Name]
			next.ID, next.Created = p.ID, p.Created
			*p = next
			return nil
		})
	case d.Kind == fleetfile.KindPool:
		return a.store.DeletePool(ctx, d.Name, a.byWith(o.comment))
	case d.Kind == fleetfile.KindKey && d.Action == fleetfile.Add:
		return a.addFleetKey(ctx, o, want, d.Name)
	case d.Kind == fleetfile.KindKey:
		k, err := a.key(ctx, d.Name)
		if err == nil {
			err = a.lastKey(ctx, k)
		}
		if err != nil {
			return err
		}
		return a.store.DeleteKey(ctx, k.Name, a.byWith(o.comment))
	case d.Action == fleetfile.Add:
		return a.addFleetServer(ctx, o, want.servers[d.Name])
	}
	return a.changeFleetServer(ctx, o, want.servers[d.Name], d)
}

func (a *App) addFleetKey(ctx context.Context, o fleetApplyOptions, want wantedFleet, text string) error {
	i := slices.IndexFunc(want.document.Keys, func(k fleetfile.Key) bool { return k.Name == text })
	k := want.document.Keys[i]
	var octets []byte
	var err error
	if file := want.keys[text].SecretFile; file != "" {
		if octets, err = readSecretFile(o.beside(file)); err != nil {
			return err
		}
	}
	name, err := zone.ParseName(text)
	if err != nil {
		return err
	}
	scope, scopeName, err := a.parseScope(ctx, k.Scope)
	if err != nil {
		return err
	}
	made, err := a.newKey(ctx, name, wire.Algorithm(k.Algorithm), octets)
	if err != nil {
		return err
	}
	made.Scope, made.ScopeName = scope, scopeName
	_, err = a.store.CreateKey(ctx, made, a.byWith(o.comment))
	return err
}

func (a *App) addFleetServer(ctx context.Context, o fleetApplyOptions, s serverAddOptions) error {
	for _, path := range []*string{&s.credential.keyFile, &s.credential.certDir} {
		if *path != "" {
			*path = o.beside(*path)
		}
	}
	s.comment = o.comment
	_, err := a.addServer(ctx, s)
	return err
}

// changeFleetServer changes a server as server set does.
func (a *App) changeFleetServer(ctx context.Context, o fleetApplyOptions, s serverAddOptions, d fleetfile.Difference) error {
	old, err := a.server(ctx, s.name)
	if err != nil {
		return err
	}
	next, err := s.server()
	if err != nil {
		return err
	}
	var c bootstrap.ServerChange
	for _, f := range d.Fields {
		switch f.Name {
		case "address":
			c.Address = &next.Address
		case "probe":
			c.Probe = new(next.Probe)
		case "notify":
			c.Notify = new(netip.AddrPort(next.Notify))
		case "control":
			c.Control = &next.Control
		case "stats":
			c.Stats = &next.Stats
		case "view":
			c.View = &next.View
		case "provision":
			c.Provision = &next.Provision
		case "pool":
			in := poolsOf(old)
			for _, p := range s.pools {
				if !slices.Contains(in, p) {
					c.AddPools = append(c.AddPools, p)
				}
			}
			for _, p := range in {
				if !slices.Contains(s.pools, p) {
					c.RemovePools = append(c.RemovePools, p)
				}
			}
		default:
			return errors.New("unexpected difference in " + f.Name)
		}
	}
	return a.setServer(ctx, old, c, o.maxStale, o.comment)
}
