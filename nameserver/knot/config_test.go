package knot

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/secret"
	"dnsctl/zone"
)

func request(dir string) nameserver.ConfigRequest {
	return nameserver.ConfigRequest{Dir: dir,
		Server:    fleet.Server{Name: `ns "1"`, Address: addr("[2001:db8::53]:53"), Control: "unix:/run/knot/knot.sock"},
		Keys:      []nameserver.KeyConfig{{Name: zone.MustParseName(`po\"ol.`), Algorithm: zone.MustParseName("hmac-sha512."), Secret: secret.New([]byte("a secret of some length"))}},
		Primaries: []netip.AddrPort{addr("192.0.2.1:53"), addr("192.0.2.1:5300"), addr("192.0.2.2:53")},
		ProbeFrom: []netip.Prefix{netip.MustParsePrefix("198.51.100.7/24")}}
}

func write(t *testing.T, dir string, files []nameserver.File) {
	t.Helper()
	for _, f := range files {
		path := filepath.Join(dir, f.Path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, f.Content, os.FileMode(f.Mode)); err != nil {
			t.Fatal(err)
		}
	}
}

// Debian's folders and another one, with names that need quoting.
func TestConfigurationsStart(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{"/etc/knot", "/srv/ns #1: x"} {
		files, err := New().Config(request(dir))
		if err != nil {
			t.Fatal(err)
		}
		at := t.TempDir()
		write(t, at, files)
		if checked, err := New().CheckConfig(t.Context(), at); !checked || err != nil {
			t.Errorf("%s: %v %v\n%s", dir, checked, err, files[0].Content)
		}
		text := string(files[0].Content)
		for _, want := range []string{"address: [ 198.51.100.0/24, 192.0.2.1, 192.0.2.2, 2001:db8::53, ::1 ]", "listen: \"2001:db8::53@53\"", "version: \"\""} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: no %s in\n%s", dir, want, text)
			}
		}
		if debian := dir == "/etc/knot"; strings.Contains(text, "user: knot:knot") != debian || strings.Contains(text, "/var/lib/knot") != debian {
			t.Errorf("%s:\n%s", dir, text)
		}
		for _, f := range files {
			if strings.Contains(string(f.Content), "YSBzZWNyZXQ") != f.Secret || f.Secret && f.Mode&0o007 != 0 {
				t.Errorf("%s: mode %o", f.Path, f.Mode)
			}
		}
	}
}

func TestConfigurationsThatCannotBe(t *testing.T) {
	t.Parallel()
	for what, change := range map[string]func(*nameserver.ConfigRequest){
		"no address":      func(r *nameserver.ConfigRequest) { r.Server.Address = netip.AddrPort{} },
		"a database":      func(r *nameserver.ConfigRequest) { r.Database = "postgres://x/y" },
		"relative":        func(r *nameserver.ConfigRequest) { r.Dir = "ns1" },
		"a quoted folder": func(r *nameserver.ConfigRequest) { r.Dir = `/a"b` },
		"an algorithm":    func(r *nameserver.ConfigRequest) { r.Keys[0].Algorithm = zone.MustParseName("hmac-x.") },
		"a control URL":   func(r *nameserver.ConfigRequest) { r.Server.Control = "rndc://192.0.2.1:953" },
	} {
		r := request("/etc/knot")
		change(&r)
		if _, err := New().Config(r); !errors.Is(err, errEndpoint) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestConfigurationsThatKnotRefuses(t *testing.T) {
	t.Parallel()
	files, err := New().Config(request("/etc/knot"))
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct{ from, to, says string }{
		"an unknown setting":      {"    nsid:", "    nsidd:", "nsidd"},
		"a module that is not so": {"address: [", "address: [ nowhere, ", "check knot.conf"},
		"a start that fails":      {"control: notice", "control: notice\n  - target: /no/such/folder/log\n    any: info\nxdp:\n    listen: nothing", "check knot.conf"},
	} {
		dir := t.TempDir()
		list := append([]nameserver.File{}, files...)
		list[0].Content = []byte(strings.Replace(string(list[0].Content), c.from, c.to, 1))
		write(t, dir, list)
		if checked, err := New().CheckConfig(t.Context(), dir); !checked || err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v %v", what, checked, err)
		}
	}
}
