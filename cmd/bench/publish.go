package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// benchmarks is the page with the tables. Each is between two comments, "table
// NAME" and "end NAME"; all else on the page is written by hand.
const benchmarks = "benchmarks.md"

// publish writes the tables into the page in a folder, and the charts beside it;
// nothing when the folder is "".
func (r *report) publish(folder string) error {
	if folder == "" {
		return nil
	}
	page := filepath.Join(folder, benchmarks)
	text, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	out, err := r.fill(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", page, err)
	}
	if err := os.WriteFile(page, []byte(out), 0o644); err != nil {
		return err
	}
	var errs []error
	for _, c := range charts() {
		errs = append(errs, os.WriteFile(filepath.Join(folder, c.file), []byte(r.draw(c)), 0o644))
	}
	return errors.Join(errs...)
}

// fill replaces what is between the marks of each table.
func (r *report) fill(page string) (string, error) {
	for _, t := range tables() {
		begin, end := marks(t.name)
		before, rest, ok := strings.Cut(page, begin+"\n")
		_, after, both := strings.Cut(rest, end)
		if !ok || !both {
			return "", fmt.Errorf("it has no %s and %s", begin, end)
		}
		page = before + begin + "\n" + t.text(r) + end + after
	}
	return page, nil
}

func marks(name string) (begin, end string) {
	return "<!-- table " + name + " -->", "<!-- end " + name + " -->"
}

// printed is a table of the page.
type printed struct {
	name string
	text func(r *report) string
}

// column is a figure of tables that have a line for each server.
type column struct{ head, figure, unit string }

func tables() []printed {
	bySQL := func(prefixes ...string) func(*report) string {
		return func(r *report) string { return r.byFigure(prefixes) }
	}
	byServer := func(columns ...column) func(*report) string {
		return func(r *report) string { return r.byServer(columns) }
	}
	return []printed{
		{"run", (*report).aboutRun},
		{"servers", (*report).aboutServers},
		{"goals", (*report).goalTable},
		{"import", bySQL("import/", "import-small/", "import-wait/", "import-served/")},
		{"axfr", byServer(column{"cold", "axfr/cold", "records/s"}, column{"cold, TSIG", "axfr/cold TSIG", "records/s"}, column{"warm", "axfr/warm", "records/s"}, column{"warm, 8 connections", "axfr/warm 8 connections", "records/s"},
			column{"warm, TSIG", "axfr/warm TSIG", "records/s"}, column{"warm, TSIG, 8 connections", "axfr/warm TSIG 8 connections", "records/s"},
			column{"warm, TLS", "axfr/warm TLS", "records/s"}, column{"warm, TLS, 8 connections", "axfr/warm TLS 8 connections", "records/s"})},
		{"axfr-cpu", byServer(column{"cold", "axfr/cold cpu", "s/million"}, column{"cold, of PostgreSQL", "axfr/cold cpu of PostgreSQL", "s/million"}, column{"warm", "axfr/warm cpu", "s/million"},
			column{"warm, TSIG", "axfr/warm TSIG cpu", "s/million"}, column{"warm, TLS", "axfr/warm TLS cpu", "s/million"}, column{"octets a record", "axfr/warm", "octets/record"}, column{"first message, cold, ms", "axfr/cold first message", "ms"})},
		{"small", byServer(column{"cold, 50 per connection", "small/cold 50 per connection", "zones/s"}, column{"warm, 50 per connection", "small/warm 50 per connection", "zones/s"}, column{"the same, TSIG", "small/warm TSIG 50 per connection", "zones/s"},
			column{"warm, 1 per connection", "small/warm 1 per connection", "zones/s"}, column{"warm, pipelined by 10", "small/warm pipelined by 10", "zones/s"})},
		{"small-cpu", byServer(column{"cold", "small/cold 50 per connection cpu", "us/zone"}, column{"cold, of PostgreSQL", "small/cold 50 per connection cpu of PostgreSQL", "us/zone"},
			column{"warm", "small/warm 50 per connection cpu", "us/zone"}, column{"warm, TSIG", "small/warm TSIG 50 per connection cpu", "us/zone"}, column{"1 per connection", "small/warm 1 per connection cpu", "us/zone"}, column{"pipelined", "small/warm pipelined by 10 cpu", "us/zone"})},
		{"soa", byServer(column{"cold, queries/s", "soa/cold", "queries/s"}, column{"cold, us of processor time", "soa/cold cpu", "us/query"}, column{"the same of PostgreSQL", "soa/cold cpu of PostgreSQL", "us/query"},
			column{"warm, queries/s", "soa/warm", "queries/s"}, column{"warm, us of processor time", "soa/warm cpu", "us/query"})},
		{"ixfr", byServer(column{"transfers/s", "ixfr/20 changes", "transfers/s"}, column{"us of processor time", "ixfr/20 changes cpu", "us/transfer"}, column{"records of each", "ixfr/20 changes", "records"})},
		{"changed", bySQL("changed/", "axfr/memory of ")},
		{"start", byServer(column{"to serving, s", "start/to serving", "s"}, column{"processor time, s", "start/cpu", "s"}, column{"memory then, MB", "start/memory", "MB"}, column{"memory after transfers, MB", "axfr/memory after", "MB"})},
		{"many", bySQL("many/")},
		{"catalog", bySQL("catalog/", "consume/")},
		{"budget", bySQL("budget/")},
		{"served", bySQL("served/", "bind/")},
		{"write", bySQL("write/")},
		{"fleet", bySQL("fleet/")},
		{"rate", bySQL("rate/")},
		{"scale", bySQL("scale/")},
		{"bootstrap", bySQL("bootstrap/")},
		{"profiles", (*report).profileTable},
		{"took", (*report).tookTable},
		{"missing", (*report).missingTable},
	}
}

// label is what a server is called on the page.
func (r *report) label(server string) string {
	switch server {
	case "sqlite":
		return "dnsctl on SQLite"
	case "postgres":
		return "dnsctl on PostgreSQL"
	case limit:
		return "the limit"
	}
	if k, ok := kindOf(server); ok {
		return k.product
	}
	return server
}

// servers are those that the report has figures of, ours first.
func (r *report) servers() (names []string) {
	for _, s := range slices.Concat(ours, peerNames(), []string{limit}) {
		if slices.ContainsFunc(r.Figures, func(f figure) bool { return f.Server == s }) {
			names = append(names, s)
		}
	}
	return names
}

// cell is a figure as the tables have it: least / middle / greatest, or the one
// value of a run without repetitions.
func cell(f figure) string {
	if len(f.Samples) == 1 {
		return short(f.Median)
	}
	return short(f.Min) + " / " + short(f.Median) + " / " + short(f.Max)
}

// short is a number with its thousands or millions said in a letter.
func short(v float64) string {
	switch {
	case v >= 999_500:
		return digits(v/1e6) + " M"
	case v >= 9_995:
		return digits(v/1e3) + " k"
	}
	return digits(v)
}

func row(cells ...string) string { return "| " + strings.Join(cells, " | ") + " |\n" }

func head(cells ...string) string {
	return row(cells...) + "|" + strings.Repeat("---|", len(cells)) + "\n"
}

// byServer is a table with a line for each server that has one of the figures,
// and without columns that no server has.
func (r *report) byServer(columns []column) string {
	columns = slices.DeleteFunc(slices.Clone(columns), func(c column) bool {
		return !slices.ContainsFunc(r.Figures, func(f figure) bool { return f.Name == c.figure && f.Unit == c.unit })
	})
	if len(columns) == 0 {
		return "Not measured.\n"
	}
	titles := []string{""}
	for _, c := range columns {
		titles = append(titles, c.head)
	}
	out := head(titles...)
	for _, s := range r.servers() {
		cells, some := []string{r.label(s)}, false
		for _, c := range columns {
			f, ok := r.figure(c.figure, s, c.unit)
			if some = some || ok; ok {
				cells = append(cells, cell(f))
			} else {
				cells = append(cells, "")
			}
		}
		if some {
			out += row(cells...)
		}
	}
	return out
}

// byFigure is a table with a line for each figure of dnsctl's whose name begins
// with one of the prefixes.
func (r *report) byFigure(prefixes []string) string {
	out, seen := head("", "SQLite", "PostgreSQL", "goal"), map[string]bool{}
	for _, prefix := range prefixes {
		for _, f := range r.Figures {
			if !strings.HasPrefix(f.Name, prefix) || !slices.Contains(ours, f.Server) || seen[f.Name+f.Unit] {
				continue
			}
			seen[f.Name+f.Unit] = true
			goal := f.Goal
			cells := []string{f.Name + ", " + f.Unit}
			for _, s := range ours {
				g, ok := r.figure(f.Name, s, f.Unit)
				if !ok {
					cells = append(cells, "")
					continue
				}
				cells = append(cells, cell(g))
				if g.Goal != f.Goal {
					goal += "; " + g.Goal
				}
			}
			out += row(append(cells, strings.TrimPrefix(goal, "; "))...)
		}
	}
	if len(seen) == 0 {
		return "Not measured.\n"
	}
	return out
}

func (r *report) aboutRun() string {
	out := fmt.Sprintf("%s, %d processors, %s; %s, commit %s; %s records in the big zone, %s small zones; each row measured %d times in %.0f minutes. The machine's load before it: %s.",
		r.Machine, r.CPUs, r.Started.Format("2006-01-02"), r.Go, r.Commit, thousands(r.Records), thousands(r.Zones), r.Repeat, r.Seconds/60, r.Load)
	if r.Note != "" {
		out += " " + strings.TrimSuffix(r.Note, ".") + "."
	}
	return out + "\n"
}

// thousands is a number with commas.
func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}

func (r *report) aboutServers() string {
	out := head("", "version", "how it is set")
	for _, p := range r.Servers {
		version := p.Version
		if version == "" {
			version = "missing"
		}
		out += row(p.Product, version, p.Tuned)
	}
	return out
}

func (r *report) missingTable() string {
	if len(r.Missing) == 0 {
		return "Nothing is missing.\n"
	}
	out := head("", "measure", "why")
	for _, m := range r.Missing {
		out += row(r.label(m.Server), m.Measure, strings.ReplaceAll(m.Why, "|", "\\|"))
	}
	return out
}

// profileTable says where the processor time went, a line for each profile.
func (r *report) profileTable() string {
	if len(r.Profiles) == 0 {
		return "Not measured.\n"
	}
	out := head("", "of", "s sampled", "most of it itself in")
	for _, p := range r.Profiles {
		var top []string
		for _, s := range p.Top {
			top = append(top, fmt.Sprintf("%s %.0f%%", s.Function, s.Percent))
		}
		out += row(p.What, r.label(p.Server), digits(p.Seconds), strings.Join(top, ", "))
	}
	return out
}

// tookTable says what the run's time went to, the longest first.
func (r *report) tookTable() string {
	if len(r.Took) == 0 {
		return "Not measured.\n"
	}
	sum := map[string]float64{}
	most := map[string]took{}
	for _, t := range r.Took {
		sum[t.Measure] += t.Seconds
		if t.Seconds > most[t.Measure].Seconds {
			most[t.Measure] = t
		}
	}
	names := slices.Collect(maps.Keys(sum))
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(sum[b], sum[a]), cmp.Compare(a, b)) })
	out := head("measure", "s", "longest with", "s")
	for _, n := range names {
		out += row(n, digits(sum[n]), r.label(most[n].Server), digits(most[n].Seconds))
	}
	return out
}

func (r *report) goalTable() string {
	out := head("goal", "SQLite", "PostgreSQL")
	for _, g := range goals() {
		cells := []string{g.text}
		for _, server := range ours {
			cells = append(cells, r.goalCell(g.text, server))
		}
		out += row(cells...)
	}
	return out
}

func (r *report) goalCell(text, server string) string {
	i := slices.IndexFunc(r.Goals, func(c conclusion) bool { return c.Goal == text && c.Server == server })
	if i < 0 {
		return ""
	}
	c := r.Goals[i]
	if c.Met == nil {
		return c.Why
	}
	bound := short(c.Bound)
	if c.Of != "" {
		bound += " by " + r.label(c.Of)
	}
	verdict := c.verdict()
	if !*c.Met {
		verdict = "**" + verdict + "**"
	}
	return fmt.Sprintf("%s: %s %s, asked for %s", verdict, short(c.Value), c.Unit, bound)
}
