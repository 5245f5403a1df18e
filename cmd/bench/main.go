// Command bench measures the real dnsctl binary: on a private SQLite and a
// private PostgreSQL, and beside it other nameservers as primaries of the same
// zones, all on loopback and in temporary folders that are removed again. Each
// measure is repeated; what is printed is the least, the middle and the greatest
// of the repetitions, then what dnsctl reaches of the best other nameserver.
// docs/benchmarks.md says what the measures are, what bounds them, and what was
// found.
//
//	go run ./cmd/bench -run 'import|axfr' -json bench.json
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	err := run(os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(2)
	case err != nil:
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

// options are the command's flags.
type options struct {
	repeat  int
	quick   bool
	records int
	zones   int
	many    int
	fleet   int
	untuned bool
	sample  time.Duration
	changes int
	stores  []string
	peers   []string
	match   *regexp.Regexp
	json    string
	docs    string
	from    string
	profile string
	note    string
	timeout time.Duration
	list    bool
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.IntVar(&o.repeat, "n", 3, "repeat each measure this often")
	f.BoolVar(&o.quick, "quick", false, "a small run: once, half a second for each rate, 20 changes, 100,000 records, 1,000 zones, unless other flags say otherwise")
	f.IntVar(&o.records, "records", 1_000_000, "records of the big zone")
	f.IntVar(&o.zones, "zones", 10_000, "small zones, of 10 records each")
	f.IntVar(&o.many, "many", 0, "small zones of the measures many and consume, which are left out when this is 0")
	f.IntVar(&o.fleet, "fleet-zones", 0, "tiny zones of the measure scale, on four nameservers, which is left out when this is 0")
	f.BoolVar(&o.untuned, "untuned", false, "bootstrap nameservers without the settings that make them fast at that, too: a BIND takes a second for 20 zones then")
	f.DurationVar(&o.sample, "sample", time.Second, "measure each rate for so long")
	f.IntVar(&o.changes, "changes", 100, "commits one by one, ten a second, of one sample of waits")
	stores := f.String("store", "sqlite,postgres", "the databases")
	peers := f.String("peers", strings.Join(peerNames(), ","), "the other nameservers; none when empty")
	match := f.String("run", "", "only measures whose name/server this regular expression matches; -list lists them")
	f.StringVar(&o.json, "json", "", "write the figures to this file")
	f.StringVar(&o.docs, "docs", "", "write the tables into benchmarks.md in this folder, and the charts beside it")
	f.StringVar(&o.from, "from", "", "measure nothing: take the figures of this file, for -docs and to print ratios and goals")
	f.StringVar(&o.profile, "profile", "", "take processor profiles of mdns into this folder: the measure of this name, which is left out when this is empty")
	f.StringVar(&o.note, "note", "", "a text for the JSON file: what else the machine was doing")
	f.DurationVar(&o.timeout, "timeout", 3*time.Hour, "give up after this time")
	f.BoolVar(&o.list, "list", false, "list the measures")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	if o.quick {
		set := map[string]bool{}
		f.Visit(func(f *flag.Flag) { set[f.Name] = true })
		for name, small := range map[string]func(){"n": func() { o.repeat = 1 }, "records": func() { o.records = 100_000 }, "zones": func() { o.zones = 1000 },
			"sample": func() { o.sample = time.Second / 2 }, "changes": func() { o.changes = 20 }} {
			if !set[name] {
				small()
			}
		}
	}
	if o.repeat < 1 || o.records < 1000 || o.zones < 100 || o.sample <= 0 || o.many != 0 && o.many < 100 || o.fleet != 0 && o.fleet < 100 || o.changes < 1 {
		return o, errors.New("-n is at least 1, -records 1000, -zones, -many and -fleet-zones 100, -sample more than nothing, -changes 1")
	}
	o.stores, o.peers = fields(*stores), fields(*peers)
	for _, s := range o.stores {
		if s != "sqlite" && s != "postgres" {
			return o, fmt.Errorf("-store %q: there are sqlite and postgres", s)
		}
	}
	for _, p := range o.peers {
		if _, ok := kindOf(p); !ok {
			return o, fmt.Errorf("-peers %q: there are %s", p, strings.Join(peerNames(), ", "))
		}
	}
	var err error
	if o.match, err = regexp.Compile(*match); err != nil {
		return o, fmt.Errorf("-run: %w", err)
	}
	return o, nil
}

func fields(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' })
}

func peerNames() (names []string) {
	for _, k := range kinds() {
		names = append(names, k.name)
	}
	return names
}

// measure is one group of figures that is made together, for each of some
// servers.
type measure struct {
	name string
	what string
	of   func(o options) []string // the servers
	run  func(ctx context.Context, b *bench, server string)
}

const limit = "limit"

func measures() []measure {
	alone := func(options) []string { return []string{limit} }
	ours := func(o options) []string { return o.stores }
	all := func(o options) []string { return slices.Concat(o.stores, o.peers) }
	many := func(o options) []string {
		if o.many == 0 {
			return nil
		}
		return o.stores
	}
	scaled := func(o options) []string {
		if o.fleet == 0 {
			return nil
		}
		return o.stores
	}
	profiled := func(o options) []string {
		if o.profile == "" {
			return nil
		}
		return o.stores
	}
	return append([]measure{
		{"limit", "AXFR from a server that sends messages prepared beforehand: what the client can count", alone, measureLimit},
		{"import", "zone import of the big zone: new, unchanged, with 100 changed records", ours, measureImport},
		{"import-wait", "the longest wait of another process's record set while the big zone is imported", ours, measureImportWait},
		{"import-served", "the wait for transfers of small zones while the big one, which is served, is imported anew", ours, measureImportServed},
		{"import-small", "zone import of a folder of small zones: new, unchanged", ours, measureImportSmall},
		{"start", "from the start to answering for all zones, and the memory then", all, measureStart},
		{"many", "the same with -many zones, after their import, and their catalog zone", many, measureMany},
		{"consume", "100,000 members of a catalog zone, or -many, taken in by a Knot DNS", many, measureConsume},
		{"axfr", "AXFR of the big zone: cold, warm, 8 connections, TSIG, TLS", all, measureAXFR},
		{"small", "AXFR of the small zones: cold and warm, 50 or 1 per connection, pipelined by 10", all, measureSmall},
		{"soa", "SOA questions over UDP: each zone once after the start, then over and over", all, measureSOA},
		{"changed", "one address of the big zone changed: from the commit to the first message of IXFR and of AXFR", ours, measureChanged},
		{"ixfr", "IXFR of 20 changes of the big zone", all, measureIXFR},
		{"budget", "all zones transferred by an mdns that may keep 32 MiB of content", ours, measureBudget},
		{"served", "from a commit by another process to mdns answering with the new serial", ours, measureServed},
		{"bind", "from a commit to BIND 9 answering with the new serial, by NOTIFY and IXFR", ours, measureBIND},
		{"fleet", "bootstrap --wait, audit and sync of the small zones on a BIND 9 and a PowerDNS", ours, measureFleet},
		{"scale", "audit and sync of -fleet-zones zones on a BIND 9, a Knot DNS, an NSD and a PowerDNS, and a tenth of them added, changed and deleted", scaled, measureScale},
		{"write", "zones changed in batches, and one by one, until four receivers have NOTIFY", ours, measureWrite},
		{"profile", "what the processor time of mdns goes to, into the folder -profile", profiled, measureProfile},
	}, slices.Concat(rates(ours), bootstraps(ours))...)
}

// selected are the measures and servers that -run matches, by server, so that
// one is loaded at a time.
func (o options) selected() (out []job) {
	for _, server := range slices.Concat([]string{limit}, o.stores, o.peers) {
		for _, m := range measures() {
			if slices.Contains(m.of(o), server) && o.match.MatchString(m.name+"/"+server) {
				out = append(out, job{m, server})
			}
		}
	}
	return out
}

type job struct {
	measure
	server string
}

// attempt runs one measure. What goes wrong with a peer makes its figures
// missing; everything else ends the run.
func (b *bench) attempt(ctx context.Context, j job) {
	if _, ok := kindOf(j.server); !ok {
		j.run(ctx, b, j.server)
		return
	}
	if why := b.gone[j.server]; why != "" {
		b.report.miss(b.out, j, why)
		return
	}
	defer func() {
		p := recover()
		f, ok := p.(failure)
		if p == nil || ctx.Err() != nil || !ok {
			if p != nil {
				panic(p)
			}
			return
		}
		*b.bed.failed = false
		if b.running[j.server] == nil { // it did not even start
			b.gone[j.server] = f.Error()
		}
		b.report.miss(b.out, j, f.Error())
	}()
	j.run(ctx, b, j.server)
}

func run(args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	jobs := o.selected()
	if o.list {
		for _, m := range measures() {
			fmt.Fprintf(stdout, "%-13s %s\n", m.name, m.what)
		}
		return nil
	}
	if o.from != "" {
		r, err := readReport(o.from)
		if err != nil {
			return err
		}
		r.conclusions(stdout)
		return r.publish(o.docs)
	}
	if len(jobs) == 0 {
		return errors.New("-run matches nothing; -list lists the measures")
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	ctx, stop := context.WithTimeout(ctx, o.timeout)
	defer stop()

	b := &bench{options: o, out: stdout, log: stderr, running: map[string]server{}, gone: map[string]string{}}
	b.report = newReport(ctx, o)
	err = guard(stderr, func(t *bed) {
		b.bed = t
		b.build(ctx)
		b.report.heading(stdout)
		for i, j := range jobs {
			fmt.Fprintf(stderr, "bench: %s %s\n", j.name, j.server)
			begin := time.Now()
			b.attempt(ctx, j)
			b.report.Took = append(b.report.Took, took{j.name, j.server, time.Since(begin).Seconds()})
			if i+1 == len(jobs) || jobs[i+1].server != j.server {
				b.leave(j.server)
			}
		}
	})
	b.report.Seconds = time.Since(b.report.Started).Seconds()
	b.report.compare()
	b.report.conclusions(stdout)
	return errors.Join(err, b.report.write(o.json), b.report.publish(o.docs)) // also when a measure failed: what was found is kept
}
