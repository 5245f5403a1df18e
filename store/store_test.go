package store_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dnsctl/store"
	"dnsctl/store/storetest"
	"dnsctl/testbed"
)

// To make the tables by migrations takes longer than most tests that need them, so
// they are made once and copied.

func TestSQLite(t *testing.T) {
	t.Parallel()
	empty := func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "store.db") }
	tables, err := os.ReadFile(strings.TrimPrefix(migrated(t, empty(t)), "sqlite:"))
	if err != nil {
		t.Fatal(err)
	}
	storetest.Run(t, empty, func(t *testing.T) string {
		url := empty(t)
		if err := os.WriteFile(strings.TrimPrefix(url, "sqlite:"), tables, 0o600); err != nil {
			t.Fatal(err)
		}
		return url
	})
}

func TestPostgreSQL(t *testing.T) {
	t.Parallel()
	p := testbed.StartPostgres(t, testbed.PostgresOptions{NoFsync: true})
	tables := migrated(t, p.NewDatabase(t))
	storetest.Run(t, func(t *testing.T) string { return p.NewDatabase(t) }, func(t *testing.T) string { return p.CopyDatabase(t, tables) })
}

// migrated makes the tables of a store, and nothing in them.
func migrated(t *testing.T, url string) string {
	t.Helper()
	s, err := store.Open(t.Context(), url, store.Options{AnySchema: true, Create: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return url
}
