package render

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/olekukonko/tablewriter/pkg/twwidth"

	"dnsctl/report"
	"dnsctl/zone"
)

// reportRow is one item with its server.
type reportRow struct {
	server string
	item   report.Item
}

// reportColumns are those of a report's lists.
var reportColumns = List[reportRow]{Columns: []Column[reportRow]{
	{Name: "server", Value: func(r reportRow) any { return r.server }},
	{Name: "zone", Value: func(r reportRow) any { return r.item.Zone }},
	{Name: "view", Value: func(r reportRow) any { return r.item.View }, Show: WideOnly},
	{Name: "class", Value: func(r reportRow) any { return string(r.item.Class) }},
	{Name: "attributes", Value: func(r reportRow) any { return r.item.Attributes }, Show: WideOnly},
	{Name: "action", Value: func(r reportRow) any { return string(r.item.Action) }},
	{Name: "outcome", Value: func(r reportRow) any { return string(r.item.Outcome) }},
	{Name: "guard", Value: func(r reportRow) any { return r.item.Guard }, Show: WideOnly},
	{Name: "want", Value: func(r reportRow) any { return serial(r.item.Serial.Want) }},
	{Name: "have", Value: func(r reportRow) any { return serial(r.item.Serial.Have) }},
	{Name: "reason", Value: func(r reportRow) any { return r.item.Reason }},
}}

func serial(s *zone.Serial) any {
	if s == nil {
		return nil
	}
	return uint32(*s)
}

// Report shows a report. json and yaml are its own shape; jsonl, csv and
// tab-separated tables are a line per item; on a terminal the items stand by
// server and class. What tables leave out (servers without items, and why one
// could not be read) is said on standard error.
func (o *Output) Report(r report.Report) error {
	r = whole(r)
	if o.Format == JSON || o.Format == YAML {
		return o.Data(r)
	}
	if o.Terminal && !o.Format.Machine() && o.Format != Name && len(o.Columns) == 0 {
		return buffered(o.Out, func(w io.Writer) error {
			for _, s := range r.Servers {
				o.server(w, s)
			}
			return nil
		})
	}
	var rows []reportRow
	for _, s := range r.Servers {
		o.Say("%s: %s", s.Name, Summary(s))
		for _, it := range s.Items {
			rows = append(rows, reportRow{s.Name, it})
		}
	}
	list := reportColumns
	if o.Format == Name {
		list = List[reportRow]{Columns: []Column[reportRow]{{Name: "zone", Value: func(r reportRow) any { return r.server + "/" + r.item.Zone.String() }}}}
	}
	return list.Write(o, Rows(rows))
}

// whole gives a report empty lists where it has none.
func whole(r report.Report) report.Report {
	r.Servers = slices.Clone(r.Servers)
	if r.Servers == nil {
		r.Servers = []report.Server{}
	}
	for i := range r.Servers {
		s := &r.Servers[i]
		if s.Counts == nil {
			s.Counts = map[report.Class]int{}
		}
		s.Items = slices.Clone(s.Items)
		if s.Items == nil {
			s.Items = []report.Item{}
		}
		for j := range s.Items {
			if s.Items[j].Attributes == nil {
				s.Items[j].Attributes = []string{}
			}
		}
	}
	return r
}

// Summary is a server's part of a report in one line.
func Summary(s report.Server) string {
	var parts []string
	for _, c := range report.Classes {
		if n := s.Counts[c]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, c))
		}
	}
	outcomes := map[report.Outcome]int{}
	for _, it := range s.Items {
		if it.Action != report.None && it.Action != "" {
			outcomes[it.Outcome]++
		}
	}
	text := strings.Join(parts, ", ")
	if text == "" && s.Error == "" {
		text = "no zones"
	}
	var ends []string
	for _, out := range []report.Outcome{report.Done, report.Planned, report.Withheld, report.Dropped, report.Failed} {
		if n := outcomes[out]; n > 0 {
			ends = append(ends, fmt.Sprintf("%d %s", n, out))
		}
	}
	if len(ends) > 0 {
		text += "; steps: " + strings.Join(ends, ", ")
	}
	if s.Drained != nil {
		out := fmt.Sprintf("out of service since %s by %s", s.Drained.Since.UTC().Format("2006-01-02 15:04:05Z"), cmp.Or(s.Drained.By.Person(), "somebody"))
		if s.Drained.Reason != "" {
			out += ": " + s.Drained.Reason
		}
		if len(s.Items) == 0 && len(parts) == 0 {
			text = out
		} else {
			text += "; " + out
		}
	}
	switch {
	case s.Busy:
		text = "busy: another dnsctl holds it"
	case s.Error != "":
		text = strings.TrimPrefix(text+"; error: "+s.Error, "; ")
	case !s.Complete:
		text += "; the inventory is not complete"
	}
	if s.Hint != "" {
		text += " (" + s.Hint + ")"
	}
	if s.Withheld != "" {
		text += "; " + withheld(s.Allowed) + ": " + s.Withheld
	}
	return text
}

// withheld says what guard 1 keeps from a server.
func withheld(allowed []report.Action) string {
	if len(allowed) == 0 {
		return "all writes withheld"
	}
	words := make([]string, len(allowed))
	for i, a := range allowed {
		words[i] = string(a)
	}
	return "all writes but " + strings.Join(words, " and ") + " withheld"
}

func classStyle(c report.Class) Style {
	switch c {
	case report.OK, "":
		return Good
	case report.Foreign, report.Stale, report.Ahead, report.Unknown, report.Behind:
		return Warning
	}
	return Bad
}

func outcomeStyle(out report.Outcome) Style {
	switch out {
	case report.Done:
		return Good
	case report.Failed:
		return Bad
	case report.Withheld, report.Dropped:
		return Warning
	}
	return Plain
}

// server writes one server's part for a person.
func (o *Output) server(w io.Writer, s report.Server) {
	style := Good
	if open(s) {
		style = Warning
	}
	if s.Error != "" || s.Busy || s.Withheld != "" || !s.Complete {
		style = Bad
	}
	fmt.Fprintf(w, "%s  %s\n", o.Paint(Strong, s.Name), o.Paint(style, wrap(Clean(Summary(s)), o.Width-len(s.Name)-gap, gap)))
	items := slices.Clone(s.Items)
	for i := range items {
		if items[i].Reason == s.Withheld {
			items[i].Reason = "" // it stands in the line above
		}
	}
	o.items(w, items)
}

// open says whether zones are not in agreement: what was done about the others is
// proven.
func open(s report.Server) bool {
	left := map[report.Class]int{}
	for c, n := range s.Counts {
		if c != report.OK {
			left[c] = n
		}
	}
	for _, it := range s.Items {
		if it.Outcome == report.Done {
			left[it.Class]--
		}
	}
	for _, n := range left {
		if n > 0 {
			return true
		}
	}
	return false
}

// Items lists zones for a person, on standard error: what a question is about.
func (o *Output) Items(items []report.Item) {
	on := *o
	on.Color, on.Out, on.Terminal = o.ErrColor, o.Err, true
	on.items(o.Err, items)
}

// shown is how many zones of one kind a person is shown, unless -o wide asks for
// all.
const shown = 20

// items lists zones by class and what became of them. A reason that all of them
// have is said once.
func (o *Output) items(w io.Writer, items []report.Item) {
	type kind struct {
		class   report.Class
		action  report.Action
		outcome report.Outcome
	}
	var kinds []kind
	of := map[kind][]report.Item{}
	for _, c := range append(slices.Clone(report.Classes), "") {
		for _, it := range items {
			if it.Class != c {
				continue
			}
			k := kind{it.Class, it.Action, it.Outcome}
			if of[k] == nil {
				kinds = append(kinds, k)
			}
			of[k] = append(of[k], it)
		}
	}
	for _, k := range kinds {
		list := of[k]
		style := classStyle(k.class)
		if k.outcome == report.Done {
			style = Plain // it was so before
		}
		heading := o.Paint(style, cmp.Or(string(k.class), "dnsctl's own"))
		if k.action != report.None && k.action != "" {
			heading += "  " + o.Paint(outcomeStyle(k.outcome), strings.TrimSpace(string(k.action)+" "+string(k.outcome)))
		}
		reason := list[0].Reason
		if len(list) == 1 || slices.ContainsFunc(list, func(it report.Item) bool { return it.Reason != reason }) {
			reason = ""
		}
		if reason != "" {
			heading += "  " + wrap(Clean(reason), o.Width-twwidth.Width(heading)-2*gap, 2*gap)
		}
		fmt.Fprintf(w, "  %s\n", heading)
		if rest := len(list) - shown; rest > 0 && o.Format != Wide {
			o.itemLines(w, list[:shown], reason != "")
			fmt.Fprintf(w, "    %s\n", o.Paint(Faint, fmt.Sprintf("and %d more, which -o wide lists", rest)))
			continue
		}
		o.itemLines(w, list, reason != "")
	}
}

// itemLines writes a line for each item, and what does not fit below it.
func (o *Output) itemLines(w io.Writer, items []report.Item, bare bool) {
	width := 0
	for _, it := range items {
		if n := twwidth.Width(o.text(it.Zone)); n <= 40 {
			width = max(width, n)
		}
	}
	for _, it := range items {
		if bare {
			it.Reason = ""
		}
		name := o.text(it.Zone)
		space := strings.Repeat(" ", max(0, width-twwidth.Width(name))+gap)
		line := "    " + name + space + detail(it)
		fmt.Fprintln(w, trimmed(wrap(line, o.Width, 6)))
	}
}

// detail is the rest of an item's line: serials, attributes, reason.
func detail(it report.Item) string {
	var parts []string
	want, have := it.Serial.Want, it.Serial.Have
	switch {
	case want != nil && have != nil && *want != *have:
		parts = append(parts, fmt.Sprintf("serial %d, should be %d", *have, *want))
	case have != nil:
		parts = append(parts, fmt.Sprintf("serial %d", *have))
	case want != nil:
		parts = append(parts, fmt.Sprintf("should have serial %d", *want))
	}
	if len(it.Attributes) > 0 {
		parts = append(parts, "["+strings.Join(it.Attributes, " ")+"]")
	}
	if it.Reason != "" {
		parts = append(parts, Clean(it.Reason))
	}
	return strings.Join(parts, "  ")
}
