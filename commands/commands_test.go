package commands

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"dnsctl/fleet"
	"dnsctl/report"
	"dnsctl/zone"
)

// tree is the whole command tree.
func tree() *cobra.Command {
	return Root()
}

func walk(c *cobra.Command, visit func(*cobra.Command)) {
	visit(c)
	for _, sub := range c.Commands() {
		walk(sub, visit)
	}
}

func TestEveryCommandIsExplained(t *testing.T) {
	t.Parallel()
	walk(tree(), func(c *cobra.Command) {
		if c.Name() == "help" {
			return
		}
		if c.Short == "" || c.Long == "" || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: Short %q or Long is missing or ends in a dot", c.CommandPath(), c.Short)
		}
		if c.Example == "" && !c.HasSubCommands() {
			t.Errorf("%s has no example", c.CommandPath())
		}
		for line := range strings.Lines(c.Long) {
			if len(strings.TrimRight(line, "\n")) > 90 {
				t.Errorf("%s: a line of %d characters: %q", c.CommandPath(), len(line), line)
			}
		}
		c.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" || strings.HasSuffix(f.Usage, ".") {
				t.Errorf("%s --%s: usage %q", c.CommandPath(), f.Name, f.Usage)
			}
			if !regexp.MustCompile(`^[a-z][a-z-]*$`).MatchString(f.Name) {
				t.Errorf("%s --%s is not in kebab case", c.CommandPath(), f.Name)
			}
		})
	})
}

// words splits a line of an example as a shell does, up to a pipe or a
// redirection.
func words(line string) []string {
	var out []string
	for _, m := range regexp.MustCompile(`'[^']*'|"[^"]*"|[^\s]+`).FindAllString(line, -1) {
		if m == "|" || m == ">" {
			break
		}
		out = append(out, strings.Trim(m, `'"`))
	}
	return out
}

func TestEveryExampleIsACommandLineThatParses(t *testing.T) {
	t.Parallel()
	walk(tree(), func(c *cobra.Command) {
		for line := range strings.Lines(c.Example) {
			i := strings.Index(line, "dnsctl ")
			if i < 0 {
				t.Errorf("%s: the example %q runs nothing", c.CommandPath(), line)
				continue
			}
			root := tree()
			found, rest, err := root.Find(words(line[i+len("dnsctl "):]))
			if err != nil {
				t.Errorf("%s: %q: %v", c.CommandPath(), line, err)
				continue
			}
			if !strings.Contains(line, "|") && found.CommandPath() != c.CommandPath() && c.HasParent() {
				t.Errorf("%s: %q is an example of %s", c.CommandPath(), line, found.CommandPath())
			}
			if err := found.ParseFlags(rest); err != nil {
				t.Errorf("%s: %q: %v", c.CommandPath(), line, err)
				continue
			}
			err = errors.Join(found.ValidateArgs(found.Flags().Args()), found.ValidateRequiredFlags(), found.ValidateFlagGroups())
			if err != nil && !strings.Contains(line, "xargs") {
				t.Errorf("%s: %q: %v", c.CommandPath(), line, err)
			}
		}
	})
}

func TestOneFlagMeansOneThing(t *testing.T) {
	t.Parallel()
	types := map[string]string{}
	walk(tree(), func(c *cobra.Command) {
		c.Flags().VisitAll(func(f *pflag.Flag) {
			kind := "value"
			if f.Value.Type() == "bool" || f.Value.Type() == "count" {
				kind = "switch"
			}
			if had, ok := types[f.Name]; ok && had != kind {
				t.Errorf("%s --%s is a %s, elsewhere a %s", c.CommandPath(), f.Name, kind, had)
			}
			types[f.Name] = kind
		})
	})
}

// run runs a command line in a folder of its own.
func run(t *testing.T, dir string, args ...string) (code report.Exit, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	env := []string{"HOME=" + dir, "DNSCTL_STORE=sqlite:" + filepath.Join(dir, "d.db")}
	code = Run(t.Context(), args, strings.NewReader(""), &out, &errs, env)
	return code, out.String(), errs.String()
}

func TestErrorsEndInTheirExitCode(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		err  error
		want report.Exit
	}{
		"none":             {nil, report.ExitOK},
		"plain":            {errors.New("x"), report.ExitFailed},
		"usage":            {usagef("h", "x"), report.ExitUsage},
		"wrapped usage":    {fmt.Errorf("a: %w", usagef("h", "x")), report.ExitUsage},
		"with a code":      {report.Fail(report.ExitStore, errors.New("x"), "h"), report.ExitStore},
		"result of a run":  {end(report.ExitWithheld), report.ExitWithheld},
		"agreement":        {end(report.ExitOK), report.ExitOK},
		"wrapped, no such": {fmt.Errorf("x: %w", fleet.ErrNoZone), report.ExitFailed},
	} {
		a := newApp(nil, strings.NewReader(""), &bytes.Buffer{}, &bytes.Buffer{}, nil)
		if got := a.finish(t.Context(), tree(), test.err); got != test.want {
			t.Errorf("%s ends in %d, want %d", name, got, test.want)
		}
	}
}

func TestAnInterruptedRunEndsIn130(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if code, _, errs := run(t, dir, "db", "init"); code != 0 {
		t.Fatal(errs)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errInterrupted)
	var errs bytes.Buffer
	code := Run(ctx, []string{"zone", "list"}, strings.NewReader(""), &bytes.Buffer{}, &errs, []string{"HOME=" + dir, "DNSCTL_STORE=sqlite:" + dir + "/d.db"})
	if code != report.ExitInterrupted || !strings.Contains(errs.String(), "safe to run the command again") {
		t.Errorf("exit %d: %s", code, &errs)
	}
}

func TestErrorsAreJSONWhereJSONWasAskedForEvenBeforeItIsParsed(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"zone", "list", "--color", "pink", "-o", "json"},
		{"-ojson", "zoen"},
		{"zone", "show", "--output=json", "a..b"},
		{"zone", "show", "x", "-o", "jsonl"},
	} {
		code, out, errs := run(t, t.TempDir(), args...)
		var e struct {
			Error, Hint string
			Exit        report.Exit
		}
		if err := json.Unmarshal([]byte(errs), &e); err != nil || e.Error == "" || e.Exit != code || code == 0 {
			t.Errorf("%v: exit %d, stderr %q: %v", args, code, errs, err)
		}
		if out != "" {
			t.Errorf("%v: stdout %q", args, out)
		}
	}
}

func TestNamesOfRecordsAreRelativeUnlessTheyEndInADot(t *testing.T) {
	t.Parallel()
	z := zone.MustParseName("example.org")
	for text, want := range map[string]string{
		"@": "example.org.", "www": "www.example.org.", "*.a": "*.a.example.org.", "www.example.org.": "www.example.org.",
		"example.org.": "example.org.", `a\.b`: `a\.b.example.org.`, "xexample.org.x": "xexample.org.x.example.org.", "bücher": "xn--bcher-kva.example.org.",
	} {
		got, err := parseOwner(text, z)
		if err != nil || got.String() != want {
			t.Errorf("%s is %s, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"www.example.org", "example.org", "WWW.Example.ORG", "www.example.com.", "a..b", ""} {
		_, err := parseOwner(text, z)
		var u *usageError
		if !errors.As(err, &u) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := parseOwner("org", zone.Root); err != nil {
		t.Errorf("in the root zone: %v", err)
	}
}

func TestAddressesWithoutAPortMean53(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"192.0.2.1": "192.0.2.1:53", "192.0.2.1:5300": "192.0.2.1:5300", "2001:db8::1": "[2001:db8::1]:53",
		"[2001:db8::1]": "[2001:db8::1]:53", "[2001:db8::1]:5300": "[2001:db8::1]:5300"} {
		got, err := parseAddr("x", text)
		if err != nil || got != netip.MustParseAddrPort(want) {
			t.Errorf("%s is %s, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "localhost", "192.0.2.1:", "192.0.2.1:0", "192.0.2.1:99999", "192.0.2"} {
		if _, err := parseAddr("x", text); err == nil {
			t.Errorf("%q is an address", text)
		}
	}
}

func TestFileNamesSuggestZones(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]struct {
		name  string
		usual bool
	}{
		"/etc/bind/db.example.org":     {"example.org.", true},
		"example.org.zone":             {"example.org.", true},
		"example.org.db":               {"example.org.", true},
		"db.example.org.signed":        {"example.org.", true},
		"zones/example.org":            {"example.org.", false},
		"x/2.0.192.in-addr.arpa.zone":  {"2.0.192.in-addr.arpa.", true},
		"x/" + strings.Repeat("a", 64): {"", false},
	} {
		got, usual := zoneOfFile(path)
		if want.name == "" && got == "" {
			continue
		}
		if got.String() != want.name || usual != want.usual {
			t.Errorf("%s suggests %s (%v)", path, got, usual)
		}
	}
}

func TestNamedConfIsToldFromZoneFiles(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"zone \"x\" {\n": true,
		"// remark\n/* more\n */ # again\noptions {": true,
		"include \"/etc/bind/x\";":                   true,
		"view internal {\n":                          true,
		"key\n{":                                     true,
		"zone A 192.0.2.1\n":                         false,
		"options 3600 IN A 192.0.2.1":                false,
		"$TTL 3600\n@ SOA a b (":                     false,
		"; remark\nexample.org. SOA":                 false,
		"":                                           false,
		"server 192.0.2.1 {\n":                       true,
		"view a IN {":                                true,
		"server TXT \"x { y\"\n":                     false,
	} {
		if got := beginsAsConf(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestFailuresOfSomeArePartial(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		failed, all int
		want        report.Exit
	}{{0, 3, report.ExitOK}, {1, 3, report.ExitPartial}, {3, 3, report.ExitFailed}} {
		if got := partly(test.failed, test.all); got != test.want {
			t.Errorf("%d of %d: %d", test.failed, test.all, got)
		}
	}
}

func FuzzReadOps(f *testing.F) {
	f.Add("set www 300 A 192.0.2.1\nadd @ MX 10 mail\ndelete old\n# x\n")
	f.Add("set")
	f.Add("delete a A 1 2 3")
	z := zone.MustParseName("example.org")
	f.Fuzz(func(t *testing.T, text string) {
		a := newApp(nil, strings.NewReader(""), &bytes.Buffer{}, &bytes.Buffer{}, nil)
		ops, err := a.readOps(strings.NewReader(text), "changes", z)
		if err != nil {
			return
		}
		for _, op := range ops {
			if !op.Owner.Under(z) {
				t.Errorf("%q makes an op on %s", text, op.Owner)
			}
		}
	})
}
