package knot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"dnsctl/nameserver"
	"dnsctl/report"
)

// tunnel reaches a control socket on another host: the system's ssh forwards one
// in a private folder to it, for as long as the driver is open. Who may log in and
// how is ssh's own business: its configuration, keys and known hosts. It is never
// asked anything on a terminal.
type tunnel struct {
	endpoint
	options []string // more arguments of ssh, for tests

	mu   sync.Mutex
	dir  string        // of the local socket
	cmd  *exec.Cmd     // nil: not started
	said *tail         // ssh's own words
	done chan struct{} // closed when ssh has ended
}

const (
	sshTime   = 20 * time.Second // to log in
	askSocket = 20 * time.Millisecond
)

func (t *tunnel) String() string {
	at := t.host
	if strings.Contains(at, ":") {
		at = "[" + at + "]"
	}
	if t.user != "" {
		at = t.user + "@" + at
	}
	if t.port != 0 {
		at += ":" + strconv.Itoa(t.port)
	}
	return "ssh://" + at + t.socket
}

// local is the socket that ssh listens on.
func (t *tunnel) local() string { return filepath.Join(t.dir, "knot.sock") }

// arguments are those of ssh; nothing in them is a secret.
func (t *tunnel) arguments() []string {
	args := []string{"-N", "-T", "-x", "-a", "-L", t.local() + ":" + t.socket,
		"-o", "BatchMode=yes", "-o", "ExitOnForwardFailure=yes", "-o", "ClearAllForwardings=no", "-o", "ControlPath=none", "-o", "PermitLocalCommand=no",
		"-o", "StreamLocalBindMask=0177", "-o", fmt.Sprintf("ConnectTimeout=%d", int(connectTime/time.Second)),
		"-o", "ServerAliveInterval=10", "-o", "ServerAliveCountMax=3"}
	if t.user != "" {
		args = append(args, "-l", t.user)
	}
	if t.port != 0 {
		args = append(args, "-p", strconv.Itoa(t.port))
	}
	return append(append(args, t.options...), "--", t.host)
}

// dial connects through ssh, which is started when it does not run.
func (t *tunnel) dial(ctx context.Context) (net.Conn, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cmd != nil {
		select {
		case <-t.done: // the connection was lost
			t.stop()
		default:
		}
	}
	if t.cmd == nil {
		conn, err := t.start(ctx)
		if err != nil {
			t.stop()
		}
		return conn, err
	}
	t.said.drop(t.said.size())
	return (&net.Dialer{Timeout: connectTime}).DialContext(ctx, "unix", t.local())
}

// start runs ssh and connects as soon as it listens.
func (t *tunnel) start(ctx context.Context) (net.Conn, error) {
	program, err := exec.LookPath("ssh")
	if err != nil {
		return nil, report.Hint(fmt.Errorf("run ssh: %w", err), "install it (on Debian: apt install openssh-client)")
	}
	if t.dir, err = os.MkdirTemp("", "dnsctl-ssh-"); err != nil { // mode 0700
		return nil, err
	}
	t.said, t.done = &tail{}, make(chan struct{})
	t.cmd = exec.Command(program, t.arguments()...)
	t.cmd.Stderr = t.said
	t.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM, Setpgid: true} // ^C is for us to handle
	if err := t.cmd.Start(); err != nil {
		t.cmd = nil
		return nil, fmt.Errorf("run ssh: %w", err)
	}
	cmd, done := t.cmd, t.done
	go func() {
		_ = cmd.Wait()
		close(done)
	}()
	ctx, cancel := context.WithTimeoutCause(ctx, sshTime, fmt.Errorf("ssh has not logged in within %s", sshTime))
	defer cancel()
	for {
		banner := t.said.size() // at most: what ssh says of the connection comes after
		if conn, err := (&net.Dialer{Timeout: connectTime}).DialContext(ctx, "unix", t.local()); err == nil {
			t.said.drop(banner)
			return conn, nil
		}
		select {
		case <-done:
			return nil, t.remedied(errors.New("ssh ended"))
		case <-ctx.Done():
			return nil, t.remedied(context.Cause(ctx))
		case <-time.After(askSocket):
		}
	}
}

// remedies of what ssh says.
var remedies = []struct{ says, hint string }{
	{"host key verification failed", "log in once by hand as the user that dnsctl runs as, and look at the host's key: ssh %s"},
	{"permission denied", "that user's key must be let in there without a password (ssh-copy-id %s), or be named in ~/.ssh/config"},
	{"could not resolve", "is the host's name right? ssh %s"},
	{"open failed", "does knotd run there, is that its socket, may the user that logs in open it (on Debian: adduser USER knot), and does sshd_config not forbid it (AllowStreamLocalForwarding)?"},
	{"", "it must work without a question as the user that dnsctl runs as: ssh -o BatchMode=yes %s true"},
}

// explain takes what ssh says of a connection that it did not keep.
func (t *tunnel) explain() error {
	if t.said.wait() == "" {
		return nil
	}
	return t.remedied(errors.New("ssh ended the connection"))
}

// remedied adds ssh's own words to a failure, with what to do about them.
func (t *tunnel) remedied(err error) error {
	text := t.said.wait()
	if text != "" {
		err = fmt.Errorf("%w: ssh says: %s", err, nameserver.Printable(text))
	}
	for _, r := range remedies {
		if strings.Contains(strings.ToLower(text), r.says) {
			hint := r.hint
			if strings.Contains(hint, "%s") {
				hint = fmt.Sprintf(hint, t.login())
			}
			return report.Hint(err, hint)
		}
	}
	return err
}

// login is what a person gives ssh to get there.
func (t *tunnel) login() string {
	at := t.host
	if t.user != "" {
		at = t.user + "@" + at
	}
	if t.port != 0 {
		return fmt.Sprintf("-p %d %s", t.port, at)
	}
	return at
}

func (t *tunnel) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stop()
}

// stop ends ssh.
func (t *tunnel) stop() {
	if t.cmd != nil {
		_ = t.cmd.Process.Kill()
		<-t.done
		t.cmd = nil
	}
	if t.dir != "" {
		_ = os.RemoveAll(t.dir)
		t.dir = ""
	}
}

// tail keeps the last of what ssh says.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const maxTail = 2000

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	t.text = t.text[max(0, len(t.text)-maxTail):]
	return len(b), nil
}

// size is how many octets are kept, and drop forgets as many of the first.
func (t *tail) size() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.text)
}

func (t *tail) drop(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = t.text[min(n, len(t.text)):]
}

// wait is what was said, which may come a moment after the failure that it is
// about.
func (t *tail) wait() string {
	for end := time.Now().Add(2 * time.Second); ; {
		t.mu.Lock()
		text := string(bytes.TrimSpace(t.text))
		t.mu.Unlock()
		if text != "" || time.Now().After(end) {
			return strings.Join(strings.Fields(text), " ")
		}
		<-time.After(10 * time.Millisecond)
	}
}
