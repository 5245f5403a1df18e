package commands

import (
	"context"
	"errors"
	"fmt"

	"dnsctl/bootstrap"
	"dnsctl/fleet"
	"dnsctl/fleetfile"
	"dnsctl/render"
	"dnsctl/report"
)

// setStep is one thing that server set changes: a setting of the nameserver, or a zone
// that it comes to have or to have no more.
type setStep struct {
	name, action, from, to string
}

var setColumns = render.List[setStep]{
	Nothing: "nothing would change",
	Columns: []render.Column[setStep]{
		{Name: "name", Value: func(s setStep) any { return s.name }},
		{Name: "action", Value: func(s setStep) any { return s.action }},
		{Name: "from", Value: func(s setStep) any { return s.from }},
		{Name: "to", Value: func(s setStep) any { return s.to }},
	},
}

// planServerSet shows what a change of a server would change, and asks for it on a
// terminal; ready is false when it goes no further.
func (a *App) planServerSet(ctx context.Context, s fleet.Server, change bootstrap.ServerChange, dryRun bool) (ready bool, err error) {
	w, err := a.workshop(ctx)
	if err != nil {
		return false, err
	}
	next, come, stale, err := w.bootstrap.Next(ctx, w.store, s, change)
	if err != nil {
		return false, err
	}
	if err := a.warnUnheldBy(ctx, s.Name, s.Type, change.AddPools); err != nil {
		return false, err
	}
	steps := settingSteps(s, next, change)
	settings := len(steps)
	for _, z := range come {
		steps = append(steps, setStep{name: z.String(), action: "add"})
	}
	for _, z := range stale {
		steps = append(steps, setStep{name: z.String(), action: "delete"})
	}
	if dryRun {
		if err := setColumns.Write(a.Out, render.Rows(steps)); err != nil {
			return false, err
		}
		if len(steps) > 0 {
			return false, end(report.ExitDifferences)
		}
		return false, nil
	}
	for _, st := range steps[:settings] {
		a.Out.Say("%s: %s -> %s", st.name, orNone(st.from), orNone(st.to))
	}
	if len(come) > 0 {
		a.Out.Say("%s come to %s", report.Count(len(come), "zone"), s.Name)
	}
	// Many stale zones are asked for by their number, which is more than a yes.
	if a.flags.yes || len(steps) == 0 || len(stale) > deleteFreely {
		return true, nil
	}
	ok, err := a.Out.Confirm(fmt.Sprintf("Server %s will be changed so; %s will be stale there.", s.Name, report.Count(len(stale), "zone")), s.Name)
	switch {
	case errors.Is(err, render.ErrNoAnswer):
		return true, nil
	case err == nil && !ok:
		err = report.Fail(report.ExitWithheld, errors.New("not confirmed: nothing was changed"), "type the nameserver's name, or give --yes")
	}
	return ok, err
}

// settingSteps are the settings that change, by the names of their flags.
func settingSteps(s, next fleet.Server, change bootstrap.ServerChange) (steps []setStep) {
	of := func(s fleet.Server) fleetfile.Document { return fleetfile.Of(nil, nil, []fleet.Server{s}) }
	for _, d := range fleetfile.Compare(of(s), of(next)) {
		for _, f := range d.Fields {
			steps = append(steps, setStep{f.Name, "set", f.From, f.To})
		}
	}
	if change.ControlKey != nil {
		steps = append(steps, setStep{"control-key", "set", "the one that is stored", "another one"})
	}
	return steps
}
