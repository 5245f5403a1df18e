package mdns

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dnsctl/dnsclient"
	"dnsctl/testbed"
	"dnsctl/zone"
	"dnsctl/zone/zonefile"
)

// secondary is a real nameserver that transfers zones from us and begins with an
// old version of each, or with none.
type secondary struct {
	name, addr string
	// exact says that it keeps the letter case of names; NSD, Knot and PowerDNS write
	// those of a zone in lower case.
	exact bool
	// holds says how large an RRset it takes, in octets, and sends how large a one it
	// gives to others; 0 is without a limit.
	holds, sends int
	files        map[zone.Name]string // that it writes what it has to
	log          func() string
}

// beginning is a zone that a secondary begins with; nil content is none.
type beginning struct {
	apex    zone.Name
	content *zone.Snapshot
}

// zoneFiles writes each version to a file and returns those, "" where there is
// none.
func zoneFiles(t testing.TB, dir string, versions []beginning) []string {
	t.Helper()
	files := make([]string, len(versions))
	for i, v := range versions {
		files[i] = filepath.Join(dir, fmt.Sprintf("zone%d", i))
		if v.content == nil {
			continue
		}
		f, err := os.Create(files[i])
		if err == nil {
			err = zonefile.Write(f, v.content)
		}
		if err == nil {
			err = f.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// secondaries starts one of each that take zones from files.
func secondaries(t *testing.T, primary string, versions []beginning) []*secondary {
	t.Helper()
	return []*secondary{startNamed(t, primary, versions), startNSD(t, primary, versions), startKnot(t, primary, versions)}
}

func startNamed(t *testing.T, primary string, versions []beginning) *secondary {
	t.Helper()
	host, port, _ := net.SplitHostPort(primary)
	files := zoneFiles(t, t.TempDir(), versions)
	var conf strings.Builder
	for i, v := range versions {
		fmt.Fprintf(&conf, "zone %q { type secondary; primaries { %s port %s; }; file %q; masterfile-format text; request-ixfr yes; max-ixfr-ratio unlimited; max-records-per-type 0; };\n",
			v.apex.Lower().String(), host, port, files[i])
	}
	n := testbed.StartNamed(t, testbed.NamedOptions{Config: conf.String(), Options: "check-names secondary ignore; serial-query-rate 1000; transfers-in 100; transfers-per-ns 100; allow-transfer { any; };"})
	return &secondary{name: "named", addr: n.Addr, exact: true, holds: 64 << 10, log: n.Log}
}

func startNSD(t *testing.T, primary string, versions []beginning) *secondary {
	t.Helper()
	dir, addr := t.TempDir(), testbed.FreeAddr(t)
	files := zoneFiles(t, dir, versions)
	var conf strings.Builder
	fmt.Fprintf(&conf, `server:
 ip-address: %s
 zonesdir: %q
 database: ""
 xfrdfile: %q
 zonelistfile: %q
 xfrdir: %q
 pidfile: ""
 username: ""
 chroot: ""
 verbosity: 2
 server-count: 1
 xfrd-reload-timeout: 0
remote-control:
 control-enable: no
`, at(addr), dir, filepath.Join(dir, "xfrd.state"), filepath.Join(dir, "zone.list"), dir)
	for i, v := range versions {
		fmt.Fprintf(&conf, "zone:\n name: %q\n zonefile: %q\n request-xfr: %s NOKEY\n allow-notify: 127.0.0.0/8 NOKEY\n provide-xfr: 127.0.0.0/8 NOKEY\n",
			v.apex.Lower().String(), files[i], at(primary))
	}
	return startSecondary(t, &secondary{name: "nsd", addr: addr}, dir, conf.String(), "nsd", "-d", "-c")
}

func startKnot(t *testing.T, primary string, versions []beginning) *secondary {
	t.Helper()
	dir, addr := t.TempDir(), testbed.FreeAddr(t)
	files := zoneFiles(t, dir, versions)
	var conf strings.Builder
	fmt.Fprintf(&conf, `server:
    listen: %s
    rundir: %q
database:
    storage: %q
log:
  - target: stdout
    any: info
remote:
  - id: mdns
    address: %s
acl:
  - id: all
    address: 127.0.0.0/8
    action: [notify, transfer]
template:
  - id: default
    master: mdns
    acl: all
    zonefile-load: whole
zone:
`, at(addr), dir, dir, at(primary))
	for i, v := range versions {
		fmt.Fprintf(&conf, "  - domain: %q\n    file: %q\n", v.apex.Lower().String(), files[i])
	}
	s := &secondary{name: "knot", addr: addr, sends: 60 << 10, files: map[zone.Name]string{}}
	for i, v := range versions {
		s.files[v.apex] = files[i]
	}
	return startSecondary(t, s, dir, conf.String(), "knotd", "-c")
}

// at is an address as NSD and Knot write it.
func at(addr string) string { return strings.Replace(addr, ":", "@", 1) }

// startSecondary runs a server in the foreground until the test ends.
func startSecondary(t *testing.T, s *secondary, dir, conf, program string, args ...string) *secondary {
	t.Helper()
	file := filepath.Join(dir, "server.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "server.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(program, append(args, file)...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", program, err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	s.log = func() string {
		text, err := os.ReadFile(log.Name())
		if err != nil {
			return err.Error()
		}
		return string(text)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(30 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
		if t.Failed() {
			t.Logf("log of %s:\n%s", s.name, s.log())
		}
	})
	testbed.EventuallyNil(t, 30*time.Second, func() error {
		select {
		case <-ended:
			t.Fatalf("%s ended: %s", program, s.log())
		default:
		}
		_, err := dns.Exchange(new(dns.Msg).SetQuestion("ready.invalid.", dns.TypeSOA), s.addr)
		return err
	})
	return s
}

// notify tells it of a zone.
func (s *secondary) notify(t testing.TB, apex zone.Name) {
	t.Helper()
	testbed.EventuallyNil(t, 30*time.Second, func() error {
		_, err := dns.Exchange(new(dns.Msg).SetNotify(apex.String()), s.addr)
		return err
	})
}

// largest is the size of a version's greatest RRset, with what named keeps beside
// each record.
func largest(v *zone.Snapshot) (most int) {
	for set := range v.All() {
		octets := 4
		for d := range set.Data.All() {
			octets += 4 + len(d)
		}
		most = max(most, octets)
	}
	return most
}

// takes says whether it holds all RRsets of a version.
func (s *secondary) takes(v *zone.Snapshot) bool { return s.holds == 0 || largest(v) <= s.holds }

// has is what it has of the zone: what it sends of it, or what it writes to a file
// where the RRsets of the version are too large for its messages.
func (s *secondary) has(t testing.TB, v *zone.Snapshot) (*zone.Snapshot, error) {
	if s.sends == 0 || largest(v) <= s.sends {
		return new(dnsclient.Client).Transfer(t.Context(), netip.MustParseAddrPort(s.addr), v.Apex(), nil, dnsclient.TransferOptions{})
	}
	f, err := os.Open(s.files[v.Apex()])
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, err := zonefile.Read(t.Context(), f, zonefile.Options{Origin: v.Apex(), File: f.Name()})
	return r.Snapshot, err
}

// catchesUp waits until it has the version's serial, and compares.
func (s *secondary) catchesUp(t testing.TB, v *zone.Snapshot) {
	t.Helper()
	var got *zone.Snapshot
	testbed.EventuallyNil(t, 60*time.Second, func() (err error) {
		if got, err = s.has(t, v); err == nil && got.Serial() != v.Serial() {
			err = fmt.Errorf("%s is at %d", v.Apex(), got.Serial())
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", s.name, err)
		}
		return err
	})
	differ(t, s.name+"'s version", v, got, s.exact && v.Apex() == v.Apex().Lower())
}

// linesOf is a version's content in lines, names in lower case unless exact.
func linesOf(t testing.TB, s *zone.Snapshot, exact bool) []string {
	t.Helper()
	var out []string
	for set := range s.All() {
		wire := set.AppendWire(nil)
		for off := 0; off < len(wire); {
			rr, next, err := dns.UnpackRR(wire, off)
			if err != nil {
				t.Fatal(err)
			}
			off = next
			if !exact {
				rr.Header().Name = strings.ToLower(rr.Header().Name)
			}
			line := rr.String()
			if _, text := rr.(*dns.TXT); !exact && !text {
				line = strings.ToLower(line)
			}
			out = append(out, line)
		}
	}
	slices.Sort(out)
	return out
}

// differ says how a version that was transferred is not the one that it should be.
func differ(t testing.TB, who string, want, got *zone.Snapshot, exact bool) {
	t.Helper()
	w, g := linesOf(t, want, exact), linesOf(t, got, exact)
	if slices.Equal(w, g) {
		return
	}
	missing := slices.DeleteFunc(slices.Clone(w), func(l string) bool { _, found := slices.BinarySearch(g, l); return found })
	more := slices.DeleteFunc(slices.Clone(g), func(l string) bool { _, found := slices.BinarySearch(w, l); return found })
	t.Errorf("%s of %s at serial %d: missing %.400q, too many %.400q", who, want.Apex(), got.Serial(), missing, more)
}
