package commands

import (
	"dnsctl/edit"
	"dnsctl/render"
	"dnsctl/report"
)

// resultColumns show what became of zones.
var resultColumns = render.List[edit.Result]{Columns: []render.Column[edit.Result]{
	{Name: "zone", Value: func(r edit.Result) any { return r.Zone }},
	{Name: "action", Value: func(r edit.Result) any { return r.Action }},
	{Name: "serial", Value: func(r edit.Result) any { return uint32(r.Serial) }},
	{Name: "before", Value: func(r edit.Result) any { return r.Before }, Show: render.WideOnly},
	{Name: "added", Value: func(r edit.Result) any { return r.Added }},
	{Name: "removed", Value: func(r edit.Result) any { return r.Removed }},
	{Name: "records", Value: func(r edit.Result) any { return r.Records }},
	{Name: "warnings", Value: func(r edit.Result) any { return warningTexts(r.Warnings) }, Show: render.DataOnly},
}}

func warningTexts(ws []edit.Warning) []string {
	out := make([]string, 0, len(ws))
	for _, w := range ws {
		if w.Place != "" {
			out = append(out, w.Place+": "+w.Text)
			continue
		}
		out = append(out, w.Text)
	}
	return out
}

// showResult shows what became of one zone, and its warnings.
func (a *App) showResult(r edit.Result, err error) error {
	if err != nil {
		return err
	}
	for _, w := range r.Warnings {
		a.warn(w.Place, w.Text)
	}
	return resultColumns.Result(a.Out, r)
}

// showDone shows what became of a thing that is not there any more: column says
// what it is, action what was done to it.
func (a *App) showDone(column string, name any, action string) error {
	list := render.List[string]{Columns: []render.Column[string]{
		{Name: column, Value: func(string) any { return name }},
		{Name: "action", Value: func(action string) any { return action }},
	}}
	return list.Result(a.Out, action)
}

// meta says who makes a change.
func (a *App) meta(comment string) edit.Meta {
	return edit.Meta{Actor: a.actor(), Command: a.command, Comment: comment}
}

// partly is the exit code of a run over several things of which some failed.
func partly(failed, all int) report.Exit {
	switch {
	case failed == 0:
		return report.ExitOK
	case failed == all:
		return report.ExitFailed
	}
	return report.ExitPartial
}
