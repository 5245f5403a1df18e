// Package plan merges what a nameserver should have with what it has into
// steps. It is pure: time, counts of the last day and the state of the marker
// are arguments, so the same input gives the same plan.
package plan

import (
	"fmt"
	"slices"

	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/report"
	"dnsctl/zone"
)

// Options narrow what a plan may do; each override covers one guard only.
type Options struct {
	Unmanaged  fleet.Policy // "" is the server's own; may only be milder
	MaxDelete  *int         // exact number of foreign zones to delete, past the limit of guard 3
	AllowEmpty bool         // an empty wanted list is meant (guard 2)
	NoCopy     bool         // delete even what cannot be copied (guard 5)
	NoLimit    bool         // the number of foreign zones to delete is approved in a plan file (guard 3)
}

// Plan is the steps for one server.
type Plan struct {
	Server   fleet.Server
	Marker   MarkerState
	Withheld string // guard 1's reason when it withholds every write but those Allowed
	Allowed  []report.Action
	Steps    []Step // in canonical order; those in agreement too, but for Agreed
	Agreed   int    // zones in agreement that have no step
	NoCopy   bool
}

// Step is one zone and what is to be done about it.
type Step struct {
	report.Item
	Wanted *fleet.Wanted         // nil when it should not be there
	Have   *Have                 // nil when it is not there
	Config nameserver.ZoneConfig // for add and change
	Copy   bool                  // a copy must be taken first (guard 5)
	Tomb   *fleet.Tombstone
}

// Guards, as they are named in reports.
const (
	GuardMarker  = "marker"
	GuardEmpty   = "empty"
	GuardLimit   = "limit"
	GuardNever   = "never"
	GuardCopy    = "copy"
	GuardAccept  = "accept"
	GuardConfirm = "confirm"
	GuardBatch   = "batch"       // an earlier deletion on the server failed
	GuardEnded   = "interrupted" // the run ended before the step began
)

// Make plans one server. The inventory in in.Have is whole: one that could not
// be read whole never gets here.
func Make(in Input) Plan {
	p := Plan{Server: in.Server, Marker: in.Marker.State, Agreed: in.Agreed, NoCopy: in.Options.NoCopy}
	have := make(map[zone.Key]*Have, len(in.Have))
	for i := range in.Have {
		have[in.Have[i].Name.Key()] = &in.Have[i]
	}
	for i := range in.Wanted {
		w := &in.Wanted[i]
		k := w.Name.Key()
		h := have[k]
		delete(have, k)
		p.Steps = append(p.Steps, in.wanted(w, h))
	}
	for _, h := range have {
		p.Steps = append(p.Steps, in.unwanted(h))
	}
	in.narrow(&p)
	slices.SortFunc(p.Steps, func(a, b Step) int {
		return zone.ID{Owner: a.Zone.Key()}.Compare(zone.ID{Owner: b.Zone.Key()})
	})
	in.guard(&p)
	return p
}

// wanted classes a zone that should be there.
func (in *Input) wanted(w *fleet.Wanted, h *Have) Step {
	s := Step{Wanted: w, Have: h}
	s.Item = report.Item{Zone: w.Name, View: in.Server.View, Class: report.OK, Action: report.None, Attributes: []string{}}
	s.Serial.Want = &w.Serial
	s.Config = nameserver.ZoneConfig{Name: w.Name, Incarnation: w.Incarnation, Primaries: in.Primaries(*w)}
	if w.Kind != fleet.Ordinary {
		s.marker()
		if h != nil {
			s.Serial.Have = h.Serial
		}
		return s
	}
	if h == nil {
		if err := in.CanHold(w.Name); err != nil {
			s.set(report.Missing, report.None, err.Error())
			return s
		}
		s.set(report.Missing, report.Add, "not on the server")
		return s
	}
	s.observe(h)
	switch served, ok := h.served(); {
	case h.Role == nameserver.Other:
		s.set(report.Misconfigured, report.None, "the server has a zone of this name that is not one to transfer: "+h.Detail)
	case h.Role == nameserver.Primary:
		s.set(report.Misconfigured, report.Change, "the server is primary for it")
		s.Copy = true
	case h.Known && !nameserver.SamePrimaries(h.Primaries, s.Config.Primaries):
		s.set(report.Misconfigured, report.Change, fmt.Sprintf("transfers from %s, should be %s", listOf(h), list(s.Config.Primaries)))
		// What came from elsewhere goes when ours is transferred.
		s.Copy = ok && (!in.Ours(h.Primaries) || served != w.Serial && !served.Behind(w.Serial))
	case h.Probe.Lost:
		s.set(report.Unknown, report.None, h.Probe.Err)
	case h.Expired || !ok:
		s.set(report.Expired, report.Retransfer, notServing(h))
	case served.Behind(w.Serial):
		s.set(report.Behind, report.Retransfer, "")
	case served.Ahead(w.Serial):
		s.set(report.Ahead, report.Retransfer, "its serial is ahead, so it refuses our updates")
		s.Copy = true
	case served != w.Serial: // 2^31 apart: neither ahead nor behind
		s.set(report.Ahead, report.Retransfer, "its serial is 2^31 away from ours: neither ahead nor behind (RFC 1982)")
		s.Copy = true
	case h.Probe.SOA != "" && w.SOA != "" && !SameSOA(h.Probe.SOA, w.SOA):
		s.set(report.Differs, report.Retransfer, "same serial, but its SOA is not ours")
		s.Copy = true
	case h.Content.Limit != "":
		s.set(report.Differs, report.None, "same serial, other content: "+h.Content.Differs+": "+h.Content.Limit)
	case h.Content.Differs != "":
		s.set(report.Differs, report.Retransfer, "same serial, other content: "+h.Content.Differs)
		s.Copy = true
	case h.Content.Unknown != "":
		s.set(report.Unknown, report.None, "its content could not be compared: "+h.Content.Unknown)
	}
	return s
}

// Agrees says whether a zone that is wanted and there is in agreement.
func (in *Input) Agrees(w *fleet.Wanted, h *Have) bool { return in.wanted(w, h).Class == report.OK }

// served is the serial that the server really answers with, or says it has when
// it was not asked.
func (h *Have) served() (zone.Serial, bool) {
	if h.Probe.Asked {
		return h.Probe.Serial, h.Probe.Serves
	}
	if h.Serial == nil {
		return 0, false
	}
	return *h.Serial, true
}

// SameSOA compares SOA rdata but for the letter case of the names in it.
func SameSOA(a, b string) bool {
	x, errx := zone.ParseSOA(a)
	y, erry := zone.ParseSOA(b)
	if errx != nil || erry != nil {
		return a == b
	}
	x.MName, x.RName, y.MName, y.RName = x.MName.Lower(), x.RName.Lower(), y.MName.Lower(), y.RName.Lower()
	return x == y
}

func notServing(h *Have) string {
	switch {
	case h.Probe.Err != "":
		return h.Probe.Err
	case h.Serial == nil:
		return "never loaded"
	default:
		return "does not answer for it"
	}
}

// unwanted classes a zone that is there and should not be, or is not ours to
// judge.
func (in *Input) unwanted(h *Have) Step {
	s := Step{Have: h}
	s.Item = report.Item{Zone: h.Name, View: in.Server.View, Class: report.Foreign, Action: report.None, Attributes: []string{}}
	s.observe(h)
	k := h.Name.Key()
	if fleet.IsMarkerName(h.Name) || in.Server.HasCatalog(h.Name) {
		s.marker()
		return s
	}
	if h.Role == nameserver.Other || h.Origin == nameserver.Builtin {
		s.Attributes = append(s.Attributes, report.Builtin)
		s.Class, s.Reason = report.OK, h.Detail
		return s
	}
	if in.Protected[k] {
		s.Attributes = append(s.Attributes, report.Protected)
		s.Reason = "a restored copy, protected until it is adopted or released"
		return s
	}
	if t, ok := in.Tombstones[k]; ok {
		s.Tomb = &t
		s.set(report.Stale, report.Delete, "deleted from the database on "+t.Deleted.UTC().Format("2006-01-02 15:04:05Z"))
		// What the tombstone keeps is no copy of what others have put there since.
		s.Copy = !t.Kept || h.Role != nameserver.Secondary || h.Known && !in.Ours(h.Primaries) || h.Serial != nil && h.Serial.Ahead(t.LastSerial)
	} else {
		s.Reason = "never in this database"
		s.Copy = true
		if h.Known && in.Ours(h.Primaries) {
			s.Attributes = append(s.Attributes, report.OlderStore)
			s.withhold(report.Delete, GuardNever, "transfers from our primaries or with our key but is unknown to this store: the store may be an older copy of itself")
			return s
		}
		in.policy(&s)
	}
	if s.Action != report.Delete {
		return s
	}
	if glob, ok := in.Server.Protects(h.Name); ok {
		s.Attributes = append(s.Attributes, report.Protected)
		s.withhold(report.Delete, GuardNever, fmt.Sprintf("protected by the pool's glob %q", glob))
	}
	switch {
	case h.Origin == nameserver.Declared:
		s.withhold(report.Delete, GuardNever, "declared in the server's own configuration file: remove it there")
	case h.Origin == nameserver.Cataloged && in.Server.Catalog() != "" && s.Tomb != nil:
		s.Reason += "; it goes with the catalog"
	case h.Origin == nameserver.Cataloged:
		s.withhold(report.Delete, GuardNever, "a member of a catalog zone on the server: it would come back")
	case h.Name == zone.Root:
		s.withhold(report.Delete, GuardNever, "the root zone is never deleted")
	case h.Signs:
		s.withhold(report.Delete, GuardNever, "the server signs it with keys that cannot be copied")
	}
	return s
}

// policy decides about a foreign zone.
func (in *Input) policy(s *Step) {
	p := fleet.Delete
	for _, pool := range in.Server.Pools {
		p = p.Milder(pool.Unmanaged)
	}
	if in.Options.Unmanaged != "" {
		p = p.Milder(in.Options.Unmanaged)
	}
	switch {
	case p == fleet.Ignore:
		s.Attributes = append(s.Attributes, report.Ignored)
	case p == fleet.Warn:
		s.Reason += "; the policy for unmanaged zones is warn"
	case !in.Server.Accepted:
		s.withhold(report.Delete, GuardAccept, "the server had zones of its own when it was first reached: see them, then `dnsctl server accept "+in.Server.Name+"`")
	default:
		s.Action = report.Delete
	}
}

func (s *Step) observe(h *Have) {
	if served, ok := h.served(); ok {
		s.Serial.Have = &served
	} else {
		s.Serial.Have = h.Serial
	}
	switch h.Origin {
	case nameserver.Declared:
		s.Attributes = append(s.Attributes, report.Declared)
	case nameserver.Cataloged:
		s.Attributes = append(s.Attributes, report.CatalogZone)
	}
}

// marker makes the step one about a marker, which has no class.
func (s *Step) marker() {
	s.Class, s.Attributes = "", append(s.Attributes, report.MarkerZone)
}

func (s *Step) set(c report.Class, a report.Action, reason string) {
	s.Class, s.Action, s.Reason = c, a, reason
}

func (s *Step) withhold(a report.Action, guard, reason string) {
	s.Action, s.Outcome, s.Guard, s.Reason = a, report.Withheld, guard, reason
}

// listOf is the primaries that a zone has, or what else is known of them.
func listOf(h *Have) string {
	if len(h.Primaries) == 0 && h.Role == nameserver.Secondary {
		return "others (" + h.Detail + ")"
	}
	return list(h.Primaries)
}

func list(refs []nameserver.PrimaryRef) string {
	if len(refs) == 0 {
		return "nowhere"
	}
	out := ""
	for i, r := range refs {
		if i > 0 {
			out += ", "
		}
		out += r.Addr.String()
		if r.Key != "" {
			out += " with key " + r.Key.String()
		} else {
			out += " unsigned"
		}
		if r.TLS != "" {
			out += " over TLS as " + r.TLS
		}
	}
	return out
}
