// Package jsonschema reads the subset of JSON Schema (draft 2020-12) that
// docs/schema is written in, and holds values against it. A keyword that it does
// not know is an error, so that no schema says more than is checked.
package jsonschema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// Schema is a schema. The zero value of a field means that it is not said.
type Schema struct {
	URI         string     `json:"$schema"`
	Title       string     `json:"title"`
	Description string     `json:"description"`
	Defs        Properties `json:"$defs"`
	Ref         string     `json:"$ref"` // #/$defs/NAME only
	AllOf       []*Schema  `json:"allOf"`
	Type        Types      `json:"type"`
	Format      string     `json:"format"` // date-time, in UTC
	Enum        []string   `json:"enum"`
	Minimum     *float64   `json:"minimum"`
	Maximum     *float64   `json:"maximum"`
	Properties  Properties `json:"properties"`
	Required    []string   `json:"required"`
	Additional  *Schema    `json:"additionalProperties"` // of objects that are maps
	Items       *Schema    `json:"items"`

	// Line is an annotation of ours: what a line of -o jsonl is, where it is not the
	// value itself or an element of it.
	Line *Schema `json:"x-jsonl"`
	// Text is an annotation of ours: what the command prints instead of JSON.
	Text string `json:"x-text"`
}

// Property is a named schema.
type Property struct {
	Name   string
	Schema *Schema
}

// Properties are in the order of the file.
type Properties []Property

// Get is the schema of that name, or nil.
func (p Properties) Get(name string) *Schema {
	for _, q := range p {
		if q.Name == name {
			return q.Schema
		}
	}
	return nil
}

// UnmarshalJSON keeps the order, and refuses a name that is there twice.
func (p *Properties) UnmarshalJSON(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return fmt.Errorf("want an object of schemas, not %s", b)
	}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return err
		}
		name, _ := t.(string) // keys are strings
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return err
		}
		s := &Schema{}
		if err := strictly(raw, s); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if p.Get(name) != nil {
			return fmt.Errorf("%s is there twice", name)
		}
		*p = append(*p, Property{name, s})
	}
	return nil
}

// Types is one type or several.
type Types []string

// UnmarshalJSON reads a word or a list of words.
func (t *Types) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*t = Types{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(t))
}

func strictly(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	return d.Decode(v)
}

// Parse reads a schema and checks that what it refers to is there.
func Parse(b []byte) (*Schema, error) {
	s := &Schema{}
	if err := strictly(b, s); err != nil {
		return nil, fmt.Errorf("read schema: %w", err)
	}
	return s, s.check(s, "")
}

func (s *Schema) check(root *Schema, at string) error {
	if s.Ref != "" && root.Resolve(s) == s {
		return fmt.Errorf("%s: there is no %s", at, s.Ref)
	}
	var errs []error
	for _, list := range []Properties{s.Defs, s.Properties} {
		for _, p := range list {
			errs = append(errs, p.Schema.check(root, at+"/"+p.Name))
		}
	}
	for _, one := range append([]*Schema{s.Additional, s.Items, s.Line}, s.AllOf...) {
		if one != nil {
			errs = append(errs, one.check(root, at))
		}
	}
	for _, r := range s.Required {
		if s.Properties.Get(r) == nil {
			errs = append(errs, fmt.Errorf("%s: %s is required and not described", at, r))
		}
	}
	if slices.Contains(s.Type, "array") && s.Items == nil {
		errs = append(errs, fmt.Errorf("%s: an array of what?", at))
	}
	for _, t := range s.Type {
		if !slices.Contains([]string{"object", "array", "string", "integer", "number", "boolean", "null"}, t) {
			errs = append(errs, fmt.Errorf("%s: there is no type %q", at, t))
		}
	}
	return errors.Join(errs...)
}

// RefName is the name in Ref.
func (s *Schema) RefName() string { return strings.TrimPrefix(s.Ref, "#/$defs/") }

// Resolve follows a reference of part, which is a part of s; a schema without
// one is its own.
func (s *Schema) Resolve(part *Schema) *Schema {
	for part.Ref != "" {
		to := s.Defs.Get(part.RefName())
		if to == nil {
			break
		}
		part = to
	}
	return part
}

// Object is the properties of an object, those of allOf first, and which of them
// are required.
func (s *Schema) Object(part *Schema) (props Properties, required []string) {
	part = s.Resolve(part)
	for _, base := range part.AllOf {
		p, r := s.Object(base)
		props, required = append(props, p...), append(required, r...)
	}
	return append(props, part.Properties...), append(required, part.Required...)
}

// Check holds a JSON document against a part of s. Fields that are not
// described are faults. With partial, none is required, as with --columns.
func (s *Schema) Check(part *Schema, document []byte, partial bool) error {
	d := json.NewDecoder(bytes.NewReader(document))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return fmt.Errorf("this is no JSON: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is more than one JSON document")
	}
	return s.value(part, v, "$", partial)
}

func (s *Schema) value(part *Schema, v any, at string, partial bool) error {
	part = s.Resolve(part)
	props, required := s.Object(part)
	types := part.Type
	for _, base := range part.AllOf {
		if len(types) == 0 {
			types = s.Resolve(base).Type
		}
	}
	kind := kindOf(v)
	if !slices.Contains(types, kind) && (kind != "integer" || !slices.Contains(types, "number")) {
		return fmt.Errorf("%s: %s is not %s", at, kind, strings.Join(types, " or "))
	}
	var errs []error
	switch x := v.(type) {
	case string:
		if len(part.Enum) > 0 && !slices.Contains(part.Enum, x) {
			errs = append(errs, fmt.Errorf("%s: %q is not one of %s", at, x, strings.Join(part.Enum, ", ")))
		}
		if part.Format == "date-time" {
			if _, err := time.Parse(time.RFC3339, x); err != nil || !strings.HasSuffix(x, "Z") {
				errs = append(errs, fmt.Errorf("%s: %q is no time in UTC", at, x))
			}
		}
	case json.Number:
		n, err := x.Float64()
		if err != nil || part.Minimum != nil && n < *part.Minimum || part.Maximum != nil && n > *part.Maximum {
			errs = append(errs, fmt.Errorf("%s: %s is out of range", at, x))
		}
	case []any:
		for i, e := range x {
			errs = append(errs, s.value(part.Items, e, fmt.Sprintf("%s[%d]", at, i), partial))
		}
	case map[string]any:
		for _, r := range required {
			if _, ok := x[r]; !ok && !partial {
				errs = append(errs, fmt.Errorf("%s: %s is missing", at, r))
			}
		}
		for _, k := range slices.Sorted(maps.Keys(x)) {
			field := props.Get(k)
			if field == nil {
				field = part.Additional
			}
			if field == nil {
				errs = append(errs, fmt.Errorf("%s: %s is not described", at, k))
				continue
			}
			errs = append(errs, s.value(field, x[k], at+"."+k, partial))
		}
	}
	return errors.Join(errs...)
}

func kindOf(v any) string {
	switch x := v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case json.Number:
		if n, err := x.Float64(); err == nil && n == math.Trunc(n) && !strings.ContainsAny(x.String(), ".eE") {
			return "integer"
		}
		return "number"
	case []any:
		return "array"
	}
	return "object"
}
