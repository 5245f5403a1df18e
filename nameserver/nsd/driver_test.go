package nsd

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dnsctl/nameserver"
	"dnsctl/testbed"
	"dnsctl/zone"
)

func TestMain(m *testing.M) { os.Exit(testbed.Main(m)) }

// TestSocketTakesManyZones is what dead-locks nsd-control: NSD answers each line
// before it reads the next.
func TestSocketTakesManyZones(t *testing.T) {
	t.Parallel()
	r := newRig(t, testbed.NSDOptions{Socket: true}, nil)
	r.prepare(t, r.config("a.test.", ""))
	var zones []nameserver.ZoneConfig
	for i := range 5000 {
		zones = append(zones, r.config(fmt.Sprintf("z%d.%s.test.", i, strings.Repeat("y", 60)), "1"))
	}
	for i, err := range r.Driver.(nameserver.BulkAdder).AddAll(t.Context(), zones) {
		if err != nil {
			t.Fatalf("zone %d: %v", i, err)
		}
	}
	seen := map[zone.Name]bool{}
	if err := r.Inventory(t.Context(), func(z nameserver.ZoneState) error {
		seen[z.Name] = slices.Equal(z.Primaries, zones[0].Primaries)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, z := range zones {
		if !seen[z.Name] {
			t.Errorf("%s is missing", z.Name)
		}
	}
}

// TestChangesOfOurPatternsAreSeamless asks all the while that a zone's primaries are
// changed. Without the zone's file hundreds of answers are SERVFAIL; with it one is
// now and then, whose reason is not known.
func TestChangesOfOurPatternsAreSeamless(t *testing.T) {
	t.Parallel()
	r := newRig(t, testbed.NSDOptions{}, map[string]string{"a.test": zoneText})
	one, two := r.config("a.test.", "1"), r.config("a.test.", "1")
	two.Primaries = append(two.Primaries, nameserver.PrimaryRef{Addr: netip.MustParseAddrPort("127.0.0.9:5300")})
	r.prepare(t, one, two)
	r.add(t, one)
	ctx, stop := context.WithCancel(t.Context())
	wrong := make(chan []string)
	go func() {
		var list []string
		for ctx.Err() == nil {
			if got := r.ask(one.Name); got != "127.0.0.1" {
				list = append(list, got)
			}
		}
		wrong <- list
	}()
	for range 3 {
		for _, z := range []nameserver.ZoneConfig{two, one} {
			if err := r.Change(t.Context(), z); err != nil {
				t.Error(err)
			}
			got, err := r.Zone(t.Context(), z.Name)
			if err != nil || !slices.Equal(got.Primaries, z.Primaries) {
				t.Errorf("%+v, %v", got, err)
			}
		}
	}
	stop()
	if list := <-wrong; len(list) > 3 {
		t.Errorf("%d answers were wrong: %q", len(list), list[0])
	}
}

// TestFileOfADeletedZoneIsNotReadAgain has the zone's content on disk, which NSD
// leaves there.
func TestFileOfADeletedZoneIsNotReadAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, testbed.NSDOptions{}, map[string]string{"a.test": zoneText})
	z := r.config("a.test.", "1")
	r.prepare(t, z)
	r.add(t, z)
	file := filepath.Join(r.nsd.Dir, "zones", spelled(z.Name, "1")+zoneSuffix)
	if err := r.nsd.Ctl("write"); err != nil {
		t.Fatal(err)
	}
	testbed.EventuallyNil(t, patience, func() error { _, err := os.Stat(file); return err })
	if err := r.Delete(t.Context(), z.Name); err != nil {
		t.Fatal(err)
	}
	r.answers(t, z.Name, "REFUSED")
	if _, err := os.Stat(file); err != nil {
		t.Fatalf("this NSD removes files: %v", err)
	}
	r.primary.Stop(t)
	again := r.config("a.test.", "2")
	if err := r.Add(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	if err := r.Driver.(*driver).reloaded(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := r.ask(z.Name); got != "SERVFAIL" {
		t.Errorf("it is answered %q", got)
	}
	if s, err := r.Zone(t.Context(), z.Name); err != nil || s.Serial != nil {
		t.Errorf("%+v, %v", s, err)
	}
}

// TestExpiredZonesStillShowASerial is why a serial alone proves nothing.
func TestExpiredZonesStillShowASerial(t *testing.T) {
	t.Parallel()
	r := newRig(t, testbed.NSDOptions{}, map[string]string{"a.test": strings.Replace(zoneText, "3600 3600 86400", "1 1 4", 1)})
	z := r.config("a.test.", "1")
	r.prepare(t, z)
	r.add(t, z)
	r.primary.Stop(t)
	r.answers(t, z.Name, "SERVFAIL")
	testbed.EventuallyNil(t, patience, func() error {
		s, err := r.Zone(t.Context(), z.Name)
		if err == nil && (!s.Expired || s.Serial == nil) {
			err = fmt.Errorf("%+v", s)
		}
		return err
	})
}

func TestDeclaredAndCatalogZonesAreNotTouched(t *testing.T) {
	t.Parallel()
	r := newRig(t, testbed.NSDOptions{Config: "pattern:\n    name: own\n    zonefile: \"%s.own\"\n    provide-xfr: 127.0.0.1 NOKEY\nzone:\n    name: declared.test\n    zonefile: declared\n"}, nil)
	r.prepare(t, r.config("a.test.", ""))
	text := strings.Replace(zoneText, "@ A 127.0.0.1", "version TXT 2", 1)
	if err := os.WriteFile(filepath.Join(r.nsd.Dir, "catalog.test.own"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.nsd.Ctl("addzone", "catalog.test", "own"); err != nil {
		t.Fatal(err)
	}
	testbed.EventuallyNil(t, patience, func() error {
		z, err := r.Zone(t.Context(), zone.MustParseName("catalog.test."))
		if err == nil && z.Serial == nil {
			err = errors.New(z.Detail)
		}
		return err
	})
	declared := zone.MustParseName("declared.test.")
	for what, err := range map[string]error{
		"delete what is declared": r.Delete(t.Context(), declared), "change what is declared": r.Change(t.Context(), r.config("declared.test.", "")),
		"delete a catalog": r.Delete(t.Context(), zone.MustParseName("catalog.test.")),
	} {
		if !errors.Is(err, nameserver.ErrUntouchable) {
			t.Errorf("%s: %v", what, err)
		}
	}
	n := 0
	if err := r.Inventory(t.Context(), func(z nameserver.ZoneState) error {
		n++
		if z.Name == declared && (z.Origin != nameserver.Declared || z.Role != nameserver.Primary || z.Serial != nil) {
			t.Errorf("%+v", z)
		}
		return nil
	}); err != nil || n != 2 {
		t.Errorf("%d zones, %v", n, err)
	}
}

// TestAPrimaryWhoseFileIsGoneIsPutBack is a conversion that cannot be done.
func TestAPrimaryWhoseFileIsGoneIsPutBack(t *testing.T) {
	t.Parallel()
	r := newRig(t, testbed.NSDOptions{Config: "pattern:\n    name: own\n    zonefile: \"%s.own\"\n    provide-xfr: 127.0.0.1 NOKEY\n"}, map[string]string{"a.test": zoneText})
	z := r.config("a.test.", "1")
	r.prepare(t, z)
	r.add(t, z)
	before, err := r.Export(t.Context(), z.Name)
	if err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string]string{"gone": "", "another": strings.Replace(zoneText, "127.0.0.1", "127.0.0.2", 1)} {
		if text != "" {
			if err := os.WriteFile(filepath.Join(r.nsd.Dir, "a.test.own"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.Convert(t.Context(), z.Name, "add a.test own"); !errors.Is(err, nameserver.ErrRefused) {
			t.Errorf("a file that is %s: %v", what, err)
		}
		r.answers(t, z.Name, "127.0.0.1")
		after, err := r.Export(t.Context(), z.Name)
		if err != nil || after.Settings != before.Settings {
			t.Errorf("a file that is %s: %q, %v", what, after.Settings, err)
		}
	}
}
