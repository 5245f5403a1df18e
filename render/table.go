package render

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"iter"
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

// writeTable writes aligned columns. A table wider than the terminal is cut in
// its widest columns, unless -o wide was asked for.
func (l List[T]) writeTable(o *Output, cols []Column[T], rows iter.Seq2[T, error]) error {
	var body [][]string
	var styles [][]Style
	align := make([]tw.Align, len(cols))
	for i := range align {
		align[i] = tw.AlignRight
	}
	err := each(rows, func(row T) error {
		line, style := cells(o, cols, row), make([]Style, len(cols))
		for i, c := range cols {
			if c.Style != nil {
				style[i] = c.Style(row)
			}
			if v := deref(c.Value(row)); v != nil && !numeric(v) {
				align[i] = tw.AlignLeft
			}
		}
		body, styles = append(body, line), append(styles, style)
		return nil
	})
	if err != nil {
		return err
	}
	if len(body) == 0 {
		if l.Nothing != "" {
			o.Say("%s", l.Nothing)
		}
		return nil
	}
	head := headings(cols, func(s string) string { return strings.ToUpper(strings.ReplaceAll(s, "_", " ")) })
	if o.Format != Wide && o.Width > 0 {
		fit(o.Width, head, body)
	}
	for i, line := range body {
		for j := range line {
			line[j] = o.Paint(styles[i][j], line[j])
		}
	}
	for j := range head {
		head[j] = o.Paint(Strong, head[j])
	}
	return buffered(o.Out, func(w io.Writer) error { return aligned(w, o.NoHeaders, head, body, align) })
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

// fit cuts the widest columns until the table is no wider than width.
func fit(width int, head []string, body [][]string) {
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
			break
		}
		widths[widest]--
		total--
	}
	for _, line := range body {
		for j := range line {
			if twwidth.Width(line[j]) > widths[j] {
				line[j] = twwidth.Truncate(line[j], widths[j], "…")
			}
		}
	}
}

// writeYAML writes a JSON value as YAML, fields in the same order.
func writeYAML(w io.Writer, b []byte) error {
	var n yaml.Node
	if err := yaml.Unmarshal(b, &n); err != nil {
		return fmt.Errorf("encode YAML: %w", err)
	}
	block(&n)
	e := yaml.NewEncoder(w)
	e.SetIndent(2)
	if err := e.Encode(&n); err != nil {
		return fmt.Errorf("encode YAML: %w", err)
	}
	return e.Close()
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
