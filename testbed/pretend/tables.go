package pretend

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"dnsctl/store"
)

// tables is an SQLite file with the tables of a store and nothing in them. To
// make them takes longer than most tests that need them.
var tables = sync.OnceValues(func() (file []byte, err error) {
	dir, err := os.MkdirTemp("", "dnsctl-tables-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "tables.db")
	s, err := store.Open(context.Background(), "sqlite:"+path, store.Options{Create: true, AnySchema: true})
	if err != nil {
		return nil, err
	}
	_, err = s.Migrate(context.Background())
	_ = s.Close()
	if err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

// NewStore is a store of its own on SQLite, without anything in it.
func NewStore(t testing.TB) *store.Store {
	t.Helper()
	file, err := tables()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "test.db")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), "sqlite:"+path, store.Options{AnySchema: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if _, err := s.Init(t.Context(), "nobody"); err != nil {
		t.Fatal(err)
	}
	return s
}
