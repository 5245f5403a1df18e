package testbed

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// Standby starts a streaming standby of a private server, which answers with all
// that the server has now; until the test ends. Its databases have the names and
// the password of the server's.
func (p *Postgres) Standby(t T) *Postgres {
	t.Helper()
	s, err := p.standby()
	if err != nil {
		t.Fatalf("start a standby of PostgreSQL: %v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log of the standby at %s:\n%s", s.Addr, lastLines(s.proc.output()))
		}
		if err := s.remove(); err != nil {
			t.Logf("end PostgreSQL: %v", err)
		}
	})
	return s
}

func (p *Postgres) standby() (s *Postgres, err error) {
	s = &Postgres{password: p.password, bin: p.bin, fsync: p.fsync, private: true}
	if s.dir, err = os.MkdirTemp("", "dnsctl-standby-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = s.remove()
		}
	}()
	if err = s.setOwner(); err != nil {
		return nil, err
	}
	_, port, _ := strings.Cut(p.Addr, ":")
	// The slot keeps what the standby has still to read while it is down.
	cmd := exec.Command(filepath.Join(p.bin, "pg_basebackup"), "-h", "127.0.0.1", "-p", port, "-U", postgresUser, "-D", s.data(),
		"-R", "-X", "stream", "-c", "fast", "--no-sync", "-C", "-S", "standby_"+randomHex()[:8])
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "PGPASSWORD="+p.password)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.owner}
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("pg_basebackup: %w: %s", err, out)
	}
	return s, s.startOnFreePort()
}

// Promote makes a standby a primary; it returns when it takes writes.
func (p *Postgres) Promote(t T) {
	t.Helper()
	p.Exec(t, "postgres", "select pg_promote()")
}

// Exec runs a statement on a database as the server's superuser.
func (p *Postgres) Exec(t T, database, statement string) {
	t.Helper()
	if err := p.run("psql", "-qAt", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}
