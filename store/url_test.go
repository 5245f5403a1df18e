package store

import (
	"strings"
	"testing"

	"dnsctl/report"
)

func TestURLsNameOnePlaceWithoutTheirPassword(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]location{
		"sqlite:/var/lib/x.db":                      {path: "/var/lib/x.db", place: "/var/lib/x.db"},
		"sqlite:///var/lib/x.db":                    {path: "/var/lib/x.db", place: "/var/lib/x.db"},
		"sqlite:/a b?c#d%20.db":                     {path: "/a b?c#d%20.db", place: "/a b?c#d%20.db"},
		"postgres://u:secret@db.example/x":          {dsn: "postgres://u:secret@db.example/x?sslmode=require", place: "postgres://u@db.example/x"},
		"postgresql://u:secret@127.0.0.1:5433/x":    {dsn: "postgresql://u:secret@127.0.0.1:5433/x?sslmode=disable", place: "postgresql://u@127.0.0.1:5433/x"},
		"postgres://localhost/x":                    {dsn: "postgres://localhost/x?sslmode=disable", place: "postgres://localhost/x"},
		"postgres://u@[::1]/x":                      {dsn: "postgres://u@[::1]/x?sslmode=disable", place: "postgres://u@[::1]/x"},
		"postgres://u@10.0.0.1/x?sslmode=verify-ca": {dsn: "postgres://u@10.0.0.1/x?sslmode=verify-ca", place: "postgres://u@10.0.0.1/x"},
		"postgres:///x?host=/run/postgresql":        {dsn: "postgres:///x?host=%2Frun%2Fpostgresql&sslmode=disable", place: "postgres:///x?host=%2Frun%2Fpostgresql"},
	} {
		if got, err := parseURL(text); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "sqlite:", "x.db", "mysql://x", "postgres://u:secret@[::1/x", "sqlite:a\x00b"} {
		_, err := parseURL(text)
		if exit, hint := report.ExitOf(err); err == nil || exit != report.ExitUsage || hint == "" || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
