package plan

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/report"
	"dnsctl/zone"
)

// DocumentSchema names the shape of a plan file; docs/plan-files.md describes it.
const DocumentSchema = "dnsctl/plan/v1"

// MaxDocument bounds a plan file, in octets: some 200,000 steps.
const MaxDocument = 128 << 20

// Document is a plan file: the steps that some servers needed when it was made,
// each with what it rests on, so that it can be applied later as far as that
// still holds.
type Document struct {
	Schema   string       `json:"schema"`
	Store    string       `json:"store"` // its id
	Epoch    int64        `json:"epoch"`
	Position int64        `json:"position"` // of the change feed, when the plan was made
	Entry    string       `json:"entry"`    // random id of the entry there; "" at position 0
	Made     time.Time    `json:"made"`
	By       report.Actor `json:"by"`
	Comment  string       `json:"comment"`
	Servers  []Named      `json:"servers"`
}

// Named is one server's part of a Document.
type Named struct {
	Name   string      `json:"name"`
	Marker NamedMarker `json:"marker"`
	// ApprovedDeletions is exactly how many of the steps delete; nil: they are not
	// approved, and need what they would need without a plan.
	ApprovedDeletions *int        `json:"approved_deletions"`
	Steps             []NamedStep `json:"steps"`
}

// NamedMarker is the server's marker as it was.
type NamedMarker struct {
	Zone     zone.Name `json:"zone"`
	Position int64     `json:"position"` // of the change feed; 0 when there was none
}

// NamedStep is a step and what it rests on.
type NamedStep struct {
	Zone       zone.Name     `json:"zone"`
	Class      report.Class  `json:"class"`
	Action     report.Action `json:"action"`
	Reason     string        `json:"reason"`
	Database   Row           `json:"database"`
	Nameserver Seen          `json:"nameserver"`
}

// Row is what the database said of a zone on a server.
type Row struct {
	Wanted      bool         `json:"wanted"`
	Incarnation string       `json:"incarnation"` // of the membership, or of its tombstone; "" for what was never ours
	Serial      *zone.Serial `json:"serial"`      // the last one, for a tombstone
	Feed        int64        `json:"feed"`        // position of the membership's first entry; 0 where it is not wanted
}

// Seen is what the nameserver said of a zone.
type Seen struct {
	There     bool              `json:"there"`
	Role      nameserver.Role   `json:"role"`
	Origin    nameserver.Origin `json:"origin"`    // "" when it did not tell
	Primaries []SeenPrimary     `json:"primaries"` // null when it did not tell
	Serial    *zone.Serial      `json:"serial"`
}

// SeenPrimary is a primary that a zone was configured with.
type SeenPrimary struct {
	Address netip.AddrPort `json:"address"`
	Key     zone.Name      `json:"key,omitempty"`
	TLS     string         `json:"tls,omitempty"` // name of its TLS settings
}

// Name makes one server's part of a plan file: the steps of its plan that would
// be done.
func Name(in Input, p Plan) Named {
	n := Named{Name: p.Server.Name, Marker: NamedMarker{Zone: p.Server.Marker, Position: in.Marker.Pos}, ApprovedDeletions: new(int), Steps: []NamedStep{}}
	for i := range p.Steps {
		st := &p.Steps[i]
		if st.Action == report.None || st.Outcome != report.Planned {
			continue
		}
		n.Steps = append(n.Steps, NamedStep{Zone: st.Zone, Class: st.Class, Action: st.Action, Reason: st.Reason, Database: rowOf(st), Nameserver: seen(st)})
		if st.Action == report.Delete {
			*n.ApprovedDeletions++
		}
	}
	return n
}

func rowOf(st *Step) Row {
	switch {
	case st.Wanted != nil:
		return Row{Wanted: true, Incarnation: st.Wanted.Incarnation, Serial: &st.Wanted.Serial, Feed: st.Wanted.FirstFeed}
	case st.Tomb != nil:
		return Row{Incarnation: st.Tomb.Incarnation, Serial: &st.Tomb.LastSerial}
	}
	return Row{}
}

func seen(st *Step) Seen {
	h := st.Have
	if h == nil {
		return Seen{}
	}
	s := Seen{There: true, Role: h.Role, Origin: h.Origin, Serial: st.Serial.Have}
	if h.Known {
		s.Primaries = make([]SeenPrimary, 0, len(h.Primaries))
		for _, p := range h.Primaries {
			s.Primaries = append(s.Primaries, SeenPrimary{p.Addr, p.Key, p.TLS})
		}
	}
	return s
}

func (s Seen) refs() []nameserver.PrimaryRef {
	out := make([]nameserver.PrimaryRef, 0, len(s.Primaries))
	for _, p := range s.Primaries {
		out = append(out, nameserver.PrimaryRef{Addr: p.Address, Key: p.Key, TLS: p.TLS})
	}
	return out
}

// Write writes the plan file.
func (d Document) Write(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	return e.Encode(d)
}

// ErrDocument is wrapped by ReadDocument's errors: the file is no plan file, or
// not one that dnsctl has made.
var ErrDocument = errors.New("plan file")

func badDocument(format string, args ...any) error {
	return report.Fail(report.ExitUsage, fmt.Errorf("%w: %w", ErrDocument, fmt.Errorf(format, args...)),
		"apply it as dnsctl wrote it, or make a new one: dnsctl sync --plan-out FILE")
}

// ReadDocument reads a plan file and refuses what dnsctl does not write: another
// shape, steps that it never plans, a wrong number of approved deletions.
func ReadDocument(r io.Reader) (Document, error) {
	limited := &io.LimitedReader{R: r, N: MaxDocument + 1}
	d := json.NewDecoder(limited)
	d.DisallowUnknownFields()
	var doc Document
	err := d.Decode(&doc)
	if err == nil {
		if _, after := d.Token(); !errors.Is(after, io.EOF) {
			err = errors.New("there is more behind its end")
		}
	}
	var at *json.SyntaxError
	var typed *json.UnmarshalTypeError
	switch {
	case limited.N <= 0:
		return Document{}, badDocument("it has more than %d octets", MaxDocument)
	case errors.Is(err, io.EOF):
		return Document{}, badDocument("it is empty")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return Document{}, badDocument("it is cut short")
	case errors.As(err, &at):
		return Document{}, badDocument("it is no JSON, at octet %d: %w", at.Offset, err)
	case errors.As(err, &typed):
		return Document{}, badDocument("at octet %d: %s cannot be a %s", typed.Offset, cmp.Or(typed.Field, "the whole"), typed.Value)
	case err != nil:
		return Document{}, badDocument("%s", strings.TrimPrefix(err.Error(), "json: "))
	}
	return doc, doc.check()
}

// check refuses what dnsctl never writes.
func (d Document) check() error {
	switch {
	case d.Schema != DocumentSchema:
		return badDocument("its schema is %q, want %s", d.Schema, DocumentSchema)
	case d.Store == "" || d.Epoch < 1 || d.Position < 0 || d.Made.IsZero():
		return badDocument("it does not say of which store it is and when it was made")
	case d.Servers == nil:
		return badDocument("it has no list of servers")
	}
	known := make(map[string]bool, len(d.Servers))
	for _, s := range d.Servers {
		if s.Name == "" || known[s.Name] {
			return badDocument("server %q is not named, or named twice", s.Name)
		}
		known[s.Name] = true
		if err := s.check(); err != nil {
			return badDocument("server %q: %w", s.Name, err)
		}
	}
	return nil
}

func (n Named) check() error {
	if !fleet.IsMarkerName(n.Marker.Zone) || n.Marker.Position < 0 {
		return fmt.Errorf("%q at position %d is no marker", n.Marker.Zone, n.Marker.Position)
	}
	if n.Steps == nil {
		return errors.New("it has no list of steps")
	}
	known := make(map[zone.Key]bool, len(n.Steps))
	deletions := 0
	for i, st := range n.Steps {
		k := st.Zone.Key()
		if known[k] {
			return fmt.Errorf("step %d: zone %q is named twice", i+1, st.Zone)
		}
		known[k] = true
		if err := st.check(); err != nil {
			return fmt.Errorf("step %d: zone %q: %w", i+1, st.Zone, err)
		}
		if st.Action == report.Delete {
			deletions++
		}
	}
	if n.ApprovedDeletions != nil && *n.ApprovedDeletions != deletions {
		return fmt.Errorf("its approved_deletions is %d, but its steps delete %s", *n.ApprovedDeletions, report.Count(deletions, "zone"))
	}
	return nil
}

// planned is the action that each class is planned with.
var planned = map[report.Class]report.Action{
	report.Missing: report.Add, report.Misconfigured: report.Change,
	report.Behind: report.Retransfer, report.Ahead: report.Retransfer, report.Differs: report.Retransfer, report.Expired: report.Retransfer,
	report.Stale: report.Delete, report.Foreign: report.Delete,
}

// check refuses a step that is never planned.
func (n NamedStep) check() error {
	db, ns := n.Database, n.Nameserver
	switch {
	case !n.Zone.Valid() || fleet.IsMarkerName(n.Zone):
		return errors.New("no plan is about it")
	case planned[n.Class] == "" || planned[n.Class] != n.Action:
		return fmt.Errorf("no plan does %q to a zone that is %q", n.Action, n.Class)
	case db.Wanted != (n.Action != report.Delete):
		return fmt.Errorf("no plan does %q to a zone with wanted %t", n.Action, db.Wanted)
	case db.Wanted && (db.Serial == nil || db.Incarnation == ""), n.Class == report.Stale && (db.Serial == nil || db.Incarnation == ""),
		n.Class == report.Foreign && (db.Serial != nil || db.Incarnation != ""), !db.Wanted && db.Feed != 0, db.Feed < 0:
		return errors.New("what the database said of it is incomplete or contradicts itself")
	case ns.There != (n.Action != report.Add):
		return fmt.Errorf("no plan does %q to a zone with there %t", n.Action, ns.There)
	case !ns.There && (ns.Role != "" || ns.Origin != "" || ns.Primaries != nil || ns.Serial != nil):
		return errors.New("what the nameserver said of it contradicts itself")
	case ns.There && ns.Role != nameserver.Primary && ns.Role != nameserver.Secondary:
		return fmt.Errorf("no plan touches a zone of role %q", ns.Role)
	case (n.Action == report.Delete || n.Action == report.Change) && ns.Origin != nameserver.Runtime && ns.Origin != nameserver.Unsure,
		n.Action == report.Retransfer && ns.Origin == nameserver.Builtin:
		return fmt.Errorf("no plan does %q to a zone of origin %q", n.Action, ns.Origin)
	case n.Action == report.Delete && n.Zone == zone.Root:
		return errors.New("the root zone is never deleted")
	}
	switch ns.Origin {
	case nameserver.Unsure, nameserver.Runtime, nameserver.Declared, nameserver.Cataloged:
		return nil
	}
	return fmt.Errorf("there is no origin %q", ns.Origin)
}
