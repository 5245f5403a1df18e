package apply_test

import (
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dnsctl/nameserver"
	"dnsctl/report"
	"dnsctl/sync/apply"
	"dnsctl/testbed/pretend"
	"dnsctl/zone"
)

// busy makes each operation of a server take a second, and counts those that are
// under way at the same time.
func busy(ns *pretend.Server, op string, fails func(name zone.Name) error) (most *atomic.Int32) {
	most = new(atomic.Int32)
	var now atomic.Int32
	ns.Before = func(what string, name zone.Name) error {
		if what != op {
			return nil
		}
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		<-time.After(time.Second)
		return fails(name)
	}
	return most
}

func manyNames(w *pretend.World, n int) []string {
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("z%d.example.", i))
	}
	w.Create(names...)
	return names
}

// numberOf is the number of one of manyNames; false for others, as the marker.
func numberOf(name zone.Name) (int, bool) {
	n, err := strconv.Atoi(strings.TrimPrefix(strings.TrimSuffix(name.String(), ".example."), "z"))
	return n, err == nil
}

func TestAsManyStepsAreUnderWayAsTheDriverBears(t *testing.T) {
	for bears, want := range map[int]int32{0: 1, 4: 4} {
		t.Run(fmt.Sprint(bears), func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *pretend.World) {
				ns := w.Server("ns1")
				ns.AtOnce = bears
				names := manyNames(w, 20)
				most := busy(ns, "add", func(name zone.Name) error {
					if is(name.String(), "z7.example.") {
						return nameserver.ErrRefused
					}
					return nil
				})
				s := mustSync(t, w, apply.SyncOptions{}, report.ExitPartial)
				for _, name := range names {
					if name == "z7.example." {
						ends(t, s, name, report.Missing, report.Failed, "", "refused")
						continue
					}
					ends(t, s, name, report.Missing, report.Done, "", "")
				}
				if most.Load() != want {
					t.Errorf("%d at a time, want %d", most.Load(), want)
				}
			})
		})
	}
}

// TestAServerThatGoesAwayIsNotWaitedForByEachStep says of each zone whether it is
// there.
func TestAServerThatGoesAwayIsNotWaitedForByEachStep(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World) {
		ns := w.Server("ns1")
		ns.AtOnce = 4
		names := manyNames(w, 40)
		var added atomic.Int32
		busy(ns, "add", func(zone.Name) error {
			if added.Add(1) > 10 {
				return nameserver.ErrUnreachable
			}
			return nil
		})
		s := mustSync(t, w, apply.SyncOptions{}, report.ExitPartial)
		tried := 0
		for _, name := range names {
			switch it := item(t, s, name); {
			case ns.Has(name):
				tried++
				ends(t, s, name, report.Missing, report.Done, "", "")
			case it.Outcome != report.Failed:
				t.Errorf("%s is not there, and is said to be %s", name, it.Outcome)
			}
		}
		if tried != 10 || added.Load() > 14 {
			t.Errorf("%d are there, %d were tried", tried, added.Load())
		}
	})
}
