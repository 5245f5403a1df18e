package bind

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/secret"
	"dnsctl/testbed"
	"dnsctl/zone"
)

func request(t testing.TB, address, control, stats, dir string, keys ...nameserver.KeyConfig) nameserver.ConfigRequest {
	t.Helper()
	credential, err := New().NewCredential()
	if err != nil {
		t.Fatal(err)
	}
	return nameserver.ConfigRequest{
		Server:     fleet.Server{Name: "ns \"1\"\n; };", Address: netip.MustParseAddrPort(address), Control: control, Stats: stats, New: true},
		Credential: credential,
		Keys:       keys,
		Primaries:  []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:53"), netip.MustParseAddrPort("127.0.0.1:54")},
		ProbeFrom:  []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")},
		Dir:        dir,
	}
}

// writeFiles puts a configuration on disk and returns its text without secrets.
func writeFiles(t testing.TB, dir string, files []nameserver.File) string {
	t.Helper()
	var open strings.Builder
	for _, f := range files {
		if f.Secret && f.Mode&0o007 != 0 {
			t.Errorf("%s: mode %o", f.Path, f.Mode)
		}
		if !f.Secret {
			open.Write(f.Content)
		}
		path := filepath.Join(dir, f.Path)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, f.Content, os.FileMode(f.Mode)); err != nil {
			t.Fatal(err)
		}
	}
	return open.String()
}

func TestAGeneratedServerRunsAndTakesZones(t *testing.T) {
	t.Parallel()
	r := newRig(t, []string{"a.test."}, testbed.NamedOptions{})
	dns, control, stats := testbed.FreeAddr(t), testbed.FreeAddr(t), testbed.FreeAddr(t)
	dir := t.TempDir()
	req := request(t, dns, "rndc://"+control, "http://"+stats, dir, nameserver.KeyConfig{
		Name: zone.MustParseName("pool."), Algorithm: zone.MustParseName("hmac-sha256."), Secret: secret.New(r.secretOctets(t))})
	files, err := New().Config(req)
	if err != nil {
		t.Fatal(err)
	}
	open := writeFiles(t, dir, files)
	if checked, err := New().CheckConfig(t.Context(), dir); !checked || err != nil {
		t.Fatal(checked, err)
	}
	if strings.Contains(open, r.secret) || bytes.Contains([]byte(open), req.Credential.Reveal()) {
		t.Error("a secret stands in a file that anyone may read")
	}
	r.named = testbed.StartNamed(t, testbed.NamedOptions{ConfigFile: filepath.Join(dir, configFile), Addr: dns, ControlAddr: control, StatsAddr: stats})
	d, err := New().Open(nameserver.Target{Server: req.Server, Credential: req.Credential, Transfer: r.axfr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	r.driver = d.(*driver)
	if list := r.inventory(t, r.driver); len(list) != 0 {
		t.Errorf("it has zones of its own: %v", list)
	}
	r.add(t, "a.test.")
	if _, err := r.Export(t.Context(), zone.MustParseName("a.test.")); err != nil {
		t.Error(err)
	}
	if log, err := os.ReadFile(filepath.Join(dir, dataFolder, "named.log")); err != nil || strings.Contains(string(log), "not writable") {
		t.Errorf("%v: %s", err, log)
	}
}

func TestConfigurationsOfManyShapesPassTheCheck(t *testing.T) {
	t.Parallel()
	key := func(name, algorithm string) nameserver.KeyConfig {
		return nameserver.KeyConfig{Name: zone.MustParseName(name), Algorithm: zone.MustParseName(algorithm), Secret: secret.New([]byte("0123456789abcdef"))}
	}
	for what, change := range map[string]func(*nameserver.ConfigRequest){
		"defaults":     func(r *nameserver.ConfigRequest) { r.Server.Control, r.Server.Stats = "", "" },
		"IPv6":         func(r *nameserver.ConfigRequest) { r.Server.Address = netip.MustParseAddrPort("[::1]:5300") },
		"no probes":    func(r *nameserver.ConfigRequest) { r.ProbeFrom = nil },
		"no primaries": func(r *nameserver.ConfigRequest) { r.Primaries, r.ProbeFrom = nil, nil },
		"many keys": func(r *nameserver.ConfigRequest) {
			r.Keys = append(r.Keys, key("a.b.", "hmac-sha512."), key(`we\"ird\;.`, "HMAC-SHA256."), key("old.", "hmac-sha1."))
		},
	} {
		dir := t.TempDir()
		r := request(t, "127.0.0.1:5300", "rndc://127.0.0.1:9530", "http://[::1]:8053", dir)
		change(&r)
		files, err := New().Config(r)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		open := writeFiles(t, dir, files)
		if checked, err := New().CheckConfig(t.Context(), dir); !checked || err != nil {
			t.Errorf("%s: %v, %v", what, checked, err)
		}
		for line := range strings.Lines(string(files[0].Content)) {
			if strings.HasPrefix(strings.TrimSpace(line), "zone ") {
				t.Errorf("%s: it declares a zone: %s", what, line)
			}
		}
		if strings.Contains(open, "allow-transfer { none; }") != (what == "no primaries") || strings.Contains(open, "allow-transfer { any") {
			t.Errorf("%s: transfers: %s", what, open)
		}
		if !strings.Contains(open, "allow-new-zones yes") {
			t.Errorf("%s: no zones can be added", what)
		}
	}
}

func TestDebiansLayoutKeepsZonesWhereNamedMayWrite(t *testing.T) {
	t.Parallel()
	files, err := New().Config(request(t, "192.0.2.1:53", "", "", "/etc/bind"))
	if err != nil || len(files) != 3 || !strings.Contains(string(files[0].Content), `directory "/var/cache/bind"`) {
		t.Errorf("%v, %v", files, err)
	}
}

func TestConfigRequestsThatCannotBeAreRefused(t *testing.T) {
	t.Parallel()
	for what, change := range map[string]func(*nameserver.ConfigRequest){
		"relative folder":   func(r *nameserver.ConfigRequest) { r.Dir = "x" },
		"quote in folder":   func(r *nameserver.ConfigRequest) { r.Dir = `/x"` },
		"a view":            func(r *nameserver.ConfigRequest) { r.Server.View = "v" },
		"no address":        func(r *nameserver.ConfigRequest) { r.Server.Address = netip.AddrPort{} },
		"no credential":     func(r *nameserver.ConfigRequest) { r.Credential = secret.Plain{} },
		"https statistics":  func(r *nameserver.ConfigRequest) { r.Server.Stats = "https://127.0.0.1:1" },
		"control by name":   func(r *nameserver.ConfigRequest) { r.Server.Control = "rndc://localhost:953" },
		"control with path": func(r *nameserver.ConfigRequest) { r.Server.Control = "rndc://127.0.0.1:953/x" },
		"control port":      func(r *nameserver.ConfigRequest) { r.Server.Control = "rndc://127.0.0.1:99999" },
		"key algorithm": func(r *nameserver.ConfigRequest) {
			r.Keys = []nameserver.KeyConfig{{Name: zone.MustParseName("k."), Algorithm: zone.MustParseName("rot13."), Secret: secret.New([]byte("x"))}}
		},
	} {
		r := request(t, "127.0.0.1:5300", "rndc://127.0.0.1:9530", "http://127.0.0.1:8053", t.TempDir())
		change(&r)
		if _, err := New().Config(r); err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
	for _, view := range []string{"_bind", "a b", `a"b`, "a;b", "a/*b"} {
		if err := New().Check(fleet.Server{Address: netip.MustParseAddrPort("127.0.0.1:53"), View: view}); err == nil {
			t.Errorf("view %q accepted", view)
		}
	}
	if err := New().Check(fleet.Server{Address: netip.MustParseAddrPort("127.0.0.1:53")}); err != nil {
		t.Error(err)
	}
}

func TestAFaultyConfigurationIsReported(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, configFile), []byte("options { bogus yes; };\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if checked, err := New().CheckConfig(t.Context(), dir); !checked || err == nil || !strings.Contains(err.Error(), "bogus") {
		t.Error(checked, err)
	}
}
