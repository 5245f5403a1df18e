package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// ours are the servers that are dnsctl.
var ours = []string{"sqlite", "postgres"}

// ratio says how a row of dnsctl's compares with the same row of the best peer:
// 2 is twice as good, be that twice the rate or half the time.
type ratio struct {
	Name   string  `json:"name"`
	Server string  `json:"server"`
	Unit   string  `json:"unit"`
	Value  float64 `json:"value"`
	Best   string  `json:"best_peer"`
	Peer   float64 `json:"peer_value"`
	Ratio  float64 `json:"ratio"`
}

// rate says whether more of a unit is better.
func rate(unit string) bool { return strings.HasSuffix(unit, "/s") }

// compare makes the ratios and the goals of the figures: medians, all of them.
func (r *report) compare() {
	r.Ratios, r.Goals = []ratio{}, []conclusion{}
	for _, f := range r.Figures {
		// What PostgreSQL uses is a part only: a warm mdns asks it for next to nothing.
		if !slices.Contains(ours, f.Server) || f.Unit == "number" || f.Unit == "records" || strings.HasSuffix(f.Name, "of PostgreSQL") {
			continue
		}
		best := ratio{Name: f.Name, Server: f.Server, Unit: f.Unit, Value: f.Median}
		for _, p := range r.Figures {
			if _, peer := kindOf(p.Server); !peer || p.Name != f.Name || p.Unit != f.Unit || p.Median <= 0 || f.Median <= 0 {
				continue
			}
			if best.Best == "" || p.Median != best.Peer && p.Median > best.Peer == rate(f.Unit) {
				best.Best, best.Peer = p.Server, p.Median
			}
		}
		if best.Best == "" {
			continue
		}
		if best.Ratio = best.Value / best.Peer; !rate(f.Unit) {
			best.Ratio = 1 / best.Ratio
		}
		r.Ratios = append(r.Ratios, best)
	}
	for _, g := range goals() {
		for _, s := range ours {
			if g.only == "" || g.only == s {
				r.Goals = append(r.Goals, r.conclude(g, s))
			}
		}
	}
}

// goal is a row of the goal table: a figure of dnsctl's against a bound, which
// is a factor of the best of some others' figures, or fixed.
type goal struct {
	text   string
	name   string // of the figure
	unit   string
	others []string // "SAME" is PowerDNS on the same kind of database
	their  string   // their figure, when it has another name
	factor float64
	fixed  float64
	only   string // the one server that it is for; "" for both
	many   int    // how many zones the measure many must have
	fleet  int    // and the measure scale
}

const (
	same            = "SAME"
	million         = 1_000_000
	hundredThousand = 100_000
)

func goals() []goal {
	dbOf := []string{same}
	fast := []string{"nsd", "knot"}
	return append([]goal{
		{text: "big AXFR, warm: 8 times the best of NSD and Knot", name: "axfr/warm", unit: "records/s", others: fast, factor: 8},
		{text: "big AXFR, warm: half of the limit", name: "axfr/warm", unit: "records/s", others: []string{limit}, factor: 0.5},
		{text: "big AXFR, warm, 8 connections: 8 times the best of NSD and Knot", name: "axfr/warm 8 connections", unit: "records/s", others: fast, factor: 8},
		{text: "big AXFR, warm, 8 connections: half of the limit", name: "axfr/warm 8 connections", unit: "records/s", others: []string{limit}, factor: 0.5},
		{text: "big AXFR, TSIG: 6 times NSD", name: "axfr/warm TSIG", unit: "records/s", others: []string{"nsd"}, factor: 6},
		{text: "big AXFR, cold: 10 times PowerDNS on the same database", name: "axfr/cold", unit: "records/s", others: dbOf, factor: 10},
		{text: "big AXFR, cold: faster than warm NSD where messages are kept in the database", name: "axfr/cold", unit: "records/s", others: []string{"nsd"}, their: "axfr/warm", factor: 1},
		{text: "big AXFR, cold: the first message within 50 ms", name: "axfr/cold first message", unit: "ms", fixed: 50},
		{text: "small zones, 50 per connection: NSD", name: "small/warm 50 per connection", unit: "zones/s", others: []string{"nsd"}, factor: 1},
		{text: "small zones, 1 per connection: 0.95 of NSD", name: "small/warm 1 per connection", unit: "zones/s", others: []string{"nsd"}, factor: 0.95},
		{text: "small zones, pipelined: half of the limit", name: "small/warm pipelined by 10", unit: "zones/s", others: []string{limit}, factor: 0.5},
		{text: "small zones, pipelined: twice CoreDNS", name: "small/warm pipelined by 10", unit: "zones/s", others: []string{"coredns"}, factor: 2},
		{text: "small zones, cold: 10,000 a second", name: "small/cold 50 per connection", unit: "zones/s", fixed: 10_000},
		{text: "small zones, cold: 50 times PowerDNS on PostgreSQL", name: "small/cold 50 per connection", unit: "zones/s", others: []string{"powerdns-postgres"}, factor: 50},
		{text: "SOA over UDP: processor time at most 1.1 of Knot's", name: "soa/warm cpu", unit: "us/query", others: []string{"knot"}, factor: 1.1},
		{text: "SOA over UDP, cold: a fifth of PowerDNS's processor time on the same database", name: "soa/cold cpu", unit: "us/query", others: dbOf, factor: 0.2},
		{text: "one change of the big zone: 50 ms from the commit to the first message of IXFR", name: "changed/commit to the first message of IXFR p99", unit: "ms", fixed: 50},
		{text: "one change of the big zone: 50 ms from the commit to the first message of AXFR", name: "changed/commit to the first message of AXFR p99", unit: "ms", fixed: 50},
		{text: "IXFR: NSD's rate", name: "ixfr/20 changes", unit: "transfers/s", others: []string{"nsd"}, factor: 1},
		{text: "1,000,000 zones: answering within 5 s of the start", name: "many/to serving", unit: "s", fixed: 5, many: million},
		{text: "1,000,000 zones: an index of 250 octets a zone", name: "many/index a zone", unit: "octets", fixed: 250, many: million},
		{text: "memory: never beyond the budget, with correct service", name: "budget/content at most", unit: "MB", fixed: budgetMB},
		{text: "memory: an image costs its wire size", name: "axfr/memory of an image beside its messages", unit: "times", fixed: 1.05},
		{text: "import of the big zone: 200,000 records a second on SQLite", name: "import/big", unit: "records/s", fixed: 200_000, only: "sqlite"},
		{text: "import of the big zone: 150,000 records a second on PostgreSQL", name: "import/big", unit: "records/s", fixed: 150_000, only: "postgres"},
		{text: "commit to NOTIFY at 10 changes a second: p99 of 20 ms", name: "write/commit to NOTIFY at 10/s p99", unit: "ms", fixed: 20, only: "postgres"},
		{text: "2,000 changed zones a second in batches, with NOTIFY to four receivers", name: "write/changed zones told to all", unit: "zones/s", fixed: 2000, only: "postgres"},
		{text: "100,000 zones on each of four nameservers: an audit within 30 s", name: "scale/audit, all four", unit: "s", fixed: 30, fleet: hundredThousand},
		{text: "100,000 zones on each of four nameservers: an audit in 300 MB", name: "scale/audit, all four memory", unit: "MB", fixed: 300, fleet: hundredThousand},
		{text: "100,000 zones on each of four nameservers: a sync with nothing to do in 300 MB", name: "scale/sync, nothing to do, all four memory", unit: "MB", fixed: 300, fleet: hundredThousand},
	}, bootstrapGoals()...)
}

// conclusion is what became of a goal.
type conclusion struct {
	Goal   string  `json:"goal"`
	Server string  `json:"server"`
	Unit   string  `json:"unit"`
	Value  float64 `json:"value"`
	Bound  float64 `json:"bound"`
	Of     string  `json:"of,omitempty"` // whose figure the bound was made of
	Met    *bool   `json:"met"`          // null: a figure is missing
	Why    string  `json:"why,omitempty"`
}

// conclude looks at a goal for one of our servers.
func (r *report) conclude(g goal, server string) conclusion {
	c := conclusion{Goal: g.text, Server: server, Unit: g.unit, Bound: g.fixed}
	f, ok := r.figure(g.name, server, g.unit)
	switch {
	case g.many > 0 && r.Many != g.many, g.fleet > 0 && r.Fleet != g.fleet:
		c.Why = "not measured"
		return c
	case !ok:
		c.Why = "not measured"
		return c
	}
	c.Value = f.Median
	if len(g.others) > 0 {
		name := g.name
		if g.their != "" {
			name = g.their
		}
		best := 0.0
		for _, other := range g.others {
			if other == same {
				other = "powerdns-" + server
			}
			if p, ok := r.figure(name, other, g.unit); ok && (c.Of == "" || p.Median > best == rate(g.unit)) {
				best, c.Of = p.Median, other
			}
		}
		if c.Of == "" {
			c.Why = "no figure of " + strings.ReplaceAll(strings.Join(g.others, " or "), same, "powerdns-"+server)
			return c
		}
		c.Bound = best * g.factor
	}
	met := c.Value <= c.Bound
	if rate(g.unit) {
		met = c.Value >= c.Bound
	}
	c.Met = &met
	return c
}

// verdict is a conclusion's in a word.
func (c conclusion) verdict() string {
	switch {
	case c.Met == nil:
		return "open: " + c.Why
	case *c.Met:
		return "met"
	}
	return "missed"
}

// conclusions prints the ratios and the goals.
func (r *report) conclusions(w io.Writer) {
	if len(r.Took) > 0 {
		fmt.Fprintf(w, "\n%s", r.tookTable())
	}
	if len(r.Ratios) > 0 {
		fmt.Fprintf(w, "\n%-40s %-9s %-14s %11s %11s %-18s %s\n", "dnsctl beside the best other", "server", "unit", "dnsctl", "other", "which", "times as good")
	}
	for _, x := range r.Ratios {
		fmt.Fprintf(w, "%-40s %-9s %-14s %11s %11s %-18s %s\n", x.Name, x.Server, x.Unit, digits(x.Value), digits(x.Peer), x.Best, digits(x.Ratio))
	}
	fmt.Fprintln(w)
	for _, c := range r.Goals {
		if c.Met == nil && c.Why == "not measured" {
			continue
		}
		fmt.Fprintf(w, "%-78s %-9s %11s of %11s %-12s %s\n", c.Goal, c.Server, digits(c.Value), digits(c.Bound), c.Unit, c.verdict())
	}
}
