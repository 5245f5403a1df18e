package testbed

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// NSDOptions say how an nsd is to run; the zero value has no zones and no pattern.
type NSDOptions struct {
	Config string // more of nsd.conf, at its end
	Server string // more lines of its server part
	Socket bool   // the control channel is a socket, not TLS

	// ConfigFile, when set, is run as it is instead of a generated one, of which Addr
	// and Control are what it says.
	ConfigFile, Addr, Control string
}

// NSD is a running nsd.
type NSD struct {
	Dir        string
	Addr       string // DNS over UDP and TCP, host:port
	Control    string // tls://host:port, or unix:PATH
	CertDir    string // what nsd-control-setup made
	ConfigFile string

	instance
}

const nsdReady = 30 * time.Second

// nsdCerts is the files that nsd-control-setup makes, by name. That takes longer
// than most tests, so all servers of a process have the same.
var nsdCerts = sync.OnceValues(func() (map[string][]byte, error) {
	dir, err := os.MkdirTemp("", "dnsctl-nsd-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if out, err := exec.Command("nsd-control-setup", "-d", dir).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("nsd-control-setup: %w: %s", err, out)
	}
	files := map[string][]byte{}
	for _, name := range []string{"nsd_server.key", "nsd_server.pem", "nsd_control.key", "nsd_control.pem"} {
		if files[name], err = os.ReadFile(filepath.Join(dir, name)); err != nil {
			return nil, err
		}
	}
	return files, nil
})

// StartNSD runs an nsd in a folder of its own until the test ends and returns when
// its control channel and DNS answer. It fails the test if that takes 30 s. The log
// is shown if the test fails.
func StartNSD(t T, opts NSDOptions) *NSD {
	t.Helper()
	dir := t.TempDir()
	certs, err := nsdCerts()
	if err != nil {
		t.Fatalf("make the keys of NSD (install Debian's nsd): %v", err)
	}
	for name, content := range certs {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatalf("prepare NSD: %v", err)
		}
	}
	for try := 1; ; try++ {
		n := &NSD{Dir: dir, CertDir: dir, ConfigFile: opts.ConfigFile, Addr: opts.Addr, Control: opts.Control}
		n.instance = instance{what: "nsd", run: n.start}
		var locks []io.Closer
		if opts.ConfigFile == "" {
			if locks, err = n.generate(opts); err != nil {
				t.Fatalf("prepare NSD: %v", err)
			}
		}
		if err = n.start(); err == nil {
			t.Cleanup(func() {
				if err := n.proc.end(syscall.SIGTERM); err != nil {
					t.Logf("nsd: %v", err)
				}
				for _, l := range locks {
					_ = l.Close()
				}
				if t.Failed() {
					t.Logf("log of nsd at %s:\n%s", n.Addr, lastLines(n.Log()))
				}
			})
			return n
		}
		_ = n.proc.end(syscall.SIGKILL)
		for _, l := range locks {
			_ = l.Close()
		}
		if try == 3 || opts.ConfigFile != "" || !strings.Contains(n.Log(), "in use") {
			t.Fatalf("start NSD: %v (install Debian's nsd); its log:\n%s", err, n.Log())
		}
	}
}

// generate writes nsd.conf. There is no limit on the rate of answers: tests ask
// much from one address.
func (n *NSD) generate(opts NSDOptions) ([]io.Closer, error) {
	var locks []io.Closer
	var ports [2]int
	for i := range ports {
		port, lock, err := reservePort()
		if err != nil {
			return locks, err
		}
		ports[i], locks = port, append(locks, lock)
	}
	n.ConfigFile, n.Addr, n.Control = filepath.Join(n.Dir, "nsd.conf"), loopback(ports[0]), "tls://"+loopback(ports[1])
	control := fmt.Sprintf("    control-interface: 127.0.0.1\n    control-port: %d\n", ports[1])
	for _, f := range []string{"server-key-file: %s/nsd_server.key", "server-cert-file: %s/nsd_server.pem", "control-key-file: %s/nsd_control.key", "control-cert-file: %s/nsd_control.pem"} {
		control += "    " + fmt.Sprintf(f, n.CertDir) + "\n"
	}
	if opts.Socket {
		path := filepath.Join(n.Dir, "control")
		n.Control, control = "unix:"+path, fmt.Sprintf("    control-interface: %q\n", path)
	}
	conf := fmt.Sprintf(`server:
    ip-address: 127.0.0.1@%d
    username: ""
    zonesdir: %q
    zonelistfile: %q
    xfrdfile: %q
    xfrdir: %q
    pidfile: %q
    database: ""
    xfrd-reload-timeout: 0
    rrl-ratelimit: 0
    verbosity: 1
%s
remote-control:
    control-enable: yes
%s
%s
`, ports[0], n.Dir, filepath.Join(n.Dir, "zone.list"), filepath.Join(n.Dir, "xfrd.state"), n.Dir, filepath.Join(n.Dir, "nsd.pid"), opts.Server, control, opts.Config)
	return locks, os.WriteFile(n.ConfigFile, []byte(conf), 0o600)
}

// Patterns adds patterns to nsd.conf as an operator does, and has nsd read it. A
// configuration that nsd-checkconf refuses is put back, and the error is what it
// says.
func (n *NSD) Patterns(text string) error {
	before, err := os.ReadFile(n.ConfigFile)
	if err != nil {
		return err
	}
	if err := os.WriteFile(n.ConfigFile, append(append([]byte{}, before...), text...), 0o600); err != nil {
		return err
	}
	if out, err := exec.Command("nsd-checkconf", n.ConfigFile).CombinedOutput(); err != nil {
		_ = os.WriteFile(n.ConfigFile, before, 0o600)
		return fmt.Errorf("nsd-checkconf: %w: %s", err, out)
	}
	return n.Ctl("reconfig")
}

// Ctl runs nsd-control.
func (n *NSD) Ctl(args ...string) error {
	out, err := exec.Command("nsd-control", append([]string{"-c", n.ConfigFile}, args...)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("nsd-control %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

func (n *NSD) start() error {
	// The processes of one that was killed hold its ports for a moment.
	if err := poll(nsdReady, n.portsAreFree); err != nil {
		return err
	}
	program, err := exec.LookPath("nsd")
	if err != nil {
		program = "/usr/sbin/nsd"
	}
	if err := n.launch(filepath.Join(n.Dir, "nsd.log"), program, "-d", "-c", n.ConfigFile); err != nil {
		return err
	}
	return poll(nsdReady, func() error {
		if n.proc.ended() {
			return errEnded
		}
		if err := n.Ctl("status"); err != nil {
			return err
		}
		for _, network := range []string{"tcp", "udp"} {
			if err := askRoot(network, n.Addr); err != nil {
				return err
			}
		}
		return nil
	})
}

func (n *NSD) portsAreFree() error {
	addrs := []string{n.Addr}
	if control, ok := strings.CutPrefix(n.Control, "tls://"); ok {
		addrs = append(addrs, control)
	}
	for _, addr := range addrs {
		_, text, _ := net.SplitHostPort(addr)
		if port, err := strconv.Atoi(text); err != nil || !portIsFree(port) {
			return fmt.Errorf("port %q is in use", text)
		}
	}
	return nil
}
