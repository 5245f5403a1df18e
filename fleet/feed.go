package fleet

import (
	"time"

	"dnsctl/zone"
)

// FeedKind says what an entry of the change feed is about.
type FeedKind string

// The kinds of feed entries.
const (
	FeedContent FeedKind = "content" // an edition has a new serial
	FeedMember  FeedKind = "member"  // a zone was created, deleted, undeleted, or its pools changed
	FeedConfig  FeedKind = "config"  // a pool, server or key changed; reload them all
)

// FeedEntry is one step of the change feed. Positions are consecutive and every
// reader sees them in the same order.
type FeedEntry struct {
	Pos      int64
	ID       string // random, 16 octets in hex
	Kind     FeedKind
	ZoneID   int64
	Edition  int64
	Zone     zone.Name
	ZoneKind Kind
	Version  int64
	Serial   zone.Serial
	At       time.Time
}
