package storetest

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"dnsctl/fleet"
	"dnsctl/report"
	"dnsctl/zone"
)

// setCatalog gives a pool a catalog and returns the pool.
func (e *env) setCatalog(pool, catalog string) (fleet.Pool, error) {
	e.t.Helper()
	err := e.UpdatePool(e.t.Context(), pool, by("pool set"), func(p *fleet.Pool) error {
		if p.Catalog = ""; catalog != "" {
			p.Catalog = name(catalog)
		}
		return nil
	})
	p, perr := e.Pool(e.t.Context(), pool)
	return p, errors.Join(err, perr)
}

// catalog makes the catalog zone of a pool, as the leader does.
func (e *env) catalog(p fleet.Pool) error {
	c := newZone(content(e.t, p.Catalog.String(), 1, 0), p)
	c.Kind = fleet.Catalog
	_, err := e.Commit(e.t.Context(), fleet.Commit{Creates: []fleet.Create{c}, Actor: actor, Command: "mdns"})
	return err
}

// usage fails unless err is a usage error that says this.
func (e *env) usage(err error, says string) {
	e.t.Helper()
	if exit, _ := report.ExitOf(err); exit != report.ExitUsage || !strings.Contains(err.Error(), says) {
		e.t.Errorf("want a usage error with %q, have %v", says, err)
	}
}

var catalogTests = map[string]func(*testing.T, *env){
	"a catalog's name is no other pool's and no zone's": func(t *testing.T, e *env) {
		eu := e.pool("eu")
		e.pool("us")
		e.create(content(t, "taken.example.", 1, 1), eu)
		gone := e.create(content(t, "gone.example.", 1, 1), eu)
		e.delete(gone, false)
		if eu, err := e.setCatalog("eu", "Gone.Example."); err != nil || eu.Catalog.String() != "gone.example." {
			t.Fatalf("%+v, %v", eu, err)
		}
		_, err := e.setCatalog("us", "GONE.example.")
		e.usage(err, "is that of pool eu")
		_, err = e.CreatePool(t.Context(), fleet.Pool{Name: "asia", Catalog: name("gone.example.")}, nil, by("pool create"))
		e.usage(err, "is that of pool eu")
		_, err = e.setCatalog("us", "taken.example.")
		e.usage(err, "there is a zone of this name")
		_, err = e.setCatalog("us", "a.dnsctl.invalid.")
		e.usage(err, "dnsctl's own")
		_, err = e.setCatalog("us", ".")
		e.usage(err, "root")
		long := strings.Repeat(strings.Repeat("a", 62)+".", 3)
		_, err = e.setCatalog("us", long+strings.Repeat("b", 20)+".")
		e.usage(err, "too long")
		us, err := e.setCatalog("us", long+strings.Repeat("b", 19)+".")
		if err != nil {
			t.Error(err)
		}
		_, err = e.Commit(t.Context(), fleet.Commit{Creates: []fleet.Create{newZone(content(t, "gone.example.", 9, 1), us)}})
		e.usage(err, "catalog of pool eu")
		e.usage(e.undelete(gone, 9), "catalog of pool eu")
	},
	"a catalog is made only for the pool that names it, and goes when it is named no more": func(t *testing.T, e *env) {
		e.pool("us")
		e.pool("eu")
		us, err := e.setCatalog("us", "us.example.")
		if err != nil {
			t.Fatal(err)
		}
		eu, err := e.setCatalog("eu", "cat.example.")
		if err != nil {
			t.Fatal(err)
		}
		wrong := us
		wrong.Catalog = eu.Catalog
		if err := e.catalog(wrong); !errors.Is(err, fleet.ErrConflict) {
			t.Errorf("made for another pool: %v", err)
		}
		if err := e.catalog(eu); err != nil {
			t.Fatal(err)
		}
		l, _, err := e.Lease(t.Context(), "leader", "a", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.Catalog(t.Context(), eu.ID); !errors.Is(err, fleet.ErrNotFound) {
			t.Errorf("before it was written: %v", err)
		}
		want := fleet.CatalogState{Pool: eu.ID, Epoch: 1, Pos: 7, Held: 2, Reason: "server ns1", Since: e.clock.Now().UTC().Truncate(time.Millisecond)}
		for _, c := range []fleet.CatalogState{{Pool: eu.ID}, want} {
			if err := e.SetCatalog(t.Context(), eu.Catalog, c, l); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := e.Catalog(t.Context(), eu.ID); err != nil || got != want {
			t.Errorf("%+v, %v", got, err)
		}
		late := l
		late.Fence--
		if err := e.SetCatalog(t.Context(), eu.Catalog, want, late); !errors.Is(err, fleet.ErrLeaseLost) {
			t.Errorf("an earlier leader: %v", err)
		}
		if err := e.SetCatalog(t.Context(), us.Catalog, want, l); !errors.Is(err, fleet.ErrConflict) {
			t.Errorf("under another name: %v", err)
		}
		head, _ := e.Head(t.Context())
		if eu, err = e.setCatalog("eu", "new.example."); err != nil {
			t.Fatal(err)
		}
		z := e.zone("cat.example.")
		if z.Deleted == nil || !z.Purged {
			t.Errorf("it is still there: %+v", z)
		}
		if _, err := e.Catalog(t.Context(), eu.ID); !errors.Is(err, fleet.ErrNotFound) {
			t.Errorf("its state is still there: %v", err)
		}
		feed, err := e.Feed(t.Context(), head, 10)
		if err != nil || len(feed) != 2 || feed[0].Kind != fleet.FeedMember || feed[0].ZoneID != z.ID || feed[1].Kind != fleet.FeedConfig {
			t.Errorf("feed %+v, %v", feed, err)
		}
		// A pool goes with its catalog, which is no zone that is in its way.
		if err := e.catalog(eu); err != nil {
			t.Fatal(err)
		}
		if err := e.SetCatalog(t.Context(), eu.Catalog, want, l); err != nil {
			t.Fatal(err)
		}
		if err := e.DeletePool(t.Context(), "eu", by("pool delete")); err != nil {
			t.Fatal(err)
		}
		if z := e.zone("new.example."); z.Deleted == nil {
			t.Error("its catalog is still there")
		}
	},
	"the members of a pool are ordinary zones, and say what became of them": func(t *testing.T, e *env) {
		bulk(t)
		e.pool("eu")
		us := e.pool("us")
		eu, err := e.setCatalog("eu", "cat.example.")
		if err != nil {
			t.Fatal(err)
		}
		if err := e.catalog(eu); err != nil {
			t.Fatal(err)
		}
		m := newZone(content(t, "abc.dnsctl.invalid.", 1, 0), eu)
		m.Kind = fleet.Marker
		r := newZone(content(t, "restored.example.", 1, 0), eu)
		r.Kind = fleet.Restored
		e.commit(fleet.Commit{Creates: []fleet.Create{m, r}})
		a := e.create(content(t, "A.example.", 5, 1), eu, us)
		e.create(content(t, "b.example.", 5, 1), us)
		e.delete(a, false)
		c := newZone(content(t, "a.example.", 6, 1), eu)
		c.After = new(zone.Serial(5))
		e.commit(fleet.Commit{Creates: []fleet.Create{c}})
		for i := range 600 { // more than one piece of a list
			e.create(content(t, "m"+strings.Repeat("x", i%30)+string(rune('a'+i/30))+".example.", 1, 0), eu)
		}
		e.commit(fleet.Commit{Members: []fleet.MemberChange{{Zone: e.zone("a.example."), Group: new("g")}}})
		live := map[string]string{}
		pos, err := e.EachMember(t.Context(), eu.ID, func(v fleet.Membership) error {
			if v.Deleted != nil || v.Pool != "eu" || (v.Group == "g") != (v.Zone.String() == "a.example.") || v.Group != "" && v.Group != "g" {
				t.Errorf("%+v", v)
			}
			live[v.Zone.String()] = v.Incarnation
			return nil
		})
		if head, _ := e.Head(t.Context()); err != nil || pos != head || len(live) != 601 || live["a.example."] == "" {
			t.Fatalf("%d members at %d of %d, %v", len(live), pos, head, err)
		}
		stop := errors.New("stop")
		if _, err := e.EachMember(t.Context(), eu.ID, func(fleet.Membership) error { return stop }); !errors.Is(err, stop) {
			t.Errorf("a list that is cut short: %v", err)
		}
		names := []zone.Name{}
		for n := range maps.Keys(live) {
			names = append(names, name(n))
		}
		all, err := e.Members(t.Context(), eu.ID, append(names, name("b.example."), name("cat.example."), name("none.example.")))
		if err != nil || len(all) != 602 {
			t.Fatalf("%d memberships, %v", len(all), err)
		}
		i := slices.IndexFunc(all, func(v fleet.Membership) bool { return v.Deleted != nil })
		if v := all[i]; v.Zone.String() != "A.example." || v.LastSerial != 5 || v.ZoneID != a.ID || v.Incarnation == live["a.example."] {
			t.Errorf("%+v", v)
		}
	},
}
