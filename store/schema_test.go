package store_test

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"

	"dnsctl/store"
	"dnsctl/testbed"
)

// TestSchemasOfBothDatabasesAgree compares what the migrations make: tables,
// columns with their kinds and NOT NULL, primary keys, and indexes.
func TestSchemasOfBothDatabasesAgree(t *testing.T) {
	t.Parallel()
	lite := "sqlite:" + filepath.Join(t.TempDir(), "store.db")
	pg := testbed.StartPostgres(t, testbed.PostgresOptions{NoFsync: true}).NewDatabase(t)
	for _, url := range []string{lite, pg} {
		s, err := store.Open(t.Context(), url, store.Options{Create: true, AnySchema: true})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	query := func(driver, dsn, q string) map[string]string {
		t.Helper()
		db, err := sqlx.Open(driver, dsn)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		rows, err := db.Query(q)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		out := map[string]string{}
		for rows.Next() {
			var name, what string
			if err := rows.Scan(&name, &what); err != nil {
				t.Fatal(err)
			}
			out[name] = what
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		return out
	}
	const liteTables = `FROM sqlite_master t JOIN %s WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%%' AND t.name <> 'goose_db_version'`
	for what, q := range map[string][2]string{
		"columns": {
			`SELECT t.name || '.' || c.name, CASE c.type WHEN 'INTEGER' THEN 'number' WHEN 'TEXT' THEN 'text' WHEN 'BLOB' THEN 'octets' ELSE c.type END
				|| CASE WHEN c."notnull" OR c.pk > 0 THEN ' not null' ELSE '' END ` + strings.Replace(liteTables, "%s", "pragma_table_info(t.name) c", 1),
			`SELECT table_name || '.' || column_name, CASE data_type WHEN 'bigint' THEN 'number' WHEN 'integer' THEN 'number' WHEN 'text' THEN 'text' WHEN 'bytea' THEN 'octets' ELSE data_type END
				|| CASE is_nullable WHEN 'NO' THEN ' not null' ELSE '' END
				FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'goose_db_version'`,
		},
		"keys": {
			`SELECT t.name, group_concat(c.name, ',' ORDER BY c.pk) ` + strings.Replace(liteTables, "%s", "pragma_table_info(t.name) c ON c.pk > 0", 1) + ` GROUP BY t.name`,
			`SELECT c.relname, string_agg(a.attname, ',' ORDER BY array_position(i.indkey::int[], a.attnum::int)) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
				JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey) WHERE i.indisprimary AND c.relnamespace = 'public'::regnamespace AND c.relname <> 'goose_db_version' GROUP BY c.relname`,
		},
		"indexes": {
			`SELECT i.name, t.name || CASE i."unique" WHEN 1 THEN ' unique' ELSE '' END || CASE i.partial WHEN 1 THEN ' partial' ELSE '' END || ' ' ||
				(SELECT group_concat(k.name, ',' ORDER BY k.seqno) FROM pragma_index_info(i.name) k) ` + strings.Replace(liteTables, "%s", "pragma_index_list(t.name) i ON i.origin = 'c'", 1),
			`SELECT x.relname, c.relname || CASE WHEN i.indisunique THEN ' unique' ELSE '' END || CASE WHEN i.indpred IS NOT NULL THEN ' partial' ELSE '' END || ' ' ||
				(SELECT string_agg(a.attname, ',' ORDER BY array_position(i.indkey::int[], a.attnum::int)) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum = ANY (i.indkey))
				FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_class x ON x.oid = i.indexrelid
				WHERE c.relnamespace = 'public'::regnamespace AND c.relname <> 'goose_db_version' AND NOT EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conindid = i.indexrelid)`,
		},
		"foreign keys": {
			`SELECT t.name || '.' || f."from", f."table" || '.' || f."to" ` + strings.Replace(liteTables, "%s", "pragma_foreign_key_list(t.name) f", 1),
			`SELECT c.relname || '.' || a.attname, f.relname || '.' || b.attname FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_class f ON f.oid = k.confrelid
				JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.conkey[1] JOIN pg_attribute b ON b.attrelid = f.oid AND b.attnum = k.confkey[1] WHERE k.contype = 'f'`,
		},
	} {
		l := query("sqlite", strings.TrimPrefix(lite, "sqlite:"), q[0])
		p := query("postgres", pg, q[1])
		if len(l) == 0 || !maps.Equal(l, p) {
			for k := range l {
				if p[k] != l[k] {
					t.Errorf("%s: %s is %q on SQLite and %q on PostgreSQL", what, k, l[k], p[k])
				}
			}
			for k := range p {
				if _, there := l[k]; !there {
					t.Errorf("%s: %s is on PostgreSQL only: %q", what, k, p[k])
				}
			}
			if len(l) == 0 {
				t.Errorf("%s: none", what)
			}
		}
	}
}

// TestMigrationsAreNumberedAlike compares the two folders, and that checks of
// values are the same.
func TestMigrationsAreNumberedAlike(t *testing.T) {
	t.Parallel()
	files := func(dialect string) (names []string, checks []string) {
		found, err := fs.Glob(os.DirFS("migrations/"+dialect), "*.sql")
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %v, %v", dialect, found, err)
		}
		for _, f := range found {
			text, err := os.ReadFile(filepath.Join("migrations", dialect, f))
			if err != nil {
				t.Fatal(err)
			}
			checks = append(checks, regexp.MustCompile(`CHECK \(.*\)|WHERE .*;`).FindAllString(string(text), -1)...)
		}
		return found, checks
	}
	lite, liteChecks := files("sqlite")
	pg, pgChecks := files("postgres")
	if !slices.Equal(lite, pg) {
		t.Errorf("migrations are %v and %v", lite, pg)
	}
	if !slices.Equal(liteChecks, pgChecks) {
		t.Errorf("checks are %q and %q", liteChecks, pgChecks)
	}
}
