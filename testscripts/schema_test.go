package testscripts_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"dnsctl/commands"
	"dnsctl/testbed/jsonschema"
)

// schemaFile is docs/schema/dnsctl-v1.json; schemaFaults is where runs of dnsctl
// note that they printed something else. Both are variables of the scripts.
const schemaFile, schemaFaults = "SCHEMA", "SCHEMA_FAULTS"

// runChecked is main, but what is printed as JSON or YAML is held against the
// schema.
func runChecked() int {
	args, file := os.Args[1:], os.Getenv(schemaFile)
	format := formatOf(args)
	if file == "" || format == "" {
		return commands.Main(args, os.Stdin, os.Stdout, os.Stderr, os.Environ())
	}
	var printed bytes.Buffer
	code := commands.Main(args, os.Stdin, io.MultiWriter(os.Stdout, &printed), os.Stderr, os.Environ())
	if printed.Len() == 0 && code != 0 {
		return code
	}
	err := checkOutput(file, args, format, printed.Bytes())
	if err == nil {
		return code
	}
	text := fmt.Sprintf("%s %s\n%v\n", "dnsctl", strings.Join(args, " "), err)
	fmt.Fprintf(os.Stderr, "docs/schema: %s", text)
	f, err := os.OpenFile(os.Getenv(schemaFaults), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.WriteString(text)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return code
}

// formatOf is the format that the arguments, or else the environment, ask for
// where it is one of JSON's.
func formatOf(args []string) string {
	format := os.Getenv("DNSCTL_OUTPUT")
	for i, arg := range args {
		v, ok := strings.CutPrefix(arg, "--output=")
		if arg == "-o" && i+1 < len(args) {
			v, ok = args[i+1], true
		}
		if ok {
			format = v
		}
	}
	if format == "json" || format == "jsonl" || format == "yaml" {
		return format
	}
	return ""
}

// checkOutput holds what a command line printed against the schema.
func checkOutput(file string, args []string, format string, printed []byte) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	root, err := jsonschema.Parse(text)
	if err != nil {
		return err
	}
	s, partial, err := schemaOf(root, args)
	if err != nil || s.Text != "" {
		return err
	}
	switch format {
	case "yaml":
		var v any
		if err := yaml.Unmarshal(printed, &v); err != nil {
			return err
		}
		if printed, err = json.Marshal(v); err != nil {
			return err
		}
	case "jsonl":
		s = root.Resolve(s)
		if s.Line != nil {
			s = s.Line
		} else if s.Items != nil {
			s = s.Items
		}
		var errs []error
		for line := range bytes.Lines(printed) {
			errs = append(errs, root.Check(s, line, partial))
		}
		return errors.Join(errs...)
	}
	return root.Check(s, printed, partial)
}

// schemaOf is the schema of a command line's output, and whether only some
// fields were asked for. A flag that changes the output has an entry of its own.
func schemaOf(root *jsonschema.Schema, args []string) (s *jsonschema.Schema, partial bool, err error) {
	cmd, rest, err := commands.Root().Find(args)
	if err != nil {
		return nil, false, err
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return nil, false, err
	}
	path := strings.TrimPrefix(cmd.CommandPath(), "dnsctl ")
	s = root.Properties.Get(path)
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if v := root.Properties.Get(path + " --" + f.Name); v != nil {
			s = v
		}
		partial = partial || f.Name == "columns"
	})
	if s == nil {
		return nil, false, fmt.Errorf("docs/schema/dnsctl-v1.json does not say what %q prints", path)
	}
	return s, partial, nil
}
