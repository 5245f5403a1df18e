// Command bench measures the real dnsctl binary: on a private SQLite and a
// private PostgreSQL, with a private BIND 9, all on loopback and in temporary
// folders that are removed again. Each measure is repeated; what is printed is
// the least, the middle and the greatest of the repetitions. docs/benchmarks.md
// says what the measures are, what bounds them, and what was found.
//
//	go run ./cmd/bench -run 'import|axfr' -json bench.json
package main

import (
	"cmp"
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
	stores  []string
	match   *regexp.Regexp
	json    string
	note    string
	timeout time.Duration
	list    bool
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.IntVar(&o.repeat, "n", 5, "repeat each measure this often")
	f.BoolVar(&o.quick, "quick", false, "repeat three times")
	f.IntVar(&o.records, "records", 1_000_000, "records of the big zone")
	f.IntVar(&o.zones, "zones", 10_000, "small zones, of 10 records each")
	stores := f.String("store", "sqlite,postgres", "the databases")
	match := f.String("run", "", "only measures whose name/store this regular expression matches")
	f.StringVar(&o.json, "json", "", "write the figures to this file")
	f.StringVar(&o.note, "note", "", "a text for the JSON file: what else the machine was doing")
	f.DurationVar(&o.timeout, "timeout", time.Hour, "give up after this time")
	f.BoolVar(&o.list, "list", false, "list the measures")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	if o.quick {
		o.repeat = 3
	}
	if o.repeat < 1 || o.records < 1000 || o.zones < 100 {
		return o, errors.New("-n is at least 1, -records 1000, -zones 100")
	}
	o.stores = strings.Split(*stores, ",")
	for _, s := range o.stores {
		if s != "sqlite" && s != "postgres" {
			return o, fmt.Errorf("-store %q: there are sqlite and postgres", s)
		}
	}
	var err error
	if o.match, err = regexp.Compile(*match); err != nil {
		return o, fmt.Errorf("-run: %w", err)
	}
	return o, nil
}

// measure is one group of figures that is made together. It is run for each
// store, or once with the store "" where no store has a part in it.
type measure struct {
	name      string
	what      string
	storeless bool
	run       func(ctx context.Context, b *bench, store string)
}

func measures() []measure {
	return []measure{
		{"limit", "AXFR from a server that sends messages prepared beforehand: what the client can count", true, measureLimit},
		{"named", "AXFR and SOA from BIND 9 as a primary of the same zone: the yardstick of the same run", true, measureNamed},
		{"import", "zone import of the big zone: new, unchanged, with 100 changed records", false, measureImport},
		{"import-wait", "the longest wait of another process's record set while the big zone is imported", false, measureImportWait},
		{"import-small", "zone import of a folder of small zones: new, unchanged", false, measureImportSmall},
		{"axfr", "AXFR of the big zone: cold, warm, 8 connections, TSIG", false, measureAXFR},
		{"soa", "SOA questions over UDP", false, measureSOA},
		{"small", "AXFR of the small zones: cold and warm, 50 or 1 per connection, pipelined by 10", false, measureSmall},
		{"ixfr", "IXFR of 20 changes of the big zone", false, measureIXFR},
		{"served", "from a commit by another process to mdns answering with the new serial", false, measureServed},
		{"bind", "from a commit to BIND 9 answering with the new serial, by NOTIFY and IXFR", false, measureBIND},
		{"fleet", "bootstrap --wait, audit and sync of the small zones on BIND 9", false, measureFleet},
	}
}

// selected are the measures and stores that -run matches.
func (o options) selected() (out []job) {
	for _, m := range measures() {
		stores := o.stores
		if m.storeless {
			stores = []string{""}
		}
		for _, s := range stores {
			if o.match.MatchString(m.name + "/" + s) {
				out = append(out, job{m, s})
			}
		}
	}
	return out
}

type job struct {
	measure
	store string
}

func run(args []string, stdout, stderr io.Writer) (err error) {
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
	if len(jobs) == 0 {
		return errors.New("-run matches nothing; -list lists the measures")
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	ctx, stop := context.WithTimeout(ctx, o.timeout)
	defer stop()

	b := &bench{options: o, out: stdout, log: stderr, houses: map[string]*house{}}
	b.report = newReport(ctx, o)
	defer func() { // also when a measure failed: what was found is kept
		if e := b.report.write(o.json); e != nil && err == nil {
			err = e
		}
	}()
	return guard(stderr, func(t *bed) {
		b.bed = t
		b.build(ctx)
		b.report.heading(stdout)
		// By store, so that one house is loaded at a time.
		slices.SortStableFunc(jobs, func(x, y job) int {
			return cmp.Compare(slices.Index(o.stores, x.store), slices.Index(o.stores, y.store))
		})
		for i, j := range jobs {
			fmt.Fprintf(stderr, "bench: %s %s\n", j.name, j.store)
			j.run(ctx, b, j.store)
			if i+1 == len(jobs) || jobs[i+1].store != j.store {
				b.leave(j.store)
			}
		}
	})
}
