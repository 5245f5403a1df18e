// Package pretend is a fleet for tests of what dnsctl does to nameservers: a real
// store, and nameservers in memory that are told over a control channel, asked
// over DNS, and transfer from the store as they would from mdns. Tests make them
// fail, stall, lie, and change things in the middle of a run.
package pretend

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"dnsctl/edit"
	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/report"
	"dnsctl/secret"
	"dnsctl/store"
	"dnsctl/sync/apply"
	"dnsctl/sync/inventory"
	"dnsctl/wire"
	"dnsctl/zone"
)

// World is one store with its verbs and its nameservers. Inside a synctest
// bubble its waits take no time.
type World struct {
	testing.TB
	Store   *store.Store
	Edit    *edit.Editor
	Fleet   *inventory.Fleet
	Applier *apply.Applier
	Syncer  *apply.Syncer
	Sealer  Sealer
	Servers map[string]*Server
	// CannotHold says which names no server can have; nil: they can have all.
	CannotHold func(name zone.Name) bool
	// Alters says what the servers make of content; nil: nothing.
	Alters func(set zone.RRset, signed bool) (how string, harmless bool)
}

// Primary is where the pretended mdns is: what zones should transfer from.
var Primary = netip.MustParseAddrPort("192.0.2.53:53")

// Name parses a zone name.
func Name(s string) zone.Name { return zone.MustParseName(s) }

// New makes a world with the pool "eu", whose key is "eu.", and no server.
func New(t testing.TB) *World {
	t.Helper()
	w := &World{TB: t, Sealer: "this store", Servers: make(map[string]*Server)}
	s := NewStore(t)
	w.Store = s
	w.Edit = &edit.Editor{Store: s, Now: time.Now}
	dns := DNS{w}
	w.Fleet = &inventory.Fleet{Store: s, Types: []nameserver.Type{Type{w}}, Sealer: w.Sealer, DNS: dns, Now: time.Now}
	w.Applier = &apply.Applier{Store: s, Edit: w.Edit, Sealer: w.Sealer, DNS: dns, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	w.Syncer = &apply.Syncer{Fleet: w.Fleet, Applier: w.Applier, Locks: s, Holder: "test"}
	w.Pool("eu", fleet.Delete)
	return w
}

func (w *World) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// Pool makes a pool with a key of its name.
func (w *World) Pool(name string, unmanaged fleet.Policy, protect ...string) fleet.Pool {
	w.Helper()
	sealed, err := w.Sealer.Seal(w.Context(), secret.New([]byte("0123456789abcdef0123456789abcdef")))
	w.must(err)
	key := fleet.Key{Name: Name(name), Algorithm: wire.HMACSHA256.Name(), Secret: sealed}
	p, err := w.Store.CreatePool(w.Context(), fleet.Pool{Name: name, Primaries: []netip.AddrPort{Primary}, NS: []zone.Name{Name("ns1.example.net")},
		RequireTSIG: true, Unmanaged: unmanaged, Protect: protect, MinActive: 1}, &key, fleet.By{})
	w.must(err)
	return p
}

// Bare adds an accepted server of the pools ("eu" when none is named) that has
// no marker yet.
func (w *World) Bare(name string, pools ...string) *Server {
	w.Helper()
	if len(pools) == 0 {
		pools = []string{"eu"}
	}
	s := fleet.Server{Name: name, Type: "pretend", Address: netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(len(w.Servers) + 1)}), 53),
		State: fleet.Joining, Accepted: true}
	for _, p := range pools {
		pool, err := w.Store.Pool(w.Context(), p)
		w.must(err)
		s.Pools = append(s.Pools, pool)
	}
	added, err := w.Store.AddServer(w.Context(), s, fleet.By{})
	w.must(err)
	srv := newServer(w, added)
	w.Servers[name] = srv
	return srv
}

// Server is Bare with its marker placed and proven, and in service.
func (w *World) Server(name string, pools ...string) *Server {
	w.Helper()
	srv := w.Bare(name, pools...)
	ses := w.Open(srv)
	defer ses.Close()
	w.must(w.Applier.Place(w.Context(), ses, apply.Options{}))
	w.must(w.Store.SetServerState(w.Context(), name, fleet.Active, fleet.By{}))
	return srv
}

// Open opens a session with the server as the store knows it now.
func (w *World) Open(srv *Server) *inventory.Session {
	w.Helper()
	ses, err := w.Fleet.Open(w.Context(), w.Row(srv))
	w.must(err)
	return ses
}

// Row is the server as the store knows it now.
func (w *World) Row(srv *Server) fleet.Server {
	w.Helper()
	s, err := w.Store.Server(w.Context(), srv.name)
	w.must(err)
	return s
}

// Create makes zones in the pool "eu".
func (w *World) Create(names ...string) {
	w.Helper()
	for _, n := range names {
		_, err := w.Edit.Create(w.Context(), edit.NewZone{Name: Name(n), Pools: []string{"eu"}, SerialStyle: zone.SerialIncrement}, edit.Meta{})
		w.must(err)
	}
}

// Change gives a zone another record and so a new serial, which it returns.
func (w *World) Change(name string) zone.Serial {
	w.Helper()
	res, err := w.Edit.Records(w.Context(), Name(name), []edit.Op{{Verb: edit.Set, Owner: Name("x." + name), Type: zone.TypeTXT,
		Data: []string{fleet.TXTRdata(fmt.Sprint(time.Now().UnixNano()))}}}, edit.Meta{})
	w.must(err)
	return res.Serial
}

// Delete deletes zones from the database.
func (w *World) Delete(names ...string) {
	w.Helper()
	for _, n := range names {
		_, err := w.Edit.Delete(w.Context(), []zone.Name{Name(n)}, false, edit.Meta{})
		w.must(err)
	}
}

// Sync runs a sync of servers, all when none is named.
func (w *World) Sync(ctx context.Context, o apply.SyncOptions, servers ...*Server) (report.Report, error) {
	w.Helper()
	rows, err := w.Store.Servers(w.Context())
	w.must(err)
	if len(servers) > 0 {
		rows = nil
		for _, s := range servers {
			rows = append(rows, w.Row(s))
		}
	}
	return w.Syncer.Sync(ctx, "sync", rows, o)
}

// Content is a zone with an SOA of that serial and an NS.
func Content(name string, serial zone.Serial) *zone.Snapshot {
	soa := zone.SOA{MName: Name("ns.elsewhere."), RName: Name("h.elsewhere."), Serial: serial, Refresh: 1, Retry: 2, Expire: 3, Minimum: 4}
	b := zone.NewBuilder(Name(name), 2)
	b.Add(zone.RRset{Owner: Name(name), Type: zone.TypeSOA, TTL: 60, Data: zone.PackRdata(soa.Rdata())})
	b.Add(zone.RRset{Owner: Name(name), Type: zone.TypeNS, TTL: 60, Data: zone.PackRdata(string(Name("ns.elsewhere.")))})
	snap, err := b.Build()
	if err != nil {
		panic(err)
	}
	return snap
}

// Sealer seals with a word that only the same word opens.
type Sealer string

// Seal implements secret.Sealer.
func (s Sealer) Seal(_ context.Context, p secret.Plain) (secret.Sealed, error) {
	return append([]byte(s+":"), p.Reveal()...), nil
}

// Open implements secret.Sealer.
func (s Sealer) Open(_ context.Context, sealed secret.Sealed) (secret.Plain, error) {
	b, ok := bytes.CutPrefix(sealed, []byte(s+":"))
	if !ok {
		return secret.Plain{}, errors.New("sealed for " + strings.SplitN(string(sealed), ":", 2)[0])
	}
	return secret.New(b), nil
}
