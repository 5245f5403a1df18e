package commands

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/spf13/cobra"
)

// text is a string constant of the source, or what is left of one that is put
// together: an ellipsis stands for each part that is not constant.
type text struct {
	at, value string
}

// sourceTexts reads the house's strings; hints are those that stand where
// report.Fail, report.Hint and the like take a hint.
func sourceTexts(t *testing.T) (all, hints []text) {
	t.Helper()
	set := token.NewFileSet()
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && d.Name() != ".." || d.Name() == "testdata" || d.Name() == "testbed" || d.Name() == "cmd") {
			return fs.SkipDir
		}
		if filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BasicLit:
				if s, err := strconv.Unquote(n.Value); n.Kind == token.STRING && err == nil {
					all = append(all, text{set.Position(n.Pos()).String(), s})
				}
			case *ast.CallExpr:
				if i := hintArgument(n); i >= 0 && i < len(n.Args) {
					if s, known := constant(n.Args[i]); known {
						hints = append(hints, text{set.Position(n.Args[i].Pos()).String(), s})
					}
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all, hints
}

// hintArgument is which argument of a call is a hint that must say something, -1 for
// none. A usage error shows the command's usage as well, so it may have none.
func hintArgument(call *ast.CallExpr) int {
	switch f := call.Fun.(type) {
	case *ast.SelectorExpr:
		if x, ok := f.X.(*ast.Ident); ok && x.Name == "report" {
			switch f.Sel.Name {
			case "Fail":
				return 2
			case "Hint":
				return 1
			}
		}
	case *ast.Ident:
		if f.Name == "remedied" {
			return 1
		}
	}
	return -1
}

// constant is the text of an expression of strings, formats and sums of them;
// false when none of it is constant.
func constant(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		s, err := strconv.Unquote(e.Value)
		return s, err == nil && e.Kind == token.STRING
	case *ast.BinaryExpr:
		a, ok := constant(e.X)
		b, ok2 := constant(e.Y)
		if !ok {
			a = "…"
		}
		if !ok2 {
			b = "…"
		}
		return a + b, ok || ok2
	case *ast.CallExpr:
		if f, ok := e.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "Sprintf" {
			return constant(e.Args[0])
		}
	}
	return "", false
}

func TestEveryHintSaysSomethingInTheHousesForm(t *testing.T) {
	t.Parallel()
	_, hints := sourceTexts(t)
	if len(hints) < 100 {
		t.Fatalf("only %d hints were found: the test does not look where they are", len(hints))
	}
	for _, h := range hints {
		first, _, _ := strings.Cut(h.value, " ")
		switch {
		case strings.TrimSpace(h.value) == "":
			t.Errorf("%s: the hint is empty", h.at)
		case strings.HasSuffix(h.value, "."):
			t.Errorf("%s: ends in a period: %s", h.at, h.value)
		case unicode.IsUpper([]rune(h.value)[0]) && first != strings.ToUpper(first) && first != "PostgreSQL" && first != "BIND":
			t.Errorf("%s: begins with a capital: %s", h.at, h.value)
		}
	}
}

// A command in a text: the program, words in lower case, and the rest of the
// clause.
var (
	inText = regexp.MustCompile(`\bdnsctl((?: [a-z][a-z-]*)+)`)
	clause = regexp.MustCompile("^[^;|`\n]*")
	inFlag = regexp.MustCompile(`(?:^|[ \[])--([a-z][a-z-]*)`)
)

func TestCommandsInMessagesExistWithTheirFlags(t *testing.T) {
	t.Parallel()
	root := Root()
	all, _ := sourceTexts(t)
	seen := 0
	for _, s := range all {
		for _, m := range inText.FindAllStringSubmatchIndex(s.value, -1) {
			c, rest := commandOf(root, strings.Fields(s.value[m[2]:m[3]]))
			if c == root {
				continue // prose about dnsctl
			}
			seen++
			if c.HasSubCommands() && len(rest) > 0 {
				t.Errorf("%s: %s has no command %q", s.at, c.CommandPath(), rest[0])
			}
			tail, _, _ := strings.Cut(clause.FindString(s.value[m[1]:]), "dnsctl ")
			for _, f := range inFlag.FindAllStringSubmatch(tail, -1) {
				if c.Flags().Lookup(f[1]) == nil && c.InheritedFlags().Lookup(f[1]) == nil && f[1] != "help" {
					t.Errorf("%s: %s has no flag --%s", s.at, c.CommandPath(), f[1])
				}
			}
		}
	}
	if seen < 100 {
		t.Errorf("only %d commands were found: the test does not look where they are", seen)
	}
}

// commandOf goes down the tree of commands as far as the words lead.
func commandOf(c *cobra.Command, words []string) (*cobra.Command, []string) {
	for _, sub := range c.Commands() {
		if len(words) > 0 && sub.Name() == words[0] {
			return commandOf(sub, words[1:])
		}
	}
	return c, words
}
