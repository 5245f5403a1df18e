package commands

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"dnsctl/report"
)

func TestWrongCommandLinesSayWhatIsWrongWithThem(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for line, want := range map[string][2]string{ // the error, and the hint: "" for none
		"zone show":                             {"dnsctl zone show: missing NAME", ""},
		"zone show a b":                         {`dnsctl zone show: "b" is one argument too many`, ""},
		"record set example.org www":            {"dnsctl record set: missing TYPE DATA...", ""},
		"record delete example.org www A 1 2":   {"", ""}, // DATA... takes any number
		"version x":                             {`dnsctl version: "x" is one argument too many`, ""},
		"completion tcsh":                       {"dnsctl completion: want one of bash, zsh, fish, powershell", ""},
		"tsig create k":                         {"dnsctl tsig create: missing --scope", ""},
		"server add ns1":                        {"dnsctl server add: missing --address, --type", ""},
		"zone set example.org":                  {"give at least one of --add-pool, --remove-pool, --serial-style, --priority, --group", ""},
		"server remove ns1":                     {"give one of --leave-zones, --remove-zones", ""},
		"sync --plan a --plan-out b":            {"--plan and --plan-out exclude each other", ""},
		"sync --plan-out=":                      {"--plan-out names no file", "give it a name, or leave the flag out"},
		"sync --plan=":                          {"--plan names no file", "give it a name, or leave the flag out"},
		"bootstrap ns1 --out=":                  {"--out names no folder", "give it a name, or leave the flag out"},
		"zone list --poool main":                {"unknown flag: --poool", "did you mean --pool"},
		"zone list -o jsno":                     {`--output "jsno": want one of table, wide, json, jsonl, yaml, csv, name`, "did you mean --output json"},
		"zone list --timeout soon":              {`--timeout "soon" is no duration`, "write 30s, 10m or 1h30m"},
		"zone list --deleted=maybe":             {`--deleted "maybe" is neither true nor false`, "leave the value out, or write true or false"},
		"zone history example.org --limit many": {`--limit "many" is no number that is possible here`, ""},
		"pool create p --primary 192.0.2.1:0":   {`--primary "192.0.2.1:0": there is no port 0`, "name the port, as in 192.0.2.1:5300"},
		"pool create p --primary 192.0.2.1 --protect [a": {`--protect: "[a" is no pattern of names`,
			`for instance --protect '*.internal.example.org'; a [ that is meant is written \[`},
	} {
		code, out, errs := run(t, dir, strings.Fields(line)...)
		if want[0] == "" {
			if strings.Contains(errs, "too many") {
				t.Errorf("%s: %s", line, errs)
			}
			continue
		}
		head := "dnsctl: error: " + want[0] + "\n"
		if want[1] != "" {
			head += "dnsctl: hint: " + want[1] + "\n"
		}
		if code != report.ExitUsage || out != "" || !strings.HasPrefix(errs, head+"\nUsage: ") {
			t.Errorf("%s: exit %d, %s\nwant %s", line, code, errs, head)
		}
	}
}

func TestErrorsOfTheCommandLineLookAsItAsksFor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		line, env string
		color     bool
		json      bool
	}{
		{"zone liist", "", false, false},
		{"zone liist --color always", "", true, false},
		{"--color=always zone list --bogus", "", true, false},
		{"zone liist", "DNSCTL_COLOR=always", true, false},
		{"zone liist --color never", "CLICOLOR_FORCE=1", false, false},
		{"zone liist --color never", "DNSCTL_COLOR=always", false, false},
		{"zone liist -- --color always -o json", "", false, false},
		{"zone liist -o json", "", false, true},
		{"-ojson zone liist", "", false, true},
		{"zone liist", "DNSCTL_OUTPUT=json", false, true},
		{"zone liist -o=table", "DNSCTL_OUTPUT=json", false, false},
	} {
		var out, errs bytes.Buffer
		env := []string{"HOME=" + t.TempDir(), "XDG_DATA_HOME=" + t.TempDir(), c.env}
		code := Run(t.Context(), strings.Fields(c.line), strings.NewReader(""), &out, &errs, env)
		if code != report.ExitUsage || strings.Contains(errs.String(), "\x1b[") != c.color || strings.HasPrefix(errs.String(), "{") != c.json {
			t.Errorf("%s %s: exit %d, %q", c.env, c.line, code, errs.String())
		}
	}
}

func TestCommandsInHintsGoToTheStoreThatFlagsName(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	there := "sqlite:" + filepath.Join(dir, "a store.db")
	if code, _, errs := run(t, dir, "db", "init", "--store", there); code != report.ExitOK {
		t.Fatal(errs)
	}
	_, _, errs := run(t, dir, "zone", "show", "example.org", "--store", there)
	if want := "hint: list the zones with: dnsctl --store '" + there + "' zone list\n"; !strings.Contains(errs, want) {
		t.Errorf("%s, want %s", errs, want)
	}
	if _, _, errs := run(t, dir, "db", "init"); errs == "" {
		t.Error("nothing was said")
	}
	if _, _, errs := run(t, dir, "zone", "show", "example.org"); !strings.Contains(errs, "hint: list the zones with: dnsctl zone list\n") {
		t.Errorf("%s", errs)
	}
	for url, want := range map[string]string{
		"postgres://dns@192.0.2.1/dns":         "--store postgres://dns@192.0.2.1/dns",
		"postgres://dns:geheim@192.0.2.1/dns":  "",
		"postgres://h/dns?password=geheim":     "",
		"sqlite:it's here.db":                  `--store 'sqlite:it'\''s here.db'`,
		"postgres://h/dns?sslmode=disable&x=y": "--store 'postgres://h/dns?sslmode=disable&x=y'",
	} {
		c := Root()
		if err := c.PersistentFlags().Set("store", url); err != nil {
			t.Fatal(err)
		}
		if got := placeFlags(c.PersistentFlags()); got != want {
			t.Errorf("%s: %q, want %q", url, got, want)
		}
	}
}
