package namedconf

import (
	"bytes"
	"fmt"
)

// Error is a fault in a configuration file.
type Error struct {
	File string
	Line int // from 1
	Msg  string
	Hint string // what to do about it; may be empty
}

// Error prints FILE:LINE: message.
func (e *Error) Error() string {
	if e.Line == 0 {
		return e.File + ": " + e.Msg
	}
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Msg)
}

// token is a word, a quoted string, or one of { } ;. The zero token is the end
// of the file.
type token struct {
	text   string
	quoted bool
	punct  byte // the character, or 0
	line   int
}

func (t token) end() bool { return t.punct == 0 && !t.quoted && t.text == "" }

// describe names the token in messages.
func (t token) describe() string {
	switch {
	case t.end():
		return "the end of the file"
	case t.punct != 0:
		return fmt.Sprintf("%q", t.punct)
	case len(t.text) > 60:
		return fmt.Sprintf("%q", t.text[:57]+"...")
	}
	return fmt.Sprintf("%q", t.text)
}

// lexer cuts a configuration into tokens. Comments are those of C, C++ and the
// shell; # and // begin one also within a word, as for named.
type lexer struct {
	file string
	b    []byte
	at   int
	line int
}

func (l *lexer) fault(line int, format string, args ...any) *Error {
	return &Error{File: l.file, Line: line, Msg: fmt.Sprintf(format, args...)}
}

// next is the next token.
func (l *lexer) next() (token, *Error) {
	if err := l.skip(); err != nil {
		return token{}, err
	}
	t := token{line: l.line}
	if l.at == len(l.b) {
		return t, nil
	}
	switch c := l.b[l.at]; c {
	case '{', '}', ';':
		l.at++
		t.punct = c
		return t, nil
	case '"':
		return l.quoted()
	}
	start := l.at
	for l.at < len(l.b) && !l.boundary() {
		if l.b[l.at] == 0 {
			return t, l.fault(l.line, "zero octet: this is no configuration file")
		}
		l.at++
	}
	t.text = string(l.b[start:l.at])
	return t, nil
}

// boundary says whether a word ends here.
func (l *lexer) boundary() bool {
	switch l.b[l.at] {
	case ' ', '\t', '\r', '\n', '{', '}', ';', '"', '#':
		return true
	}
	return l.comment("//") || l.comment("/*")
}

func (l *lexer) comment(mark string) bool { return bytes.HasPrefix(l.b[l.at:], []byte(mark)) }

// skip passes white space and comments.
func (l *lexer) skip() *Error {
	for l.at < len(l.b) {
		switch c := l.b[l.at]; {
		case c == '\n':
			l.line++
			l.at++
		case c == ' ' || c == '\t' || c == '\r':
			l.at++
		case c == '#' || l.comment("//"):
			if n := bytes.IndexByte(l.b[l.at:], '\n'); n >= 0 {
				l.at += n
			} else {
				l.at = len(l.b)
			}
		case l.comment("/*"):
			n := bytes.Index(l.b[l.at+2:], []byte("*/"))
			if n < 0 {
				return l.fault(l.line, "comment opened here is never closed")
			}
			l.line += bytes.Count(l.b[l.at:l.at+2+n], []byte("\n"))
			l.at += n + 4
		default:
			return nil
		}
	}
	return nil
}

// quoted reads a string in quotes; \" in it is a quote, and a newline may be in
// it as named allows.
func (l *lexer) quoted() (token, *Error) {
	t := token{quoted: true, line: l.line}
	var text []byte
	for i := l.at + 1; i < len(l.b); i++ {
		switch c := l.b[i]; {
		case c == '"':
			l.at = i + 1
			t.text = string(text)
			return t, nil
		case c == '\\' && i+1 < len(l.b) && l.b[i+1] == '"':
			i++
			text = append(text, '"')
		case c == '\\' && i+1 < len(l.b) && l.b[i+1] == '\\': // both stay
			i++
			text = append(text, c, c)
		case c == 0:
			return t, l.fault(l.line, "zero octet: this is no configuration file")
		default:
			if c == '\n' {
				l.line++
			}
			text = append(text, c)
		}
	}
	return t, l.fault(t.line, "quoted string opened here is never closed")
}
