package store_test

import (
	"path/filepath"
	"testing"

	"dnsctl/store/storetest"
	"dnsctl/testbed"
)

func TestSQLite(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "store.db") })
}

func TestPostgreSQL(t *testing.T) {
	t.Parallel()
	p := testbed.StartPostgres(t, testbed.PostgresOptions{NoFsync: true})
	storetest.Run(t, func(t *testing.T) string { return p.NewDatabase(t) })
}
