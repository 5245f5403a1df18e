package bind

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dnsctl/nameserver"
	"dnsctl/testbed"
	"dnsctl/zone"
)

func TestZonesOfHostileNamesLeaveNoFiles(t *testing.T) {
	t.Parallel()
	names := hostile()
	r := newRig(t, names, testbed.NamedOptions{})
	r.add(t, names...)
	for _, text := range names {
		if err := r.Delete(t.Context(), zone.MustParseName(text)); err != nil {
			t.Error(err)
		}
	}
	testbed.EventuallyNil(t, patience, func() error {
		files, err := filepath.Glob(filepath.Join(r.named.Dir, filePrefix+"*"))
		if err == nil && len(files) > 0 {
			err = fmt.Errorf("files left over: %q", files)
		}
		return err
	})
}

func TestAZoneAddedAgainIsFresh(t *testing.T) {
	t.Parallel()
	r := newRig(t, []string{"a.test."}, testbed.NamedOptions{})
	r.add(t, "a.test.")
	written := func() bool {
		files, err := filepath.Glob(filepath.Join(r.named.Dir, filePrefix+"*"))
		return err == nil && len(files) == 1
	}
	testbed.Eventually(t, patience, written)
	r.rndc(t, `delzone a.test`) // as a careless operator does: the file stays
	if !written() {
		t.Fatal("the file went")
	}
	r.primary.Stop(t)
	if err := r.Add(t.Context(), r.config("a.test.", "1")); err != nil {
		t.Fatal(err)
	}
	if s, err := r.Zone(t.Context(), zone.MustParseName("a.test.")); err != nil || s.Serial != nil || !s.Expired {
		t.Errorf("the zone shows old content: %+v, %v", s, err)
	}
	if s := r.inventory(t, r.driver)["a.test."]; s.Serial != nil || !s.Expired {
		t.Errorf("inventory: %+v", s)
	}
}

func TestSettingsThatCanNeverWorkAreRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil, testbed.NamedOptions{})
	good := r.config("a.test.", "1")
	long := good
	long.Name = zone.MustParseName(strings.Repeat(`\001`, 63) + "." + strings.Repeat(`\002`, 63) + ".cccccc.")
	if err := r.Add(t.Context(), long); !errors.Is(err, nameserver.ErrBadName) {
		t.Errorf("512 octets as text: %v", err)
	}
	many := good
	for range 2000 {
		many.Primaries = append(many.Primaries, good.Primaries[0])
	}
	if err := r.Add(t.Context(), many); !errors.Is(err, nameserver.ErrRefused) {
		t.Errorf("too many primaries: %v", err)
	}
	for i := range 2 {
		if list := r.inventory(t, r.driver); len(list) != 0 {
			t.Errorf("%d: %v", i, list)
		}
	}
	many.Primaries = many.Primaries[:500]
	if err := r.Add(t.Context(), many); err != nil {
		t.Errorf("many primaries: %v", err)
	}
}

func TestQueriesCanBeLimitedToTheKey(t *testing.T) {
	t.Parallel()
	r := newRig(t, []string{"a.test."}, testbed.NamedOptions{})
	z := r.config("a.test.", "1")
	z.Limited = true
	if err := r.Add(t.Context(), z); err != nil {
		t.Fatal(err)
	}
	r.wait(t, "a.test.", func(s nameserver.ZoneState) bool { return s.Serial != nil })
	for signed, want := range map[bool]int{true: dns.RcodeSuccess, false: dns.RcodeRefused} {
		q := new(dns.Msg)
		q.SetQuestion("a.test.", dns.TypeSOA)
		c := &dns.Client{Dialer: &net.Dialer{LocalAddr: &net.UDPAddr{IP: net.IPv4(127, 0, 0, 2)}}} // not a primary's address
		if signed {
			q.SetTsig("pool.", dns.HmacSHA256, 300, time.Now().Unix())
			c.TsigSecret = map[string]string{"pool.": r.secret}
		}
		answer, _, err := c.Exchange(q, r.named.Addr)
		if err != nil || answer.Rcode != want {
			t.Errorf("signed %v: %v, %v", signed, answer, err)
		}
	}
}

func TestASecondaryWithoutAFileIsDeletedWithoutACrash(t *testing.T) {
	t.Parallel()
	r := newRig(t, []string{"a.test."}, testbed.NamedOptions{})
	r.rndc(t, "addzone a.test { type secondary; primaries { "+r.primaryText()+" key pool; }; };")
	r.wait(t, "a.test.", func(s nameserver.ZoneState) bool { return s.Serial != nil })
	if err := r.Change(t.Context(), r.config("a.test.", "1")); err != nil {
		t.Error(err)
	}
	r.wait(t, "a.test.", func(s nameserver.ZoneState) bool { return s.Serial != nil && s.Role == nameserver.Secondary })
	if err := r.Delete(t.Context(), zone.MustParseName("a.test.")); err != nil {
		t.Error(err)
	}
	if _, err := r.Info(t.Context()); err != nil || !r.named.Running() {
		t.Errorf("named is gone: %v", err)
	}
}

const untouchables = `
zone "declared.test" { type secondary; file "d.db"; primaries { @PRIMARY@ key pool; }; };
zone "dead.test" { type secondary; file "dead.db"; primaries { 127.0.0.1 port 1; }; };
zone "declaredprimary.test" { type primary; file "prim.zone"; };
zone "stub.test" { type stub; primaries { @PRIMARY@; }; };
zone "static.test" { type static-stub; server-addresses { 127.0.0.1; }; };
zone "forward.test" { type forward; forwarders { 127.0.0.1; }; };
zone "mirror.test" { type mirror; primaries { @PRIMARY@; }; };
zone "rpz.test" { type primary; file "prim.zone"; };
zone "cat.test" { type secondary; file "cat.db"; primaries { @PRIMARY@ key pool; }; };
zone "signed.test" { type primary; file "signed.zone"; dnssec-policy default; inline-signing yes; };
zone "." { type hint; file "hint.zone"; };
`

func TestZonesThatAreNotOursToTouchAreNotTouched(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, f := range []string{"prim.zone", "signed.zone", "signed2.zone"} {
		if err := os.WriteFile(filepath.Join(dir, f), []byte(zoneText), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "hint.zone"), []byte(". 60 NS ns.\nns. 60 A 127.0.0.1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	config := strings.NewReplacer(`"prim.zone"`, `"`+dir+`/prim.zone"`, `"signed.zone"`, `"`+dir+`/signed.zone"`, `"hint.zone"`, `"`+dir+`/hint.zone"`).Replace(untouchables)
	r := newRig(t, []string{"declared.test.", "cat.test.", "cat2.test.", "member.test.", "mirror.test.", "stub.test."}, testbed.NamedOptions{
		Config:    config,
		Recursion: true,
		Options: `response-policy { zone "rpz.test"; }; empty-zones-enable yes;
			catalog-zones { zone "cat.test" default-primaries { @PRIMARY@ key pool; } in-memory no; };`,
	})
	text := "primaries { " + r.primaryText() + " key pool; }; };"
	r.rndc(t, `addzone cat2.test { type secondary; file "cat2.db"; `+text)
	r.rndc(t, `addzone foreigndead.test { type secondary; file "foreigndead.db"; primaries { 127.0.0.1 port 1; }; };`)
	r.rndc(t, `addzone signed2.test { type primary; file "`+dir+`/signed2.zone"; dnssec-policy default; inline-signing yes; };`)
	for _, name := range []string{"declared.test.", "cat.test.", "cat2.test.", "member.test."} {
		testbed.EventuallyNil(t, patience, func() error {
			q := new(dns.Msg)
			q.SetQuestion(name, dns.TypeSOA)
			a, err := dns.Exchange(q, r.named.Addr)
			if err == nil && len(a.Answer) == 0 {
				err = fmt.Errorf("%s: %s", name, dns.RcodeToString[a.Rcode])
			}
			return err
		})
	}

	list := r.inventory(t, r.driver)
	for name, want := range map[string]struct {
		role   nameserver.Role
		origin nameserver.Origin
		listed bool
	}{
		"declared.test.":        {nameserver.Secondary, nameserver.Declared, true},
		"dead.test.":            {nameserver.Secondary, nameserver.Unsure, true},
		"declaredprimary.test.": {nameserver.Primary, nameserver.Declared, true},
		"stub.test.":            {nameserver.Other, nameserver.Declared, true},
		"static.test.":          {nameserver.Other, nameserver.Declared, true},
		"mirror.test.":          {nameserver.Other, nameserver.Unsure, true}, // it is not loaded
		"rpz.test.":             {nameserver.Primary, nameserver.Declared, true},
		"cat.test.":             {nameserver.Secondary, nameserver.Declared, true},
		"cat2.test.":            {nameserver.Secondary, nameserver.Runtime, true},
		"member.test.":          {nameserver.Secondary, nameserver.Cataloged, true},
		"signed.test.":          {nameserver.Primary, nameserver.Declared, true},
		"signed2.test.":         {nameserver.Primary, nameserver.Runtime, true},
		"foreigndead.test.":     {nameserver.Secondary, nameserver.Unsure, true},
		"10.in-addr.arpa.":      {nameserver.Other, nameserver.Builtin, true},
		"forward.test.":         {"", "", false},
		".":                     {"", "", false},
	} {
		n := zone.MustParseName(name)
		l, listed := list[name]
		if listed != want.listed {
			t.Errorf("%s: listed %v", name, listed)
		}
		s, err := r.Zone(t.Context(), n)
		if !want.listed {
			if !errors.Is(err, nameserver.ErrNoZone) {
				t.Errorf("%s: %+v, %v", name, s, err)
			}
			continue
		}
		if err != nil || s.Role != want.role || s.Origin != want.origin {
			t.Errorf("%s: %+v, %v, want %v", name, s, err, want)
		}
		if l.Role != want.role {
			t.Errorf("%s: inventory says %+v, want %v", name, l, want)
		}
		if s.Signs != strings.HasPrefix(name, "signed") {
			t.Errorf("%s: signs %v", name, s.Signs)
		}
		if err := r.Delete(t.Context(), n); !errors.Is(err, nameserver.ErrUntouchable) {
			t.Errorf("delete %s: %v", name, err)
		}
		if err := r.Change(t.Context(), r.config(name, "1")); name != "cat2.test." && !errors.Is(err, nameserver.ErrUntouchable) {
			t.Errorf("change %s: %v", name, err)
		}
	}
	if now := r.inventory(t, r.driver); len(now) != len(list) {
		t.Errorf("%d zones became %d", len(list), len(now))
	}
	if !r.named.Running() {
		t.Error("named crashed")
	}
}

func TestViewsAreKeptApart(t *testing.T) {
	t.Parallel()
	r := newRig(t, []string{"a.test."}, testbed.NamedOptions{
		Config: `view In-side { match-clients { 10.0.0.0/8; }; }; view out { match-clients { any; }; zone "d.test" { type secondary; primaries { @PRIMARY@; }; }; };`,
	})
	if err := r.Inventory(t.Context(), func(nameserver.ZoneState) error { return nil }); !errors.Is(err, nameserver.ErrRefused) {
		t.Errorf("no view chosen: %v", err)
	}
	in, out := r.open(t, "In-side"), r.open(t, "out")
	if list := r.inventory(t, in); len(list) != 0 {
		t.Error(list)
	}
	for _, d := range []*driver{in, out} {
		if err := d.Add(t.Context(), r.config("a.test.", d.view)); err != nil {
			t.Fatal(err)
		}
	}
	if err := in.Delete(t.Context(), zone.MustParseName("a.test.")); err != nil {
		t.Error(err)
	}
	if _, ok := r.inventory(t, in)["a.test."]; ok {
		t.Error("still in the first view")
	}
	if _, ok := r.inventory(t, out)["a.test."]; !ok {
		t.Error("gone from the second view")
	}
	if _, err := in.Zone(t.Context(), zone.MustParseName("d.test.")); !errors.Is(err, nameserver.ErrNoZone) {
		t.Error(err)
	}
}

func TestHiddenZonesMakeTheInventoryFail(t *testing.T) {
	t.Parallel()
	r := newRig(t, []string{"a.test."}, testbed.NamedOptions{Options: "zone-statistics none;"})
	if list := r.inventory(t, r.driver); len(list) != 0 {
		t.Error(list)
	}
	r.add(t, "a.test.")
	err := r.Inventory(t.Context(), func(nameserver.ZoneState) error { return nil })
	if !errors.Is(err, nameserver.ErrAnswer) {
		t.Errorf("a hidden zone: %v", err)
	}
}

func TestACopyNeedsContentThatMayBeTransferred(t *testing.T) {
	t.Parallel()
	r := newRig(t, []string{"a.test."}, testbed.NamedOptions{})
	if err := os.WriteFile(filepath.Join(r.named.Dir, "p.zone"), []byte(zoneText), 0o600); err != nil {
		t.Fatal(err)
	}
	r.rndc(t, `addzone open.test { type primary; file "p.zone"; };`)
	r.rndc(t, `addzone closed.test { type primary; file "p.zone"; allow-transfer { none; }; };`)
	r.rndc(t, `addzone dead.test { type secondary; file "x.db"; primaries { 127.0.0.1 port 1; }; };`)
	e, err := r.Export(t.Context(), zone.MustParseName("open.test."))
	if err != nil || e.Content.Records() != 4 || e.Settings != `zone "open.test" { type primary; file "p.zone"; };` {
		t.Errorf("%+v, %v", e, err)
	}
	for _, name := range []string{"closed.test.", "dead.test."} {
		if _, err := r.Export(t.Context(), zone.MustParseName(name)); !errors.Is(err, nameserver.ErrNoCopy) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := r.Export(t.Context(), zone.MustParseName("none.test.")); !errors.Is(err, nameserver.ErrNoZone) {
		t.Error(err)
	}
}

func TestAServerThatTakesNoNewZonesSaysSo(t *testing.T) {
	t.Parallel()
	r := newRig(t, []string{"a.test."}, testbed.NamedOptions{})
	r.named = r.primary // it has no allow-new-zones
	d := r.open(t, "")
	if err := d.Add(t.Context(), r.config("b.test.", "1")); !errors.Is(err, nameserver.ErrRefused) || !strings.Contains(err.Error(), "new zones") {
		t.Error(err)
	}
	if err := d.Retransfer(t.Context(), zone.MustParseName("b.test.")); !errors.Is(err, nameserver.ErrNoZone) {
		t.Error(err)
	}
	if err := d.Retransfer(t.Context(), zone.MustParseName("a.test.")); !errors.Is(err, nameserver.ErrRefused) {
		t.Errorf("retransfer of a primary: %v", err)
	}
	info, err := d.Info(t.Context())
	if err != nil || !strings.HasPrefix(info.Version, "BIND 9") || info.Identity == "" {
		t.Errorf("%+v, %v", info, err)
	}
}
