package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"dnsctl/commands"
	"dnsctl/testbed/jsonschema"
)

const docs = "../../docs"

func TestWhatIsCommittedIsWhatIsMade(t *testing.T) {
	t.Parallel()
	files, err := generate(docs)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range files {
		got, err := os.ReadFile(filepath.Join(docs, path))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("docs/%s is not what the commands and the schema make (make docs): %v", path, err)
		}
	}
	old, err := stale(docs, files)
	if err != nil || len(old) > 0 {
		t.Errorf("docs has %v, which no command makes (make docs): %v", old, err)
	}
}

func TestTheSchemaSaysWhatEveryCommandPrints(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(docs, "schema", "dnsctl-v1.json"))
	if err != nil {
		t.Fatal(err)
	}
	schema, err := jsonschema.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	root := commands.Root()
	visit(root, func(c *cobra.Command) {
		path := strings.TrimPrefix(c.CommandPath(), "dnsctl ")
		if len(below(c)) == 0 && schema.Properties.Get(path) == nil {
			t.Errorf("docs/schema/dnsctl-v1.json does not say what %q prints", c.CommandPath())
		}
	})
	for _, p := range schema.Properties {
		path, flag, _ := strings.Cut(p.Name, " --")
		c, _, err := root.Find(strings.Fields(path))
		if err != nil || strings.TrimPrefix(c.CommandPath(), "dnsctl ") != path || flag != "" && c.Flags().Lookup(flag) == nil {
			t.Errorf("docs/schema/dnsctl-v1.json has %q, which is no command", p.Name)
		}
	}
	used := map[string]bool{"error": true, "warning": true}
	uses(schema, used)
	for _, d := range schema.Defs {
		if !used[d.Name] {
			t.Errorf("docs/schema/dnsctl-v1.json has %s, which no command prints", d.Name)
		}
	}
}

// uses collects the names of the definitions that a schema refers to.
func uses(s *jsonschema.Schema, used map[string]bool) {
	if s == nil {
		return
	}
	if s.Ref != "" {
		used[s.RefName()] = true
	}
	for _, list := range []jsonschema.Properties{s.Defs, s.Properties} {
		for _, p := range list {
			uses(p.Schema, used)
		}
	}
	for _, part := range append([]*jsonschema.Schema{s.Items, s.Additional, s.Line}, s.AllOf...) {
		uses(part, used)
	}
}

func visit(c *cobra.Command, do func(*cobra.Command)) {
	do(c)
	for _, sub := range below(c) {
		visit(sub, do)
	}
}

func TestTextIsSafeForRoff(t *testing.T) {
	t.Parallel()
	p := &page{}
	p.text("a 'b' \\#\n.c --d\n\n  two  spaces\n  'x\nplain")
	want := "a \\(aqb\\(aq \\e#\n\\&.c \\-\\-d\n.PP\n.nf\n  two  spaces\n  \\(aqx\n.fi\nplain\n"
	if p.String() != want {
		t.Errorf("got\n%s\nwant\n%s", p, want)
	}
}
