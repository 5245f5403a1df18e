package fleetfile

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxOctets bounds a document: some 50,000 servers.
const maxOctets = 16 << 20

// Fault is what is wrong with a document, and on which line.
type Fault struct {
	Line  int // 0: the document as a whole
	Text  string
	Known []string // fields that there are, where one is unknown
	Field string   // the unknown one
}

func (f *Fault) Error() string {
	if f.Line == 0 {
		return f.Text
	}
	return fmt.Sprintf("line %d: %s", f.Line, f.Text)
}

// Read reads one document. Unknown fields, values of another type, things without
// a name and names that stand twice are errors, of type *Fault.
func Read(r io.Reader) (Document, error) {
	var doc Document
	text, err := io.ReadAll(io.LimitReader(r, maxOctets+1))
	if err != nil {
		return doc, err
	}
	if len(text) > maxOctets {
		return doc, &Fault{Text: fmt.Sprintf("it is longer than %d octets", maxOctets)}
	}
	dec := yaml.NewDecoder(strings.NewReader(string(text)))
	var root yaml.Node
	switch err := dec.Decode(&root); {
	case errors.Is(err, io.EOF):
		return doc, &Fault{Text: "it is empty"}
	case err != nil:
		return doc, &Fault{Text: strings.TrimPrefix(err.Error(), "yaml: ")}
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return doc, &Fault{Text: "there is a second document in it, or something that is not YAML"}
	}
	if err := check(root.Content[0], reflect.TypeFor[Document]()); err != nil {
		return doc, err
	}
	if err := root.Decode(&doc); err != nil {
		return doc, decodeFault(err)
	}
	if doc.Schema != Schema {
		return doc, &Fault{Text: fmt.Sprintf("schema is %q, and this program reads %q", doc.Schema, Schema)}
	}
	return doc, names(root.Content[0])
}

// decodeFault is what the decoder says of a value of another type.
func decodeFault(err error) error {
	var typed *yaml.TypeError
	if !errors.As(err, &typed) || len(typed.Errors) == 0 {
		return &Fault{Text: strings.TrimPrefix(err.Error(), "yaml: ")}
	}
	text := typed.Errors[0]
	var line int
	if n, _ := fmt.Sscanf(text, "line %d:", &line); n == 1 {
		_, text, _ = strings.Cut(text, ": ")
	}
	return &Fault{Line: line, Text: text}
}

// check finds fields that the type does not have, and what is no mapping or list
// where one is due. Aliases are refused: a document that a person reviews says
// everything in its place, and none can be larger than it looks.
func check(n *yaml.Node, t reflect.Type) error {
	if n.Kind == yaml.AliasNode {
		return &Fault{Line: n.Line, Text: "aliases (*name) are not taken: write it out"}
	}
	switch {
	case t.Kind() == reflect.Struct:
		if n.Kind != yaml.MappingNode {
			return &Fault{Line: n.Line, Text: "fields are wanted here, as NAME: VALUE"}
		}
		fields := fieldsOf(t)
		seen := map[string]bool{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, value := n.Content[i], n.Content[i+1]
			f, ok := fields[key.Value]
			if !ok {
				known := make([]string, 0, len(fields))
				for name := range fields {
					known = append(known, name)
				}
				slices.Sort(known)
				return &Fault{Line: key.Line, Text: fmt.Sprintf("unknown field %q", key.Value), Known: known, Field: key.Value}
			}
			if seen[key.Value] {
				return &Fault{Line: key.Line, Text: fmt.Sprintf("field %q stands twice", key.Value)}
			}
			seen[key.Value] = true
			if err := check(value, f); err != nil {
				return err
			}
		}
	case t.Kind() == reflect.Slice && n.Tag != "!!null":
		if n.Kind != yaml.SequenceNode {
			return &Fault{Line: n.Line, Text: "a list is wanted here, each element after a hyphen"}
		}
		for _, e := range n.Content {
			if err := check(e, t.Elem()); err != nil {
				return err
			}
		}
	}
	return nil
}

// fieldsOf is a struct's fields by their names in YAML.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	out := map[string]reflect.Type{}
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
		out[name] = t.Field(i).Type
	}
	return out
}

// names refuses things without a name, and two of one kind and name.
func names(root *yaml.Node) error {
	for i := 0; i+1 < len(root.Content); i += 2 {
		seen := map[string]int{}
		for _, e := range root.Content[i+1].Content {
			name := ""
			for j := 0; j+1 < len(e.Content); j += 2 {
				if e.Content[j].Value == "name" {
					name = e.Content[j+1].Value
				}
			}
			if name == "" {
				return &Fault{Line: e.Line, Text: fmt.Sprintf("an element of %s has no name", root.Content[i].Value)}
			}
			id := strings.ToLower(strings.TrimSuffix(name, "."))
			if first := seen[id]; first > 0 {
				return &Fault{Line: e.Line, Text: fmt.Sprintf("%s: %q stands on line %d already", root.Content[i].Value, name, first)}
			}
			seen[id] = e.Line
		}
	}
	return nil
}
