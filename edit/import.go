package edit

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"dnsctl/fleet"
	"dnsctl/report"
	"dnsctl/zone"
)

// Limits of one commit of an import: what keeps a transaction short. Contents of
// more than stageAbove RRsets are written ahead in transactions of their own.
const (
	batchZones  = 200
	batchRRsets = 20000
	stageAbove  = 20000
	parsers     = 2
)

// Source is one zone to import.
type Source struct {
	Path string // for messages
	// Parse reads the content; it is called from several goroutines.
	Parse func(ctx context.Context) (Parsed, error)
}

// Parsed is what a source holds.
type Parsed struct {
	Content  *zone.Snapshot
	Warnings []Warning
	Checked  bool // zone.Check has been run, and what it found is in Warnings
}

// ImportOptions are for all sources of an import.
type ImportOptions struct {
	Pools       []string         // of zones that are new; those that exist keep theirs
	SerialStyle zone.SerialStyle // of zones that are new
	Lax         bool             // coexistence and glue faults are warnings
}

// Import brings the sources into the database, in batches of commits. A source
// that fails is reported and does not stop the others. progress is called from
// one goroutine, for each source once, when its fate is settled. The error is
// that of the whole run only: the store is gone, or ctx is done.
func (e *Editor) Import(ctx context.Context, sources []Source, o ImportOptions, m Meta, progress func(Source, Result, error)) error {
	pools, err := e.poolIDs(ctx, o.Pools)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	im := &importer{e: e, o: o, m: m, pools: pools, progress: progress, seen: make(map[zone.Key]string)}
	type read struct {
		src Source
		p   Parsed
		err error
	}
	work, done := make(chan Source), make(chan read)
	var wg sync.WaitGroup
	for range parsers {
		wg.Go(func() {
			for src := range work {
				p, err := src.Parse(ctx)
				if err == nil {
					err = check(&p, o.Lax)
				}
				select {
				case done <- read{src, p, err}:
				case <-ctx.Done():
					return
				}
			}
		})
	}
	go func() {
		defer close(done)
		defer wg.Wait()
		defer close(work)
		for _, s := range sources {
			select {
			case work <- s:
			case <-ctx.Done():
				return
			}
		}
	}()
	for r := range done {
		if r.err != nil {
			if ctx.Err() == nil {
				progress(r.src, Result{}, r.err)
			}
			continue
		}
		if err := im.take(ctx, r.src, r.p); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return im.flush(ctx)
}

// check runs the zone's own checks, unless the reader has, which can name lines.
// Errors fail the zone; lax makes warnings of those about coexistence and glue.
func check(p *Parsed, lax bool) error {
	if p.Checked {
		return nil
	}
	var faults []error
	for _, f := range zone.Check(p.Content) {
		if f.Severity == zone.SeverityError && !(lax && f.Relaxable()) {
			faults = append(faults, report.Hint(errors.New(f.Msg), f.Hint))
			continue
		}
		p.Warnings = append(p.Warnings, Warning{Text: f.Msg})
	}
	return errors.Join(faults...)
}

// importer gathers small zones into commits. It belongs to one goroutine.
type importer struct {
	e        *Editor
	o        ImportOptions
	m        Meta
	pools    []int64
	progress func(Source, Result, error)
	seen     map[zone.Key]string // zone -> path it came from
	batch    []pending
	rrsets   int
}

type pending struct {
	src Source
	p   Parsed
}

func (im *importer) take(ctx context.Context, src Source, p Parsed) error {
	k := p.Content.Apex().Key()
	if first, dup := im.seen[k]; dup {
		im.progress(src, Result{Zone: p.Content.Apex()}, fmt.Errorf("zone %q comes from %s already", p.Content.Apex(), first))
		return nil
	}
	im.seen[k] = src.Path
	im.batch = append(im.batch, pending{src, p})
	im.rrsets += p.Content.RRsets()
	if len(im.batch) >= batchZones || im.rrsets >= batchRRsets {
		return im.flush(ctx)
	}
	return nil
}

// flush commits the batch. Zones that somebody else changes meanwhile are
// computed again; one that cannot be written does not keep the others.
func (im *importer) flush(ctx context.Context) error {
	batch := im.batch
	im.batch, im.rrsets = nil, 0
	for try := 0; len(batch) > 0; try++ {
		c := fleet.Commit{Actor: im.m.Actor, Command: im.m.Command, Comment: im.m.Comment}
		results := make([]Result, 0, len(batch))
		var kept []pending
		names := make([]zone.Name, len(batch))
		for i, p := range batch {
			names[i] = p.p.Content.Apex()
		}
		present, err := im.e.Store.Present(ctx, names)
		if err != nil {
			return err
		}
		for i, p := range batch {
			res, err := im.e.importOne(ctx, p.p, present[names[i].Key()], im.o, im.pools, im.m, &c)
			if err != nil {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				im.progress(p.src, Result{Zone: p.p.Content.Apex()}, err)
				continue
			}
			kept, results = append(kept, p), append(results, res)
		}
		if len(c.Creates)+len(c.Edits) > 0 {
			_, err = im.e.Store.Commit(ctx, c)
		}
		switch {
		case err == nil:
			for i, p := range kept {
				im.progress(p.src, results[i], nil)
			}
			return nil
		case (errors.Is(err, fleet.ErrConflict) || errors.Is(err, fleet.ErrExists)) && try < retries:
			batch = kept
		default:
			return fmt.Errorf("commit %s: %w", report.Count(len(kept), "zone"), err)
		}
	}
	return nil
}

// importOne adds what is to be done about one zone to the commit; was is what there
// is of it.
func (e *Editor) importOne(ctx context.Context, p Parsed, was fleet.Present, o ImportOptions, pools []int64, m Meta, c *fleet.Commit) (Result, error) {
	name, content := p.Content.Apex(), p.Content
	if err := reserved(name); err != nil {
		return Result{}, err
	}
	z := was.Zone
	switch {
	case was.Damage != nil:
		return Result{}, was.Damage
	case z.ID == 0, z.Deleted != nil:
		return e.importNew(ctx, p, o, pools, c)
	case z.Kind != fleet.Ordinary:
		return Result{}, untouchable(z)
	}
	if err := m.ifSerial(name, z.Edition.Serial); err != nil {
		return Result{}, err
	}
	old := was.Content
	if old == nil {
		var err error
		if old, z.Edition.Version, err = e.Store.Snapshot(ctx, z.Edition.ID); err != nil {
			return Result{}, err
		}
	}
	before := old.Serial()
	res := Result{Zone: z.Name, Action: Unchanged, Before: &before, Serial: before, RRsets: old.RRsets(), Records: old.Records(), Warnings: p.Warnings}
	d := zone.Diff(old, content)
	signed := content.Signed()
	serial, err := importSerial(z, old, content, d.Empty(), signed, e)
	if err != nil {
		return Result{}, err
	}
	if serial == before {
		return res, nil
	}
	if serial != content.Serial() {
		if content, err = withSerial(content, serial); err != nil {
			return Result{}, err
		}
		d.NewSOA = content.SOASet()
	}
	ed := fleet.Edit{Zone: z, Base: z.Edition.Version, Delta: d, Signed: signed, RRsets: content.RRsets(), Records: content.Records(), Octets: content.Octets()}
	if len(d.Removed)+len(d.Added) > stageAbove {
		if ed.Staged, err = e.Store.Stage(ctx, content); err != nil {
			return Result{}, err
		}
	} else {
		ed.Put, ed.Drop = rows(d, content)
	}
	c.Edits = append(c.Edits, ed)
	res.Action, res.Serial, res.RRsets, res.Records = Changed, serial, content.RRsets(), content.Records()
	res.Removed, res.Added = d.Records()
	return res, nil
}

// importSerial is the serial that the new content gets; the present one when
// there is nothing to commit.
func importSerial(z fleet.Zone, old, content *zone.Snapshot, same, signed bool, e *Editor) (zone.Serial, error) {
	have, file := old.Serial(), content.Serial()
	if file.Ahead(have) {
		return file, nil
	}
	sameSOA := old.SOA() == content.SOA().WithSerial(have) && old.SOASet().TTL == content.SOASet().TTL
	if same && sameSOA {
		return have, nil
	}
	if signed {
		return 0, report.Hint(fmt.Errorf("zone %q arrives signed with serial %d, which is not past the last one, %d, although its content differs", z.Name, file, have),
			"a signed zone is served as it is, serial included: raise the serial where it is signed, and import again")
	}
	return have.Next(z.SerialStyle, e.Now()), nil
}

func (e *Editor) importNew(ctx context.Context, p Parsed, o ImportOptions, pools []int64, c *fleet.Commit) (Result, error) {
	name, content := p.Content.Apex(), p.Content
	if len(pools) == 0 {
		return Result{}, report.Fail(report.ExitUsage, fmt.Errorf("zone %q is new and no pool is named", name), "name one with --pool")
	}
	last, err := e.Store.LastSerial(ctx, name)
	if err != nil {
		return Result{}, err
	}
	signed := content.Signed()
	style := o.SerialStyle
	if style == "" {
		style = zone.SerialIncrement
	}
	if last != nil && !content.Serial().Ahead(*last) {
		if signed {
			return Result{}, report.Hint(fmt.Errorf("zone %q arrives signed with serial %d, but an earlier zone of this name was served with %d", name, content.Serial(), *last),
				"nameservers that still have the old one would refuse it: raise the serial where it is signed")
		}
		if content, err = withSerial(content, last.Next(style, e.Now())); err != nil {
			return Result{}, err
		}
	}
	cr := fleet.Create{Name: name, Kind: fleet.Ordinary, SerialStyle: style, Pools: pools, Signed: signed, After: last}
	if content.RRsets() > stageAbove {
		if cr.Staged, err = e.Store.Stage(ctx, content); err != nil {
			return Result{}, err
		}
	} else {
		cr.Content = content
	}
	c.Creates = append(c.Creates, cr)
	return Result{Zone: name, Action: Created, Serial: content.Serial(), Added: content.Records(), RRsets: content.RRsets(), Records: content.Records(), Warnings: p.Warnings}, nil
}

// withSerial is the content under another serial.
func withSerial(s *zone.Snapshot, serial zone.Serial) (*zone.Snapshot, error) {
	set := s.SOASet()
	set.Data = zone.PackRdata(s.SOA().WithSerial(serial).Rdata())
	return s.Apply(zone.Delta{OldSOA: s.SOASet(), NewSOA: set})
}

// rows is a delta as whole RRsets to write and to drop.
func rows(d zone.Delta, content *zone.Snapshot) (put []zone.RRset, drop []zone.ID) {
	seen := make(map[zone.ID]bool, len(d.Removed)+len(d.Added)+1)
	put = append(put, content.SOASet())
	for _, sets := range [][]zone.RRset{d.Removed, d.Added} {
		for _, r := range sets {
			id := r.ID()
			if seen[id] {
				continue
			}
			seen[id] = true
			if set, ok := content.Get(id); ok {
				put = append(put, set)
			} else {
				drop = append(drop, id)
			}
		}
	}
	return put, drop
}
