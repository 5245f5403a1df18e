package fleet

import "time"

// What a replica says of itself.
const (
	ReplicaReady    = "ready"
	ReplicaNotReady = "not-ready"
	ReplicaDraining = "draining" // it ends: no new connections, transfers finish
)

// Replica is one process of the hidden primary, as it says of itself.
type Replica struct {
	ID       string // random, a new one for every process
	Host     string
	PID      int
	Version  string
	Listen   []string // addresses it serves DNS on
	HTTP     string   // address of metrics and health; "" when there is none
	Holder   string   // its name in leases
	State    string   // ReplicaReady and so on
	Reason   string   // why it is not ready
	Position int64    // of the feed, which it serves
	Started  time.Time
	Seen     time.Time // when it said so
}

// Health is what the leader has last seen of a server.
type Health struct {
	Server  int64
	Blocked string // why nothing is written to it, in a word; "" when it may be
	Reason  string
	Told    bool       // it shows a sound marker and is told of changes, blocked or not
	Since   time.Time  // blocked so, or not blocked
	Marker  int64      // feed position that its marker showed
	Looked  *time.Time // when its marker was last read
	Proven  *time.Time // when the wire last proved that a zone there is as it should be
}
