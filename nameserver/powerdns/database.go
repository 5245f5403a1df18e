package powerdns

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"dnsctl/nameserver"
)

// emptyDatabase is an SQLite database with the tables of schema.sql and no row.
// Neither PowerDNS nor its packages can make one.
//
//go:embed empty.sqlite3.gz
var emptyDatabase []byte

// postgresSchema makes the same tables in PostgreSQL.
//
//go:embed schema.pgsql.sql
var postgresSchema []byte

// database is where a new server keeps its zones.
type database interface {
	// settings are the lines of pdns.conf that launch it.
	settings() string
	files() ([]nameserver.File, error)
	// readme says what the files are, and then, where there is something to do
	// before the server starts, what.
	readme() (files, steps string)
}

// databaseOf reads the URL of a configuration's database: SQLite in a file where
// there is none, else postgres://USER@HOST:PORT/NAME.
func databaseOf(r nameserver.ConfigRequest) (database, error) {
	if r.Database == "" {
		return sqlite{r}, nil
	}
	fail := func(what string) (database, error) {
		return nil, fmt.Errorf("%w: database %q: %s; want postgres://USER@HOST:PORT/NAME", errEndpoint, shown(r.Database), what)
	}
	u, err := url.Parse(r.Database)
	if err != nil {
		return fail("not a URL")
	}
	p := postgres{r: r, user: u.User.Username(), host: u.Hostname(), port: u.Port(), name: strings.TrimPrefix(u.Path, "/")}
	if _, has := u.User.Password(); has {
		return fail("it carries a password, which belongs into the file " + passwordFile)
	}
	if u.Scheme != "postgres" && u.Scheme != "postgresql" || u.Opaque != "" || u.Fragment != "" {
		return fail("not a URL of PostgreSQL")
	}
	for name, values := range u.Query() {
		switch {
		case len(values) == 1 && name == "host" && p.host == "":
			p.host = values[0]
		case len(values) == 1 && slices.Contains([]string{"sslmode", "sslrootcert"}, name) && isWord(values[0]):
			p.more = append(p.more, name+"="+values[0])
		default:
			return fail(fmt.Sprintf("parameter %q", name))
		}
	}
	slices.Sort(p.more)
	for what, text := range map[string]string{"user": p.user, "host": p.host, "database name": p.name} {
		if !isWord(text) {
			return fail("its " + what)
		}
	}
	if strings.Contains(dataDir(r), "'") {
		return nil, fmt.Errorf("%w: folder %q: want a path without '", errEndpoint, r.Dir)
	}
	return p, nil
}

// isWord says whether text can stand in libpq's connection strings as it is, and
// in a file of passwords.
func isWord(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("-_./:", c))
	})
}

type sqlite struct{ r nameserver.ConfigRequest }

func (s sqlite) settings() string {
	return fmt.Sprintf(`launch=gsqlite3
gsqlite3-database=%s
gsqlite3-dnssec=yes
gsqlite3-pragma-journal-mode=WAL
# With WAL this survives crashes; a power cut may take the last transfers, which
# come again.
gsqlite3-pragma-synchronous=1
`, filepath.Join(dataDir(s.r), databaseFile))
}

func (s sqlite) files() ([]nameserver.File, error) {
	content, err := unzip(emptyDatabase)
	return []nameserver.File{{Path: filepath.Join(dataFolder, databaseFile), Mode: 0o640, Content: content, Secret: true, Seed: true}}, err
}

func (s sqlite) readme() (files, steps string) {
	return fmt.Sprintf(`  %s     an empty database with PowerDNS's tables; it will hold
                        the zones, and the TSIG keys, which are secrets
`, filepath.Join(dataFolder, databaseFile)), ""
}

func unzip(b []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

// postgres is a database of PostgreSQL. Its password is nobody's business but the
// operator's, who writes it into a file that libpq reads (libpq, The Password
// File).
type postgres struct {
	r                      nameserver.ConfigRequest
	user, host, port, name string
	more                   []string // parameters of libpq
}

func (p postgres) settings() string {
	var b strings.Builder
	fmt.Fprintf(&b, "launch=gpgsql\ngpgsql-host=%s\n", p.host)
	if p.port != "" {
		fmt.Fprintf(&b, "gpgsql-port=%s\n", p.port)
	}
	fmt.Fprintf(&b, "gpgsql-dbname=%s\ngpgsql-user=%s\ngpgsql-dnssec=yes\n", p.name, p.user)
	fmt.Fprintf(&b, "# The password stands in that file.\ngpgsql-extra-connection-parameters=%s\n",
		strings.Join(append([]string{"passfile='" + filepath.Join(dataDir(p.r), passwordFile) + "'"}, p.more...), " "))
	return b.String()
}

func (p postgres) files() ([]nameserver.File, error) {
	host, port := p.host, p.port
	if port == "" {
		port = "5432"
	}
	text := fmt.Sprintf(`# The password of PostgreSQL's user %[1]s. Take the # from the last line, and put the
# password in the place of PASSWORD; a : or \ in it is written \: or \\. Nobody but
# the user that pdns_server runs as may read this file, or it is not looked at.
#%[2]s:%[3]s:%[4]s:%[1]s:PASSWORD
`, p.user, strings.ReplaceAll(host, ":", `\:`), port, p.name)
	return []nameserver.File{
		{Path: filepath.Join(dataFolder, passwordFile), Mode: 0o600, Content: []byte(text), Secret: true, Seed: true},
		{Path: schemaFile, Mode: 0o644, Content: postgresSchema},
	}, nil
}

func (p postgres) readme() (files, steps string) {
	at := fmt.Sprintf("host=%s dbname=%s user=%s", p.host, p.name, p.user)
	if p.port != "" {
		at += " port=" + p.port
	}
	at = strings.Join(append([]string{at}, p.more...), " ")
	return fmt.Sprintf(`  %-21s where the database's password goes: a secret
  %-21s the tables of the database, which will hold the zones, and
                        the TSIG keys, which are secrets
`, filepath.Join(dataFolder, passwordFile), schemaFile), fmt.Sprintf(`Its zones are kept in PostgreSQL. Make the user and the database there, as its
administrator:

  createuser --pwprompt %[1]s
  createdb --owner=%[1]s %[2]s

Write the password into %[3]s. Then make the tables, as
that user, who owns them:

  PGPASSFILE=%[4]s psql --no-password --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --single-transaction --file=%[5]s "%[6]s"

`, p.user, p.name, filepath.Join(dataFolder, passwordFile), filepath.Join(p.r.Dir, dataFolder, passwordFile), filepath.Join(p.r.Dir, schemaFile), at)
}
