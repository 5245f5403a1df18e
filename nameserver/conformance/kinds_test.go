package conformance_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/nameserver/bind"
	"dnsctl/nameserver/knot"
	"dnsctl/nameserver/nsd"
	"dnsctl/nameserver/powerdns"
	"dnsctl/secret"
	"dnsctl/testbed"
	"dnsctl/zone/zonefile"
)

func kinds() []kind {
	pdns := func(backend testbed.PowerDNSBackend) func(r *rig) running {
		return func(r *rig) running { return startPowerDNS(r.t, backend) }
	}
	return []kind{
		{name: "BIND", typ: bind.New(), start: startBIND, adopt: adoptBIND, limits: true, gap: true, ixfr: true},
		{name: "NSD", typ: nsd.New(), start: startNSD, adopt: adoptNSD, limits: true, gap: true, ixfr: true, folds: true, blind: true, wildcards: true},
		{name: "Knot DNS", typ: knot.New(), start: startKnot, adopt: adoptKnot, limits: true, ixfr: true, open: true, folds: true},
		{name: "PowerDNS on SQLite", typ: powerdns.New(), start: pdns(testbed.PowerDNSSQLite), adopt: adoptPowerDNS, folds: true, pointers: true},
		{name: "PowerDNS on PostgreSQL", typ: powerdns.New(), start: pdns(testbed.PowerDNSPostgres), adopt: adoptPowerDNS, database: newPostgres, folds: true, pointers: true},
	}
}

func mustRead(t *testing.T, k kind, file string) secret.Plain {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	credential, err := k.typ.ReadCredential(b)
	if err != nil {
		t.Fatal(err)
	}
	return credential
}

func startBIND(r *rig) running {
	t := r.t
	n := testbed.StartNamed(t, testbed.NamedOptions{AllowNewZones: true, Config: r.keyText(), Options: "allow-transfer { key pool; }; minimal-responses yes;"})
	rndc := func(t *testing.T, command string) {
		t.Helper()
		host, port, _ := strings.Cut(n.ControlAddr, ":")
		if out, err := exec.Command("rndc", "-s", host, "-p", port, "-k", n.KeyFile, command).CombinedOutput(); err != nil {
			t.Fatalf("rndc %s: %v: %s", command, err, out)
		}
	}
	files := 0
	return running{process: n, credential: mustRead(t, r.kind, n.KeyFile),
		server: fleet.Server{Name: "t", Address: netip.MustParseAddrPort(n.Addr), Control: "rndc://" + n.ControlAddr, Stats: n.StatsURL},
		own: func(t *testing.T, name, text string) {
			t.Helper()
			files++
			file := filepath.Join(n.Dir, fmt.Sprintf("own-%d.zone", files))
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			rndc(t, fmt.Sprintf("addzone %q { type primary; file %q; };", name, file))
		},
		secondary: func(t *testing.T, name, from string) {
			t.Helper()
			files++
			host, port, _ := strings.Cut(from, ":")
			rndc(t, fmt.Sprintf("addzone %q { type secondary; file \"own-%d.db\"; primaries { %s port %s; }; };", name, files, host, port))
		},
	}
}

func adoptBIND(t *testing.T, dir string, s fleet.Server) process {
	t.Helper()
	return testbed.StartNamed(t, testbed.NamedOptions{ConfigFile: filepath.Join(dir, "named.conf"), Addr: s.Address.String(),
		ControlAddr: strings.TrimPrefix(s.Control, "rndc://"), StatsAddr: strings.TrimPrefix(s.Stats, "http://")})
}

// startNSD starts one whose operator has patterns of its own.
func startNSD(r *rig) running {
	t := r.t
	key := nameserver.KeyText("nsd", "pool", "hmac-sha256", base64.StdEncoding.EncodeToString(r.key.Secret.Reveal()))
	n := testbed.StartNSD(t, testbed.NSDOptions{Config: key + "pattern:\n    name: own\n    zonefile: \"%s.own\"\n    provide-xfr: 127.0.0.1 pool\n"})
	do := func(t *testing.T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	return running{process: n, credential: nsdCredential(t, n),
		server: fleet.Server{Name: "t", Address: netip.MustParseAddrPort(n.Addr), Control: n.Control},
		own: func(t *testing.T, name, text string) {
			t.Helper()
			name = strings.TrimSuffix(name, ".")
			do(t, os.WriteFile(filepath.Join(n.Dir, name+".own"), []byte(text), 0o600))
			do(t, n.Ctl("addzone", name, "own"))
			testbed.EventuallyNil(t, patience, func() error { return answersSOA(n.Addr, name+".") }) // it reads the file when it has reloaded
		},
		secondary: func(t *testing.T, name, from string) {
			t.Helper()
			do(t, n.Patterns(fmt.Sprintf("pattern:\n    name: elsewhere\n    zonefile: \"%%s.elsewhere\"\n    request-xfr: %s NOKEY\n    provide-xfr: 127.0.0.1 pool\n", strings.Replace(from, ":", "@", 1))))
			do(t, n.Ctl("addzone", strings.TrimSuffix(name, "."), "elsewhere"))
		},
		prepare: func(text string) error {
			return n.Patterns(strings.ReplaceAll(text, "/var/lib/nsd/dnsctl", "zones") + "\n")
		},
	}
}

// startKnot starts a server whose limited zones loopback's first address may query.
func startKnot(r *rig) running {
	t := r.t
	k := testbed.StartKnot(t, testbed.KnotOptions{Config: "mod-queryacl:\n  - id: dnsctl\n    address: 192.0.2.0/24\n"})
	configure := func(t *testing.T, items ...[]string) {
		t.Helper()
		all := [][]string{{"conf-begin"}}
		for _, it := range items {
			all = append(all, append([]string{"conf-set"}, it...))
		}
		for _, args := range append(all, []string{"conf-commit"}) {
			if out, err := k.Control(args...); err != nil || strings.HasPrefix(out, "error") {
				t.Fatalf("%q: %v: %s", args, err, out)
			}
		}
	}
	files := 0
	return running{process: k, server: fleet.Server{Name: "t", Address: netip.MustParseAddrPort(k.Addr), Control: "unix:" + k.Socket},
		own: func(t *testing.T, name, text string) {
			t.Helper()
			files++
			file := filepath.Join(k.Dir, fmt.Sprintf("own-%d.zone", files))
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			item := "zone[" + name + "]"
			configure(t, []string{item}, []string{item + ".file", file})
			if _, err := k.Control("-b", "zone-reload", name); err != nil { // until it is loaded
				t.Fatal(err)
			}
		},
		secondary: func(t *testing.T, name, from string) {
			t.Helper()
			files++
			item, remote := "zone["+name+"]", fmt.Sprintf("remote[own-%d]", files)
			configure(t, []string{remote}, []string{remote + ".address", strings.Replace(from, ":", "@", 1)}, []string{item}, []string{item + ".master", strings.TrimSuffix(strings.TrimPrefix(remote, "remote["), "]")})
		},
	}
}

func answersSOA(addr, name string) error {
	got, err := ask(netip.MustParseAddrPort(addr), name, dns.TypeSOA)
	if err == nil && !strings.Contains(got, " ") {
		err = errors.New(got)
	}
	return err
}

func nsdCredential(t *testing.T, n *testbed.NSD) secret.Plain {
	t.Helper()
	var all []byte
	for _, name := range nsd.New().CredentialFiles() {
		b, err := os.ReadFile(filepath.Join(n.CertDir, name))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b...)
	}
	credential, err := nsd.New().ReadCredential(all)
	if err != nil {
		t.Fatal(err)
	}
	return credential
}

func adoptNSD(t *testing.T, dir string, s fleet.Server) process {
	t.Helper()
	return testbed.StartNSD(t, testbed.NSDOptions{ConfigFile: filepath.Join(dir, "nsd.conf"), Addr: s.Address.String(), Control: s.Control})
}

func adoptKnot(t *testing.T, dir string, s fleet.Server) process {
	t.Helper()
	database := filepath.Join(dir, "confdb")
	if err := testbed.ImportKnot(database, filepath.Join(dir, "knot.conf")); err != nil {
		t.Fatal(err)
	}
	return testbed.StartKnot(t, testbed.KnotOptions{Database: database, Addr: s.Address.String(), Socket: strings.TrimPrefix(s.Control, "unix:")})
}

func startPowerDNS(t *testing.T, backend testbed.PowerDNSBackend) running {
	t.Helper()
	p := testbed.StartPowerDNS(t, testbed.PowerDNSOptions{Backend: backend, Settings: "allow-axfr-ips=\n"})
	api := func(t *testing.T, method, path, body string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, p.APIURL+"/api/v1/servers/localhost"+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-API-Key", p.APIKey)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if said, _ := io.ReadAll(resp.Body); resp.StatusCode >= 300 {
			t.Fatalf("%s %s: %d: %s", method, path, resp.StatusCode, said)
		}
	}
	return running{process: p, credential: mustRead(t, kind{typ: powerdns.New()}, p.KeyFile),
		server: fleet.Server{Name: "t", Address: netip.MustParseAddrPort(p.Addr), Control: p.APIURL},
		own: func(t *testing.T, name, text string) {
			t.Helper()
			api(t, http.MethodPost, "/zones", ownJSON(t, name, text))
		},
		secondary: func(t *testing.T, name, from string) {
			t.Helper()
			api(t, http.MethodPost, "/zones", fmt.Sprintf(`{"name":%q,"kind":"Slave","masters":[%q]}`, name, from))
		},
	}
}

// ownJSON is a zone with its RRsets as PowerDNS's API takes them.
func ownJSON(t *testing.T, name, text string) string {
	t.Helper()
	res, err := zonefile.Read(t.Context(), strings.NewReader(text), zonefile.Options{Origin: parse(name), File: "own"})
	if err != nil {
		t.Fatal(err)
	}
	var sets []string
	for set := range res.Snapshot.All() {
		var records []string
		for data := range set.Data.All() {
			records = append(records, fmt.Sprintf(`{"content":%q}`, zonefile.RdataText(set.Type, data)))
		}
		sets = append(sets, fmt.Sprintf(`{"name":%q,"type":%q,"ttl":%d,"records":[%s]}`, set.Owner, set.Type, set.TTL, strings.Join(records, ",")))
	}
	return fmt.Sprintf(`{"name":%q,"kind":"Native","soa_edit_api":"","rrsets":[%s]}`, name, strings.Join(sets, ","))
}

func newPostgres(t *testing.T) string {
	t.Helper()
	return testbed.StartPostgres(t, testbed.PostgresOptions{NoFsync: true}).NewDatabase(t)
}

// makeTables does what the README says of a database: the password goes into its
// file, and the tables are made.
func makeTables(t *testing.T, dir, database string) {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	password, _ := u.User.Password()
	file := filepath.Join(dir, "data", "pgpass")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	line := strings.Replace(strings.TrimPrefix(lines[len(lines)-1], "#"), "PASSWORD", password, 1)
	if err := os.WriteFile(file, []byte(line+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile(filepath.Join(dir, "README"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(readme)) {
		if strings.Contains(line, " psql ") {
			if out, err := exec.Command("sh", "-c", line).CombinedOutput(); err != nil {
				t.Fatalf("%s: %v: %s", line, err, out)
			}
			return
		}
	}
	t.Errorf("the README does not say how to make the tables:\n%s", readme)
}

func adoptPowerDNS(t *testing.T, dir string, s fleet.Server) process {
	t.Helper()
	return testbed.StartPowerDNS(t, testbed.PowerDNSOptions{ConfigFile: filepath.Join(dir, "pdns.conf"), Addr: s.Address.String(), APIAddr: strings.TrimPrefix(s.Control, "http://")})
}

// withoutPassword is the URL of a database as it is told to a type.
func withoutPassword(t *testing.T, database string) string {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.User(u.User.Username())
	return u.String()
}
