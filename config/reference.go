package config

import (
	_ "embed"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
)

//go:embed config.go
var source string

// Entry documents one setting.
type Entry struct {
	Key     string
	Env     string
	Flag    string // without the dashes; "" when no flag sets it
	Default string // "" when empty or explained in Doc
	Doc     string // the comment of its field, as one paragraph
}

// Reference documents every setting, from the comments of Config's fields.
func Reference() ([]Entry, error) {
	tree, err := parser.ParseFile(token.NewFileSet(), "config.go", source, parser.ParseComments)
	if err != nil {
		return nil, fmt.Errorf("read the comments of the settings: %w", err)
	}
	docs := map[string]string{} // "Struct.Field" to comment
	ast.Inspect(tree, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		st, ok := spec.Type.(*ast.StructType)
		if !ok {
			return true
		}
		for _, f := range st.Fields.List {
			for _, name := range f.Names {
				docs[spec.Name.Name+"."+name.Name] = strings.Join(strings.Fields(f.Doc.Text()), " ")
			}
		}
		return true
	})
	var out []Entry
	for _, f := range fields() {
		out = append(out, Entry{Key: f.key, Env: f.env(), Flag: f.flag, Default: f.fallback, Doc: docs[f.parent+"."+f.name]})
	}
	return out, nil
}
