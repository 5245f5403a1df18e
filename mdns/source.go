package mdns

import (
	"context"
	"iter"

	"dnsctl/fleet"
	"dnsctl/zone"
)

// Follower is how the index learns what is served. All methods may be called
// from several goroutines.
type Follower interface {
	// Identity says which store this is, and in which epoch.
	Identity(ctx context.Context) (fleet.Identity, error)
	// Head is the position of the feed's last entry; 0 when there is none.
	Head(ctx context.Context) (int64, error)
	// Index yields every live zone of every kind, in any order, and returns the
	// feed position that this is the state of: both from one database snapshot.
	// It ends early with yield's error.
	Index(ctx context.Context, yield func(fleet.Served) error) (pos int64, err error)
	// Served is the present state of those of the zones that are live; the others
	// are left out.
	Served(ctx context.Context, zoneIDs []int64) ([]fleet.Served, error)
	// Feed is up to limit entries behind position after, in order.
	Feed(ctx context.Context, after int64, limit int) ([]fleet.FeedEntry, error)
}

// Content is how zones are loaded.
type Content interface {
	// Stream is the edition's content and the version it is of, both from one
	// database snapshot. While it reads it calls read with the version and the next
	// RRsets in canonical order, again and again, first with those of the apex. The
	// error wraps fleet.ErrNoZone when there is no such edition.
	Stream(ctx context.Context, edition int64, read func(version int64, sets iter.Seq[zone.RRset])) (s *zone.Snapshot, version int64, err error)
	// Snapshots is the contents of several editions, which should be small, in fewer
	// questions to the store than they are. What there is not or cannot be read is
	// left out, and Stream says why.
	Snapshots(ctx context.Context, editions []int64) (map[int64]fleet.Loaded, error)
	// Deltas is the unbroken chain of stored changes that leads from one serial
	// of the edition to another, oldest first; nil when history does not reach
	// back that far, or when the chain is larger than maxOctets as stored.
	Deltas(ctx context.Context, edition int64, from, to zone.Serial, maxOctets int64) ([]zone.Delta, error)
}

// Access is who may see what.
type Access interface {
	Pools(ctx context.Context) ([]fleet.Pool, error)
	// Keys is all TSIG keys, retired ones included.
	Keys(ctx context.Context) ([]fleet.Key, error)
}

// Source is the store as mdns sees it. Wake-ups come by Config.Wake; nothing is
// lost when one is missed.
type Source interface {
	Follower
	Content
	Access
}
