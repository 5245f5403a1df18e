package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"dnsctl/report"
)

// place is a folder with a system file and a user's file.
type place struct {
	t    *testing.T
	dir  string
	with Surroundings
}

func newPlace(t *testing.T) *place {
	dir := t.TempDir()
	return &place{t, dir, Surroundings{
		Env:        []string{"HOME=" + dir, "XDG_CONFIG_HOME=" + filepath.Join(dir, "user")},
		SystemFile: filepath.Join(dir, "system.yaml"),
	}}
}

func (p *place) write(name, text string) string {
	p.t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
	return path
}

func TestEachSourceOverridesTheWeakerOnesPerKey(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	system := p.write("system.yaml", "store: postgres://system/db\noutput: csv\nlog:\n  format: json\n  level: debug\nmdns:\n  max_tcp: 7\n")
	user := p.write("user/dnsctl/dnsctl.yaml", "store: postgres://user/db\noutput: yaml\nmdns:\n  listen: [192.0.2.1, '192.0.2.2:5353']\n")
	named := p.write("named.yaml", "store: postgres://named/db\nmdns: {memory: 64MiB, poll_interval: 250ms}\n")
	p.with.File = named
	p.with.Env = append(p.with.Env, "DNSCTL_STORE=postgres://env/db", "DNSCTL_LOG_LEVEL=error")
	p.with.Flags = pflag.NewFlagSet("", pflag.ContinueOnError)
	p.with.Flags.String("store", "", "")
	p.with.Flags.String("output", "", "")
	if err := p.with.Flags.Parse([]string{"--store", "postgres://flag/db"}); err != nil {
		t.Fatal(err)
	}
	l, err := Load(p.with)
	if err != nil {
		t.Fatal(err)
	}
	want := []struct {
		key, text, place string
		source           Source
	}{
		{"store", "postgres://flag/db", "--store", FromFlag},
		{"log.level", "error", "DNSCTL_LOG_LEVEL", FromEnv},
		{"mdns.memory", "64MiB", named, FromFile},
		{"output", "yaml", user, FromFile},
		{"log.format", "json", system, FromFile},
		{"mdns.listen", "[192.0.2.1 192.0.2.2:5353]", user, FromFile},
		{"color", "auto", "", FromDefault},
	}
	for _, w := range want {
		v := l.Origin(w.key)
		if text := fmt.Sprint(v.Safe()); text != w.text || v.Source != w.source || v.Place != w.place {
			t.Errorf("%s is %q from %s %s, want %q from %s %s", w.key, text, v.Source, v.Place, w.text, w.source, w.place)
		}
	}
	if l.MDNS.MaxTCP != 7 || l.MDNS.PollInterval != 250*time.Millisecond || l.MDNS.Memory != 64<<20 {
		t.Errorf("typed values: %+v", l.MDNS)
	}
	if got := strings.Join(l.Files, " "); got != named+" "+user+" "+system {
		t.Errorf("files read: %s", got)
	}
}

func TestEverythingHasADefaultWithoutAnyConfiguration(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	l, err := Load(p.with)
	if err != nil {
		t.Fatal(err)
	}
	if want := "sqlite:" + p.dir + "/.local/share/dnsctl/dnsctl.db"; l.Store != want {
		t.Errorf("store is %s, want %s", l.Store, want)
	}
	if l.Output != "table" || l.MDNS.Listen == nil || l.MDNS.MaxTCP != 4096 {
		t.Errorf("defaults: %+v", l.Config)
	}
	p.with.Root = true
	if l, err = Load(p.with); err != nil || l.Store != "sqlite:/var/lib/dnsctl/dnsctl.db" {
		t.Errorf("store of root is %v, %v", l, err)
	}
}

func TestBadConfigurationNamesPlaceKeyAndRemedy(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		file, env, flags, want, hint string
	}{
		"unknown key":             {file: "stroe: x\n", want: "system.yaml: unknown key stroe", hint: "nearest key is store"},
		"unknown key in section":  {file: "mdns:\n  max-tcp: 3\n", want: "unknown key mdns.max-tcp", hint: "mdns.max_tcp (max_tcp below mdns:)"},
		"key with dots":           {file: "log.format: json\n", want: "unknown key log.format"},
		"key in the wrong place":  {file: "max_tcp: 3\n", want: "unknown key max_tcp"},
		"list for a string":       {file: "store: [a]\n", want: "key store: a list is not a string"},
		"number for a string":     {file: "store: 5\n", want: "key store: 5 is not a string"},
		"string for a number":     {file: "mdns: {max_tcp: lots}\n", want: `key mdns.max_tcp: "lots" is not a whole number`},
		"quoted number":           {file: "mdns: {max_tcp: '5'}\n", want: `key mdns.max_tcp: "5" is not a whole number`},
		"number too small":        {file: "mdns: {max_tcp: 0}\n", want: "key mdns.max_tcp: 0 is less than the least allowed, 1"},
		"number without unit":     {file: "timeout: 30\n", want: "key timeout: 30 is not a duration"},
		"negative duration":       {file: "timeout: -3s\n", want: "key timeout: -3s is less"},
		"bad size":                {file: "mdns: {memory: much}\n", want: "key mdns.memory: \"much\" is not a size"},
		"age too short":           {file: "retention: {history: 5m}\n", want: "key retention.history: 5m0s is less than the least allowed, 1h"},
		"bad age":                 {file: "retention: {history: long}\n", want: "key retention.history: \"long\" is not an age such as 90d"},
		"age without unit":        {file: "retention: {history: 90}\n", want: "key retention.history: 90 is not an age"},
		"not one of":              {file: "output: xml\n", want: `key output: "xml" is not one of table, wide`},
		"number in list":          {file: "mdns: {listen: [5]}\n", want: "key mdns.listen: 5 in the list is not a string"},
		"mapping for a list":      {file: "mdns: {listen: {a: b}}\n", want: "mdns.listen"},
		"section that is none":    {file: "mdns: yes\n", want: "key mdns: yes is not a mapping"},
		"nothing for a value":     {file: "store:\n", want: "key store: nothing is not a string"},
		"no YAML":                 {file: "store: 'x\n", want: "system.yaml"},
		"list at the top":         {file: "- store\n", want: "system.yaml"},
		"key twice":               {file: "store: a\nstore: b\n", want: "already defined"},
		"unknown variable":        {env: "DNSCTL_STROE=x", want: "unknown environment variable DNSCTL_STROE", hint: "nearest variable is DNSCTL_STORE"},
		"bad variable":            {env: "DNSCTL_TIMEOUT=soon", want: "environment variable DNSCTL_TIMEOUT: \"soon\" is not a duration"},
		"bad flag":                {flags: "--color=pink", want: "flag --color: \"pink\" is not one of auto, always, never"},
		"named file that is away": {env: "DNSCTL_CONFIG=/nonexistent/x.yaml", want: "configuration file /nonexistent/x.yaml does not exist", hint: "DNSCTL_CONFIG"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			if test.file != "" {
				p.write("system.yaml", test.file)
			}
			if test.env != "" {
				p.with.Env = append(p.with.Env, test.env)
			}
			p.with.Flags = pflag.NewFlagSet("", pflag.ContinueOnError)
			p.with.Flags.String("color", "", "")
			if err := p.with.Flags.Parse(strings.Fields(test.flags)); err != nil {
				t.Fatal(err)
			}
			_, err := Load(p.with)
			if err == nil {
				t.Fatal("no error")
			}
			exit, hint := report.ExitOf(err)
			if exit != report.ExitUsage {
				t.Errorf("exit %d", exit)
			}
			if !strings.Contains(err.Error(), test.want) || !strings.Contains(hint, test.hint) {
				t.Errorf("error %q, hint %q; want %q, %q", err, hint, test.want, test.hint)
			}
		})
	}
}

func TestKubernetesServiceVariablesAreNotOurs(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.with.Env = append(p.with.Env, "DNSCTL_SERVICE_HOST=10.0.0.1", "DNSCTL_PORT=tcp://10.0.0.1:53", "DNSCTL_PORT_53_TCP=x")
	if _, err := Load(p.with); err != nil {
		t.Error(err)
	}
}

func TestPasswordsInURLsAreNotShown(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"postgres://u:hunter2@h/db", "postgres://u@h/db?password=hunter2"} {
		if got := fmt.Sprint(Value{Value: url}.Safe()); strings.Contains(got, "hunter2") {
			t.Errorf("%s is shown as %s", url, got)
		}
	}
}

func TestEverySettingIsDocumented(t *testing.T) {
	t.Parallel()
	entries, err := Reference()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Doc == "" || !strings.HasSuffix(e.Doc, ".") {
			t.Errorf("%s has no whole sentence of documentation: %q", e.Key, e.Doc)
		}
	}
}

func TestSizesReadAndPrint(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Size{"0": 0, "5": 5, "1KiB": 1024, "3 MiB": 3 << 20, "2048MiB": 2 << 30} {
		got, err := ParseSize(text)
		if err != nil || got != want {
			t.Errorf("%s is %d, %v", text, got, err)
		}
		if again, err := ParseSize(got.String()); err != nil || again != got {
			t.Errorf("%s prints as %s", text, got)
		}
	}
	for _, text := range []string{"", "-1", "1MB", "x", "9999999999GiB"} {
		if _, err := ParseSize(text); err == nil {
			t.Errorf("%q is a size", text)
		}
	}
}

func TestAgesReadAndPrint(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"90d": "90d", "36h": "36h0m0s", "48h": "2d", "0": "0", "0d": "0", "1h30m": "1h30m0s"} {
		got, err := ParseAge(text)
		if err != nil || got.String() != want {
			t.Errorf("%s is %s, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "d", "-1d", "1.5d", "99999d", "-3h", "3", "1w"} {
		if got, err := ParseAge(text); err == nil {
			t.Errorf("%q is %s", text, got)
		}
	}
}

func TestNearestOffersOnlyWhatMayHaveBeenMeant(t *testing.T) {
	t.Parallel()
	all := []string{"store", "output", "log.format"}
	for s, want := range map[string]string{"stroe": "store", "outptu": "output", "log.fromat": "log.format", "zzzzzz": ""} {
		if got := Nearest(s, all); got != want {
			t.Errorf("nearest to %s is %q, want %q", s, got, want)
		}
	}
}

func TestErrorsKeepTheirKind(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.write("system.yaml", "timeout: x\n")
	_, err := Load(p.with)
	var e *report.Error
	if !errors.As(err, &e) {
		t.Errorf("%T is no report.Error", err)
	}
}
