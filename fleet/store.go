package fleet

import (
	"time"

	"dnsctl/report"
	"dnsctl/zone"
)

// By says who makes a change to pools, servers or keys, for its event.
type By struct {
	Actor   report.Actor
	Command string
	Action  string // "" is the method's own: create, set, delete
	Comment string
}

// ZoneFilter selects zones; the zero value is every live ordinary zone.
type ZoneFilter struct {
	Glob    string // over the lower-case name without its final dot, * does not stop at dots; "" is all
	Pool    string // "" is all
	Deleted bool   // the deleted ones instead of the live ones
	Kind    Kind   // "" is Ordinary

	// Damaged is called for each zone whose row cannot be read (it wraps
	// ErrCorrupt), and the others are listed; nil: the first one is an error.
	Damaged func(error)
}

// EventFilter selects events.
type EventFilter struct {
	ZoneID int64     // 0 is all
	Zone   zone.Name // "" is all; every life of the name
	Server string    // "" is all
	// Database leaves out what was done to nameservers.
	Database bool
	Since    time.Time // the zero time is all
	Before   int64     // only those with a lower ID; 0 is all
	Limit    int       // newest first; 0 is 100
}

// Version is one that an edition has, or has had and that the stored deltas lead
// back to.
type Version struct {
	Version int64
	Serial  zone.Serial
	Whole   bool // the delta that made it is kept too; never so for the oldest
}

// MarkerState is what the store remembers of a server's marker zone.
type MarkerState struct {
	Server int64
	Name   zone.Name
	ZoneID int64      // 0 until it has been written
	Feed   int64      // feed position that the marker zone states
	Placed *time.Time // first proven on the server
}

// Lease is a lock with an end. Fence grows with every new holder, so that a
// late write of an earlier one can be told.
type Lease struct {
	Name    string
	Holder  string
	Fence   int64
	Taken   time.Time // since when the holder has it
	Expires time.Time
}

// Retention is how long the past is kept; 0 is for ever.
type Retention struct {
	Deleted time.Duration // content of deleted zones
	History time.Duration // changes of zones
	Events  time.Duration
	Feed    time.Duration // entries of the change feed
}
