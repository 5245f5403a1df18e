package main

import (
	"fmt"
	"slices"
	"strings"

	"dnsctl/testbed/jsonschema"
)

const outputHead = "# The output of commands\n\n" +
	"This page is made by `make docs` from [schema/dnsctl-v1.json](schema/dnsctl-v1.json), a JSON Schema (draft 2020-12),\n" +
	"whose `properties` are the commands. The end-to-end tests hold everything that dnsctl prints against it.\n\n" +
	"`-o json` prints one document and `-o yaml` the same as YAML. `-o jsonl` prints a line for each element of a list, and\n" +
	"one line for an object. `-o table`, `wide` and `csv` have the same fields as columns, as far as they fit on a line, and\n" +
	"`-o name` prints the first. `--columns` chooses fields. Fields are only ever added: a program should pass over those\n" +
	"that it does not know.\n\n" +
	"Times are RFC 3339 in UTC, lengths of time and TTLs are whole seconds, sizes are octets. Names of zones, owners and keys\n" +
	"end in a dot and are in their ASCII form. Lists are `[]` when they are empty, never null.\n\n" +
	"With `-o json` and `jsonl`, errors and warnings are objects on standard error, one per line: [error](#error),\n" +
	"[warning](#warning).\n"

// outputPage documents what every command prints, from the schema.
func outputPage(schema *jsonschema.Schema) []byte {
	var b strings.Builder
	b.WriteString(outputHead)
	b.WriteString("\n## Commands\n\n| command | prints |\n|---|---|\n")
	for _, p := range schema.Properties {
		fmt.Fprintf(&b, "| `dnsctl %s` | %s |\n", p.Name, prints(p.Schema))
	}
	b.WriteString("\n## Objects\n")
	for _, p := range schema.Defs {
		if props, _ := schema.Object(p.Schema); len(props) > 0 {
			object(&b, schema, p)
		}
	}
	return []byte(b.String())
}

// prints says what a command's output is as a whole.
func prints(s *jsonschema.Schema) string {
	switch {
	case s.Text != "":
		return s.Text + ", whatever `-o` says"
	case s.Items != nil:
		return "a list of " + link(s.Items)
	}
	return "an object: " + link(s)
}

func link(s *jsonschema.Schema) string { return fmt.Sprintf("[%s](#%[1]s)", s.RefName()) }

// object documents one shape.
func object(b *strings.Builder, root *jsonschema.Schema, p jsonschema.Property) {
	fmt.Fprintf(b, "\n### %s\n\n%s", p.Name, p.Schema.Description)
	for _, base := range p.Schema.AllOf {
		fmt.Fprintf(b, " All of %s, and:", link(base))
	}
	if p.Schema.Line != nil {
		fmt.Fprintf(b, " With `-o jsonl` a line is: %s.", link(p.Schema.Line))
	}
	b.WriteString("\n\n| field | type | meaning |\n|---|---|---|\n")
	for _, f := range p.Schema.Properties {
		meaning := f.Schema.Description
		if meaning == "" && f.Schema.Ref != "" {
			meaning = root.Resolve(f.Schema).Description
		}
		if !slices.Contains(p.Schema.Required, f.Name) {
			meaning = strings.TrimSpace("(not always there) " + meaning)
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", f.Name, typeOf(root, f.Schema), strings.ReplaceAll(meaning, "|", `\|`))
	}
}

// typeOf says a field's type in words.
func typeOf(root *jsonschema.Schema, s *jsonschema.Schema) string {
	to := root.Resolve(s)
	if props, _ := root.Object(to); len(props) > 0 && s.Ref != "" {
		return link(s)
	}
	var words []string
	for _, t := range to.Type {
		switch {
		case t == "array" && to.Items.Ref != "":
			t = "list of " + link(to.Items)
		case t == "array":
			t = "list of " + typeOf(root, to.Items) + "s"
		case t == "object" && to.Additional != nil:
			t = "object of " + typeOf(root, to.Additional) + "s"
		case t == "string" && to.Format == "date-time":
			t = "time"
		case t == "string" && len(to.Enum) > 0:
			t = "`" + strings.Join(to.Enum, "`, `") + "`"
		}
		words = append(words, t)
	}
	return strings.Join(words, " or ")
}
