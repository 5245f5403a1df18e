package storetest

import (
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"dnsctl/fleet"
	"dnsctl/zone"
)

func (e *env) wanted(v fleet.Server) ([]fleet.Wanted, int64) {
	e.t.Helper()
	var out []fleet.Wanted
	pos, err := e.Wanted(e.t.Context(), v.ID, func(w fleet.Wanted) error {
		out = append(out, w)
		return nil
	})
	if err != nil {
		e.t.Fatal(err)
	}
	return out, pos
}

// tombstones are a server's, of all zones that there ever were.
func (e *env) tombstones(v fleet.Server) (names []string, all []fleet.Tombstone) {
	e.t.Helper()
	ever := map[zone.Key]zone.Name{}
	for _, deleted := range []bool{false, true} {
		if err := e.Zones(e.t.Context(), fleet.ZoneFilter{Deleted: deleted}, func(z fleet.Zone) error {
			ever[z.Name.Key()] = z.Name
			return nil
		}); err != nil {
			e.t.Fatal(err)
		}
	}
	all, err := e.TombstonesAmong(e.t.Context(), v.ID, slices.Collect(maps.Values(ever)))
	if err != nil {
		e.t.Fatal(err)
	}
	for _, w := range all {
		names = append(names, w.Name.String())
	}
	return names, all
}

var wantedTests = map[string]func(*testing.T, *env){
	"what changes with the content of wanted zones is told": func(t *testing.T, e *env) {
		eu, us := e.pool("eu"), e.pool("us")
		v := e.server("ns1", us, eu)
		sig := func(covers zone.Type) string { return string([]byte{0, byte(covers)}) + strings.Repeat("s", 40) }
		with := func(zoneName string, more ...zone.RRset) *zone.Snapshot {
			plain := content(t, zoneName, 3, 1)
			b := zone.NewBuilder(plain.Apex(), plain.RRsets()+len(more))
			for set := range plain.All() {
				b.Add(set)
			}
			for _, set := range more {
				set.TTL = 60
				b.Add(set)
			}
			out, err := b.Build()
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
		e.create(content(t, "plain.example.", 3, 1), eu)
		b := name("B.example.")
		e.create(with("B.example.", zone.RRset{Owner: b, Type: zone.TypeZONEMD, Data: zone.PackRdata(strings.Repeat("d", 54))},
			zone.RRset{Owner: b, Type: zone.TypeRRSIG, Covers: zone.TypeSOA, Data: zone.PackRdata(sig(zone.TypeSOA))},
			zone.RRset{Owner: b, Type: zone.TypeRRSIG, Covers: zone.TypeNS, Data: zone.PackRdata(sig(zone.TypeNS))},
			zone.RRset{Owner: name("x.b.example."), Type: zone.TypeZONEMD, Data: zone.PackRdata(strings.Repeat("e", 54))}), us, eu)
		gone := name("gone.example.")
		e.delete(e.create(with("gone.example.", zone.RRset{Owner: gone, Type: zone.TypeZONEMD, Data: zone.PackRdata(strings.Repeat("d", 54))}), eu), false)
		var got []string
		err := e.Witnesses(t.Context(), v.ID, func(k zone.Key, set zone.RRset) error {
			if set.Owner.Key() != k {
				t.Errorf("%s has the key %q", set.Owner, k)
			}
			got = append(got, set.Owner.String()+" "+set.Type.String()+" "+set.Covers.String()+" "+set.Data.First()[2:4])
			return nil
		})
		if want := []string{"b.example. RRSIG SOA ss", "b.example. ZONEMD TYPE0 dd"}; err != nil || !slices.Equal(got, want) {
			t.Errorf("%q, %v", got, err)
		}
	},
	"a server should have the union of its pools": func(t *testing.T, e *env) {
		eu, us, asia := e.pool("eu"), e.pool("us"), e.pool("asia")
		v := e.server("ns1", us, eu)
		for _, c := range []struct {
			name  string
			pools []fleet.Pool
		}{{"z.example.", []fleet.Pool{eu}}, {"B.example.", []fleet.Pool{us, eu}}, {"a.b.example.", []fleet.Pool{us}}, {"asia.example.", []fleet.Pool{asia}}, {"none.example.", nil}} {
			e.create(content(t, c.name, 3, 1), c.pools...)
		}
		e.delete(e.create(content(t, "gone.example.", 1, 1), eu), false)
		other := e.server("ns2", eu)
		for _, s := range []fleet.Server{v, other} {
			m := newZone(content(t, s.Marker.String(), 1, 0), eu)
			m.Kind = fleet.Marker
			e.commit(fleet.Commit{Creates: []fleet.Create{m}})
		}
		e.commit(fleet.Commit{Members: []fleet.MemberChange{{Zone: e.zone("b.example."), Priority: new(7)}}})
		all, pos := e.wanted(v)
		var names []string
		for _, w := range all {
			names = append(names, w.Name.String())
			one, err := e.WantedOne(t.Context(), v.ID, w.Name.Lower())
			if err != nil || one.Incarnation != w.Incarnation || !slices.Equal(one.Pools, w.Pools) || one.Serial != w.Serial {
				t.Errorf("one is %+v, %v", one, err)
			}
		}
		if want := []string{"B.example.", "a.b.example.", "z.example.", v.Marker.String()}; !slices.Equal(names, want) {
			t.Fatalf("wanted %v", names)
		}
		among, err := e.WantedAmong(t.Context(), v.ID, []zone.Name{name("b.EXAMPLE."), name("asia.example."), name("nothere.example."), name("a.b.example.")})
		slices.SortFunc(among, func(x, y fleet.Wanted) int { return strings.Compare(string(x.Name.Key()), string(y.Name.Key())) })
		if err != nil || !reflect.DeepEqual(among, all[:2]) {
			t.Errorf("some are %+v, %v", among, err)
		}
		b := e.zone("b.example.")
		w := all[0]
		if w.ZoneID != b.ID || w.Edition != b.Edition.ID || w.Serial != 3 || w.SOA != b.Edition.SOA.Data.First() || !slices.Equal(w.Pools, []int64{eu.ID, us.ID}) ||
			len(w.Incarnation) != 32 || w.Kind != fleet.Ordinary || w.FirstFeed == 0 ||
			w.Priority != 7 || all[1].Priority != 0 || w.Octets != b.Edition.Octets || w.Octets == 0 {
			t.Fatalf("wanted %+v", w)
		}
		if f, err := e.FeedEntry(t.Context(), w.FirstFeed); err != nil || f.ZoneID != b.ID || f.Kind != fleet.FeedMember {
			t.Fatalf("first entry %+v, %v", f, err)
		}
		if head, _ := e.Head(t.Context()); pos != head {
			t.Errorf("position %d of %d", pos, head)
		}
		for _, n := range []string{"gone.example.", "asia.example.", "nothere.example.", other.Marker.String()} {
			if _, err := e.WantedOne(t.Context(), v.ID, name(n)); !errors.Is(err, fleet.ErrNoZone) {
				t.Errorf("%s: %v", n, err)
			}
		}
		stop := errors.New("enough")
		if _, err := e.Wanted(t.Context(), v.ID, func(fleet.Wanted) error { return stop }); !errors.Is(err, stop) {
			t.Errorf("stopped by %v", err)
		}
	},
	"tombstones tell what a server had from what it never had": func(t *testing.T, e *env) {
		eu, us := e.pool("eu"), e.pool("us")
		v, w := e.server("ns1", eu), e.server("ns2", us)
		deleted := e.create(content(t, "deleted.example.", 4, 1), eu)
		moved := e.create(content(t, "moved.example.", 5, 1), eu)
		again := e.create(content(t, "Again.example.", 6, 1), eu)
		e.create(content(t, "never.example.", 7, 1), us)
		e.create(content(t, "stays.example.", 7, 1), us, eu)
		e.delete(deleted, false)
		e.commit(fleet.Commit{Members: []fleet.MemberChange{{Zone: moved, RemovePools: []int64{eu.ID}, AddPools: []int64{us.ID}}}})
		e.delete(again, false)
		names, all := e.tombstones(v)
		if !slices.Equal(names, []string{"Again.example.", "deleted.example.", "moved.example."}) {
			t.Fatalf("tombstones %v", names)
		}
		if d := all[1]; d.ZoneID != deleted.ID || d.LastSerial != 4 || !d.Kept || d.Deleted.IsZero() || len(d.Incarnation) != 32 {
			t.Errorf("tombstone %+v", d)
		}
		head, _ := e.Head(t.Context())
		for after, want := range map[int64]string{0: "moved.example.", head: ""} {
			var found []string
			err := e.Moved(t.Context(), w.ID, after, func(k zone.Key) error {
				n, err := k.Name()
				found = append(found, n.String())
				return err
			})
			if err != nil || strings.Join(found, " ") != want {
				t.Errorf("moved %v, %v, want %q", found, err, want)
			}
		}
		some, err := e.TombstonesAmong(t.Context(), v.ID, []zone.Name{name("stays.example."), name("moved.example."), name("none.example."), name("again.example.")})
		if err != nil || !slices.Equal(some, []fleet.Tombstone{all[0], all[2]}) {
			t.Errorf("some are %+v, %v", some, err)
		}
		if names, _ := e.tombstones(w); names != nil {
			t.Errorf("tombstones of ns2: %v", names)
		}
		six := zone.Serial(6)
		c := newZone(content(t, "again.example.", 8, 1), eu)
		c.After = &six
		e.commit(fleet.Commit{Creates: []fleet.Create{c}})
		made := 0
		if err := e.Moved(t.Context(), v.ID, head, func(zone.Key) error { made++; return nil }); err != nil || made != 1 {
			t.Errorf("%d zones were made again, %v", made, err)
		}
		if names, _ := e.tombstones(v); !slices.Equal(names, []string{"deleted.example.", "moved.example."}) {
			t.Errorf("tombstones %v", names)
		}
		e.delete(e.zone("again.example."), true)
		if _, all := e.tombstones(v); len(all) != 3 || all[0].LastSerial != 8 || all[0].Kept {
			t.Errorf("tombstones %+v", all)
		}
	},
	"what a server had from a pool that it left is stale there": func(t *testing.T, e *env) {
		eu, us := e.pool("eu"), e.pool("us")
		v := e.server("ns1", eu)
		e.create(content(t, "a.example.", 4, 1), eu)
		e.create(content(t, "both.example.", 4, 1), eu, us)
		set := func(pools ...fleet.Pool) {
			t.Helper()
			err := e.UpdateServer(t.Context(), "ns1", by("server set"), func(s *fleet.Server) error {
				s.Pools = pools
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		set(us)
		if names, all := e.tombstones(v); !slices.Equal(names, []string{"a.example."}) || !all[0].Kept || all[0].LastSerial != 4 {
			t.Errorf("tombstones %+v", all)
		}
		if all, _ := e.wanted(v); len(all) != 1 || all[0].Name != name("both.example.") {
			t.Errorf("wanted %+v", all)
		}
		set(us, eu)
		if names, _ := e.tombstones(v); names != nil {
			t.Errorf("tombstones %v", names)
		}
	},
}
