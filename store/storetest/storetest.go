// Package storetest is the suite that both databases pass.
package storetest

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"dnsctl/fleet"
	"dnsctl/report"
	"dnsctl/store"
	"dnsctl/zone"
)

// Run tests a store on databases that are made for it: each call of newDatabase
// returns the URL of an empty one, each of migrated that of one with the tables of
// a store and nothing in them.
func Run(t *testing.T, newDatabase, migrated func(t *testing.T) string) {
	groups := []struct {
		name  string
		tests map[string]func(*testing.T, *env)
	}{
		{"life", lifeTests},
		{"commit", commitTests},
		{"content", contentTests},
		{"stage", stageTests},
		{"chunks", chunkTests},
		{"members", memberTests},
		{"feed", feedTests},
		{"fleet", fleetTests},
		{"wanted", wantedTests},
		{"keeper", keeperTests},
		{"replicas", replicaTests},
		{"drain", drainTests},
		{"guards", guardTests},
		{"epochs", epochTests},
		{"catalogs", catalogTests},
		{"retention", retentionTests},
		{"together", togetherTests},
	}
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) {
			for name, test := range g.tests {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					url := migrated(t)
					e := &env{t: t, url: url, fresh: newDatabase, clock: &clock{now: time.UnixMilli(1_800_000_000_000)}}
					e.Store = e.open(store.Options{AnySchema: true, Create: true})
					if _, err := e.Init(t.Context(), "age1recipient"); err != nil {
						t.Fatal(err)
					}
					test(t, e)
				})
			}
		})
	}
}

// env is a test's database and a store on it.
type env struct {
	*store.Store
	t     *testing.T
	url   string
	fresh func(*testing.T) string // makes another empty database
	clock *clock
}

// open is another store on the same database.
func (e *env) open(o store.Options) *store.Store {
	e.t.Helper()
	if o.Clock == nil {
		o.Clock = e.clock.Now
	}
	s, err := store.Open(context.Background(), e.url, o)
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() {
		if err := s.Close(); err != nil {
			e.t.Errorf("close: %v", err)
		}
	})
	return s
}

// bulk is called by tests of many rows: make check, which is for every commit,
// leaves them to make test.
func bulk(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("many rows: make test runs it")
	}
}

func name(text string) zone.Name { return zone.MustParseName(text) }

func soa(apex zone.Name, serial zone.Serial) zone.RRset {
	v := zone.SOA{MName: name("ns1.example.net."), RName: name("hostmaster.example.net."), Serial: serial, Refresh: 7200, Retry: 900, Expire: 1209600, Minimum: 300}
	return zone.RRset{Owner: apex, Type: zone.TypeSOA, TTL: 3600, Data: zone.PackRdata(v.Rdata())}
}

func ns(apex zone.Name) zone.RRset {
	return zone.RRset{Owner: apex, Type: zone.TypeNS, TTL: 3600, Data: zone.PackRdata(string(name("ns1.example.net.")), string(name("ns2.example.net.")))}
}

func host(owner string, n int) zone.RRset {
	a := netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
	return zone.RRset{Owner: name(owner), Type: zone.TypeA, TTL: 300, Data: zone.PackRdata(string(a.AsSlice()))}
}

// content is a zone of an SOA, NS, and n hosts.
func content(t testing.TB, apex string, serial zone.Serial, n int, more ...zone.RRset) *zone.Snapshot {
	t.Helper()
	b := zone.NewBuilder(name(apex), n+2+len(more))
	b.Add(soa(name(apex), serial))
	b.Add(ns(name(apex)))
	for i := range n {
		b.Add(host(fmt.Sprintf("host%07d.%s", i, strings.TrimPrefix(apex, ".")), i))
	}
	for _, set := range more {
		b.Add(set)
	}
	s, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Content is a zone for benchmarks: an SOA, NS, and n hosts.
func Content(t testing.TB, apex string, n int) *zone.Snapshot { return content(t, apex, 1, n) }

var actor = report.Actor{UID: 1000, User: "alice", Host: "test", Process: "cli"}

func by(command string) fleet.By { return fleet.By{Actor: actor, Command: command} }

// pool makes a pool.
func (e *env) pool(n string) fleet.Pool {
	e.t.Helper()
	p, err := e.CreatePool(e.t.Context(), fleet.Pool{Name: n, Unmanaged: fleet.Warn, RequireTSIG: true, CompareEvery: time.Hour, MinActive: 1}, nil, by("pool create"))
	if err != nil {
		e.t.Fatal(err)
	}
	return p
}

// server makes a server in pools.
func (e *env) server(n string, pools ...fleet.Pool) fleet.Server {
	e.t.Helper()
	v, err := e.AddServer(e.t.Context(), fleet.Server{Name: n, Type: "bind", Address: netip.MustParseAddrPort("127.0.0.1:5300"), Control: "rndc://127.0.0.1:953", State: fleet.Joining, Pools: pools}, by("server add"))
	if err != nil {
		e.t.Fatal(err)
	}
	return v
}

// commit commits and fails the test on an error.
func (e *env) commit(c fleet.Commit) []fleet.Committed {
	e.t.Helper()
	out, err := e.Commit(e.t.Context(), c)
	if err != nil {
		e.t.Fatal(err)
	}
	return out
}

// create makes a zone in pools.
func (e *env) create(s *zone.Snapshot, pools ...fleet.Pool) fleet.Zone {
	e.t.Helper()
	e.commit(fleet.Commit{Creates: []fleet.Create{newZone(s, pools...)}, Actor: actor, Command: "zone create"})
	return e.zone(s.Apex().String())
}

func newZone(s *zone.Snapshot, pools ...fleet.Pool) fleet.Create {
	c := fleet.Create{Name: s.Apex(), Kind: fleet.Ordinary, SerialStyle: zone.SerialIncrement, Content: s}
	for _, p := range pools {
		c.Pools = append(c.Pools, p.ID)
	}
	return c
}

func (e *env) zone(n string) fleet.Zone {
	e.t.Helper()
	z, err := e.Zone(e.t.Context(), name(n))
	if err != nil {
		e.t.Fatal(err)
	}
	return z
}

func (e *env) snapshot(z fleet.Zone) (*zone.Snapshot, int64) {
	e.t.Helper()
	s, v, err := e.Snapshot(e.t.Context(), z.Edition.ID)
	if err != nil {
		e.t.Fatal(err)
	}
	return s, v
}

// editOf is the edit that makes old, at version base of z, into new.
func editOf(z fleet.Zone, base int64, old, new *zone.Snapshot) fleet.Edit {
	d := zone.Diff(old, new)
	ed := fleet.Edit{Zone: z, Base: base, Delta: d, Put: []zone.RRset{new.SOASet()}, RRsets: new.RRsets(), Records: new.Records(), Octets: new.Octets()}
	seen := map[zone.ID]bool{}
	for _, sets := range [][]zone.RRset{d.Removed, d.Added} {
		for _, r := range sets {
			if seen[r.ID()] {
				continue
			}
			seen[r.ID()] = true
			if set, ok := new.Get(r.ID()); ok {
				ed.Put = append(ed.Put, set)
			} else {
				ed.Drop = append(ed.Drop, r.ID())
			}
		}
	}
	return ed
}

// change edits a zone so that it has n hosts and the next serial.
func (e *env) change(z fleet.Zone, n int) fleet.Zone {
	e.t.Helper()
	old, base := e.snapshot(z)
	next := content(e.t, z.Name.String(), old.Serial()+1, n)
	e.commit(fleet.Commit{Edits: []fleet.Edit{editOf(z, base, old, next)}, Actor: actor, Command: "record set"})
	return e.zone(z.Name.String())
}

// same fails unless two snapshots hold the same RRsets.
func same(t testing.TB, got, want *zone.Snapshot) {
	t.Helper()
	if d := zone.Diff(want, got); !d.Empty() || got.SOASet() != want.SOASet() {
		t.Fatalf("content differs: %d removed, %d added, SOA %d instead of %d", len(d.Removed), len(d.Added), got.Serial(), want.Serial())
	}
	if got.RRsets() != want.RRsets() || got.Records() != want.Records() || got.Octets() != want.Octets() {
		t.Fatalf("counts differ: %d/%d/%d instead of %d/%d/%d", got.RRsets(), got.Records(), got.Octets(), want.RRsets(), want.Records(), want.Octets())
	}
}

// Change is the next version of such a zone, with another address for one host.
func Change(t testing.TB, s *zone.Snapshot) (*zone.Snapshot, zone.Delta) {
	t.Helper()
	apex := s.Apex()
	d := zone.Delta{OldSOA: s.SOASet(), NewSOA: soa(apex, s.Serial()+1)}
	set := host("host0000001."+apex.String(), int(s.Serial()))
	old, _ := s.Get(set.ID())
	if !old.Equal(set) {
		d.Removed, d.Added = []zone.RRset{old}, []zone.RRset{set}
	}
	next, err := s.Apply(d)
	if err != nil {
		t.Fatal(err)
	}
	return next, d
}
