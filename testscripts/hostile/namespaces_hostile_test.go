package hostile_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dnsctl/testbed"
)

// aloneIn names the variable with the test that is run by itself.
const aloneIn = "HOSTILE_ALONE"

// alone runs the test once more, by itself, in namespaces of its own for network
// and mounts, where it may do as it likes. It says whether this is that run; the
// other has nothing more to do. That takes root, and fails without.
func alone(t *testing.T) bool {
	t.Helper()
	if os.Getenv(aloneIn) == t.Name() {
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			t.Fatal(err)
		}
		command(t, "ip", "link", "set", "lo", "up")
		return true
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(self, "-test.run", "^"+t.Name()+"$", "-test.v", "-test.timeout", "8m")
	c.Env = append(os.Environ(), aloneIn+"="+t.Name())
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS}
	out, err := c.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Fatalf("in namespaces of its own (root is needed, and Debian's iproute2): %v\n%s", err, out)
	}
	t.Logf("%s", out)
	return false
}

func command(t testbed.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
}

// host is a machine of its own: a network namespace with a cable to the test's.
type host struct {
	t     *testing.T
	here  string // the test's address on the cable
	there string // the host's
	pid   string // of a process on it
	work  chan func()
}

// newHost makes the n-th host of a test that is alone.
func newHost(t *testing.T, n int) *host {
	t.Helper()
	sleeper := exec.Command("sleep", "infinity")
	sleeper.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Cloneflags: syscall.CLONE_NEWNET}
	if err := sleeper.Start(); err != nil {
		t.Fatalf("make a network namespace: %v", err)
	}
	h := &host{t: t, here: fmt.Sprintf("10.77.%d.1", n), there: fmt.Sprintf("10.77.%d.2", n), pid: fmt.Sprint(sleeper.Process.Pid), work: make(chan func())}
	cable := fmt.Sprintf("host%d", n)
	command(t, "ip", "link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", h.pid)
	command(t, "ip", "addr", "add", h.here+"/24", "dev", cable)
	command(t, "ip", "link", "set", cable, "up")
	h.ip("link", "set", "lo", "up")
	h.ip("addr", "add", h.there+"/24", "dev", "eth0")
	h.ip("link", "set", "eth0", "up")
	entered := make(chan error)
	go h.stay(entered)
	if err := <-entered; err != nil {
		t.Fatalf("enter the network namespace: %v", err)
	}
	t.Cleanup(func() {
		close(h.work)
		_ = sleeper.Process.Kill()
		_ = sleeper.Wait()
	})
	return h
}

func (h *host) ip(args ...string) {
	h.t.Helper()
	command(h.t, "nsenter", append([]string{"--target", h.pid, "--net", "ip"}, args...)...)
}

// stay does the host's work on a thread that is in its namespace. The thread lives
// as long as the test: servers that it has started die with it.
func (h *host) stay(entered chan<- error) {
	runtime.LockOSThread()
	ns, err := os.Open("/proc/" + h.pid + "/ns/net")
	if err == nil {
		err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
		_ = ns.Close()
	}
	entered <- err
	for do := range h.work {
		do()
	}
}

// do does something on the host: programs that it starts run there, and sockets
// that it opens itself, not by other goroutines, are there.
func (h *host) do(what func()) {
	h.t.Helper()
	done := make(chan struct{})
	h.work <- func() {
		defer close(done)
		what()
	}
	<-done
}

// onHost is a test whose failures on a host's thread are found by the test's own.
type onHost struct {
	*testing.T
	failed *string
}

func (o onHost) Fatalf(format string, args ...any) {
	*o.failed = fmt.Sprintf(format, args...)
	panic(o.failed)
}

// start is do for what needs a test, as starting a server does.
func (h *host) start(what func(t testbed.T)) {
	h.t.Helper()
	var failed string
	h.do(func() {
		defer func() {
			if p := recover(); p != nil && p != any(&failed) {
				panic(p)
			}
		}()
		what(onHost{h.t, &failed})
	})
	if failed != "" {
		h.t.Fatal(failed)
	}
}

// open makes a service at a loopback address of the host reachable from outside,
// on the same port, and returns its address.
func (h *host) open(addr string) string {
	h.t.Helper()
	_, port, _ := strings.Cut(addr, ":")
	outside := h.there + ":" + port
	h.start(func(t testbed.T) {
		testbed.StartRelay(t, addr, testbed.RelayOptions{Addr: outside, Dial: func(network, addr string) (c net.Conn, err error) {
			h.do(func() { c, err = net.DialTimeout(network, addr, 10*time.Second) })
			return c, err
		}})
	})
	return outside
}

// unplug takes the cable out; nothing is told to either end but that.
func (h *host) unplug() { h.ip("link", "set", "eth0", "down") }

func (h *host) plug() { h.ip("link", "set", "eth0", "up") }
