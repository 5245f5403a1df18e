package testbed

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// PostgresOptions say how PostgreSQL is to run; the zero value is a durable
// server that the tests of a process share.
type PostgresOptions struct {
	NoFsync bool // trade durability for speed
	Private bool // a server of this test's own, which it may stop and kill
}

// Postgres is a running PostgreSQL server.
type Postgres struct {
	Addr string // host:port on loopback

	dir      string
	password string
	bin      string
	fsync    bool
	private  bool
	owner    *syscall.Credential
	lock     io.Closer
	proc     *process
}

const (
	postgresReady = 30 * time.Second
	postgresUser  = "dnsctl"
)

// shared holds the servers that tests of this process have in common. It is the
// one piece of process-wide state: initdb takes a second, tests are many.
type shared struct {
	mu   sync.Mutex
	held bool // Main ends the servers, not the last test that uses one
	all  map[bool]*sharedPostgres
}

type sharedPostgres struct {
	*Postgres
	users int
}

var servers = shared{all: map[bool]*sharedPostgres{}}

// Main runs a package's tests and then ends the servers they shared; without it
// they end whenever no test uses them. Use it as
//
//	func TestMain(m *testing.M) { os.Exit(testbed.Main(m)) }
func Main(m interface{ Run() int }) int {
	servers.mu.Lock()
	servers.held = true
	servers.mu.Unlock()
	code := m.Run()
	servers.mu.Lock()
	defer servers.mu.Unlock()
	for _, s := range servers.all {
		if err := s.remove(); err != nil {
			fmt.Fprintf(os.Stderr, "testbed: end PostgreSQL: %v\n", err)
			code = max(code, 1)
		}
	}
	clear(servers.all)
	return code
}

// StartPostgres gives the test a PostgreSQL server that answers; NewDatabase
// makes databases on it. It fails the test if the server cannot be started.
func StartPostgres(t T, opts ...PostgresOptions) *Postgres {
	t.Helper()
	var o PostgresOptions
	if len(opts) > 0 {
		o = opts[0]
	}
	if o.Private {
		p, err := newPostgres(o)
		if err != nil {
			t.Fatalf("start PostgreSQL: %v", err)
		}
		t.Cleanup(func() {
			if t.Failed() && p.proc != nil {
				t.Logf("log of PostgreSQL at %s:\n%s", p.Addr, lastLines(p.proc.output()))
			}
			if err := p.remove(); err != nil {
				t.Logf("end PostgreSQL: %v", err)
			}
		})
		return p
	}
	servers.mu.Lock()
	defer servers.mu.Unlock()
	s := servers.all[o.NoFsync]
	if s == nil {
		p, err := newPostgres(o)
		if err != nil {
			t.Fatalf("start PostgreSQL: %v", err)
		}
		s = &sharedPostgres{Postgres: p}
		servers.all[o.NoFsync] = s
	}
	s.users++
	t.Cleanup(func() {
		servers.mu.Lock()
		defer servers.mu.Unlock()
		s.users--
		if s.users > 0 || servers.held {
			return
		}
		delete(servers.all, o.NoFsync)
		if err := s.remove(); err != nil {
			t.Logf("end PostgreSQL: %v", err)
		}
	})
	return s.Postgres
}

func newPostgres(o PostgresOptions) (p *Postgres, err error) {
	p = &Postgres{fsync: !o.NoFsync, private: o.Private}
	if p.bin, err = postgresBin(); err != nil {
		return nil, err
	}
	if p.dir, err = os.MkdirTemp("", "dnsctl-postgres-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = p.remove()
		}
	}()
	if err = p.setOwner(); err != nil {
		return nil, err
	}
	p.password = randomHex()
	pwfile := filepath.Join(p.dir, "password")
	if err = os.WriteFile(pwfile, []byte(p.password+"\n"), 0o600); err != nil {
		return nil, err
	}
	if p.owner != nil {
		if err = os.Chown(pwfile, int(p.owner.Uid), int(p.owner.Gid)); err != nil {
			return nil, err
		}
	}
	initdb := exec.Command(filepath.Join(p.bin, "initdb"), "-D", p.data(), "-U", postgresUser, "--pwfile", pwfile,
		"-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync")
	initdb.Dir = "/"
	initdb.SysProcAttr = &syscall.SysProcAttr{Credential: p.owner}
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	return p, p.startOnFreePort()
}

func (p *Postgres) startOnFreePort() error {
	for try := 1; ; try++ {
		port, lock, err := reservePort()
		if err != nil {
			return err
		}
		p.Addr, p.lock = loopback(port), lock
		if err = p.start(); err == nil {
			return nil
		}
		_ = p.proc.end(syscall.SIGQUIT)
		_ = lock.Close()
		if try == 3 {
			return fmt.Errorf("%w; its log:\n%s", err, p.proc.output())
		}
	}
}

func (p *Postgres) data() string { return filepath.Join(p.dir, "data") }

// postgresBin is the folder of the server's programs; Debian keeps them out of
// PATH, by version.
func postgresBin() (string, error) {
	dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if len(dirs) > 0 {
		newest := slices.MaxFunc(dirs, func(a, b string) int { // 9.6 before 15
			return cmp.Or(len(a)-len(b), strings.Compare(a, b))
		})
		return filepath.Dir(newest), nil
	}
	path, err := exec.LookPath("postgres")
	if err != nil {
		return "", errors.New("there is no PostgreSQL server (install Debian's postgresql)")
	}
	return filepath.Dir(path), nil
}

// setOwner gives the folder to user postgres when this is root, as whom
// PostgreSQL refuses to run.
func (p *Postgres) setOwner() error {
	if os.Geteuid() != 0 {
		return nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return err
	}
	p.owner = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return os.Chown(p.dir, int(uid), int(gid))
}

func (p *Postgres) start() error {
	_, port, _ := strings.Cut(p.Addr, ":")
	fsync := "on"
	if !p.fsync {
		fsync = "off"
	}
	proc, err := startProcess(filepath.Join(p.dir, "postgres.log"), p.owner, filepath.Join(p.bin, "postgres"),
		"-D", p.data(), "-c", "listen_addresses=127.0.0.1", "-c", "port="+port, "-c", "unix_socket_directories="+p.dir,
		"-c", "fsync="+fsync, "-c", "max_connections=200")
	if err != nil {
		return err
	}
	p.proc = proc
	return poll(postgresReady, func() error {
		if proc.ended() {
			return errEnded
		}
		return p.run("psql", "-qAt", "-d", "postgres", "-c", "select 1")
	})
}

// run executes a client program as the server's superuser.
func (p *Postgres) run(program string, args ...string) error {
	_, port, _ := strings.Cut(p.Addr, ":")
	cmd := exec.Command(filepath.Join(p.bin, program), args...)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "PGHOST=127.0.0.1", "PGPORT="+port, "PGUSER="+postgresUser, "PGPASSWORD="+p.password, "PGCONNECT_TIMEOUT=10")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", program, err, out)
	}
	return nil
}

// URL names a database of this server, password included.
func (p *Postgres) URL(database string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(postgresUser, p.password), Host: p.Addr, Path: "/" + database,
		RawQuery: "sslmode=disable"}
	return u.String()
}

// NewDatabase makes an empty database, which is dropped when the test ends, and
// returns its URL.
func (p *Postgres) NewDatabase(t T) string {
	t.Helper()
	return p.newDatabase(t)
}

// CopyDatabase is NewDatabase with what is in another database of this server,
// which nobody may be connected to.
func (p *Postgres) CopyDatabase(t T, url string) string {
	t.Helper()
	name, _, _ := strings.Cut(url[strings.LastIndexByte(url, '/')+1:], "?")
	return p.newDatabase(t, "--template", name)
}

func (p *Postgres) newDatabase(t T, args ...string) string {
	t.Helper()
	name := "test_" + randomHex()[:16]
	if err := p.run("createdb", append(args, name)...); err != nil {
		t.Fatalf("create database: %v", err)
	}
	t.Cleanup(func() {
		if p.proc.ended() {
			return
		}
		if err := p.run("dropdb", "--force", "--if-exists", name); err != nil {
			t.Logf("drop database: %v", err)
		}
	})
	return p.URL(name)
}

// Stop ends a private server (fast shutdown: sessions are cut off).
func (p *Postgres) Stop(t T) { p.end(t, syscall.SIGINT) }

// Kill ends a private server as a power cut would (immediate shutdown: it
// recovers at the next start).
func (p *Postgres) Kill(t T) { p.end(t, syscall.SIGQUIT) }

func (p *Postgres) end(t T, sig syscall.Signal) {
	t.Helper()
	if !p.private {
		t.Fatalf("this PostgreSQL server is shared with other tests: ask for PostgresOptions.Private")
	}
	if err := p.proc.end(sig); err != nil {
		t.Fatalf("end PostgreSQL: %v", err)
	}
}

// Start runs a private server that was stopped again, on the same port.
func (p *Postgres) Start(t T) {
	t.Helper()
	if err := p.start(); err != nil {
		t.Fatalf("start PostgreSQL: %v; its log:\n%s", err, p.proc.output())
	}
}

// PID is the process id of the server's first process, the parent of the others.
func (p *Postgres) PID() int { return p.proc.cmd.Process.Pid }

// remove ends the server and deletes its files.
func (p *Postgres) remove() error {
	err := p.proc.end(syscall.SIGINT)
	if p.lock != nil {
		_ = p.lock.Close()
	}
	return errors.Join(err, os.RemoveAll(p.dir))
}

func randomHex() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
