package bind

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"dnsctl/nameserver"
	"dnsctl/testbed"
	"dnsctl/zone"
)

const ownText = "$TTL 60\n@ SOA ns.invalid. h.invalid. 3 3600 3600 86400 60\n@ NS ns.invalid.\n@ A 127.0.0.9\n"

// address asks for the A record of a name.
func address(t *testing.T, server, name string) string {
	t.Helper()
	q := new(dns.Msg)
	q.SetQuestion(name, dns.TypeA)
	a, err := dns.Exchange(q, server)
	if err != nil {
		t.Fatal(err)
	}
	for _, rr := range a.Answer {
		if a, ok := rr.(*dns.A); ok {
			return a.A.String()
		}
	}
	return dns.RcodeToString[a.Rcode]
}

func (r *rig) write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(r.named.Dir, file), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAPrimaryBecomesASecondaryOnItsOwnContent(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil, testbed.NamedOptions{}) // the primary does not have the zone yet
	r.write(t, "own.zone", ownText)
	r.rndc(t, `addzone a.test { type primary; file "own.zone"; };`)
	if err := r.Change(t.Context(), r.config("a.test.", "1")); err != nil {
		t.Fatal(err)
	}
	s, err := r.Zone(t.Context(), zone.MustParseName("a.test."))
	if err != nil || s.Role != nameserver.Secondary || s.Serial == nil || *s.Serial != 3 {
		t.Errorf("%+v, %v", s, err)
	}
	if a := address(t, r.named.Addr, "a.test."); a != "127.0.0.9" {
		t.Errorf("answers %s", a)
	}
	r.named.Restart(t)
	if s, err := r.Zone(t.Context(), zone.MustParseName("a.test.")); err != nil || s.Role != nameserver.Secondary {
		t.Errorf("after a restart: %+v, %v", s, err)
	}
}

func TestACopyIsRestoredWithItsSettings(t *testing.T) {
	t.Parallel()
	name := zone.MustParseName("a.test.")
	for what, c := range map[string]struct {
		settings string
		left     string // what the settings' file holds beforehand
		role     nameserver.Role
		file     string // what it holds afterwards; "" leaves that unchecked
		ours     bool   // the zone's file has one of our names
	}{
		"primary whose file is gone": {`zone "a.test" { type primary; file "own.zone"; allow-update { key "pool"; }; };`, "", nameserver.Primary, "127.0.0.1", false},
		"primary whose file is still there": {`zone "a.test" { type primary; file "own.zone"; };`,
			zoneText, nameserver.Primary, zoneText, false},
		"primary whose file holds something else": {`zone "a.test" { type primary; file "own.zone"; };`, ownText, nameserver.Primary, ownText, true},
		"primary in raw format":                   {`zone "a.test" { type primary; file "own.zone"; masterfile-format raw; };`, "", nameserver.Primary, "", false},
		"secondary of others":                     {`zone "a.test" { type slave; file "x.db"; masters { 127.0.0.1 port 1; }; };`, "", nameserver.Secondary, "", true},
		"secondary without a file":                {`zone "a.test" { type secondary; primaries { 127.0.0.1 port 1; }; };`, "", nameserver.Secondary, "", true},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, []string{"a.test."}, testbed.NamedOptions{})
			r.add(t, "a.test.")
			if c.left != "" {
				r.write(t, "own.zone", c.left)
			}
			if err := r.Convert(t.Context(), name, c.settings); err != nil {
				t.Fatal(err)
			}
			s, err := r.look(t.Context(), name)
			if err != nil || s.Role != c.role || s.Serial == nil || *s.Serial != 7 || s.Origin != nameserver.Runtime {
				t.Errorf("%+v, %v", s, err)
			}
			if ours := strings.Contains(s.file, filePrefix); ours != c.ours {
				t.Errorf("its file is %q", s.file)
			}
			if a := address(t, r.named.Addr, "a.test."); a != "127.0.0.1" {
				t.Errorf("answers %s", a)
			}
			if text, err := os.ReadFile(filepath.Join(r.named.Dir, "own.zone")); c.file != "" && (err != nil || !strings.Contains(string(text), c.file)) {
				t.Errorf("the file holds %q, %v", text, err)
			}
			r.primary.Stop(t)
			r.named.Restart(t)
			if a := address(t, r.named.Addr, "a.test."); a != "127.0.0.1" {
				t.Errorf("answers %s after a restart", a)
			}
			if err := r.Delete(t.Context(), name); err != nil {
				t.Errorf("delete it again: %v", err)
			}
		})
	}
}

func TestSettingsThatCannotBeRestoredLeaveTheZoneAsItWas(t *testing.T) {
	t.Parallel()
	name := zone.MustParseName("a.test.")
	r := newRig(t, []string{"a.test."}, testbed.NamedOptions{})
	r.add(t, "a.test.")
	for what, c := range map[string]struct {
		settings string
		want     error
	}{
		"signed there":     {`zone "a.test" { type primary; file "f"; dnssec-policy "default"; };`, nameserver.ErrUntouchable},
		"another zone":     {`zone "b.test" { type primary; file "f"; };`, nameserver.ErrRefused},
		"another type":     {`zone "a.test" { type forward; forwarders { 127.0.0.1; }; };`, nameserver.ErrUntouchable},
		"refused by named": {`zone "a.test" { type primary; file "f"; allow-query { "nosuchacl"; }; };`, nameserver.ErrRefused},
		"no settings":      {``, errSyntax},
	} {
		if err := r.Convert(t.Context(), name, c.settings); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", what, err)
		}
		r.wait(t, "a.test.", func(s nameserver.ZoneState) bool {
			return s.Role == nameserver.Secondary && s.Serial != nil && *s.Serial == 7
		})
		if a := address(t, r.named.Addr, "a.test."); a != "127.0.0.1" {
			t.Errorf("%s: answers %s", what, a)
		}
	}
	if err := r.Convert(t.Context(), zone.MustParseName("none.test."), `zone "none.test" { type primary; file "f"; };`); !errors.Is(err, nameserver.ErrNoZone) {
		t.Error(err)
	}
}
