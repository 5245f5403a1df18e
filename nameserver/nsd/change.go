package nsd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"dnsctl/nameserver"
	"dnsctl/zone"
)

// Add makes a secondary zone.
func (d *driver) Add(ctx context.Context, z nameserver.ZoneConfig) error {
	return d.AddAll(ctx, []nameserver.ZoneConfig{z})[0]
}

// AddAll makes secondary zones with one addzones. NSD answers each line, reports
// errors and goes on; one that has the zone already says so, and then that it was
// added.
func (d *driver) AddAll(ctx context.Context, zones []nameserver.ZoneConfig) []error {
	errs := make([]error, len(zones))
	var input []string
	var at []int // index in zones of each line
	for i, z := range zones {
		if errs[i] = check(z); errs[i] == nil {
			input, at = append(input, spelled(z.Name, z.Incarnation)+" "+patternName(z)), append(at, i)
		}
	}
	if len(input) > 0 {
		d.added.Store(true)
		n, err := d.addLines(ctx, input, func(n int, err error) { errs[at[n]] = err })
		for ; err != nil && n < len(at); n++ {
			errs[at[n]] = err
		}
	}
	for i, err := range errs {
		if err != nil {
			errs[i] = fmt.Errorf("add zone %s: %w", zones[i].Name, explained(err, zones[i]))
		}
	}
	return errs
}

// addLines gives the lines to addzones and calls done for each that is answered,
// in order; n is how many were.
func (d *driver) addLines(ctx context.Context, input []string, done func(n int, err error)) (n int, err error) {
	return d.lines(ctx, "addzones", lineReader{input: input, done: done, each: "added", all: "added"})
}

// lines gives lines to a command that takes many.
func (d *driver) lines(ctx context.Context, command string, r lineReader) (n int, err error) {
	err = d.control.do(ctx, command, r.input, r.line)
	if err == nil && (!r.ended || r.next != len(r.input)) {
		err = fmt.Errorf("nsd %s: %w: it answers %d of %d lines", command, nameserver.ErrAnswer, r.next, len(r.input))
	}
	return r.next, err
}

// lineReader reads the answer to addzones and delzones: for each line of input what
// is wrong with it, if anything, then "added: NAME" or "error for input line 'NAME'",
// with the name as it was typed; in the end how many were added.
type lineReader struct {
	input     []string
	done      func(n int, err error)
	each, all string // how it says that one is done, and all of them are
	next      int    // index in input of the line that comes to be answered
	wrong     error  // said of it
	ended     bool
}

func (r *lineReader) line(l string) error {
	odd := fmt.Errorf("%w: %q", nameserver.ErrAnswer, printable(l))
	if r.ended {
		return odd
	}
	if r.next == len(r.input) {
		r.ended = true
		if !strings.HasPrefix(l, r.all+" ") || !strings.HasSuffix(l, " zones") {
			return odd
		}
		return nil
	}
	name, _, _ := strings.Cut(r.input[r.next], " ")
	switch {
	case l == r.each+": "+name:
	case l == "error for input line '"+name+"'":
		if r.wrong == nil {
			r.wrong = odd
		}
	default:
		if err := lineError(l); err != nil {
			if r.wrong == nil {
				r.wrong = err
			}
			return nil
		}
		return odd
	}
	err := r.wrong
	r.wrong = nil
	r.done(r.next, err)
	r.next++
	return nil
}

// check refuses settings that NSD would not take, or could never use.
func check(z nameserver.ZoneConfig) error {
	if err := New().CanHold(z.Name); err != nil {
		return err
	}
	if len(z.Primaries) == 0 {
		return fmt.Errorf("%w: no primaries", nameserver.ErrRefused)
	}
	for _, p := range z.Primaries {
		if !p.Addr.IsValid() || p.Addr.Port() == 0 || p.Addr.Addr().Zone() != "" {
			return fmt.Errorf("%w: primary %s", nameserver.ErrRefused, p.Addr)
		}
	}
	if n := len(patternName(z)); n > longestPattern {
		return fmt.Errorf("%w: the pattern for its primaries and keys would have a name of %d octets, and NSD reads no command of that length",
			nameserver.ErrRefused, n)
	}
	return nil
}

// longestPattern leaves room for a name in a command.
const longestPattern = longestCommand - longestName - len("changezone  ")

// explained names the pattern that is missing.
func explained(err error, z nameserver.ZoneConfig) error {
	if errors.Is(err, errNoPattern) {
		return fmt.Errorf("%w: %s", err, patternName(z))
	}
	return err
}

// Change gives a zone the settings of z: another pattern.
//
// NSD removes the zone and adds it in one step, and reads its file. The file is
// written first, so that a zone that changes from one of our patterns to another
// is answered meanwhile, but for a moment now and then. One that had another's pattern has no file in our
// folder yet and is answered with SERVFAIL until its transfer arrives; when that
// does not come the zone is put back as it was.
func (d *driver) Change(ctx context.Context, z nameserver.ZoneConfig) error {
	if err := d.change(ctx, z); err != nil {
		return fmt.Errorf("change zone %s: %w", z.Name, explained(err, z))
	}
	return nil
}

func (d *driver) change(ctx context.Context, z nameserver.ZoneConfig) error {
	if err := check(z); err != nil {
		return err
	}
	was, has, err := d.look(ctx, z.Name)
	if err != nil {
		return err
	}
	if err := touchable(has); err != nil && !(z.Catalog && strings.HasPrefix(was.pattern, catalogPrefix)) {
		return err
	}
	pattern := patternName(z)
	if was.pattern == pattern {
		return nil
	}
	if err := d.hasPattern(ctx, pattern); err != nil {
		return err
	}
	if err := d.exchange(ctx, was, was.name, pattern); err != nil {
		return err
	}
	// What a reload says of the zone's serial ends a transfer that was begun before.
	if err := d.reloaded(ctx); err != nil {
		return err
	}
	if _, ours := readPattern(was.pattern); ours || has.Serial == nil {
		return nil
	}
	if err := d.waitFor(ctx, z.Name, func(now nameserver.ZoneState) bool { return now.Serial != nil }); err != nil {
		return errors.Join(fmt.Errorf("it was put back, as its transfer did not arrive: %w", err), d.putBack(ctx, was))
	}
	return nil
}

// exchange gives a zone another pattern, and the name by which its file is found;
// what it has now is written to its present file first, but for content that has
// expired, which would count as new. That a zone has content shows in its status
// a moment late, so it is not asked.
func (d *driver) exchange(ctx context.Context, was status, name, pattern string) error {
	if slices.Contains(served, was.state) {
		if err := d.control.order(ctx, "write "+was.name); err != nil {
			return err
		}
	}
	return d.control.order(ctx, "changezone "+name+" "+pattern)
}

// putBack gives a zone its former pattern, even when ctx has ended.
func (d *driver) putBack(ctx context.Context, was status) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), silenceLimit)
	defer cancel()
	if err := d.control.order(ctx, "changezone "+was.name+" "+was.pattern); err != nil {
		return fmt.Errorf("put the zone back: %w", err)
	}
	return d.reloaded(ctx)
}

// transferTime bounds how long the transfer of a zone that was changed may take.
const transferTime = 30 * time.Second

// waitFor waits until the zone is as it should be.
func (d *driver) waitFor(ctx context.Context, name zone.Name, ok func(nameserver.ZoneState) bool) error {
	ctx, cancel := context.WithTimeout(ctx, transferTime)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		_, z, err := d.look(ctx, name)
		if err != nil {
			return err
		}
		if ok(z) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for it: %w", ctx.Err())
		case <-tick.C:
		}
	}
}

// reloaded waits until the server processes do what they were told before: NSD
// answers stats when a reload has ended. The first one may have been under way
// already, so it is asked twice.
func (d *driver) reloaded(ctx context.Context) error {
	for range 2 {
		if _, err := d.statistics(ctx); err != nil {
			return err
		}
	}
	return nil
}

// statistics asks for NSD's. It forgets one who asks while it prints them to another
// now and then, so it is asked again when it stays silent.
func (d *driver) statistics(ctx context.Context) ([]string, error) {
	for wait := 2 * time.Second; ; wait *= 2 {
		some, cancel := context.WithTimeout(ctx, min(wait, silenceLimit))
		lines, err := d.control.ask(some, "stats_noreset")
		cancel()
		if wait > silenceLimit || ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
			return lines, err
		}
	}
}

// hasPattern asks whether nsd.conf has a pattern. Of the arguments of addzone NSD
// looks at the pattern first, and no zone has the name "..".
func (d *driver) hasPattern(ctx context.Context, pattern string) error {
	lines, err := d.control.ask(ctx, "addzone .. "+pattern)
	if err != nil {
		return err
	}
	if len(lines) == 1 && strings.HasPrefix(lines[0], "error cannot parse zone name") {
		return nil
	}
	if err := orderError(lines); err != nil {
		return err
	}
	return fmt.Errorf("nsd addzone: %w: %q", nameserver.ErrAnswer, printable(strings.Join(lines, "; ")))
}

// touchable says whether a zone may be changed or deleted.
func touchable(z nameserver.ZoneState) error {
	switch {
	case z.Role == nameserver.Other:
		return fmt.Errorf("%w: it is a %s", nameserver.ErrUntouchable, z.Detail)
	case z.Origin == nameserver.Declared:
		return fmt.Errorf("%w: it is declared in the nameserver's configuration file", nameserver.ErrUntouchable)
	case z.Origin != nameserver.Runtime:
		return fmt.Errorf("%w: it is a %s", nameserver.ErrUntouchable, z.Detail)
	}
	return nil
}

// Retransfer asks for an AXFR; NSD answers when that is queued.
func (d *driver) Retransfer(ctx context.Context, name zone.Name) error {
	if err := d.control.order(ctx, "force_transfer "+typed(name)); err != nil {
		return fmt.Errorf("retransfer zone %s: %w", name, err)
	}
	return nil
}
