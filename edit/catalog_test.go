package edit_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"dnsctl/edit"
	"dnsctl/fleet"
	"dnsctl/store"
	"dnsctl/zone"
)

// catalogRig is an editor with the pool "eu", whose catalog is cat.example.
type catalogRig struct {
	*edit.Editor
	t    *testing.T
	s    *store.Store
	pool fleet.Pool
}

func catalogEditor(t *testing.T) *catalogRig {
	e, s := editor(t)
	err := s.UpdatePool(t.Context(), "eu", fleet.By{}, func(p *fleet.Pool) error {
		p.Catalog = name("cat.example.")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	r := &catalogRig{Editor: e, t: t, s: s}
	if r.pool, err = s.Pool(t.Context(), "eu"); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *catalogRig) create(names ...string) {
	r.t.Helper()
	for _, n := range names {
		if _, err := r.Create(r.t.Context(), edit.NewZone{Name: name(n), Pools: []string{"eu"}, SerialStyle: zone.SerialIncrement}, edit.Meta{}); err != nil {
			r.t.Fatal(err)
		}
	}
}

func (r *catalogRig) delete(names ...string) {
	r.t.Helper()
	for _, n := range names {
		if _, err := r.Delete(r.t.Context(), []zone.Name{name(n)}, false, edit.Meta{}); err != nil {
			r.t.Fatal(err)
		}
	}
}

func (r *catalogRig) make() {
	r.t.Helper()
	if _, made, err := r.CreateCatalog(r.t.Context(), r.pool, edit.Meta{}); err != nil || !made {
		r.t.Fatalf("made %v, %v", made, err)
	}
}

func (r *catalogRig) update(leave bool, names ...string) edit.CatalogChange {
	r.t.Helper()
	var list []zone.Name
	for _, n := range names {
		list = append(list, name(n))
	}
	c, err := r.UpdateCatalog(r.t.Context(), r.pool, list, leave, edit.Meta{})
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

// content is the catalog as it is served, and its members with their labels.
func (r *catalogRig) content() (*zone.Snapshot, map[string]string) {
	r.t.Helper()
	z, err := r.s.Zone(r.t.Context(), r.pool.Catalog)
	if err != nil {
		r.t.Fatal(err)
	}
	snap, _, err := r.s.Snapshot(r.t.Context(), z.Edition.ID)
	if err != nil {
		r.t.Fatal(err)
	}
	if e := z.Edition; e.RRsets != snap.RRsets() || e.Records != snap.Records() || e.Octets != snap.Octets() || e.Serial != snap.Serial() {
		r.t.Errorf("counted %d %d %d, have %d %d %d", e.RRsets, e.Records, e.Octets, snap.RRsets(), snap.Records(), snap.Octets())
	}
	members := map[string]string{}
	for set := range snap.All() {
		if set.Type != zone.TypePTR {
			continue
		}
		n, _, err := zone.UnpackName([]byte(set.Data.First()))
		label, suffix, _ := strings.Cut(set.Owner.String(), ".")
		if err != nil || suffix != "zones.cat.example." || len(label) != 32 || members[n.String()] != "" {
			r.t.Errorf("%s PTR %s, %v", set.Owner, n, err)
		}
		members[n.String()] = label
	}
	return snap, members
}

func (r *catalogRig) members(want ...string) map[string]string {
	r.t.Helper()
	_, have := r.content()
	if got := slices.Sorted(maps.Keys(have)); !slices.Equal(got, want) {
		r.t.Errorf("members %q, want %q", got, want)
	}
	return have
}

func TestCatalogFollowsItsMembers(t *testing.T) {
	t.Parallel()
	r := catalogEditor(t)
	if _, made, err := r.CreateCatalog(t.Context(), r.pool, edit.Meta{}); err != nil || made {
		t.Errorf("a catalog of no member: made %v, %v", made, err)
	}
	if _, err := r.UpdateCatalog(t.Context(), r.pool, []zone.Name{name("a.example.")}, true, edit.Meta{}); !errors.Is(err, fleet.ErrNoZone) {
		t.Errorf("there is no catalog yet: %v", err)
	}
	r.create("a.example.", "B.example.")
	r.make()
	first, labels := r.content()
	if set, ok := first.Get(zone.ID{Owner: name("version.cat.example.").Key(), Type: zone.TypeTXT}); !ok || set.Data.First() != "\x012" {
		t.Errorf("version %q", set.Data)
	}
	if set, ok := first.Get(zone.ID{Owner: r.pool.Catalog.Key(), Type: zone.TypeNS}); !ok || set.Data.First() != string(name("invalid.")) {
		t.Errorf("NS %q", set.Data)
	}
	r.create("c.example.", "d.example.")
	if c := r.update(false, "c.example.", "d.example.", "a.example.", "none.example."); c.Joined != 2 || c.Left != 0 || c.Held != nil || c.Feed == 0 || c.Serial != 2 {
		t.Errorf("%+v", c)
	}
	if c := r.update(false, "c.example."); c.Feed != 0 || c.Serial != 2 {
		t.Errorf("nothing is to be done, and done: %+v", c)
	}
	r.delete("a.example.", "c.example.")
	if c := r.update(false, "a.example.", "c.example."); len(c.Held) != 2 || c.Feed != 0 {
		t.Errorf("%+v", c)
	}
	r.members("B.example.", "a.example.", "c.example.", "d.example.")
	// One that comes back keeps its place until it may leave: two members of a name
	// make a catalog that consumers must not use.
	r.create("c.example.")
	if c := r.update(false, "c.example."); len(c.Held) != 1 || c.Joined != 0 {
		t.Errorf("%+v", c)
	}
	was := r.members("B.example.", "a.example.", "c.example.", "d.example.")
	if c := r.update(true, "a.example.", "c.example."); c.Left != 2 || c.Joined != 1 || c.Held != nil || c.Serial != 3 {
		t.Errorf("%+v", c)
	}
	now := r.members("B.example.", "c.example.", "d.example.")
	if now["c.example."] == was["c.example."] {
		t.Error("a zone that was made again has its old label: consumers keep its old content")
	}
	for _, n := range []string{"B.example.", "d.example."} {
		if now[n] != was[n] || labels[n] != "" && labels[n] != now[n] {
			t.Errorf("the label of %s is another one", n)
		}
	}
	// Every version leads to the next by the delta that is kept of it.
	last, _ := r.content()
	z, _ := r.s.Zone(t.Context(), r.pool.Catalog)
	deltas, err := r.s.Deltas(t.Context(), z.Edition.ID, 1, 3, 1<<20)
	if err != nil || len(deltas) != 2 {
		t.Fatalf("%d deltas, %v", len(deltas), err)
	}
	at := first
	for _, d := range deltas {
		if at, err = at.Apply(d); err != nil {
			t.Fatal(err)
		}
	}
	if d := zone.Diff(at, last); !d.Empty() {
		t.Errorf("the deltas lead elsewhere: %+v", d)
	}
	// The last members, too, leave by their tombstones.
	r.delete("B.example.", "c.example.", "d.example.")
	r.update(true, "B.example.", "c.example.", "d.example.")
	r.members()
}

func TestCatalogIsComparedWithTheWholeList(t *testing.T) {
	t.Parallel()
	r := catalogEditor(t)
	r.create("a.example.", "b.example.", "c.example.")
	r.make()
	compare := func(wantMembers int, want ...string) []zone.Name {
		t.Helper()
		differ, members, pos, err := r.CompareCatalog(t.Context(), r.pool)
		var got []string
		for _, n := range differ {
			got = append(got, n.String())
		}
		slices.Sort(got)
		head, _ := r.s.Head(t.Context())
		if err != nil || !slices.Equal(got, want) || members != wantMembers || pos != head {
			t.Errorf("%q differ, %d members at %d, %v", got, members, pos, err)
		}
		return differ
	}
	compare(3)
	r.delete("b.example.", "c.example.")
	r.create("d.example.", "b.example.")
	differ := compare(3, "b.example.", "b.example.", "c.example.", "d.example.")
	if _, err := r.UpdateCatalog(t.Context(), r.pool, differ, true, edit.Meta{}); err != nil {
		t.Fatal(err)
	}
	r.members("a.example.", "b.example.", "d.example.")
	compare(3)

	// Who is in the catalog without ever having been a member stays: nobody has
	// deleted it.
	z, _ := r.s.Zone(t.Context(), r.pool.Catalog)
	stray := zone.RRset{Owner: name(strings.Repeat("0", 32) + ".zones.cat.example."), Type: zone.TypePTR, Data: zone.PackRdata(string(name("stray.example.")))}
	soa := z.Edition.SOA
	parsed, _ := zone.ParseSOA(soa.Data.First())
	soa.Data = zone.PackRdata(parsed.WithSerial(9).Rdata())
	_, err := r.s.Commit(t.Context(), fleet.Commit{Edits: []fleet.Edit{{Zone: z, Base: z.Edition.Version, Put: []zone.RRset{soa, stray},
		Delta:  zone.Delta{OldSOA: z.Edition.SOA, NewSOA: soa, Added: []zone.RRset{stray}},
		RRsets: z.Edition.RRsets + 1, Records: z.Edition.Records + 1, Octets: z.Edition.Octets + stray.Octets()}}})
	if err != nil {
		t.Fatal(err)
	}
	if c := r.update(true, "stray.example."); c.Left != 0 {
		t.Errorf("%+v", c)
	}
	r.members("a.example.", "b.example.", "d.example.", "stray.example.")
}

// cutShort is a store whose list of members ends early with an error.
type cutShort struct{ *store.Store }

func (c cutShort) EachMember(ctx context.Context, pool int64, yield func(fleet.Membership) error) (int64, error) {
	n, lost := 0, errors.New("connection lost")
	_, err := c.Store.EachMember(ctx, pool, func(v fleet.Membership) error {
		if n++; n > 2 {
			return lost
		}
		return yield(v)
	})
	return 0, err
}

func TestAListThatIsCutShortPublishesNothing(t *testing.T) {
	t.Parallel()
	r := catalogEditor(t)
	for i := range 5 {
		r.create(fmt.Sprintf("z%d.example.", i))
	}
	whole := r.Store
	r.Store = cutShort{r.s}
	if _, made, err := r.CreateCatalog(t.Context(), r.pool, edit.Meta{}); err == nil || made {
		t.Errorf("made %v, %v", made, err)
	}
	if _, err := r.s.Zone(t.Context(), r.pool.Catalog); !errors.Is(err, fleet.ErrNoZone) {
		t.Errorf("a catalog was made: %v", err)
	}
	r.Store = whole
	r.make()
	r.Store = cutShort{r.s}
	if differ, _, _, err := r.CompareCatalog(t.Context(), r.pool); err == nil || differ != nil {
		t.Errorf("%q, %v", differ, err)
	}
}

func TestCatalogBeginsAnEpoch(t *testing.T) {
	t.Parallel()
	r := catalogEditor(t)
	if err := r.StepCatalog(t.Context(), r.pool, 2, edit.Meta{}); err != nil {
		t.Errorf("there is no catalog: %v", err)
	}
	r.create("a.example.")
	r.make()
	if err := r.StepCatalog(t.Context(), r.pool, 2, edit.Meta{}); err != nil {
		t.Fatal(err)
	}
	z, _ := r.s.Zone(t.Context(), r.pool.Catalog)
	if lost := zone.Serial(1_000_000); !z.Edition.Serial.Ahead(lost) || !z.Edition.Serial.Ahead(1) {
		t.Errorf("serial %d", z.Edition.Serial)
	}
	if deltas, err := r.s.Deltas(t.Context(), z.Edition.ID, 1, z.Edition.Serial, 1<<20); err != nil || deltas != nil {
		t.Errorf("an IXFR leads across the epoch: %d deltas, %v", len(deltas), err)
	}
	r.members("a.example.")
}

// groups is the group property of each member that has one.
func (r *catalogRig) groups() map[string]string {
	r.t.Helper()
	snap, members := r.content()
	out := map[string]string{}
	for set := range snap.All() {
		label, rest, _ := strings.Cut(set.Owner.String(), ".")
		if set.Type != zone.TypeTXT || label != "group" {
			continue
		}
		for member, l := range members {
			if rest == l+".zones.cat.example." && set.Data.Len() == 1 {
				out[member] = string([]byte(set.Data.First())[1:])
				rest = ""
			}
		}
		if rest != "" {
			r.t.Errorf("%s is nobody's", set.Owner)
		}
	}
	return out
}

func (r *catalogRig) group(n, group string) {
	r.t.Helper()
	if _, err := r.Set(r.t.Context(), name(n), edit.Change{Group: &group}, edit.Meta{}); err != nil {
		r.t.Fatal(err)
	}
}

func TestCatalogHasTheGroupsOfItsMembers(t *testing.T) {
	t.Parallel()
	r := catalogEditor(t)
	want := func(want map[string]string) {
		t.Helper()
		if got := r.groups(); !maps.Equal(got, want) {
			t.Errorf("groups %q, not %q", got, want)
		}
		z, err := r.s.Zone(t.Context(), r.pool.Catalog)
		if err != nil {
			t.Fatal(err)
		}
		_, members := r.content()
		if n, err := r.s.CatalogMembers(t.Context(), z.Edition.ID); err != nil || n != len(members) {
			t.Errorf("%d members counted, there are %d: %v", n, len(members), err)
		}
	}
	compared := func(want ...string) []zone.Name {
		t.Helper()
		differ, members, _, err := r.CompareCatalog(t.Context(), r.pool)
		var got []string
		for _, n := range differ {
			got = append(got, n.String())
		}
		if slices.Sort(got); err != nil || members != 3 || !slices.Equal(got, want) {
			t.Errorf("%q differ, %d members, %v", got, members, err)
		}
		return differ
	}
	r.create("a.example.", "b.example.", "c.example.")
	r.group("b.example.", "signed")
	head, _ := r.s.Head(t.Context())
	if f, err := r.s.FeedEntry(t.Context(), head); err != nil || f.Kind != fleet.FeedMember {
		t.Errorf("feed entry %+v, %v", f, err) // by which the leader learns of it
	}
	r.make()
	want(map[string]string{"b.example.": "signed"})
	compared()
	_, labels := r.content()

	// A group comes, changes and goes without the member's leaving, also where
	// nobody may leave.
	r.group("a.example.", "large ones")
	r.group("b.example.", "other")
	compared("a.example.", "b.example.")
	if c := r.update(false, "a.example.", "b.example.", "c.example."); c.Joined != 0 || c.Left != 0 || c.Held != nil || c.Serial != 2 {
		t.Errorf("%+v", c)
	}
	want(map[string]string{"a.example.": "large ones", "b.example.": "other"})
	r.group("a.example.", "")
	differ := compared("a.example.")
	if _, err := r.UpdateCatalog(t.Context(), r.pool, differ, false, edit.Meta{}); err != nil {
		t.Fatal(err)
	}
	want(map[string]string{"b.example.": "other"})
	if _, now := r.content(); !maps.Equal(now, labels) {
		t.Errorf("labels %v, before %v", now, labels)
	}
	z, _ := r.s.Zone(t.Context(), r.pool.Catalog)
	deltas, err := r.s.Deltas(t.Context(), z.Edition.ID, 1, 3, 1<<20)
	if err != nil || len(deltas) != 2 {
		t.Errorf("%d deltas, %v", len(deltas), err)
	}

	// A member takes its group along, and comes back without one.
	r.delete("b.example.")
	if c := r.update(false, "b.example."); len(c.Held) != 1 {
		t.Errorf("%+v", c)
	}
	want(map[string]string{"b.example.": "other"})
	r.create("b.example.")
	if c := r.update(true, "b.example."); c.Joined != 1 || c.Left != 1 {
		t.Errorf("%+v", c)
	}
	want(map[string]string{})
	compared()

	for _, bad := range []string{strings.Repeat("x", 256), "a\nb", "\xff"} {
		if _, err := r.Set(t.Context(), name("a.example."), edit.Change{Group: &bad}, edit.Meta{}); err == nil {
			t.Errorf("group %q is taken", bad)
		}
	}
}
