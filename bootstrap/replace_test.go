package bootstrap_test

import (
	"strings"
	"testing"

	"dnsctl/bootstrap"
	"dnsctl/nameserver"
	"dnsctl/report"
	"dnsctl/sync/apply"
	"dnsctl/testbed/pretend"
	"dnsctl/zone"
)

func TestReplacementsThatWouldMakeTwoOfOneAreRefused(t *testing.T) {
	dead := func(string, zone.Name) error { return nameserver.ErrUnreachable }
	for what, c := range map[string]struct {
		set   func(t *testing.T, w *pretend.World, b *bootstrap.Bootstrapper, old, next *pretend.Server)
		said  string
		exit  report.Exit
		named string
	}{
		"its DNS answers": {func(_ *testing.T, _ *pretend.World, _ *bootstrap.Bootstrapper, old, _ *pretend.Server) {
			old.Before = dead
		},
			"ns1 is not dead: it answers over DNS", report.ExitWithheld, "ns2"},
		"the other is one already": {func(t *testing.T, w *pretend.World, b *bootstrap.Bootstrapper, old, _ *pretend.Server) {
			old.Before = dead
			if rep, err := b.Run(t.Context(), "ns2", bootstrap.Options{Wait: true}); err != nil || rep.Exit != report.ExitOK {
				t.Fatal(err, rep)
			}
		}, "ns2 is one by itself", report.ExitWithheld, "ns2"},
		"itself": {func(*testing.T, *pretend.World, *bootstrap.Bootstrapper, *pretend.Server, *pretend.Server) {}, "cannot take its own place", report.ExitUsage, "ns1"},
	} {
		t.Run(what, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *pretend.World, b *bootstrap.Bootstrapper) {
				old := w.Server("ns1")
				next := w.Bare("ns2")
				w.Create("a.example.")
				if rep, err := w.Sync(t.Context(), apply.SyncOptions{}, old); err != nil || rep.Exit != report.ExitOK {
					t.Fatal(err, rep)
				}
				c.set(t, w, b, old, next)
				err := b.Replace(t.Context(), w.Store, c.named, "ns1", ada)
				exit, hint := report.ExitOf(err)
				if err == nil || !strings.Contains(err.Error(), c.said) || exit != c.exit || hint == "" {
					t.Errorf("%v, exit %d, hint %q", err, exit, hint)
				}
				for _, name := range []string{"ns1", "ns2"} {
					if row, err := w.Store.Server(t.Context(), name); err != nil || row.Name != name {
						t.Errorf("%s: %+v, %v", name, row, err)
					}
				}
			})
		})
	}
}
