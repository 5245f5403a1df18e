package zonefile

import (
	"bytes"
	"context"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dnsctl/zone"
)

// sharedData is the folder of real zones beside the project; empty when it is
// not there, which only a CI run takes for a fault.
func sharedData(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above the test's directory")
		}
		dir = filepath.Dir(dir)
	}
	data := filepath.Join(dir, "..", "shared", "data")
	if _, err := os.Stat(data); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("real zones are missing: %v", err)
		}
		t.Logf("real zones are missing, so this test checked nothing: %v", err)
		return ""
	}
	return data
}

// compilezone is the path of named-compilezone; empty when it is not installed,
// which only a CI run takes for a fault.
func compilezone(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath("named-compilezone")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Logf("this test checked nothing: %v", err)
		return ""
	}
	return path
}

// namedReads has BIND read a zone and returns what it would serve; ok is false
// when BIND refuses it, and then out says why.
func namedReads(t testing.TB, origin, file string) (sets []zone.RRset, out string, ok bool) {
	t.Helper()
	raw := filepath.Join(t.TempDir(), "raw")
	cmd := exec.Command(compilezone(t), "-i", "local", "-k", "ignore", "-n", "ignore", "-m", "ignore", "-M", "ignore",
		"-S", "ignore", "-r", "ignore", "-T", "ignore", "-W", "ignore", "-F", "raw=0", "-o", raw, origin, filepath.Base(file))
	cmd.Dir = filepath.Dir(file) // where named takes relative $INCLUDEs from
	text, err := cmd.CombinedOutput()
	if err != nil {
		return nil, string(text), false
	}
	b, err := os.ReadFile(raw)
	if err != nil {
		t.Fatal(err)
	}
	return readRaw(t, b), string(text), true
}

// readRaw reads version 0 of BIND's raw format: format, version and time, and
// for each RRset its length, class, type, covers, TTL, number of records, then
// the owner and the records, each with a length of two octets before it.
func readRaw(t testing.TB, b []byte) []zone.RRset {
	t.Helper()
	u := binary.BigEndian
	if len(b) < 12 || u.Uint32(b) != 2 || u.Uint32(b[4:]) != 0 {
		t.Fatalf("not a raw zone: % x", b[:min(12, len(b))])
	}
	var sets []zone.RRset
	for b = b[12:]; len(b) > 0; b = b[u.Uint32(b):] {
		set := zone.RRset{Type: zone.Type(u.Uint16(b[6:])), Covers: zone.Type(u.Uint16(b[8:])), TTL: u.Uint32(b[10:])}
		n := int(u.Uint32(b[14:]))
		take := func(at int) (string, int) {
			end := at + 2 + int(u.Uint16(b[at:]))
			return string(b[at+2 : end]), end
		}
		owner, at := take(18)
		set.Owner = zone.Name(owner)
		var all []string
		for range n {
			var r string
			r, at = take(at)
			all = append(all, r)
		}
		set.Data = zone.PackRdata(all...)
		sets = append(sets, set)
	}
	return sets
}

// folded is an RRset without what two servers may well spell differently:
// the letter case of owners and of names in rdata.
func folded(set zone.RRset) zone.RRset {
	set.Owner = set.Owner.Lower()
	var all []string
	for r := range set.Data.All() {
		all = append(all, Canonical(set.Type, r))
	}
	set.Data = zone.PackRdata(all...)
	return set
}

func requireSame(t testing.TB, want []zone.RRset, got *zone.Snapshot) {
	t.Helper()
	w := map[zone.ID]zone.RRset{}
	for _, s := range want {
		w[s.ID()] = folded(s)
	}
	bad := 0
	for s := range got.All() {
		if x, ok := w[s.ID()]; !ok || x != folded(s) {
			if bad++; bad < 5 {
				t.Errorf("we have %s\nnamed has %s", AppendRecords(nil, s), AppendRecords(nil, x))
			}
		}
		delete(w, s.ID())
	}
	for _, s := range w {
		if bad++; bad < 10 {
			t.Errorf("only named has %s", AppendRecords(nil, s))
		}
	}
}

// namedSame reads a zone with both and wants the same.
func namedSame(t *testing.T, origin, file string) *Result {
	t.Helper()
	res, err := ReadFile(context.Background(), file, Options{Origin: zone.MustParseName(origin), IncludeRoot: filepath.Dir(file)})
	if err != nil {
		t.Fatalf("%v", err)
	}
	want, out, ok := namedReads(t, origin, file)
	if !ok {
		t.Fatalf("named refuses the zone: %s", out)
	}
	requireSame(t, want, res.Snapshot)
	// What we write is the same to named as what it was read from.
	var b bytes.Buffer
	if err := Write(&b, res.Snapshot); err != nil {
		t.Fatal(err)
	}
	exported := filepath.Join(t.TempDir(), "exported")
	if err := os.WriteFile(exported, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if want, out, ok = namedReads(t, origin, exported); !ok {
		t.Fatalf("named refuses what we wrote: %s", out)
	}
	requireSame(t, want, res.Snapshot)
	return res
}

// roundTrip writes a zone and wants the same snapshot back.
func roundTrip(t testing.TB, s *zone.Snapshot) {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, s); err != nil {
		t.Fatal(err)
	}
	res, err := Read(context.Background(), bytes.NewReader(b.Bytes()), Options{NoCheck: true})
	if err != nil {
		t.Fatalf("what was written does not read: %v\n%.2000s", err, b.Bytes())
	}
	if got, want := slices.Collect(res.Snapshot.All()), slices.Collect(s.All()); !slices.Equal(got, want) {
		for i := range want {
			if i >= len(got) || got[i] != want[i] {
				t.Fatalf("RRset %d reads back otherwise:\n%s", i, AppendRecords(nil, want[i]))
			}
		}
		t.Fatalf("%d RRsets became %d", len(want), len(got))
	}
}

func TestRealZonesReadAsNamedReadsThem(t *testing.T) {
	t.Parallel()
	data := sharedData(t)
	if data == "" || compilezone(t) == "" {
		return
	}
	files, err := filepath.Glob(filepath.Join(data, "operator", "zones-*", "db.*"))
	if err != nil || len(files) != 62 {
		t.Fatalf("%d zone files, %v", len(files), err)
	}
	for _, f := range append(files, filepath.Join(data, "root-2020-09-13.zone")) {
		origin := strings.TrimPrefix(filepath.Base(f), "db.") + "."
		if strings.HasPrefix(origin, "root") {
			origin = "."
		}
		t.Run(origin, func(t *testing.T) {
			t.Parallel()
			res := namedSame(t, origin, f)
			for _, w := range res.Warnings {
				t.Log(w)
			}
			roundTrip(t, res.Snapshot)
		})
	}
}
