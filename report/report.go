// Package report is what the verbs say: per server and zone a class, the action
// it asks for and how that ended, plus the events, tasks and copies that the
// store keeps. One shape for bootstrap, sync, audit and drain.
package report

import (
	"slices"
	"time"

	"dnsctl/zone"
)

// Class says how a zone on a nameserver stands to the database.
type Class string

// The classes. Markers have none: their Class is "".
const (
	OK            Class = "ok"
	Missing       Class = "missing"       // should be there
	Stale         Class = "stale"         // ours once: its membership has a tombstone
	Foreign       Class = "foreign"       // never ours
	Misconfigured Class = "misconfigured" // wrong primaries, key or role
	Behind        Class = "behind"        // its serial is behind ours (RFC 1982)
	Ahead         Class = "ahead"         // its serial is ahead of ours
	Differs       Class = "differs"       // same serial, other content
	Expired       Class = "expired"       // there, but not serving
	Unknown       Class = "unknown"       // could not look; never read as absent
)

// Classes lists them in the order of the documentation.
var Classes = []Class{OK, Missing, Stale, Foreign, Misconfigured, Behind, Ahead, Differs, Expired, Unknown}

// Attributes that stand beside a class.
const (
	Protected   = "protected"   // a protect glob or a restored copy keeps it
	Declared    = "declared"    // in the nameserver's own configuration file
	Builtin     = "builtin"     // the nameserver's own, or of a type we never touch
	OlderStore  = "older-store" // carries our primaries or keys, yet is unknown here
	CatalogZone = "catalog"     // a member of a catalog on that server
	Ignored     = "ignored"     // a foreign zone whose pool's policy is ignore
	Unplanned   = "unplanned"   // not in the plan file that is applied, so nothing was done about it
	MarkerZone  = "marker"      // a marker or catalog zone; only with --all
)

// Action is what a step does to a nameserver.
type Action string

// The actions.
const (
	None       Action = "none"
	Add        Action = "add"
	Change     Action = "change"
	Retransfer Action = "retransfer"
	Delete     Action = "delete"
	Adopt      Action = "adopt"
)

// Outcome is how a step ended.
type Outcome string

// The outcomes.
const (
	Planned  Outcome = "planned"  // would be done
	Withheld Outcome = "withheld" // a guard or policy stopped it; Reason says which
	Done     Outcome = "done"     // done and proven
	Dropped  Outcome = "dropped"  // what it rested on had changed
	Failed   Outcome = "failed"
)

// Serials of a zone: what the database has, what the nameserver has. Nil where
// there is none.
type Serials struct {
	Want *zone.Serial `json:"want"`
	Have *zone.Serial `json:"have"`
}

// Item is one zone on one server.
type Item struct {
	Zone       zone.Name `json:"zone"`
	View       string    `json:"view,omitempty"`
	Class      Class     `json:"class"`
	Attributes []string  `json:"attributes"`
	Action     Action    `json:"action"`
	Outcome    Outcome   `json:"outcome,omitempty"`
	Guard      string    `json:"guard,omitempty"` // which guard withheld it: marker, empty, limit, policy, never, copy, confirm, ...
	Reason     string    `json:"reason"`
	Serial     Serials   `json:"serial"`
}

// Server is the part of a report about one nameserver.
type Server struct {
	Name     string        `json:"name"`
	Complete bool          `json:"complete"` // its inventory was read whole
	Error    string        `json:"error,omitempty"`
	Hint     string        `json:"hint,omitempty"`
	Busy     bool          `json:"busy,omitempty"`     // another dnsctl holds it
	Withheld string        `json:"withheld,omitempty"` // guard 1: why every write to it but those Allowed is withheld
	Allowed  []Action      `json:"allowed,omitempty"`
	Drained  *Drain        `json:"drained,omitempty"` // it is out of service; without items, it was not looked at
	Counts   map[Class]int `json:"counts"`
	Items    []Item        `json:"items"`
	Agreed   int           `json:"-"` // zones in agreement that are no items
}

// Drain is why a server is out of service.
type Drain struct {
	Reason string    `json:"reason"`
	By     Actor     `json:"by"`
	Since  time.Time `json:"since"`
}

// Report is what bootstrap, sync, audit and drain return.
type Report struct {
	Schema  string    `json:"schema"` // "dnsctl/v1"
	Command string    `json:"command"`
	Store   string    `json:"store"` // its id
	Epoch   int64     `json:"epoch"`
	Started time.Time `json:"started"`
	Servers []Server  `json:"servers"`
	Exit    Exit      `json:"exit"`
}

// Schema is the version of the JSON shape.
const Schema = "dnsctl/v1"

// Count makes Counts from the items and sorts the items by zone.
func (s *Server) Count() {
	s.Counts = make(map[Class]int)
	if s.Agreed > 0 {
		s.Counts[OK] = s.Agreed
	}
	for _, it := range s.Items {
		if !slices.Contains(it.Attributes, MarkerZone) {
			s.Counts[it.Class]++
		}
	}
	slices.SortStableFunc(s.Items, func(a, b Item) int {
		return zone.ID{Owner: a.Zone.Key()}.Compare(zone.ID{Owner: b.Zone.Key()})
	})
}
