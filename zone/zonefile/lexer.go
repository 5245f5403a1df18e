package zonefile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"unicode/utf8"
)

// MaxRecord is the greatest length in octets of one record's text, from its
// first character to the end of its last line. It is what the longest rdata
// takes when every octet is written \DDD, and some more.
const MaxRecord = 512 << 10

// token is a word or quoted string of a record, as it stands in the file:
// without its quotes, with its escapes.
type token struct {
	text   []byte
	quoted bool
	glued  bool // nothing is between it and the token before
}

// span is a token by its place from the record's start, which stays true when
// the buffer moves.
type span struct {
	from, to int
	quoted   bool
}

// Classes of octets in master files. Everything else is part of a word.
const (
	word = iota
	high // 0x80 and above: part of a word, but of what encoding?
	blank
	quote
	comment
	opening
	closing
	escape
	null
)

var class = func() (c [256]uint8) {
	for i := 0x80; i < 256; i++ {
		c[i] = high
	}
	c[' '], c['\t'], c['\r'], c['\n'] = blank, blank, blank, blank
	c['"'], c[';'], c['('], c[')'], c['\\'] = quote, comment, opening, closing, escape
	c[0] = null
	return c
}()

// fault is an error of the lexer: what is wrong, from which line, and whether
// reading on makes no sense.
type fault struct {
	line      int
	msg, hint string
	fatal     bool
}

// lexer cuts a master file into records. buf[start:end] is what was read and
// not yet given out; start is the beginning of the current record.
type lexer struct {
	r          io.Reader
	buf        []byte
	start, end int
	begun, eof bool
	err        error // from r, other than io.EOF
	line       int   // of buf[start]
	spans      []span

	// The current record.
	toks    []token
	first   int  // its first line
	indent  bool // it begins with white space: its owner is the last one
	unended bool // the file ends in its last line without a newline

	remarked bool // a comment was met, at any time
}

// The buffer of a small file stays small, that of a long one is read into in
// large pieces; only a long record makes it larger than that.
const (
	firstBuffer = 4 << 10
	fullBuffer  = 64 << 10
)

func newLexer(r io.Reader) *lexer { return &lexer{r: r, line: 1} }

// next reads the next record that has any tokens. It returns io.EOF at the end
// of the file. After a fault that is not fatal the next call goes on behind it.
// The tokens are valid until the next call.
func (l *lexer) next() (*fault, error) {
	l.toks = l.toks[:0]
	if !l.begun {
		l.begun = true
		if f := l.mark(); f != nil {
			return f, nil
		}
	}
	for {
		if l.start == l.end && !l.more() {
			if l.err != nil {
				return l.readFault(), nil
			}
			return nil, io.EOF
		}
		l.unended = false
		l.first = l.line
		if l.buf[l.start] == ';' {
			if f := l.skipLine(); f != nil {
				return f, nil
			}
			continue
		}
		if f := l.record(); f != nil || len(l.toks) > 0 {
			return f, nil
		}
	}
}

// mark drops UTF-8's byte order mark and refuses those of UTF-16.
func (l *lexer) mark() *fault {
	for l.end-l.start < 3 && l.more() {
	}
	b := l.buf[l.start:l.end]
	switch {
	case bytes.HasPrefix(b, []byte("\xef\xbb\xbf")):
		l.start += 3
	case bytes.HasPrefix(b, []byte("\xff\xfe")), bytes.HasPrefix(b, []byte("\xfe\xff")):
		return &fault{1, "the file is UTF-16 text", "convert it: iconv -f UTF-16 -t UTF-8", true}
	}
	return nil
}

// more reads further octets behind those at hand, which may move in buf. It is
// false at the end of input, and when the record at hand is too long.
func (l *lexer) more() bool {
	if l.eof {
		return false
	}
	if l.start > 0 {
		l.end = copy(l.buf, l.buf[l.start:l.end])
		l.start = 0
	}
	if l.end == len(l.buf) && l.end >= MaxRecord {
		return false
	}
	if l.end == len(l.buf) || len(l.buf) < fullBuffer {
		grown := make([]byte, max(firstBuffer, 2*len(l.buf)))
		copy(grown, l.buf[:l.end])
		l.buf = grown
	}
	for range 100 { // a reader that gives nothing that often is broken
		n, err := l.r.Read(l.buf[l.end:])
		l.end += n
		if err != nil {
			l.eof = true
			if !errors.Is(err, io.EOF) {
				l.err = err
			}
			return n > 0
		}
		if n > 0 {
			return true
		}
	}
	l.eof, l.err = true, io.ErrNoProgress
	return false
}

func (l *lexer) readFault() *fault {
	var p *fs.PathError
	if errors.As(l.err, &p) { // its path is named already
		return &fault{line: l.line, msg: p.Op + ": " + p.Err.Error(), fatal: true}
	}
	return &fault{line: l.line, msg: "read: " + l.err.Error(), fatal: true}
}

// lineEnd is the line of the record at hand that begins from octets after its
// start: everything from the record's start to the line's newline, or to the
// end of input.
func (l *lexer) lineEnd(from int) ([]byte, *fault) {
	for at := from; ; {
		if i := bytes.IndexByte(l.buf[l.start+at:l.end], '\n'); i >= 0 {
			return l.buf[l.start : l.start+at+i], nil
		}
		at = l.end - l.start
		switch {
		case l.more():
		case l.err != nil:
			return nil, l.readFault()
		case !l.eof:
			return nil, &fault{l.line, fmt.Sprintf("record of more than %d KiB", MaxRecord>>10),
				"is this a master file?", true}
		default:
			l.unended = true
			return l.buf[l.start:l.end], nil
		}
	}
}

// skipLine drops the rest of a line that is a comment, however long.
func (l *lexer) skipLine() *fault {
	l.remarked = true
	for {
		if i := bytes.IndexByte(l.buf[l.start:l.end], '\n'); i >= 0 {
			l.start += i + 1
			l.line++
			return nil
		}
		l.start, l.end = 0, 0
		if !l.more() {
			if l.err != nil {
				return l.readFault()
			}
			return nil
		}
	}
}

// record cuts one record, which is a line, or several where parentheses or a
// newline escaped inside quotes join them.
func (l *lexer) record() *fault {
	b, f := l.lineEnd(0)
	if f != nil {
		return f
	}
	l.spans = l.spans[:0]
	l.indent = len(b) > 0 && class[b[0]] == blank
	lines, depth, opened := 0, 0, 0
	for i := 0; ; {
		for i < len(b) {
			switch class[b[i]] {
			case blank:
				i++
			case comment:
				l.remarked = true
				i = len(b)
			case opening:
				if depth == 0 {
					opened = l.line + lines
				}
				depth++
				i++
			case closing:
				if depth == 0 {
					return l.resync(b, lines, fault{msg: "closing parenthesis without an opening one"})
				}
				depth--
				i++
			case null:
				return l.binary(lines)
			case quote:
				from, at := i+1, l.line+lines
				i, b, f = l.quoted(from, b, &lines)
				if f != nil {
					f.line = at
					return f
				}
				l.spans = append(l.spans, span{from, i - 1, true})
			default:
				from := i
				var encoded bool
				i, encoded = wordEnd(b, i)
				if encoded && !utf8.Valid(b[from:i]) {
					return l.resync(b, lines, fault{msg: fmt.Sprintf("octets that are not UTF-8 in %q", clip(b[from:i])),
						hint: `write an octet as \DDD with its decimal value, or convert the file to UTF-8`})
				}
				l.spans = append(l.spans, span{from, i, false})
			}
		}
		if depth == 0 {
			break
		}
		if !l.unended {
			lines++
			i = len(b) + 1
			b, f = l.lineEnd(i)
		} else {
			f = &fault{fatal: true}
		}
		if f != nil {
			if l.err == nil {
				*f = fault{opened, "parenthesis opened here is never closed", "is the file cut short?", true}
			}
			return f
		}
	}
	end := -1
	for _, s := range l.spans {
		begin := s.from
		if s.quoted {
			begin--
		}
		l.toks = append(l.toks, token{b[s.from:s.to:s.to], s.quoted, begin == end})
		end = s.to
	}
	l.pass(b, lines)
	return nil
}

// wordEnd finds the end of the word at i, and whether it has octets above 127.
func wordEnd(b []byte, i int) (end int, encoded bool) {
	for i < len(b) {
		switch class[b[i]] {
		case word:
			i++
		case high:
			encoded = true
			i++
		case escape:
			i += 2
		default:
			return i, encoded
		}
	}
	return len(b), encoded
}

// quoted finds the place behind the quote that closes the string at i.
func (l *lexer) quoted(i int, b []byte, lines *int) (int, []byte, *fault) {
	for {
		for i < len(b) && b[i] != '"' && b[i] != '\\' && b[i] != 0 {
			i++
		}
		switch {
		case i >= len(b):
			return 0, nil, l.resync(b, *lines, fault{msg: "quoted string opened here is not closed on its line", hint: "close the quote, or is the file cut short?"})
		case b[i] == '"':
			return i + 1, b, nil
		case b[i] == 0:
			return 0, nil, l.binary(*lines)
		case i+1 == len(b) && !l.unended:
			*lines++
			var f *fault
			if b, f = l.lineEnd(len(b) + 1); f != nil {
				return 0, nil, f
			}
		}
		i += 2
	}
}

// pass moves behind the record whose text is b and which has so many newlines
// in it.
func (l *lexer) pass(b []byte, lines int) {
	l.start += len(b)
	if l.start < l.end { // its newline
		l.start++
	}
	l.line += lines + 1
}

// resync goes on behind the line that ends at b, and makes the fault's place
// that line.
func (l *lexer) resync(b []byte, lines int, f fault) *fault {
	f.line = l.line + lines
	l.toks = l.toks[:0]
	l.pass(b, lines)
	return &f
}

func (l *lexer) binary(lines int) *fault {
	return &fault{l.line + lines, "zero octet: this is no master file",
		"a file in BIND's raw format becomes text with named-compilezone -f raw -F text -o OUT ZONE FILE", true}
}

func clip(b []byte) []byte {
	if len(b) > 80 {
		return append(b[:77:77], "..."...)
	}
	return b
}
