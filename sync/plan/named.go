package plan

import (
	"fmt"
	"slices"

	"dnsctl/nameserver"
	"dnsctl/report"
	"dnsctl/zone"
)

// narrow leaves of a plan what a plan file names and what it rests on still
// holds. A step whose end is reached already is done; one that rests on something
// else is dropped.
func (in *Input) narrow(p *Plan) {
	if in.Named == nil {
		return
	}
	named := make(map[zone.Key]*NamedStep, len(in.Named.Steps))
	for i := range in.Named.Steps {
		named[in.Named.Steps[i].Zone.Key()] = &in.Named.Steps[i]
	}
	for i := range p.Steps {
		st := &p.Steps[i]
		k := st.Zone.Key()
		n := named[k]
		delete(named, k)
		switch {
		case n == nil && st.Class == report.OK || slices.Contains(st.Attributes, report.MarkerZone):
		case n == nil:
			st.Action, st.Outcome, st.Guard = report.None, "", ""
			st.Attributes = append(st.Attributes, report.Unplanned)
		case n.reached(st):
			st.Action, st.Outcome, st.Reason = n.Action, report.Done, "in agreement already"
		default:
			if why := in.changed(n, st); why != "" {
				st.Action, st.Outcome, st.Guard, st.Reason = n.Action, report.Dropped, "", why
			}
		}
	}
	for _, n := range named { // neither wanted nor there
		st := Step{Item: n.Dropped("deleted from the database since")}
		st.View = in.Server.View
		if n.Action == report.Delete {
			st.Outcome, st.Reason = report.Done, "it was gone already"
		}
		p.Steps = append(p.Steps, st)
	}
}

// Dropped is the step as a report's item when it cannot be done any more.
func (n *NamedStep) Dropped(why string) report.Item {
	return report.Item{Zone: n.Zone, Class: n.Class, Attributes: []string{}, Action: n.Action, Outcome: report.Dropped, Reason: why,
		Serial: report.Serials{Want: n.Database.Serial, Have: n.Nameserver.Serial}}
}

// reached says whether the zone is as the step would make it.
func (n *NamedStep) reached(st *Step) bool {
	return n.Action != report.Delete && st.Class == report.OK && st.Wanted != nil && st.Wanted.Incarnation == n.Database.Incarnation
}

// changed says what of what the step rests on does not hold any more; "" when all
// of it does.
func (in *Input) changed(n *NamedStep, st *Step) string {
	was, is := n.Database, rowOf(st)
	switch {
	case in.Marker.State == MarkerSound && in.Marker.Pos < in.Named.Marker.Position:
		return fmt.Sprintf("the server's marker went back from position %d of the change feed to %d: it was restored from a copy", in.Named.Marker.Position, in.Marker.Pos)
	case was.Wanted && !is.Wanted:
		return "the database does not want it on this server any more"
	case !was.Wanted && is.Wanted:
		return "the database wants it on this server now"
	case was.Incarnation == "" && is.Incarnation != "":
		return "it was in the database since, and deleted there"
	case was.Incarnation != is.Incarnation:
		return "it was deleted from the database and created again since"
	case was.Serial != nil && is.Serial != nil && is.Serial.Behind(*was.Serial):
		return fmt.Sprintf("its serial in the database went back from %d to %d", *was.Serial, *is.Serial)
	}
	if why := n.Nameserver.changed(seen(st), n.Action == report.Delete || st.Copy); why != "" {
		return why
	}
	switch {
	case st.Class != n.Class:
		return fmt.Sprintf("it is %s now, not %s: %s", st.Class, n.Class, st.Reason)
	case st.Action != n.Action:
		return "nothing would be done to it now: " + st.Reason
	}
	return ""
}

// changed says what the nameserver says otherwise now. The serial counts where
// content would be lost that nobody has looked at.
func (was Seen) changed(is Seen, content bool) string {
	switch {
	case was.There && !is.There:
		return "it is not on the server any more"
	case !was.There && is.There:
		return "it is on the server now"
	case was.Role != is.Role:
		return fmt.Sprintf("the server is %s for it now, not %s", is.Role, was.Role)
	case was.Origin != "" && is.Origin != "" && was.Origin != is.Origin:
		return fmt.Sprintf("its origin on the server is %s now, not %s", is.Origin, was.Origin)
	case was.Primaries != nil && is.Primaries != nil && !nameserver.SamePrimaries(was.refs(), is.refs()):
		return fmt.Sprintf("it transfers from %s now, not from %s", list(is.refs()), list(was.refs()))
	case content && was.Serial != nil && is.Serial != nil && *was.Serial != *is.Serial:
		return fmt.Sprintf("its serial on the server is %d now, not %d", *is.Serial, *was.Serial)
	case content && (was.Serial == nil) != (is.Serial == nil):
		return "it was loaded on the server, or lost its content there, since"
	}
	return ""
}
