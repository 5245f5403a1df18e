package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"dnsctl/fleet"
	"dnsctl/store"
	"dnsctl/zone"
)

var togetherTests = map[string]func(*testing.T, *env){
	"many writers in several stores lose no update": func(t *testing.T, e *env) {
		stores := []*store.Store{e.Store, e.open(store.Options{}), e.open(store.Options{})}
		const writers, rounds = 4, 5
		zones := []string{"a.example.", "b.example."}
		for _, n := range zones {
			e.create(content(t, n, 1, 0))
		}
		var wg sync.WaitGroup
		stop := make(chan struct{})
		var reader sync.WaitGroup
		reader.Go(func() { // the feed never shows a gap, nor a position before its time
			for last := int64(0); ; {
				entries, err := stores[1].Feed(context.Background(), last, 100)
				if err != nil {
					t.Error(err)
					return
				}
				for _, f := range entries {
					if f.Pos != last+1 {
						t.Errorf("position %d after %d", f.Pos, last)
					}
					last = f.Pos
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
		for i := range writers * len(stores) {
			s := stores[i%len(stores)]
			wg.Go(func() {
				for r := range rounds {
					if err := addHost(s, zones[(i+r)%2], fmt.Sprintf("w%d-%d", i, r)); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		close(stop)
		reader.Wait()
		total := 0
		for _, n := range zones {
			z := e.zone(n)
			s, _ := e.snapshot(z)
			total += s.RRsets() - 2
			if int(z.Edition.Version) != s.RRsets()-1 || int(z.Edition.Serial) != s.RRsets()-1 || z.Edition.RRsets != s.RRsets() {
				t.Errorf("%s: version %d, serial %d, %d RRsets", n, z.Edition.Version, z.Edition.Serial, s.RRsets())
			}
			// History leads from the first version to the last.
			d, err := e.Deltas(t.Context(), z.Edition.ID, 1, z.Edition.Serial, 1<<30)
			if err != nil || len(d) != int(z.Edition.Version)-1 {
				t.Fatalf("%s: %d deltas, %v", n, len(d), err)
			}
			from := content(t, n, 1, 0)
			for _, d := range d {
				if from, err = from.Apply(d); err != nil {
					t.Fatal(err)
				}
			}
			same(t, from, s)
		}
		if total != writers*len(stores)*rounds {
			t.Errorf("%d hosts instead of %d", total, writers*len(stores)*rounds)
		}
		if n := len(e.feed()); n != total+len(zones) {
			t.Errorf("%d feed entries", n)
		}
	},
	"of many who make a zone one does": func(t *testing.T, e *env) {
		stores := []*store.Store{e.Store, e.open(store.Options{})}
		var wg sync.WaitGroup
		var mu sync.Mutex
		made := 0
		for i := range 8 {
			wg.Go(func() {
				_, err := stores[i%2].Commit(context.Background(), fleet.Commit{Creates: []fleet.Create{newZone(content(t, "a.example.", zone.Serial(i+1), i))}})
				switch {
				case err == nil:
					mu.Lock()
					made++
					mu.Unlock()
				case !errors.Is(err, fleet.ErrExists):
					t.Errorf("error is %v", err)
				}
			})
		}
		wg.Wait()
		if made != 1 {
			t.Fatalf("made %d times", made)
		}
	},
	"batches that share zones in any order do not deadlock": func(t *testing.T, e *env) {
		var zones []fleet.Zone
		for i := range 6 {
			zones = append(zones, e.create(content(t, fmt.Sprintf("z%d.example.", i), 1, 0)))
		}
		stores := []*store.Store{e.Store, e.open(store.Options{})}
		var wg sync.WaitGroup
		for i := range 6 {
			s := stores[i%2]
			wg.Go(func() {
				for range 5 {
					for {
						var c fleet.Commit
						for j := range zones {
							n := zones[(i+j)%len(zones)].Name
							ed, err := addHostEdit(s, n.String(), fmt.Sprintf("h%d", i))
							if err != nil {
								t.Error(err)
								return
							}
							c.Edits = append(c.Edits, ed)
						}
						_, err := s.Commit(context.Background(), c)
						if err == nil {
							break
						}
						if !errors.Is(err, fleet.ErrConflict) {
							t.Error(err)
							return
						}
					}
				}
			})
		}
		wg.Wait()
		for _, z := range zones {
			if v := e.zone(z.Name.String()).Edition.Version; v != 31 {
				t.Errorf("%s is at version %d", z.Name, v)
			}
		}
	},
	"a reader sees one version from first to last": func(t *testing.T, e *env) {
		z := e.create(content(t, "a.example.", 1, 400))
		writer := e.open(store.Options{})
		var wg sync.WaitGroup
		done := make(chan struct{})
		wg.Go(func() {
			defer close(done)
			for n := range 12 {
				old, base, err := writer.Snapshot(context.Background(), z.Edition.ID)
				if err != nil {
					t.Error(err)
					return
				}
				next := content(t, "a.example.", old.Serial()+1, 400-n*30)
				ed := editOf(z, base, old, next)
				if n%3 == 0 {
					if ed.Staged, err = writer.Stage(context.Background(), next); err != nil {
						t.Error(err)
						return
					}
				}
				if _, err := writer.Commit(context.Background(), fleet.Commit{Edits: []fleet.Edit{ed}}); err != nil {
					t.Error(err)
					return
				}
				if err := writer.Sweep(context.Background()); err != nil {
					t.Error(err)
					return
				}
			}
		})
		for running := true; running; {
			select {
			case <-done:
				running = false
			default:
			}
			s, version, err := e.Snapshot(t.Context(), z.Edition.ID)
			if err != nil {
				t.Error(err)
				break
			}
			n := 400
			if version > 1 {
				n = 400 - (int(version)-2)*30
			}
			if s.RRsets() != n+2 || int64(s.Serial()) != version {
				t.Errorf("version %d has %d RRsets and serial %d", version, s.RRsets(), s.Serial())
			}
		}
		wg.Wait()
	},
}

// addHostEdit is the edit that puts a host into a zone as it is now.
func addHostEdit(s *store.Store, n, label string) (fleet.Edit, error) {
	ctx := context.Background()
	z, err := s.Zone(ctx, name(n))
	if err != nil {
		return fleet.Edit{}, err
	}
	next := z.Edition.SOA
	v, err := zone.ParseSOA(next.Data.First())
	if err != nil {
		return fleet.Edit{}, err
	}
	next.Data = zone.PackRdata(v.WithSerial(v.Serial + 1).Rdata())
	set := host(label+"."+n, int(v.Serial))
	owners, err := s.Owners(ctx, z.Edition.ID, []zone.Key{set.Owner.Key()})
	if err != nil {
		return fleet.Edit{}, err
	}
	d := zone.Delta{OldSOA: z.Edition.SOA, NewSOA: next, Added: []zone.RRset{set}}
	rrsets := z.Edition.RRsets + 1
	if len(owners) > 0 {
		d.Removed, rrsets = owners, rrsets-1
	}
	return fleet.Edit{Zone: z, Base: z.Edition.Version, Put: []zone.RRset{next, set}, Delta: d, RRsets: rrsets, Records: rrsets + 1, Octets: z.Edition.Octets}, nil
}

// addHost edits until nobody was faster.
func addHost(s *store.Store, n, label string) error {
	for {
		ed, err := addHostEdit(s, n, label)
		if err != nil {
			return err
		}
		_, err = s.Commit(context.Background(), fleet.Commit{Edits: []fleet.Edit{ed}})
		if !errors.Is(err, fleet.ErrConflict) {
			return err
		}
	}
}
