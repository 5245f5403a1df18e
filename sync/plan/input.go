package plan

import (
	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/zone"
)

// Input is everything a plan rests on.
type Input struct {
	Server     fleet.Server
	Wanted     []fleet.Wanted // canonical order; the list was read whole in one snapshot
	Have       []Have         // any order
	Agreed     int            // zones that are wanted, there and in agreement, and stand in neither list
	Partial    bool           // only the zones in Wanted, Tombstones and Have were looked at
	Tombstones map[zone.Key]fleet.Tombstone
	Protected  map[zone.Key]bool // restored copies
	Marker     Marker
	Primaries  func(fleet.Wanted) []nameserver.PrimaryRef // what a zone should be configured with
	Ours       func([]nameserver.PrimaryRef) bool         // whether these are our primaries or keys
	CanHold    func(zone.Name) error                      // why the server can never have a zone of this name

	ForeignDeleted int // foreign zones deleted from this server in the last 24 hours
	Options        Options
	Named          *Named // only what this part of a plan file names is done; nil is everything
}

// Have is a zone on the nameserver, with what it answered over DNS.
type Have struct {
	nameserver.ZoneState
	Probe   Probe
	Content Content
}

// Content is what comparing a zone's content found; the zero value is nothing, or
// that it was not compared.
type Content struct {
	Differs string // how it differs from the database's of the same serial
	Limit   string // why it will always differ so on a server of this kind; "" when a transfer may help
	Unknown string // why it could not be compared
}

// Probe is the answer to an SOA question; the zero value means not asked.
type Probe struct {
	Asked  bool
	Lost   bool   // no answer came: nothing can be concluded
	Err    string // no usable answer: what happened
	Serves bool   // authoritative, and the SOA's owner is the zone
	Serial zone.Serial
	SOA    string // rdata
}

// Marker is what was found of the server's marker (guard 1).
type Marker struct {
	State  MarkerState
	Reason string // for a person, when it is not MarkerSound
	Pos    int64  // of the feed, which a sound one states
	Stray  bool   // it is transferred from elsewhere, or with another key, than it should be by now
	// Diverged says of a wrong one that it is this store's, of another history: one
	// of another epoch, or ahead of the feed.
	Diverged bool
}

// MarkerState is the verdict on a marker.
type MarkerState string

// The verdicts.
const (
	MarkerSound   MarkerState = "sound"   // this store filled the server, and is not older
	MarkerMissing MarkerState = "missing" // withholds everything but adds of zones the server does not have
	MarkerWrong   MarkerState = "wrong"   // another store's, another server's, ahead of us, unreadable: withholds every write
)
