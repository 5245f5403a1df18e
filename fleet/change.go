package fleet

import (
	"dnsctl/report"
	"dnsctl/zone"
)

// Commit is one write transaction of zones: all of it, or nothing. Its feed
// entries, deltas and events are written with it.
type Commit struct {
	Creates []Create
	Edits   []Edit
	Members []MemberChange
	Actor   report.Actor
	Command string
	Comment string
}

// Create makes a zone. The store fails with ErrExists when a live zone has the
// name.
type Create struct {
	Name        zone.Name
	Kind        Kind
	SerialStyle zone.SerialStyle
	Pools       []int64
	Content     *zone.Snapshot // stored by the commit itself; nil when Staged is set
	Staged      StagedContent  // content staged beforehand (see Stage)
	Signed      bool
	After       *zone.Serial // last serial of an earlier zone of this name, as edit saw it; a conflict when it has changed
}

// Edit changes the content of an edition from one version to the next.
type Edit struct {
	Zone    Zone
	Base    int64         // the edition's version that the change was computed from
	Put     []zone.RRset  // whole RRsets that replace or join the content, SOA included
	Drop    []zone.ID     // RRsets that go
	Delta   zone.Delta    // the same, as history and IXFR keep it
	Staged  StagedContent // when set, replaces all content instead of Put and Drop
	Signed  bool
	Epoch   int64 // that the change begins for the zone: no IXFR leads across it; 0 for all others
	RRsets  int   // counts after the change
	Records int
	Octets  int
}

// MemberChange deletes or undeletes a zone, or changes its pools or settings.
type MemberChange struct {
	Zone        Zone
	Delete      bool
	Purge       bool // with Delete, or of a deleted zone: its content and history go now
	Undelete    bool
	AddPools    []int64
	RemovePools []int64
	SerialStyle zone.SerialStyle // "" leaves it
	Group       *string          // of catalogs; nil leaves it
	Priority    *int             // nil leaves it
}

// StagedContent is content written ahead in short transactions, which no reader
// sees until a commit switches to it; the zero value is none.
type StagedContent struct {
	ID                      int64
	SOA                     zone.RRset
	RRsets, Records, Octets int
	Chunked                 bool // it is there in chunks too, which are quicker to read
}

// Committed says what became of one zone of a commit.
type Committed struct {
	ZoneID  int64
	Name    zone.Name
	Edition int64
	Serial  zone.Serial
	Feed    int64
}
