package fleet

import (
	"time"

	"dnsctl/zone"
)

// What a task wants of a zone on a server.
const (
	Present = "present"
	Absent  = "absent"
)

// Task is a zone on a server that has not been proven converged. There is at
// most one per server and zone.
type Task struct {
	Server      int64
	Zone        zone.Name
	Want        string // Present or Absent
	Incarnation string
	Serial      zone.Serial
	Attempts    int
	Created     time.Time
	Next        time.Time // not before
	LastError   string
}
