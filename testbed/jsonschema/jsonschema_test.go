package jsonschema

import (
	"strings"
	"testing"
)

const small = `{
  "$defs": {
    "base": {"type": "object", "required": ["name"], "properties": {
      "name": {"type": "string"}, "at": {"type": ["string", "null"], "format": "date-time"}}},
    "more": {"allOf": [{"$ref": "#/$defs/base"}], "required": ["n"], "properties": {
      "n": {"type": "integer", "minimum": 0}, "kind": {"type": "string", "enum": ["a", "b"]}}},
    "counts": {"type": "object", "additionalProperties": {"type": "integer"}}
  },
  "properties": {
    "list": {"type": "array", "items": {"$ref": "#/$defs/more"}},
    "counts": {"$ref": "#/$defs/counts"}
  }
}`

func TestCheck(t *testing.T) {
	t.Parallel()
	root, err := Parse([]byte(small))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ command, document, fault string }{
		{"list", `[]`, ""},
		{"list", `[{"name":"x","n":1,"kind":"a","at":"2026-01-02T03:04:05Z"},{"name":"y","n":0,"at":null}]`, ""},
		{"list", `{}`, "object is not array"},
		{"list", `[] []`, "more than one"},
		{"list", `[`, "no JSON"},
		{"list", `[{"n":1}]`, "$[0]: name is missing"},
		{"list", `[{"name":"x"}]`, "n is missing"},
		{"list", `[{"name":null,"n":1}]`, "$[0].name: null is not string"},
		{"list", `[{"name":"x","n":1.5}]`, "number is not integer"},
		{"list", `[{"name":"x","n":-1}]`, "out of range"},
		{"list", `[{"name":"x","n":1,"kind":"c"}]`, `"c" is not one of a, b`},
		{"list", `[{"name":"x","n":1,"extra":true}]`, "extra is not described"},
		{"list", `[{"name":"x","n":1,"at":"2026-01-02T03:04:05+01:00"}]`, "no time in UTC"},
		{"counts", `{"ok":1}`, ""},
		{"counts", `{"ok":"1"}`, "string is not integer"},
	} {
		err := root.Check(root.Properties.Get(test.command), []byte(test.document), false)
		if (err == nil) != (test.fault == "") || err != nil && !strings.Contains(err.Error(), test.fault) {
			t.Errorf("%s: %v, want %q", test.document, err, test.fault)
		}
	}
	if err := root.Check(root.Properties.Get("list"), []byte(`[{"n":1}]`), true); err != nil {
		t.Errorf("partial: %v", err)
	}
}

func TestWhatIsNotCheckedIsNotSaid(t *testing.T) {
	t.Parallel()
	for text, fault := range map[string]string{
		`{"type":"object","maxProperties":1}`:                     "maxProperties",
		`{"properties":{"a":{"pattern":"x"}}}`:                    "pattern",
		`{"properties":{"a":{"$ref":"#/$defs/b"}}}`:               "there is no #/$defs/b",
		`{"properties":{"a":{},"a":{}}}`:                          "twice",
		`{"type":"text"}`:                                         "no type",
		`{"required":["a"]}`:                                      "a is required and not described",
		`{"$defs":{"a":{"type":"array","items":{"type":"int"}}}}`: "no type",
	} {
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), fault) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
