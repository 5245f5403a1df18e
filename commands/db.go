package commands

import (
	"context"

	"github.com/spf13/cobra"

	"dnsctl/render"
	"dnsctl/store"
)

func newDBCmd(a *App) *cobra.Command {
	return group("db", "Make, migrate, look at, back up and restore the database",
		`Makes the database, brings its schema up to date, says how it is, backs it up, and
puts backups back.
Which database is meant is said by --store or the setting store.`,
		newDBInitCmd(a), newDBMigrateCmd(a), newDBStatusCmd(a), newDBBackupCmd(a), newDBRestoreCmd(a), newDBNewEpochCmd(a))
}

// anyStore opens a store that may not be initialised or up to date, and makes
// the file of an SQLite one where create says so.
func (a *App) anyStore(ctx context.Context, create bool) (*store.Store, error) {
	s, err := store.Open(ctx, a.Config.Store, store.Options{Create: create, AnySchema: true, Readable: !create, Recipient: a.recipient, Logger: a.Log})
	if err != nil {
		return nil, err
	}
	a.stop = append(a.stop, s.Close)
	return s, nil
}

var statusColumns = render.List[store.Status]{Columns: []render.Column[store.Status]{
	{Name: "place", Value: func(s store.Status) any { return s.Place }},
	{Name: "kind", Value: func(s store.Status) any { return s.Kind }},
	{Name: "initialised", Value: func(s store.Status) any { return s.Initialised }},
	{Name: "schema", Value: func(s store.Status) any { return s.Schema }},
	{Name: "latest_schema", Value: func(s store.Status) any { return s.Latest }},
	{Name: "store_id", Value: func(s store.Status) any { return s.StoreID }},
	{Name: "epoch", Value: func(s store.Status) any { return s.Epoch }},
	{Name: "recipient", Value: func(s store.Status) any { return s.Recipient }},
	{Name: "feed", Value: func(s store.Status) any { return s.Feed }},
	{Name: "zones", Value: func(s store.Status) any { return s.Zones }},
	{Name: "deleted_zones", Value: func(s store.Status) any { return s.Deleted }},
	{Name: "rrsets", Value: func(s store.Status) any { return s.RRsets }},
	{Name: "records", Value: func(s store.Status) any { return s.Records }},
	{Name: "pools", Value: func(s store.Status) any { return s.Pools }},
	{Name: "servers", Value: func(s store.Status) any { return s.Servers }},
	{Name: "tsig_keys", Value: func(s store.Status) any { return s.Keys }},
	{Name: "tasks", Value: func(s store.Status) any { return s.Tasks }},
	{Name: "quarantined", Value: func(s store.Status) any { return s.Copies }},
	{Name: "unswept", Value: func(s store.Status) any { return s.Unswept }},
	{Name: "octets", Value: func(s store.Status) any { return s.Octets }},
	{Name: "feed_from", Value: func(s store.Status) any { return s.FeedFrom }},
	{Name: "changes", Value: func(s store.Status) any { return s.Changes }},
	{Name: "change_octets", Value: func(s store.Status) any { return s.ChangeOctets }},
	{Name: "oldest_change", Value: func(s store.Status) any { return s.OldestChange }},
	{Name: "events", Value: func(s store.Status) any { return s.Events }},
	{Name: "oldest_event", Value: func(s store.Status) any { return s.OldestEvent }},
	{Name: "oldest_deleted", Value: func(s store.Status) any { return s.OldestDeleted }},
	{Name: "quarantined_octets", Value: func(s store.Status) any { return s.CopyOctets }},
	{Name: "oldest_quarantined", Value: func(s store.Status) any { return s.OldestCopy }},
}}
