package inventory_test

import (
	"testing"
	"time"

	"dnsctl/fleet"
	"dnsctl/secret"
	"dnsctl/testbed/pretend"
	"dnsctl/wire"
	"dnsctl/zone"
)

// inUse is the key that a new session signs its questions with, and that zones
// are configured with.
func inUse(t *testing.T, w *pretend.World, ns *pretend.Server) string {
	t.Helper()
	ses := w.Open(ns)
	defer ses.Close()
	asks := ses.Question(pretend.Name("a.example.")).Key.Name
	zones := ses.ZoneConfig(fleet.Wanted{Name: pretend.Name("a.example."), Pools: ses.MarkerPools()}).Primaries[0].Key
	if !asks.Equal(zones) {
		t.Errorf("questions use %s, zones %s", asks, zones)
	}
	return asks.String()
}

func TestANewKeyIsUsedOnceTheServerAcceptsIt(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World) {
		ns := w.Server("ns1")
		asked := 0
		knowsNew, silent := false, false
		ns.Rejects = func(key zone.Name) bool { asked++; return !knowsNew && !key.Equal(pretend.Name("eu.")) }
		ns.Asked = func(zone.Name) bool { return silent }
		if got := inUse(t, w, ns); got != "eu." || asked != 0 {
			t.Fatalf("the only key: %s, asked %d times", got, asked)
		}
		time.Sleep(time.Second) //nolint:forbidigo // synctest's time
		sealed, err := w.Sealer.Seal(t.Context(), secret.New([]byte("fedcba9876543210fedcba9876543210")))
		if err != nil {
			t.Fatal(err)
		}
		pool, err := w.Store.Pool(t.Context(), "eu")
		if err != nil {
			t.Fatal(err)
		}
		made, err := w.Store.CreateKey(t.Context(), fleet.Key{Name: pretend.Name("eu-2."), Algorithm: wire.HMACSHA256.Name(), Secret: sealed, Scope: fleet.Scope{PoolID: pool.ID}}, fleet.By{})
		if err != nil {
			t.Fatal(err)
		}
		steps := []struct {
			what    string
			wait    time.Duration
			prepare func()
			want    string
		}{
			{"the server does not know the new one", 0, func() {}, "eu."},
			{"it was asked a moment ago", time.Second, func() { knowsNew = true }, "eu."},
			{"it knows it by now", 11 * time.Second, func() {}, "eu-2."},
			{"what it accepted once is not doubted for a lost answer", time.Second, func() { silent = true }, "eu-2."},
			{"long after, and it says nothing: the old one, which works", time.Hour, func() {}, "eu."},
			{"it answers again", 11 * time.Second, func() { silent = false }, "eu-2."},
		}
		for _, s := range steps {
			time.Sleep(s.wait) //nolint:forbidigo // synctest's time
			s.prepare()
			if got := inUse(t, w, ns); got != s.want {
				t.Errorf("%s: %s, want %s", s.what, got, s.want)
			}
		}
		// The old one ends: there is nothing left to prove.
		knowsNew = false
		if err := w.Store.UpdateKey(t.Context(), pretend.Name("eu."), fleet.By{}, func(k *fleet.Key) error { k.Retired = new(time.Now()); return nil }); err != nil {
			t.Fatal(err)
		}
		if got := inUse(t, w, ns); got != made.Name.String() {
			t.Errorf("after the old one ended: %s", got)
		}
	})
}
