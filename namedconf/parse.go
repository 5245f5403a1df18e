package namedconf

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"dnsctl/zone"
)

// place is what statements are in.
type place int

const (
	other place = iota // braces of which we understand nothing
	top
	options
	view
	zoned
)

// scope is a place and what holds there.
type scope struct {
	in    place
	view  string
	class string
	zone  *Zone // the statement that is being read
}

// parser reads one file after the other; l is the one at hand.
type parser struct {
	opts   Options
	config *Config
	seen   map[string]Zone
	l      *Lexer
	stack  []string // resolved paths of the files being read
	blocks int

	directory string // as it is written
}

func newParser(o Options) *parser {
	return &parser{opts: o, config: &Config{}, seen: map[string]Zone{}}
}

// resolved is the configuration with absolute file names; path is its main file.
func (p *parser) resolved(path string) (*Config, error) {
	base := p.directory
	if !filepath.IsAbs(base) {
		main, err := filepath.Abs(path)
		if err != nil {
			return nil, &Error{File: path, Msg: err.Error()}
		}
		base = filepath.Join(filepath.Dir(main), base)
	}
	for i := range p.config.Zones {
		z := &p.config.Zones[i]
		if z.File == "" {
			continue
		}
		if !filepath.IsAbs(z.File) {
			z.File = filepath.Join(base, z.File)
		}
		z.File = p.opts.mapped(z.File)
	}
	return p.config, nil
}

// file reads one file in the scope. from is the include's file name, or the zero
// token.
func (p *parser) file(path string, from Token, in scope) error {
	fail := func(err error) error {
		e := &Error{File: path, Msg: reason(err)}
		if !from.End() {
			e = &Error{File: p.l.file, Line: from.Line, Msg: fmt.Sprintf("include %q: %s", from.Text, reason(err))}
		}
		if errors.Is(err, fs.ErrNotExist) {
			e.Hint = MovedHint
		}
		return e
	}
	where, err := filepath.EvalSymlinks(path)
	if err == nil {
		where, err = filepath.Abs(where)
	}
	switch {
	case err != nil:
		return fail(err)
	case slices.Contains(p.stack, where):
		return fail(errors.New("this file is being read already: files include each other in a circle"))
	case len(p.stack) >= maxDepth:
		return fail(fmt.Errorf("files include each other more than %d deep", maxDepth))
	case len(p.config.Files) >= maxFiles:
		return fail(fmt.Errorf("more than %d files", maxFiles))
	}
	b, err := load(where)
	if err != nil {
		return fail(err)
	}
	p.stack = append(p.stack, where)
	defer func() { p.stack = p.stack[:len(p.stack)-1] }()
	return p.text(path, b, in)
}

// text reads the content of one file.
func (p *parser) text(path string, b []byte, in scope) error {
	p.config.Files = append(p.config.Files, path)
	outer := p.l
	p.l = NewLexer(path, b)
	defer func() { p.l = outer }()
	return p.statements(in, Token{})
}

func load(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = fmt.Errorf("more than %d MiB: this is no configuration file", maxFile>>20)
	}
	return b, err
}

// reason is what the system said, without the path, which is named already.
func reason(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

// statements reads up to the brace that closes open, or to the end of the file
// when open is the zero token.
func (p *parser) statements(in scope, open Token) error {
	if p.blocks++; p.blocks > maxBlock {
		return p.l.fault(open.Line, "braces are nested more than %d deep", maxBlock)
	}
	defer func() { p.blocks-- }()
	for {
		t, err := p.l.next()
		switch {
		case err != nil:
			return err
		case t.End():
			if open.Punct != 0 {
				return p.l.fault(open.Line, "brace opened here is never closed")
			}
			return nil
		case t.Punct == '}':
			if open.Punct == 0 {
				return p.l.fault(t.Line, "closing brace without an opening one")
			}
			return nil
		case t.Punct == ';': // an empty statement
		default:
			if err := p.statement(t, in); err != nil {
				return err
			}
		}
	}
}

// maxWords of a statement are kept; none that we know has more.
const maxWords = 4

// statement reads the statement that begins with the token first.
func (p *parser) statement(first Token, in scope) error {
	words := []Token{first}
	for blocks := 0; ; {
		t, err := p.l.next()
		switch {
		case err != nil:
			return err
		case t.End(), t.Punct == '}':
			return p.l.fault(first.Line, "statement %s is not ended by a semicolon before %s", first.describe(), t.describe())
		case t.Punct == ';':
			if blocks > 0 {
				return nil
			}
			return p.simple(words, in)
		case t.Punct == '{':
			inner := scope{in: other}
			if blocks++; blocks == 1 {
				if inner, err = p.enter(words, in); err != nil {
					return err
				}
			}
			if err := p.statements(inner, t); err != nil {
				return err
			}
			if inner.in == zoned {
				if err := p.keep(*inner.zone); err != nil {
					return err
				}
			}
		case blocks == 0 && len(words) < maxWords:
			words = append(words, t)
		}
	}
}

func keyword(t Token) string {
	if t.Quoted {
		return ""
	}
	return strings.ToLower(t.Text)
}

// enter is the scope within the braces behind these words.
func (p *parser) enter(words []Token, in scope) (scope, *Error) {
	switch k := keyword(words[0]); {
	case in.in == top && k == "options" && len(words) == 1:
		return scope{in: options}, nil
	case in.in == top && k == "view" && len(words) > 1:
		return scope{in: view, view: words[1].Text, class: classOf(words, in)}, nil
	case (in.in == top || in.in == view) && k == "zone" && len(words) > 1:
		name, err := zone.ParseName(words[1].Text)
		if err != nil {
			return in, p.l.fault(words[1].Line, "zone statement: %v", err)
		}
		z := &Zone{Name: name, Class: classOf(words, in), View: in.view, Source: p.l.file, Line: words[0].Line}
		return scope{in: zoned, zone: z}, nil
	}
	return scope{in: other}, nil
}

// classOf is the class that a zone or view statement names behind its name.
func classOf(words []Token, in scope) string {
	if len(words) > 2 {
		return strings.ToUpper(words[2].Text)
	}
	return in.class
}

// simple is a statement without braces.
func (p *parser) simple(words []Token, in scope) error {
	if in.in == other {
		return nil
	}
	k := keyword(words[0])
	if k == "include" {
		if len(words) != 2 {
			return p.l.fault(words[0].Line, "include wants one file name")
		}
		return p.include(words[1], in)
	}
	if len(words) < 2 {
		return nil
	}
	value := words[1].Text
	switch {
	case in.in == options && k == "directory":
		p.directory, p.config.Directory = value, p.opts.mapped(value)
	case in.in == zoned && k == "file":
		in.zone.File = value
	case in.in == zoned && k == "type":
		in.zone.Type = normalType(value)
	case in.in == zoned && k == "in-view":
		in.zone.Type = "in-view"
	}
	return nil
}

// normalType is the zone type in named's present words.
func normalType(s string) string {
	switch s = strings.ToLower(s); s {
	case "master":
		return "primary"
	case "slave":
		return "secondary"
	}
	return s
}

// keep takes a zone statement that was read whole.
func (p *parser) keep(z Zone) error {
	id := z.View + "\x00" + z.Class + "\x00" + string(z.Name.Lower())
	if before, ok := p.seen[id]; ok {
		return &Error{File: z.Source, Line: z.Line, Msg: fmt.Sprintf("zone %s is there twice; first in %s:%d", z.Name, before.Source, before.Line)}
	}
	p.seen[id] = z
	p.config.Zones = append(p.config.Zones, z)
	return nil
}

// include reads the files that an include statement names; it may have a
// pattern of the shell.
func (p *parser) include(name Token, in scope) error {
	if name.Text == "" {
		return p.l.fault(name.Line, "include wants one file name")
	}
	candidates := []string{p.opts.mapped(name.Text)}
	if !filepath.IsAbs(name.Text) {
		candidates = []string{filepath.Join(filepath.Dir(p.l.file), name.Text)}
		if d := p.directory; d != "" {
			candidates = []string{p.opts.mapped(filepath.Join(d, name.Text)), candidates[0]}
		}
	}
	for i, path := range candidates {
		if strings.ContainsAny(name.Text, "*?[") {
			found, err := filepath.Glob(path)
			if err != nil {
				return p.l.fault(name.Line, "include %q: %v", name.Text, err)
			}
			for _, f := range found {
				if err := p.file(f, name, in); err != nil {
					return err
				}
			}
			if len(found) > 0 {
				return nil
			}
			continue
		}
		if _, err := os.Stat(path); err == nil || i == len(candidates)-1 {
			return p.file(path, name, in)
		}
	}
	e := p.l.fault(name.Line, "include %q: no file fits the pattern", name.Text)
	e.Hint = MovedHint
	return e
}

// MovedHint is the remedy where a file that the configuration names is not there.
const MovedHint = "where the files were moved, map their folder with --map-path OLD=NEW"
