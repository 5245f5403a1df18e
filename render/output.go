// Package render puts results on standard output in the format that was asked
// for, and what a person watches (progress, questions) on standard error.
//
// On a terminal lists are aligned tables with relative times; elsewhere the
// same table is tab-separated, whole, with RFC 3339 times, so that scripts read
// it.
package render

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// Format is a format of data.
type Format string

// The formats.
const (
	Table Format = "table" // aligned on a terminal, tab-separated elsewhere
	Wide  Format = "wide"  // table with all columns
	JSON  Format = "json"
	JSONL Format = "jsonl" // one JSON object per line
	YAML  Format = "yaml"
	CSV   Format = "csv"
	Name  Format = "name" // names only, one per line
)

// Formats lists them as the documentation does.
var Formats = []Format{Table, Wide, JSON, JSONL, YAML, CSV, Name}

// Machine says whether programs read the format.
func (f Format) Machine() bool { return f == JSON || f == JSONL || f == YAML || f == CSV }

// Output is where results go and how they look.
type Output struct {
	Out, Err io.Writer
	In       io.Reader
	Format   Format
	Columns  []string // the columns asked for, in that order; nil for the usual ones

	NoHeaders bool
	Quiet     bool // no progress

	Terminal    bool // Out is one
	ErrTerminal bool // Err is one
	InTerminal  bool // In is one, so that questions can be answered
	Redraws     bool // Err is one whose last line can be written again
	Color       bool // on Out
	ErrColor    bool // on Err
	Width       int  // of the terminal in columns; 0 where there is none

	Now func() time.Time

	lines *bufio.Reader // of In, kept between questions
}

// Detect makes an Output for these streams: whether they are terminals, and
// whether color is wanted. color is auto, always or never; getenv gives NO_COLOR
// (no-color.org), CLICOLOR_FORCE (bixense.com/clicolors) and TERM.
func Detect(in io.Reader, out, err io.Writer, color string, getenv func(string) string) *Output {
	o := &Output{In: in, Out: out, Err: err, Format: Table, Now: time.Now}
	o.InTerminal, _ = terminal(in)
	o.Terminal, o.Width = terminal(out)
	o.ErrTerminal, _ = terminal(err)
	wanted := func(tty bool) bool {
		switch {
		case color == "always":
			return true
		case color == "never" || getenv("NO_COLOR") != "":
			return false
		case getenv("CLICOLOR_FORCE") != "" && getenv("CLICOLOR_FORCE") != "0":
			return true
		}
		return tty && getenv("TERM") != "dumb"
	}
	o.Color, o.ErrColor = wanted(o.Terminal), wanted(o.ErrTerminal)
	o.Redraws = o.ErrTerminal && getenv("TERM") != "dumb"
	return o
}

func terminal(stream any) (bool, int) {
	f, ok := stream.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return false, 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return true, 0
	}
	return true, width
}

// Style is what color says in addition to the words.
type Style int

// The styles.
const (
	Plain Style = iota
	Good
	Warning
	Bad
	Faint
	Strong
)

// escapes of ECMA-48 section 8.3.117, of those colors that are readable on light
// and on dark: yellow is not.
var escapes = map[Style]string{Good: "32", Warning: "35", Bad: "31", Faint: "2", Strong: "1"}

// paint wraps text in a style.
func paint(on bool, s Style, text string) string {
	if !on || s == Plain || text == "" {
		return text
	}
	return "\x1b[" + escapes[s] + "m" + text + "\x1b[0m"
}

// Paint is text in a style on standard output.
func (o *Output) Paint(s Style, text string) string { return paint(o.Color, s, text) }

// PaintErr is text in a style on standard error.
func (o *Output) PaintErr(s Style, text string) string { return paint(o.ErrColor, s, text) }

// Say writes a line for people to standard error, unless Quiet.
func (o *Output) Say(format string, args ...any) {
	if !o.Quiet {
		fmt.Fprintln(o.Err, Clean(fmt.Sprintf(format, args...)))
	}
}

// Clean makes text from outside fit for one line of a terminal or a table:
// control characters are shown as escapes.
func Clean(s string) string {
	if !strings.ContainsFunc(s, unfit) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case unfit(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// unfit says whether a rune is a control character or turns the direction of
// writing, which could make a line read as another.
func unfit(r rune) bool {
	return r < ' ' || r == 0x7f || (r >= 0x80 && r < 0xa0) || (r >= 0x202a && r <= 0x202e) || (r >= 0x2066 && r <= 0x2069)
}
