package report

import "slices"

// Mode is what kind of run a report is of.
type Mode int

// The modes.
const (
	Looked  Mode = iota // an audit: every class but ok is a finding
	DryRun              // every step is a difference
	Applied             // what counts is how the steps ended
)

// Verdict is the exit code that the report stands for.
func (r *Report) Verdict(m Mode) Exit {
	exit := ExitOK
	lost, busy, resting := 0, 0, 0
	for _, s := range r.Servers {
		if s.Drained != nil && s.Complete && len(s.Items) == 0 && s.Agreed == 0 {
			resting++
		}
		if s.Error != "" || !s.Complete {
			lost++
			if s.Busy {
				busy++
			}
		}
		if s.Withheld != "" {
			exit = exit.Worse(withheldIn(m))
		}
		closed := m != Looked && s.Withheld != "" && len(s.Allowed) == 0
		for _, it := range s.Items {
			if closed && it.Class == Unknown {
				continue // nothing would be done about it, whatever it is
			}
			exit = exit.Worse(it.verdict(m))
		}
	}
	switch {
	case lost == 0:
		return exit
	case len(r.Servers) == 1 && busy == 1:
		return ExitBusy
	case lost == len(r.Servers)-resting && busy < lost:
		return exit.Worse(ExitFailed)
	default:
		return exit.Worse(ExitPartial)
	}
}

func withheldIn(m Mode) Exit {
	if m == Looked {
		return ExitDifferences
	}
	return ExitWithheld
}

func (it Item) verdict(m Mode) Exit {
	if slices.Contains(it.Attributes, MarkerZone) || slices.Contains(it.Attributes, Ignored) || slices.Contains(it.Attributes, Unplanned) {
		return ExitOK
	}
	switch {
	case it.Class == Unknown:
		return ExitPartial
	case m == Looked && it.Class != OK && !it.Restored():
		return ExitDifferences
	case m == Looked:
		return ExitOK
	case it.Outcome == Withheld:
		return ExitWithheld
	case it.Outcome == Failed:
		return ExitPartial
	case it.Outcome == Dropped:
		return ExitDropped
	case m == DryRun && it.Outcome == Planned:
		return ExitDifferences
	case it.Hopeless():
		return ExitPartial
	}
	return ExitOK
}

// Hopeless says whether the zone is not in agreement and nothing that could be
// done to the server would help: it has another kind of zone of that name, or
// cannot hold the name.
func (it Item) Hopeless() bool {
	return (it.Class == Misconfigured || it.Class == Missing) && it.Action == None
}

// Restored says whether the item is a restored copy, which is meant to be there.
func (it Item) Restored() bool {
	return it.Class == Foreign && it.Action == None && slices.Contains(it.Attributes, Protected)
}
