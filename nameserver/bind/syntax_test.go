package bind

import (
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"dnsctl/nameserver"
	"dnsctl/zone"
)

func TestZoneStatementsAreRead(t *testing.T) {
	t.Parallel()
	ref := func(addr, key string) nameserver.PrimaryRef {
		r := nameserver.PrimaryRef{Addr: netip.MustParseAddrPort(addr)}
		if key != "" {
			r.Key = zone.MustParseName(key)
		}
		return r
	}
	for name, c := range map[string]struct {
		text      string
		kind      string
		file      string
		primaries []nameserver.PrimaryRef
		known     bool
		signs     bool
	}{
		"ours": {`zone "a.test" { type secondary; file "x.db"; primaries { 127.0.0.1 port 5300 key "K.x"; ::1 port 53; }; };`,
			"secondary", "x.db", []nameserver.PrimaryRef{ref("127.0.0.1:5300", "k.x"), ref("[::1]:53", "")}, true, false},
		"old words": {`zone "a.test" IN { type slave; masters port 5353 { 192.0.2.1; 192.0.2.2 port 54; }; };`,
			"secondary", "", []nameserver.PrimaryRef{ref("192.0.2.1:5353", ""), ref("192.0.2.2:54", "")}, true, false},
		"named list": {`zone "a.test" { type secondary; primaries { "ours"; }; };`, "secondary", "", nil, false, false},
		"primary":    {`zone "a.test" { type primary; file "db \"x\" y"; };`, "primary", `db "x" y`, nil, true, false},
		"signed":     {`zone "a.test" { type primary; file "f"; dnssec-policy "default"; inline-signing yes; };`, "primary", "f", nil, true, true},
		"not signed": {`zone "a.test" { type primary; file "f"; dnssec-policy "none"; };`, "primary", "f", nil, true, false},
		"comments":   {"# x\nzone /* y */ \"a.test\" { // z\ntype primary; file \"f\"; };", "primary", "f", nil, true, false},
	} {
		s, err := parseSettings(c.text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		primaries, known := s.primaries()
		if s.name.String() != "a.test." || s.kind != c.kind || s.word("file") != c.file || s.signs() != c.signs || known != c.known || !reflect.DeepEqual(primaries, c.primaries) {
			t.Errorf("%s: %+v, %v %v", name, s, primaries, known)
		}
		again, err := parseSettings(`zone "a.test" ` + s.text())
		if err != nil || !reflect.DeepEqual(again, s) {
			t.Errorf("%s: written back: %v, %v", name, again, err)
		}
	}
}

func TestWhatIsNoZoneStatementIsRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "zone", `zone "a" { type primary }`, `zone "a" { type primary;`, `zone "a { type primary; };`, `zone "a" { file "x"; };`,
		`zone "a..b" { type primary; };`, `zone "a" { type primary; }; zone "b" { type primary; };`, `}`, `zone "a" { type primary; }; }`,
		strings.Repeat("a {", 1000), `zone "a" { /* `, `zone "a" { } { };`, `view "a" { type primary; };`,
	} {
		if _, err := parseSettings(text); !errors.Is(err, errSyntax) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzParseSettings(f *testing.F) {
	f.Add(`zone "a.test" { type secondary; file "x.db"; primaries port 1 { 127.0.0.1 port 5300 key "k"; "l"; }; };`)
	f.Add(`a { b "c\"d\\"; } e { f; } /* g */ # h`)
	f.Fuzz(func(t *testing.T, text string) {
		if s, err := parseSettings(text); err == nil {
			s.primaries()
		}
		_, _ = readKey([]byte(text))
		_, _ = readKeys(text, "_default")
		list, err := parseConfig(text)
		if err != nil {
			return
		}
		var b strings.Builder
		appendStatements(&b, list)
		again, err := parseConfig(b.String())
		if err != nil || len(again) != len(list) {
			t.Fatalf("%q written back as %q: %v", text, b.String(), err)
		}
	})
}

func TestKeyFilesAreReadAndNeverShown(t *testing.T) {
	t.Parallel()
	good := "# comment\nkey \"rndc-key\" {\n\talgorithm hmac-sha512;\n\tsecret \"c2VjcmV0\";\n};\n"
	k, err := readKey([]byte(good))
	if err != nil || k.name != "rndc-key" || k.algorithm.name != "hmac-sha512" || string(k.secret) != "secret" {
		t.Fatalf("%+v, %v", k, err)
	}
	again, err := readKey([]byte(k.text()))
	if err != nil || again.name != k.name || string(again.secret) != string(k.secret) {
		t.Errorf("written back: %v", err)
	}
	for _, bad := range []string{
		"", "c2VjcmV0", `key "k" { secret "c2VjcmV0"; };`, `key "k" { algorithm hmac-sha256; };`,
		`key "k" { algorithm rot13; secret "c2VjcmV0"; };`, `key "k" { algorithm hmac-sha256; secret "c2VjcmV0!"; };`, `key "k" { secret "c2VjcmV0`,
	} {
		_, err := readKey([]byte(bad))
		if !errors.Is(err, errKeyFile) {
			t.Errorf("%q: %v", bad, err)
		} else if strings.Contains(err.Error(), "c2VjcmV0") {
			t.Errorf("the error shows the secret: %v", err)
		}
	}
}

func TestNamesAreQuotedAndFileNamesSafe(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		".":                      `"."`,
		"Example.ORG.":           `"example.org"`,
		`a\.b.example.`:          `"a\046b.example"`,
		`sp\032ace.example.`:     `"sp\032ace.example"`,
		`q\"uote.example.`:       `"q\034uote.example"`,
		`semi\;}.example.`:       `"semi\059\125.example"`,
		`0/25.2.0.192.in-addr.`:  `"0\04725.2.0.192.in-addr"`,
		`back\\slash.`:           `"back\092slash"`,
		`\195\164.\000.example.`: `"\195\164.\000.example"`,
		`*.wild.example.`:        `"\042.wild.example"`,
	} {
		n := zone.MustParseName(text)
		if got := nameText(n); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	seen := map[string]string{}
	for _, text := range []string{".", "a.b.", `a\.b.`, `a/b.`, `a\000b.`, `\.\./\.\./etc/passwd.`, strings.Repeat("a.", 120), `Ü.`, `-.`} {
		n := zone.MustParseName(text)
		for _, incarnation := range []string{"", "1", "1"} {
			f := fileName(n, incarnation)
			if strings.Trim(f, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" || len(f) > 120 || !ownFile(f) {
				t.Errorf("%s: file name %q", text, f)
			}
			if other, ok := seen[f]; ok {
				t.Errorf("%s and %s share %q", text, other, f)
			}
			seen[f] = text + incarnation
		}
	}
	if ownFile("/etc/dnsctl-x") || ownFile("dnsctl-/../x") || ownFile("example.db") {
		t.Error("a foreign file passes for ours")
	}
}
