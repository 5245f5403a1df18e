package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const shipped = "../../testdata/sample"

func TestShippedSampleIsWhatTheGeneratorWrites(t *testing.T) {
	t.Parallel()
	wanted := sample()
	err := filepath.WalkDir(shipped, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(shipped, path)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(rel)
		text, ok := wanted[name]
		delete(wanted, name)
		if name == signedFile {
			return nil
		}
		have, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if !ok || string(have) != text {
			t.Errorf("%s is not what the generator writes (make sample)", name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range wanted {
		t.Errorf("%s is not there (make sample)", name)
	}
}

func TestEveryZoneIsListedOnce(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	files := make(map[string]bool)
	for _, z := range append(append(forward(), reverse()...), special()...) {
		if seen[z.name] || files[z.file] {
			t.Errorf("zone %s or its file %s comes twice", z.name, z.file)
		}
		seen[z.name], files[z.file] = true, true
	}
	if len(seen) < 300 {
		t.Errorf("the sample has %d zones, want at least 300", len(seen))
	}
}

func TestNamesAndAddressesAreReserved(t *testing.T) {
	t.Parallel()
	reserved := []string{"example", "example.com", "example.net", "example.org", "test",
		"2.0.192.in-addr.arpa", "100.51.198.in-addr.arpa", "113.0.203.in-addr.arpa", "8.b.d.0.1.0.0.2.ip6.arpa"}
	for _, z := range append(append(forward(), reverse()...), special()...) {
		ok := false
		for _, r := range reserved {
			ok = ok || z.name == r || strings.HasSuffix(z.name, "."+r)
		}
		if !ok {
			t.Errorf("zone %s is under no reserved name", z.name)
		}
	}
}

func TestNamedLoadsTheSample(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("named-checkconf", "-z", "named.conf")
	cmd.Dir = shipped
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("named-checkconf: %v\n%s", err, out)
	}
	loaded := strings.Count(string(out), ": loaded serial ")
	if want := len(forward()) + len(reverse()) + len(special()); loaded != want {
		t.Errorf("named loads %d zones, want %d:\n%s", loaded, want, out)
	}
	if strings.Contains(string(out), "ignoring out-of-zone data") {
		t.Errorf("a zone has data out of zone:\n%s", out)
	}
}

func TestWriteSampleRemovesWhatItDoesNotMake(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"forward/gone.zone", signedFile} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := writeSample(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "forward/gone.zone")); !os.IsNotExist(err) {
		t.Errorf("a file of no zone is left: %v", err)
	}
	if kept, err := os.ReadFile(filepath.Join(dir, signedFile)); err != nil || string(kept) != "x" {
		t.Errorf("the signed zone was touched: %q, %v", kept, err)
	}
}
