package storetest

import (
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"dnsctl/fleet"
	"dnsctl/report"
	"dnsctl/secret"
	"dnsctl/zone"
)

func key(n string, s fleet.Scope) fleet.Key {
	return fleet.Key{Name: name(n), Algorithm: name("hmac-sha256."), Secret: secret.Sealed("sealed\x00octets"), Scope: s}
}

var fleetTests = map[string]func(*testing.T, *env){
	"a pool comes back as it was made and as it was changed": func(t *testing.T, e *env) {
		p := fleet.Pool{Name: "eu", Primaries: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:53"), netip.MustParseAddrPort("[2001:db8::1]:5353")},
			NS: []zone.Name{name("ns1.example."), name("NS2.example.")}, Email: "dns@example.org", RequireTSIG: true,
			AllowTransfer: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, Unmanaged: fleet.Delete, Protect: []string{"*.corp"}, CompareEvery: 90 * time.Second, MinActive: 3,
			TLS: fleet.PoolTLS{Require: true, Clients: []string{"ns1.example.org", "ns2.example.org"}, Name: "mdns.example.org", CA: "PEM\n"}}
		made, err := e.CreatePool(t.Context(), p, nil, by("pool create"))
		if err != nil || made.ID == 0 || made.Created.IsZero() {
			t.Fatalf("made %+v, %v", made, err)
		}
		check := func(want fleet.Pool) {
			t.Helper()
			got, err := e.Pool(t.Context(), "eu")
			want.ID, want.Created, got.Created = made.ID, time.Time{}, time.Time{}
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("pool %+v instead of %+v, %v", got, want, err)
			}
		}
		check(p)
		p.Email, p.NS, p.Protect, p.RequireTSIG, p.Unmanaged, p.TLS = "", []zone.Name{}, []string{"a", "b"}, false, fleet.Ignore, fleet.PoolTLS{Clients: []string{}}
		err = e.UpdatePool(t.Context(), "eu", by("pool set"), func(q *fleet.Pool) error {
			*q = p
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		check(p)
		head, _ := e.Head(t.Context())
		if err := e.UpdatePool(t.Context(), "eu", by("pool set"), func(*fleet.Pool) error { return nil }); err != nil {
			t.Fatal(err)
		}
		if now, _ := e.Head(t.Context()); now != head {
			t.Error("changing nothing has a feed entry")
		}
		stop := errors.New("no")
		if err := e.UpdatePool(t.Context(), "eu", by("pool set"), func(q *fleet.Pool) error { q.Email = "x"; return stop }); !errors.Is(err, stop) {
			t.Errorf("error is %v", err)
		}
		check(p)
		if _, err := e.CreatePool(t.Context(), p, nil, by("pool create")); !errors.Is(err, fleet.ErrExists) {
			t.Errorf("made twice: %v", err)
		}
		if err := e.UpdatePool(t.Context(), "us", by("pool set"), func(*fleet.Pool) error { return nil }); !errors.Is(err, fleet.ErrNoPool) {
			t.Errorf("changed another: %v", err)
		}
		for _, n := range []string{"", "a,b", "a b", "-x", strings.Repeat("x", 64)} {
			if _, err := e.CreatePool(t.Context(), fleet.Pool{Name: n}, nil, by("pool create")); err == nil {
				t.Errorf("pool %q was made", n)
			}
		}
		events, err := e.Events(t.Context(), fleet.EventFilter{})
		if err != nil || len(events) != 2 || events[0].Action != "set" || !strings.Contains(events[0].Before, "dns@example.org") {
			t.Errorf("events %+v, %v", events, err)
		}
	},
	"a pool in use stays, and takes its keys with it when it goes": func(t *testing.T, e *env) {
		k := key("eu.", fleet.Scope{})
		p, err := e.CreatePool(t.Context(), fleet.Pool{Name: "eu"}, &k, by("pool create"))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := e.Key(t.Context(), name("EU.")); err != nil || got.Scope.PoolID != p.ID || got.ScopeName != "pool:eu" {
			t.Fatalf("key %+v, %v", got, err)
		}
		z := e.create(content(t, "a.example.", 1, 1), p)
		if err := e.DeletePool(t.Context(), "eu", by("pool delete")); !errors.Is(err, fleet.ErrInUse) {
			t.Fatalf("deleted with a zone in it: %v", err)
		}
		e.delete(z, false)
		e.server("ns1", p)
		if err := e.DeletePool(t.Context(), "eu", by("pool delete")); !errors.Is(err, fleet.ErrInUse) {
			t.Fatalf("deleted with a server in it: %v", err)
		}
		if err := e.RemoveServer(t.Context(), "ns1", by("server remove")); err != nil {
			t.Fatal(err)
		}
		if err := e.DeletePool(t.Context(), "eu", by("pool delete")); err != nil {
			t.Fatal(err)
		}
		if keys, err := e.Keys(t.Context()); err != nil || len(keys) != 0 {
			t.Fatalf("keys %v, %v", keys, err)
		}
		if _, err := e.Pool(t.Context(), "eu"); !errors.Is(err, fleet.ErrNoPool) {
			t.Fatalf("pool: %v", err)
		}
	},
	"keys have a scope, a name of their own, and an end": func(t *testing.T, e *env) {
		p := e.pool("eu")
		z := e.create(content(t, "a.example.", 1, 1), p)
		for n, s := range map[string]fleet.Scope{"pool-key.": {PoolID: p.ID}, "zone-key.": {ZoneID: z.ID}} {
			made, err := e.CreateKey(t.Context(), key(n, s), by("tsig create"))
			if err != nil || made.ID == 0 {
				t.Fatal(err)
			}
		}
		got, err := e.Key(t.Context(), name("zone-key."))
		if err != nil || got.ScopeName != "zone:a.example." || string(got.Secret) != "sealed\x00octets" || got.Algorithm != name("hmac-sha256.") || got.Retired != nil {
			t.Fatalf("key %+v, %v", got, err)
		}
		if _, err := e.CreateKey(t.Context(), key("ZONE-key.", fleet.Scope{PoolID: p.ID}), by("tsig create")); !errors.Is(err, fleet.ErrExists) {
			t.Errorf("made twice: %v", err)
		}
		for _, s := range []fleet.Scope{{}, {PoolID: p.ID, ZoneID: z.ID}} {
			if _, err := e.CreateKey(t.Context(), key("odd.", s), by("tsig create")); err == nil {
				t.Errorf("made with scope %+v", s)
			}
		}
		until := e.clock.Now().UTC()
		err = e.UpdateKey(t.Context(), name("zone-key."), by("tsig rotate"), func(k *fleet.Key) error {
			k.Retired = &until
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := e.Key(t.Context(), name("zone-key.")); err != nil || got.Retired == nil || !got.Retired.Equal(until) {
			t.Errorf("key %+v, %v", got, err)
		}
		if keys, err := e.Keys(t.Context()); err != nil || len(keys) != 2 || keys[0].Name != name("pool-key.") {
			t.Errorf("keys %+v, %v", keys, err)
		}
		if err := e.DeleteKey(t.Context(), name("zone-key."), by("tsig delete")); err != nil {
			t.Fatal(err)
		}
		for what, err := range map[string]error{
			"delete": e.DeleteKey(t.Context(), name("zone-key."), by("tsig delete")),
			"change": e.UpdateKey(t.Context(), name("zone-key."), by("tsig rotate"), func(*fleet.Key) error { return nil }),
		} {
			if !errors.Is(err, fleet.ErrNoKey) {
				t.Errorf("%s: %v", what, err)
			}
		}
	},
	"a server comes back as it was added and as it was changed": func(t *testing.T, e *env) {
		eu, us := e.pool("eu"), e.pool("us")
		v := fleet.Server{Name: "ns1", Type: "bind", Address: netip.MustParseAddrPort("192.0.2.1:53"), Notify: netip.MustParseAddrPort("192.0.2.2:53"),
			Control: "rndc://192.0.2.1:953", View: "inside", State: fleet.Joining, New: true, Provision: fleet.ByControl, Credential: secret.Sealed("x\x00y"),
			Settings: map[string]string{"k": "v"}, Pools: []fleet.Pool{us, eu}}
		made, err := e.AddServer(t.Context(), v, by("server add"))
		if err != nil {
			t.Fatal(err)
		}
		if !fleet.IsMarkerName(made.Marker) || len(made.Pools) != 2 || made.Pools[0].ID != eu.ID || made.Probe.IsValid() {
			t.Fatalf("made %+v", made)
		}
		v.ID, v.Marker, v.Pools, v.Created = made.ID, made.Marker, made.Pools, made.Created
		if !reflect.DeepEqual(made, v) {
			t.Fatalf("made %+v instead of %+v", made, v)
		}
		if _, err := e.AddServer(t.Context(), v, by("server add")); !errors.Is(err, fleet.ErrExists) {
			t.Errorf("added twice: %v", err)
		}
		if _, err := e.AddServer(t.Context(), fleet.Server{Name: "ns2", Pools: []fleet.Pool{{ID: 99}}}, by("server add")); !errors.Is(err, fleet.ErrNoPool) {
			t.Errorf("added to no pool: %v", err)
		}
		err = e.UpdateServer(t.Context(), "ns1", by("server set"), func(s *fleet.Server) error {
			s.Pools, s.New, s.View, s.Credential = []fleet.Pool{us}, false, "", secret.Sealed("SECRETWORD")
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := e.SetServerState(t.Context(), "ns1", fleet.Active, by("bootstrap")); err != nil {
			t.Fatal(err)
		}
		if err := e.AcceptServer(t.Context(), "ns1", true, by("server accept")); err != nil {
			t.Fatal(err)
		}
		got, err := e.Server(t.Context(), "ns1")
		if err != nil || len(got.Pools) != 1 || got.Pools[0].Name != "us" || got.State != fleet.Active || !got.Accepted || got.New || string(got.Credential) != "SECRETWORD" {
			t.Fatalf("server %+v, %v", got, err)
		}
		events, err := e.Events(t.Context(), fleet.EventFilter{Server: "ns1"})
		if err != nil || len(events) != 4 {
			t.Fatalf("events %+v, %v", events, err)
		}
		for _, ev := range events {
			if strings.Contains(ev.Before+ev.Result, "SECRETWORD") {
				t.Errorf("event shows the credential: %+v", ev)
			}
		}
		if !strings.Contains(events[2].Before, `"pools"`) || !strings.Contains(events[1].Before, `"state":"joining"`) {
			t.Errorf("events %+v", events)
		}
		if err := e.SetServerState(t.Context(), "ns9", fleet.Active, by("x")); !errors.Is(err, fleet.ErrNoServer) {
			t.Errorf("changed another: %v", err)
		}
	},
	"a server takes the place of another": func(t *testing.T, e *env) {
		eu, us := e.pool("eu"), e.pool("us")
		old, next := e.server("ns1", us), e.server("ns9", eu)
		at := netip.MustParseAddrPort("192.0.2.9:53")
		if err := errors.Join(e.SetMarker(t.Context(), old.ID, 3, true), e.SetServerState(t.Context(), "ns1", fleet.Active, by("bootstrap")),
			e.UpdateServer(t.Context(), "ns9", by("server set"), func(s *fleet.Server) error {
				s.Address, s.Type, s.New, s.Credential = at, "nsd", true, secret.Sealed("new")
				return nil
			})); err != nil {
			t.Fatal(err)
		}
		if err := e.ReplaceServer(t.Context(), "ns1", "ns9", by("bootstrap")); err != nil {
			t.Fatal(err)
		}
		got, err := e.Server(t.Context(), "ns1")
		if err != nil || got.ID != old.ID || !got.Marker.Equal(old.Marker) || len(got.Pools) != 1 || got.Pools[0].ID != us.ID || got.Address != at ||
			got.Type != "nsd" || !got.New || string(got.Credential) != "new" || got.State != fleet.Joining {
			t.Fatalf("%+v, %v", got, err)
		}
		if m, err := e.Marker(t.Context(), old.ID); err != nil || m.Placed != nil {
			t.Errorf("marker %+v, %v", m, err)
		}
		if _, err := e.Server(t.Context(), "ns9"); !errors.Is(err, fleet.ErrNoServer) {
			t.Errorf("the other: %v", err)
		}
		if _, err := e.Marker(t.Context(), next.ID); !errors.Is(err, fleet.ErrNoServer) {
			t.Errorf("its marker: %v", err)
		}
		events, err := e.Events(t.Context(), fleet.EventFilter{Server: "ns1", Limit: 1})
		if err != nil || len(events) != 1 || events[0].Action != "replace" || events[0].Result != "ns9" {
			t.Errorf("events %+v, %v", events, err)
		}
		// One that is out of service stays so, and one that has its marker is another.
		if err := errors.Join(e.DrainServer(t.Context(), "ns1", report.Drain{Reason: "dead", Since: e.clock.Now()}, []string{"us"}, by("drain"))); err != nil {
			t.Fatal(err)
		}
		e.server("ns8", eu)
		if err := e.ReplaceServer(t.Context(), "ns1", "ns8", by("bootstrap")); err != nil {
			t.Fatal(err)
		}
		if got, err := e.Server(t.Context(), "ns1"); err != nil || !got.State.Out() || got.Drain == nil || got.Drain.Reason != "dead" {
			t.Errorf("%+v, %v", got, err)
		}
		third := e.server("ns7", eu)
		if err := e.SetMarker(t.Context(), third.ID, 1, true); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"ns7", "ns1"} {
			if err := e.ReplaceServer(t.Context(), "ns1", name, by("bootstrap")); !errors.Is(err, fleet.ErrConflict) {
				t.Errorf("by %s: %v", name, err)
			}
		}
	},
	"a marker is remembered until its server goes": func(t *testing.T, e *env) {
		p := e.pool("eu")
		v := e.server("ns1", p)
		m, err := e.Marker(t.Context(), v.ID)
		if err != nil || m.Name != v.Marker || m.ZoneID != 0 || m.Feed != 0 || m.Placed != nil {
			t.Fatalf("marker %+v, %v", m, err)
		}
		c := newZone(content(t, v.Marker.String(), 1, 0), p)
		c.Kind = fleet.Marker
		out := e.commit(fleet.Commit{Creates: []fleet.Create{c}})
		if err := e.SetMarker(t.Context(), v.ID, 17, false); err != nil {
			t.Fatal(err)
		}
		if m, err = e.Marker(t.Context(), v.ID); err != nil || m.ZoneID != out[0].ZoneID || m.Feed != 17 || m.Placed != nil {
			t.Fatalf("marker %+v, %v", m, err)
		}
		if err := e.SetMarker(t.Context(), v.ID, 18, true); err != nil {
			t.Fatal(err)
		}
		first, _ := e.Marker(t.Context(), v.ID)
		if err := e.SetMarker(t.Context(), v.ID, 19, true); err != nil {
			t.Fatal(err)
		}
		if m, err = e.Marker(t.Context(), v.ID); err != nil || m.Feed != 19 || m.Placed == nil || !m.Placed.Equal(*first.Placed) {
			t.Fatalf("marker %+v, %v", m, err)
		}
		if err := e.RemoveServer(t.Context(), "ns1", by("server remove")); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Marker(t.Context(), v.ID); !errors.Is(err, fleet.ErrNoServer) {
			t.Errorf("marker: %v", err)
		}
		if err := e.SetMarker(t.Context(), v.ID, 1, false); !errors.Is(err, fleet.ErrNoServer) {
			t.Errorf("set: %v", err)
		}
		if _, err := e.Server(t.Context(), "ns1"); !errors.Is(err, fleet.ErrNoServer) {
			t.Errorf("server: %v", err)
		}
	},
	"events are found by zone and server, newest first": func(t *testing.T, e *env) {
		serial := zone.Serial(7)
		for _, ev := range []report.Event{
			{Actor: actor, Command: "sync", Action: "add", Server: "ns1", Zone: name("A.example."), Serial: &serial, Before: "{}", Result: "done", Comment: "c"},
			{Command: "sync", Action: "delete", Server: "ns2", Zone: name("a.example.")},
			{Command: "sync", Action: "other", Server: "ns1"},
		} {
			if err := e.AddEvent(t.Context(), ev); err != nil {
				t.Fatal(err)
			}
		}
		actions := func(f fleet.EventFilter) (out []string) {
			t.Helper()
			events, err := e.Events(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			for _, ev := range events {
				out = append(out, ev.Action)
			}
			return out
		}
		for _, c := range []struct {
			f    fleet.EventFilter
			want []string
		}{
			{fleet.EventFilter{}, []string{"other", "delete", "add"}},
			{fleet.EventFilter{Limit: 1}, []string{"other"}},
			{fleet.EventFilter{Server: "ns1"}, []string{"other", "add"}},
			{fleet.EventFilter{Zone: name("a.EXAMPLE.")}, []string{"delete", "add"}},
			{fleet.EventFilter{Zone: name("a.example."), Before: 2}, []string{"add"}},
		} {
			if got := actions(c.f); !slices.Equal(got, c.want) {
				t.Errorf("%+v: %v", c.f, got)
			}
		}
		events, _ := e.Events(t.Context(), fleet.EventFilter{Before: 2})
		ev := events[0]
		ev.At = time.Time{}
		want := report.Event{ID: 1, Actor: actor, Command: "sync", Action: "add", Server: "ns1", Zone: name("a.example."), Serial: &serial, Before: "{}", Result: "done", Comment: "c"}
		if !reflect.DeepEqual(ev, want) {
			t.Errorf("event %+v", ev)
		}
		many := []report.Event{{Action: "first", Zone: name("b.example."), ZoneID: 77}, {Action: "second", Zone: name("b.example.")}}
		if err := errors.Join(e.AddEvents(t.Context(), many), e.AddEvents(t.Context(), nil)); err != nil {
			t.Fatal(err)
		}
		events, _ = e.Events(t.Context(), fleet.EventFilter{Zone: name("b.example.")})
		if len(events) != 2 || events[0].Action != "second" || events[1].Action != "first" || events[1].ZoneID != 77 || events[0].ZoneID != 0 || many[0].ID != 0 {
			t.Errorf("events %+v", events)
		}
	},
}
