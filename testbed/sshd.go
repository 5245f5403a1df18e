package testbed

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// SSHD is a running OpenSSH server that lets its own user in with a key of the
// test's, and what ssh needs to log in.
type SSHD struct {
	Addr   string // host:port
	User   string
	Config string // ssh's configuration file: ssh -F

	dir string
	instance
}

const sshdReady = 20 * time.Second

// StartSSHD runs sshd on loopback until the test ends; settings are lines of
// sshd_config that take precedence.
func StartSSHD(t T, settings string) *SSHD {
	t.Helper()
	me, err := user.Current()
	if err != nil {
		t.Fatalf("who runs the test: %v", err)
	}
	s := &SSHD{dir: t.TempDir(), User: me.Username}
	s.instance = instance{what: "sshd", run: s.start}
	port, lock, err := reservePort()
	if err != nil {
		t.Fatalf("prepare sshd: %v", err)
	}
	t.Cleanup(func() { _ = lock.Close() })
	s.Addr = loopback(port)
	if err := s.generate(port, settings); err != nil {
		t.Fatalf("prepare sshd: %v (install Debian's openssh-server and openssh-client)", err)
	}
	if err := s.start(); err != nil {
		_ = s.proc.end(syscall.SIGKILL)
		t.Fatalf("start sshd: %v; its log:\n%s", err, s.Log())
	}
	t.Cleanup(func() {
		if err := s.proc.end(syscall.SIGTERM); err != nil {
			t.Logf("sshd: %v", err)
		}
		if t.Failed() {
			t.Logf("log of sshd at %s:\n%s", s.Addr, lastLines(s.Log()))
		}
	})
	return s
}

// Stranger is the same server for one who knows its host by another key.
func (s *SSHD) Stranger(t T) *SSHD {
	t.Helper()
	other := *s
	other.Config = filepath.Join(t.TempDir(), "config")
	text, err := os.ReadFile(s.Config)
	if err != nil {
		t.Fatalf("read ssh's configuration: %v", err)
	}
	if err := os.WriteFile(other.Config, []byte(strings.Replace(string(text), "known_hosts", "no_hosts", 1)), 0o600); err != nil {
		t.Fatalf("write ssh's configuration: %v", err)
	}
	return &other
}

func (s *SSHD) generate(port int, settings string) error {
	for _, key := range []string{"host", "login"} {
		if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(s.dir, key)).CombinedOutput(); err != nil {
			return fmt.Errorf("ssh-keygen: %w: %s", err, out)
		}
	}
	host, err := os.ReadFile(filepath.Join(s.dir, "host.pub"))
	if err != nil {
		return err
	}
	login, err := os.ReadFile(filepath.Join(s.dir, "login.pub"))
	if err != nil {
		return err
	}
	s.Config = filepath.Join(s.dir, "config")
	for name, text := range map[string]string{
		"authorized_keys": string(login),
		"known_hosts":     fmt.Sprintf("[127.0.0.1]:%d %s", port, host),
		"config":          fmt.Sprintf("IdentityFile %[1]s/login\nIdentitiesOnly yes\nUserKnownHostsFile %[1]s/known_hosts\nGlobalKnownHostsFile none\nStrictHostKeyChecking yes\n", s.dir),
		"sshd_config": fmt.Sprintf(`%[3]s
ListenAddress 127.0.0.1:%[2]d
HostKey %[1]s/host
AuthorizedKeysFile %[1]s/authorized_keys
PidFile none
UsePAM no
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
`, s.dir, port, settings),
	} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return os.MkdirAll("/run/sshd", 0o755) // where sshd of root separates its privileges
}

func (s *SSHD) start() error {
	program, err := exec.LookPath("sshd") // it wants its own absolute path
	if err != nil {
		program = "/usr/sbin/sshd"
	}
	if s.proc, err = startProcess(filepath.Join(s.dir, "sshd.log"), nil, program, "-D", "-e", "-f", filepath.Join(s.dir, "sshd_config")); err != nil {
		return err
	}
	return poll(sshdReady, func() error {
		if s.proc.ended() {
			return errEnded
		}
		conn, err := net.Dial("tcp", s.Addr)
		if err != nil {
			return err
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(time.Second))
		_, err = io.ReadFull(conn, make([]byte, len("SSH-2.0")))
		return err
	})
}
