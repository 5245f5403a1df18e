package render

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"

	"dnsctl/report"
)

// Show says where a column is seen.
type Show int

// The places.
const (
	Always   Show = iota
	IfRoom        // as Always, but a terminal that is too narrow lacks it
	WideOnly      // tables show it with -o wide or by --columns
	DataOnly      // json, jsonl and yaml only, or by --columns
)

// Column is one value of each row. Name is its JSON field; its heading is the
// same in capitals.
type Column[T any] struct {
	Name  string
	Value func(T) any
	Show  Show
	Style func(T) Style // nil: plain
}

// List says how rows of one kind are shown. The first column is what names a
// row; -o name prints only that.
type List[T any] struct {
	Columns []Column[T]
	Nothing string // said to a person when there are no rows
}

// Rows makes a sequence of a slice.
func Rows[T any](rows []T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, r := range rows {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// pick is the columns to show.
func (l List[T]) pick(o *Output) ([]Column[T], error) {
	if len(o.Columns) == 0 {
		var out []Column[T]
		for _, c := range l.Columns {
			text := o.Format == Table || o.Format == CSV || o.Format == Wide
			if text && c.Show == DataOnly || o.Format == Table && c.Show == WideOnly {
				continue
			}
			out = append(out, c)
		}
		return out, nil
	}
	var out []Column[T]
	for _, name := range o.Columns {
		i := slices.IndexFunc(l.Columns, func(c Column[T]) bool { return strings.EqualFold(c.Name, strings.ReplaceAll(name, "-", "_")) })
		if i < 0 {
			return nil, report.Fail(report.ExitUsage, fmt.Errorf("there is no column %q", name), "the columns are "+strings.Join(l.Names(), ", "))
		}
		out = append(out, l.Columns[i])
	}
	return out, nil
}

// Names lists the columns.
func (l List[T]) Names() []string {
	names := make([]string, len(l.Columns))
	for i, c := range l.Columns {
		names[i] = c.Name
	}
	return names
}

// Check says whether the columns asked for exist, before work is done for them.
func (l List[T]) Check(o *Output) error {
	_, err := l.pick(o)
	return err
}

// Write shows the rows. All formats but the aligned table are written as the
// rows come.
func (l List[T]) Write(o *Output, rows iter.Seq2[T, error]) error {
	cols, err := l.pick(o)
	if err != nil {
		return err
	}
	switch o.Format {
	case JSON:
		return l.writeJSON(o, cols, rows)
	case YAML:
		var b bytes.Buffer
		j := *o
		j.Out = &b
		if err := l.writeJSON(&j, cols, rows); err != nil {
			return err
		}
		return writeYAML(o.Out, b.Bytes())
	case JSONL:
		return buffered(o.Out, func(w io.Writer) error {
			return each(rows, func(row T) error {
				b, err := object(cols, row)
				if err != nil {
					return err
				}
				_, err = w.Write(append(b, '\n'))
				return err
			})
		})
	case CSV:
		return l.writeCSV(o, cols, rows)
	case Name:
		return buffered(o.Out, func(w io.Writer) error {
			return each(rows, func(row T) error {
				_, err := fmt.Fprintln(w, o.text(l.Columns[0].Value(row)))
				return err
			})
		})
	}
	if o.Terminal {
		return l.writeTable(o, cols, rows)
	}
	return l.writeTSV(o, cols, rows)
}

// One shows a single row: a JSON object, or each column on a line of its own.
func (l List[T]) One(o *Output, row T) error {
	if o.Format == CSV || o.Format == Name || o.Format == JSONL {
		return l.Write(o, Rows([]T{row}))
	}
	all := *o
	if o.Format == Table {
		all.Format = Wide // one thing is shown whole
	}
	cols, err := l.pick(&all)
	if err != nil {
		return err
	}
	switch o.Format {
	case JSON, YAML:
		b, err := object(cols, row)
		if err != nil {
			return err
		}
		return o.raw(b)
	}
	return buffered(o.Out, func(w io.Writer) error {
		line, styles := cells(o, cols, row), make([]Style, len(cols))
		for i, c := range cols {
			if c.Style != nil {
				styles[i] = c.Style(row)
			}
		}
		if o.Terminal {
			return values(o, w, cols, line, styles)
		}
		for i, c := range cols {
			if _, err := fmt.Fprintf(w, "%s\t%s\n", c.Name, line[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

// Result shows what a command made of one thing: an object in json and yaml, a
// list of one row elsewhere.
func (l List[T]) Result(o *Output, row T) error {
	if o.Format == JSON || o.Format == YAML {
		return l.One(o, row)
	}
	return l.Write(o, Rows([]T{row}))
}

// Data shows a value that has its own JSON form, in json, jsonl or yaml.
func (o *Output) Data(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode JSON: %w", err)
	}
	return o.raw(b)
}

// raw writes one JSON value in the output's format.
func (o *Output) raw(b []byte) error {
	switch o.Format {
	case YAML:
		return writeYAML(o.Out, b)
	case JSONL:
		_, err := o.Out.Write(append(b, '\n'))
		return err
	}
	var out bytes.Buffer
	if err := json.Indent(&out, b, "", "  "); err != nil {
		return err
	}
	out.WriteByte('\n')
	_, err := o.Out.Write(out.Bytes())
	return err
}

func each[T any](rows iter.Seq2[T, error], do func(T) error) error {
	for row, err := range rows {
		if err != nil {
			return err
		}
		if err := do(row); err != nil {
			return err
		}
	}
	return nil
}

// object is a row as a JSON object, its fields in the order of the columns.
func object[T any](cols []Column[T], row T) ([]byte, error) {
	b := []byte{'{'}
	for i, c := range cols {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '"')
		b = append(b, c.Name...)
		b = append(b, '"', ':')
		v, err := marshal(data(c.Value(row)))
		if err != nil {
			return nil, fmt.Errorf("encode field %s: %w", c.Name, err)
		}
		b = append(b, v...)
	}
	return append(b, '}'), nil
}

// marshal is JSON without the escapes meant for HTML.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

func (l List[T]) writeJSON(o *Output, cols []Column[T], rows iter.Seq2[T, error]) error {
	return buffered(o.Out, func(w io.Writer) error {
		first := true
		if _, err := io.WriteString(w, "["); err != nil {
			return err
		}
		err := each(rows, func(row T) error {
			b, err := object(cols, row)
			if err != nil {
				return err
			}
			lead := ",\n  "
			if first {
				lead, first = "\n  ", false
			}
			_, err = fmt.Fprintf(w, "%s%s", lead, b)
			return err
		})
		if err != nil {
			return err
		}
		tail := "\n]\n"
		if first {
			tail = "]\n"
		}
		_, err = io.WriteString(w, tail)
		return err
	})
}

func (l List[T]) writeCSV(o *Output, cols []Column[T], rows iter.Seq2[T, error]) error {
	return buffered(o.Out, func(w io.Writer) error {
		cw := csv.NewWriter(w)
		if !o.NoHeaders {
			if err := cw.Write(headings(cols, func(s string) string { return s })); err != nil {
				return err
			}
		}
		if err := each(rows, func(row T) error { return cw.Write(cells(o, cols, row)) }); err != nil {
			return err
		}
		cw.Flush()
		return cw.Error()
	})
}

func (l List[T]) writeTSV(o *Output, cols []Column[T], rows iter.Seq2[T, error]) error {
	return buffered(o.Out, func(w io.Writer) error {
		if !o.NoHeaders {
			if _, err := fmt.Fprintln(w, strings.Join(headings(cols, strings.ToUpper), "\t")); err != nil {
				return err
			}
		}
		return each(rows, func(row T) error {
			_, err := fmt.Fprintln(w, strings.Join(cells(o, cols, row), "\t"))
			return err
		})
	})
}

func headings[T any](cols []Column[T], form func(string) string) []string {
	out := make([]string, len(cols))
	for i, c := range cols {
		out[i] = form(c.Name)
	}
	return out
}

func cells[T any](o *Output, cols []Column[T], row T) []string {
	out := make([]string, len(cols))
	for i, c := range cols {
		out[i] = o.text(c.Value(row))
	}
	return out
}
