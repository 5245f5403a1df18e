package bootstrap_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dnsctl/edit"
	"dnsctl/report"
	"dnsctl/zone"
	"dnsctl/zone/zonefile"

	"context"
)

// realData is the folder of real zones beside the project; see the data's README
// for what its absence means.
func realData(t *testing.T) string {
	t.Helper()
	dir := filepath.Join("..", "..", "shared", "data")
	if _, err := os.Stat(dir); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("the real data is not there: %v", err)
		}
		t.Logf("the real data is not there, so nothing is compared: %v", err)
		return ""
	}
	return dir
}

func TestRealZonesReachBINDRecordForRecord(t *testing.T) {
	t.Parallel()
	dir := realData(t)
	if dir == "" {
		return
	}
	files, err := filepath.Glob(filepath.Join(dir, "operator", "zones-*", "db.*"))
	if err != nil || len(files) != 62 {
		t.Fatalf("%d zone files, %v", len(files), err)
	}
	source := make(map[zone.Key]*zone.Snapshot)
	var sources []edit.Source
	add := func(apex zone.Name, file string) {
		r, err := zonefile.ReadFile(t.Context(), file, zonefile.Options{Origin: apex})
		if err != nil {
			t.Fatal(err)
		}
		source[apex.Key()] = r.Snapshot
		sources = append(sources, edit.Source{Path: file, Parse: func(context.Context) (edit.Parsed, error) {
			return edit.Parsed{Content: r.Snapshot, Checked: true}, nil
		}})
	}
	for _, f := range files {
		add(name(strings.TrimPrefix(filepath.Base(f), "db.")), f)
	}
	roots, err := filepath.Glob(filepath.Join(dir, "root-*.zone"))
	if err != nil || len(roots) != 1 {
		t.Fatalf("root zones %v, %v", roots, err)
	}
	add(zone.Root, roots[0])

	h := newHouse(t, "")
	err = h.edit.Import(t.Context(), sources, edit.ImportOptions{Pools: []string{"eu"}}, edit.Meta{Command: "zone import"},
		func(s edit.Source, _ edit.Result, err error) {
			if err != nil {
				t.Errorf("import %s: %v", s.Path, err)
			}
		})
	if err != nil {
		t.Fatal(err)
	}
	_, s := h.newNamed("ns1")
	if got := h.mustAudit(report.ExitOK).Servers[0].Counts[report.OK]; got != len(source) {
		t.Errorf("%d zones in agreement, want %d", got, len(source))
	}
	ses, err := h.fleet.Open(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	defer ses.Close()
	for _, want := range source {
		got, err := h.dns.Transfer(t.Context(), ses.Question(want.Apex()))
		if err != nil {
			t.Errorf("transfer %s from BIND: %v", want.Apex(), err)
			continue
		}
		if d := zone.Diff(want, got); !d.Empty() || got.Serial() != want.Serial() {
			t.Errorf("BIND serves %s otherwise: removed %v, added %v, serial %d for %d", want.Apex(), d.Removed, d.Added, got.Serial(), want.Serial())
		}
	}
}
