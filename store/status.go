package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"dnsctl/fleet"
	"dnsctl/report"
)

// Status is what there is to say about a store. The fields behind Initialised
// are zero when it is not.
type Status struct {
	Kind        string `json:"kind"`
	Place       string `json:"place"`
	Schema      int64  `json:"schema"`
	Latest      int64  `json:"latest_schema"` // what this program works with
	Octets      int64  `json:"octets"`
	Initialised bool   `json:"initialised"`
	StoreID     string `json:"store_id"`
	Epoch       int64  `json:"epoch"`
	Recipient   string `json:"recipient"` // whom secrets are sealed to
	Feed        int64  `json:"feed"`      // position of the last entry
	Zones       int64  `json:"zones"`
	Deleted     int64  `json:"deleted_zones"` // not purged
	RRsets      int64  `json:"rrsets"`
	Records     int64  `json:"records"`
	Pools       int64  `json:"pools"`
	Servers     int64  `json:"servers"`
	Keys        int64  `json:"tsig_keys"`
	Tasks       int64  `json:"tasks"`
	Copies      int64  `json:"quarantined"`
	Unswept     int64  `json:"unswept"` // contents that are staged, or dead and not swept

	// What is kept of the past, and since when; the times are nil where there is
	// nothing.
	CopyOctets    int64      `json:"quarantined_octets"`
	OldestCopy    *time.Time `json:"oldest_quarantined"`
	OldestDeleted *time.Time `json:"oldest_deleted"`
	Changes       int64      `json:"changes"` // of zones: history, and what IXFR is made of
	ChangeOctets  int64      `json:"change_octets"`
	OldestChange  *time.Time `json:"oldest_change"`
	Events        int64      `json:"events"`
	OldestEvent   *time.Time `json:"oldest_event"`
	FeedFrom      int64      `json:"feed_from"` // position of the first entry of the feed that nothing is missing behind
}

// Status describes the store. With Options.AnySchema it works on one that is not
// initialised or needs a migration, too.
func (s *Store) Status(ctx context.Context) (Status, error) {
	st := Status{Kind: s.d.name(), Place: s.place, Latest: SchemaVersion()}
	var err error
	if st.Schema, st.Initialised, err = s.schema(ctx); err != nil {
		return st, err
	}
	err = s.view(ctx, func(t *tx) error {
		var err error
		if st.Octets, err = s.d.size(ctx, t); err != nil || !st.Initialised {
			return err
		}
		if err := t.row(ctx, `SELECT store_id, epoch, recipient FROM store`).Scan(&st.StoreID, &st.Epoch, &st.Recipient); err != nil {
			return err
		}
		if st.Feed, err = t.head(ctx); err != nil {
			return err
		}
		err = t.row(ctx, `SELECT count(*), COALESCE(sum(e.rrsets), 0), COALESCE(sum(e.records), 0) FROM zones z JOIN editions e ON e.zone_id = z.id
			WHERE z.deleted_at IS NULL AND z.kind = ?`, string(fleet.Ordinary)).Scan(&st.Zones, &st.RRsets, &st.Records)
		if err != nil {
			return err
		}
		for _, c := range []struct {
			n *int64
			q string
		}{
			{&st.Deleted, `SELECT count(*) FROM zones WHERE deleted_at IS NOT NULL AND purged_at IS NULL`},
			{&st.Pools, `SELECT count(*) FROM pools`},
			{&st.Servers, `SELECT count(*) FROM servers`},
			{&st.Keys, `SELECT count(*) FROM tsig_keys`},
			{&st.Tasks, `SELECT count(*) FROM tasks`},
			{&st.Copies, `SELECT count(*) FROM quarantine`},
			{&st.Unswept, `SELECT count(*) FROM contents WHERE state <> 'live'`},
		} {
			if err := t.get(ctx, c.n, c.q); err != nil {
				return err
			}
		}
		return t.past(ctx, &st)
	})
	if err != nil {
		return st, fmt.Errorf("read the store's status: %w", err)
	}
	return st, nil
}

// past reads what is kept of the past.
func (t *tx) past(ctx context.Context, st *Status) error {
	var copied, deleted, changed, happened sql.NullInt64
	for _, c := range []struct {
		q    string
		dest []any
	}{
		{`SELECT COALESCE(sum(length(content)), 0), min(taken_at) FROM quarantine`, []any{&st.CopyOctets, &copied}},
		{`SELECT min(deleted_at) FROM zones WHERE deleted_at IS NOT NULL AND purged_at IS NULL`, []any{&deleted}},
		{`SELECT count(*), COALESCE(sum(octets), 0), min(at) FROM deltas`, []any{&st.Changes, &st.ChangeOctets, &changed}},
		{`SELECT count(*), (SELECT at FROM events ORDER BY id LIMIT 1) FROM events`, []any{&st.Events, &happened}},
		{`SELECT CASE WHEN pos > compacted THEN compacted + 1 ELSE compacted END FROM feed_head`, []any{&st.FeedFrom}},
	} {
		if err := t.row(ctx, c.q).Scan(c.dest...); err != nil {
			return err
		}
	}
	st.OldestCopy, st.OldestDeleted, st.OldestChange, st.OldestEvent = timePtr(copied), timePtr(deleted), timePtr(changed), timePtr(happened)
	return nil
}

// PurgeDeleted purges zones that were deleted before a time and returns how
// many; their names, serials and memberships stay.
func (s *Store) PurgeDeleted(ctx context.Context, before time.Time, actor report.Actor, command string) (int, error) {
	n := 0
	for {
		var batch []fleet.MemberChange
		err := s.view(ctx, func(t *tx) error {
			batch = nil
			var rows []zoneRow
			err := t.all(ctx, &rows, selectZones+` WHERE z.deleted_at < ? AND z.purged_at IS NULL ORDER BY z.id LIMIT 100`, millis(before))
			if err != nil {
				return err
			}
			for _, r := range rows {
				z, err := r.zone()
				if err != nil {
					return err
				}
				batch = append(batch, fleet.MemberChange{Zone: z, Purge: true})
			}
			return nil
		})
		if err != nil || len(batch) == 0 {
			return n, err
		}
		if _, err := s.Commit(ctx, fleet.Commit{Members: batch, Actor: actor, Command: command}); err != nil {
			return n, fmt.Errorf("purge zones: %w", err)
		}
		n += len(batch)
	}
}
