package render

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/pkg/twwidth"
	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"
	"go.yaml.in/yaml/v3"
)

// buffered runs write on a buffer over w and empties it at the end.
func buffered(w io.Writer, write func(io.Writer) error) error {
	b := bufio.NewWriterSize(w, 1<<16)
	if err := write(b); err != nil {
		_ = b.Flush() // what came before the error is still true
		return err
	}
	return b.Flush()
}

// gap is the space between two columns.
const gap = 2

// table is what will be drawn: a heading and an alignment for each column, and
// for each row a text and a style for each column.
type table[T any] struct {
	cols   []Column[T]
	head   []string
	align  []tw.Align
	body   [][]string
	styles [][]Style
}

// writeTable writes aligned columns. A table wider than the terminal loses its
// empty columns, then those that need room, and is cut in its widest ones; where
// that is not enough, each value gets a line of its own. With -o wide it is drawn
// as it is.
func (l List[T]) writeTable(o *Output, cols []Column[T], rows iter.Seq2[T, error]) error {
	t := table[T]{cols: cols, align: make([]tw.Align, len(cols))}
	err := each(rows, func(row T) error {
		line, style := cells(o, cols, row), make([]Style, len(cols))
		for i, c := range cols {
			if c.Style != nil {
				style[i] = c.Style(row)
			}
			switch v := deref(c.Value(row)); {
			case v != nil && !numeric(v):
				t.align[i] = tw.AlignLeft
			case v != nil && t.align[i] == "":
				t.align[i] = tw.AlignRight
			}
		}
		t.body, t.styles = append(t.body, line), append(t.styles, style)
		return nil
	})
	if err != nil {
		return err
	}
	if len(t.body) == 0 {
		if l.Nothing != "" {
			o.Say("%s", l.Nothing)
		}
		return nil
	}
	t.head = headings(cols, func(s string) string { return strings.ToUpper(strings.ReplaceAll(s, "_", " ")) })
	if o.Format != Wide && o.Width > 0 && !fit(o.Width, t.head, t.body) {
		narrow := t
		if len(o.Columns) == 0 {
			t = t.without(func(j int) bool {
				return !slices.ContainsFunc(t.body, func(line []string) bool { return line[j] != none })
			})
			narrow = t
			if !fit(o.Width, t.head, t.body) {
				narrow = t.without(func(j int) bool { return t.cols[j].Show == IfRoom })
			}
		}
		if !fit(o.Width, narrow.head, narrow.body) {
			return buffered(o.Out, func(w io.Writer) error { return stacked(o, w, t.cols, t.body, t.styles) })
		}
		t = narrow
	}
	for i, line := range t.body {
		for j := range line {
			line[j] = o.Paint(t.styles[i][j], line[j])
		}
	}
	for j := range t.head {
		t.head[j] = o.Paint(Strong, t.head[j])
	}
	return buffered(o.Out, func(w io.Writer) error { return aligned(w, o.NoHeaders, t.head, t.body, t.align) })
}

// without is a copy of the table that lacks some columns.
func (t table[T]) without(drop func(column int) bool) table[T] {
	out := table[T]{body: make([][]string, len(t.body)), styles: make([][]Style, len(t.styles))}
	for j := range t.cols {
		if drop(j) {
			continue
		}
		out.cols, out.head, out.align = append(out.cols, t.cols[j]), append(out.head, t.head[j]), append(out.align, t.align[j])
		for i := range t.body {
			out.body[i], out.styles[i] = append(out.body[i], t.body[i][j]), append(out.styles[i], t.styles[i][j])
		}
	}
	return out
}

// aligned draws a table without lines.
func aligned(w io.Writer, noHead bool, head []string, body [][]string, align []tw.Align) error {
	var out bytes.Buffer
	cell := tw.CellConfig{
		Formatting: tw.CellFormatting{AutoWrap: tw.WrapNone, AutoFormat: tw.Off},
		Padding:    tw.CellPadding{Global: tw.Padding{Right: strings.Repeat(" ", gap), Overwrite: true}},
		Alignment:  tw.CellAlignment{PerColumn: align},
	}
	t := tablewriter.NewTable(&out,
		tablewriter.WithConfig(tablewriter.Config{Header: cell, Row: cell}),
		tablewriter.WithRenderer(renderer.NewBlueprint(tw.Rendition{
			Borders:  tw.BorderNone,
			Settings: tw.Settings{Separators: tw.SeparatorsNone, Lines: tw.LinesNone},
		})))
	if !noHead {
		t.Header(head)
	}
	if err := t.Bulk(body); err != nil {
		return fmt.Errorf("draw table: %w", err)
	}
	if err := t.Render(); err != nil {
		return fmt.Errorf("draw table: %w", err)
	}
	for line := range strings.Lines(out.String()) {
		if _, err := fmt.Fprintln(w, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

// least is how narrow a cut column may get.
const least = 12

// fit cuts the widest columns until the table is no wider than width. False says
// that it cannot be: then nothing is cut.
func fit(width int, head []string, body [][]string) bool {
	widths := make([]int, len(head))
	total := -gap
	for j, h := range head {
		widths[j] = twwidth.Width(h)
		for _, line := range body {
			widths[j] = max(widths[j], twwidth.Width(line[j]))
		}
		total += widths[j] + gap
	}
	for total > width {
		widest := 0
		for j := range widths {
			if widths[j] > widths[widest] {
				widest = j
			}
		}
		if len(widths) == 0 || widths[widest] <= least {
			return false
		}
		widths[widest]--
		total--
	}
	for _, line := range body {
		for j := range line {
			line[j] = cut(line[j], widths[j])
		}
	}
	return true
}

// stacked writes each row as lines, a value each: for tables that a terminal is
// too narrow for.
func stacked[T any](o *Output, w io.Writer, cols []Column[T], body [][]string, styles [][]Style) error {
	for i, line := range body {
		if i > 0 {
			fmt.Fprintln(w)
		}
		if err := values(o, w, cols, line, styles[i]); err != nil {
			return err
		}
	}
	return nil
}

// values writes the values of one row, each on a line of its own behind its name.
func values[T any](o *Output, w io.Writer, cols []Column[T], line []string, styles []Style) error {
	width := 0
	for _, c := range cols {
		width = max(width, len(c.Name)+1)
	}
	for j, c := range cols {
		label := strings.ReplaceAll(c.Name, "_", " ") + ":"
		space := strings.Repeat(" ", width-len(label)+gap)
		if _, err := fmt.Fprintf(w, "%s%s%s\n", o.Paint(Faint, label), space, o.Paint(styles[j], line[j])); err != nil {
			return err
		}
	}
	return nil
}

// cut shortens text to a width, which "…" is part of.
func cut(text string, width int) string {
	if twwidth.Width(text) <= width {
		return text
	}
	return twwidth.Truncate(text, width, "…")
}

// wrap breaks text into lines no wider than width where it has spaces; all but
// the first are indented. A width of 0 is none.
func wrap(text string, width, indent int) string {
	if width <= 0 || twwidth.Width(text) <= width {
		return text
	}
	var b strings.Builder
	at := 0
	for i, word := range strings.SplitAfter(text, " ") {
		n := twwidth.Width(strings.TrimRight(word, " "))
		if i > 0 && n > 0 && at+n > width && at > indent {
			b.WriteString("\n" + strings.Repeat(" ", indent))
			at = indent
		}
		b.WriteString(word)
		at += twwidth.Width(word)
	}
	return trimmed(b.String())
}

// trimmed takes the spaces at the ends of lines away.
func trimmed(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}

// writeYAML writes a JSON value as YAML, fields in the same order. It is encoded
// first and written then, because the encoder makes mere text of a writer's error.
func writeYAML(w io.Writer, b []byte) error {
	var n yaml.Node
	if err := yaml.Unmarshal(b, &n); err != nil {
		return fmt.Errorf("encode YAML: %w", err)
	}
	block(&n)
	var text bytes.Buffer
	e := yaml.NewEncoder(&text)
	e.SetIndent(2)
	if err := e.Encode(&n); err != nil {
		return fmt.Errorf("encode YAML: %w", err)
	}
	if err := e.Close(); err != nil {
		return fmt.Errorf("encode YAML: %w", err)
	}
	_, err := w.Write(text.Bytes())
	return err
}

// block turns JSON's style into YAML's own. Only plain words lose their quotes:
// YAML 1.1 readers take yes, on and 1e3 for something else than a string.
func block(n *yaml.Node) {
	if n.Kind != yaml.ScalarNode && len(n.Content) > 0 {
		n.Style = 0
	}
	if n.Kind == yaml.ScalarNode && n.Tag == "!!str" && plainYAML(n.Value) {
		n.Style = 0
	}
	for _, c := range n.Content {
		block(c)
	}
}

func plainYAML(s string) bool {
	if s == "" || !(s[0] >= 'a' && s[0] <= 'z' || s[0] >= 'A' && s[0] <= 'Z') {
		return false
	}
	for _, c := range []byte(s) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '-' || c == '_' || c == '/') {
			return false
		}
	}
	switch strings.ToLower(s) {
	case "y", "n", "yes", "no", "on", "off", "true", "false", "null":
		return false
	}
	return true
}
