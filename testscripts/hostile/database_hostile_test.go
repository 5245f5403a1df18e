package hostile_test

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	_ "github.com/lib/pq"
	_ "modernc.org/sqlite"

	"dnsctl/testbed"
)

// commandsOfAStore is one command of each kind that needs the store.
var commandsOfAStore = [][]string{
	{"zone", "list"}, {"zone", "import", "z.zone"}, {"zone", "create", "x.example"}, {"record", "list", "z.example"},
	{"record", "set", "z.example", "a", "A", "192.0.2.1"}, {"db", "migrate"}, {"db", "backup", "copy.db"}, {"audit"}, {"sync", "--yes"},
	{"bootstrap", "ns1"}, {"task", "list"}, {"quarantine", "list"}, {"mdns", "serve", "--listen", "127.0.0.1:1"}, {"tsig", "list"}, {"pool", "list"},
}

func TestStoresThatAreAbsentNewerOrEmptyAreExit10(t *testing.T) {
	t.Parallel()
	r := newRig(t, "", "127.0.0.1:5300")
	r.write("z.zone", "$TTL 300\n@ SOA ns1.example.net. h.example.net. 1 2 3 4 5\n@ NS ns1.example.net.\n")
	copyFile(r, "dnsctl.db", "newer.db")
	execSQL(t, "sqlite", filepath.Join(r.dir, "newer.db"), `INSERT INTO goose_db_version (version_id, is_applied, tstamp) VALUES (999, 1, '2030-01-01')`)
	r.write("empty.db", "")
	for name, c := range map[string]struct {
		store    string
		patterns []string
	}{
		"absent": {"folder/typo.db", []string{`^dnsctl: error: there is no store at .*folder/typo\.db$`, `^dnsctl: hint: make it with: dnsctl db init --store `}},
		"newer":  {"newer.db", []string{`newer\.db has schema 999, which is newer than this program's \d+$`, `^dnsctl: hint: use the newer dnsctl$`}},
		"empty":  {"empty.db", []string{`empty\.db is not initialised$`, `^dnsctl: hint: run: dnsctl --store sqlite:empty\.db db init$`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, args := range commandsOfAStore {
				if name == "empty" && args[len(args)-1] == "migrate" {
					continue
				}
				in := &rig{T: t, dir: r.dir, env: r.env}
				in.want(10, c.patterns, append(args, "--store", "sqlite:"+c.store)...)
			}
			if _, err := os.Stat(filepath.Join(r.dir, "folder")); err == nil {
				t.Error("a mistyped store's folder was made")
			}
		})
	}
	t.Run("init of a newer one", func(t *testing.T) {
		t.Parallel()
		in := &rig{T: t, dir: r.dir, env: r.env}
		in.want(10, []string{"newer than this program"}, "db", "init", "--store", "sqlite:newer.db")
		in.want(10, []string{"newer than this program"}, "db", "status", "--store", "sqlite:newer.db")
	})
}

func copyFile(r *rig, from, to string) {
	r.Helper()
	b, err := os.ReadFile(filepath.Join(r.dir, from))
	if err != nil {
		r.Fatal(err)
	}
	r.write(to, string(b))
}

// execSQL changes a database behind dnsctl's back.
func execSQL(t testing.TB, driver, dsn, query string, args ...any) int64 {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if driver == "sqlite" {
		if _, err := db.Exec("PRAGMA busy_timeout = 10000"); err != nil {
			t.Fatal(err)
		}
	}
	res, err := db.Exec(query, args...)
	if err != nil {
		t.Fatal(err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestStoresThatCannotBeWrittenSayWhereAndWhy runs as a user who may not write,
// and on a file system that is mounted read-only or is full, each made in a
// namespace of its own.
func TestStoresThatCannotBeWrittenSayWhereAndWhy(t *testing.T) {
	t.Parallel()
	t.Run("of another user", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, "", "127.0.0.1:5300")
		r.ok("zone", "create", "z.example")
		path := filepath.Join(r.dir, "dnsctl.db")
		if err := os.Chmod(path, 0o400); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"dnsctl.db-gate", "dnsctl.db-write", "dnsctl.db-wal", "dnsctl.db-shm"} {
			if err := os.Chmod(filepath.Join(r.dir, name), 0o400); err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
		}
		for dir, mode := range map[string]os.FileMode{r.dir: 0o555, filepath.Dir(r.dir): 0o755} {
			if err := os.Chmod(dir, mode); err != nil {
				t.Fatal(err)
			}
		}
		t.Cleanup(func() { _ = os.Chmod(r.dir, 0o700) })
		for _, args := range [][]string{{"record", "set", "z.example", "a", "A", "192.0.2.1"}, {"zone", "create", "y.example"}, {"mdns", "serve", "--listen", "127.0.0.1:1"}} {
			c := r.command(args...)
			if os.Geteuid() == 0 {
				c.Path, c.Dir = openTo(t, c.Path), "/"
				c.SysProcAttr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
			}
			runIt(t, c).check(t, 1, []string{`^dnsctl: error: .*dnsctl\.db`, `^dnsctl: hint: .*(writable|readable)`}, args...)
		}
	})
	t.Run("mounted read-only", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, "", "127.0.0.1:5300")
		r.ok("zone", "create", "z.example")
		script := `mount -t tmpfs -o size=4m tmpfs mnt && cp dnsctl.db mnt/ && mount -o remount,ro mnt && exec "$@"`
		r.mounted(script, "record", "set", "z.example", "a", "A", "192.0.2.1", "--store", "sqlite:mnt/dnsctl.db").
			check(t, 1, []string{`^dnsctl: error: .*mnt/dnsctl\.db.*[Rr]ead-only`, `^dnsctl: hint: .*writable`})
	})
	t.Run("read where it is mounted read-only", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, "", "127.0.0.1:5300")
		r.ok("zone", "create", "z.example")
		r.ok("zone", "create", "gone.example")
		r.ok("zone", "delete", "gone.example")
		script := `mount -t tmpfs -o size=4m tmpfs mnt && cp dnsctl.db mnt/ && mount -o remount,ro mnt || exit 9
test "$(dnsctl zone list -o name)" = z.example. || exit 7
dnsctl zone export z.example | grep -q SOA || exit 7
dnsctl zone show z.example >&2 && dnsctl record list z.example >&2 && dnsctl zone history gone.example >&2 || exit 7
dnsctl db status >&2 && dnsctl pool list >&2 && dnsctl tsig show main --for dig >&2 && dnsctl task list >&2 || exit 7
dnsctl mdns status >&2; test $? = 7 || exit 8
dnsctl db backup copy.db >&2 || exit 7
exec "$@"`
		r.env = append(r.env, "DNSCTL_STORE=sqlite:mnt/dnsctl.db")
		r.mounted(script, "mdns", "serve", "--listen", "127.0.0.1:1").
			check(t, 1, []string{`^dnsctl: error: .*mnt/dnsctl\.db.*[Rr]ead-only`, `^dnsctl: hint: .*writable`})
	})
	t.Run("full", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, "", "127.0.0.1:5300")
		r.ok("zone", "create", "z.example")
		var text strings.Builder
		text.WriteString("$TTL 300\n@ SOA ns1.example.net. h.example.net. 1 2 3 4 5\n@ NS ns1.example.net.\n")
		for i := range 30000 {
			fmt.Fprintf(&text, "host%d A 192.0.2.1\n", i)
		}
		r.write("large.zone", text.String())
		// What was there is read, what fails leaves nothing, and with room again all
		// goes on. 7 says that something in between was not as it should be.
		script := `mount -t tmpfs -o size=6m tmpfs mnt && cp dnsctl.db mnt/ && head -c 5000000 /dev/zero > mnt/fill || exit 9
"$@"; code=$?
test "$(dnsctl zone list -o name)" = z.example. || exit 7
dnsctl zone export z.example >&2 || exit 7
rm mnt/fill
dnsctl record set z.example a A 192.0.2.1 >&2 || exit 7
"$@" >&2 || exit 7
test "$(dnsctl zone list -o name | wc -l)" = 2 || exit 7
exit $code`
		r.env = append(r.env, "DNSCTL_STORE=sqlite:mnt/dnsctl.db")
		r.mounted(script, "zone", "import", "large.zone").
			check(t, 1, []string{`^dnsctl: failed: large\.zone: .*mnt/dnsctl\.db: .*full`, `^dnsctl: hint: the disk, .* is full: make room`})
	})
}

// openTo copies the binary to where any user may run it.
func openTo(t *testing.T, path string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "dnsctl-hostile-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "dnsctl")
	if err := os.WriteFile(out, b, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return out
}

// mounted runs a script with a folder mnt of its own to mount something on; "$@"
// is dnsctl with the arguments.
func (r *rig) mounted(script string, args ...string) result {
	r.Helper()
	if err := os.Mkdir(filepath.Join(r.dir, "mnt"), 0o700); err != nil {
		r.Fatal(err)
	}
	c := r.command(append([]string{"-c", script, "sh", "dnsctl"}, args...)...)
	c.Path = "/bin/sh"
	c.Args[0] = "sh"
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Cloneflags: syscall.CLONE_NEWNS, Unshareflags: 0}
	if os.Geteuid() != 0 {
		c.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		c.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		c.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	return runIt(r, c)
}

// TestPostgreSQLThatGoesAwayUnderCommandsAndUnderMDNS stops the server: commands
// say so, mdns goes on serving what it has, and catches up when it is back.
func TestPostgreSQLThatGoesAwayUnderCommandsAndUnderMDNS(t *testing.T) {
	t.Parallel()
	pg := testbed.StartPostgres(t, testbed.PostgresOptions{Private: true, NoFsync: true})
	r := newRig(t, pg.NewDatabase(t), "127.0.0.1:5300")
	_, rest, _ := strings.Cut(r.url, "dnsctl:")
	password, _, _ := strings.Cut(rest, "@")
	r.ok("zone", "create", "one.example")
	r.ok("zone", "create", "two.example")
	r.ok("record", "set", "one.example", "www", "A", "192.0.2.1")
	m := r.serve(testbed.FreeAddr(t), "--log-format", "json")
	key := r.key()
	ask := func(name string) bool {
		return strings.Contains(r.dig(m.addr, "-k", key, name, "AXFR"), "XFR size:")
	}
	if !ask("one.example") || !ask("two.example") {
		t.Fatal("the zones are not served")
	}
	pg.Stop(t)
	for _, args := range [][]string{{"zone", "list"}, {"record", "set", "one.example", "a", "A", "192.0.2.1"}, {"audit"}} {
		r.want(1, []string{`^dnsctl: error: .*store postgres://dnsctl@`, `^dnsctl: hint: .*is it running`, "!" + regexp.QuoteMeta(password)}, args...)
	}
	testbed.Eventually(t, patience, func() bool {
		code, body := m.get("/readyz")
		return code != 200 && body != ""
	})
	if code, _ := m.get("/healthz"); code != 200 {
		t.Errorf("it is not healthy without the database: %d", code)
	}
	for range 10 {
		if !ask("one.example") || !ask("two.example") {
			t.Fatalf("without the database a zone that it has is not served: %s", m.errs)
		}
	}
	pg.Start(t)
	r.ok("record", "set", "one.example", "www", "A", "192.0.2.2")
	testbed.Eventually(t, patience, func() bool {
		return strings.Contains(r.dig(m.addr, "-k", key, "+short", "www.one.example"), "192.0.2.2")
	})
	testbed.Eventually(t, patience, func() bool {
		code, _ := m.get("/readyz")
		return code == 200
	})
	if res := m.stop(); res.code != 0 && res.code != 130 {
		t.Errorf("mdns ends with %d", res.code)
	}
}

// TestDamagedRowsFailTheirZoneOnly changes rows by hand, as nobody should.
func TestDamagedRowsFailTheirZoneOnly(t *testing.T) {
	t.Parallel()
	r := newRig(t, "", "127.0.0.1:5300")
	for _, z := range []string{"good.example", "bad.example", "late.example"} {
		r.ok("zone", "create", z)
		r.ok("record", "set", z, "www", "A", "192.0.2.1")
	}
	m := r.serve(testbed.FreeAddr(t))
	key := r.key()
	axfr := func(name string) string { return r.dig(m.addr, "-k", key, name, "AXFR") }
	if !strings.Contains(axfr("late.example"), "XFR size") {
		t.Fatal("late.example is not served")
	}
	path := filepath.Join(r.dir, "dnsctl.db")
	damage := `UPDATE rrsets SET rdata = x'00' WHERE type = 1 AND content_id = (SELECT content_id FROM editions e JOIN zones z ON z.id = e.zone_id WHERE instr(z.name, CAST(? AS BLOB)) > 0)`
	for _, z := range []string{"bad", "late"} {
		if n := execSQL(t, "sqlite", path, damage, z); n == 0 {
			t.Fatalf("%s has no such row", z)
		}
	}
	// One was in memory when it happened, the other has to be read.
	if out := r.dig(m.addr, "-k", key, "www.bad.example", "A"); !strings.Contains(out, "SERVFAIL") {
		t.Errorf("a damaged zone: %s", out)
	}
	if out := axfr("bad.example"); !strings.Contains(out, "Transfer failed") {
		t.Errorf("a damaged zone's transfer: %s", out)
	}
	if out := axfr("late.example"); !strings.Contains(out, "XFR size") {
		t.Errorf("the version in memory was given up: %s", out)
	}
	r.want(1, []string{`^dnsctl: error: .*bad\.example`, `^dnsctl: hint: `}, "zone", "export", "bad.example")
	r.want(1, []string{`^dnsctl: error: .*bad\.example`}, "record", "list", "bad.example")
	r.want(1, []string{`bad\.example`, `^dnsctl: hint: .*delete the zone and import it again$`}, "zone", "import", "--zone", "bad.example", r.write("bad.zone", "$TTL 300\n@ SOA ns1.example.net. h.example.net. 1 2 3 4 5\n@ NS ns1.example.net.\n"))
	if out := axfr("good.example"); !strings.Contains(out, "XFR size") {
		t.Errorf("another zone: %s", out)
	}
	r.ok("record", "set", "good.example", "www", "A", "192.0.2.2")
	testbed.Eventually(t, patience, func() bool {
		return strings.Contains(r.dig(m.addr, "-k", key, "+short", "www.good.example"), "192.0.2.2")
	})
	if !strings.Contains(m.errs.String(), "bad.example") {
		t.Errorf("the log does not name it: %s", m.errs)
	}
	// The remedy works.
	r.ok("zone", "delete", "bad.example")
	r.ok("zone", "import", "--zone", "bad.example", "bad.zone")
	testbed.Eventually(t, patience, func() bool { return strings.Contains(axfr("bad.example"), "XFR size") })
	// All are listed all the same.
	if out := r.ok("zone", "list", "-o", "name"); strings.Count(out, "\n") != 3 {
		t.Errorf("zone list: %s", out)
	}
}

// TestADamagedZoneDoesNotKeepMDNSFromServingTheOthers spoils what mdns reads of
// every zone when it starts.
func TestADamagedZoneDoesNotKeepMDNSFromServingTheOthers(t *testing.T) {
	t.Parallel()
	addr := testbed.FreeAddr(t)
	r := newRig(t, "", addr)
	for _, z := range []string{"good.example", "bad.example"} {
		r.ok("zone", "create", z)
	}
	m := r.serve(addr)
	key := r.key()
	served := func(name string) bool { return strings.Contains(r.dig(addr, "-k", key, name, "NS"), "ANSWER: 1") }
	if !served("good.example") || !served("bad.example") {
		t.Fatal("the zones are not served")
	}
	path := filepath.Join(r.dir, "dnsctl.db")
	execSQL(t, "sqlite", path, `UPDATE editions SET soa = x'00' WHERE zone_id = (SELECT id FROM zones WHERE instr(name, CAST('bad' AS BLOB)) > 0)`)
	// A feed that has lost entries makes it load everything again.
	execSQL(t, "sqlite", path, `DELETE FROM feed WHERE pos > 1`)
	r.ok("record", "set", "good.example", "www", "A", "192.0.2.1")
	testbed.Eventually(t, patience, func() bool {
		return strings.Contains(r.dig(addr, "-k", key, "+short", "www.good.example"), "192.0.2.1")
	})
	if !served("bad.example") {
		t.Errorf("the last good version was given up: %s", m.errs)
	}
	m.kill()
	m = r.serve(addr)
	if !served("good.example") {
		t.Error("the other zone is not served after a restart")
	}
	if !strings.Contains(m.errs.String(), `msg="zone cannot be read" zone=bad.example.`) {
		t.Errorf("the log does not name it: %s", m.errs)
	}
	r.want(4, []string{`^good\.example\.\t`, `^dnsctl: error: .*bad\.example`, `^dnsctl: hint: .*restore a backup`}, "zone", "list")
	r.want(4, []string{`^epoch\t2$`, `^stepped\t1$`, `^dnsctl: warning: .*bad\.example`}, "db", "new-epoch")
	for _, args := range [][]string{{"zone", "show", "bad.example"}, {"zone", "export", "bad.example"}} {
		r.want(1, []string{`^dnsctl: error: .*bad\.example`, `^dnsctl: hint: .*restore a backup`}, args...)
	}
}

// querySQL reads one row.
func querySQL(t testing.TB, path, query string, dest ...any) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?mode=ro&_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRow(query).Scan(dest...); err != nil {
		t.Fatal(err)
	}
}
