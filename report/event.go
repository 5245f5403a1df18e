package report

import (
	"cmp"
	"time"

	"dnsctl/zone"
)

// Actor is who made a change.
type Actor struct {
	UID      int    `json:"uid"`
	User     string `json:"user,omitempty"`
	SudoUser string `json:"sudo_user,omitempty"`
	Host     string `json:"host,omitempty"`
	Process  string `json:"process,omitempty"` // "cli", "mdns"
}

// Person names who it was: the person behind sudo, where there is one.
func (a Actor) Person() string {
	who := cmp.Or(a.SudoUser, a.User, a.Process)
	if a.Host != "" {
		who += "@" + a.Host
	}
	return who
}

// Event is one entry of the append-only log of changes to the database or to a
// nameserver.
type Event struct {
	ID      int64        `json:"id"`
	At      time.Time    `json:"at"`
	Actor   Actor        `json:"actor"`
	Command string       `json:"command"`          // "record set", "sync", "keeper"
	Action  string       `json:"action"`           // "create", "edit", "delete", "add", ...
	Zone    zone.Name    `json:"zone,omitempty"`   // "" when it is not about a zone
	Server  string       `json:"server,omitempty"` // "" when it is about the database only
	From    *zone.Serial `json:"from_serial,omitempty"`
	Serial  *zone.Serial `json:"serial,omitempty"`
	Removed *int         `json:"removed,omitempty"` // records, as Added; nil where no zone's content changed
	Added   *int         `json:"added,omitempty"`
	Comment string       `json:"comment,omitempty"`
	Before  string       `json:"before,omitempty"` // JSON or text: what it was
	Result  string       `json:"result,omitempty"`
	ZoneID  int64        `json:"-"` // which life of the name
}

// What a task wants of a zone on a server.
const (
	Present = "present"
	Absent  = "absent"
)

// Task is a zone on a server that has not been proven converged.
type Task struct {
	Server      string      `json:"server"`
	Zone        zone.Name   `json:"zone"`
	Want        string      `json:"want"` // "present" or "absent"
	Incarnation string      `json:"incarnation"`
	Serial      zone.Serial `json:"serial"`
	Attempts    int         `json:"attempts"`
	Since       time.Time   `json:"since"`
	NextTry     time.Time   `json:"next_try"`
	LastError   string      `json:"last_error"`
	Blocked     string      `json:"blocked"` // why nothing is written to its server for now; "" when it may be
}

// Copy is a quarantined copy of a zone as a nameserver had it.
type Copy struct {
	ID       int64        `json:"id"`
	Server   string       `json:"server"`
	View     string       `json:"view,omitempty"`
	Zone     zone.Name    `json:"zone"`
	Reason   string       `json:"reason"`   // class and action that made it: "foreign delete", "ahead retransfer"
	Settings string       `json:"settings"` // the zone's configuration on the server, in the server's own syntax
	Serial   *zone.Serial `json:"serial"`
	Records  int          `json:"records"`
	Taken    time.Time    `json:"taken"`
	Expires  time.Time    `json:"expires"`
	Restored *time.Time   `json:"restored"` // set while it is back on the server, protected
	Content  []byte       `json:"-"`        // records in uncompressed wire form; nil in lists
}
