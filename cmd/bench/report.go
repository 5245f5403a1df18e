package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"
)

// report is the JSON file.
type report struct {
	Schema  string    `json:"schema"`
	Commit  string    `json:"commit"`
	Started time.Time `json:"started"`
	Seconds float64   `json:"seconds"`
	Machine string    `json:"machine"`
	CPUs    int       `json:"cpus"`
	Go      string    `json:"go"`
	Load    string    `json:"load_before"`
	Note    string    `json:"note,omitempty"`
	Records int       `json:"records"`
	Zones   int       `json:"zones"`
	Many    int       `json:"many"`  // zones of the measure of that name; 0: it was left out
	Fleet   int       `json:"fleet"` // zones of the measure scale; 0: it was left out
	Repeat  int       `json:"repetitions"`

	Servers []product    `json:"servers"`
	Figures []figure     `json:"figures"`
	Missing []missing    `json:"missing"`
	Ratios  []ratio      `json:"ratios"`
	Goals   []conclusion `json:"goals"`

	Took     []took    `json:"took"`
	Profiles []profile `json:"profiles"`
}

// took is how long a measure of a server was, with what it had to prepare.
type took struct {
	Measure string  `json:"measure"`
	Server  string  `json:"server"`
	Seconds float64 `json:"seconds"`
}

// product is a nameserver that dnsctl is measured beside.
type product struct {
	Name    string `json:"name"`
	Product string `json:"product"`
	Version string `json:"version"` // "" when it is not installed
	Tuned   string `json:"tuned"`
}

// missing says why there are no figures.
type missing struct {
	Measure string `json:"measure"`
	Server  string `json:"server"`
	Why     string `json:"why"`
}

// figure is one row: what a measure gave in each of its repetitions. Server is
// "sqlite" or "postgres" for dnsctl on these, a peer's name, or "limit".
type figure struct {
	Name    string    `json:"name"`
	Server  string    `json:"server"`
	Unit    string    `json:"unit"`
	Min     float64   `json:"min"`
	Median  float64   `json:"median"`
	Max     float64   `json:"max"`
	Samples []float64 `json:"samples"`
	Goal    string    `json:"goal,omitempty"`
}

func newReport(ctx context.Context, o options) *report {
	commit, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty").Output()
	if err != nil {
		commit = []byte("unknown")
	}
	r := &report{Schema: schema, Commit: string(bytes.TrimSpace(commit)), Started: time.Now().UTC(), Machine: machine(),
		CPUs: runtime.NumCPU(), Go: runtime.Version(), Load: load(), Note: o.note, Records: o.records, Zones: o.zones, Many: o.many, Fleet: o.fleet, Repeat: o.repeat,
		Servers: []product{}, Figures: []figure{}, Missing: []missing{}, Ratios: []ratio{}, Goals: []conclusion{},
		Took: []took{}, Profiles: []profile{}}
	for _, name := range o.peers {
		k, _ := kindOf(name)
		r.Servers = append(r.Servers, product{k.name, k.product, k.installed(ctx), k.tuned})
	}
	return r
}

const schema = "dnsctl/bench/v2"

func readReport(file string) (*report, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	r := new(report)
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if r.Schema != schema {
		return nil, fmt.Errorf("%s: its schema is %q, not %q: measure again", file, r.Schema, schema)
	}
	r.compare()
	return r, nil
}

func (r *report) miss(w io.Writer, j job, why string) {
	first, _, _ := strings.Cut(why, "\n")
	r.Missing = append(r.Missing, missing{j.name, j.server, first})
	fmt.Fprintf(w, "%-40s %-17s missing: %s\n", j.name, j.server, why)
}

// figure finds a row.
func (r *report) figure(name, server, unit string) (figure, bool) {
	i := slices.IndexFunc(r.Figures, func(f figure) bool { return f.Name == name && f.Server == server && f.Unit == unit })
	if i < 0 {
		return figure{}, false
	}
	return r.Figures[i], true
}

// machine is the processor's name, as Linux says it.
func machine() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// load is the machine's load over 1, 5 and 15 minutes: how much it is our own.
func load() string {
	text, _ := os.ReadFile("/proc/loadavg")
	if f := strings.Fields(string(text)); len(f) > 3 {
		return strings.Join(f[:3], " ")
	}
	return ""
}

func (r *report) write(path string) error {
	if path == "" {
		return nil
	}
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

const rowFormat = "%-40s %-17s %-14s %11s %11s %11s  %s\n"

func (r *report) heading(w io.Writer) {
	fmt.Fprintf(w, "%s, %d CPUs, load %s\n", r.Machine, r.CPUs, r.Load)
	fmt.Fprintf(w, rowFormat, "measure", "server", "unit", "min", "median", "max", "goal")
}

// row adds a figure, and prints it.
func (b *bench) row(name, server, unit, goal string, values ...float64) {
	f := figure{Name: name, Server: server, Unit: unit, Goal: goal, Samples: values}
	sorted := slices.Sorted(slices.Values(values))
	f.Min, f.Median, f.Max = sorted[0], middle(sorted), sorted[len(sorted)-1]
	b.report.Figures = append(b.report.Figures, f)
	fmt.Fprintf(b.out, rowFormat, name, server, unit, digits(f.Min), digits(f.Median), digits(f.Max), goal)
}

func middle(sorted []float64) float64 {
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// percentile p (0 to 1) by the nearest rank.
func percentile(values []float64, p float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(int(p*float64(len(sorted))), len(sorted)-1)]
}

// digits is a number with three significant digits or so.
func digits(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	case v >= 1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3f", v)
}

// table collects the samples of several figures, one repetition after the other.
type table struct {
	b      *bench
	server string
	order  []string
	rows   map[string]*figure
}

func (b *bench) table(server string) *table {
	return &table{b: b, server: server, rows: map[string]*figure{}}
}

func (t *table) add(name, unit, goal string, v float64) {
	f := t.rows[name+unit]
	if f == nil {
		f = &figure{Name: name, Unit: unit, Goal: goal}
		t.rows[name+unit] = f
		t.order = append(t.order, name+unit)
	}
	f.Samples = append(f.Samples, v)
}

func (t *table) done() {
	for _, key := range t.order {
		f := t.rows[key]
		t.b.row(f.Name, t.server, f.Unit, f.Goal, f.Samples...)
	}
}
