package bind

import (
	"errors"
	"fmt"
	"strings"

	"dnsctl/namedconf"
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
	p := parser{lexer: namedconf.NewLexer("", []byte(text))}
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
	lexer  *namedconf.Lexer
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
		t, err := p.lexer.Next()
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errSyntax, err)
		}
		switch {
		case !t.End() && t.Punct == 0:
			if cur.block != nil {
				s.tail = append(s.tail, statement{})
				cur = &s.tail[len(s.tail)-1]
			}
			cur.words = append(cur.words, word{text: t.Text, quoted: t.Quoted})
		case t.Punct == ';':
			if len(s.words) > 0 || s.block != nil {
				list = append(list, s)
			}
			s = statement{}
			cur = &s
		case t.Punct == '{':
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
				if t.Punct == '}' || depth > 0 {
					return nil, fmt.Errorf("%w: ; is missing", errSyntax)
				}
				list = append(list, s) // showzone's last statement may lack it
			}
			p.closed = t.Punct == '}'
			return list, nil
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
