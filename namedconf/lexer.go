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
	switch {
	case e.Line == 0:
		return e.File + ": " + e.Msg
	case e.File == "":
		return fmt.Sprintf("line %d: %s", e.Line, e.Msg)
	}
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Msg)
}

// Token is a word, a quoted string, or one of { } ;.
type Token struct {
	Text   string
	Quoted bool
	Punct  byte // the character, or 0
	Line   int  // from 1
}

// End says that the text is over.
func (t Token) End() bool { return t.Punct == 0 && !t.Quoted && t.Text == "" }

// describe names the token in messages.
func (t Token) describe() string {
	switch {
	case t.End():
		return "the end of the file"
	case t.Punct != 0:
		return fmt.Sprintf("%q", t.Punct)
	case len(t.Text) > 60:
		return fmt.Sprintf("%q", t.Text[:57]+"...")
	}
	return fmt.Sprintf("%q", t.Text)
}

// Lexer cuts a configuration into tokens. Comments are those of C, C++ and the
// shell; # and // begin one also within a word, as for named.
type Lexer struct {
	file string
	b    []byte
	at   int
	line int
}

// NewLexer reads text; file is the name that errors give it, empty for text that
// is in no file.
func NewLexer(file string, text []byte) *Lexer { return &Lexer{file: file, b: text, line: 1} }

func (l *Lexer) fault(line int, format string, args ...any) *Error {
	return &Error{File: l.file, Line: line, Msg: fmt.Sprintf(format, args...)}
}

// Next is the next token. Its error is an *Error or nil.
func (l *Lexer) Next() (Token, error) {
	t, err := l.next()
	if err != nil { // a nil *Error must not become an error
		return t, err
	}
	return t, nil
}

func (l *Lexer) next() (Token, *Error) {
	if err := l.skip(); err != nil {
		return Token{}, err
	}
	t := Token{Line: l.line}
	if l.at == len(l.b) {
		return t, nil
	}
	switch c := l.b[l.at]; c {
	case '{', '}', ';':
		l.at++
		t.Punct = c
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
	t.Text = string(l.b[start:l.at])
	return t, nil
}

// boundary says whether a word ends here.
func (l *Lexer) boundary() bool {
	switch l.b[l.at] {
	case ' ', '\t', '\r', '\n', '{', '}', ';', '"', '#':
		return true
	}
	return l.comment("//") || l.comment("/*")
}

func (l *Lexer) comment(mark string) bool { return bytes.HasPrefix(l.b[l.at:], []byte(mark)) }

// skip passes white space and comments.
func (l *Lexer) skip() *Error {
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
func (l *Lexer) quoted() (Token, *Error) {
	t := Token{Quoted: true, Line: l.line}
	var text []byte
	for i := l.at + 1; i < len(l.b); i++ {
		switch c := l.b[i]; {
		case c == '"':
			l.at = i + 1
			t.Text = string(text)
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
	return t, l.fault(t.Line, "quoted string opened here is never closed")
}
