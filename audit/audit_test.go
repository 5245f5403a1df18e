package audit_test

import (
	"testing"
	"testing/synctest"
	"time"

	"dnsctl/audit"
	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/report"
	"dnsctl/sync/apply"
	"dnsctl/testbed/pretend"
	"dnsctl/zone"
)

func TestAuditExitsWithWhatItFound(t *testing.T) {
	unreachable := func(string, zone.Name) error { return nameserver.ErrUnreachable }
	tests := []struct {
		name string
		set  func(w *pretend.World, ns1, ns2 *pretend.Server)
		want report.Exit
	}{
		{"agreement", func(*pretend.World, *pretend.Server, *pretend.Server) {}, report.ExitOK},
		{"a zone is missing", func(_ *pretend.World, ns1, _ *pretend.Server) { ns1.Remove("a.example.") }, report.ExitDifferences},
		{"the inventory is empty", func(w *pretend.World, ns1, _ *pretend.Server) {
			ns1.Remove("a.example.")
			ns1.Remove(w.Row(ns1).Marker.String())
		}, report.ExitDifferences},
		{"a zone is foreign", func(_ *pretend.World, ns1, _ *pretend.Server) { ns1.Put("f.example.", 1) }, report.ExitDifferences},
		{"a zone is stale", func(w *pretend.World, _, _ *pretend.Server) { w.Create("b.example."); w.Delete("a.example.") }, report.ExitDifferences},
		{"a zone is behind", func(w *pretend.World, _, _ *pretend.Server) { w.Change("a.example.") }, report.ExitDifferences},
		{"a zone cannot be asked about", func(_ *pretend.World, ns1, _ *pretend.Server) {
			ns1.Asked = func(n zone.Name) bool { return !fleet.IsMarkerName(n) }
		}, report.ExitPartial},
		{"a marker is wrong", func(_ *pretend.World, ns1, _ *pretend.Server) {
			ns1.Asked = func(n zone.Name) bool { return fleet.IsMarkerName(n) }
		}, report.ExitDifferences},
		{"a server cannot be read", func(_ *pretend.World, ns1, _ *pretend.Server) { ns1.Before = unreachable }, report.ExitPartial},
		{"no server can be read", func(_ *pretend.World, ns1, ns2 *pretend.Server) { ns1.Before, ns2.Before = unreachable, unreachable }, report.ExitFailed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := pretend.New(t)
				ns1, ns2 := w.Server("ns1"), w.Server("ns2")
				w.Create("a.example.")
				if rep, err := w.Sync(t.Context(), apply.SyncOptions{}); err != nil || rep.Exit != report.ExitOK {
					t.Fatal(err, rep.Exit)
				}
				tt.set(w, ns1, ns2)
				ns1.ForgetWrites()
				ns2.ForgetWrites()
				servers, err := w.Store.Servers(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				a := &audit.Auditor{Fleet: w.Fleet, Now: time.Now}
				rep, err := a.Audit(t.Context(), servers, audit.Options{Deep: true})
				if err != nil || rep.Exit != tt.want {
					t.Errorf("%v, exit %d, want %d: %+v", err, rep.Exit, tt.want, rep.Servers)
				}
				if got := append(ns1.Writes(), ns2.Writes()...); len(got) != 0 {
					t.Errorf("an audit wrote %q", got)
				}
			})
		})
	}
}
