package plan

import (
	"fmt"
	"slices"

	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/report"
)

// guard sets the outcome of every step that has an action and none yet: planned,
// or withheld by guard 1, 2 or 3 (CONTRACT, "Deleting zones on a nameserver").
// Guard 4 has spoken already, zone by zone.
func (in *Input) guard(p *Plan) {
	in.guardNever(p)
	in.guardMarker(p)
	in.guardEmpty(p)
	in.guardLimit(p)
	for i := range p.Steps {
		if s := &p.Steps[i]; s.Action != report.None && s.Outcome == "" {
			s.Outcome = report.Planned
		}
	}
}

// open says whether a step has an action that nothing has stopped.
func (s *Step) open() bool { return s.Action != report.None && s.Outcome == "" }

// guardNever is guard 4 for zones that are wanted: what the server signs itself,
// and what is changed only by hand.
func (in *Input) guardNever(p *Plan) {
	for i := range p.Steps {
		s := &p.Steps[i]
		if !s.open() || s.Wanted == nil || s.Have == nil {
			continue
		}
		switch {
		case s.Have.Signs:
			s.withhold(s.Action, GuardNever, s.Reason+"; the server signs it with keys of its own")
		case s.Action == report.Change && s.Have.Origin == nameserver.Declared:
			s.withhold(s.Action, GuardNever, s.Reason+"; it is declared in the server's own configuration file: change it there")
		case s.Action == report.Change && s.Have.Origin == nameserver.Cataloged && in.Server.Catalog() == "":
			s.withhold(s.Action, GuardNever, s.Reason+"; it is a member of a catalog zone on the server: change it there")
		}
	}
}

// guardMarker is guard 1.
func (in *Input) guardMarker(p *Plan) {
	if in.Marker.State == MarkerSound {
		return
	}
	p.Withheld, p.Allowed = in.Marker.Reason, in.allows()
	if p.Withheld == "" {
		p.Withheld = "the state of the marker is not known"
	}
	for i := range p.Steps {
		if s := &p.Steps[i]; s.open() && !slices.Contains(p.Allowed, s.Action) {
			s.withhold(s.Action, GuardMarker, p.Withheld)
		}
	}
}

// allows is what guard 1 leaves open when the marker is not sound: where none is,
// adds of zones that the server does not have; in any doubt nothing.
func (in *Input) allows() []report.Action {
	if in.Marker.State != MarkerMissing || in.awaitsBootstrap() {
		return nil
	}
	return []report.Action{report.Add}
}

// awaitsBootstrap says whether the server was never in service and may have no zones
// yet. bootstrap puts a marker only on a server without any: an add from elsewhere
// would be in its way.
func (in *Input) awaitsBootstrap() bool {
	return in.Server.State == fleet.Joining && (in.Partial || in.Agreed == 0 && !slices.ContainsFunc(in.Have, func(h Have) bool {
		return h.Role != nameserver.Other && h.Origin != nameserver.Builtin && !in.Server.HasCatalog(h.Name)
	}))
}

// guardEmpty is guard 2: an empty wanted list deletes nothing unless it is said
// to be meant.
func (in *Input) guardEmpty(p *Plan) {
	if in.Partial || in.Agreed > 0 || in.Options.AllowEmpty {
		return
	}
	if slices.ContainsFunc(in.Wanted, func(w fleet.Wanted) bool { return w.Kind == fleet.Ordinary }) {
		return
	}
	for i := range p.Steps {
		if s := &p.Steps[i]; s.open() && s.Action == report.Delete {
			s.withhold(s.Action, GuardEmpty, "the database wants no zone at all on this server; --allow-empty if that is meant")
		}
	}
}

// ForeignLimit is how many foreign zones may go from a server with that many
// zones in any 24 hours (guard 3).
func ForeignLimit(zones int) int { return max(10, zones/20) }

// guardLimit is guard 3.
func (in *Input) guardLimit(p *Plan) {
	foreign, zones := 0, in.Agreed
	for i := range p.Steps {
		s := &p.Steps[i]
		if s.Have != nil && !slices.Contains(s.Attributes, report.MarkerZone) && !slices.Contains(s.Attributes, report.Builtin) {
			zones++
		}
		if s.open() && s.Action == report.Delete && s.Class == report.Foreign {
			foreign++
		}
	}
	if foreign == 0 || in.Options.NoLimit {
		return
	}
	limit := ForeignLimit(zones)
	var reason string
	switch m := in.Options.MaxDelete; {
	case m != nil && *m == foreign:
		return
	case m != nil:
		reason = fmt.Sprintf("--max-delete says %d, but %s would go", *m, report.Count(foreign, "foreign zone"))
	case foreign+in.ForeignDeleted <= limit:
		return
	default:
		reason = fmt.Sprintf("%s would go and %d went in the last 24 hours, past the limit of %d of %d zones; --max-delete %d if that is meant",
			report.Count(foreign, "foreign zone"), in.ForeignDeleted, limit, zones, foreign)
	}
	for i := range p.Steps {
		if s := &p.Steps[i]; s.open() && s.Action == report.Delete && s.Class == report.Foreign {
			s.withhold(s.Action, GuardLimit, reason)
		}
	}
}
