package zonefile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"

	"dnsctl/zone"
)

// Options of the reader.
type Options struct {
	// Origin is the zone's apex and the first $ORIGIN. When it is empty the apex
	// is the owner of the SOA, which then must not be relative to nothing.
	Origin zone.Name
	// File is the name that errors and warnings give the input.
	File string
	// IncludeRoot is the directory that $INCLUDE may read from, symbolic links
	// resolved. A relative path is taken from there or, when there is no such file,
	// from the directory of the file that includes it. Empty: no $INCLUDE.
	IncludeRoot string
	// DefaultTTL stands for a first $TTL; 0: none.
	DefaultTTL uint32
	// Lax makes warnings of coexistence and glue faults (zone.Fault.Relaxable).
	Lax bool
	// NoCheck leaves out zone.Check.
	NoCheck bool
}

// Result is a zone that was read.
type Result struct {
	Apex     zone.Name
	Snapshot *zone.Snapshot
	Warnings Errors
	Records  int // in the file, repeated ones included
}

// Read reads a zone's master file from r, to its end, and checks the zone. The
// error is an Errors that has every fault found, up to MaxErrors; what wraps
// ctx's error when ctx ended; and nothing else. With an error the Result has
// what is known of Warnings and Records, and no Snapshot.
func Read(ctx context.Context, r io.Reader, opts Options) (*Result, error) {
	rd := &reader{ctx: ctx, opts: opts, res: &Result{}, ttl: opts.DefaultTTL, defaultTTL: opts.DefaultTTL,
		ttlKnown: opts.DefaultTTL > 0, defaultKnown: opts.DefaultTTL > 0, layout: map[string]zone.Type{}}
	rd.apex = opts.Origin
	if opts.DefaultTTL > MaxTTL {
		return rd.res, Errors{{File: opts.File, Msg: fmt.Sprintf("default TTL %d: more than %d", opts.DefaultTTL, MaxTTL)}}
	}
	err := rd.file(&source{lex: newLexer(r), name: opts.File, origin: opts.Origin})
	if err == nil {
		err = rd.finish()
	}
	rd.res.Records = rd.recs.n
	if err != nil && !errors.Is(err, errGiveUp) {
		return rd.res, err
	}
	if len(rd.errs) > 0 {
		return rd.res, rd.errs
	}
	return rd.res, nil
}

// ReadFile is Read of the file at path, which also names it in errors when
// Options.File is empty.
func ReadFile(ctx context.Context, path string, opts Options) (*Result, error) {
	if opts.File == "" {
		opts.File = path
	}
	// A pipe is opened at once, and given up when ctx ends: somebody may never
	// write to it.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return &Result{}, Errors{{File: opts.File, Msg: reason(err)}}
	}
	defer f.Close()
	defer context.AfterFunc(ctx, func() { _ = f.SetReadDeadline(time.Unix(1, 0)) })()
	res, err := Read(ctx, f, opts)
	if err != nil && ctx.Err() != nil {
		return res, fmt.Errorf("read zone file %s: %w", opts.File, ctx.Err())
	}
	return res, err
}

// reason is what the system said, without the path, which is named already.
func reason(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Op + ": " + p.Err.Error()
	}
	return err.Error()
}

// source is a file being read: the zone's own, or an included one. What RFC
// 1035 section 5.1 has return after an $INCLUDE is kept per file.
type source struct {
	lex    *lexer
	name   string
	index  uint16 // in reader.files
	origin zone.Name
	parent *source
	path   string // resolved, to find cycles; empty for the zone's own

	owner   zone.Name // the last one; empty: none yet
	key     zone.Key
	outside bool // owner is not in the zone
}

// reader turns sources into records.
type reader struct {
	ctx  context.Context
	opts Options
	res  *Result
	src  *source
	errs Errors
	apex zone.Name // empty until it is known

	files  []string
	places []place // of each RRset of the snapshot, its first record's

	ttl, defaultTTL        uint32
	ttlKnown, defaultKnown bool

	soaSeen   bool
	soaRdata  string
	soa       place
	generated int
	recs      records
	text      arena
	parser    rdataParser
	scratch   []byte
	layout    map[string]zone.Type // type mnemonics as spelled in the file
	run       uint32
}

// errGiveUp ends reading; why is in errs.
var errGiveUp = errors.New("gave up")

// maxFiles bounds how many files, counted at each $INCLUDE, make one zone.
const maxFiles = 10000

// file reads one source to its end.
func (r *reader) file(s *source) error {
	if len(r.files) >= maxFiles {
		return r.fatal(s.lex.first, fmt.Sprintf("more than %d files are included", maxFiles), "")
	}
	s.index = uint16(len(r.files))
	r.files = append(r.files, s.name)
	outer := r.src
	r.src = s
	defer func() { r.src = outer }()
	for n := 0; ; n++ {
		if n&0xfff == 0 && r.ctx.Err() != nil {
			return fmt.Errorf("read zone file %s: %w", s.name, r.ctx.Err())
		}
		f, err := s.lex.next()
		switch {
		case err != nil:
			return nil // io.EOF
		case f != nil && f.fatal:
			return r.fatal(f.line, f.msg, f.hint)
		case f != nil:
			err = r.report(f.line, f.msg, f.hint)
		default:
			err = r.record()
		}
		if err != nil {
			return err
		}
		if s.lex.unended {
			r.warn(s.lex.line-1, "the file does not end in a newline", "make sure that it is not cut short")
		}
	}
}

// report adds an error; the result is errGiveUp when there are enough.
func (r *reader) report(line int, msg, hint string) error {
	r.errs = append(r.errs, &Error{File: r.src.name, Line: line, Msg: msg, Hint: hint})
	if len(r.errs) >= MaxErrors {
		return errGiveUp
	}
	return nil
}

func (r *reader) fatal(line int, msg, hint string) error {
	_ = r.report(line, msg, hint)
	return errGiveUp
}

// maxWarnings bounds the list of warnings.
const maxWarnings = 1000

func (r *reader) warn(line int, msg, hint string) {
	r.warnError(&Error{File: r.src.name, Line: line, Msg: msg, Hint: hint})
}

func (r *reader) warnError(e *Error) {
	switch n := len(r.res.Warnings); {
	case n < maxWarnings:
		r.res.Warnings = append(r.res.Warnings, e)
	case n == maxWarnings:
		r.res.Warnings = append(r.res.Warnings, &Error{File: r.opts.File, Msg: "further warnings are not shown"})
	}
}
