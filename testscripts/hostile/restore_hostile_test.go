package hostile_test

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dnsctl/testbed"
)

// many makes n zones by one import.
func (r *rig) many(n int) {
	r.Helper()
	dir := filepath.Join(r.dir, "zones")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		r.Fatal(err)
	}
	for i := range n {
		text := "$TTL 300\n@ SOA ns1.example.net. h.example.net. 1 2 3 4 5\n@ NS ns1.example.net.\nwww A 192.0.2.1\n"
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("z%d.example.zone", i)), []byte(text), 0o600); err != nil {
			r.Fatal(err)
		}
	}
	r.ok("zone", "import", "zones", "-q")
}

// large makes one zone of n hosts.
func (r *rig) large(n int) {
	r.Helper()
	var text strings.Builder
	text.WriteString("$TTL 300\n@ SOA ns1.example.net. h.example.net. 1 2 3 4 5\n@ NS ns1.example.net.\n")
	for i := range n {
		fmt.Fprintf(&text, "host%d A 192.0.2.1\n", i)
	}
	r.write("large.example.zone", text.String())
	r.ok("zone", "import", "large.example.zone", "-q")
}

// on is the same rig on another database.
func (r *rig) on(url string) *rig {
	to := *r
	to.url, to.env = url, append(append([]string{}, r.env...), "DNSCTL_STORE="+url)
	return &to
}

// epoch is what db status says of it; "" for a store that is not initialised.
func (r *rig) epoch() string {
	r.Helper()
	for line := range strings.Lines(r.run("db", "status").stdout) {
		if e, ok := strings.CutPrefix(line, "epoch\t"); ok {
			return strings.TrimSpace(e)
		}
	}
	return ""
}

// TestARestoreThatIsKilledIsAllOrNothing kills it at several points, over an
// empty database and over one with content.
func TestARestoreThatIsKilledIsAllOrNothing(t *testing.T) {
	t.Parallel()
	source := newRig(t, "", "127.0.0.1:5300")
	source.large(60000)
	source.ok("db", "backup", "backup.db", "-q")
	pg := testbed.StartPostgres(t, testbed.PostgresOptions{NoFsync: true})
	for i, c := range []struct {
		name, kind string
		content    bool
		// when says whether the moment has come.
		when func(r *rig) bool
	}{
		{"empty, once its file is there", "sqlite", false, func(r *rig) bool { return size(r, "") > 0 }},
		{"empty, while it is written", "sqlite", false, func(r *rig) bool { return size(r, "-wal") > 1<<20 }},
		{"with content, while that is backed up", "sqlite", true, func(r *rig) bool { return found(r, ".backup-*") }},
		{"with content, when that is backed up", "sqlite", true, func(r *rig) bool { return found(r, "kept.db") }},
		{"with content, while it is written", "sqlite", true, func(r *rig) bool { return size(r, "-wal") > 2<<20 }},
		{"with content, when that is backed up", "postgres", true, func(r *rig) bool { return found(r, "kept.db") }},
		{"empty, once it has tables", "postgres", false, func(r *rig) bool { return strings.Contains(r.run("db", "status").stdout, "schema\t") }},
	} {
		t.Run(fmt.Sprintf("%d %s %s", i, c.kind, c.name), func(t *testing.T) {
			t.Parallel()
			url := "sqlite:" + filepath.Join(t.TempDir(), "target.db")
			if c.kind == "postgres" {
				url = pg.NewDatabase(t)
			}
			r := source.on(url)
			r.T, r.dir = t, t.TempDir()
			args := []string{"db", "restore", filepath.Join(source.dir, "backup.db")}
			if c.content {
				r.ok("db", "init")
				r.ok("pool", "create", "other", "--primary", "127.0.0.1:5300", "--ns", "ns1.example.net", "--email", "h@example.net")
				r.ok("zone", "create", "before.example")
				args = append(args, "--replace", "--other-store", "--keep", "kept.db")
			}
			d := r.start(args...)
			testbed.Eventually(t, patience, func() bool { return c.when(r) || d.ended() })
			d.kill()
			switch e := r.epoch(); {
			case e == "2": // it was done, or all but done
				r.ok("db", "new-epoch")
			case c.content && e == "1":
				if out := r.ok("zone", "list", "-o", "name"); out != "before.example.\n" {
					t.Errorf("after the kill: %q", out)
				}
				r.ok("record", "set", "before.example", "www", "A", "192.0.2.1") // it is whole
				args[len(args)-1] = "kept-again.db"
				r.ok(args...)
			case !c.content && (e == "" || e == "0"): // not initialised
				r.ok(args...)
			default:
				t.Fatalf("epoch %q after the kill", e)
			}
			if e := r.epoch(); e != "2" && e != "3" {
				t.Errorf("epoch %s", e)
			}
			if out := r.ok("zone", "list", "--columns", "zone,records", "--no-headers"); out != "large.example.\t60002\n" {
				t.Errorf("zones: %s", out)
			}
			if left, _ := filepath.Glob(filepath.Join(r.dir, ".backup-*")); len(left) > 1 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// size is that of the rig's database file, or of one beside it.
func size(r *rig, suffix string) int64 {
	info, err := os.Stat(strings.TrimPrefix(r.url, "sqlite:") + suffix)
	if err != nil {
		return 0
	}
	return info.Size()
}

func found(r *rig, pattern string) bool {
	list, _ := filepath.Glob(filepath.Join(r.dir, pattern))
	return len(list) > 0
}

// TestANewEpochThatIsKilledIsFinishedByTheNext kills it between two batches of
// zones. No second epoch is opened, and no zone is stepped twice.
func TestANewEpochThatIsKilledIsFinishedByTheNext(t *testing.T) {
	t.Parallel()
	r := newRig(t, "", "127.0.0.1:5300")
	r.many(1200)
	stepped := func() int {
		var n int
		querySQL(t, filepath.Join(r.dir, "dnsctl.db"), `SELECT count(*) FROM deltas WHERE epoch > 0`, &n)
		return n
	}
	d := r.start("db", "new-epoch")
	testbed.Eventually(t, patience, func() bool { return stepped() > 0 || d.ended() })
	d.kill()
	if n := stepped(); n == 0 || n >= 1200 {
		t.Fatalf("%d zones were stepped when it was killed", n)
	}
	if e := r.epoch(); e != "2" {
		t.Fatalf("epoch %s", e)
	}
	out := r.ok("db", "new-epoch")
	if !strings.Contains(out, "epoch\t2\n") || !strings.Contains(out, "pending\tno\n") {
		t.Errorf("the second run: %s", out)
	}
	for line := range strings.Lines(r.ok("zone", "list", "--columns", "serial", "--no-headers")) {
		if line != "2\n" {
			t.Fatalf("a zone has serial %s", line)
		}
	}
	if n := stepped(); n != 1200 {
		t.Errorf("%d zones were stepped", n)
	}
}

// TestARestoreOnAFullDiskChangesNothing has room for the backup of what is there,
// but not for what comes; then for neither.
func TestARestoreOnAFullDiskChangesNothing(t *testing.T) {
	t.Parallel()
	source := newRig(t, "", "127.0.0.1:5300")
	source.large(60000)
	source.ok("db", "backup", "backup.db", "-q")
	for _, c := range []struct{ name, fill, says, not string }{
		{"for what comes", "head -c 4000000 /dev/zero > mnt/fill", `mnt/dnsctl\.db: .*full`, `could not be backed up`},
		{"for the backup of what is there", "{ head -c 9000000 /dev/zero > mnt/fill; truncate -s -98304 mnt/fill; }", `nothing was changed, since what is there could not be backed up first`, `--replace`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "", "127.0.0.1:5300")
			r.ok("zone", "create", "before.example")
			script := `mount -t tmpfs -o size=6m tmpfs mnt && cp dnsctl.db mnt/ && ` + c.fill + ` || exit 9
"$@"; code=$?
test "$(dnsctl zone list -o name)" = before.example. || exit 7
dnsctl db status | grep -q '^epoch	1$' || exit 7
rm mnt/fill
dnsctl record set before.example a A 192.0.2.1 >&2 || exit 7
exit $code`
			r.env = append(r.env, "DNSCTL_STORE=sqlite:mnt/dnsctl.db")
			r.mounted(script, "db", "restore", filepath.Join(source.dir, "backup.db"), "--replace", "--other-store").
				check(t, 1, []string{`^dnsctl: error: .*` + c.says, `^dnsctl: hint: `, "!" + c.not})
		})
	}
}

// TestARestoreOfAnotherSchemaIsMigratedInACopy restores what the first version of
// the program has written.
func TestARestoreOfAnotherSchemaIsMigratedInACopy(t *testing.T) {
	t.Parallel()
	r := newRig(t, "", "127.0.0.1:5300")
	r.ok("zone", "create", "old.example")
	r.ok("db", "backup", "old.db", "-q")
	file := filepath.Join(r.dir, "old.db")
	base, err := os.ReadFile("../../store/migrations/sqlite/00001_base.sql")
	if err != nil {
		t.Fatal(err)
	}
	// The first schema, filled from the columns that it had.
	first := filepath.Join(r.dir, "first.db")
	r.write("first.db", "")
	execSQL(t, "sqlite", first, string(base))
	execSQL(t, "sqlite", first, `CREATE TABLE goose_db_version (id INTEGER PRIMARY KEY AUTOINCREMENT, version_id INTEGER NOT NULL, is_applied INTEGER NOT NULL, tstamp TIMESTAMP DEFAULT (datetime('now')));
		INSERT INTO goose_db_version (version_id, is_applied) VALUES (0, 1), (1, 1);`)
	copyColumns(t, file, first, "store", "epochs", "feed_head", "feed", "zones", "pools", "memberships", "editions", "contents", "rrsets", "tsig_keys")
	before, err := os.ReadFile(first)
	if err != nil {
		t.Fatal(err)
	}
	to := r.on("sqlite:" + filepath.Join(r.dir, "new", "dnsctl.db"))
	to.want(0, []string{`^epoch\t2$`}, "db", "restore", "first.db")
	if out := to.ok("zone", "list", "-o", "name"); out != "old.example.\n" {
		t.Errorf("zones: %s", out)
	}
	to.ok("tsig", "show", "main", "--for", "dig", "--show-secret")
	if after, err := os.ReadFile(first); err != nil || string(after) != string(before) {
		t.Errorf("the backup itself was changed: %v", err)
	}
	newer := filepath.Join(r.dir, "newer.db")
	copyFile(r, "old.db", "newer.db")
	execSQL(t, "sqlite", newer, `INSERT INTO goose_db_version (version_id, is_applied, tstamp) VALUES (999, 1, '2030-01-01')`)
	to.want(10, []string{`newer\.db has schema 999, which is newer`}, "db", "restore", "newer.db", "--replace")
}

// copyColumns copies the rows of tables from one SQLite file to another whose
// tables have fewer columns.
func copyColumns(t testing.TB, from, to string, tables ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", to)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, table := range tables {
		var columns string
		if err := db.QueryRow("SELECT group_concat(name) FROM pragma_table_info(?)", table).Scan(&columns); err != nil {
			t.Fatal(err)
		}
		execSQL(t, "sqlite", to, "ATTACH '"+from+"' AS b; INSERT INTO "+table+" ("+columns+") SELECT "+columns+" FROM b."+table)
	}
}
