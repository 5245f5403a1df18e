// Command gendocs writes what docs/ has of the commands themselves: manual pages
// (docs/man), completion scripts (docs/completions) and, from docs/schema, the
// documentation of the output (docs/json-output.md). A test fails when what is
// committed is something else.
//
//	gendocs DIR
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"dnsctl/commands"
	"dnsctl/testbed/jsonschema"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: gendocs DIR")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintf(os.Stderr, "gendocs: %v\n", err)
		os.Exit(1)
	}
}

// run writes the files below dir, and removes the manual pages and scripts that
// there should not be.
func run(dir string) error {
	files, err := generate(dir)
	if err != nil {
		return err
	}
	for path, text := range files {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, text, 0o644); err != nil {
			return err
		}
	}
	old, err := stale(dir, files)
	for _, path := range old {
		err = errors.Join(err, os.Remove(filepath.Join(dir, path)))
	}
	return err
}

// generate makes the files, by their paths below dir, where the schema is read.
func generate(dir string) (map[string][]byte, error) {
	root := commands.Root()
	files := map[string][]byte{}
	pages(files, root)
	if err := scripts(files, root); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(dir, "schema", "dnsctl-v1.json"))
	if err != nil {
		return nil, err
	}
	schema, err := jsonschema.Parse(text)
	if err != nil {
		return nil, err
	}
	files["json-output.md"] = outputPage(schema)
	return files, nil
}

// scripts makes the completion scripts.
func scripts(files map[string][]byte, root *cobra.Command) error {
	for name, write := range map[string]func(io.Writer) error{
		"dnsctl.bash": func(w io.Writer) error { return root.GenBashCompletionV2(w, true) },
		"_dnsctl":     root.GenZshCompletion,
		"dnsctl.fish": func(w io.Writer) error { return root.GenFishCompletion(w, true) },
		"dnsctl.ps1":  root.GenPowerShellCompletionWithDesc,
	} {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			return fmt.Errorf("completion script %s: %w", name, err)
		}
		files[filepath.Join("completions", name)] = b.Bytes()
	}
	return nil
}

// stale is the generated files in dir that are made no more.
func stale(dir string, files map[string][]byte) ([]string, error) {
	var out []string
	for _, sub := range []string{"man", "completions"} {
		entries, err := os.ReadDir(filepath.Join(dir, sub))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, e := range entries {
			path := filepath.Join(sub, e.Name())
			if _, ok := files[path]; !ok {
				out = append(out, path)
			}
		}
	}
	return out, nil
}
