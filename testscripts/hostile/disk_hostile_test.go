package hostile_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dnsctl/testbed"
)

// onSmallDisk puts a folder with what is in it on a file system of that many
// megabytes. The test is alone.
func onSmallDisk(t *testing.T, dir string, megabytes int) {
	t.Helper()
	aside := filepath.Join(t.TempDir(), "aside")
	command(t, "cp", "-a", dir, aside)
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", megabytes)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	command(t, "cp", "-a", "--sparse=always", aside+"/.", dir)
}

// fill leaves no room on the file system of a folder, until the function that it
// returns is called.
func fill(t *testing.T, dir string) (empty func()) {
	t.Helper()
	file := filepath.Join(dir, "fill")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 4096)
	for err == nil {
		_, err = f.Write(block)
	}
	_ = f.Close()
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	return func() { _ = os.Remove(file) }
}

// TestANameserverWhoseDiskIsFull changes, makes and deletes zones meanwhile. What
// the nameserver does not have is reported, nothing is lost, and when there is
// room again nobody has to do anything.
func TestANameserverWhoseDiskIsFull(t *testing.T) {
	t.Parallel()
	if !alone(t) {
		return
	}
	f := newFaulty(t)
	f.join()
	var empty []func()
	for _, s := range f.all {
		s.Stop(t)
		onSmallDisk(t, s.dir, 24)
		s.Restart(t)
		empty = append(empty, fill(t, s.dir))
	}
	var text strings.Builder
	text.WriteString("$TTL 300\n@ SOA ns1.example.net. h.example.net. 1 2 3 4 5\n@ NS ns1.example.net.\n")
	for i := range 5000 {
		fmt.Fprintf(&text, "host%d A 192.0.2.1\n", i)
	}
	f.write("large.example.zone", text.String())
	f.ok("zone", "import", "large.example.zone", "-q")
	f.change()
	for _, s := range f.all {
		// A type may serve from memory what it could not write; one that does not serve it
		// says so, or it is seen.
		res := f.run("sync", s.name, "--yes", "--timeout", "20s")
		for begun := time.Now(); res.code == 11 && time.Since(begun) < 2*patience; { // the leader is at it
			res = f.run("sync", s.name, "--yes", "--timeout", "20s")
		}
		if res.code != 0 && res.code != 1 && res.code != 4 {
			t.Errorf("sync %s: %v", s.name, res)
		}
		if !s.answers("large.example") && res.code == 0 {
			t.Errorf("%s does not serve it, and that is not seen: %v", s.name, res)
		}
		t.Logf("%s: a sync on a full disk: %v", s.name, res)
		// PowerDNS ends when its database cannot be written.
		testbed.Eventually(f, patience, func() bool { return s.answers("stays.example") || !s.Running() })
	}
	for i, s := range f.all {
		empty[i]()
		if !s.Running() {
			t.Logf("%s ended by itself", s.name)
			s.Restart(t)
		}
	}
	f.agree()
	testbed.EventuallyNil(f, 4*patience, func() error {
		if res := f.run("audit", "--deep"); res.code != 0 {
			return fmt.Errorf("%v", res)
		}
		return nil
	})
	f.m.stop()
}

// TestADatabaseWhoseDiskIsFull is SQLite's, under mdns: it serves on what it has,
// commands say what is the matter, and with room again all goes on.
func TestADatabaseWhoseDiskIsFull(t *testing.T) {
	t.Parallel()
	if !alone(t) {
		return
	}
	dir := filepath.Join(t.TempDir(), "small")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	onSmallDisk(t, dir, 8)
	addr := testbed.FreeAddr(t)
	r := newRig(t, "sqlite:"+filepath.Join(dir, "dnsctl.db"), addr)
	r.ok("zone", "create", "one.example")
	m := r.serve(addr)
	ns := r.secondary(kinds[0], "ns1", "main")
	ns.add("main")
	r.ok("bootstrap", "ns1", "--wait")
	key := r.key()

	empty := fill(t, dir)
	var failed result
	for i := 0; failed.code == 0 && i < 200; i++ { // SQLite's log may have room left
		failed = r.run("record", "set", "one.example", fmt.Sprintf("w%d", i), "TXT", strings.Repeat("x", 4000))
	}
	failed.check(t, 1, []string{`^dnsctl: error: .*full`, `^dnsctl: hint: .*make room`})
	if out := r.dig(addr, "-k", key, "one.example", "AXFR"); !strings.Contains(out, "XFR size") {
		t.Errorf("what is there is not served: %s", out)
	}
	ns.has("one.example")
	if m.ended() {
		t.Errorf("mdns has ended: %s", m.errs)
	}
	empty()
	testbed.EventuallyNil(t, 2*patience, func() error {
		if res := r.run("record", "set", "one.example", "www", "A", "192.0.2.2"); res.code != 0 {
			return fmt.Errorf("%v", res)
		}
		return nil
	})
	testbed.EventuallyNil(t, 3*patience, func() error {
		if out := r.dig(ns.addr, "+norecurse", "+short", "www.one.example", "A"); out != "192.0.2.2\n" {
			return fmt.Errorf("the nameserver answers %q", out)
		}
		return r.agrees("ns1")
	})
	m.stop()
}
