package testbed

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"time"
)

// NamedOptions say how a named is to run; the zero value is a server without
// zones that refuses addzone.
type NamedOptions struct {
	AllowNewZones bool
	Recursion     bool
	Notify        string            // who is told of changes, as also-notify takes it; "": nobody
	Options       string            // more statements for the options block
	Config        string            // more top-level statements: keys, acls, views, zones
	Zones         map[string]string // primary zones: name as named.conf takes it, to master file text

	// ConfigFile, when set, is run as it is instead of a generated one; the
	// addresses and the key are then what it says. All but Addr may be empty.
	ConfigFile                   string
	Addr, ControlAddr, StatsAddr string
	KeyFile                      string
}

// Named is a running BIND 9.
type Named struct {
	Dir         string // its working directory
	Addr        string // DNS over UDP and TCP, host:port
	ControlAddr string // the rndc channel, host:port
	StatsURL    string // http://host:port
	KeyName     string // of the rndc key, an HMAC-SHA256 one
	Secret      string // base64
	KeyFile     string // the same in rndc.key's syntax, mode 0600
	ConfigFile  string

	binary string
	instance
}

const namedReady = 30 * time.Second

// StartNamed runs BIND 9 in a folder of its own until the test ends and returns
// when it answers on all its channels and has loaded its zones. It fails the test
// if that takes 30 s. The log is shown if the test fails.
func StartNamed(t T, opts NamedOptions) *Named {
	t.Helper()
	dir := t.TempDir()
	binary, err := copyNamed(dir)
	if err != nil {
		t.Fatalf("copy named: %v", err)
	}
	for try := 1; ; try++ {
		n := &Named{Dir: dir, binary: binary}
		n.instance = instance{what: "named", run: n.start}
		var locks []io.Closer
		if opts.ConfigFile != "" {
			n.adopt(opts)
		} else if locks, err = n.generate(opts); err != nil {
			t.Fatalf("prepare named: %v", err)
		}
		err := n.start()
		if err == nil {
			t.Cleanup(func() {
				if err := n.proc.end(syscall.SIGTERM); err != nil {
					t.Logf("named: %v", err)
				}
				for _, l := range locks {
					_ = l.Close()
				}
				if t.Failed() {
					t.Logf("log of named at %s:\n%s", n.Addr, lastLines(n.Log()))
				}
			})
			return n
		}
		for _, l := range locks {
			_ = l.Close()
		}
		if try == 3 || opts.ConfigFile != "" || !strings.Contains(n.Log(), "address in use") {
			t.Fatalf("start named: %v; its log:\n%s", err, n.Log())
		}
	}
}

// copyNamed puts a copy of the server into dir: where AppArmor confines
// /usr/sbin/named, which it does by path, the copy may write there. cp does it,
// so that no descriptor of ours keeps the file from being executed.
func copyNamed(dir string) (string, error) {
	path, err := exec.LookPath("named")
	if err != nil {
		path = "/usr/sbin/named"
	}
	dst := filepath.Join(dir, "named")
	if out, err := exec.Command("cp", path, dst).CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s (install Debian's bind9)", err, out)
	}
	return dst, nil
}

func (n *Named) adopt(opts NamedOptions) {
	n.ConfigFile, n.Addr, n.ControlAddr, n.KeyFile = opts.ConfigFile, opts.Addr, opts.ControlAddr, opts.KeyFile
	if opts.StatsAddr != "" {
		n.StatsURL = "http://" + opts.StatsAddr
	}
}

// generate writes named.conf, the key and the zone files.
func (n *Named) generate(opts NamedOptions) ([]io.Closer, error) {
	var locks []io.Closer
	var ports [3]int
	for i := range ports {
		port, lock, err := reservePort()
		if err != nil {
			return locks, err
		}
		ports[i], locks = port, append(locks, lock)
	}
	var raw [32]byte
	_, _ = rand.Read(raw[:])
	n.KeyName, n.Secret = "testbed-rndc", base64.StdEncoding.EncodeToString(raw[:])
	n.KeyFile, n.ConfigFile = filepath.Join(n.Dir, "rndc.key"), filepath.Join(n.Dir, "named.conf")
	n.Addr, n.ControlAddr, n.StatsURL = loopback(ports[0]), loopback(ports[1]), "http://"+loopback(ports[2])

	key := fmt.Sprintf("key %q { algorithm hmac-sha256; secret %q; };\n", n.KeyName, n.Secret)
	notify := "notify no;"
	if opts.Notify != "" {
		notify = fmt.Sprintf("notify explicit; notify-delay 0; also-notify { %s; };", opts.Notify)
	}
	var c strings.Builder
	fmt.Fprintf(&c, `include %q;
controls { inet 127.0.0.1 port %d allow { 127.0.0.1; } keys { %q; }; };
statistics-channels { inet 127.0.0.1 port %d allow { 127.0.0.1; }; };
options {
	directory %q;
	listen-on port %d { 127.0.0.1; };
	listen-on-v6 { none; };
	pid-file "named.pid";
	session-keyfile none;
	recursion %s;
	dnssec-validation no;
	%s
	allow-new-zones %s;
	%s
};
%s
`, n.KeyFile, ports[1], n.KeyName, ports[2], n.Dir, ports[0], yesNo(opts.Recursion), notify, yesNo(opts.AllowNewZones), opts.Options, opts.Config)
	names := make([]string, 0, len(opts.Zones))
	for name := range opts.Zones {
		names = append(names, name)
	}
	sort.Strings(names)
	for i, name := range names {
		file := fmt.Sprintf("primary-%d.zone", i)
		if err := os.WriteFile(filepath.Join(n.Dir, file), []byte(opts.Zones[name]), 0o600); err != nil {
			return locks, err
		}
		fmt.Fprintf(&c, "zone \"%s\" { type primary; file %q; };\n", name, file) // %q would double the name's backslashes
	}
	if err := os.WriteFile(n.KeyFile, []byte(key), 0o600); err != nil {
		return locks, err
	}
	return locks, os.WriteFile(n.ConfigFile, []byte(c.String()), 0o600)
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func (n *Named) start() error {
	before := len(n.Log())
	args := []string{"-g", "-c", n.ConfigFile}
	if err := n.launch(filepath.Join(n.Dir, "named.log"), n.binary, args...); err != nil {
		return err
	}
	return poll(namedReady, func() error {
		if n.proc.ended() {
			return errEnded
		}
		if err := n.answers(); err != nil {
			return err
		}
		if !strings.Contains(n.Log()[before:], " running\n") {
			return errLoading
		}
		return nil
	})
}

// errLoading says that the server answers and has not loaded all its zones.
var errLoading = errors.New("named has not logged that it runs")

// answers checks every channel once.
func (n *Named) answers() error {
	for _, addr := range []string{n.ControlAddr, strings.TrimPrefix(n.StatsURL, "http://")} {
		if addr == "" {
			continue
		}
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err != nil {
			return err
		}
		_ = c.Close()
	}
	for _, network := range []string{"tcp", "udp"} {
		if err := askRoot(network, n.Addr); err != nil {
			return err
		}
	}
	return nil
}

// askRoot sends the question ". SOA" and takes any answer.
func askRoot(network, addr string) error {
	c, err := net.DialTimeout(network, addr, time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(500 * time.Millisecond))
	msg := []byte{0, 17, 0x64, 0x63, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 6, 0, 1}
	if network == "udp" {
		msg = msg[2:]
	}
	if _, err := c.Write(msg); err != nil {
		return err
	}
	answer := make([]byte, 512)
	k, err := io.ReadAtLeast(c, answer, 12)
	if err == nil && k < 12 {
		err = errors.New("short answer")
	}
	return err
}
