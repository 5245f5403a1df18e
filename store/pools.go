package store

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"time"

	"github.com/jmoiron/sqlx"

	"dnsctl/fleet"
	"dnsctl/report"
	"dnsctl/zone"
)

const selectPools = `SELECT id, name, primaries, ns, email, require_tsig, allow_transfer, unmanaged, protect, compare_every, min_active, catalog,
	require_tls, tls_clients, tls_name, tls_ca, created_at FROM pools`

// plainName is what pools and servers may be called.
var plainName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,62}$`)

func checkName(what, name string) error {
	if !plainName.MatchString(name) {
		return report.Fail(report.ExitUsage, fmt.Errorf("%s name %q cannot be used", what, name), "use up to 63 letters, digits, dots, hyphens and underscores, a letter or digit first")
	}
	return nil
}

func scanPool(rows *sqlx.Rows) (fleet.Pool, error) {
	var p fleet.Pool
	var primaries, ns, allow, protect, catalog, clients string
	var tsig, every, tls, created int64
	err := rows.Scan(&p.ID, &p.Name, &primaries, &ns, &p.Email, &tsig, &allow, &p.Unmanaged, &protect, &every, &p.MinActive, &catalog,
		&tls, &clients, &p.TLS.Name, &p.TLS.CA, &created)
	if err != nil {
		return p, err
	}
	for _, l := range []struct {
		text string
		dest any
	}{{primaries, &p.Primaries}, {ns, &p.NS}, {allow, &p.AllowTransfer}, {protect, &p.Protect}, {clients, &p.TLS.Clients}} {
		if err := json.Unmarshal([]byte(l.text), l.dest); err != nil {
			return p, fmt.Errorf("%w: pool %s: %w", fleet.ErrCorrupt, p.Name, err)
		}
	}
	if catalog != "" {
		if p.Catalog, err = zone.ParseName(catalog); err != nil {
			return p, fmt.Errorf("%w: pool %s: %w", fleet.ErrCorrupt, p.Name, err)
		}
	}
	p.TLS.Require = tls != 0
	p.RequireTSIG, p.CompareEvery, p.Created = tsig != 0, time.Duration(every)*time.Millisecond, fromMillis(created)
	return p, nil
}

// list writes a list as JSON; an empty one as [].
func list[T any](l []T) (string, error) {
	if l == nil {
		l = []T{}
	}
	b, err := json.Marshal(l)
	return string(b), err
}

// poolRow is the settings of a pool as its columns have them, name to
// tls_ca.
func poolRow(p fleet.Pool) ([]any, error) {
	primaries, err := list[netip.AddrPort](p.Primaries)
	if err != nil {
		return nil, err
	}
	ns, err := list[zone.Name](p.NS)
	if err != nil {
		return nil, err
	}
	allow, err := list[netip.Prefix](p.AllowTransfer)
	if err != nil {
		return nil, err
	}
	protect, err := list[string](p.Protect)
	if err != nil {
		return nil, err
	}
	clients, err := list[string](p.TLS.Clients)
	if err != nil {
		return nil, err
	}
	return []any{p.Name, primaries, ns, p.Email, flag(p.RequireTSIG), allow, string(p.Unmanaged), protect, p.CompareEvery.Milliseconds(), int64(p.MinActive), catalogText(p.Catalog),
		flag(p.TLS.Require), clients, p.TLS.Name, p.TLS.CA}, nil
}

func (t *tx) pools(ctx context.Context, where string, args ...any) ([]fleet.Pool, error) {
	out := []fleet.Pool{}
	err := t.each(ctx, func(rows *sqlx.Rows) error {
		p, err := scanPool(rows)
		out = append(out, p)
		return err
	}, selectPools+where, args...)
	return out, err
}

// Pools is all pools by name.
func (s *Store) Pools(ctx context.Context) (out []fleet.Pool, err error) {
	err = s.view(ctx, func(t *tx) error {
		out, err = t.pools(ctx, ` ORDER BY name`)
		return err
	})
	return out, err
}

// Pool is the pool of this name, or fleet.ErrNoPool.
func (s *Store) Pool(ctx context.Context, name string) (p fleet.Pool, err error) {
	err = s.view(ctx, func(t *tx) error {
		p, err = t.pool(ctx, name, "")
		return err
	})
	return p, err
}

func (t *tx) pool(ctx context.Context, name, lock string) (fleet.Pool, error) {
	all, err := t.pools(ctx, ` WHERE name = ?`+lock, name)
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("pool %q: %w", name, fleet.ErrNoPool)
	}
	if err != nil {
		return fleet.Pool{}, err
	}
	return all[0], nil
}

// CreatePool makes a pool, and with key not nil the TSIG key of its servers in
// the same step: the key's scope becomes the pool. fleet.ErrExists when the name
// of either is taken.
func (s *Store) CreatePool(ctx context.Context, p fleet.Pool, key *fleet.Key, by fleet.By) (fleet.Pool, error) {
	if err := checkName("pool", p.Name); err != nil {
		return p, err
	}
	row, err := poolRow(p)
	if err != nil {
		return p, fmt.Errorf("create pool %s: %w", p.Name, err)
	}
	p.Created = s.now()
	err = s.change(ctx, func(t *tx) error {
		if err := t.checkCatalog(ctx, p); err != nil {
			return err
		}
		ids, err := s.d.ids(ctx, t, "pools", 1)
		if err != nil {
			return err
		}
		p.ID = ids[0]
		n, err := t.exec(ctx, `INSERT INTO pools (id, name, primaries, ns, email, require_tsig, allow_transfer, unmanaged, protect, compare_every, min_active, catalog,
			require_tls, tls_clients, tls_name, tls_ca, created_at)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`, append(append([]any{p.ID}, row...), millis(p.Created))...)
		if err == nil && n == 0 {
			err = fleet.ErrExists
		}
		if err != nil {
			return err
		}
		if key != nil {
			k := *key
			k.Scope = fleet.Scope{PoolID: p.ID}
			if _, err := s.insertKey(ctx, t, k); err != nil {
				return err
			}
		}
		return s.configured(ctx, t, configEvent(by, "create", "", "", "pool "+p.Name))
	})
	if err != nil {
		return p, fmt.Errorf("create pool %s: %w", p.Name, err)
	}
	return p, nil
}

// configured ends a change of pools, servers or keys: its event and feed entry.
func (s *Store) configured(ctx context.Context, t *tx, e report.Event) error {
	if err := s.addEvent(ctx, t, e); err != nil {
		return err
	}
	return s.configFeed(ctx, t)
}

// UpdatePool changes a pool's settings: change gets the pool as it is and alters
// it. Its name and ID stay.
func (s *Store) UpdatePool(ctx context.Context, name string, by fleet.By, change func(*fleet.Pool) error) error {
	err := s.change(ctx, func(t *tx) error {
		p, err := t.pool(ctx, name, s.d.forUpdate())
		if err != nil {
			return err
		}
		old, err := poolRow(p)
		if err != nil {
			return err
		}
		id, catalog := p.ID, p.Catalog
		if err := change(&p); err != nil {
			return err
		}
		p.ID, p.Name = id, name
		if p.Catalog != catalog {
			if err := t.checkCatalog(ctx, p); err != nil {
				return err
			}
			if err := s.dropCatalog(ctx, t, id, by); err != nil {
				return err
			}
		}
		row, err := poolRow(p)
		if err != nil {
			return err
		}
		if slices.Equal(old, row) {
			return nil
		}
		_, err = t.exec(ctx, `UPDATE pools SET name = ?, primaries = ?, ns = ?, email = ?, require_tsig = ?, allow_transfer = ?, unmanaged = ?, protect = ?, compare_every = ?, min_active = ?, catalog = ?,
			require_tls = ?, tls_clients = ?, tls_name = ?, tls_ca = ? WHERE id = ?`, append(row, id)...)
		if err != nil {
			return err
		}
		return s.configured(ctx, t, configEvent(by, "set", "", differences(poolSettings, old, row), "pool "+name))
	})
	if err != nil {
		return fmt.Errorf("change pool %s: %w", name, err)
	}
	return nil
}

var poolSettings = []string{"name", "primaries", "ns", "email", "require_tsig", "allow_transfer", "unmanaged", "protect", "compare_every", "min_active", "catalog",
	"require_tls", "tls_clients", "tls_name", "tls_ca"}

// differences is the old values of the columns that change.
func differences(columns []string, old, new []any) string {
	before := map[string]any{}
	for i, c := range columns {
		if old[i] != new[i] {
			before[c] = old[i]
		}
	}
	b, err := json.Marshal(before)
	if err != nil {
		return ""
	}
	return string(b)
}

// DeletePool deletes a pool and its keys; fleet.ErrInUse while a live zone or a
// server is in it.
func (s *Store) DeletePool(ctx context.Context, name string, by fleet.By) error {
	err := s.change(ctx, func(t *tx) error {
		p, err := t.pool(ctx, name, s.d.forUpdate())
		if err != nil {
			return err
		}
		for _, use := range []struct{ what, q, hint string }{
			{"server", `SELECT count(*) FROM server_pools WHERE pool_id = ? AND left_at IS NULL`,
				"list them with: dnsctl server list; move one with server set, or take it out of the fleet with server remove"},
			{"zone", `SELECT count(*) FROM memberships m JOIN zones z ON z.id = m.zone_id WHERE m.pool_id = ? AND m.deleted_at IS NULL AND z.kind <> 'catalog'`,
				"list them with: dnsctl zone list --pool " + name + "; move one with zone set, or delete it with zone delete"},
		} {
			var n int
			if err := t.get(ctx, &n, use.q, p.ID); err != nil {
				return err
			}
			if n > 0 {
				return report.Hint(fmt.Errorf("%w: it has %s", fleet.ErrInUse, report.Count(n, use.what)), use.hint)
			}
		}
		if err := s.dropCatalog(ctx, t, p.ID, by); err != nil {
			return err
		}
		for _, q := range []string{`DELETE FROM tsig_keys WHERE pool_id = ?`, `DELETE FROM pools WHERE id = ?`} {
			if _, err := t.exec(ctx, q, p.ID); err != nil {
				return err
			}
		}
		return s.configured(ctx, t, configEvent(by, "delete", "", "", "pool "+name))
	})
	if err != nil {
		return fmt.Errorf("delete pool %s: %w", name, err)
	}
	return nil
}
