package commands

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"dnsctl/fleet"
	"dnsctl/fleetfile"
	"dnsctl/report"
	"dnsctl/wire"
	"dnsctl/zone"
)

// wantedFleet is a document whose every field was understood.
type wantedFleet struct {
	document fleetfile.Document // as fleet export would write it
	pools    map[string]fleet.Pool
	keys     map[string]fleetfile.Key
	servers  map[string]serverAddOptions
	have     present
}

// wantFleet reads the document's fields as the flags of the same names are read.
func wantFleet(doc fleetfile.Document, have present, place string) (wantedFleet, error) {
	w := wantedFleet{pools: map[string]fleet.Pool{}, keys: map[string]fleetfile.Key{}, servers: map[string]serverAddOptions{}, have: have}
	fault := func(kind fleetfile.Kind, name string, err error) error {
		_, hint := exitOf(err)
		var u *usageError
		if errors.As(err, &u) {
			hint = u.hint
		}
		if hint == "" {
			hint = "nothing was changed; how it is written: dnsctl fleet apply --help"
		}
		return report.Fail(report.ExitUsage, fmt.Errorf("%s: %s %q: %w", place, kind, name, err), hint)
	}
	var pools []fleet.Pool
	for _, p := range doc.Pools {
		pool, err := readPool(p)
		if err != nil {
			return w, fault(fleetfile.KindPool, p.Name, err)
		}
		pools, w.pools[p.Name] = append(pools, pool), pool
	}
	var keys []fleet.Key
	for _, k := range doc.Keys {
		key, err := readKey(k)
		if err != nil {
			return w, fault(fleetfile.KindKey, k.Name, err)
		}
		keys = append(keys, key)
		w.keys[keyText(key.Name)] = k
	}
	keys = append(keys, w.unlisted(pools, keys)...)
	var servers []fleet.Server
	for _, s := range doc.Servers {
		o := serverAddOptions{name: s.Name, pools: s.Pool, typ: s.Type, isNew: s.New, reachFlags: reachFlags{
			address: s.Address, probe: s.Probe, notify: s.Notify, control: s.Control, stats: s.Stats, view: s.View, provision: cmp.Or(s.Provision, string(fleet.ByControl)),
			credential: credentialFlags{s.ControlKeyFile, s.ControlCertDir}}}
		server, err := w.readServer(o)
		if err != nil {
			return w, fault(fleetfile.KindServer, s.Name, err)
		}
		servers, w.servers[s.Name] = append(servers, server), o
	}
	w.document = fleetfile.Of(pools, keys, servers)
	return w, nil
}

func readPool(d fleetfile.Pool) (fleet.Pool, error) {
	f := poolFlags{primaries: d.Primary, ns: d.NS, allow: d.AllowTransfer, protect: d.Protect, email: d.Email, unmanaged: d.Unmanaged,
		minActive: 1, catalog: d.Catalog, tlsClients: d.TLSClient, tlsName: d.TLSName, requireTLS: d.RequireTLS}
	p := fleet.Pool{Name: d.Name, RequireTSIG: !d.NoTSIG}
	if d.MinActive != nil {
		f.minActive = *d.MinActive
	}
	if d.Unmanaged == "" {
		f.unmanaged = string(fleet.Delete)
	}
	var err error
	if d.CompareEvery != "" {
		if f.compareEvery, err = time.ParseDuration(d.CompareEvery); err != nil {
			return p, usagef("for instance compare-every: 1h", "compare-every %q is no length of time", d.CompareEvery)
		}
	}
	if d.TLSCA != "" {
		if p.TLS.CA, err = parseCA("of the document", []byte(d.TLSCA)); err != nil {
			return p, err
		}
	}
	if err := f.apply(func(flag string) bool { return flag != "tls-ca" }, &p); err != nil {
		return p, err
	}
	return p, checkPool(p)
}

func readKey(d fleetfile.Key) (fleet.Key, error) {
	name, err := parseKeyName(d.Name)
	if err != nil {
		return fleet.Key{}, err
	}
	if d.Algorithm == "" {
		d.Algorithm = string(defaultAlgorithm)
	}
	alg, err := parseAlgorithm(d.Algorithm)
	if err != nil {
		return fleet.Key{}, err
	}
	kind, scope, _ := strings.Cut(d.Scope, ":")
	switch kind {
	case "pool":
	case "zone":
		n, err := parseZone(scope)
		if err != nil {
			return fleet.Key{}, err
		}
		scope = n.Lower().String()
	default:
		return fleet.Key{}, usagef("write scope: pool:NAME or scope: zone:NAME", "scope %q is neither a pool nor a zone", d.Scope)
	}
	return fleet.Key{Name: name.Lower(), Algorithm: alg.Name(), ScopeName: kind + ":" + scope}, nil
}

// unlisted is the keys of the pools for which the document lists none: those that
// there are, or the one that a new pool gets.
func (w wantedFleet) unlisted(pools []fleet.Pool, listed []fleet.Key) (out []fleet.Key) {
	for _, p := range pools {
		scope := "pool:" + p.Name
		of := func(k fleet.Key) bool { return k.ScopeName == scope }
		if slices.ContainsFunc(listed, of) {
			continue
		}
		there := len(out)
		for _, k := range w.have.keys {
			if of(k) {
				out = append(out, k)
			}
		}
		name, err := zone.ParseName(p.Name)
		if len(out) == there && p.RequireTSIG && err == nil {
			out = append(out, fleet.Key{Name: name.Lower(), Algorithm: wire.Algorithm(defaultAlgorithm).Name(), ScopeName: scope})
		}
	}
	return out
}

func (w wantedFleet) readServer(o serverAddOptions) (fleet.Server, error) {
	s, err := o.server()
	if err != nil {
		return s, err
	}
	if !slices.Contains(typeNames(), o.typ) {
		return s, usagef("the types are "+strings.Join(typeNames(), ", "), "type %q is not known", o.typ)
	}
	if p := s.Provision; p != fleet.ByControl && p != fleet.ByCatalog {
		return s, usagef("they are control and catalog", "provision %q is not known", p)
	}
	if len(o.pools) == 0 {
		return s, usagef("for instance pool: [main]", "no pool")
	}
	for _, name := range o.pools {
		p, ok := w.pools[name]
		if i := slices.IndexFunc(w.have.pools, func(p fleet.Pool) bool { return p.Name == name }); !ok && i < 0 {
			return s, usagef("list it under pools", "there is no pool %q", name)
		} else if !ok {
			p = w.have.pools[i]
		}
		s.Pools = append(s.Pools, p)
	}
	return s, nil
}

// never says why a difference is not mended here.
func (w wantedFleet) never(d fleetfile.Difference, prune bool) string {
	changed := func(field string) bool {
		return slices.ContainsFunc(d.Fields, func(f fleetfile.Field) bool { return f.Name == field })
	}
	switch {
	case d.Action == fleetfile.Extra && d.Kind == fleetfile.KindServer:
		return fmt.Sprintf("not in the document; to take it out: dnsctl server remove %s, with --leave-zones or --remove-zones", d.Name)
	case d.Action == fleetfile.Extra && !prune:
		return "not in the document; --prune deletes it"
	case d.Action != fleetfile.Change:
		return ""
	case d.Kind == fleetfile.KindKey:
		return "a key stays what it is: dnsctl tsig rotate " + d.Name + " makes one in its place, for the document to name"
	case d.Kind == fleetfile.KindServer && changed("type"):
		return "a server of another type is another server: dnsctl server remove " + d.Name + " first"
	case d.Kind == fleetfile.KindPool && changed("no-tsig"):
		return "whether a pool's nameservers sign is chosen when it is made"
	}
	return ""
}
