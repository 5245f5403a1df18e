package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"dnsctl/fleet"
	"dnsctl/report"
	"dnsctl/zone"
)

func testStore(t *testing.T) (*Store, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "store.db")
	s, err := Open(t.Context(), "sqlite:"+path, Options{Create: true, Recipient: func(context.Context) (string, error) { return "age1recipient", nil }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, path
}

func testZone(t *testing.T, apex string, hosts int) *zone.Snapshot {
	t.Helper()
	n := zone.MustParseName(apex)
	b := zone.NewBuilder(n, hosts+1)
	soa := zone.SOA{MName: n, RName: n, Serial: 1}
	b.Add(zone.RRset{Owner: n, Type: zone.TypeSOA, Data: zone.PackRdata(soa.Rdata())})
	for i := range hosts {
		host, err := n.Prepend(strings.Repeat("x", 40) + string([]byte{byte('a' + i/676%26), byte('a' + i/26%26), byte('a' + i%26)}))
		if err != nil {
			t.Fatal(err)
		}
		b.Add(zone.RRset{Owner: host, Type: zone.TypeA, Data: zone.PackRdata("\x01\x02\x03\x04")})
	}
	s, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func createOf(s *zone.Snapshot) fleet.Commit {
	return fleet.Commit{Creates: []fleet.Create{{Name: s.Apex(), Kind: fleet.Ordinary, SerialStyle: zone.SerialIncrement, Content: s}}}
}

// wantTrouble checks an error for people: the place, the cause, and a remedy.
func wantTrouble(t *testing.T, err error, exit report.Exit, parts ...string) {
	t.Helper()
	code, hint := report.ExitOf(err)
	if err == nil || code != exit || hint == "" {
		t.Fatalf("error %v, exit %d, hint %q", err, code, hint)
	}
	for _, p := range parts {
		if !strings.Contains(err.Error()+" "+hint, p) {
			t.Errorf("no %q in: %v; hint: %s", p, err, hint)
		}
	}
}

func TestStoresThatCannotBeOpenedSayWhy(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, c := range map[string]struct {
		path  string
		parts []string
	}{
		"absent":         {filepath.Join(dir, "nothere.db"), []string{"nothere.db", "db init"}},
		"empty":          {write("empty.db", ""), []string{"empty.db", "not initialised", "db init"}},
		"not a database": {write("text.db", strings.Repeat("this is a text\n", 1000)), []string{"text.db", "not an SQLite database"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Open(t.Context(), "sqlite:"+c.path, Options{})
			wantTrouble(t, err, report.ExitStore, c.parts...)
			if name == "absent" {
				if _, err := os.Stat(c.path); err == nil {
					t.Error("it was made")
				}
			}
		})
	}
}

func TestSchemaOfAnotherProgramIsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change string
		parts  []string
	}{
		"newer": {`INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, 1)`, []string{"999", "newer", "use the newer dnsctl"}},
		"older": {`DELETE FROM goose_db_version WHERE version_id > 0`, []string{"db migrate"}},
		"none":  {`DELETE FROM store`, []string{"not initialised", "db init"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, path := testStore(t)
			if _, err := s.write.Exec(c.change); err != nil {
				t.Fatal(err)
			}
			for _, o := range []Options{{}, {ReadOnly: true}} {
				_, err := Open(t.Context(), "sqlite:"+path, o)
				wantTrouble(t, err, report.ExitStore, append(c.parts, path)...)
			}
			if any, err := Open(t.Context(), "sqlite:"+path, Options{AnySchema: true}); err != nil {
				t.Error(err)
			} else {
				if st, err := any.Status(t.Context()); err != nil || name == "newer" && st.Schema != 999 {
					t.Errorf("status %+v, %v", st, err)
				}
				if _, err := any.Migrate(t.Context()); name == "newer" && err == nil {
					t.Error("migrated a newer one")
				}
				_ = any.Close()
			}
		})
	}
}

// TestFullDiskLosesNothing bounds the database's pages, which SQLite reports as
// it does a full disk.
func TestFullDiskLosesNothing(t *testing.T) {
	t.Parallel()
	s, path := testStore(t)
	small := testZone(t, "small.example.", 3)
	if _, err := s.Commit(t.Context(), createOf(small)); err != nil {
		t.Fatal(err)
	}
	var pages int
	if err := s.write.Get(&pages, "PRAGMA page_count"); err != nil {
		t.Fatal(err)
	}
	limit := func(n int) {
		t.Helper()
		if err := s.write.Get(new(int), fmt.Sprintf("PRAGMA max_page_count = %d", n)); err != nil {
			t.Fatal(err)
		}
	}
	limit(pages + 10)
	big := testZone(t, "big.example.", 5000)
	_, err := s.Commit(t.Context(), createOf(big))
	wantTrouble(t, err, report.ExitFailed, path, "full", "make room")
	_, err = s.Stage(t.Context(), big)
	wantTrouble(t, err, report.ExitFailed, path, "full")
	if _, err := s.Zone(t.Context(), big.Apex()); !errors.Is(err, fleet.ErrNoZone) {
		t.Errorf("half a zone: %v", err)
	}
	if z, err := s.Zone(t.Context(), small.Apex()); err != nil {
		t.Error(err)
	} else if _, _, err := s.Snapshot(t.Context(), z.Edition.ID); err != nil {
		t.Error(err)
	}
	limit(1 << 30)
	if _, err := s.Commit(t.Context(), createOf(big)); err != nil {
		t.Errorf("after room was made: %v", err)
	}
	if st, err := s.Status(t.Context()); err != nil || st.Feed != 2 {
		t.Errorf("status %+v, %v", st, err)
	}
}

// TestStoreWithoutPermissionSaysSo looks at files as another user when it runs
// as root, whom no mode stops.
func TestStoreWithoutPermissionSaysSo(t *testing.T) {
	t.Parallel()
	s, path := testStore(t)
	if _, err := s.Commit(t.Context(), createOf(testZone(t, "a.example.", 1))); err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if os.Geteuid() == 0 {
		if err := os.Chmod(filepath.Dir(filepath.Dir(path)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Setfsuid(65534); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = syscall.Setfsuid(0) }()
	}
	chmod := func(mode os.FileMode, names ...string) {
		t.Helper()
		if os.Geteuid() == 0 {
			_ = syscall.Setfsuid(0)
			defer func() { _ = syscall.Setfsuid(65534) }()
		}
		for _, n := range names {
			if err := os.Chmod(n, mode); err != nil {
				t.Fatal(err)
			}
		}
	}
	ctx := context.Background() // no goroutine of another thread opens files
	chmod(0o000, path)
	_, err := Open(ctx, "sqlite:"+path, Options{ReadOnly: true})
	wantTrouble(t, err, report.ExitFailed, path, "readable")
	chmod(0o444, path, path+"-wal", path+"-shm", path+"-gate", path+"-write")
	_, err = Open(ctx, "sqlite:"+path, Options{})
	wantTrouble(t, err, report.ExitFailed, path, "writable")
	chmod(0o666, path+"-gate", path+"-write")
	w, err := Open(ctx, "sqlite:"+path, Options{})
	if err == nil {
		_, err = w.Commit(ctx, createOf(testZone(t, "b.example.", 1)))
		_ = w.Close()
	}
	wantTrouble(t, err, report.ExitFailed, path, "writable")
}

func TestFileThatIsGoneOrReplacedTakesNoWrites(t *testing.T) {
	t.Parallel()
	s, path := testStore(t)
	if err := os.Rename(path, path+".moved"); err != nil {
		t.Fatal(err)
	}
	_, err := s.Commit(t.Context(), createOf(testZone(t, "a.example.", 1)))
	wantTrouble(t, err, report.ExitFailed, path, "gone")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = s.Commit(t.Context(), createOf(testZone(t, "a.example.", 1)))
	wantTrouble(t, err, report.ExitFailed, path, "replaced")
}

func TestStoreFilesAreForTheirOwnerOnly(t *testing.T) {
	t.Parallel()
	s, path := testStore(t)
	if _, err := s.Commit(t.Context(), createOf(testZone(t, "a.example.", 1))); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"", "-wal", "-shm", "-gate", "-write"} {
		info, err := os.Stat(path + suffix)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", suffix, info, err)
		}
	}
}

func TestTurnstileLetsTheNextWriterIn(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x")
	var a, b *turnstile
	for _, p := range []**turnstile{&a, &b} {
		var err error
		if *p, err = newTurnstile(path); err != nil {
			t.Fatal(err)
		}
		defer (*p).close()
	}
	leave, err := a.enter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.enter(short); !errors.Is(err, context.Canceled) {
		t.Fatalf("entered: %v", err)
	}
	entered := make(chan struct{})
	go func() {
		leave, err := b.enter(context.Background())
		if err != nil {
			t.Error(err)
			return
		}
		close(entered)
		leave()
	}()
	// b has the gate when a cannot get it any more.
	for !errors.Is(syscall.Flock(int(a.gate.Fd()), syscall.LOCK_EX|syscall.LOCK_NB), syscall.EWOULDBLOCK) {
		funlock(a.gate)
		runtime.Gosched()
	}
	leave()
	again, err := a.enter(t.Context()) // only after b
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-entered:
	default:
		t.Error("a writer who came later was let in first")
	}
	again()
	if leave, err := b.enter(t.Context()); err != nil {
		t.Error(err)
	} else {
		leave()
	}
}
