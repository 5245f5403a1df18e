package testscripts_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"dnsctl/commands"
)

// allFormats are those that -o takes.
var allFormats = []string{"table", "wide", "json", "jsonl", "yaml", "csv", "name"}

// cmdExample runs the examples of a command's help, in order, and wants them to
// end well, or with this exit code:
//
//	example [-code=N] [-only=N] [-formats=read|write|text] [-until=PATTERN] COMMAND...
//
// -only takes the Nth example alone. With -formats each is run in every format
// first, unless it says the format itself, or the store is PostgreSQL, where what is
// written cannot be put back so quickly: read changes nothing; write is run on the
// same state of $WORK each time, which is put back; text prints the same whatever the format. -until is for a
// command that runs until it is stopped: when its output matches, it is. REPLACE
// holds pairs OLD=NEW;..., for addresses and serials of the documentation.
func cmdExample(ts *testscript.TestScript, neg bool, args []string) {
	flags, words := splitFlags(ts, args)
	if neg || len(words) == 0 {
		ts.Fatalf("usage: example [-code=N] [-only=N] [-formats=read|write|text] COMMAND...")
	}
	code := 0
	if c := flags["code"]; c != "" {
		var err error
		code, err = strconv.Atoi(c)
		ts.Check(err)
	}
	lines := examplesOf(strings.Join(words, " "))
	if len(lines) == 0 {
		ts.Fatalf("%s has no examples", strings.Join(words, " "))
	}
	for i, line := range lines {
		if only := flags["only"]; only != "" && only != strconv.Itoa(i+1) {
			continue
		}
		for _, pair := range strings.Split(ts.Getenv("REPLACE"), ";") {
			if from, to, ok := strings.Cut(pair, "="); ok {
				line = strings.ReplaceAll(line, from, to)
			}
		}
		ts.Logf("example: %s", line)
		again := flags["formats"] != "" && strings.HasPrefix(ts.Getenv("DNSCTL_STORE"), "sqlite:")
		if again && !strings.Contains(line, " -o ") && !strings.Contains(line, " > ") {
			exampleInFormats(ts, line, code, flags["formats"])
		}
		if pattern := flags["until"]; pattern != "" {
			line = fmt.Sprintf("%s > printed & pid=$!; until grep -q '%s' printed; do kill -0 $pid || exit 9; done; kill $pid; wait $pid", line, pattern)
		}
		runExample(ts, line, code, "")
	}
}

// runExample runs one line in a shell and gives what it printed.
func runExample(ts *testscript.TestScript, line string, code int, format string) string {
	if format != "" {
		line = "export DNSCTL_OUTPUT=" + format + "; " + line
	}
	if err := ts.Exec("sh", "-c", line); (err != nil) != (code != 0) {
		ts.Fatalf("example %q: %v", line, err)
	} else if err != nil && !strings.Contains(err.Error(), "exit status "+strconv.Itoa(code)) {
		ts.Fatalf("example %q: %v, want exit code %d", line, err, code)
	}
	return ts.ReadFile("stdout")
}

// exampleInFormats runs one line in every format and wants as many rows in each.
func exampleInFormats(ts *testscript.TestScript, line string, code int, kind string) {
	work := ts.Getenv("WORK")
	kept := filepath.Join(filepath.Dir(work), filepath.Base(work)+"-kept")
	if kind == "write" {
		ts.Check(copyAll(work, kept))
		defer os.RemoveAll(kept)
	}
	rows := map[string]int{}
	var text string
	for _, format := range allFormats {
		out := runExample(ts, line, code, format)
		if kind == "write" {
			putBack(ts, work, kept)
		}
		switch {
		case kind != "text":
			n, err := rowsIn(format, out)
			if err != nil {
				ts.Fatalf("%q in %s: %v", line, format, err)
			}
			if n >= 0 {
				rows[format] = n
			}
		case text == "":
			text = out
		case out != text:
			ts.Fatalf("%q in %s prints something else", line, format)
		}
	}
	for format, n := range rows {
		if n != rows["json"] {
			ts.Fatalf("%q: %d rows in %s, %d in json", line, n, format, rows["json"])
		}
	}
}

// putBack makes a folder equal to a copy of it.
func putBack(ts *testscript.TestScript, work, kept string) {
	entries, err := os.ReadDir(work)
	ts.Check(err)
	for _, e := range entries {
		ts.Check(os.RemoveAll(filepath.Join(work, e.Name())))
	}
	ts.Check(copyAll(kept, work))
}

// copyAll copies a folder with the modes of its files, into one that may be there.
func copyAll(from, to string) error {
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	return exec.Command("cp", "-a", from+"/.", to).Run()
}

// rowsIn counts the rows of some output: -1 where the format does not say.
func rowsIn(format, out string) (int, error) {
	switch format {
	case "json":
		var v any
		if err := json.Unmarshal([]byte(out), &v); err != nil {
			return -1, err
		}
		switch x := v.(type) {
		case []any:
			return len(x), nil
		case map[string]any:
			servers, isReport := x["servers"].([]any)
			if x["schema"] == nil || !isReport {
				return 1, nil
			}
			n := 0
			for _, s := range servers {
				items, _ := s.(map[string]any)["items"].([]any)
				n += len(items)
			}
			return n, nil
		}
	case "jsonl", "name":
		return strings.Count(out, "\n"), nil
	case "csv":
		rows, err := csv.NewReader(bytes.NewBufferString(out)).ReadAll()
		return len(rows) - 1, err
	}
	return -1, nil
}

// examplesOf is the lines of a command's Example.
func examplesOf(command string) []string {
	root := commands.Root()
	c, rest, err := root.Find(strings.Fields(command))
	if err != nil || len(rest) > 0 || command == "dnsctl" {
		c = root
	}
	var out []string
	for line := range strings.Lines(c.Example) {
		if line = strings.TrimSpace(line); line != "" {
			out = append(out, line)
		}
	}
	return out
}

var exampleLine = regexp.MustCompile(`(?m)^(?:\[[^\]]*\] *)*example((?: -\S+)*) ([a-z][a-z -]*)$`)

// Every example in a help text is run by a script, so that none is wrong.
func TestEveryExampleIsRun(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	run := map[string][]string{} // command to the examples that are run, "" for all
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range exampleLine.FindAllStringSubmatch(string(text), -1) {
			only := ""
			if _, n, ok := strings.Cut(m[1], "-only="); ok {
				only, _, _ = strings.Cut(n, " ")
			}
			run[m[2]] = append(run[m[2]], only)
		}
	}
	var visit func(path string)
	visit = func(path string) {
		c, _, err := commands.Root().Find(strings.Fields(path))
		if err != nil {
			t.Fatal(err)
		}
		for _, sub := range c.Commands() {
			if sub.Name() != "help" {
				visit(strings.TrimSpace(path + " " + sub.Name()))
			}
		}
		name := path
		if name == "" {
			name = "dnsctl"
		}
		for i, line := range examplesOf(name) {
			if !slices.Contains(run[name], "") && !slices.Contains(run[name], strconv.Itoa(i+1)) {
				t.Errorf("no script in testscripts/examples runs this example of %q: %s", name, line)
			}
		}
	}
	visit("")
}
