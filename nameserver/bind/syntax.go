package bind

import (
	"errors"
	"fmt"
	"strings"
)

// word is a token of named.conf's grammar.
type word struct {
	text   string
	quoted bool
}

// statement is words, perhaps with a block in braces after them, up to a
// semicolon. Words after a block (as in "controls { } keys { }") follow in tail.
type statement struct {
	words []word
	block []statement // nil without braces, empty with empty ones
	tail  []statement
}

var errSyntax = errors.New("not named.conf syntax")

const maxNesting = 16

// parseConfig reads statements as named prints them (and people write them, as
// far as key files go): words, quoted strings, braces, semicolons, and comments
// in the three styles.
func parseConfig(text string) ([]statement, error) {
	p := parser{rest: text}
	list, err := p.statements(0)
	if err != nil {
		return nil, err
	}
	if p.closed {
		return nil, fmt.Errorf("%w: } without {", errSyntax)
	}
	return list, nil
}

type parser struct {
	rest   string
	closed bool // the last token was }
}

// statements reads up to the closing brace or the end.
func (p *parser) statements(depth int) ([]statement, error) {
	if depth > maxNesting {
		return nil, fmt.Errorf("%w: nested too deeply", errSyntax)
	}
	list := []statement{}
	p.closed = false
	var s statement
	cur := &s // the part of s that words go to
	for {
		t, w, err := p.next()
		if err != nil {
			return nil, err
		}
		switch t {
		case 'w':
			if cur.block != nil {
				s.tail = append(s.tail, statement{})
				cur = &s.tail[len(s.tail)-1]
			}
			cur.words = append(cur.words, w)
		case ';':
			if len(s.words) > 0 || s.block != nil {
				list = append(list, s)
			}
			s = statement{}
			cur = &s
		case '{':
			if cur.block != nil {
				return nil, fmt.Errorf("%w: two blocks in a row", errSyntax)
			}
			if cur.block, err = p.statements(depth + 1); err != nil {
				return nil, err
			}
			if !p.closed {
				return nil, fmt.Errorf("%w: { without }", errSyntax)
			}
			p.closed = false
		default: // } or the end
			if len(s.words) > 0 || s.block != nil {
				if t == '}' || depth > 0 {
					return nil, fmt.Errorf("%w: ; is missing", errSyntax)
				}
				list = append(list, s) // showzone's last statement may lack it
			}
			p.closed = t == '}'
			return list, nil
		}
	}
}

// next is the next token: 'w' a word, one of ;{} itself, 0 the end.
func (p *parser) next() (byte, word, error) {
	if err := p.skip(); err != nil {
		return 0, word{}, err
	}
	if p.rest == "" {
		return 0, word{}, nil
	}
	switch c := p.rest[0]; c {
	case ';', '{', '}':
		p.rest = p.rest[1:]
		return c, word{}, nil
	case '"':
		return p.quotedWord()
	}
	n := strings.IndexAny(p.rest, " \t\r\n;{}\"")
	if n < 0 {
		n = len(p.rest)
	}
	w := word{text: p.rest[:n]}
	p.rest = p.rest[n:]
	return 'w', w, nil
}

// quotedWord reads a string as named's lexer does: \" is a quote, any other
// backslash stays for the name parser.
func (p *parser) quotedWord() (byte, word, error) {
	var b strings.Builder
	escaped := false
	for i := 1; i < len(p.rest); i++ {
		c := p.rest[i]
		switch {
		case escaped:
			if c != '"' {
				b.WriteByte('\\')
			}
			b.WriteByte(c)
			escaped = false
		case c == '\\':
			escaped = true
		case c == '"':
			p.rest = p.rest[i+1:]
			return 'w', word{text: b.String(), quoted: true}, nil
		default:
			b.WriteByte(c)
		}
	}
	return 0, word{}, fmt.Errorf("%w: a quote is not closed", errSyntax)
}

// skip drops white space and comments.
func (p *parser) skip() error {
	for {
		p.rest = strings.TrimLeft(p.rest, " \t\r\n")
		switch {
		case strings.HasPrefix(p.rest, "#"), strings.HasPrefix(p.rest, "//"):
			_, after, _ := strings.Cut(p.rest, "\n")
			p.rest = after
		case strings.HasPrefix(p.rest, "/*"):
			_, after, ok := strings.Cut(p.rest[2:], "*/")
			if !ok {
				return fmt.Errorf("%w: a comment is not closed", errSyntax)
			}
			p.rest = after
		default:
			return nil
		}
	}
}

// find is the first statement whose first word is name, with ok false when
// there is none.
func find(list []statement, name string) (statement, bool) {
	for _, s := range list {
		if len(s.words) > 0 && s.words[0].text == name {
			return s, true
		}
	}
	return statement{}, false
}

// quote is text as a quoted string of named.conf. A backslash before a quote is
// all the escaping that named's lexer knows, so text must not end in an odd
// number of them; no text of ours does, and what named printed cannot.
func quote(text string) string {
	return `"` + strings.ReplaceAll(text, `"`, `\"`) + `"`
}

// appendStatements writes statements back as text that named reads the same.
func appendStatements(b *strings.Builder, list []statement) {
	for _, s := range list {
		appendStatement(b, s)
		b.WriteString("; ")
	}
}

func appendStatement(b *strings.Builder, s statement) {
	for i, w := range s.words {
		if i > 0 {
			b.WriteByte(' ')
		}
		if w.quoted {
			b.WriteString(quote(w.text))
		} else {
			b.WriteString(w.text)
		}
	}
	if s.block != nil {
		b.WriteString(" { ")
		appendStatements(b, s.block)
		b.WriteByte('}')
	}
	for _, t := range s.tail {
		b.WriteByte(' ')
		appendStatement(b, t)
	}
}
