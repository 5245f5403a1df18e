package keeper_test

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/sync/apply"
	"dnsctl/testbed/pretend"
	"dnsctl/zone"
)

// catalog gives the pool "eu" the catalog cat.example.
func (s *scene) catalog(name string) {
	s.T.Helper()
	err := s.Store.UpdatePool(s.T.Context(), "eu", fleet.By{}, func(p *fleet.Pool) error {
		if p.Catalog = ""; name != "" {
			p.Catalog = pretend.Name(name)
		}
		return nil
	})
	if err != nil {
		s.T.Fatal(err)
	}
}

// members are those of cat.example with their labels, and its serial; nil when it
// is not there.
func (s *scene) members() (map[string]string, zone.Serial) {
	s.T.Helper()
	z, err := s.Store.Zone(s.T.Context(), pretend.Name("cat.example."))
	if errors.Is(err, fleet.ErrNoZone) || err == nil && z.Deleted != nil {
		return nil, 0
	}
	if err != nil {
		s.T.Fatal(err)
	}
	snap, _, err := s.Store.Snapshot(s.T.Context(), z.Edition.ID)
	if err != nil {
		s.T.Fatal(err)
	}
	out := map[string]string{}
	for set := range snap.All() {
		if set.Type == zone.TypePTR {
			n, _, _ := zone.UnpackName([]byte(set.Data.First()))
			if out[n.String()] != "" {
				s.T.Errorf("%s is a member twice", n)
			}
			out[n.String()], _, _ = strings.Cut(set.Owner.String(), ".")
		}
	}
	return out, snap.Serial()
}

func (s *scene) has(want ...string) bool {
	s.T.Helper()
	have, _ := s.members()
	return have != nil && slices.Equal(slices.Sorted(maps.Keys(have)), want)
}

// held is what pool show says of the catalog.
func (s *scene) held() (int, string) {
	s.T.Helper()
	p, err := s.Store.Pool(s.T.Context(), "eu")
	if err != nil {
		s.T.Fatal(err)
	}
	st, err := s.Store.Catalog(s.T.Context(), p.ID)
	if err != nil && !errors.Is(err, fleet.ErrNotFound) {
		s.T.Fatal(err)
	}
	return st.Held, st.Reason
}

// place puts the server's marker there anew, as server accept does.
func (s *scene) place(ns *pretend.Server) {
	s.T.Helper()
	ses := s.Open(ns)
	defer ses.Close()
	if err := s.Applier.Place(s.T.Context(), ses, apply.Options{}); err != nil {
		s.T.Fatal(err)
	}
}

func TestCatalogFollowsThePool(t *testing.T) {
	onScene(t, func(s *scene) {
		s.Server("ns1")
		s.catalog("cat.example.")
		s.start()
		s.pass(10 * time.Second)
		if have, _ := s.members(); have != nil {
			s.T.Errorf("a catalog without a member: %v", have)
		}
		s.Create("a.example.", "b.example.")
		s.until("both are in it", 5*time.Second, func() bool { return s.has("a.example.", "b.example.") })
		was, _ := s.members()
		s.until("the server is told", 3*time.Second, func() bool { return slices.Contains(s.told.of("ns1"), "cat.example.") })
		s.Delete("a.example.")
		s.until("it has left", 10*time.Second, func() bool { return s.has("b.example.") })
		s.Create("a.example.")
		s.until("it is back", 5*time.Second, func() bool { return s.has("a.example.", "b.example.") })
		now, serial := s.members()
		if now["a.example."] == was["a.example."] || now["b.example."] != was["b.example."] {
			s.T.Errorf("labels %v, before %v", now, was)
		}
		if n, reason := s.held(); n != 0 || reason != "" {
			s.T.Errorf("%d held: %s", n, reason)
		}
		s.stop()
		// The next leader finds nothing to do, and tells again.
		s.told.set(func() { s.told.log = nil })
		s.start()
		s.pass(time.Minute)
		if again, serialNow := s.members(); !maps.Equal(again, now) || serialNow != serial {
			s.T.Errorf("serial %d after %d, members %v", serialNow, serial, again)
		}
		if got := s.told.of("ns1"); !slices.Contains(got, "cat.example.") {
			s.T.Errorf("told %q", got)
		}
		s.stop()
		// What happens while nobody leads is made up for.
		s.Delete("b.example.")
		s.Create("c.example.")
		s.start()
		s.until("it is caught up with", 15*time.Second, func() bool { return s.has("a.example.", "c.example.") })
		s.Delete("a.example.", "c.example.") // the last ones, too
		s.until("nobody is left", 15*time.Second, func() bool { return s.has() })
		s.catalog("")
		s.pass(5 * time.Second)
		if have, _ := s.members(); have != nil {
			s.T.Error("it is still there")
		}
	})
}

// many changes make few versions of a catalog.
func TestCatalogIsWrittenInBatches(t *testing.T) {
	onScene(t, func(s *scene) {
		s.Server("ns1")
		s.catalog("cat.example.")
		s.Create("first.example.")
		s.start()
		s.until("it is made", 10*time.Second, func() bool { return s.has("first.example.") })
		began := time.Now()
		for i := range 60 {
			s.Create(fmt.Sprintf("z%d.example.", i))
			s.pass(20 * time.Millisecond)
		}
		s.until("all are in it", 10*time.Second, func() bool { have, _ := s.members(); return len(have) == 61 })
		if _, serial := s.members(); int(serial) > 3+int(time.Since(began)/time.Second) {
			s.T.Errorf("%d versions in %s", serial, time.Since(began))
		}
	})
}

func TestNobodyLeavesACatalogWhileAServerFailsGuardOne(t *testing.T) {
	for what, block := range map[string]func(s *scene, ns *pretend.Server) (lift func()){
		"unreachable": func(_ *scene, ns *pretend.Server) func() {
			var mu sync.Mutex
			off := false
			lost := func() bool { mu.Lock(); defer mu.Unlock(); return !off }
			ns.Before = func(string, zone.Name) error {
				if lost() {
					return nameserver.ErrUnreachable
				}
				return nil
			}
			return func() { mu.Lock(); defer mu.Unlock(); off = true }
		},
		"marker-wrong": func(_ *scene, ns *pretend.Server) func() {
			ns.Put("stranger.dnsctl.invalid.", 1)
			return func() { ns.Remove("stranger.dnsctl.invalid.") }
		},
		"marker-missing": func(s *scene, ns *pretend.Server) func() {
			marker := s.Row(ns).Marker.String()
			ns.Remove(marker)
			return func() { s.place(ns) }
		},
		"server accept ns2": func(s *scene, _ *pretend.Server) func() {
			accept := func(yes bool) {
				if err := s.Store.AcceptServer(s.T.Context(), "ns2", yes, fleet.By{}); err != nil {
					s.T.Fatal(err)
				}
			}
			accept(false)
			return func() { accept(true) }
		},
		"drained": func(s *scene, _ *pretend.Server) func() {
			set := func(st fleet.State) {
				if err := s.Store.SetServerState(s.T.Context(), "ns2", st, fleet.By{}); err != nil {
					s.T.Fatal(err)
				}
			}
			set(fleet.Drained)
			return func() { set(fleet.Active) }
		},
	} {
		t.Run(what, func(t *testing.T) {
			onScene(t, func(s *scene) {
				s.Server("ns1")
				ns2 := s.Server("ns2")
				s.Pool("us", fleet.Delete)
				s.Bare("elsewhere", "us") // without a marker, and of another pool
				s.catalog("cat.example.")
				s.Create("a.example.", "b.example.", "again.example.")
				s.start()
				s.until("it is made", 15*time.Second, func() bool { return s.has("a.example.", "again.example.", "b.example.") && s.settled() })
				was, _ := s.members()
				s.stop()
				lift := block(s, ns2)
				s.start()
				s.Delete("a.example.", "again.example.")
				s.Create("new.example.", "again.example.")
				s.until("the new one is in it", 3*time.Minute, func() bool { return s.has("a.example.", "again.example.", "b.example.", "new.example.") })
				s.pass(3 * time.Minute)
				have, serial := s.members()
				if have["a.example."] != was["a.example."] || have["again.example."] != was["again.example."] {
					s.T.Errorf("members %v, before %v", have, was)
				}
				if n, reason := s.held(); n != 2 || !strings.Contains(reason, "ns2") || !strings.Contains(reason, what) || strings.Contains(reason, "elsewhere") {
					s.T.Errorf("%d held: %s", n, reason)
				}
				// Whoever leads next knows of them.
				s.stop()
				s.start()
				s.pass(time.Minute)
				if again, now := s.members(); now != serial || !maps.Equal(again, have) {
					s.T.Errorf("serial %d after %d, members %v", now, serial, again)
				}
				lift()
				s.until("they have left", 3*time.Minute, func() bool { return s.has("again.example.", "b.example.", "new.example.") })
				if have, _ := s.members(); have["again.example."] == was["again.example."] {
					s.T.Error("the one made again has its old label")
				}
				s.until("nothing is held", time.Minute, func() bool { n, reason := s.held(); return n == 0 && reason == "" })
			})
		})
	}
}

// A server that was filled by another history of this store may have a catalog
// with others in it: nothing is published until it is this store's again, and
// then with a serial past what it has.
func TestCatalogWaitsForTheEndOfAnEpoch(t *testing.T) {
	onScene(t, func(s *scene) {
		ns := s.Server("ns1")
		s.catalog("cat.example.")
		s.Create("a.example.")
		s.start()
		s.until("it is made", 15*time.Second, func() bool { return s.has("a.example.") && s.settled() })
		s.stop()
		_, before := s.members()
		if _, err := s.Store.OpenEpoch(s.T.Context(), "restored", fleet.By{}); err != nil {
			s.T.Fatal(err)
		}
		s.Create("new.example.")
		s.start()
		s.pass(2 * time.Minute)
		if have, serial := s.members(); serial != before || len(have) != 1 {
			s.T.Errorf("serial %d, members %v", serial, have)
		}
		if _, reason := s.held(); !strings.Contains(reason, "epoch 2 was opened") || !strings.Contains(reason, "ns1") {
			s.T.Errorf("reason %q", reason)
		}
		s.stop()
		s.place(ns)
		if err := s.Store.AcceptServer(s.T.Context(), "ns1", true, fleet.By{}); err != nil {
			s.T.Fatal(err)
		}
		s.start()
		s.until("the new one is in it, and nothing is held", time.Minute, func() bool {
			n, reason := s.held()
			return s.has("a.example.", "new.example.") && n == 0 && reason == ""
		})
		if _, serial := s.members(); !serial.Ahead(before + 1<<29) {
			s.T.Errorf("serial %d after %d", serial, before)
		}
	})
}

// An old catalog of the same name is on nameservers still when a new one begins.
func TestCatalogThatComesBackWaitsForTheGuard(t *testing.T) {
	onScene(t, func(s *scene) {
		ns := s.Server("ns1")
		s.catalog("cat.example.")
		s.Create("a.example.", "b.example.")
		s.start()
		s.until("it is made", 15*time.Second, func() bool { return s.has("a.example.", "b.example.") && s.settled() })
		was, before := s.members()
		s.catalog("")
		s.pass(3 * time.Second)
		s.stop()
		ns.Put("stranger.dnsctl.invalid.", 1)
		s.Delete("b.example.")
		s.catalog("cat.example.")
		s.start()
		s.pass(2 * time.Minute)
		if have, _ := s.members(); have != nil {
			s.T.Errorf("it was made: %v", have)
		}
		if _, reason := s.held(); !strings.Contains(reason, "marker-wrong") {
			s.T.Errorf("reason %q", reason)
		}
		ns.Remove("stranger.dnsctl.invalid.")
		s.until("it is made again", 3*time.Minute, func() bool { return s.has("a.example.") })
		if have, serial := s.members(); have["a.example."] != was["a.example."] || !serial.Ahead(before) {
			s.T.Errorf("serial %d after %d, members %v", serial, before, have)
		}
	})
}

func TestCatalogIsComparedWhereTheFeedIsGone(t *testing.T) {
	onScene(t, func(s *scene) {
		s.Server("ns1")
		s.catalog("cat.example.")
		s.Create("a.example.", "b.example.", "c.example.")
		s.start()
		s.until("it is made", 15*time.Second, func() bool { return s.has("a.example.", "b.example.", "c.example.") && s.settled() })
		filler := 0
		compact := func() {
			s.T.Helper()
			c := fleet.Commit{}
			for range 1100 {
				filler++
				content := pretend.Content(fmt.Sprintf("filler%d.example.", filler), 1)
				c.Creates = append(c.Creates, fleet.Create{Name: content.Apex(), Kind: fleet.Ordinary, SerialStyle: zone.SerialIncrement, Content: content})
			}
			if _, err := s.Store.Commit(s.T.Context(), c); err != nil {
				s.T.Fatal(err)
			}
			head, err := s.Store.Head(s.T.Context())
			if err == nil {
				err = s.Store.CompactFeed(s.T.Context(), head)
			}
			if err != nil {
				s.T.Fatal(err)
			}
		}
		s.stop()
		s.Delete("b.example.")
		s.Create("d.example.")
		compact()
		s.start()
		s.until("it is caught up with", 5*time.Minute, func() bool { return s.has("a.example.", "c.example.", "d.example.") })
		s.stop()
		// From a list that is empty nothing follows, whatever its tombstones say.
		s.Delete("a.example.", "c.example.", "d.example.")
		compact()
		s.start()
		s.pass(3 * time.Minute)
		if !s.has("a.example.", "c.example.", "d.example.") {
			have, _ := s.members()
			s.T.Errorf("members %v", have)
		}
		if n, reason := s.held(); n != 3 || !strings.Contains(reason, "empty") {
			s.T.Errorf("%d held: %s", n, reason)
		}
		s.Create("e.example.")
		s.until("it is a list again", time.Minute, func() bool { return s.has("e.example.") })
		if n, reason := s.held(); n != 0 || reason != "" {
			s.T.Errorf("%d held: %s", n, reason)
		}
	})
}

// A catalog on a server is nobody's zone: no guard, list or limit counts it.
func TestCatalogOnAServerCountsAsNothing(t *testing.T) {
	onScene(t, func(s *scene) {
		ns := s.Server("ns1")
		s.catalog("cat.example.")
		s.Create("a.example.")
		ns.Put("cat.example.", 1, func(z *nameserver.ZoneState) {
			z.Role, z.Primaries = nameserver.Secondary, []nameserver.PrimaryRef{{Addr: netip.MustParseAddrPort("192.0.2.53:53"), Key: pretend.Name("eu.")}}
		})
		ns.ForgetWrites()
		s.start()
		s.until("the server has it", 15*time.Second, func() bool { return ns.Serves("a.example.") != 0 && s.has("a.example.") })
		s.pass(3 * compareEvery)
		if !ns.Has("cat.example.") {
			s.T.Errorf("it was deleted: %q", ns.Writes())
		}
		if got := s.tasks(); len(got) != 0 {
			s.T.Errorf("tasks %+v", got)
		}
	})
}
