package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"

	"github.com/jmoiron/sqlx"

	"dnsctl/fleet"
	"dnsctl/report"
	"dnsctl/zone"
)

var serverSettings = []string{"type", "address", "probe", "notify", "control", "stats", "view", "state", "accepted", "new", "credential", "settings",

	"drain_reason", "drain_by", "drained_at", "provision"}

const selectServers = `SELECT s.id, s.name, s.type, s.address, s.probe, s.notify, s.control, s.stats, s.view, s.state, s.accepted, s.new,

	s.credential, s.settings, s.drain_reason, s.drain_by, s.drained_at, s.provision, s.created_at, m.name FROM servers s JOIN markers m ON m.server_id = s.id`

func scanServer(rows *sqlx.Rows) (fleet.Server, error) {
	var v fleet.Server
	var address, probe, notify, settings, reason, drainedBy string
	var drained sql.NullInt64
	var accepted, added, created int64
	var credential, marker []byte
	err := rows.Scan(&v.ID, &v.Name, &v.Type, &address, &probe, &notify, &v.Control, &v.Stats, &v.View, &v.State, &accepted, &added,
		&credential, &settings, &reason, &drainedBy, &drained, &v.Provision, &created, &marker)
	if err != nil {
		return v, err
	}
	for text, dest := range map[*string]*netip.AddrPort{&address: &v.Address, &probe: &v.Probe, &notify: &v.Notify} {
		if *text == "" {
			continue
		}
		if *dest, err = netip.ParseAddrPort(*text); err != nil {
			return v, fmt.Errorf("%w: server %s: %w", fleet.ErrCorrupt, v.Name, err)
		}
	}
	if err := json.Unmarshal([]byte(settings), &v.Settings); err != nil {
		return v, fmt.Errorf("%w: server %s: %w", fleet.ErrCorrupt, v.Name, err)
	}
	if drained.Valid {
		v.Drain = &report.Drain{Reason: reason, Since: fromMillis(drained.Int64)}
		if err := json.Unmarshal([]byte(drainedBy), &v.Drain.By); err != nil {
			return v, fmt.Errorf("%w: server %s: %w", fleet.ErrCorrupt, v.Name, err)
		}
	}
	if v.Marker, err = zone.Key(marker).Name(); err != nil {
		return v, fmt.Errorf("%w: marker of server %s: %w", fleet.ErrCorrupt, v.Name, err)
	}
	v.Accepted, v.New, v.Credential, v.Created = accepted != 0, added != 0, credential, fromMillis(created)
	return v, nil
}

// serverRow is a server's settings as the columns serverSettings have them.
func serverRow(v fleet.Server) ([]any, error) {
	settings, err := json.Marshal(v.Settings)
	if err != nil {
		return nil, err
	}
	if v.Settings == nil {
		settings = []byte("{}")
	}
	addr := func(a netip.AddrPort) string {
		if !a.IsValid() {
			return ""
		}
		return a.String()
	}
	var credential any
	if len(v.Credential) > 0 {
		credential = []byte(v.Credential)
	}
	var reason, drainedBy string
	var drained any
	if v.Drain != nil {
		by, err := json.Marshal(v.Drain.By)
		if err != nil {
			return nil, err
		}
		reason, drainedBy, drained = v.Drain.Reason, string(by), millis(v.Drain.Since)
	}
	return []any{v.Type, addr(v.Address), addr(v.Probe), addr(v.Notify), v.Control, v.Stats, v.View, string(cmp.Or(v.State, fleet.Joining)),
		flag(v.Accepted), flag(v.New), credential, string(settings),
		reason, drainedBy, drained, string(cmp.Or(v.Provision, fleet.ByControl))}, nil
}

func (t *tx) servers(ctx context.Context, where string, args ...any) ([]fleet.Server, error) {
	out := []fleet.Server{}
	err := t.each(ctx, func(rows *sqlx.Rows) error {
		v, err := scanServer(rows)
		out = append(out, v)
		return err
	}, selectServers+where, args...)
	if err != nil {
		return nil, err
	}
	all, err := t.pools(ctx, ` ORDER BY id`)
	if err != nil {
		return nil, err
	}
	in := make(map[[2]int64]bool)
	err = t.each(ctx, func(rows *sqlx.Rows) error {
		var k [2]int64
		err := rows.Scan(&k[0], &k[1])
		in[k] = true
		return err
	}, `SELECT server_id, pool_id FROM server_pools WHERE left_at IS NULL`)
	for i := range out {
		out[i].Pools = []fleet.Pool{}
		for _, p := range all {
			if in[[2]int64{out[i].ID, p.ID}] {
				out[i].Pools = append(out[i].Pools, p)
			}
		}
	}
	return out, err
}

// Servers is all servers by name, with their pools.
func (s *Store) Servers(ctx context.Context) (out []fleet.Server, err error) {
	err = s.view(ctx, func(t *tx) error {
		out, err = t.servers(ctx, ` ORDER BY s.name`)
		return err
	})
	return out, err
}

// Server is the server of this name with its pools, or fleet.ErrNoServer.
func (s *Store) Server(ctx context.Context, name string) (v fleet.Server, err error) {
	err = s.view(ctx, func(t *tx) error {
		v, err = t.server(ctx, name)
		return err
	})
	return v, err
}

func (t *tx) server(ctx context.Context, name string) (fleet.Server, error) {
	all, err := t.servers(ctx, ` WHERE s.name = ?`, name)
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("server %q: %w", name, fleet.ErrNoServer)
	}
	if err != nil {
		return fleet.Server{}, err
	}
	return all[0], nil
}

// AddServer makes a server in the pools that v.Pools name by ID, and chooses its
// marker's name. fleet.ErrExists when the name is taken.
func (s *Store) AddServer(ctx context.Context, v fleet.Server, by fleet.By) (fleet.Server, error) {
	if err := checkName("server", v.Name); err != nil {
		return v, err
	}
	row, err := serverRow(v)
	if err != nil {
		return v, fmt.Errorf("add server %s: %w", v.Name, err)
	}
	err = s.change(ctx, func(t *tx) error {
		ids, err := s.d.ids(ctx, t, "servers", 1)
		if err != nil {
			return err
		}
		v.ID = ids[0]
		n, err := t.exec(ctx, `INSERT INTO servers (id, name, created_at, type, address, probe, notify, control, stats, view, state, accepted, new, credential, settings,
			drain_reason, drain_by, drained_at, provision) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`, append([]any{v.ID, v.Name, millis(s.now())}, row...)...)
		if err == nil && n == 0 {
			err = fleet.ErrExists
		}
		if err != nil {
			return err
		}
		marker, err := fleet.MarkerParent.Prepend(randomID())
		if err != nil {
			return err
		}
		if _, err := t.exec(ctx, `INSERT INTO markers (server_id, name) VALUES (?, ?)`, v.ID, []byte(marker.Key())); err != nil {
			return err
		}
		if err := s.setServerPools(ctx, t, v.ID, v.Pools); err != nil {
			return err
		}
		return s.configured(ctx, t, configEvent(by, "create", v.Name, "", "server "+v.Name))
	})
	if err != nil {
		return v, fmt.Errorf("add server %s: %w", v.Name, err)
	}
	return s.Server(ctx, v.Name)
}

// setServerPools puts a server into exactly these pools.
func (s *Store) setServerPools(ctx context.Context, t *tx, server int64, pools []fleet.Pool) error {
	var was []int64
	if err := t.all(ctx, &was, `SELECT pool_id FROM server_pools WHERE server_id = ? AND left_at IS NULL`, server); err != nil {
		return err
	}
	for _, id := range was {
		if slices.ContainsFunc(pools, func(p fleet.Pool) bool { return p.ID == id }) {
			continue
		}
		if _, err := t.exec(ctx, `UPDATE server_pools SET left_at = ? WHERE server_id = ? AND pool_id = ?`, millis(s.now()), server, id); err != nil {
			return err
		}
	}
	for _, p := range pools {
		var id int64
		err := t.get(ctx, &id, `SELECT id FROM pools WHERE id = ?`+s.d.forShare(), p.ID)
		if err != nil {
			return none(err, fmt.Errorf("pool number %d: %w", p.ID, fleet.ErrNoPool))
		}
		_, err = t.exec(ctx, `INSERT INTO server_pools (server_id, pool_id) VALUES (?, ?) ON CONFLICT (server_id, pool_id) DO UPDATE SET left_at = NULL`, server, p.ID)
		if err != nil {
			return err
		}
	}
	return nil
}

// UpdateServer changes a server: change gets it as it is and alters it, its
// pools, state and credential included. Name, ID and marker stay.
func (s *Store) UpdateServer(ctx context.Context, name string, by fleet.By, change func(*fleet.Server) error) error {
	err := s.change(ctx, func(t *tx) error {
		if _, err := t.exec(ctx, `UPDATE servers SET name = name WHERE name = ?`, name); err != nil { // locks it
			return err
		}
		v, err := t.server(ctx, name)
		if err != nil {
			return err
		}
		old := v
		old.Pools = slices.Clone(v.Pools)
		if err := change(&v); err != nil {
			return err
		}
		return s.putServer(ctx, t, old, v, by)
	})
	if err != nil {
		return fmt.Errorf("change server %s: %w", name, err)
	}
	return nil
}

// putServer writes a server that was old until now; name, ID and marker stay.
func (s *Store) putServer(ctx context.Context, t *tx, old, v fleet.Server, by fleet.By) error {
	was, err := serverRow(old)
	if err != nil {
		return err
	}
	row, err := serverRow(v)
	if err != nil {
		return err
	}
	_, err = t.exec(ctx, `UPDATE servers SET type = ?, address = ?, probe = ?, notify = ?, control = ?, stats = ?, view = ?, state = ?, accepted = ?, new = ?,
		credential = ?, settings = ?, drain_reason = ?, drain_by = ?, drained_at = ?, provision = ? WHERE id = ?`, append(row, old.ID)...)
	if err != nil {
		return err
	}
	if err := s.setServerPools(ctx, t, old.ID, v.Pools); err != nil {
		return err
	}
	const credential = 10
	was[credential], row[credential] = nil, nil // never in events
	was, row = append(was, poolIDs(old.Pools)), append(row, poolIDs(v.Pools))
	return s.configured(ctx, t, configEvent(by, "set", old.Name, differences(append(slices.Clone(serverSettings), "pools"), was, row), "server "+old.Name))
}

func poolIDs(pools []fleet.Pool) string {
	ids := make([]int64, len(pools))
	for i, p := range pools {
		ids[i] = p.ID
	}
	slices.Sort(ids)
	return fmt.Sprint(slices.Compact(ids))
}

// SetServerState is UpdateServer for the state only.
func (s *Store) SetServerState(ctx context.Context, name string, state fleet.State, by fleet.By) error {
	return s.UpdateServer(ctx, name, by, func(v *fleet.Server) error {
		v.State = state
		return nil
	})
}

// AcceptServer is UpdateServer for whether the server is accepted.
func (s *Store) AcceptServer(ctx context.Context, name string, accepted bool, by fleet.By) error {
	return s.UpdateServer(ctx, name, by, func(v *fleet.Server) error {
		v.Accepted = accepted
		return nil
	})
}

// RemoveServer forgets a server, its marker and its tasks. Its events and
// quarantined copies stay. The marker's zone is the caller's to delete, before.
func (s *Store) RemoveServer(ctx context.Context, name string, by fleet.By) error {
	err := s.change(ctx, func(t *tx) error {
		v, err := t.server(ctx, name)
		if err != nil {
			return err
		}
		if err := t.forgetServer(ctx, v.ID); err != nil {
			return err
		}
		return s.configured(ctx, t, configEvent(by, "delete", name, "", "server "+name))
	})
	if err != nil {
		return fmt.Errorf("remove server %s: %w", name, err)
	}
	return nil
}

func (t *tx) forgetServer(ctx context.Context, id int64) error {
	for _, q := range []string{
		`DELETE FROM tasks WHERE server_id = ?`,
		`DELETE FROM sightings WHERE server_id = ?`,
		`DELETE FROM health WHERE server_id = ?`,
		`DELETE FROM markers WHERE server_id = ?`,
		`DELETE FROM server_pools WHERE server_id = ?`,
		`DELETE FROM servers WHERE id = ?`,
	} {
		if _, err := t.exec(ctx, q, id); err != nil {
			return err
		}
	}
	return nil
}
