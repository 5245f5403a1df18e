// Package hostile_test puts the real binary before what is broken, malicious or
// killed: each gets one clear error and the documented exit code, and nothing is
// lost.
package hostile_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"dnsctl/commands"
	"dnsctl/testbed"
)

func TestMain(m *testing.M) {
	testscript.Main(runner{m}, map[string]func(){
		"dnsctl": func() { os.Exit(commands.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Environ())) },
	})
}

// runner ends the servers that the tests shared.
type runner struct{ m *testing.M }

func (r runner) Run() int {
	// The tests wait for others far more than they work.
	flag.Parse()
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	dir, err := os.MkdirTemp("", "dnsctl-hostile-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	if err := testbed.TwoBinaries(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := testbed.Main(r.m)
	if err := guardMatrix.check(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// patience is how long a condition may take to become true.
const patience = 30 * time.Second

// rig is a folder with a store of its own, for the real binary.
type rig struct {
	*testing.T
	dir string
	env []string
	url string
}

// newRig makes a store at url (SQLite in the rig's folder when it is "") with
// the pool main, whose primary is the address mdns, if that is not "".
func newRig(t *testing.T, url, mdns string) *rig {
	t.Helper()
	dir := t.TempDir()
	if url == "" {
		url = "sqlite:" + filepath.Join(dir, "dnsctl.db")
	}
	r := &rig{T: t, dir: dir, url: url, env: []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "GORACE=" + testbed.GORACE, "DNSCTL_STORE=" + url,
		"DNSCTL_SECRET_IDENTITY_FILE=" + filepath.Join(dir, "identity.age")}}
	r.ok("db", "init")
	if mdns != "" {
		r.ok("pool", "create", "main", "--primary", mdns, "--ns", "ns1.example.net", "--email", "h@example.net")
	}
	return r
}

// result is what a run of the binary left.
type result struct {
	code           int
	stdout, stderr string
}

func (r result) String() string {
	return fmt.Sprintf("exit %d\nstdout:\n%sstderr:\n%s", r.code, r.stdout, r.stderr)
}

func (r *rig) command(args ...string) *exec.Cmd {
	path, err := exec.LookPath("dnsctl")
	if err != nil {
		r.Fatal(err)
	}
	c := exec.Command(path, args...)
	c.Dir, c.Env = r.dir, r.env
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return c
}

func (r *rig) run(args ...string) result {
	r.Helper()
	return runIt(r, r.command(args...))
}

func runIt(t testing.TB, c *exec.Cmd) result {
	t.Helper()
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%v: %v", c.Args, err)
	}
	return result{c.ProcessState.ExitCode(), out.String(), errs.String()}
}

// want runs a command that ends with this code, and whose output, both streams,
// matches all the patterns; those that begin with "!" it does not match.
func (r *rig) want(code int, patterns []string, args ...string) result {
	r.Helper()
	res := r.run(args...)
	res.check(r, code, patterns, args...)
	return res
}

func (r result) check(t testing.TB, code int, patterns []string, args ...string) {
	t.Helper()
	if r.code != code {
		t.Fatalf("dnsctl %s: want exit %d, have %v", strings.Join(args, " "), code, r)
	}
	for _, p := range patterns {
		p, not := strings.CutPrefix(p, "!")
		if regexp.MustCompile("(?m)"+p).MatchString(r.stdout+r.stderr) == not {
			t.Fatalf("dnsctl %s: pattern %q, not %v: %v", strings.Join(args, " "), p, not, r)
		}
	}
}

func (r *rig) ok(args ...string) string {
	r.Helper()
	return r.want(0, nil, args...).stdout
}

// daemon is a binary that runs beside the test.
type daemon struct {
	t    *rig
	cmd  *exec.Cmd
	out  *testbed.Sink
	errs *testbed.Sink
	done chan struct{}
}

// start runs the binary until the test ends, or kill or stop is called.
func (r *rig) start(args ...string) *daemon {
	r.Helper()
	return r.startCmd(r.command(args...))
}

func (r *rig) startCmd(c *exec.Cmd) *daemon {
	r.Helper()
	d := &daemon{t: r, cmd: c, out: &testbed.Sink{}, errs: &testbed.Sink{}, done: make(chan struct{})}
	d.cmd.Stdout, d.cmd.Stderr = d.out, d.errs
	if err := d.cmd.Start(); err != nil {
		r.Fatal(err)
	}
	go func() {
		_ = d.cmd.Wait()
		close(d.done)
	}()
	r.Cleanup(func() {
		d.kill()
		if r.Failed() {
			r.Logf("%v:\n%s%s", c.Args[1:], d.out, d.errs)
		}
	})
	return d
}

func (d *daemon) kill() { _ = d.signal(syscall.SIGKILL) }

func (d *daemon) stop() result { return d.signal(syscall.SIGTERM) }

// signal sends one and waits for the end.
func (d *daemon) signal(s syscall.Signal) result {
	if !d.ended() {
		_ = d.cmd.Process.Signal(s)
	}
	return d.wait()
}

func (d *daemon) wait() result {
	select {
	case <-d.done:
	case <-time.After(patience):
		_ = d.cmd.Process.Kill()
		<-d.done
		d.t.Errorf("%v did not end by itself", d.cmd.Args[1:])
	}
	return result{d.cmd.ProcessState.ExitCode(), d.out.String(), d.errs.String()}
}

func (d *daemon) ended() bool {
	select {
	case <-d.done:
		return true
	default:
		return false
	}
}

// mdns is a running `dnsctl mdns serve`.
type mdns struct {
	*daemon
	addr, web string
}

// serve runs mdns until the test ends, and returns when it is ready.
func (r *rig) serve(addr string, more ...string) *mdns {
	r.Helper()
	c := r.command(append([]string{"mdns", "serve", "--listen", addr, "--http", "127.0.0.1:0", "-o", "json"}, more...)...)
	c.Path = os.Getenv(testbed.OwnBinary)
	m := &mdns{daemon: r.startCmd(c)}
	testbed.EventuallyNil(r, patience, func() error {
		line, _, whole := strings.Cut(m.out.String(), "\n")
		if !whole {
			if m.ended() {
				r.Fatalf("mdns ended: %s%s", m.out, m.errs)
			}
			return errors.New("mdns is not ready")
		}
		var ready struct {
			Listen []string `json:"listen"`
			HTTP   string   `json:"http"`
		}
		if err := json.Unmarshal([]byte(line), &ready); err != nil {
			return err
		}
		m.addr, m.web = ready.Listen[0], "http://"+ready.HTTP
		return nil
	})
	return m
}

// get is the body of an HTTP answer, with its status.
func (m *mdns) get(path string) (int, string) {
	m.t.Helper()
	res, err := http.Get(m.web + path)
	if err != nil {
		m.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		m.t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// metric is the value of the first metric whose line begins so; "0" when there
// is none.
func (m *mdns) metric(begin string) string {
	m.t.Helper()
	_, body := m.get("/metrics")
	for line := range strings.Lines(body) {
		if rest, ok := strings.CutPrefix(line, begin); ok {
			return strings.TrimSpace(rest[strings.LastIndexByte(rest, ' ')+1:])
		}
	}
	return "0"
}

// write makes a file in the rig's folder and returns its path.
func (r *rig) write(name, text string) string {
	r.Helper()
	path := filepath.Join(r.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		r.Fatal(err)
	}
	return path
}

// key is the pool's TSIG key in a file for dig.
func (r *rig) key() string {
	r.Helper()
	return r.write("dig.key", r.ok("tsig", "show", "main", "--for", "dig", "--show-secret"))
}

// dig asks; the answer is dig's whole output.
func (r *rig) dig(addr string, args ...string) string {
	r.Helper()
	host, port, _ := strings.Cut(addr, ":")
	res := runIt(r, exec.Command("dig", append([]string{"@" + host, "-p", port, "+tries=1", "+time=3"}, args...)...))
	return res.stdout + res.stderr
}
