package hostile_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"dnsctl/testbed"
)

// filled is a nameserver, or two, that a database of one kind has filled.
type filled struct {
	*rig
	pg      *testbed.Postgres
	addr    string // of mdns
	m       *mdns
	servers []*testbed.Named
}

func newFilled(t *testing.T, kind string, servers int) *filled {
	t.Helper()
	f := &filled{addr: testbed.FreeAddr(t)}
	url := ""
	if kind == "postgres" {
		f.pg = testbed.StartPostgres(t, testbed.PostgresOptions{NoFsync: true})
		url = f.pg.NewDatabase(t)
	}
	f.rig = newRig(t, url, f.addr)
	for _, z := range []string{"a.example", "b.example", "c.example"} {
		f.ok("zone", "create", z)
	}
	f.m = f.serve(f.addr)
	for i := range servers {
		f.servers = append(f.servers, f.add(fmt.Sprintf("ns%d", i+1)))
	}
	return f
}

// add bootstraps one more nameserver.
func (f *filled) add(name string) *testbed.Named {
	f.Helper()
	n := testbed.StartNamed(f, testbed.NamedOptions{AllowNewZones: true, Config: f.ok("tsig", "show", "main", "--for", "bind", "--show-secret")})
	f.join(f.rig, name, n)
	f.ok("bootstrap", name, "--wait")
	return n
}

func (f *filled) join(r *rig, name string, n *testbed.Named) result {
	r.Helper()
	return r.want(0, nil, "server", "add", name, "--type", "bind", "--address", n.Addr, "--control", "rndc://"+n.ControlAddr, "--stats", n.StatsURL, "--control-key-file", n.KeyFile)
}

// copied is the database as it is now, in a place of its own: a backup by other
// tools, or a standby. pg is the server that it is on, nil on SQLite.
func (r *rig) copied(pg *testbed.Postgres) *rig {
	r.Helper()
	var url string
	if pg == nil {
		file := filepath.Join(r.TempDir(), "copy.db")
		execSQL(r, "sqlite", strings.TrimPrefix(r.url, "sqlite:"), "VACUUM INTO ?", file)
		if err := os.Chmod(file, 0o600); err != nil {
			r.Fatal(err)
		}
		url = "sqlite:" + file
	} else {
		url = pg.NewDatabase(r)
		bin, err := filepath.Glob("/usr/lib/postgresql/*/bin")
		if err != nil || len(bin) == 0 {
			r.Fatal("there is no pg_dump")
		}
		out, err := exec.Command("sh", "-c", `"$1"/pg_dump --dbname="$2" | "$1"/psql -q --dbname="$3"`, "sh", bin[len(bin)-1], r.url, url).CombinedOutput()
		if err != nil {
			r.Fatalf("copy the database: %v: %s", err, out)
		}
	}
	return r.on(url)
}

// goOn changes the database, and waits until the nameservers have all of it and
// their markers are past it.
func (f *filled) goOn() {
	f.Helper()
	f.ok("record", "set", "a.example", "www", "A", "192.0.2.1")
	f.ok("record", "set", "a.example", "www", "A", "192.0.2.2")
	f.ok("zone", "create", "new.example") // which the marker is moved past
	f.ok("zone", "delete", "b.example")
	for i, n := range f.servers {
		testbed.EventuallyNil(f, patience, func() error {
			if got := f.serials(n.Addr, "a.example")[0]; got != 3 {
				return fmt.Errorf("ns%d has a.example at %d", i+1, got)
			}
			if !strings.Contains(f.dig(n.Addr, "+norecurse", "new.example", "SOA"), "NOERROR") || strings.Contains(f.dig(n.Addr, "+norecurse", "b.example", "SOA"), "NOERROR") {
				return fmt.Errorf("ns%d has not all zones", i+1)
			}
			return nil
		})
	}
}

// serials is what a nameserver answers; 0 for what it does not have.
func (r *rig) serials(addr string, zones ...string) []uint32 {
	out := make([]uint32, len(zones))
	for i, z := range zones {
		if f := strings.Fields(r.dig(addr, "+norecurse", "+short", z, "SOA")); len(f) == 7 {
			n, err := strconv.ParseUint(f[2], 10, 32)
			if err == nil {
				out[i] = uint32(n)
			}
		}
	}
	return out
}

// watch asks a nameserver for serials all the time, until the test ends, and
// fails it when one goes back.
func (f *filled) watch(n *testbed.Named, zones ...string) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		last := make([]uint32, len(zones))
		for ctx.Err() == nil {
			for i, s := range f.serials(n.Addr, zones...) {
				if s != 0 && int32(s-last[i]) < 0 {
					f.Errorf("%s went back from %d to %d", zones[i], last[i], s)
				}
				if s != 0 {
					last[i] = s
				}
			}
			select {
			case <-ctx.Done():
			case <-time.After(20 * time.Millisecond):
			}
		}
	})
	f.Cleanup(func() { cancel(); wg.Wait() })
}

// TestAfterANewEpochTheFleetConverges puts an older copy in the place of the
// database, and says so. One server cannot be read at first; the run is killed in
// the middle.
func TestAfterANewEpochTheFleetConverges(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"sqlite", "postgres"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			f := newFilled(t, kind, 2)
			old := f.copied(f.pg)
			f.goOn()
			for i := range 7 {
				f.ok("record", "set", "a.example", "more", "A", fmt.Sprintf("192.0.2.%d", i+1))
			}
			for _, n := range f.servers {
				testbed.Eventually(t, patience, func() bool { return f.serials(n.Addr, "a.example")[0] == 10 })
				f.watch(n, "a.example", "c.example", "new.example")
			}
			f.m.kill()
			// The copy goes on by itself, under serials that the servers know otherwise.
			old.ok("record", "set", "a.example", "fork", "A", "192.0.2.99")
			f.servers[1].Stop(t)
			old.want(5, []string{`server ns2 cannot be read`, `hint: .*--without ns2`}, "db", "new-epoch")
			if out := old.ok("db", "status"); !strings.Contains(out, "epoch\t1\n") {
				t.Errorf("an epoch was opened all the same: %s", out)
			}
			f.servers[1].Restart(t)
			m := old.serve(f.addr)
			old.ok("db", "new-epoch")
			old.want(5, []string{"server accept ns1"}, "sync", "--yes")
			if got, _ := old.soa(m.addr, "a.example"); got != 11 {
				t.Errorf("a.example is at %d on mdns, not past 10", got)
			}
			if out := old.ok("server", "list"); strings.Count(out, "\twarn") != 2 {
				t.Errorf("not all servers are on warn: %s", out)
			}
			old.ok("server", "accept", "ns1", "--yes")
			old.ok("server", "accept", "ns2", "--yes")
			// new.example carries our key and is unknown: evidence, never deleted.
			old.want(5, []string{`new\.example\.\tforeign\tdelete\twithheld`}, "sync", "--yes")
			for i, n := range f.servers {
				testbed.EventuallyNil(t, patience, func() error {
					if out := f.dig(n.Addr, "+norecurse", "+short", "fork.a.example", "A"); out != "192.0.2.99\n" {
						return fmt.Errorf("ns%d does not have what the copy has: %s", i+1, out)
					}
					if out := f.dig(n.Addr, "+norecurse", "+short", "more.a.example", "A"); out != "" {
						return fmt.Errorf("ns%d has what the copy does not have: %s", i+1, out)
					}
					if !strings.Contains(f.dig(n.Addr, "+norecurse", "b.example", "SOA"), "NOERROR") {
						return fmt.Errorf("ns%d does not have b.example", i+1)
					}
					return nil
				})
			}
			m.stop()
		})
	}
}

// TestAZoneThatArrivedSignedIsLeftBehindByANewEpoch puts an older copy in the
// place of the database, of a zone whose signatures nobody here can make: its
// serial is never stepped, that is said, and the zone signed anew by its signer
// brings the fleet together.
func TestAZoneThatArrivedSignedIsLeftBehindByANewEpoch(t *testing.T) {
	t.Parallel()
	f := newFilled(t, "sqlite", 0)
	signed, err := os.ReadFile("../../testdata/sample/signed/signed.example.zone")
	if err != nil {
		t.Fatal(err)
	}
	const first = "2024030110"
	version := func(serial string) string {
		text := strings.Replace(string(signed), first+" ; serial", serial+" ; serial", 1)
		if serial != first && text == string(signed) {
			t.Fatal("the sample has another serial")
		}
		return f.write("signed.zone", text)
	}
	f.ok("zone", "import", "--zone", "signed.example", version(first))
	n := f.add("ns1")
	old := f.copied(f.pg)
	f.ok("zone", "import", "--zone", "signed.example", version("2024030111"))
	testbed.Eventually(t, patience, func() bool { return f.serials(n.Addr, "signed.example")[0] == 2024030111 })
	f.watch(n, "signed.example")
	f.m.kill()

	m := old.serve(f.addr)
	old.want(4, []string{`signed\.example\.: a nameserver has serial 2024030111, ahead of 2024030110: it arrived signed and is never re-serialled: sign it anew past that serial and import it`}, "db", "new-epoch")
	old.ok("server", "accept", "ns1", "--yes")
	old.want(3, []string{`^ns1\tsigned\.example\.\tahead\t`}, "audit")
	old.ok("zone", "import", "--zone", "signed.example", version("2024030112"))
	testbed.Eventually(t, patience, func() bool { return f.serials(n.Addr, "signed.example")[0] == 2024030112 })
	old.ok("audit")
	m.stop()
}

// soa is the serial that mdns serves.
func (r *rig) soa(addr, name string) (uint32, string) {
	out := r.dig(addr, "-k", r.key(), "+short", name, "SOA")
	if f := strings.Fields(out); len(f) == 7 {
		if n, err := strconv.ParseUint(f[2], 10, 32); err == nil {
			return uint32(n), out
		}
	}
	return 0, out
}
