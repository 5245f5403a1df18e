package inventory_test

import (
	"errors"
	"strings"
	"testing"

	"dnsctl/edit"
	"dnsctl/report"
	"dnsctl/sync/apply"
	"dnsctl/sync/inventory"
	"dnsctl/sync/plan"
	"dnsctl/testbed/pretend"
	"dnsctl/zone"
)

// zonemd is the rdata of a ZONEMD with a digest of one letter.
func zonemd(letter string) string { return "\x00\x00\x00\x01\x01\x01" + strings.Repeat(letter, 48) }

// brief looks at the one server of a world, without looking closely.
func brief(t *testing.T, w *pretend.World, ns *pretend.Server) plan.Plan {
	t.Helper()
	ses := w.Open(ns)
	defer ses.Close()
	in, err := ses.Look(t.Context(), inventory.LookOptions{Brief: true})
	if err != nil {
		t.Fatal(err)
	}
	return plan.Make(in)
}

func TestAZoneWhoseDigestDiffersHasItsContentCompared(t *testing.T) {
	for name, tt := range map[string]struct {
		digest string // on the server; "": none
		class  report.Class
		walked bool
	}{
		"the same digest": {"a", report.OK, false},
		"another digest":  {"b", report.Differs, true},
		"no digest":       {"", report.Differs, true},
	} {
		t.Run(name, func(t *testing.T) {
			deepWorld(t, func(t *testing.T, w *pretend.World, ns *pretend.Server, _ *zone.Snapshot) {
				apex := pretend.Name("a.example.")
				op := edit.Op{Verb: edit.Set, Owner: apex, Type: zone.TypeZONEMD, Data: []string{zonemd("a")}}
				if _, err := w.Applier.Edit.Records(t.Context(), apex, []edit.Op{op}, edit.Meta{}); err != nil {
					t.Fatal(err)
				}
				if rep, err := w.Sync(t.Context(), apply.SyncOptions{}); err != nil || rep.Exit != report.ExitOK {
					t.Fatal(err, rep)
				}
				z, err := w.Store.Zone(t.Context(), apex)
				if err != nil {
					t.Fatal(err)
				}
				content, _, err := w.Store.Snapshot(t.Context(), z.Edition.ID)
				if err != nil {
					t.Fatal(err)
				}
				ns.Swap("a.example.", altered(t, content, zone.TypeZONEMD, func(set zone.RRset) *zone.RRset {
					if tt.digest == "" {
						return nil
					}
					set.Data = zone.PackRdata(zonemd(tt.digest))
					return &set
				}))
				walked := false
				ns.Walked = func(zone.Name) error { walked = true; return nil }
				p := brief(t, w, ns)
				if walked != tt.walked {
					t.Errorf("compared: %v", walked)
				}
				if tt.class == report.OK {
					if p.Agreed != 1 || len(p.Steps) != 1 { // the marker
						t.Errorf("%d agree, steps %+v", p.Agreed, p.Steps)
					}
					return
				}
				st := stepOf(t, p, "a.example.")
				if st.Class != tt.class || st.Action != report.Retransfer || !st.Copy || !strings.Contains(st.Reason, "a.example. ZONEMD") {
					t.Errorf("%s %s, copy %v: %s", st.Class, st.Action, st.Copy, st.Reason)
				}
				rep, err := w.Sync(t.Context(), apply.SyncOptions{})
				if err != nil || rep.Exit != report.ExitOK {
					t.Errorf("%v: %+v", err, rep)
				}
				if p := brief(t, w, ns); p.Agreed != 1 {
					t.Errorf("after it: %+v", p.Steps)
				}
			})
		})
	}
}

func TestWitnessesThatCannotBeReadAreAnError(t *testing.T) {
	inWorld(t, func(t *testing.T, w *pretend.World) {
		ns := w.Server("ns1")
		w.Create("a.example.")
		w.Fleet.Store = failing{w.Store, "witnesses"}
		ses := w.Open(ns)
		defer ses.Close()
		if _, err := ses.Look(t.Context(), inventory.LookOptions{}); !errors.Is(err, errRead) {
			t.Errorf("got %v", err)
		}
	})
}
