package inventory

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/wire"
	"dnsctl/zone"
)

// Question is one question to one server.
type Question struct {
	Addr netip.AddrPort
	Zone zone.Name
	Key  *wire.Key // nil: unsigned
	// OrPlain has it asked again unsigned where the server does not know the key there.
	OrPlain bool
}

// keyring is the TSIG keys and primaries of one server's pools.
type keyring struct {
	server fleet.Server
	keys   map[int64]fleet.Key // pool -> the key in use with this server
	names  []zone.Name         // of every key that the store knows, retired ones too
	newer  []zone.Name         // newest keys of pools, where they are not in use yet
	probe  *wire.Key           // of the first pool that has one
	each   []*wire.Key         // of the pools, in their order; nil where one has none; at least one
	open   map[int64]*wire.Key // those of keys, with their secrets
}

func (f *Fleet) keyring(ctx context.Context, s fleet.Server) (keyring, error) {
	k := keyring{server: s, keys: make(map[int64]fleet.Key), open: make(map[int64]*wire.Key)}
	all, err := f.Store.Keys(ctx)
	if err != nil {
		return k, fmt.Errorf("read TSIG keys: %w", err)
	}
	valid := make(map[int64][]fleet.Key)
	for _, key := range all {
		k.names = append(k.names, key.Name)
		if key.Scope.PoolID != 0 && key.Valid(f.Now()) {
			valid[key.Scope.PoolID] = append(valid[key.Scope.PoolID], key)
		}
	}
	for _, p := range s.Pools {
		keys := valid[p.ID]
		if len(keys) == 0 {
			k.each = append(k.each, nil)
			continue
		}
		slices.SortStableFunc(keys, func(a, b fleet.Key) int { return b.Created.Compare(a.Created) })
		key, opened, err := f.inUse(ctx, s, keys)
		if err != nil {
			return k, err
		}
		k.keys[p.ID], k.open[p.ID] = key, opened
		if k.probe == nil {
			k.probe = opened
		}
		k.each = append(k.each, opened)
		if key.ID != keys[0].ID {
			k.newer = append(k.newer, keys[0].Name)
		}
	}
	if len(k.each) == 0 {
		k.each = []*wire.Key{nil}
	}
	return k, nil
}

// primaries is what a zone should be configured with: the primaries of the pool
// through which the server has it, with the key of that pool that is in use here.
func (k keyring) primaries(w fleet.Wanted) []nameserver.PrimaryRef {
	for _, id := range w.Pools {
		i := slices.IndexFunc(k.server.Pools, func(p fleet.Pool) bool { return p.ID == id })
		if i < 0 {
			continue
		}
		return primaryRefs(k.server.Pools[i], k.keys[id].Name)
	}
	return nil
}

// Ours says whether any of these primaries is one of the server's pools', or any
// key one that the store knows.
func (s *Session) Ours(refs []nameserver.PrimaryRef) bool { return s.keys.ours(refs) }

// ours is Session.Ours.
func (k keyring) ours(refs []nameserver.PrimaryRef) bool {
	for _, r := range refs {
		for _, p := range k.server.Pools {
			if slices.Contains(p.Primaries, r.Addr) {
				return true
			}
		}
		if r.Key != "" && slices.ContainsFunc(k.names, r.Key.Equal) {
			return true
		}
	}
	return false
}

// MarkerPools is the pools whose keys see the server's marker.
func (s *Session) MarkerPools() []int64 {
	ids := make([]int64, 0, len(s.Server.Pools))
	for _, p := range s.Server.Pools {
		ids = append(ids, p.ID)
	}
	return ids
}

// ZoneConfig is how a zone should be configured on this server.
func (s *Session) ZoneConfig(w fleet.Wanted) nameserver.ZoneConfig {
	return nameserver.ZoneConfig{Name: w.Name, Incarnation: w.Incarnation, Primaries: s.keys.primaries(w)}
}

// CatalogConfig is how the catalog zone that the server takes its zones from should be
// configured there; without a name when it takes none.
func (s *Session) CatalogConfig() nameserver.ZoneConfig {
	name := s.Server.Catalog()
	if name == "" {
		return nameserver.ZoneConfig{}
	}
	p := s.Server.Pools[0]
	return nameserver.ZoneConfig{Name: name, Incarnation: "catalog", Primaries: primaryRefs(p, s.keys.keys[p.ID].Name), Catalog: true}
}

// RefreshCatalog has the server transfer the catalog zone again that it takes its zones
// from, where it has not the present version: a NOTIFY may be lost.
func (s *Session) RefreshCatalog(ctx context.Context) error {
	name := s.Server.Catalog()
	want, err := s.f.Store.Zone(ctx, name)
	if errors.Is(err, fleet.ErrNoZone) {
		return nil // the leader has not made it yet
	}
	if err != nil {
		return err
	}
	has, err := s.Driver.Zone(ctx, name)
	if err == nil && (has.Serial == nil || *has.Serial != want.Edition.Serial) {
		err = s.Driver.Retransfer(ctx, name)
	}
	if err != nil {
		return fmt.Errorf("catalog zone of server %s: %w", s.Server.Name, err)
	}
	return nil
}

// ConfigRequest is what the server's configuration is made of, its pools' valid
// keys with their secrets among it.
func (s *Session) ConfigRequest(ctx context.Context, dir string) (nameserver.ConfigRequest, error) {
	r := nameserver.ConfigRequest{Server: s.Server, Dir: dir}
	var err error
	r.Catalog = s.CatalogConfig()
	if len(s.Server.Credential) > 0 {
		if r.Credential, err = s.f.Sealer.Open(ctx, s.Server.Credential); err != nil {
			return r, fmt.Errorf("open the control credential of server %s: %w", s.Server.Name, err)
		}
	}
	all, err := s.f.Store.Keys(ctx)
	if err != nil {
		return r, fmt.Errorf("read TSIG keys: %w", err)
	}
	for _, p := range s.Server.Pools {
		for _, a := range p.Primaries {
			if !slices.Contains(r.Primaries, a) {
				r.Primaries = append(r.Primaries, a)
			}
		}
		if p.TLS.Require {
			r.TLS = append(r.TLS, nameserver.TLSConfig{Name: p.Profile(), Host: p.TLS.Name, CA: p.TLS.CA})
		}
		var names []zone.Name
		for _, k := range all {
			if k.Scope.PoolID != p.ID || !k.Valid(s.f.Now()) {
				continue
			}
			c, err := s.f.keyConfig(ctx, k)
			if err != nil {
				return r, err
			}
			r.Keys, names = append(r.Keys, c), append(names, k.Name)
		}
		if len(names) == 0 {
			names = []zone.Name{""} // its transfers are not signed
		}
		for _, key := range names {
			r.Settings = append(r.Settings, settings(p, key)...)
		}
	}
	return r, nil
}

// settings is how zones of a pool come to be configured: ordinary ones, and markers,
// beside zones that are transferred from each of several primaries alone (apply.Reach).
func settings(p fleet.Pool, key zone.Name) []nameserver.ZoneConfig {
	refs := primaryRefs(p, key)
	all := []nameserver.ZoneConfig{{Primaries: refs}, {Primaries: refs, Limited: true}}
	for i := range refs {
		if len(refs) > 1 {
			all = append(all, nameserver.ZoneConfig{Primaries: refs[i : i+1], Limited: true})
		}
	}
	return all
}

func primaryRefs(p fleet.Pool, key zone.Name) []nameserver.PrimaryRef {
	refs := make([]nameserver.PrimaryRef, 0, len(p.Primaries))
	for _, a := range p.Primaries {
		refs = append(refs, nameserver.PrimaryRef{Addr: a, Key: key, TLS: p.Profile()})
	}
	return refs
}

// Prepared says what the server's operator must add to its configuration before it
// can take zones of its pools, with the keys that are in use there: an error whose
// hint is that, or nil. One that is too old for the catalog that it is to take them from
// is an error, too.
func (s *Session) Prepared(ctx context.Context) error {
	if s.Server.Catalog() != "" {
		info, err := s.Driver.Info(ctx)
		if err == nil {
			err = nameserver.CheckCatalog(s.Type, s.Server, info)
		}
		if err != nil {
			return err
		}
	}
	d, ok := s.Driver.(nameserver.Preparer)
	if !ok {
		return nil
	}
	r, err := s.ConfigRequest(ctx, "")
	if err != nil {
		return err
	}
	r.Settings = nil
	for _, p := range s.Server.Pools {
		r.Settings = append(r.Settings, settings(p, s.keys.keys[p.ID].Name)...)
	}
	return d.Prepared(ctx, r)
}

// key is a TSIG key of the store with its secret.
func (s *Session) key(ctx context.Context, name zone.Name) (nameserver.KeyConfig, error) {
	all, err := s.f.Store.Keys(ctx)
	if err != nil {
		return nameserver.KeyConfig{}, fmt.Errorf("read TSIG keys: %w", err)
	}
	for _, k := range all {
		if k.Name.Equal(name) {
			return s.f.keyConfig(ctx, k)
		}
	}
	return nameserver.KeyConfig{}, fleet.ErrNoKey
}

func (f *Fleet) keyConfig(ctx context.Context, k fleet.Key) (nameserver.KeyConfig, error) {
	plain, err := f.Sealer.Open(ctx, k.Secret)
	if err != nil {
		return nameserver.KeyConfig{}, fmt.Errorf("open TSIG key %s: %w", k.Name, err)
	}
	return nameserver.KeyConfig{Name: k.Name, Algorithm: k.Algorithm, Secret: plain}, nil
}
