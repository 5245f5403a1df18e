package store

import (
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strings"

	"dnsctl/report"
)

// location is what a store's URL says: exactly one of path and dsn is set.
type location struct {
	path  string // of an SQLite file, absolute
	dsn   string // for lib/pq
	place string // for messages, without a password
}

// parseURL reads sqlite:PATH, postgres://... and postgresql://... .
func parseURL(text string) (location, error) {
	bad := func(why string) error {
		return report.Fail(report.ExitUsage, fmt.Errorf("store URL: %s", why), "write sqlite:PATH or postgres://USER@HOST/DATABASE")
	}
	scheme, rest, ok := strings.Cut(text, ":")
	switch {
	case ok && scheme == "sqlite":
		rest = strings.TrimPrefix(rest, "//")
		if rest == "" || strings.ContainsRune(rest, 0) {
			return location{}, bad("sqlite: needs a path")
		}
		path, err := filepath.Abs(rest)
		if err != nil {
			return location{}, fmt.Errorf("store path %q: %w", rest, err)
		}
		return location{path: path, place: path}, nil
	case ok && (scheme == "postgres" || scheme == "postgresql"):
		u, err := url.Parse(text)
		if err != nil { // url's error quotes the text, password included
			return location{}, bad("malformed postgres URL")
		}
		q := u.Query()
		host := u.Hostname()
		if h := q.Get("host"); h != "" {
			host = h
		}
		if q.Get("sslmode") == "" {
			q.Set("sslmode", "require")
			if ip := net.ParseIP(host); strings.HasPrefix(host, "/") || host == "localhost" || ip != nil && ip.IsLoopback() {
				q.Set("sslmode", "disable")
			}
			u.RawQuery = q.Encode()
		}
		place := *u
		place.User, place.RawQuery = url.User(u.User.Username()), ""
		if u.User.Username() == "" {
			place.User = nil
		}
		if u.Hostname() == "" && host != "" {
			place.RawQuery = url.Values{"host": {host}}.Encode()
		}
		return location{dsn: u.String(), place: place.String()}, nil
	}
	return location{}, bad("neither sqlite: nor postgres:")
}
