package fleetfile

import (
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"dnsctl/fleet"
	"dnsctl/zone"
)

// Of is the document of a fleet, sorted by name. Keys that are retired are left
// out: a rotation is on its way, and ends by itself.
func Of(pools []fleet.Pool, keys []fleet.Key, servers []fleet.Server) Document {
	doc := Document{Schema: Schema, Pools: []Pool{}, Keys: []Key{}, Servers: []Server{}}
	for _, p := range pools {
		doc.Pools = append(doc.Pools, OfPool(p))
	}
	for _, k := range keys {
		if k.Retired == nil {
			doc.Keys = append(doc.Keys, OfKey(k))
		}
	}
	for _, s := range servers {
		doc.Servers = append(doc.Servers, OfServer(s))
	}
	slices.SortFunc(doc.Pools, func(a, b Pool) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(doc.Keys, func(a, b Key) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(doc.Servers, func(a, b Server) int { return strings.Compare(a.Name, b.Name) })
	return doc
}

// OfPool is a pool as the document has it.
func OfPool(p fleet.Pool) Pool {
	out := Pool{
		Name: p.Name, Primary: texts(p.Primaries), NS: texts(p.NS), Email: p.Email, NoTSIG: !p.RequireTSIG,
		AllowTransfer: texts(p.AllowTransfer), RequireTLS: p.TLS.Require, TLSClient: slices.Clone(p.TLS.Clients), TLSName: p.TLS.Name, TLSCA: p.TLS.CA,
		Unmanaged: string(p.Unmanaged), Protect: slices.Clone(p.Protect), MinActive: &p.MinActive,
	}
	if p.CompareEvery > 0 {
		out.CompareEvery = p.CompareEvery.Round(time.Millisecond).String()
	}
	if p.Catalog != "" {
		out.Catalog = p.Catalog.String()
	}
	return out
}

// OfKey is a key as the document has it.
func OfKey(k fleet.Key) Key {
	return Key{Name: plain(k.Name), Scope: k.ScopeName, Algorithm: plain(k.Algorithm)}
}

// OfServer is a server as the document has it.
func OfServer(s fleet.Server) Server {
	out := Server{Name: s.Name, Type: s.Type, Address: s.Address.String(), Control: s.Control, Stats: s.Stats, View: s.View, Pool: []string{}}
	for _, p := range s.Pools {
		out.Pool = append(out.Pool, p.Name)
	}
	slices.Sort(out.Pool)
	if s.Provision == fleet.ByCatalog { // the other is the flag's default
		out.Provision = string(s.Provision)
	}
	for from, to := range map[*netip.AddrPort]*string{&s.Probe: &out.Probe, &s.Notify: &out.Notify} {
		if from.IsValid() {
			*to = from.String()
		}
	}
	return out
}

// plain is a name as configuration files write it.
func plain(n zone.Name) string { return strings.TrimSuffix(n.String(), ".") }

func texts[T fmt.Stringer](list []T) []string {
	var out []string
	for _, v := range list {
		out = append(out, v.String())
	}
	return out
}

// Write writes the document, the same octets for the same fleet.
func (d Document) Write(w io.Writer) error {
	enc := yaml.NewEncoder(w)
	enc.SetIndent(2)
	if err := enc.Encode(d); err != nil {
		return fmt.Errorf("write fleet document: %w", err)
	}
	return enc.Close()
}
