package mdns

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"dnsctl/fleet"
	"dnsctl/wire"
	"dnsctl/zone"
)

// scope is what a request may see: the zones of some pools, and perhaps one zone
// more. The zero value sees nothing.
type scope struct {
	pools []int64
	zone  int64
}

func (s scope) sees(e *entry) bool {
	if s.zone != 0 && s.zone == e.zoneID {
		return true
	}
	for _, p := range s.pools {
		if slices.Contains(*e.form.pools, p) {
			return true
		}
	}
	return false
}

// access is the keys and address lists of one moment; it never changes.
type access struct {
	keys    map[zone.Name]tsigKey // by lower-case name
	allowed []allowed
	clients map[string][]int64 // pools by a name in the client's certificate
	strict  []int64            // pools whose zones are transferred over TLS only
}

type tsigKey struct {
	key   wire.Key
	scope scope
	valid func(time.Time) bool
}

type allowed struct {
	prefix netip.Prefix
	pool   int64
}

// loadAccess reads pools and keys. A key that cannot be opened or used is left
// out and reported: its clients get BADKEY, everybody else is served.
func (s *Server) loadAccess(ctx context.Context) error {
	pools, err := s.cfg.Source.Pools(ctx)
	if err != nil {
		return fmt.Errorf("load pools: %w", err)
	}
	keys, err := s.cfg.Source.Keys(ctx)
	if err != nil {
		return fmt.Errorf("load TSIG keys: %w", err)
	}
	a := &access{keys: make(map[zone.Name]tsigKey, len(keys)), clients: map[string][]int64{}}
	for _, p := range pools {
		for _, prefix := range p.AllowTransfer {
			a.allowed = append(a.allowed, allowed{unmapPrefix(prefix), p.ID})
		}
		for _, name := range p.TLS.Clients {
			a.clients[name] = append(a.clients[name], p.ID)
		}
		if p.TLS.Require {
			a.strict = append(a.strict, p.ID)
		}
	}
	bad := 0
	for _, k := range keys {
		tk, err := s.openKey(ctx, k)
		if err != nil {
			bad++
			s.log.Error("TSIG key cannot be used", "key", k.Name.String(), "err", err)
			continue
		}
		a.keys[k.Name.Lower()] = tk
	}
	s.m.badKeys.Set(float64(bad))
	s.access.Store(a)
	return nil
}

func (s *Server) openKey(ctx context.Context, k fleet.Key) (tsigKey, error) {
	alg, err := wire.ParseAlgorithm(k.Algorithm.String())
	if err != nil {
		return tsigKey{}, err
	}
	plain, err := s.cfg.Sealer.Open(ctx, k.Secret)
	if err != nil {
		return tsigKey{}, fmt.Errorf("open secret: %w", err)
	}
	key := wire.Key{Name: k.Name, Algorithm: alg, Secret: plain.Reveal()}
	if err := key.Check(); err != nil {
		return tsigKey{}, err
	}
	sc := scope{zone: k.Scope.ZoneID}
	if k.Scope.PoolID != 0 {
		sc.pools = []int64{k.Scope.PoolID}
	}
	return tsigKey{key, sc, k.Valid}, nil
}

func unmapPrefix(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p
}

// unsigned is what an unsigned request from the address, with these names in the
// client's certificate, may see; pools is scratch space for the answer.
func (a *access) unsigned(from netip.Addr, names []string, pools []int64) scope {
	from = from.Unmap().WithZone("")
	for _, w := range a.allowed {
		if w.prefix.Contains(from) && !slices.Contains(pools, w.pool) {
			pools = append(pools, w.pool)
		}
	}
	for _, name := range names {
		for _, p := range a.clients[name] {
			if !slices.Contains(pools, p) {
				pools = append(pools, p)
			}
		}
	}
	return scope{pools: pools}
}

// plain says whether what the scope sees of the zone may be transferred without
// TLS: through a pool that does not require it, or with a key of the zone alone
// where none of its pools does.
func (a *access) plain(s scope, e *entry) bool {
	if len(a.strict) == 0 {
		return true
	}
	strict := func(p int64) bool { return slices.Contains(a.strict, p) }
	if s.zone != 0 {
		return !slices.ContainsFunc(*e.form.pools, strict)
	}
	return slices.ContainsFunc(s.pools, func(p int64) bool { return !strict(p) && slices.Contains(*e.form.pools, p) })
}

// signed finds the key that a TSIG record names, valid at the time.
func (a *access) signed(t *wire.TSIG, now time.Time) (tsigKey, bool) {
	k, ok := a.keys[t.KeyName.Lower()]
	return k, ok && k.valid(now)
}
