package testbed

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// KnotOptions say how a knotd is to run; the zero value is a secondary without
// zones that has its configuration in a database.
type KnotOptions struct {
	Config   string // more sections of knot.conf
	Template string // more lines of its template default
	TextOnly bool   // the configuration stays in a file

	// Database, when set, is run as it is instead of a generated configuration; the
	// addresses are then what it says.
	Database     string
	Addr, Socket string
}

// Knot is a running Knot DNS.
type Knot struct {
	Dir    string
	Addr   string // DNS over UDP and TCP, host:port
	Socket string // path of the control socket

	args []string
	instance
}

const knotReady = 20 * time.Second

// StartKnot runs Knot DNS in a folder of its own until the test ends and returns
// when its control socket and DNS answer. It fails the test if that takes 20 s. The
// log is shown if the test fails.
func StartKnot(t T, opts KnotOptions) *Knot {
	t.Helper()
	dir := t.TempDir()
	for try := 1; ; try++ {
		k := &Knot{Dir: dir}
		k.instance = instance{what: "knotd", run: k.start}
		var lock io.Closer
		var err error
		if opts.Database != "" {
			k.Addr, k.Socket, k.args = opts.Addr, opts.Socket, []string{"-C", opts.Database}
		} else if lock, err = k.generate(opts); err != nil {
			t.Fatalf("prepare knotd: %v (install Debian's knot)", err)
		}
		unlock := func() {
			if lock != nil {
				_ = lock.Close()
			}
		}
		if err = k.start(); err == nil {
			t.Cleanup(func() {
				if err := k.proc.end(syscall.SIGTERM); err != nil {
					t.Logf("knotd: %v", err)
				}
				unlock()
				if t.Failed() {
					t.Logf("log of knotd at %s:\n%s", k.Addr, lastLines(k.Log()))
				}
			})
			return k
		}
		_ = k.proc.end(syscall.SIGKILL)
		unlock()
		if try == 3 || opts.Database != "" || !strings.Contains(k.Log(), "address already in use") {
			t.Fatalf("start knotd: %v (install Debian's knot); its log:\n%s", err, k.Log())
		}
	}
}

// generate writes knot.conf and makes a database of it. The control socket is in a
// folder with a short path of its own.
func (k *Knot) generate(opts KnotOptions) (io.Closer, error) {
	port, lock, err := reservePort()
	if err != nil {
		return nil, err
	}
	k.Addr, k.Socket = loopback(port), filepath.Join(k.Dir, "knot.sock")
	conf := fmt.Sprintf(`server:
    rundir: "%[1]s"
    listen: 127.0.0.1@%[2]d
control:
    listen: "%[3]s"
log:
  - target: stderr
    any: info
database:
    storage: "%[1]s"
%[4]s
template:
  - id: default
    storage: "%[1]s"
%[5]s
`, k.Dir, port, k.Socket, opts.Config, opts.Template)
	file := filepath.Join(k.Dir, "knot.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		return lock, err
	}
	if opts.TextOnly {
		k.args = []string{"-c", file}
		return lock, nil
	}
	database := filepath.Join(k.Dir, "confdb")
	k.args = []string{"-C", database}
	if err := os.RemoveAll(database); err != nil { // of an earlier try
		return lock, err
	}
	return lock, ImportKnot(database, file)
}

// ImportKnot makes a configuration database of a configuration file.
func ImportKnot(database, file string) error {
	if out, err := exec.Command(knotProgram("knotc"), "-C", database, "conf-import", file).CombinedOutput(); err != nil {
		return fmt.Errorf("knotc conf-import: %w: %s", err, out)
	}
	return nil
}

func knotProgram(name string) string {
	if program, err := exec.LookPath(name); err == nil {
		return program
	}
	return "/usr/sbin/" + name
}

// Control runs knotc on the server and returns what it says.
func (k *Knot) Control(args ...string) (string, error) {
	out, err := exec.Command(knotProgram("knotc"), append([]string{"-s", k.Socket}, args...)...).CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("knotc %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

func (k *Knot) start() error {
	if err := k.launch(filepath.Join(k.Dir, "knotd.log"), knotProgram("knotd"), k.args...); err != nil {
		return err
	}
	return poll(knotReady, func() error {
		if k.proc.ended() {
			return errEnded
		}
		conn, err := net.Dial("unix", k.Socket)
		if err != nil {
			return err
		}
		_ = conn.Close()
		for _, network := range []string{"tcp", "udp"} {
			if err := askRoot(network, k.Addr); err != nil {
				return err
			}
		}
		return nil
	})
}
