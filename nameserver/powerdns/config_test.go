package powerdns

import (
	"bytes"
	"compress/gzip"
	"database/sql"
	"flag"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	_ "github.com/lib/pq"
	_ "modernc.org/sqlite" // makes the database that Config ships

	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/secret"
	"dnsctl/testbed"
	"dnsctl/zone"
)

func TestMain(m *testing.M) { os.Exit(testbed.Main(m)) }

var update = flag.Bool("update", false, "make empty.sqlite3.gz from schema.sql")

// shape is a database's tables and indexes, as SQL.
func shape(t *testing.T, file string, statements ...string) []string {
	t.Helper()
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			t.Fatal(err)
		}
	}
	return texts(t, db, "SELECT name || ' ' || COALESCE(sql, '') FROM sqlite_schema ORDER BY name")
}

// texts is the first column of what the query yields.
func texts(t *testing.T, db *sql.DB, query string) []string {
	t.Helper()
	rows, err := db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var list []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		list = append(list, s)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return list
}

func TestTheEmptyDatabaseIsThatOfTheSchema(t *testing.T) {
	t.Parallel()
	schema, err := os.ReadFile("schema.sql")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	fresh, shipped := filepath.Join(dir, "fresh"), filepath.Join(dir, "shipped")
	want := shape(t, fresh, string(schema), "VACUUM")
	if *update {
		content, err := os.ReadFile(fresh)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		if _, err := z.Write(content); err != nil || z.Close() != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("empty.sqlite3.gz", b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		emptyDatabase = b.Bytes()
	}
	content, err := unzip(emptyDatabase)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(shipped, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := shape(t, shipped); len(got) < 10 || !slices.Equal(got, want) {
		t.Errorf("the shipped database has %q, schema.sql makes %q: run with -update", got, want)
	}
}

func request(t testing.TB, address, control, dir string, keys ...nameserver.KeyConfig) nameserver.ConfigRequest {
	t.Helper()
	credential, err := New().NewCredential()
	if err != nil {
		t.Fatal(err)
	}
	return nameserver.ConfigRequest{
		Server:     fleet.Server{Name: "ns \"1\"\n# api-key=x", Address: netip.MustParseAddrPort(address), Control: control, New: true},
		Credential: credential,
		Keys:       keys,
		Primaries:  []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:53"), netip.MustParseAddrPort("127.0.0.1:54")},
		ProbeFrom:  []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")},
		Dir:        dir,
	}
}

// write puts a configuration on disk.
func write(t testing.TB, dir string, files []nameserver.File) {
	t.Helper()
	for _, f := range files {
		if f.Secret && f.Mode&0o007 != 0 {
			t.Errorf("%s: mode %o", f.Path, f.Mode)
		}
		path := filepath.Join(dir, f.Path)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, f.Content, os.FileMode(f.Mode)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestConfigurationsOfManyShapesStart(t *testing.T) {
	t.Parallel()
	for what, change := range map[string]func(*nameserver.ConfigRequest){
		"defaults":     func(*nameserver.ConfigRequest) {},
		"IPv6":         func(r *nameserver.ConfigRequest) { r.Server.Address = netip.MustParseAddrPort("[::1]:5300") },
		"IPv6 control": func(r *nameserver.ConfigRequest) { r.Server.Control = "http://[::1]:8081" },
		"no control":   func(r *nameserver.ConfigRequest) { r.Server.Control = "" },
		"no primaries": func(r *nameserver.ConfigRequest) { r.Primaries, r.ProbeFrom = nil, nil },
		"a key": func(r *nameserver.ConfigRequest) {
			r.Keys = []nameserver.KeyConfig{{Name: zone.MustParseName("k."), Algorithm: zone.MustParseName("hmac-sha256."), Secret: secret.New([]byte("secret in no file"))}}
		},
		"Debian": func(r *nameserver.ConfigRequest) { r.Dir = "/etc/powerdns" },
		"PostgreSQL": func(r *nameserver.ConfigRequest) {
			r.Database = "postgres://pdns@[2001:db8::1]:5433/zones?sslmode=verify-full&sslrootcert=/etc/ca.pem"
		},
		"PostgreSQL nearby": func(r *nameserver.ConfigRequest) {
			r.Database = "postgres://pdns@/zones?host=/run/postgresql"
			r.Dir = "/etc/powerdns"
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			r := request(t, "127.0.0.1:5300", "http://127.0.0.1:8081", dir)
			change(&r)
			files, err := New().Config(r)
			if err != nil {
				t.Fatal(err)
			}
			write(t, dir, files)
			if checked, err := New().CheckConfig(t.Context(), dir); !checked || err != nil {
				t.Errorf("%v, %v:\n%s", checked, err, files[0].Content)
			}
			text := string(files[0].Content)
			if open := strings.Contains(text, "allow-axfr-ips=\n"); open != (what == "a key" || what == "no primaries") {
				t.Errorf("transfers out:\n%s", text)
			}
			if strings.Contains(text, "secret in") || strings.Contains(text, "0.0.0.0") || strings.Count(text, "\napi-key=") != 1 {
				t.Errorf("%s", text)
			}
			for _, f := range files[1:] {
				if bytes.Contains(f.Content, r.Credential.Reveal()) {
					t.Errorf("a secret in %s", f.Path)
				}
			}
		})
	}
}

func TestConfigRequestsThatCannotBeAreRefused(t *testing.T) {
	t.Parallel()
	for what, change := range map[string]func(*nameserver.ConfigRequest){
		"a password":        func(r *nameserver.ConfigRequest) { r.Database = "postgres://pdns:secret-word@127.0.0.1/zones" },
		"another database":  func(r *nameserver.ConfigRequest) { r.Database = "mysql://pdns@127.0.0.1/zones" },
		"no user":           func(r *nameserver.ConfigRequest) { r.Database = "postgres://127.0.0.1/zones" },
		"no host":           func(r *nameserver.ConfigRequest) { r.Database = "postgres://pdns@/zones" },
		"no database":       func(r *nameserver.ConfigRequest) { r.Database = "postgres://pdns@127.0.0.1/" },
		"two words":         func(r *nameserver.ConfigRequest) { r.Database = "postgres://pdns@127.0.0.1/zones%20user=postgres" },
		"a new line":        func(r *nameserver.ConfigRequest) { r.Database = "postgres://pdns@127.0.0.1/zones%0Alaunch=pipe" },
		"options":           func(r *nameserver.ConfigRequest) { r.Database = "postgres://pdns@127.0.0.1/zones?options=-c" },
		"relative folder":   func(r *nameserver.ConfigRequest) { r.Dir = "x" },
		"# in folder":       func(r *nameserver.ConfigRequest) { r.Dir = "/x #" },
		"long folder":       func(r *nameserver.ConfigRequest) { r.Dir = "/" + strings.Repeat("x", 100) },
		"a view":            func(r *nameserver.ConfigRequest) { r.Server.View = "v" },
		"statistics":        func(r *nameserver.ConfigRequest) { r.Server.Stats = "http://127.0.0.1:1" },
		"no address":        func(r *nameserver.ConfigRequest) { r.Server.Address = netip.AddrPort{} },
		"no credential":     func(r *nameserver.ConfigRequest) { r.Credential = secret.Plain{} },
		"TLS of its own":    func(r *nameserver.ConfigRequest) { r.Server.Control = "https://127.0.0.1:8081" },
		"control by name":   func(r *nameserver.ConfigRequest) { r.Server.Control = "http://localhost:8081" },
		"control with path": func(r *nameserver.ConfigRequest) { r.Server.Control = "http://127.0.0.1:8081/x" },
		"control port":      func(r *nameserver.ConfigRequest) { r.Server.Control = "http://127.0.0.1:99999" },
		"control of BIND":   func(r *nameserver.ConfigRequest) { r.Server.Control = "rndc://127.0.0.1:953" },
	} {
		r := request(t, "127.0.0.1:5300", "http://127.0.0.1:8081", t.TempDir())
		change(&r)
		if _, err := New().Config(r); err == nil || strings.Contains(err.Error(), "secret-word") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestAFaultyConfigurationIsReported(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, configFile), []byte("launch=gsqlite3\nbogus-setting=yes\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if checked, err := New().CheckConfig(t.Context(), dir); !checked || err == nil || !strings.Contains(err.Error(), "bogus") {
		t.Error(checked, err)
	}
}

func TestCredentialsAreReadAndNeverShown(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"k1\n":                                "k1",
		"# the key\n\n  k2  \n":               "k2",
		"launch=gsqlite3\napi-key= k3\nx=y\n": "k3",
		"":                                    "",
		"k4\n-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n": "",
		"k5\n-----BEGIN CERTIFICATE-----\nc2VjcmV0\n-----END CERTIFICATE-----\n": "",
		"k6\n-----BEGIN CERTIFICATE-----\nsecret":                                "",
		"one secret-thing\n":                   "",
		"secret-a\nsecret-b\n":                 "",
		"$scrypt$ln=10,p=1,r=8$secret$secret=": "",
		strings.Repeat("secret", 100):          "",
		"sécret":                               "",
	} {
		got, err := New().ReadCredential([]byte(text))
		if (err == nil) != (want != "") || err == nil && string(got.Reveal()) != want {
			t.Errorf("%q: %v, %v", text, err, want)
		}
		if err != nil && (strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "cret")) {
			t.Errorf("%q: the error shows it: %v", text, err)
		}
	}
	for _, url := range []string{"http://user:secret@127.0.0.1:1", "http://127.0.0.1:1/?k=v", "ftp://127.0.0.1", "http://", "http://x:secret@%"} {
		err := New().Check(fleet.Server{Control: url})
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", url, err)
		}
	}
	for _, url := range []string{"http://127.0.0.1:8081", "https://dns.example/pdns/", "http://[::1]:8081/"} {
		if err := New().Check(fleet.Server{Control: url}); err != nil {
			t.Error(err)
		}
	}
}

// TestTheReadmeMakesItRunAsItsOwnUser does what the README says.
func TestTheReadmeMakesItRunAsItsOwnUser(t *testing.T) {
	t.Parallel()
	for kind, database := range map[string]func(t *testing.T) *url.URL{
		"SQLite": func(*testing.T) *url.URL { return nil },
		"PostgreSQL": func(t *testing.T) *url.URL {
			u, err := url.Parse(testbed.StartPostgres(t, testbed.PostgresOptions{NoFsync: true}).NewDatabase(t))
			if err != nil {
				t.Fatal(err)
			}
			return u
		},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			followReadme(t, database(t))
		})
	}
}

func followReadme(t *testing.T, database *url.URL) {
	t.Helper()
	if _, err := user.Lookup("pdns"); err != nil || os.Geteuid() != 0 {
		t.Skip("only root can, where there is a user pdns")
	}
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // others may go through
		t.Fatal(err)
	}
	dns, control := testbed.FreeAddr(t), testbed.FreeAddr(t)
	r := request(t, dns, "http://"+control, dir)
	if database != nil {
		r.Database = (&url.URL{Scheme: "postgres", User: url.User(database.User.Username()), Host: database.Host, Path: database.Path}).String()
	}
	files, err := New().Config(r)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, files)
	if database != nil {
		password, _ := database.User.Password()
		path := filepath.Join(dir, dataFolder, passwordFile)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		filled := strings.Replace(strings.Replace(string(text), ":PASSWORD", ":"+password, 1), "\n#"+database.Hostname(), "\n"+database.Hostname(), 1)
		if err := os.WriteFile(path, []byte(filled), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var args []string
	for line := range strings.Lines(string(files[1].Content)) {
		words := strings.Fields(line)
		switch {
		case !strings.HasPrefix(line, "  ") || len(words) == 0:
		case words[0] == "chown" || words[0] == "chmod" || strings.HasPrefix(words[0], "PGPASSFILE="):
			if out, err := exec.Command("sh", "-c", line).CombinedOutput(); err != nil {
				t.Fatalf("%s: %v: %s", line, err, out)
			}
		case words[0] == "pdns_server" && args == nil:
			args = words[2:] // --config-dir comes first
		}
	}
	if len(args) != 2 {
		t.Fatalf("the README runs it with %q", args)
	}
	p := testbed.StartPowerDNS(t, testbed.PowerDNSOptions{ConfigFile: filepath.Join(dir, configFile), Addr: dns, APIAddr: control, Args: args})
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
	if err != nil || strings.Contains(string(status), "Uid:\t0\t") {
		t.Errorf("it runs as root: %v", err)
	}
	d, err := New().Open(nameserver.Target{Server: r.Server, Credential: r.Credential})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.Add(t.Context(), nameserver.ZoneConfig{Name: zone.MustParseName("a.test."), Primaries: []nameserver.PrimaryRef{{Addr: netip.MustParseAddrPort(dns)}}}); err != nil {
		t.Error(err)
	}
	if database != nil {
		return
	}
	// What SQLite keeps beside the database holds the same secrets.
	databases, err := filepath.Glob(filepath.Join(dir, dataFolder, databaseFile+"*"))
	if err != nil || len(databases) < 2 {
		t.Error(databases, err)
	}
	for _, f := range databases {
		if info, err := os.Stat(f); err != nil || info.Mode().Perm()&0o007 != 0 {
			t.Errorf("%s: %v, %v", f, info, err)
		}
	}
}

// TestTheTablesAreThoseOfThePackages compares columns, as upgrades change them by
// name.
func TestTheTablesAreThoseOfThePackages(t *testing.T) {
	t.Parallel()
	columns := func(schema []byte) []string {
		db, err := sql.Open("postgres", testbed.StartPostgres(t, testbed.PostgresOptions{NoFsync: true}).NewDatabase(t))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if _, err := db.Exec(string(schema)); err != nil {
			t.Fatal(err)
		}
		return texts(t, db, "SELECT table_name || '.' || column_name FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1")
	}
	packaged, err := os.ReadFile("/usr/share/pdns-backend-pgsql/schema/schema.pgsql.sql")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := columns(postgresSchema), columns(packaged); len(got) < 30 || !slices.Equal(got, want) {
		t.Errorf("ours %q, the package's %q", got, want)
	}
}
