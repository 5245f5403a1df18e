package inventory_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dnsctl/fleet"
	"dnsctl/report"
	"dnsctl/sync/apply"
	"dnsctl/sync/inventory"
	"dnsctl/sync/plan"
	"dnsctl/testbed/pretend"
	"dnsctl/zone"
)

// altered is a zone's content with one of its RRsets changed; nil drops it.
func altered(t *testing.T, content *zone.Snapshot, typ zone.Type, change func(zone.RRset) *zone.RRset, more ...zone.RRset) *zone.Snapshot {
	t.Helper()
	b := zone.NewBuilder(content.Apex(), content.RRsets())
	for set := range content.All() {
		if set.Type == typ {
			if other := change(set); other != nil {
				b.Add(*other)
			}
			continue
		}
		b.Add(set)
	}
	for _, set := range more {
		b.Add(set)
	}
	out, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// deep looks at the one server of a world, closely.
func deep(t *testing.T, w *pretend.World, ns *pretend.Server) plan.Plan {
	t.Helper()
	ses := w.Open(ns)
	defer ses.Close()
	in, err := ses.Look(t.Context(), inventory.LookOptions{Deep: true})
	if err != nil {
		t.Fatal(err)
	}
	return plan.Make(in)
}

func stepOf(t *testing.T, p plan.Plan, name string) plan.Step {
	t.Helper()
	for _, st := range p.Steps {
		if st.Zone.Equal(pretend.Name(name)) {
			return st
		}
	}
	t.Fatalf("no step for %s: %+v", name, p.Steps)
	return plan.Step{}
}

// deepWorld is a world with a server that agrees about a.example., which it also
// hands out as the server has it.
func deepWorld(t *testing.T, f func(t *testing.T, w *pretend.World, ns *pretend.Server, content *zone.Snapshot)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := pretend.New(t)
		ns := w.Server("ns1")
		w.Create("a.example.")
		w.Change("a.example.")
		if rep, err := w.Sync(t.Context(), apply.SyncOptions{}); err != nil || rep.Exit != report.ExitOK {
			t.Fatal(err, rep)
		}
		z, err := w.Store.Zone(t.Context(), pretend.Name("a.example."))
		if err != nil {
			t.Fatal(err)
		}
		content, _, err := w.Store.Snapshot(t.Context(), z.Edition.ID)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second) //nolint:forbidigo // synctest's time: what is changed now is not as it was
		f(t, w, ns, content)
	})
}

func TestContentIsComparedRecordByRecord(t *testing.T) {
	txt := func(text string) zone.Rdata { return zone.PackRdata(fleet.TXTRdata(text)) }
	extra := zone.RRset{Owner: pretend.Name("Odd.a.example."), Type: zone.TypeTXT, TTL: 60, Data: txt("x")}
	sig := zone.RRset{Owner: pretend.Name("a.example."), Type: zone.TypeRRSIG, Covers: zone.TypeNS, TTL: 60,
		Data: zone.PackRdata("\x00\x02" + strings.Repeat("x", 20))}
	same := func(set zone.RRset) *zone.RRset { return &set }
	for name, tt := range map[string]struct {
		typ    zone.Type
		change func(zone.RRset) *zone.RRset
		more   []zone.RRset
		class  report.Class
		reason string
	}{
		"nothing":                  {zone.TypeTXT, same, nil, report.OK, ""},
		"letter case of the owner": {zone.TypeTXT, func(s zone.RRset) *zone.RRset { s.Owner = pretend.Name("X.a.EXAMPLE."); return &s }, nil, report.OK, ""},
		"letter case inside rdata": {zone.TypeNS, func(s zone.RRset) *zone.RRset {
			s.Data = zone.PackRdata(string(pretend.Name("NS1.Example.NET.")))
			return &s
		}, nil, report.OK, ""},
		"letter case of a text":       {zone.TypeTXT, func(s zone.RRset) *zone.RRset { s.Data = txt("A"); return &s }, nil, report.Differs, "1 RRsets with other records or TTL (x.a.example. TXT)"},
		"a TTL":                       {zone.TypeTXT, func(s zone.RRset) *zone.RRset { s.TTL++; return &s }, nil, report.Differs, "1 RRsets with other records or TTL (x.a.example. TXT)"},
		"an RRset is gone":            {zone.TypeTXT, func(zone.RRset) *zone.RRset { return nil }, nil, report.Differs, "1 RRsets missing (x.a.example. TXT)"},
		"a record more":               {zone.TypeTXT, func(s zone.RRset) *zone.RRset { s.Data = s.Data.With(txt("more")); return &s }, nil, report.Differs, "with other records"},
		"an RRset more":               {zone.TypeTXT, same, []zone.RRset{extra}, report.Differs, "1 RRsets not in the database (Odd.a.example. TXT)"},
		"a signature more":            {zone.TypeTXT, same, []zone.RRset{sig}, report.Differs, "1 RRsets not in the database (a.example. RRSIG)"},
		"one gone and another for it": {zone.TypeTXT, func(zone.RRset) *zone.RRset { return &extra }, nil, report.Differs, "1 RRsets missing (x.a.example. TXT); 1 RRsets not in the database"},
	} {
		t.Run(name, func(t *testing.T) {
			deepWorld(t, func(t *testing.T, w *pretend.World, ns *pretend.Server, content *zone.Snapshot) {
				ns.Swap("a.example.", altered(t, content, tt.typ, tt.change, tt.more...))
				if st := stepOf(t, deep(t, w, ns), "a.example."); st.Class != tt.class || !strings.Contains(st.Reason, tt.reason) {
					t.Errorf("%s: %s; want %s: %s", st.Class, st.Reason, tt.class, tt.reason)
				}
			})
		})
	}
}

// TestWhatAKindOfServerMakesOfContentIsNoReasonToTransferIt says it, or nothing
// where it does no harm; what else differs is still put right.
func TestWhatAKindOfServerMakesOfContentIsNoReasonToTransferIt(t *testing.T) {
	longer := func(s zone.RRset) *zone.RRset { s.TTL++; return &s }
	gone := func(zone.RRset) *zone.RRset { return nil }
	limit := func(zone.RRset, bool) (string, bool) { return "it cannot", false }
	harmless := func(zone.RRset, bool) (string, bool) { return "it may", true }
	extra := []zone.RRset{{Owner: pretend.Name("odd.a.example."), Type: zone.TypeTXT, TTL: 60, Data: zone.PackRdata(fleet.TXTRdata("x"))}}
	for name, tt := range map[string]struct {
		alters func(zone.RRset, bool) (string, bool)
		change func(zone.RRset) *zone.RRset
		more   []zone.RRset
		class  report.Class
		action report.Action
		reason string
	}{
		"a limit":                  {limit, longer, nil, report.Differs, report.None, "1 RRsets with other records or TTL (x.a.example. TXT): it cannot"},
		"a limit by which it goes": {limit, gone, nil, report.Differs, report.None, "1 RRsets missing (x.a.example. TXT): it cannot"},
		"a limit, and more":        {limit, longer, extra, report.Differs, report.Retransfer, "1 RRsets not in the database"},
		"no harm":                  {harmless, longer, nil, report.OK, report.None, ""},
		"no harm, but it is gone":  {harmless, gone, nil, report.Differs, report.Retransfer, "1 RRsets missing"},
		"no harm, and more":        {harmless, longer, extra, report.Differs, report.Retransfer, "other content: 1 RRsets not in the database"},
	} {
		t.Run(name, func(t *testing.T) {
			deepWorld(t, func(t *testing.T, w *pretend.World, ns *pretend.Server, content *zone.Snapshot) {
				w.Alters = tt.alters
				ns.Swap("a.example.", altered(t, content, zone.TypeTXT, tt.change, tt.more...))
				st := stepOf(t, deep(t, w, ns), "a.example.")
				if st.Class != tt.class || st.Action != tt.action || !strings.Contains(st.Reason, tt.reason) {
					t.Errorf("%s %s: %s; want %s %s: %s", st.Class, st.Action, st.Reason, tt.class, tt.action, tt.reason)
				}
			})
		})
	}
}

var errDenied = errors.New("it answers REFUSED")

func TestContentThatIsNotTransferredIsCopiedOrUnknown(t *testing.T) {
	t.Run("copied", func(t *testing.T) {
		deepWorld(t, func(t *testing.T, w *pretend.World, ns *pretend.Server, content *zone.Snapshot) {
			ns.Walked = func(zone.Name) error { return errDenied }
			if st := stepOf(t, deep(t, w, ns), "a.example."); st.Class != report.OK {
				t.Errorf("%s: %s", st.Class, st.Reason)
			}
			ns.Swap("a.example.", altered(t, content, zone.TypeTXT, func(zone.RRset) *zone.RRset { return nil }))
			if st := stepOf(t, deep(t, w, ns), "a.example."); st.Class != report.Differs {
				t.Errorf("%s: %s", st.Class, st.Reason)
			}
		})
	})
	for name, export := range map[string]func(ns *pretend.Server){
		"no copy either": func(ns *pretend.Server) {
			ns.Before = func(op string, _ zone.Name) error {
				if op == "export" {
					return errors.New("no rights")
				}
				return nil
			}
		},
		"a hollow copy": func(ns *pretend.Server) { ns.Hollow = true },
	} {
		t.Run(name, func(t *testing.T) {
			deepWorld(t, func(t *testing.T, w *pretend.World, ns *pretend.Server, _ *zone.Snapshot) {
				ns.Walked = func(zone.Name) error { return errDenied }
				export(ns)
				st := stepOf(t, deep(t, w, ns), "a.example.")
				if st.Class != report.Unknown || st.Action != report.None || !strings.Contains(st.Reason, errDenied.Error()) {
					t.Errorf("%s %s: %s", st.Class, st.Action, st.Reason)
				}
			})
		})
	}
}

func TestZoneThatChangesMeanwhileDoesNotDiffer(t *testing.T) {
	t.Run("once", func(t *testing.T) {
		deepWorld(t, func(t *testing.T, w *pretend.World, ns *pretend.Server, _ *zone.Snapshot) {
			var once sync.Once
			ns.Walked = func(n zone.Name) error {
				once.Do(func() {
					w.Change("a.example.")
					ns.Transfer(n)
				})
				return nil
			}
			if st := stepOf(t, deep(t, w, ns), "a.example."); st.Class != report.OK || *st.Serial.Have != ns.Serves("a.example.") {
				t.Errorf("%s: %s, serials %d and %d", st.Class, st.Reason, *st.Serial.Want, *st.Serial.Have)
			}
		})
	})
	t.Run("all the time", func(t *testing.T) {
		deepWorld(t, func(t *testing.T, w *pretend.World, ns *pretend.Server, _ *zone.Snapshot) {
			ns.Walked = func(n zone.Name) error { w.Change("a.example."); ns.Transfer(n); return nil }
			if st := stepOf(t, deep(t, w, ns), "a.example."); st.Class != report.Unknown || !strings.Contains(st.Reason, "all the time") {
				t.Errorf("%s: %s", st.Class, st.Reason)
			}
		})
	})
	t.Run("and stays behind", func(t *testing.T) {
		deepWorld(t, func(t *testing.T, w *pretend.World, ns *pretend.Server, content *zone.Snapshot) {
			n := 0
			ns.Walked = func(zone.Name) error {
				if n++; n == 1 {
					w.Change("a.example.")
					ns.Swap("a.example.", pretend.Content("a.example.", content.Serial()-1))
				}
				return nil
			}
			if st := stepOf(t, deep(t, w, ns), "a.example."); st.Class != report.Behind {
				t.Errorf("%s: %s", st.Class, st.Reason)
			}
		})
	})
	t.Run("and is deleted", func(t *testing.T) {
		deepWorld(t, func(t *testing.T, w *pretend.World, ns *pretend.Server, _ *zone.Snapshot) {
			ns.Walked = func(zone.Name) error { w.Change("a.example."); w.Delete("a.example."); return nil }
			if st := stepOf(t, deep(t, w, ns), "a.example."); st.Class == report.Differs || st.Class == report.Unknown {
				t.Errorf("%s: %s", st.Class, st.Reason)
			}
		})
	})
}

func TestDifferingContentIsCopiedAndTransferredAgain(t *testing.T) {
	deepWorld(t, func(t *testing.T, w *pretend.World, ns *pretend.Server, content *zone.Snapshot) {
		ns.Swap("a.example.", altered(t, content, zone.TypeTXT, func(zone.RRset) *zone.RRset { return nil }))
		if rep, err := w.Sync(t.Context(), apply.SyncOptions{All: true}); err != nil || rep.Exit != report.ExitOK || len(rep.Servers[0].Items) != 2 {
			t.Fatalf("without a close look: %v, %+v", err, rep)
		}
		servers, err := w.Store.Servers(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		doc, rep, err := w.Syncer.Plan(t.Context(), "sync", servers, apply.SyncOptions{Deep: true})
		if err != nil || rep.Exit != report.ExitDifferences || len(doc.Servers[0].Steps) != 1 {
			t.Fatalf("%v, %+v", err, rep)
		}
		// The serial is right all along: only the content proves it.
		stalled := 3
		ns.Stalled = func(n zone.Name) bool {
			if fleet.IsMarkerName(n) || stalled == 0 {
				return false
			}
			stalled--
			return true
		}
		rep, err = w.Syncer.Apply(t.Context(), "sync", doc, servers, apply.SyncOptions{})
		if err != nil || rep.Exit != report.ExitOK || stalled != 0 {
			t.Fatalf("%v, %d transfers to go, %+v", err, stalled, rep.Servers)
		}
		copies, err := w.Store.Copies(t.Context(), "ns1", pretend.Name("a.example."))
		if err != nil || len(copies) != 1 || copies[0].Records != content.Records()-1 {
			t.Errorf("%v, %+v", err, copies)
		}
		if st := stepOf(t, deep(t, w, ns), "a.example."); st.Class != report.OK {
			t.Errorf("%s: %s", st.Class, st.Reason)
		}
	})
}
