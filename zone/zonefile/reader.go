package zonefile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"strings"
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

// record reads what the lexer has cut: a directive or a resource record. The
// error is errGiveUp or ctx's.
func (r *reader) record() error {
	s := r.src
	line, toks := s.lex.first, s.lex.toks
	if !s.lex.indent {
		t := toks[0]
		if !t.quoted && len(t.text) > 0 && t.text[0] == '$' {
			return r.directive(line, toks)
		}
		toks = toks[1:]
		if err := r.setOwner(t); err != nil {
			return r.report(line, err.Error(), hintFor(err))
		}
	} else if s.owner == "" {
		return r.report(line, "the record has no owner: it begins with white space, and none is before it", "")
	}
	h, toks, err := r.header(toks)
	if err != nil {
		return r.report(line, err.Error(), hintFor(err))
	}
	return r.add(line, h, toks)
}

// hinted is an error that knows the remedy.
type hinted struct {
	msg, hint string
}

func (h *hinted) Error() string { return h.msg }

func hintFor(err error) string {
	var h *hinted
	switch {
	case errors.As(err, &h):
		return h.hint
	case errors.Is(err, errNoOrigin):
		return "say which zone this is, or begin the file with $ORIGIN"
	}
	return ""
}

// setOwner reads an owner and makes it the last one.
func (r *reader) setOwner(t token) error {
	if t.quoted {
		return &hinted{fmt.Sprintf("owner %q is quoted", clip(t.text)), "only strings of rdata are quoted"}
	}
	var err error
	if r.scratch, err = appendName(r.scratch[:0], t.text, r.src.origin); err != nil {
		return fmt.Errorf("owner %q %w", clip(t.text), err)
	}
	s := r.src
	if string(r.scratch) == string(s.owner) {
		return nil
	}
	owner := zone.Name(r.text.keep(r.scratch))
	if s.owner == "" || !owner.Equal(s.owner) {
		r.run++
		s.key = owner.Key()
		s.outside = r.apex != "" && !owner.Under(r.apex)
	}
	s.owner = owner
	return nil
}

// header is what stands between owner and rdata.
type header struct {
	typ      zone.Type
	ttl      uint32
	explicit bool // the TTL was written
}

// header reads TTL and class, in either order and both optional, and the type.
func (r *reader) header(toks []token) (header, []token, error) {
	var h header
	class := false
	for i, t := range toks {
		b := t.text
		switch {
		case t.quoted || len(b) == 0:
			return h, nil, fmt.Errorf("%q is quoted where a type is wanted", clip(b))
		case b[0] >= '0' && b[0] <= '9' && !h.explicit:
			ttl, err := readTTL(b)
			if err != nil {
				return h, nil, err
			}
			h.ttl, h.explicit = ttl, true
			continue
		case !class:
			var err error
			if class, err = isClass(b); err != nil {
				return h, nil, err
			}
			if class {
				continue
			}
		}
		typ, ok := r.layout[string(b)]
		if !ok {
			var err error
			if typ, err = zone.ParseType(string(b)); err != nil {
				hint := ""
				if b[0] == '$' {
					hint = "a directive begins at the start of its line"
				}
				return h, nil, &hinted{err.Error(), hint}
			}
			if typ.IsMeta() {
				return h, nil, fmt.Errorf("%s is no type that a zone can hold", typ)
			}
			r.layout[string(b)] = typ
		}
		h.typ = typ
		return h, toks[i+1:], nil
	}
	return h, nil, &hinted{"the record has no type", "a record is: OWNER [TTL] [CLASS] TYPE DATA"}
}

func readTTL(b []byte) (uint32, error) {
	ttl, err := parsePeriod(b)
	if err == nil && ttl > MaxTTL {
		err = errors.New("more than 2147483647 (RFC 2181 section 8)")
	}
	if err != nil {
		return 0, fmt.Errorf("TTL %q is %w", clip(b), err)
	}
	return ttl, nil
}

// isClass says whether b is class IN; other classes are an error.
func isClass(b []byte) (bool, error) {
	switch len(b) {
	case 2:
		switch c, d := b[0]|0x20, b[1]|0x20; {
		case c == 'i' && d == 'n':
			return true, nil
		case c == 'c' && (d == 'h' || d == 's'), c == 'h' && d == 's':
			return false, fmt.Errorf("class %s: only IN is served", b)
		}
	case 3, 4, 5:
	default:
		if num, ok := strings.CutPrefix(strings.ToUpper(string(b)), "CLASS"); ok && num != "" {
			if strings.TrimLeft(num, "0") != "1" {
				return false, fmt.Errorf("class %s: only IN is served", clip(b))
			}
			return true, nil
		}
	}
	return false, nil
}

// add reads the rdata and keeps the record, whose owner is the source's last.
func (r *reader) add(line int, h header, toks []token) error {
	s := r.src
	p := &r.parser
	p.toks, p.origin = toks, s.origin
	p.out = append(p.out[:0], 0, 0) // the length's place
	if err := p.rdata(h.typ); err != nil {
		if h.explicit { // its TTL holds for what follows all the same
			r.ttl, r.ttlKnown = h.ttl, true
		}
		return r.report(line, err.Error(), hintFor(err))
	}
	n := len(p.out) - 2
	if n > zone.MaxRdata {
		return r.report(line, fmt.Sprintf("%s record of %d octets is too long to be transferred: the limit is %d", h.typ, n, zone.MaxRdata), "")
	}
	p.out[0], p.out[1] = byte(n>>8), byte(n)
	rdata := p.out[2:]
	if h.typ == zone.TypeSOA {
		if err := r.setSOA(line, rdata); err != nil {
			return err
		}
	}
	if !h.explicit {
		switch {
		case r.defaultKnown:
			h.ttl = r.defaultTTL
		case r.ttlKnown:
			h.ttl = r.ttl
		case h.typ == zone.TypeSOA:
			h.ttl = min(u32(string(rdata[n-4:])), MaxTTL)
			r.defaultTTL, r.defaultKnown = h.ttl, true
		default:
			return r.report(line, "the record has no TTL, and none is before it", "begin the file with $TTL")
		}
	} else {
		r.ttl, r.ttlKnown = h.ttl, true
	}
	if s.outside {
		return r.outside(line, s.owner)
	}
	covers := zone.Type(0)
	if h.typ == zone.TypeRRSIG || h.typ == zone.TypeSIG {
		covers = zone.Type(rdata[0])<<8 | zone.Type(rdata[1])
	}
	r.recs.add(rec{key: s.key, owner: s.owner, data: r.text.keep(p.out), ttl: h.ttl, typ: h.typ, covers: covers,
		run: r.run, place: r.place(line)})
	return nil
}

func (r *reader) place(line int) place {
	return place{uint32(min(line, math.MaxUint32)), r.src.index}
}

func (r *reader) outside(line int, owner zone.Name) error {
	return r.report(line, fmt.Sprintf("%s is not in zone %s", owner, r.apex), "a name without a final dot is relative to $ORIGIN")
}

// setSOA checks the SOA's place and learns the apex from it.
func (r *reader) setSOA(line int, rdata []byte) error {
	owner := r.src.owner
	if r.soaSeen {
		hint := "a zone has one SOA: delete the other, or put each zone in a file of its own"
		if r.soaRdata == string(rdata) && owner.Equal(r.apex) {
			hint = "the output of a zone transfer repeats the SOA at its end: delete it there"
		}
		return r.report(line, fmt.Sprintf("second SOA record; the first is in %s:%d", r.files[r.soa.file], r.soa.line), hint)
	}
	r.soaSeen, r.soaRdata, r.soa = true, string(rdata), r.place(line)
	if r.apex == "" {
		r.apex = owner
		for i := range r.recs.n {
			if e := r.recs.at(i); !e.owner.Under(owner) {
				name := r.files[e.file]
				r.errs = append(r.errs, &Error{File: name, Line: int(e.line), Msg: fmt.Sprintf("%s is not in zone %s", e.owner, owner)})
				if len(r.errs) >= MaxErrors {
					return errGiveUp
				}
			}
		}
		return nil
	}
	if !owner.Equal(r.apex) {
		return r.report(line, fmt.Sprintf("SOA of %s in zone %s", owner, r.apex), "")
	}
	return nil
}
