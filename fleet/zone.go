package fleet

import (
	"fmt"
	"time"

	"dnsctl/zone"
)

// Kind says what a zone is to us.
type Kind string

// The kinds of zones. Only ordinary ones are touched by zone and record verbs.
const (
	Ordinary Kind = "zone"
	Marker   Kind = "marker"
	Catalog  Kind = "catalog"
	Restored Kind = "restored" // a quarantined copy on its way back to one server; wanted nowhere
)

// Zone is a zone as people edit it.
type Zone struct {
	ID          int64
	Name        zone.Name
	Kind        Kind
	SerialStyle zone.SerialStyle
	Created     time.Time
	Deleted     *time.Time // nil while it is live; content is kept until purged
	Purged      bool
	Group       string   // its group in catalogs (RFC 9432 section 4.4.2); "" is none
	Priority    int      // nameservers get zones of a higher one first; 0 is usual
	Pools       []string // of its live memberships, sorted
	Edition     Edition  // the one that is served as imported or edited
}

// MostPriority is the highest priority of a zone; the lowest is as far below 0.
const MostPriority = 1000

// CheckPriority says why a zone cannot have this priority; nil when it can.
func CheckPriority(n int) error {
	if n < -MostPriority || n > MostPriority {
		return fmt.Errorf("priority %d: it goes from %d to %d", n, -MostPriority, MostPriority)
	}
	return nil
}

// Edition is what is served of a zone: one per audience and signing. Today each
// zone has one, with both empty. Version counts its commits; a change states
// the version it was computed from.
type Edition struct {
	ID       int64
	ZoneID   int64
	Audience string // "" is everyone in the zone's pools
	Signing  string // "" is as imported or edited
	Version  int64
	Serial   zone.Serial
	SOA      zone.RRset
	Signed   bool // it arrived signed: served unchanged, never edited
	RRsets   int
	Records  int
	Octets   int
	Changed  time.Time
}

// Membership puts a zone into a pool. Its tombstone stays for ever.
type Membership struct {
	Zone        zone.Name
	ZoneID      int64
	Pool        string
	Incarnation string // random; a zone created again gets a new one
	Group       string // the zone's in catalogs; "" is none
	Created     time.Time
	Deleted     *time.Time
	LastSerial  zone.Serial // when it was deleted
}

// Loaded is an edition's content and the version it is of.
type Loaded struct {
	Content *zone.Snapshot
	Version int64
}

// Served is what the hidden primary needs of a zone to answer for it without
// its content.
type Served struct {
	Name    zone.Name
	Kind    Kind
	ZoneID  int64
	Edition int64
	Version int64
	Serial  zone.Serial
	SOA     zone.RRset
	Octets  int // of the content in wire form; 0 when not known
	Pools   []int64
	Damage  error // wraps ErrCorrupt: the row is malformed, and all but ZoneID may be missing
}

// Wanted is a zone that a nameserver should have: the union over the pools that
// the server is in.
type Wanted struct {
	Name        zone.Name
	Kind        Kind
	ZoneID      int64
	Edition     int64
	Serial      zone.Serial
	SOA         string // rdata
	Incarnation string
	Pools       []int64 // ascending; the first one is the pool through which the server has the zone
	FirstFeed   int64   // feed position of the membership's first entry (guard 1)
	Priority    int     // of the zone
	Octets      int     // of the content in wire form
}

// Tombstone says that a zone was a member of one of a server's pools and is not
// any more.
type Tombstone struct {
	Name        zone.Name
	ZoneID      int64
	Incarnation string
	LastSerial  zone.Serial
	Deleted     time.Time
	Kept        bool // its content is still in the store: the copy of guard 5
}

// Present is a zone as the database has it, for who changes many at once.
type Present struct {
	Zone    Zone
	Content *zone.Snapshot // nil when it is to be read by itself: a large zone, or one that is not live
	Damage  error          // why it cannot be read
}
