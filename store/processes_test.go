package store_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"dnsctl/fleet"
	"dnsctl/report"
	"dnsctl/store"
	"dnsctl/store/storetest"
	"dnsctl/testbed"
	"dnsctl/zone"
)

// helperURL, when it is set, makes this program a process that stages zones
// into that store until it is killed.
const helperURL = "DNSCTL_STORETEST_STAGE"

func TestMain(m *testing.M) {
	if url := os.Getenv(helperURL); url != "" {
		fmt.Fprintln(os.Stderr, stageForEver(url))
		os.Exit(1)
	}
	os.Exit(testbed.Main(m))
}

func stageForEver(url string) error {
	ctx := context.Background()
	s, err := store.Open(ctx, url, store.Options{})
	if err != nil {
		return err
	}
	z := storetest.Content(&testing.T{}, "import.example.", 300_000)
	_, _ = fmt.Fprintln(os.Stdout, "staging")
	for {
		if _, err := s.Stage(ctx, z); err != nil {
			return err
		}
	}
}

// database opens a fresh store and returns its URL.
func database(t *testing.T, url string, o store.Options) *store.Store {
	t.Helper()
	o.Create, o.AnySchema = true, true
	s, err := store.Open(t.Context(), url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if _, err := s.Init(t.Context(), "age1recipient"); err != nil {
		t.Fatal(err)
	}
	return s
}

// around is a way to a database around the store.
func around(t *testing.T, driver, dsn string) *sqlx.DB {
	t.Helper()
	db, err := sqlx.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func onSQLite(t *testing.T, test func(t *testing.T, url string, raw *sqlx.DB)) {
	path := filepath.Join(t.TempDir(), "store.db")
	test(t, "sqlite:"+path, around(t, "sqlite", "file:"+path+"?_pragma=busy_timeout(10000)"))
}

// onBoth runs a test on both databases.
func onBoth(t *testing.T, test func(t *testing.T, url string, raw *sqlx.DB)) {
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		onSQLite(t, test)
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		url := testbed.StartPostgres(t, testbed.PostgresOptions{NoFsync: true}).NewDatabase(t)
		test(t, url, around(t, "postgres", url))
	})
}

func create(z *zone.Snapshot) fleet.Commit {
	return fleet.Commit{Creates: []fleet.Create{{Name: z.Apex(), Kind: fleet.Ordinary, SerialStyle: zone.SerialIncrement, Content: z}}}
}

// until waits for a condition.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("waited 30 s for %s", what)
		}
		<-tick.C
	}
}

func TestImportThatIsKilledLeavesNothing(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, url string, raw *sqlx.DB) {
		s := database(t, url, store.Options{})
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), helperURL+"="+url)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stderr = t.Output()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := false
		defer func() {
			if !ended {
				_ = cmd.Process.Kill()
				_ = cmd.Wait()
			}
		}()
		if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "staging\n" {
			t.Fatalf("helper said %q, %v", line, err)
		}
		rows := func() (n int) {
			if err := raw.Get(&n, `SELECT count(*) FROM rrsets`); err != nil {
				t.Fatal(err)
			}
			return n
		}
		until(t, "staged rows", func() bool { return rows() > 20_000 })
		// While it runs, and after it was killed, others write at once.
		if _, err := s.Commit(t.Context(), create(storetest.Content(t, "a.example.", 5))); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		ended = true
		if _, err := s.Commit(t.Context(), create(storetest.Content(t, "b.example.", 5))); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Zone(t.Context(), zone.MustParseName("import.example.")); !errors.Is(err, fleet.ErrNoZone) {
			t.Errorf("half an import is there: %v", err)
		}
		if st, err := s.Status(t.Context()); err != nil || st.Feed != 2 || st.Unswept == 0 {
			t.Errorf("status %+v, %v", st, err)
		}
		later, err := store.Open(t.Context(), url, store.Options{Clock: func() time.Time { return time.Now().Add(time.Hour) }})
		if err != nil {
			t.Fatal(err)
		}
		defer later.Close()
		if err := later.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if st, err := s.Status(t.Context()); err != nil || st.Unswept != 0 || rows() != 14 {
			t.Errorf("status %+v, %d rows, %v", st, rows(), err)
		}
	})
}

// TestDamagedRowsAreNamedAndNeverPanic spoils what a zone is made of.
func TestDamagedRowsAreNamedAndNeverPanic(t *testing.T) {
	t.Parallel()
	hex := func(b string) string { return fmt.Sprintf("%x", b) }
	key := func(n string) string { return hex(string(zone.MustParseName(n).Key())) }
	h := key("host0000003.a.example.")
	for name, c := range map[string]struct {
		q    string // with X'..' for octets
		rrs  bool   // of an RRset: named with the zone
		part string
	}{
		"owner without end":     {`UPDATE rrsets SET owner = X'` + h[:len(h)-2] + `' WHERE owner = X'` + h + `'`, true, "malformed"},
		"owner escaped badly":   {`UPDATE rrsets SET owner = X'` + key("a.example.") + `01ff00' WHERE owner = X'` + h + `'`, true, "malformed"},
		"owner too long":        {`UPDATE rrsets SET owner = X'` + key("a.example.") + strings.Repeat("6100", 200) + `' WHERE owner = X'` + h + `'`, true, "malformed"},
		"owner outside":         {`UPDATE rrsets SET owner = X'` + key("b.test.") + `' WHERE owner = X'` + h + `'`, true, "not in the zone"},
		"owner before the apex": {`UPDATE rrsets SET owner = X'` + key("aaa.") + `' WHERE owner = X'` + h + `'`, true, "not in the zone"},
		"spelling of another":   {`UPDATE rrsets SET owner_case = X'` + hex(string(zone.MustParseName("OTHER."))) + `' WHERE owner = X'` + h + `'`, true, "spelling"},
		"spelling cut short":    {`UPDATE rrsets SET owner_case = X'3f' WHERE owner = X'` + h + `'`, true, "spelling"},
		"rdata cut short":       {`UPDATE rrsets SET rdata = X'00040a' WHERE owner = X'` + h + `'`, true, "rdata"},
		"rdata empty":           {`UPDATE rrsets SET rdata = X'' WHERE owner = X'` + h + `'`, true, "rdata"},
		"rdata unsorted":        {`UPDATE rrsets SET rdata = X'000402020202000401010101' WHERE owner = X'` + h + `'`, true, "rdata"},
		"no SOA":                {`DELETE FROM rrsets WHERE type = 6`, false, "no SOA"},
		"SOA is garbage":        {`UPDATE rrsets SET rdata = X'0001ff' WHERE type = 6`, false, "SOA"},
		"no rows":               {`DELETE FROM rrsets`, false, "no SOA"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			on := onSQLite
			if name == "rdata cut short" { // what reads them is the same on both
				on = onBoth
			}
			on(t, func(t *testing.T, url string, raw *sqlx.DB) {
				s := database(t, url, store.Options{})
				if _, err := s.Commit(t.Context(), create(storetest.Content(t, "a.example.", 10))); err != nil {
					t.Fatal(err)
				}
				z, err := s.Zone(t.Context(), zone.MustParseName("a.example."))
				if err != nil {
					t.Fatal(err)
				}
				spoil(t, raw, c.q)
				_, _, err = s.Snapshot(t.Context(), z.Edition.ID)
				if !errors.Is(err, fleet.ErrCorrupt) || !strings.Contains(err.Error(), c.part) || !strings.Contains(err.Error(), "a.example.") {
					t.Errorf("snapshot: %v", err)
				}
				if c.rrs && !strings.Contains(err.Error(), " A:") && !strings.Contains(err.Error(), "type A") {
					t.Errorf("the row is not named: %v", err)
				}
				if got, err := s.Snapshots(t.Context(), []int64{z.Edition.ID, 99}); err != nil || len(got) != 0 {
					t.Errorf("snapshots: %v, %v", got, err)
				}
			})
		})
	}
	for name, c := range map[string]struct {
		q    string
		part string
	}{
		"name":     {`UPDATE zones SET name = X'ff'`, "zone 1"},
		"spelling": {`UPDATE zones SET name_case = X'ff'`, "zone 1"},
		"SOA":      {`UPDATE editions SET soa = X'00'`, "SOA"},
	} {
		t.Run("zone's "+name, func(t *testing.T) {
			t.Parallel()
			onSQLite(t, func(t *testing.T, url string, raw *sqlx.DB) {
				s := database(t, url, store.Options{})
				p, err := s.CreatePool(t.Context(), fleet.Pool{Name: "eu"}, nil, fleet.By{})
				if err != nil {
					t.Fatal(err)
				}
				v, err := s.AddServer(t.Context(), fleet.Server{Name: "ns1", Type: "bind", Pools: []fleet.Pool{p}}, fleet.By{})
				if err != nil {
					t.Fatal(err)
				}
				commit := create(storetest.Content(t, "a.example.", 1))
				commit.Creates[0].Pools = []int64{p.ID}
				if _, err := s.Commit(t.Context(), commit); err != nil {
					t.Fatal(err)
				}
				spoil(t, raw, c.q)
				var index error // of the row, which is not that of the whole
				if _, err := s.Index(t.Context(), func(v fleet.Served) error { index = v.Damage; return nil }); err != nil {
					t.Errorf("index: %v", err)
				}
				_, wanted := s.Wanted(t.Context(), v.ID, func(fleet.Wanted) error { return nil })
				for what, err := range map[string]error{
					"zones":  s.Zones(t.Context(), fleet.ZoneFilter{}, func(fleet.Zone) error { return nil }),
					"index":  index,
					"wanted": wanted,
				} {
					if !errors.Is(err, fleet.ErrCorrupt) || !strings.Contains(err.Error(), c.part) {
						t.Errorf("%s: %v", what, err)
					}
				}
			})
		})
	}
	t.Run("delta", func(t *testing.T) {
		t.Parallel()
		onSQLite(t, func(t *testing.T, url string, raw *sqlx.DB) {
			s := database(t, url, store.Options{})
			snap := storetest.Content(t, "a.example.", 2)
			out, err := s.Commit(t.Context(), create(snap))
			if err != nil {
				t.Fatal(err)
			}
			z, err := s.Zone(t.Context(), snap.Apex())
			if err != nil {
				t.Fatal(err)
			}
			next, d := storetest.Change(t, snap)
			_, err = s.Commit(t.Context(), fleet.Commit{Edits: []fleet.Edit{{Zone: z, Base: 1, Put: []zone.RRset{next.SOASet()}, Delta: d, RRsets: 4, Records: 5}}})
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range []string{"", "00", "ff", "0000010001"} {
				spoil(t, raw, `UPDATE deltas SET removed = X'`+b+`'`)
				if _, err := s.Deltas(t.Context(), out[0].Edition, 1, 2, 1<<20); !errors.Is(err, fleet.ErrCorrupt) {
					t.Errorf("removed %q: %v", b, err)
				}
			}
		})
	})
}

// spoil runs an UPDATE with octets written X'..'.
func spoil(t *testing.T, raw *sqlx.DB, q string) {
	t.Helper()
	if raw.DriverName() == "postgres" {
		q = strings.ReplaceAll(q, "X'", `'\x`)
	}
	if _, err := raw.Exec(q); err != nil {
		t.Fatal(err)
	}
}

func TestPostgreSQLThatGoesAwayIsAnErrorAndComesBack(t *testing.T) {
	t.Parallel()
	p := testbed.StartPostgres(t, testbed.PostgresOptions{NoFsync: true, Private: true})
	url := p.NewDatabase(t)
	s := database(t, url, store.Options{})
	wake := s.Wake(t.Context())
	if _, err := s.Commit(t.Context(), create(storetest.Content(t, "a.example.", 5))); err != nil {
		t.Fatal(err)
	}
	<-wake
	p.Stop(t)
	_, err := s.Commit(t.Context(), create(storetest.Content(t, "b.example.", 5)))
	if _, hint := report.ExitOf(err); err == nil || hint == "" || !strings.Contains(err.Error(), "postgres://") || strings.Contains(err.Error(), password(url)) {
		t.Errorf("commit: %v; hint: %s", err, hint)
	}
	if _, err := store.Open(t.Context(), url, store.Options{}); err == nil || strings.Contains(err.Error(), password(url)) {
		t.Errorf("open: %v", err)
	}
	select {
	case <-wake:
	default:
	}
	p.Start(t)
	until(t, "a wake-up after the reconnection", func() bool {
		select {
		case <-wake:
			return true
		default:
			return false
		}
	})
	until(t, "a commit", func() bool {
		_, err := s.Commit(t.Context(), create(storetest.Content(t, "b.example.", 5)))
		return err == nil
	})
}

func password(url string) string {
	_, rest, _ := strings.Cut(url, "dnsctl:")
	pw, _, _ := strings.Cut(rest, "@")
	return pw
}

func TestPostgreSQLThatIsNotThereSaysSo(t *testing.T) {
	t.Parallel()
	p := testbed.StartPostgres(t, testbed.PostgresOptions{NoFsync: true})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := l.Addr().String()
	_ = l.Close()
	for name, c := range map[string]struct {
		url  string
		exit report.Exit
		part string
	}{
		"no database":     {p.URL("nothere"), report.ExitStore, "createdb"},
		"wrong password":  {strings.Replace(p.URL("postgres"), password(p.URL("x")), "wrong", 1), report.ExitFailed, "password"},
		"nobody there":    {"postgres://u:SECRETWORD@" + closed + "/x", report.ExitFailed, "is it running"},
		"not initialised": {p.NewDatabase(t), report.ExitStore, "db init"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := store.Open(t.Context(), c.url, store.Options{})
			exit, hint := report.ExitOf(err)
			if err == nil || exit != c.exit || !strings.Contains(hint, c.part) || strings.Contains(err.Error(), "SECRETWORD") {
				t.Errorf("error %v, exit %d, hint %q", err, exit, hint)
			}
		})
	}
}
