package testbed

import (
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	_ "github.com/lib/pq"  // the backends' databases
	_ "modernc.org/sqlite" // are made here
)

// PowerDNSBackend is where a PowerDNS keeps its zones.
type PowerDNSBackend string

// The backends.
const (
	PowerDNSSQLite   PowerDNSBackend = "sqlite"
	PowerDNSPostgres PowerDNSBackend = "postgres"
)

// PowerDNSOptions say how a pdns_server is to run; the zero value is a secondary
// without zones, on SQLite.
type PowerDNSOptions struct {
	Backend  PowerDNSBackend
	Settings string // more lines of pdns.conf

	// ConfigFile, when set, is run as it is instead of a generated one; the
	// addresses are then what it says, and APIAddr may be empty.
	ConfigFile    string
	Addr, APIAddr string
	Args          []string // more arguments
}

// PowerDNS is a running PowerDNS Authoritative Server.
type PowerDNS struct {
	Dir        string
	Addr       string // DNS over UDP and TCP, host:port
	APIURL     string // http://host:port
	APIKey     string
	KeyFile    string // the same in a file, mode 0600
	ConfigFile string

	args []string
	instance
}

const powerDNSReady = 30 * time.Second

// StartPowerDNS runs PowerDNS in a folder of its own until the test ends and
// returns when its API and DNS answer. It fails the test if that takes 30 s. The
// log is shown if the test fails.
func StartPowerDNS(t T, opts PowerDNSOptions) *PowerDNS {
	t.Helper()
	dir := t.TempDir()
	launch := ""
	if opts.ConfigFile == "" {
		var err error
		if launch, err = newBackend(t, dir, opts.Backend); err != nil {
			t.Fatalf("make the database of PowerDNS: %v", err)
		}
	}
	for try := 1; ; try++ {
		p := &PowerDNS{Dir: dir}
		p.instance = instance{what: "pdns_server", run: p.start}
		var locks []io.Closer
		var err error
		if opts.ConfigFile != "" {
			p.adopt(opts)
		} else if locks, err = p.generate(launch + opts.Settings); err != nil {
			t.Fatalf("prepare PowerDNS: %v", err)
		}
		if err = p.start(); err == nil {
			t.Cleanup(func() {
				if err := p.proc.end(syscall.SIGTERM); err != nil {
					t.Logf("pdns_server: %v", err)
				}
				for _, l := range locks {
					_ = l.Close()
				}
				if t.Failed() {
					t.Logf("log of pdns_server at %s:\n%s", p.Addr, lastLines(p.Log()))
				}
			})
			return p
		}
		_ = p.proc.end(syscall.SIGKILL)
		for _, l := range locks {
			_ = l.Close()
		}
		if try == 3 || opts.ConfigFile != "" || !strings.Contains(p.Log(), "in use") {
			t.Fatalf("start PowerDNS: %v (install Debian's pdns-server and pdns-backend-*); its log:\n%s", err, p.Log())
		}
	}
}

func (p *PowerDNS) adopt(opts PowerDNSOptions) {
	p.ConfigFile, p.Addr, p.args = opts.ConfigFile, opts.Addr, opts.Args
	if opts.APIAddr != "" {
		p.APIURL = "http://" + opts.APIAddr
	}
}

// newBackend makes an empty database with the schema that the Debian package
// ships, and returns the settings that launch it.
func newBackend(t T, dir string, backend PowerDNSBackend) (string, error) {
	if backend != PowerDNSPostgres {
		file := filepath.Join(dir, "pdns.sqlite3")
		return fmt.Sprintf("launch=gsqlite3\ngsqlite3-database=%s\ngsqlite3-dnssec=yes\ngsqlite3-pragma-synchronous=0\n", file),
			makeSchema("sqlite", file, "/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql")
	}
	at := StartPostgres(t, PostgresOptions{NoFsync: true}).NewDatabase(t)
	u, err := url.Parse(at)
	if err != nil {
		return "", err
	}
	password, _ := u.User.Password()
	return fmt.Sprintf("launch=gpgsql\ngpgsql-host=%s\ngpgsql-port=%s\ngpgsql-dbname=%s\ngpgsql-user=%s\ngpgsql-password=%s\ngpgsql-dnssec=yes\n",
		u.Hostname(), u.Port(), strings.TrimPrefix(u.Path, "/"), u.User.Username(), password), makeSchema("postgres", at, "/usr/share/pdns-backend-pgsql/schema/schema.pgsql.sql")
}

func makeSchema(driver, at, file string) error {
	schema, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	db, err := sql.Open(driver, at)
	if err != nil {
		return err
	}
	_, err = db.Exec(string(schema))
	return errors.Join(err, db.Close())
}

// generate writes pdns.conf and the key. Caches are off, so that each answer is
// the database's.
func (p *PowerDNS) generate(settings string) ([]io.Closer, error) {
	var locks []io.Closer
	var ports [2]int
	for i := range ports {
		port, lock, err := reservePort()
		if err != nil {
			return locks, err
		}
		ports[i], locks = port, append(locks, lock)
	}
	p.Addr, p.APIURL, p.APIKey = loopback(ports[0]), "http://"+loopback(ports[1]), randomHex()
	p.ConfigFile, p.KeyFile = filepath.Join(p.Dir, "pdns.conf"), filepath.Join(p.Dir, "api.key")
	conf := fmt.Sprintf(`%s
local-address=127.0.0.1
local-port=%d
socket-dir=%s
webserver=yes
webserver-address=127.0.0.1
webserver-port=%d
webserver-allow-from=127.0.0.0/8
webserver-loglevel=none
api=yes
api-key=%s
primary=no
secondary=yes
xfr-cycle-interval=1
cache-ttl=0
negquery-cache-ttl=0
query-cache-ttl=0
security-poll-suffix=
`, settings, ports[0], p.Dir, ports[1], p.APIKey)
	if err := os.WriteFile(p.KeyFile, []byte(p.APIKey+"\n"), 0o600); err != nil {
		return locks, err
	}
	return locks, os.WriteFile(p.ConfigFile, []byte(conf), 0o600)
}

func (p *PowerDNS) start() error {
	program, err := exec.LookPath("pdns_server")
	if err != nil {
		program = "/usr/sbin/pdns_server"
	}
	name := strings.TrimSuffix(filepath.Base(p.ConfigFile), ".conf")
	args := []string{"--config-dir=" + filepath.Dir(p.ConfigFile), "--daemon=no", "--guardian=no", "--disable-syslog=yes"}
	if name != "pdns" {
		args = append(args, "--config-name="+strings.TrimPrefix(name, "pdns-"))
	}
	args = append(args, p.args...)
	if err := p.launch(filepath.Join(p.Dir, "pdns.log"), program, args...); err != nil {
		return err
	}
	return poll(powerDNSReady, func() error {
		if p.proc.ended() {
			return errEnded
		}
		return p.answers()
	})
}

// answers checks every channel once.
func (p *PowerDNS) answers() error {
	if p.APIURL != "" {
		client := http.Client{Timeout: 5 * time.Second}
		resp, err := client.Get(p.APIURL + "/api/v1/servers/localhost") // 401 without the key is an answer
		if err != nil {
			return err
		}
		_ = resp.Body.Close()
	}
	for _, network := range []string{"tcp", "udp"} {
		if err := askRoot(network, p.Addr); err != nil {
			return err
		}
	}
	return nil
}
