package testbed

import (
	"database/sql"
	"time"
)

// FillPowerDNS writes zones into the SQLite database of a PowerDNS as if it had
// transferred them from a primary, signed with a TSIG key: each with an SOA, the name
// server ns1 and its address. PowerDNS sees them when it is started again.
func FillPowerDNS(t T, file, primary, key string, zones func(yield func(zone, soa, address string) bool)) {
	t.Helper()
	must := func(err error) {
		if err != nil {
			t.Fatalf("fill the database of PowerDNS: %v", err)
		}
	}
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(60000)")
	must(err)
	defer db.Close()
	tx, err := db.Begin()
	must(err)
	defer func() { _ = tx.Rollback() }()
	var id int64
	must(tx.QueryRow(`SELECT COALESCE(max(id), 0) FROM domains`).Scan(&id))
	do := func(query string, args ...any) {
		_, err := tx.Exec(query, args...)
		must(err)
	}
	zones(func(zone, soa, address string) bool {
		id++
		do(`INSERT INTO domains (id, name, type, master, last_check, account) VALUES (?, ?, 'SLAVE', ?, ?, '')`, id, zone, primary, time.Now().Unix())
		do(`INSERT INTO records (domain_id, name, type, content, ttl, prio, disabled, auth) VALUES (?1, ?2, 'SOA', ?3, 3600, 0, 0, 1),
			(?1, ?2, 'NS', 'ns1.' || ?2, 3600, 0, 0, 1), (?1, 'ns1.' || ?2, 'A', ?4, 3600, 0, 0, 1)`, id, zone, soa, address)
		do(`INSERT INTO domainmetadata (domain_id, kind, content) VALUES (?1, 'SOA-EDIT-API', ''), (?1, 'TSIG-ALLOW-AXFR', ?2), (?1, 'AXFR-MASTER-TSIG', ?2)`, id, key)
		return true
	})
	must(tx.Commit())
}
