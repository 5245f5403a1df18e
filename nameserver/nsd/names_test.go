package nsd

import (
	"errors"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/zone"
)

func mustAddr(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func TestNamesOfFilesAreHarmless(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		".": ".", "Plain.Test.": "plain.test", `a\.b.test.`: `a\046b.test`, `\.\./\.\./up.`: `\046\046\047\046\046\047up`,
		`sp\032ace.`: `sp\032ace`, `new\010line.`: `new\010line`, `\004.`: `\004`, "per%s.": `per\037s`, `\000.`: `\000`, "-v_1.": "-v_1",
	} {
		if got := typed(zone.MustParseName(name)); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	long := zone.MustParseName(strings.Repeat(`\001`, 60) + ".a234567.")
	if err := New().CanHold(long); err != nil || len(typed(long)) != 248 {
		t.Errorf("%d: %v", len(typed(long)), err)
	}
	for _, n := range []zone.Name{zone.MustParseName(strings.Repeat(`\001`, 60) + ".a23456789."), "\x05ab", ""} {
		if err := New().CanHold(n); !errors.Is(err, nameserver.ErrBadName) {
			t.Errorf("%q: %v", n, err)
		}
	}
}

func TestEachLifeOfAZoneHasItsFile(t *testing.T) {
	t.Parallel()
	name := zone.MustParseName(`www.a\.b.example.com.`)
	seen := map[string]bool{}
	for _, life := range []string{"", "1", "2", "3", "01HZX", "01HZY"} {
		text := spelled(name, life)
		if seen[text] {
			t.Errorf("two lives are %s", text)
		}
		seen[text] = true
		if n, err := zone.ParseName(text); err != nil || !n.Equal(name) {
			t.Errorf("%s is %s, %v", text, n, err)
		}
		if text != spelled(name, life) {
			t.Errorf("life %q is not always %s", life, text)
		}
	}
	if got := spelled(zone.Root, "1"); got != "." {
		t.Error(got)
	}
}

func patterns() []nameserver.ZoneConfig {
	key := func(s string) zone.Name { return zone.MustParseName(s) }
	return []nameserver.ZoneConfig{
		{Primaries: []nameserver.PrimaryRef{{Addr: mustAddr("192.0.2.1:53")}}},
		{Primaries: []nameserver.PrimaryRef{{Addr: mustAddr("192.0.2.1:5300"), Key: key("eu.")}, {Addr: mustAddr("[2001:db8::1]:53"), Key: key(`od\/d\,\032.key.`)}}},
		{Primaries: []nameserver.PrimaryRef{{Addr: mustAddr("192.0.2.1:853"), TLS: "dnsctl-a/b, c"}, {Addr: mustAddr("192.0.2.2:853"), Key: key("eu."), TLS: "dnsctl-eu"}}, Limited: true},
	}
}

func TestPatternsSayInTheirNamesWhatIsInThem(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	for _, z := range patterns() {
		name := patternName(z)
		refs, ok := readPattern(name)
		if !ok || !slices.Equal(refs, z.Primaries) || strings.ContainsAny(name, " \"\n") || names[name] {
			t.Errorf("%s: %+v, %v", name, refs, ok)
		}
		names[name] = true
		limited := z
		limited.Limited = !z.Limited
		if patternName(limited) == name {
			t.Errorf("%s is limited and is not", name)
		}
	}
	if got := patternName(patterns()[1]); got != `dnsctl/192.0.2.1@5300/eu.,2001:db8::1@53/od\047d\044\032.key.` {
		t.Error(got)
	}
	for _, name := range []string{"", "own", "dnsctl/", "dnsctl/x@53", "dnsctl/192.0.2.1", "dnsctl/192.0.2.1@0", "dnsctl/192.0.2.1@53/a../", "dnsctl/192.0.2.1@53/k./t/x", `dnsctl/192.0.2.1@53//\9`, "dnsctl/fe80::1%eth0@53"} {
		if refs, ok := readPattern(name); ok {
			t.Errorf("%q is read as %+v", name, refs)
		}
	}
}

func FuzzPattern(f *testing.F) {
	for _, z := range patterns() {
		f.Add(patternName(z))
	}
	f.Add("dnsctl/192.0.2.1@1/.")
	f.Fuzz(func(t *testing.T, name string) {
		refs, ok := readPattern(name)
		if !ok {
			return
		}
		again, ok := readPattern(patternName(nameserver.ZoneConfig{Primaries: refs}))
		if !ok || !slices.Equal(again, refs) {
			t.Errorf("%q is %+v and then %+v", name, refs, again)
		}
	})
}

func TestControlURLs(t *testing.T) {
	t.Parallel()
	addr := mustAddr("192.0.2.53:53")
	for url, want := range map[string]endpoint{
		"":                           {addr: mustAddr("192.0.2.53:8952")},
		"tls://192.0.2.9:1":          {addr: mustAddr("192.0.2.9:1")},
		"tls://[2001:db8::1]":        {addr: mustAddr("[2001:db8::1]:8952")},
		"unix:/run/nsd/nsd.ctl":      {path: "/run/nsd/nsd.ctl"},
		"unix:///run//nsd/./nsd.ctl": {path: "/run/nsd/nsd.ctl"},
	} {
		if got, err := controlOf(fleet.Server{Address: addr, Control: url}); err != nil || got != want {
			t.Errorf("%q: %+v, %v", url, got, err)
		}
	}
	for _, url := range []string{"rndc://192.0.2.9:1", "tls://host:1", "tls://192.0.2.9:0", "tls://192.0.2.9:99999", "tls://me@192.0.2.9:1", "tls://192.0.2.9:1/x",
		"unix:run/nsd.ctl", "unix:", "unix:/a\"b", "unix:/" + strings.Repeat("x", 107), "://"} {
		if got, err := controlOf(fleet.Server{Address: addr, Control: url}); err == nil || !strings.Contains(err.Error(), "want tls://IP:PORT or unix:PATH") {
			t.Errorf("%q: %+v, %v", url, got, err)
		}
	}
	for what, s := range map[string]fleet.Server{"a view": {Address: addr, View: "v"}, "statistics": {Address: addr, Stats: "http://192.0.2.9"}, "no address": {}} {
		if _, err := controlOf(s); !errors.Is(err, errEndpoint) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

var secretBlock = regexp.MustCompile(`(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----\n`)

func TestCredentialsAreReadInAnyOrderAndNeverShown(t *testing.T) {
	t.Parallel()
	made, err := New().NewCredential()
	if err != nil {
		t.Fatal(err)
	}
	c, err := readCredential(made.Reveal())
	if err != nil || c.serverKey == nil {
		t.Fatal(err)
	}
	server, serverKey, control, controlKey := string(certPEM(c.server)), string(keyPEM(c.serverKey)), string(certPEM(c.control)), string(keyPEM(c.controlKey))
	for _, text := range []string{server + control + controlKey, controlKey + "\n\n" + control + server, control + server + serverKey + controlKey} {
		got, err := New().ReadCredential([]byte(text))
		if err != nil {
			t.Error(err)
			continue
		}
		read, err := readCredential(got.Reveal())
		if err != nil || !read.server.Equal(c.server) || !read.control.Equal(c.control) || read.serverKey != nil {
			t.Errorf("%v: server's key kept: %v", err, read.serverKey != nil)
		}
	}
	other, err := newCredential()
	if err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string]string{
		"nothing": "", "no PEM": "hello", "one certificate": server + controlKey, "no key": server + control, "only the server's key": server + control + serverKey,
		"another's key": server + control + string(keyPEM(other.controlKey)), "three certificates": server + control + server + controlKey,
		"more than PEM": server + control + controlKey + "x", "a broken key": server + control + strings.Replace(controlKey, "MIG", "XXX", 1),
	} {
		_, err := New().ReadCredential([]byte(text))
		if !errors.Is(err, errCredential) {
			t.Errorf("%s: %v", what, err)
			continue
		}
		for _, key := range secretBlock.FindAllString(text, -1) {
			if strings.Contains(err.Error(), strings.Split(key, "\n")[1]) {
				t.Errorf("%s: the error shows a key", what)
			}
		}
	}
}

func FuzzReadCredential(f *testing.F) {
	made, err := New().NewCredential()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(made.Reveal())
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := New().ReadCredential(text)
		if err != nil {
			return
		}
		if _, err := New().ReadCredential(got.Reveal()); err != nil {
			t.Errorf("what was read cannot be read again: %v", err)
		}
	})
}
