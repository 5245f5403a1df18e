package zonefile

import (
	"errors"
	"fmt"
	"strings"

	"dnsctl/zone"
)

// ParseRdata reads the rdata of one record in presentation form, names relative
// to origin, as a person gives it on a command line. TXT and its like that does
// not begin with a quote is one text, white space and all, that is split every
// 255 octets. The error says what the type wants and what is wrong.
func ParseRdata(t zone.Type, text string, origin zone.Name) (string, error) {
	if t.IsMeta() {
		return "", fmt.Errorf("%s is no type that a zone can hold", t)
	}
	p := rdataParser{origin: origin}
	if typeTXTLike(t) && !strings.HasPrefix(text, `"`) && !strings.HasPrefix(text, `\# `) {
		out, err := unescape(nil, []byte(text))
		if err != nil {
			return "", fmt.Errorf("%s: %q %w", t, clip([]byte(text)), err)
		}
		return limited(t, split255(out))
	}
	toks, err := words(text)
	if err != nil {
		return "", fmt.Errorf("%s wants %s: %w", t, usage(t), err)
	}
	p.toks = toks
	if err := p.rdata(t); err != nil {
		return "", err
	}
	return limited(t, p.out)
}

func limited(t zone.Type, out []byte) (string, error) {
	if len(out) > zone.MaxRdata {
		return "", fmt.Errorf("%s record of %d octets: more than %d do not fit into a zone transfer", t, len(out), zone.MaxRdata)
	}
	return string(out), nil
}

// split255 makes character-strings of text; an empty text is one empty string.
func split255(text []byte) []byte {
	out := make([]byte, 0, len(text)+len(text)/255+1)
	for {
		n := min(len(text), 255)
		out = append(append(out, byte(n)), text[:n]...)
		if text = text[n:]; len(text) == 0 {
			return out
		}
	}
}

// words cuts one record's data into tokens.
func words(text string) ([]token, error) {
	if len(text) >= MaxRecord {
		return nil, fmt.Errorf("text of more than %d KiB", MaxRecord>>10)
	}
	// Nothing is left to be read, nor is there a byte order mark.
	l := lexer{buf: []byte(text), end: len(text), line: 1, eof: true, begun: true}
	f, _ := l.next() // io.EOF: no tokens
	if f != nil {
		return nil, errors.New(f.msg)
	}
	switch {
	case l.remarked:
		return nil, errors.New("an unquoted ; begins a comment: put the text in quotes")
	case l.start != l.end:
		return nil, errors.New("more than one line")
	}
	return l.toks, nil
}
