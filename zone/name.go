package zone

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// Name is an absolute domain name in uncompressed wire form (RFC 1035 section
// 3.1): length-prefixed labels with the root's zero octet at the end, in the
// letter case it was given. The root is "\x00"; the empty string is no name.
//
// Names are compared without regard to ASCII case (RFC 4343): use Equal, or
// compare Keys.
type Name string

// Root is the name of the root zone.
const Root Name = "\x00"

// Limits of RFC 1035 section 2.3.4, in octets of wire form.
const (
	MaxLabel = 63
	MaxName  = 255
)

// Errors of ParseName and UnpackName, wrapped with the text they are about.
var (
	ErrEmptyName  = errors.New("empty name")
	ErrEmptyLabel = errors.New("empty label")
	ErrLongLabel  = errors.New("label of more than 63 octets")
	ErrLongName   = errors.New("name of more than 255 octets")
	ErrEscape     = errors.New(`bad escape: want \DDD with 000 to 255, or \ before one character`)
	ErrBadWire    = errors.New("malformed wire-form name")
)

// ParseName reads a name in presentation form (RFC 1035 section 5.1: \DDD and
// \X escapes). A missing final dot is supplied: the result is always absolute.
func ParseName(text string) (Name, error) {
	n, _, err := ParseRelative(text, Root)
	return n, err
}

// MustParseName is ParseName for constants; it panics on an error.
func MustParseName(text string) Name {
	n, err := ParseName(text)
	if err != nil {
		panic(err)
	}
	return n
}

// ParseRelative reads a name in presentation form that is relative to origin
// unless it ends in an unescaped dot; "@" is the origin itself. It reports
// whether the text was absolute.
func ParseRelative(text string, origin Name) (n Name, absolute bool, err error) {
	switch text {
	case "":
		return "", false, ErrEmptyName
	case "@":
		return origin, false, nil
	case ".":
		return Root, true, nil
	}
	var buf [MaxName + MaxLabel + 2]byte
	start, at := 0, 1 // buf[start] is the current label's length octet
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch c {
		case '.':
			if at-start-1 == 0 {
				return "", false, fmt.Errorf("name %q: %w", text, ErrEmptyLabel)
			}
			buf[start] = byte(at - start - 1)
			start = at
			at++
			if at > MaxName+1 {
				return "", false, fmt.Errorf("name %q: %w", clip(text), ErrLongName)
			}
			continue
		case '\\':
			d, used, ok := unescape(text[i+1:])
			if !ok {
				return "", false, fmt.Errorf("name %q: %w", clip(text), ErrEscape)
			}
			c = d
			i += used
		}
		if at-start > MaxLabel {
			return "", false, fmt.Errorf("name %q: %w", clip(text), ErrLongLabel)
		}
		if at >= MaxName {
			return "", false, fmt.Errorf("name %q: %w", clip(text), ErrLongName)
		}
		buf[at] = c
		at++
	}
	if at-start == 1 { // ended in a dot
		buf[start] = 0
		if at > MaxName {
			return "", false, fmt.Errorf("name %q: %w", clip(text), ErrLongName)
		}
		return Name(buf[:at]), true, nil
	}
	buf[start] = byte(at - start - 1)
	if at+len(origin) > MaxName {
		return "", false, fmt.Errorf("name %q under %s: %w", clip(text), origin, ErrLongName)
	}
	return Name(buf[:at]) + origin, false, nil
}

// unescape reads what follows a backslash: three digits, or one character.
func unescape(s string) (c byte, used int, ok bool) {
	if s == "" {
		return 0, 0, false
	}
	if !isDigit(s[0]) {
		return s[0], 1, true
	}
	if len(s) < 3 || !isDigit(s[1]) || !isDigit(s[2]) {
		return 0, 0, false
	}
	v := int(s[0]-'0')*100 + int(s[1]-'0')*10 + int(s[2]-'0')
	return byte(v), 3, v <= 255
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func clip(s string) string {
	if len(s) > 80 {
		return s[:77] + "..."
	}
	return s
}

// UnpackName reads one uncompressed wire-form name from the start of b and
// returns it with its length in octets. Compression pointers are an error.
func UnpackName(b []byte) (Name, int, error) {
	for i := 0; i < len(b) && i < MaxName; {
		l := int(b[i])
		if l == 0 {
			return Name(b[:i+1]), i + 1, nil
		}
		if l > MaxLabel {
			return "", 0, ErrBadWire
		}
		i += l + 1
	}
	return "", 0, ErrBadWire
}

// Valid says whether n is exactly one well-formed wire-form name.
func (n Name) Valid() bool {
	_, l, err := UnpackName([]byte(n))
	return err == nil && l == len(n)
}

// String is the presentation form with a final dot. Special characters are
// escaped as \X, octets that are not printable ASCII as \DDD.
func (n Name) String() string {
	if n == Root {
		return "."
	}
	var b strings.Builder
	b.Grow(len(n) + 8)
	for i := 0; i < len(n) && n[i] != 0; {
		end := i + 1 + int(n[i])
		if end > len(n) {
			return "<bad name>"
		}
		AppendLabelText(&b, string(n[i+1:end]))
		b.WriteByte('.')
		i = end
	}
	return b.String()
}

// Format writes the presentation form. With %q it stands in quotes as it is:
// quotes in a name are escaped in it already, and a backslash is not doubled.
func (n Name) Format(f fmt.State, verb rune) {
	switch verb {
	case 'q':
		_, _ = io.WriteString(f, `"`+n.String()+`"`)
	case 's', 'v':
		fmt.Fprintf(f, fmt.FormatString(f, 's'), n.String())
	default:
		fmt.Fprintf(f, fmt.FormatString(f, verb), string(n))
	}
}

// AppendLabelText writes one label in presentation form to b.
func AppendLabelText(b *strings.Builder, label string) {
	for i := 0; i < len(label); i++ {
		switch c := label[i]; {
		case c == '.' || c == '\\' || c == '"' || c == ';' || c == '(' || c == ')' || c == '@' || c == '$':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c <= ' ' || c >= 0x7f:
			b.Write([]byte{'\\', '0' + c/100, '0' + c/10%10, '0' + c%10})
		default:
			b.WriteByte(c)
		}
	}
}

// Lower is n with ASCII letters in lower case.
func (n Name) Lower() Name {
	for i := 0; i < len(n); i++ {
		if c := n[i]; c >= 'A' && c <= 'Z' {
			b := []byte(n)
			for j := i; j < len(b); j++ {
				b[j] = lower(b[j])
			}
			return Name(b)
		}
	}
	return n
}

// lower also leaves length octets alone: they are at most 63, below 'A'.
func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + ('a' - 'A')
	}
	return c
}

// Equal compares without regard to ASCII case.
func (n Name) Equal(m Name) bool {
	if len(n) != len(m) {
		return false
	}
	for i := 0; i < len(n); i++ {
		if lower(n[i]) != lower(m[i]) {
			return false
		}
	}
	return true
}

// Labels counts the labels, the root's empty one not included.
func (n Name) Labels() int {
	c := 0
	for i := 0; i < len(n) && n[i] != 0; i += int(n[i]) + 1 {
		c++
	}
	return c
}

// First is the leftmost label; empty for the root.
func (n Name) First() string {
	if n == "" || n[0] == 0 {
		return ""
	}
	return string(n[1 : 1+int(n[0])])
}

// Parent is n without its leftmost label; the root is its own parent.
func (n Name) Parent() Name {
	if n == "" || n[0] == 0 {
		return n
	}
	return n[1+int(n[0]):]
}

// Under says whether n is apex or lies below it.
func (n Name) Under(apex Name) bool {
	d := len(n) - len(apex)
	if d < 0 {
		return false
	}
	i := 0
	for i < d {
		i += int(n[i]) + 1
	}
	return i == d && n[d:].Equal(apex)
}

// IsWildcard says whether the leftmost label is "*" (RFC 4592).
func (n Name) IsWildcard() bool { return len(n) > 2 && n[0] == 1 && n[1] == '*' }

// Prepend puts one label, given as its octets, before n.
func (n Name) Prepend(label string) (Name, error) {
	if label == "" {
		return "", ErrEmptyLabel
	}
	if len(label) > MaxLabel {
		return "", ErrLongLabel
	}
	if len(label)+1+len(n) > MaxName {
		return "", ErrLongName
	}
	return Name(string(byte(len(label)))+label) + n, nil
}
