package storetest

import (
	"errors"
	"testing"
	"time"

	"dnsctl/fleet"
	"dnsctl/zone"
)

// unswept counts contents that are staged or dead.
func (e *env) unswept() int64 {
	e.t.Helper()
	st, err := e.Status(e.t.Context())
	if err != nil {
		e.t.Fatal(err)
	}
	return st.Unswept
}

func (e *env) stage(s *zone.Snapshot) fleet.StagedContent {
	e.t.Helper()
	c, err := e.Stage(e.t.Context(), s)
	if err != nil {
		e.t.Fatal(err)
	}
	return c
}

func stagedZone(s *zone.Snapshot, c fleet.StagedContent) fleet.Create {
	return fleet.Create{Name: s.Apex(), Kind: fleet.Ordinary, SerialStyle: zone.SerialIncrement, Staged: c}
}

var stageTests = map[string]func(*testing.T, *env){
	"staged content becomes a zone when it is committed": func(t *testing.T, e *env) {
		want := content(t, "example.org.", 1, 3000)
		c := e.stage(want)
		if _, err := e.Zone(t.Context(), want.Apex()); !errors.Is(err, fleet.ErrNoZone) {
			t.Fatalf("seen before the commit: %v", err)
		}
		e.commit(fleet.Commit{Creates: []fleet.Create{stagedZone(want, c)}})
		got, _ := e.snapshot(e.zone("example.org."))
		same(t, got, want)
		if n := e.unswept(); n != 0 {
			t.Errorf("%d contents to sweep", n)
		}
		e.clock.advance(24 * time.Hour)
		if err := e.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		got, _ = e.snapshot(e.zone("example.org."))
		same(t, got, want)
	},
	"staged content replaces a zone's, which is swept": func(t *testing.T, e *env) {
		z := e.create(content(t, "example.org.", 1, 2000))
		old, base := e.snapshot(z)
		want := content(t, "example.org.", 2, 2500)
		ed := editOf(z, base, old, want)
		ed.Put, ed.Drop, ed.Staged = nil, nil, e.stage(want)
		e.commit(fleet.Commit{Edits: []fleet.Edit{ed}})
		got, version := e.snapshot(z)
		same(t, got, want)
		if version != 2 || e.unswept() != 1 {
			t.Errorf("version %d, %d to sweep", version, e.unswept())
		}
		if d, err := e.Deltas(t.Context(), z.Edition.ID, 1, 2, 1<<30); err != nil || len(d) != 1 {
			t.Errorf("deltas %d, %v", len(d), err)
		}
		if err := e.Sweep(t.Context()); err != nil || e.unswept() != 0 {
			t.Errorf("%d to sweep, %v", e.unswept(), err)
		}
		got, _ = e.snapshot(z)
		same(t, got, want)
		if z := e.change(e.zone("example.org."), 3); z.Edition.Serial != 3 {
			t.Errorf("serial %d", z.Edition.Serial)
		}
	},
	"staged content expires and cannot be committed then": func(t *testing.T, e *env) {
		s := content(t, "example.org.", 1, 50)
		c := e.stage(s)
		if err := e.Sweep(t.Context()); err != nil || e.unswept() != 1 {
			t.Fatalf("swept too early, %v", err)
		}
		e.clock.advance(time.Hour)
		if err := e.Sweep(t.Context()); err != nil || e.unswept() != 0 {
			t.Fatalf("%d to sweep, %v", e.unswept(), err)
		}
		if _, err := e.Commit(t.Context(), fleet.Commit{Creates: []fleet.Create{stagedZone(s, c)}}); !errors.Is(err, fleet.ErrStagedGone) {
			t.Fatalf("error is %v", err)
		}
		if _, err := e.Zone(t.Context(), s.Apex()); !errors.Is(err, fleet.ErrNoZone) {
			t.Fatalf("zone: %v", err)
		}
	},
	"staged content is committed once, or given up": func(t *testing.T, e *env) {
		s := content(t, "example.org.", 1, 50)
		c := e.stage(s)
		e.commit(fleet.Commit{Creates: []fleet.Create{stagedZone(s, c)}})
		other := content(t, "example.net.", 1, 50)
		if _, err := e.Commit(t.Context(), fleet.Commit{Creates: []fleet.Create{stagedZone(other, c)}}); !errors.Is(err, fleet.ErrStagedGone) {
			t.Fatalf("committed twice: %v", err)
		}
		c = e.stage(other)
		if err := e.Unstage(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Commit(t.Context(), fleet.Commit{Creates: []fleet.Create{stagedZone(other, c)}}); !errors.Is(err, fleet.ErrStagedGone) {
			t.Fatalf("committed after it was given up: %v", err)
		}
	},
}
