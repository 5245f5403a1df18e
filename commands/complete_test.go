package commands

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestNamesAreCompletedFromTheStore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, args := range [][]string{
		{"db", "init"},
		{"pool", "create", "main", "--primary", "192.0.2.1", "--ns", "ns1.example.net", "--email", "h@example.net"},
		{"pool", "create", "other", "--primary", "192.0.2.1"},
		{"zone", "create", "example.org", "--pool", "main"}, {"zone", "create", "example.com", "--pool", "main"}, {"zone", "create", "old.example", "--pool", "main"},
		{"zone", "delete", "old.example"},
		{"record", "set", "example.com", "www", "A", "192.0.2.1"},
		{"server", "add", "ns1", "--pool", "main", "--new", "--type", "bind", "--address", "192.0.2.53", "--control", "rndc://192.0.2.53:953"},
	} {
		if code, _, errs := run(t, dir, args...); code != 0 {
			t.Fatalf("%v: %s", args, errs)
		}
	}
	before := listing(t, dir)
	for line, want := range map[string]string{
		"zone show ex":                          "example.com example.org",
		"zone show EXAMPLE.O":                   "example.org",
		"zone show example.org ":                "",
		"zone delete example.org ex":            "example.com example.org",
		"zone undelete ":                        "old.example",
		"zone create ":                          "",
		"zone rollback example.com ":            "1 2",
		"zone list --pool ":                     "main other",
		"zone set example.org --add-pool o":     "other",
		"zone create x --pool main,o":           "main,other",
		"zone create x --serial-style ":         "date increment unix",
		"record set ex":                         "example.com example.org",
		"record set example.org ":               "",
		"record set example.org www AA":         "AAAA",
		"record list example.org --type A,C":    "A,CAA A,CNAME",
		"pool show ":                            "main other",
		"pool create --primary 192.0.2.1 ":      "",
		"pool set main --unmanaged ":            "delete ignore warn",
		"server show ":                          "ns1",
		"audit ":                                "ns1",
		"audit ns1 n":                           "ns1",
		"audit --fail-on stale,m":               "stale,misconfigured stale,missing",
		"bootstrap ":                            "ns1",
		"bootstrap ns1 ":                        "",
		"task list --server ":                   "ns1",
		"tsig show m":                           "main",
		"tsig create x --scope ":                "",
		"tsig create x --algorithm hmac-sha512": "hmac-sha512",
		"zone list -o js":                       "json jsonl",
		"zone list --color a":                   "always auto",
		"zone list --timeout ":                  "",
		"zone set example.org --comment ":       "",
		"completion b":                          "bash",
	} {
		args := append([]string{"__complete"}, strings.Split(line, " ")...)
		code, out, errs := run(t, dir, args...)
		if code != 0 {
			t.Errorf("%s: exit %d, %s", line, code, errs)
		}
		// What the shell does itself: only what begins with the word is offered.
		var got []string
		for l := range strings.Lines(out) {
			word, _, _ := strings.Cut(strings.TrimSpace(l), "\t")
			if !strings.HasPrefix(word, ":") && strings.HasPrefix(strings.ToLower(word), strings.ToLower(args[len(args)-1])) {
				got = append(got, word)
			}
		}
		slices.Sort(got)
		if strings.Join(got, " ") != want {
			t.Errorf("%q is completed by %q, want %q", line, got, want)
		}
		if !strings.Contains(out, ":4") {
			t.Errorf("%q: files would be offered: %s", line, out)
		}
	}
	if after := listing(t, dir); !slices.Equal(after, before) {
		t.Errorf("completing left %v, before there was %v", after, before)
	}
}

func TestCompletionIsSilentWithoutAStore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	code, out, errs := run(t, dir, "__complete", "zone", "show", "")
	if code != 0 || strings.TrimSpace(out) != ":4" || strings.Contains(errs, "error") {
		t.Errorf("exit %d, %q, %q", code, out, errs)
	}
	if l := listing(t, dir); len(l) > 0 {
		t.Errorf("completing made %v", l)
	}
}

func TestFilesAreCompletedWhereACommandTakesThem(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"zone import ", "zone import a ", "zone check ", "db backup ", "record apply example.org -f ", "server add x --control-key-file ",
		"zone list --config ", "tsig create x --secret-file "} {
		_, out, _ := run(t, t.TempDir(), append([]string{"__complete"}, strings.Split(line, " ")...)...)
		if strings.TrimSpace(out) != ":0" {
			t.Errorf("%q: %q", line, out)
		}
	}
}

func listing(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

// The words of Use say what is completed, so a new command has to use those that
// are known; what is free text is listed here.
func TestArgumentsAreCalledByWordsThatAreCompleted(t *testing.T) {
	t.Parallel()
	known := []string{"zone", "pool", "server", "key", "copy", "serial", "type", "file", "folder"}
	free := []string{"name", "data"}
	walk(tree(), func(c *cobra.Command) {
		if c.HasSubCommands() || c.Name() == "help" || len(c.ValidArgs) > 0 {
			return
		}
		words, _ := places(c)
		for i, w := range words {
			if !slices.Contains(known, w) && !slices.Contains(free, w) {
				t.Errorf("%s: nothing is known of %s, argument %d", c.CommandPath(), w, i+1)
			}
		}
	})
}
