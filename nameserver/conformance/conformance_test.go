// Package conformance_test is what every driver must do, tried on real
// nameservers of each kind. What is true of one kind only is tested beside its
// driver. The table of what was tried is printed by
//
//	go test -v ./nameserver/conformance
package conformance_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"dnsctl/testbed"
)

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil { // the checks wait far more than they work
		panic(err)
	}
	code := testbed.Main(m)
	if testing.Verbose() {
		fmt.Fprint(os.Stdout, &results)
	}
	os.Exit(code)
}

// check is one thing that a driver must do.
type check struct {
	what string
	try  func(t *testing.T, k kind)
}

func TestConformance(t *testing.T) {
	for _, k := range kinds() {
		if testing.Short() && k.typ.Name() == "powerdns" && k.database != nil {
			continue // as the one on SQLite, but slower: left to `make test`
		}
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			for _, c := range checks() {
				t.Run(c.what, func(t *testing.T) {
					t.Parallel()
					defer func() { results.add(c.what, k.name, t) }()
					c.try(t, k)
				})
			}
		})
	}
}

// table is how each check ended on each kind.
type table struct {
	mu    sync.Mutex
	cells map[[2]string]string
}

var results = table{cells: map[[2]string]string{}}

func (r *table) add(what, kind string, t *testing.T) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case t.Failed():
		r.cells[[2]string{what, kind}] = "FAILS"
	case t.Skipped():
		r.cells[[2]string{what, kind}] = "-"
	default:
		r.cells[[2]string{what, kind}] = "yes"
	}
}

func (r *table) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var b strings.Builder
	row := func(first string, cell func(kind string) string) {
		fmt.Fprintf(&b, "| %-72s |", first)
		for _, k := range kinds() {
			fmt.Fprintf(&b, " %-*s |", len(k.name), cell(k.name))
		}
		b.WriteByte('\n')
	}
	row("", func(kind string) string { return kind })
	row(strings.Repeat("-", 72), func(kind string) string { return strings.Repeat("-", len(kind)) })
	for _, c := range checks() {
		row(c.what, func(kind string) string { return r.cells[[2]string{c.what, kind}] })
	}
	return b.String()
}
