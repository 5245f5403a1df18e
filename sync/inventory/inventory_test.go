package inventory_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"dnsctl/edit"
	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/report"
	"dnsctl/sync/apply"
	"dnsctl/sync/inventory"
	"dnsctl/sync/plan"
	"dnsctl/testbed/pretend"
	"dnsctl/zone"
)

func inWorld(t *testing.T, f func(t *testing.T, w *pretend.World)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { f(t, pretend.New(t)) })
}

// otherStore is the same store in another state: an older copy, a fork.
type otherStore struct {
	inventory.Store
	id    func(fleet.Identity) fleet.Identity
	head  func(int64) int64
	entry func(fleet.FeedEntry) (fleet.FeedEntry, error)
}

func (o otherStore) Identity(ctx context.Context) (fleet.Identity, error) {
	id, err := o.Store.Identity(ctx)
	if o.id != nil {
		id = o.id(id)
	}
	return id, err
}

func (o otherStore) Head(ctx context.Context) (int64, error) {
	pos, err := o.Store.Head(ctx)
	if o.head != nil {
		pos = o.head(pos)
	}
	return pos, err
}

func (o otherStore) FeedEntry(ctx context.Context, pos int64) (fleet.FeedEntry, error) {
	e, err := o.Store.FeedEntry(ctx, pos)
	if o.entry != nil && err == nil {
		return o.entry(e)
	}
	return e, err
}

func TestMarkerTellsWhoFilledTheServer(t *testing.T) {
	is := func(o otherStore) func(*pretend.World, *pretend.Server) {
		return func(w *pretend.World, _ *pretend.Server) {
			o.Store = w.Store
			w.Fleet.Store = o
		}
	}
	tests := []struct {
		name   string
		set    func(*pretend.World, *pretend.Server)
		state  plan.MarkerState
		reason string
	}{
		{"ours", func(*pretend.World, *pretend.Server) {}, plan.MarkerSound, ""},
		{"missing", func(w *pretend.World, ns *pretend.Server) { ns.Remove(w.Row(ns).Marker.String()) }, plan.MarkerMissing, "no marker of this store"},
		{"another store's", is(otherStore{id: func(id fleet.Identity) fleet.Identity { id.Store = "other"; return id }}), plan.MarkerWrong, "that of the store"},
		{"of a later epoch", is(otherStore{id: func(id fleet.Identity) fleet.Identity { id.Epoch--; return id }}), plan.MarkerWrong, "older copy"},
		{"of an earlier epoch", is(otherStore{id: func(id fleet.Identity) fleet.Identity { id.Epoch++; return id }}), plan.MarkerWrong, "was opened since"},
		{"ahead of the feed", is(otherStore{head: func(int64) int64 { return 1 }}), plan.MarkerWrong, "older copy"},
		{"of a fork", is(otherStore{entry: func(e fleet.FeedEntry) (fleet.FeedEntry, error) { e.ID = "another"; return e, nil }}), plan.MarkerWrong, "fork"},
		{"at a position that is not kept", is(otherStore{entry: func(e fleet.FeedEntry) (fleet.FeedEntry, error) { return e, fleet.ErrNotFound }}), plan.MarkerWrong, "not kept"},
		{"while the feed cannot be read", is(otherStore{entry: func(e fleet.FeedEntry) (fleet.FeedEntry, error) { return e, errors.New("disk") }}), plan.MarkerWrong, "cannot be read"},
		{"not answered", func(_ *pretend.World, ns *pretend.Server) { ns.Asked = func(zone.Name) bool { return true } }, plan.MarkerWrong, "cannot be read"},
		{"not loaded", func(w *pretend.World, ns *pretend.Server) { ns.Swap(w.Row(ns).Marker.String(), nil) }, plan.MarkerWrong, "cannot be read"},
		{"sealed by others", func(w *pretend.World, ns *pretend.Server) { reseal(w, ns, "another store") }, plan.MarkerWrong, "cannot be read"},
		{"without a text", func(w *pretend.World, ns *pretend.Server) {
			m := w.Row(ns).Marker.String()
			ns.Swap(m, pretend.Content(m, 9))
		}, plan.MarkerWrong, "cannot be read"},
		{"another server's", func(w *pretend.World, ns *pretend.Server) { reseal(w, ns, "this store") }, plan.MarkerWrong, "another server of this store"},
		{"and a second one", func(_ *pretend.World, ns *pretend.Server) { ns.Put("stranger.dnsctl.invalid.", 1) }, plan.MarkerWrong, "stranger.dnsctl.invalid."},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *pretend.World) {
				ns := w.Server("ns1")
				w.Create("a.example.")
				tt.set(w, ns)
				ses := w.Open(ns)
				defer ses.Close()
				in, err := ses.Look(t.Context(), inventory.LookOptions{})
				if err != nil || in.Marker.State != tt.state || !strings.Contains(in.Marker.Reason, tt.reason) {
					t.Errorf("%s (%s), %v; want %s (%s)", in.Marker.State, in.Marker.Reason, err, tt.state, tt.reason)
				}
				if strings.HasPrefix(tt.name, "and a second") {
					return // seen only where all zones are
				}
				m, err := ses.CheckMarker(t.Context())
				if err != nil || m.State != tt.state {
					t.Errorf("alone: %s (%s), %v", m.State, m.Reason, err)
				}
			})
		})
	}
}

// reseal gives the server a marker text for server 99, sealed by whom.
func reseal(w *pretend.World, ns *pretend.Server, by pretend.Sealer) {
	w.Helper()
	id, err := w.Store.Identity(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	txt, err := fleet.Mark{Store: id.Store, Epoch: id.Epoch, Server: 99, Pos: 1}.TXT(w.Context(), by)
	if err != nil {
		w.Fatal(err)
	}
	name := w.Row(ns).Marker
	plainMark := pretend.Content(name.String(), 50)
	b := zone.NewBuilder(name, 3)
	for set := range plainMark.All() {
		b.Add(set)
	}
	b.Add(zone.RRset{Owner: name, Type: zone.TypeTXT, Data: zone.PackRdata(fleet.TXTRdata(txt))})
	snap, err := b.Build()
	if err != nil {
		w.Fatal(err)
	}
	ns.Swap(name.String(), snap)
}

func TestIncompleteInventoryIsAnErrorAndNeverEmpty(t *testing.T) {
	for _, tt := range []struct {
		name string
		fail func(op string, n zone.Name) error
	}{
		{"not begun", func(op string, _ zone.Name) error {
			if op == "inventory" {
				return nameserver.ErrUnreachable
			}
			return nil
		}},
		{"cut short", func(op string, _ zone.Name) error {
			if op == "inventory end" {
				return nameserver.ErrAnswer
			}
			return nil
		}},
		{"a zone's details", func(op string, n zone.Name) error {
			if op == "zone" && n.Equal(pretend.Name("f.example.")) {
				return nameserver.ErrAnswer
			}
			return nil
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *pretend.World) {
				ns := w.Server("ns1")
				w.Create("a.example.")
				ns.Put("f.example.", 1)
				ns.Before = tt.fail
				ses := w.Open(ns)
				defer ses.Close()
				if _, err := ses.Look(t.Context(), inventory.LookOptions{}); err == nil {
					t.Error("no error")
				}
			})
		})
	}
}

// failing fails one of the reads that a plan rests on.
type failing struct {
	inventory.Store
	what string
}

var errRead = errors.New("database is gone")

func (f failing) Wanted(ctx context.Context, server int64, yield func(fleet.Wanted) error) (int64, error) {
	pos, err := f.Store.Wanted(ctx, server, yield)
	if f.what == "wanted" { // after a part of the list
		err = errRead
	}
	return pos, err
}

func (f failing) TombstonesAmong(ctx context.Context, server int64, names []zone.Name) ([]fleet.Tombstone, error) {
	if f.what == "tombstones" {
		return nil, errRead
	}
	return f.Store.TombstonesAmong(ctx, server, names)
}

func (f failing) Witnesses(ctx context.Context, server int64, yield func(zone.Key, zone.RRset) error) error {
	if f.what == "witnesses" {
		return errRead
	}
	return f.Store.Witnesses(ctx, server, yield)
}

func (f failing) WantedAmong(ctx context.Context, server int64, names []zone.Name) ([]fleet.Wanted, error) {
	if f.what == "rows" {
		return nil, errRead
	}
	return f.Store.WantedAmong(ctx, server, names)
}

func (f failing) Protected(ctx context.Context, server int64) ([]zone.Name, error) {
	if f.what == "protected" {
		return nil, errRead
	}
	return f.Store.Protected(ctx, server)
}

func TestListThatCannotBeReadIsAnError(t *testing.T) {
	for _, what := range []string{"wanted", "tombstones", "rows", "protected"} {
		t.Run(what, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *pretend.World) {
				ns := w.Server("ns1")
				w.Create("a.example.")
				w.Fleet.Store = failing{w.Store, what}
				ses := w.Open(ns)
				defer ses.Close()
				if _, err := ses.Look(t.Context(), inventory.LookOptions{}); !errors.Is(err, errRead) {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}

func TestZoneMadeAndAddedDuringTheLookIsNotMistakenForForeign(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World) {
		ns := w.Server("ns1")
		w.Create("a.example.")
		// The leader adds a new zone just before the server is read.
		ns.Before = func(op string, _ zone.Name) error {
			if op == "inventory" {
				w.Create("new.example.")
				ns.Put("new.example.", 1, func(z *nameserver.ZoneState) { z.Role = nameserver.Secondary })
			}
			return nil
		}
		ses := w.Open(ns)
		defer ses.Close()
		in, err := ses.Look(t.Context(), inventory.LookOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, st := range plan.Make(in).Steps {
			if st.Class == report.Foreign && !slices.Contains(st.Attributes, report.MarkerZone) {
				t.Errorf("%s is %s", st.Zone, st.Class)
			}
		}
	})
}

func TestQuestionWithoutAnAnswerIsUnknownAndNeverAbsent(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World) {
		ns := w.Server("ns1")
		w.Create("a.example.")
		ns.Put("a.example.", 1, func(z *nameserver.ZoneState) {
			z.Role, z.Primaries = nameserver.Secondary, []nameserver.PrimaryRef{{Addr: pretend.Primary, Key: pretend.Name("eu.")}}
		})
		ns.Asked = func(name zone.Name) bool { return name.Equal(pretend.Name("a.example.")) }
		ses := w.Open(ns)
		defer ses.Close()
		in, err := ses.Look(t.Context(), inventory.LookOptions{})
		if err != nil {
			t.Fatal(err)
		}
		st := plan.Make(in).Steps[0]
		if st.Class != report.Unknown || st.Action != report.None {
			t.Errorf("%s: %s %s", st.Zone, st.Class, st.Action)
		}
	})
}

func TestKeysAndPrimariesSayWhatIsOurs(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World) {
		ns := w.Server("ns1")
		ses := w.Open(ns)
		defer ses.Close()
		row := fleet.Wanted{Name: pretend.Name("a.example."), Pools: []int64{w.Row(ns).Pools[0].ID}}
		want := []nameserver.PrimaryRef{{Addr: pretend.Primary, Key: pretend.Name("eu.")}}
		if got := ses.ZoneConfig(row).Primaries; !slices.Equal(got, want) {
			t.Errorf("primaries %v, want %v", got, want)
		}
		elsewhere := w.Row(ns).Address
		for _, tt := range []struct {
			refs []nameserver.PrimaryRef
			ours bool
		}{
			{want, true},
			{[]nameserver.PrimaryRef{{Addr: pretend.Primary}}, true},
			{[]nameserver.PrimaryRef{{Addr: elsewhere, Key: pretend.Name("EU.")}}, true},
			{[]nameserver.PrimaryRef{{Addr: elsewhere}}, false},
			{[]nameserver.PrimaryRef{{Addr: elsewhere, Key: pretend.Name("us.")}}, false},
			{nil, false},
		} {
			if got := ses.Ours(tt.refs); got != tt.ours {
				t.Errorf("ours(%v) = %v", tt.refs, got)
			}
		}
	})
}

func TestPartialLookSeesStaleWantedAndAbsentZones(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World) {
		ns := w.Server("ns1")
		w.Create("a.example.", "old.example.")
		for _, n := range []string{"a.example.", "old.example."} {
			z, err := w.Store.Zone(t.Context(), pretend.Name(n))
			if err != nil {
				t.Fatal(err)
			}
			ns.Put(n, z.Edition.Serial, func(s *nameserver.ZoneState) {
				s.Role, s.Primaries = nameserver.Secondary, []nameserver.PrimaryRef{{Addr: pretend.Primary, Key: pretend.Name("eu.")}}
			})
		}
		if _, err := w.Edit.Delete(t.Context(), []zone.Name{pretend.Name("old.example."), pretend.Name("a.example.")}, false, edit.Meta{}); err != nil {
			t.Fatal(err)
		}
		ses := w.Open(ns)
		defer ses.Close()
		in, err := ses.LookAt(t.Context(), []zone.Name{pretend.Name("old.example."), pretend.Name("a.example."), pretend.Name("never.example.")})
		if err != nil {
			t.Fatal(err)
		}
		p := plan.Make(in)
		if len(p.Steps) != 2 {
			t.Fatalf("steps %+v", p.Steps)
		}
		for _, st := range p.Steps { // also the last zone of all: that the rest is empty is not known here
			if st.Class != report.Stale || st.Outcome != report.Planned {
				t.Errorf("%s: %s %s by %q", st.Zone, st.Class, st.Outcome, st.Guard)
			}
		}
	})
}

// TestAZoneThatWentToAnotherPoolIsLookedAtClosely has zones whose serials agree and
// whose key is that of the pool that they left: the leader told the server nothing,
// as it was drained.
func TestAZoneThatWentToAnotherPoolIsLookedAtClosely(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World) {
		w.Pool("us", fleet.Delete)
		ns := w.Server("ns1", "eu", "us")
		const zones = 40 // of which a tenth would be looked at in its turn
		for i := range zones {
			w.Create(fmt.Sprintf("z%d.example.", i))
		}
		if _, err := w.Sync(t.Context(), apply.SyncOptions{}, ns); err != nil {
			t.Fatal(err)
		}
		for i := range zones {
			name := pretend.Name(fmt.Sprintf("z%d.example.", i))
			if _, err := w.Edit.Set(t.Context(), name, edit.Change{AddPools: []string{"us"}, RemovePools: []string{"eu"}}, edit.Meta{}); err != nil {
				t.Fatal(err)
			}
		}
		for _, want := range []int{zones, 0} {
			ses := w.Open(ns)
			in, err := ses.Look(t.Context(), inventory.LookOptions{Brief: true})
			ses.Close()
			if err != nil {
				t.Fatal(err)
			}
			found := 0
			for _, st := range plan.Make(in).Steps {
				switch {
				case fleet.IsMarkerName(st.Zone):
				case st.Class == report.Misconfigured && st.Action == report.Change && st.Outcome == report.Planned:
					found++
				default:
					t.Errorf("%s: %s %s %s %s", st.Zone, st.Class, st.Action, st.Outcome, st.Reason)
				}
			}
			if found != want {
				t.Errorf("%d zones to be changed, want %d", found, want)
			}
			if _, err := w.Sync(t.Context(), apply.SyncOptions{}, ns); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestQuestionThatWasLostIsAskedOnceMore(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World) {
		ns := w.Server("ns1")
		w.Create("a.example.", "b.example.")
		if rep, err := w.Sync(t.Context(), apply.SyncOptions{}); err != nil || rep.Exit != report.ExitOK {
			t.Fatal(err, rep)
		}
		asked := 0
		ns.Asked = func(name zone.Name) bool {
			if !name.Equal(pretend.Name("a.example.")) {
				return false
			}
			asked++
			return asked == 1
		}
		ses := w.Open(ns)
		defer ses.Close()
		in, err := ses.Look(t.Context(), inventory.LookOptions{Brief: true})
		if err != nil {
			t.Fatal(err)
		}
		ok := in.Agreed
		for _, st := range plan.Make(in).Steps {
			if st.Class == report.OK {
				ok++
			}
		}
		if ok != 2 || asked != 2 {
			t.Errorf("%d zones agree, asked %d times: %+v", ok, asked, plan.Make(in).Steps)
		}
	})
}
