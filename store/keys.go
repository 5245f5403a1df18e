package store

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/jmoiron/sqlx"

	"dnsctl/fleet"
	"dnsctl/zone"
)

const selectKeys = `SELECT k.id, k.name, k.algorithm, k.secret, k.pool_id, k.zone_id, k.created_at, k.retired_at, p.name, z.name
	FROM tsig_keys k LEFT JOIN pools p ON p.id = k.pool_id LEFT JOIN zones z ON z.id = k.zone_id`

func scanKey(rows *sqlx.Rows) (fleet.Key, error) {
	var k fleet.Key
	var name, algorithm, secret, zoneName []byte
	var pool, zoneID, retired sql.NullInt64
	var created int64
	var poolName sql.NullString
	err := rows.Scan(&k.ID, &name, &algorithm, &secret, &pool, &zoneID, &created, &retired, &poolName, &zoneName)
	if err != nil {
		return k, err
	}
	if k.Name, err = zone.Key(name).Name(); err == nil {
		k.Algorithm, err = zone.Key(algorithm).Name()
	}
	k.ScopeName = "pool:" + poolName.String
	if zoneID.Valid && err == nil {
		var n zone.Name
		n, err = zone.Key(zoneName).Name()
		k.ScopeName = "zone:" + n.String()
	}
	if err != nil {
		return k, fmt.Errorf("%w: TSIG key %d: %w", fleet.ErrCorrupt, k.ID, err)
	}
	k.Secret, k.Created, k.Retired = secret, fromMillis(created), timePtr(retired)
	k.Scope = fleet.Scope{PoolID: pool.Int64, ZoneID: zoneID.Int64}
	return k, nil
}

func (t *tx) keys(ctx context.Context, where string, args ...any) ([]fleet.Key, error) {
	out := []fleet.Key{}
	err := t.each(ctx, func(rows *sqlx.Rows) error {
		k, err := scanKey(rows)
		out = append(out, k)
		return err
	}, selectKeys+where, args...)
	return out, err
}

// Keys is all TSIG keys by name, retired ones included.
func (s *Store) Keys(ctx context.Context) (out []fleet.Key, err error) {
	err = s.view(ctx, func(t *tx) error {
		out, err = t.keys(ctx, ` ORDER BY k.name`)
		return err
	})
	return out, err
}

// Key is the TSIG key of this name, or fleet.ErrNoKey.
func (s *Store) Key(ctx context.Context, name zone.Name) (k fleet.Key, err error) {
	err = s.view(ctx, func(t *tx) error {
		k, err = t.key(ctx, name)
		return err
	})
	return k, err
}

func (t *tx) key(ctx context.Context, name zone.Name) (fleet.Key, error) {
	all, err := t.keys(ctx, ` WHERE k.name = ?`, []byte(name.Key()))
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("TSIG key %q: %w", name, fleet.ErrNoKey)
	}
	if err != nil {
		return fleet.Key{}, err
	}
	return all[0], nil
}

func (s *Store) insertKey(ctx context.Context, t *tx, k fleet.Key) (fleet.Key, error) {
	ids, err := s.d.ids(ctx, t, "tsig_keys", 1)
	if err != nil {
		return k, err
	}
	k.ID, k.Created = ids[0], s.now()
	var pool, zoneID any
	if k.Scope.PoolID != 0 {
		pool = k.Scope.PoolID
	}
	if k.Scope.ZoneID != 0 {
		zoneID = k.Scope.ZoneID
	}
	n, err := t.exec(ctx, `INSERT INTO tsig_keys (id, name, algorithm, secret, pool_id, zone_id, created_at, retired_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT DO NOTHING`, k.ID, []byte(k.Name.Key()), []byte(k.Algorithm.Key()), []byte(k.Secret), pool, zoneID, millis(k.Created), millisPtr(k.Retired))
	if err == nil && n == 0 {
		err = fmt.Errorf("TSIG key %q: %w", k.Name, fleet.ErrExists)
	}
	return k, err
}

// CreateKey makes a TSIG key; fleet.ErrExists when the name is taken.
func (s *Store) CreateKey(ctx context.Context, k fleet.Key, by fleet.By) (fleet.Key, error) {
	made := k
	err := s.change(ctx, func(t *tx) (err error) {
		if made, err = s.insertKey(ctx, t, k); err != nil {
			return err
		}
		return s.configured(ctx, t, configEvent(by, "create", "", "", "TSIG key "+k.Name.String()))
	})
	if err != nil {
		return k, fmt.Errorf("create TSIG key: %w", err)
	}
	return made, nil
}

// UpdateKey changes when a key is retired, or its secret and algorithm; its name
// and scope stay. change gets the key as it is and alters it.
func (s *Store) UpdateKey(ctx context.Context, name zone.Name, by fleet.By, change func(*fleet.Key) error) error {
	err := s.change(ctx, func(t *tx) error {
		if _, err := t.exec(ctx, `UPDATE tsig_keys SET name = name WHERE name = ?`, []byte(name.Key())); err != nil { // locks it
			return err
		}
		k, err := t.key(ctx, name)
		if err != nil {
			return err
		}
		id := k.ID
		if err := change(&k); err != nil {
			return err
		}
		_, err = t.exec(ctx, `UPDATE tsig_keys SET algorithm = ?, secret = ?, retired_at = ? WHERE id = ?`,
			[]byte(k.Algorithm.Key()), []byte(k.Secret), millisPtr(k.Retired), id)
		if err != nil {
			return err
		}
		return s.configured(ctx, t, configEvent(by, "set", "", "", "TSIG key "+name.String()))
	})
	if err != nil {
		return fmt.Errorf("change TSIG key: %w", err)
	}
	return nil
}

// DeleteKey deletes a TSIG key.
func (s *Store) DeleteKey(ctx context.Context, name zone.Name, by fleet.By) error {
	err := s.change(ctx, func(t *tx) error {
		n, err := t.exec(ctx, `DELETE FROM tsig_keys WHERE name = ?`, []byte(name.Key()))
		if err == nil && n == 0 {
			err = fmt.Errorf("TSIG key %q: %w", name, fleet.ErrNoKey)
		}
		if err != nil {
			return err
		}
		return s.configured(ctx, t, configEvent(by, "delete", "", "", "TSIG key "+name.String()))
	})
	if err != nil {
		return fmt.Errorf("delete TSIG key: %w", err)
	}
	return nil
}
