package storetest

import (
	"errors"
	"fmt"
	"iter"
	"reflect"
	"slices"
	"testing"

	"dnsctl/fleet"
	"dnsctl/zone"
)

var contentTests = map[string]func(*testing.T, *env){
	"content that is not kept is yielded as it is": func(t *testing.T, e *env) {
		want := content(t, "a.example.", 1, 40)
		z := e.create(want, e.pool("eu"))
		b := zone.NewBuilder(name("a.example."), 0)
		last := zone.ID{}
		err := e.Content(t.Context(), z.Edition.ID, func(k zone.Key, set zone.RRset) error {
			if id := set.ID(); id.Owner != k || last != (zone.ID{}) && last.Compare(id) >= 0 {
				t.Errorf("%s %s comes after %v", set.Owner, set.Type, last)
			}
			last = set.ID()
			b.AddKeyed(k, set)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		got, err := b.Build()
		if err != nil || !zone.Diff(want, got).Empty() || got.SOASet() != want.SOASet() {
			t.Errorf("%v", err)
		}
		stop := errors.New("enough")
		if err := e.Content(t.Context(), z.Edition.ID, func(zone.Key, zone.RRset) error { return stop }); !errors.Is(err, stop) {
			t.Errorf("%v", err)
		}
		if err := e.Content(t.Context(), 99, func(zone.Key, zone.RRset) error { return stop }); err != nil {
			t.Errorf("of no edition: %v", err)
		}
	},
	"an edition that is not there is no zone": func(t *testing.T, e *env) {
		if _, _, err := e.Snapshot(t.Context(), 99); !errors.Is(err, fleet.ErrNoZone) {
			t.Errorf("snapshot: %v", err)
		}
		if _, err := e.Owners(t.Context(), 99, []zone.Key{"x"}); !errors.Is(err, fleet.ErrNoZone) {
			t.Errorf("owners: %v", err)
		}
		if _, err := e.Zone(t.Context(), name("a.example.")); !errors.Is(err, fleet.ErrNoZone) {
			t.Errorf("zone: %v", err)
		}
	},
	"contents read together are those that each has alone": func(t *testing.T, e *env) {
		want := map[int64]*zone.Snapshot{}
		versions := map[int64]int64{}
		ask := []int64{99}
		for i := range 70 { // more than one statement asks for
			z := e.create(content(t, fmt.Sprintf("z%d.example.", i), 1, i%9))
			if i%3 == 0 {
				z = e.change(z, 2)
			}
			s, version, err := e.Snapshot(t.Context(), z.Edition.ID)
			if err != nil {
				t.Fatal(err)
			}
			want[z.Edition.ID], versions[z.Edition.ID] = s, version
			ask = append(ask, z.Edition.ID)
		}
		purged := e.create(content(t, "gone.example.", 1, 3))
		ask = append(ask, purged.Edition.ID)
		e.delete(purged, true)
		got, err := e.Snapshots(t.Context(), ask)
		if err != nil || len(got) != len(want) {
			t.Fatalf("%d of %d, %v", len(got), len(want), err)
		}
		for id, w := range want {
			g := got[id]
			if g.Version != versions[id] || g.Content.Apex() != w.Apex() || !slices.Equal(slices.Collect(g.Content.All()), slices.Collect(w.All())) {
				t.Errorf("%s: version %d, want %d", w.Apex(), g.Version, versions[id])
			}
		}
		if got, err := e.Snapshots(t.Context(), nil); err != nil || len(got) != 0 {
			t.Errorf("of none: %v, %v", got, err)
		}
	},
	"a zone is given in parts while it is read": func(t *testing.T, e *env) {
		s := content(t, "example.org.", 1, 1200)
		z := e.create(s)
		var got []zone.RRset
		calls := 0
		snap, version, err := e.Stream(t.Context(), z.Edition.ID, func(v int64, sets iter.Seq[zone.RRset]) {
			if v != z.Edition.Version {
				t.Errorf("part of version %d", v)
			}
			if calls++; calls == 1 && !slices.ContainsFunc(slices.Collect(sets), func(s zone.RRset) bool { return s.Type == zone.TypeSOA }) {
				t.Error("the first part is without the SOA")
			}
			got = slices.AppendSeq(got, sets)
		})
		if err != nil || version != z.Edition.Version || calls < 3 {
			t.Fatalf("version %d in %d parts, %v", version, calls, err)
		}
		if want := slices.Collect(s.All()); !slices.Equal(got, want) || !slices.Equal(slices.Collect(snap.All()), want) {
			t.Errorf("%d RRsets in parts, %d whole, want %d", len(got), snap.RRsets(), len(want))
		}
	},
	"many zones are read at once as each is alone": func(t *testing.T, e *env) {
		eu, us := e.pool("eu"), e.pool("us")
		var names []zone.Name
		for i := range 600 { // more than one statement asks for
			names = append(names, name(fmt.Sprintf("z%d.example.", i)))
		}
		contents := map[zone.Key]*zone.Snapshot{}
		put := func(s *zone.Snapshot, pools ...fleet.Pool) fleet.Zone {
			contents[s.Apex().Key()] = s
			return e.create(s, pools...)
		}
		for i, n := range names[:520] {
			if i%5 == 0 {
				put(content(t, n.String(), zone.Serial(i+1), i%7), eu)
			}
		}
		put(content(t, "Mixed.Z1.example.", 7, 3), us, eu)
		large := put(content(t, "large.example.", 7, 1200), eu)
		twice := put(content(t, "twice.example.", 7, 1), eu)
		e.commit(fleet.Commit{Members: []fleet.MemberChange{{Zone: twice, Delete: true}}})
		again := newZone(content(t, "twice.example.", 9, 2), us)
		serial := twice.Edition.Serial
		again.After = &serial
		e.commit(fleet.Commit{Creates: []fleet.Create{again}})
		contents[name("twice.example.").Key()] = again.Content
		gone := put(content(t, "gone.example.", 7, 1), eu)
		e.commit(fleet.Commit{Members: []fleet.MemberChange{{Zone: gone, Delete: true}}})
		names = append(names, name("mixed.z1.example."), large.Name, twice.Name, gone.Name, name("never.example."))
		got, err := e.Present(t.Context(), names)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != len(contents) {
			t.Errorf("%d zones, want %d", len(got), len(contents))
		}
		for key, want := range contents {
			p := got[key]
			alone := e.zone(want.Apex().String())
			if p.Damage != nil || !reflect.DeepEqual(p.Zone, alone) {
				t.Errorf("%s: %+v, alone %+v", want.Apex(), p, alone)
			}
			if whole := alone.Deleted == nil && want.RRsets() <= 1000; (p.Content != nil) != whole {
				t.Errorf("%s: with content %v", want.Apex(), p.Content != nil)
			}
			if p.Content != nil && !slices.Equal(slices.Collect(p.Content.All()), slices.Collect(want.All())) {
				t.Errorf("%s has other content", want.Apex())
			}
		}
		if got, err := e.Present(t.Context(), nil); err != nil || len(got) != 0 {
			t.Errorf("of nothing: %v, %v", got, err)
		}
	},
	"owners come as the snapshot has them": func(t *testing.T, e *env) {
		s := content(t, "example.org.", 1, 1200, host("deep.in.example.org.", 1), ns(name("deep.in.example.org.")))
		z := e.create(s)
		var keys []zone.Key
		var want []zone.RRset
		for k, set := range s.From("") {
			if len(keys) == 0 || keys[len(keys)-1] != k {
				keys = append(keys, k)
			}
			want = append(want, set)
		}
		slices.Reverse(keys)
		keys = append(keys, name("nothere.example.org.").Key())
		got, err := e.Owners(t.Context(), z.Edition.ID, keys)
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("%d instead of %d RRsets, %v", len(got), len(want), err)
		}
		if got, err := e.Owners(t.Context(), z.Edition.ID, nil); err != nil || len(got) != 0 {
			t.Fatalf("nothing asked, %d RRsets, %v", len(got), err)
		}
		for n, want := range map[string]bool{"example.org.": true, "in.example.org.": true, "n.example.org.": false, "zz.example.org.": false, "host0000001.example.org.": true} {
			if got, err := e.Has(t.Context(), z.Edition.ID, name(n).Key()); err != nil || got != want || s.Has(name(n).Key()) != want {
				t.Errorf("%s: %v, %v", n, got, err)
			}
		}
	},
	"zones are listed in canonical order, by what is asked": func(t *testing.T, e *env) {
		eu, us := e.pool("eu"), e.pool("us")
		for _, n := range []string{"z.example.", "example.", "a.z.example.", "Z.a.example.", "a\\000b.example.", "xn--bcher-kva.test."} {
			e.create(content(t, n, 1, 0), eu)
		}
		e.create(content(t, "us.test.", 1, 0), us)
		e.create(content(t, "both.test.", 1, 0), us, eu)
		gone := e.create(content(t, "gone.test.", 1, 0), us)
		e.commit(fleet.Commit{Members: []fleet.MemberChange{{Zone: gone, Delete: true}}})
		for what, c := range map[string]struct {
			f    fleet.ZoneFilter
			want []string
		}{
			"all":     {fleet.ZoneFilter{}, []string{"example.", "Z.a.example.", "a\\000b.example.", "z.example.", "a.z.example.", "both.test.", "us.test.", "xn--bcher-kva.test."}},
			"glob":    {fleet.ZoneFilter{Glob: "*.A.Example"}, []string{"Z.a.example."}},
			"deep":    {fleet.ZoneFilter{Glob: "*z*.example."}, []string{"Z.a.example.", "z.example.", "a.z.example."}},
			"pool":    {fleet.ZoneFilter{Pool: "us"}, []string{"both.test.", "us.test."}},
			"deleted": {fleet.ZoneFilter{Deleted: true, Pool: "us"}, []string{"gone.test."}},
			"kind":    {fleet.ZoneFilter{Kind: fleet.Marker}, nil},
		} {
			var got []string
			err := e.Zones(t.Context(), c.f, func(z fleet.Zone) error {
				got = append(got, z.Name.String())
				return nil
			})
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%s: %q, %v", what, got, err)
			}
		}
		stop := errors.New("enough")
		if err := e.Zones(t.Context(), fleet.ZoneFilter{}, func(fleet.Zone) error { return stop }); !errors.Is(err, stop) {
			t.Errorf("stopped by %v", err)
		}
		if err := e.Zones(t.Context(), fleet.ZoneFilter{Glob: "[a"}, func(fleet.Zone) error { return nil }); err == nil {
			t.Error("a malformed pattern is taken")
		}
		for prefix, want := range map[string][]string{
			"Z.": {"z.a.example.", "z.example."}, "z.a": {"z.a.example."}, "z.a.exa": {"z.a.example."}, "z.a.example.": {"z.a.example."},
			"exam": {"example."}, "example.": {"example."}, "b": {"both.test."}, "a\\": {"a\\000b.example."}, "a": {"a\\000b.example.", "a.z.example."},
			"x..": nil, ".": nil, "test": nil, "gone": nil,
		} {
			names, err := e.Names(t.Context(), prefix, 10)
			var got []string
			for _, n := range names {
				got = append(got, n.String())
			}
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("names that begin with %q: %q, %v", prefix, got, err)
			}
		}
		if names, err := e.Names(t.Context(), "", 3); err != nil || len(names) != 3 {
			t.Errorf("names %v, %v", names, err)
		}
	},
	"the index is every live zone of every kind with its pools": func(t *testing.T, e *env) {
		eu, us := e.pool("eu"), e.pool("us")
		a := e.create(content(t, "a.example.", 5, 0), us, eu)
		m := newZone(content(t, "abc.dnsctl.invalid.", 1, 0), eu)
		m.Kind = fleet.Marker
		e.commit(fleet.Commit{Creates: []fleet.Create{m}})
		b := e.create(content(t, "b.example.", 1, 0))
		gone := e.create(content(t, "gone.example.", 1, 0), eu)
		e.commit(fleet.Commit{Members: []fleet.MemberChange{{Zone: gone, Delete: true}}})
		got := map[zone.Name]fleet.Served{}
		pos, err := e.Index(t.Context(), func(v fleet.Served) error {
			got[v.Name] = v
			return nil
		})
		head, _ := e.Head(t.Context())
		if err != nil || pos != head || len(got) != 3 {
			t.Fatalf("%d zones at %d of %d, %v", len(got), pos, head, err)
		}
		v := got[a.Name]
		if v.ZoneID != a.ID || v.Edition != a.Edition.ID || v.Version != 1 || v.Serial != 5 || v.SOA != a.Edition.SOA || v.Octets != a.Edition.Octets || v.Octets == 0 || !slices.Equal(v.Pools, []int64{eu.ID, us.ID}) {
			t.Errorf("served %+v", v)
		}
		if got[name("abc.dnsctl.invalid.")].Kind != fleet.Marker || len(got[b.Name].Pools) != 0 {
			t.Errorf("served %+v", got)
		}
		some, err := e.Served(t.Context(), []int64{a.ID, gone.ID, 99})
		if err != nil || len(some) != 1 || some[0].Name != a.Name {
			t.Errorf("served %+v, %v", some, err)
		}
	},
}
