package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"strings"

	"dnsctl/testbed"
)

const powerDNSTuned = "a receiver for each processor (reuseport), caches on, the zone cache on, no DNSSEC look-ups, no limits on connections; " +
	"its tables are filled by zone2sql from the same master files and analysed"

const noPowerDNSIXFR = "PowerDNS has no IXFR as a primary: it answers with the whole zone"

var powerDNSSQLite = kind{
	name: "powerdns-sqlite", product: "PowerDNS on SQLite", program: "pdns_server", version: "--version", tuned: powerDNSTuned, noIXFR: noPowerDNSIXFR,
	prepare: func(ctx context.Context, p *peer) {
		file := p.fillSQLite(ctx)
		p.powerDNS(fmt.Sprintf("launch=gsqlite3\ngsqlite3-database=%s\ngsqlite3-pragma-synchronous=0\n", file))
	},
}

var powerDNSPostgres = kind{
	name: "powerdns-postgres", product: "PowerDNS on PostgreSQL", program: "pdns_server", version: "--version", tuned: powerDNSTuned, noIXFR: noPowerDNSIXFR,
	prepare: func(ctx context.Context, p *peer) {
		at := p.fillPostgres(ctx, p.fillSQLite(ctx))
		password, _ := at.User.Password()
		p.database = func() float64 { return family(p.b.postgres.PID()) }
		p.powerDNS(fmt.Sprintf("launch=gpgsql\ngpgsql-host=%s\ngpgsql-port=%s\ngpgsql-dbname=%s\ngpgsql-user=%s\ngpgsql-password=%s\n",
			at.Hostname(), at.Port(), strings.TrimPrefix(at.Path, "/"), at.User.Username(), password))
	},
}

// powerDNS writes pdns.conf.
func (p *peer) powerDNS(backend string) {
	p.write("pdns.conf", func(w io.Writer) error {
		_, err := fmt.Fprintf(w, `%s
local-address=127.0.0.1
local-port=%s
socket-dir=%s
receiver-threads=%d
reuseport=yes
primary=yes
disable-axfr=no
allow-axfr-ips=127.0.0.0/8
max-tcp-connections=1000
max-tcp-connections-per-client=0
max-tcp-transactions-per-conn=0
tcp-idle-timeout=120
zone-cache-refresh-interval=300
loglevel=2
security-poll-suffix=
xfr-cycle-interval=86400
`, backend, p.port(), p.dir, workers)
		return err
	})
	p.args = []string{"--config-dir=" + p.dir, "--daemon=no", "--guardian=no", "--disable-syslog=yes"}
}

// sqliteSchema and postgresSchema are where the Debian packages keep them.
const (
	sqliteSchema   = "/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql"
	postgresSchema = "/usr/share/pdns-backend-pgsql/schema/schema.pgsql.sql"
)

// fillSQLite makes PowerDNS's database in a file, with all zones and the TSIG
// key for them.
func (p *peer) fillSQLite(ctx context.Context) string {
	conf := p.write("zones.conf", func(w io.Writer) error {
		zone := func(name, file string) error {
			_, err := fmt.Fprintf(w, "zone %q { type master; file %q; };\n", name, file)
			return err
		}
		return errors.Join(zone(bigZone, p.b.bigFile), eachSmall(p.b, zone))
	})
	zones := p.in("zones.sql")
	out, err := os.Create(zones)
	p.bed.must("make the SQL of the zones", err)
	defer out.Close()
	convert := exec.CommandContext(ctx, "zone2sql", "--named-conf="+conf, "--gsqlite")
	var errs bytes.Buffer
	convert.Stdout, convert.Stderr = out, &errs
	if err := convert.Run(); err != nil {
		p.bed.Fatalf("zone2sql: %v: %s", err, last(errs.String()))
	}
	file := p.in("pdns.sqlite3")
	p.feed(ctx, nil, fmt.Sprintf(`pragma journal_mode=wal; pragma synchronous=off;
.read %s
begin;
.read %s
%s
commit;
analyze;
`, sqliteSchema, zones, p.allowKey()), "sqlite3", "-bail", file)
	_ = os.Remove(zones)
	return file
}

// allowKey is the SQL that makes the TSIG key and allows it the zones.
func (p *peer) allowKey() string {
	return fmt.Sprintf(`insert into tsigkeys (name, algorithm, secret) values ('bench', 'hmac-sha256', '%s');
insert into domainmetadata (domain_id, kind, content) select id, 'TSIG-ALLOW-AXFR', 'bench' from domains;`, p.secret())
}

// fillPostgres makes the same database in PostgreSQL, from the one in a file.
func (p *peer) fillPostgres(ctx context.Context, file string) *url.URL {
	if p.b.postgres == nil {
		p.b.postgres = testbed.StartPostgres(p.b.bed, testbed.PostgresOptions{Private: true})
	}
	at, err := url.Parse(p.b.postgres.NewDatabase(p.bed))
	p.bed.must("make a database", err)
	for _, t := range []string{"domains", "records"} {
		columns := map[string]string{
			"domains": "id, name, type", "records": "id, domain_id, name, type, content, ttl, prio, disabled, ordername, auth",
		}[t]
		p.feed(ctx, nil, fmt.Sprintf(".mode csv\n.nullvalue \\N\n.output %s\nselect %s from %s;\n", p.in(t), columns, t), "sqlite3", "-bail", file)
	}
	password, _ := at.User.Password()
	env := append(os.Environ(), "PGHOST="+at.Hostname(), "PGPORT="+at.Port(), "PGUSER="+at.User.Username(), "PGPASSWORD="+password, "PGDATABASE="+strings.TrimPrefix(at.Path, "/"))
	p.feed(ctx, env, fmt.Sprintf(`\set ON_ERROR_STOP on
\i %s
\copy domains (id, name, type) from '%s' (format csv, null '\N')
\copy records (id, domain_id, name, type, content, ttl, prio, disabled, ordername, auth) from '%s' (format csv, null '\N')
%s
vacuum analyze;
`, postgresSchema, p.in("domains"), p.in("records"), p.allowKey()), "psql", "-qX")
	return at
}

// feed runs a program with text on its standard input.
func (p *peer) feed(ctx context.Context, env []string, text, program string, args ...string) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdin, cmd.Env = strings.NewReader(text), env
	if out, err := cmd.CombinedOutput(); err != nil {
		p.bed.Fatalf("%s: %v: %s", program, err, last(string(out)))
	}
}
