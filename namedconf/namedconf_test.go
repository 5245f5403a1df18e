package namedconf

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// folder makes a folder of these files.
func folder(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// listed is the zones in one line each, with the folder as DIR.
func listed(c *Config, dir string) string {
	var b strings.Builder
	for _, z := range c.Zones {
		fmt.Fprintf(&b, "%s %s %s file=%s view=%s %s:%d\n", z.Name, z.Class, z.Type, z.File, z.View, filepath.Base(z.Source), z.Line)
	}
	return strings.ReplaceAll(strings.TrimSpace(b.String()), dir, "DIR")
}

func TestZonesAreFound(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		files map[string]string
		opts  Options
		want  string
	}{
		"all the ways to write it": {files: map[string]string{"named.conf": `
// a comment; with { braces
# zone "no.example" { type master; };
/* zone "no.example" {
*/
acl trusted { 10/8; !{ 10.1/16; }; };
logging { channel c { file "log" versions 3 size 5m; severity info; }; category default { c; }; };
controls { inet 127.0.0.1 port 953 allow { localhost; } keys { "k"; }; };
ZONE example.org{TYPE Master;FILE"db.example.org";};
zone "b.example" IN {
	type primary; // why not
	allow-transfer { key k; file; type; };
	file "sub/b.zone" /* here */ ; masters port 53 { 192.0.2.1 key k; };
};
zone "c.example." in { type slave; masters { 192.0.2.1; }; };
zone "." { type hint; file "/abs/root.hints"; };
zone "0/25.2.0.192.in-addr.arpa" { type master; file "x"; };
zone "ch.example" chaos { type master; file "y"; };;
`}, want: `example.org. IN primary file=DIR/db.example.org view= named.conf:9
b.example. IN primary file=DIR/sub/b.zone view= named.conf:10
c.example. IN secondary file= view= named.conf:15
. IN hint file=/abs/root.hints view= named.conf:16
0/25.2.0.192.in-addr.arpa. IN primary file=DIR/x view= named.conf:17
ch.example. CHAOS primary file=DIR/y view= named.conf:18`},
		"directory, also behind the zones": {files: map[string]string{"named.conf": `
zone "a.example" { type master; file "a"; };
options { listen-on { any; }; directory "/var/cache/bind"; };
zone "b.example" { type master; file "/etc/bind/b"; };
`}, opts: Options{MapPath: [][2]string{{"/etc/bind", "/new"}, {"/var", "/old/var"}}},
			want: `a.example. IN primary file=/old/var/cache/bind/a view= named.conf:2
b.example. IN primary file=/new/b view= named.conf:4`},
		"paths are mapped at whole elements": {files: map[string]string{"named.conf": `
zone "a.example" { type master; file "/etc/bind"; };
zone "b.example" { type master; file "/etc/bindings/x"; };
zone "c.example" { type master; file "/etc//bind/./x"; };
zone "d.example" { type master; file "bind/x"; };
options { directory "/etc"; };
`}, opts: Options{MapPath: [][2]string{{"/etc/bind/", "/new"}}},
			want: `a.example. IN primary file=/new view= named.conf:2
b.example. IN primary file=/etc/bindings/x view= named.conf:3
c.example. IN primary file=/new/x view= named.conf:4
d.example. IN primary file=/new/x view= named.conf:5`},
		"views": {files: map[string]string{"named.conf": `
view "inside" { match-clients { 10/8; }; zone "a.example" { type master; file "in"; }; include "more"; };
view outside IN { zone "a.example" { type master; file "out"; }; zone "b.example" { in-view "inside"; }; };
`, "more": `zone "b.example" { type master; file "b"; };`},
			want: `a.example. IN primary file=DIR/in view=inside named.conf:2
b.example. IN primary file=DIR/b view=inside more:1
a.example. IN primary file=DIR/out view=outside named.conf:3
b.example. IN in-view file= view=outside named.conf:3`},
		"includes": {files: map[string]string{"named.conf": `
include "conf/zones";
options { include "conf/options"; };
include "d.conf";
include "conf/*.zone";
zone "e.example" { include "conf/zone-e"; };
`, "conf/zones": "zone \"a.example\" { type master; file \"a\"; };\ninclude \"near\";\n",
			"conf/near":    `zone "b.example" { type master; file "b"; };`,
			"conf/options": `directory "DIR/base";`,
			"base/d.conf":  `zone "c.example" { type master; file "c"; };`,
			"d.conf":       `this is not read`,
			"conf/1.zone":  `zone "d1.example" { type master; file "d1"; };`,
			"conf/2.zone":  `zone "d2.example" { type master; file "d2"; };`,
			"conf/zone-e":  `type primary; file "e";`},
			opts: Options{MapPath: [][2]string{{"DIR", "DIR"}}},
			want: `a.example. IN primary file=DIR/base/a view= zones:1
b.example. IN primary file=DIR/base/b view= near:1
c.example. IN primary file=DIR/base/c view= d.conf:1
d1.example. IN primary file=DIR/base/d1 view= 1.zone:1
d2.example. IN primary file=DIR/base/d2 view= 2.zone:1
e.example. IN primary file=DIR/base/e view= named.conf:6`},
		"nothing": {files: map[string]string{"named.conf": ""}, want: ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := folder(t, c.files)
			if text, ok := c.files["conf/options"]; ok {
				text = strings.ReplaceAll(text, "DIR", dir)
				if err := os.WriteFile(filepath.Join(dir, "conf/options"), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got, err := Read(filepath.Join(dir, "named.conf"), c.opts)
			if err != nil {
				t.Fatal(err)
			}
			if l := listed(got, dir); l != c.want {
				t.Fatalf("got\n%s\nwant\n%s", l, c.want)
			}
		})
	}
}

func TestFaultsNameFileAndLine(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"open brace":          {"\nzone \"a\" {\n type master;\n", `DIR/named.conf:2: brace opened here is never closed`},
		"closing brace":       {"\n};", `DIR/named.conf:2: closing brace without an opening one`},
		"no semicolon":        {"options { directory \"x\" }; ", `DIR/named.conf:1: statement "directory" is not ended by a semicolon before '}'`},
		"no semicolon at end": {"zone \"a\" { type master; }\n", `DIR/named.conf:1: statement "zone" is not ended by a semicolon before the end of the file`},
		"open comment":        {"\n\n/* x\n\n", `DIR/named.conf:3: comment opened here is never closed`},
		"open quote":          {"\nfile \"x\n\n", `DIR/named.conf:2: quoted string opened here is never closed`},
		"zero octet":          {"a\n\x00b;", `DIR/named.conf:2: zero octet: this is no configuration file`},
		"bad name":            {"zone \"a..b\" { type master; };", `DIR/named.conf:1: zone statement: name "a..b": empty label`},
		"twice":               {"zone a { type master; };\nzone \"A.\" { type master; };", `DIR/named.conf:2: zone A. is there twice; first in DIR/named.conf:1`},
		"missing include":     {"\ninclude \"none\";", `DIR/named.conf:2: include "none": no such file or directory`},
		"missing pattern":     {"\ninclude \"none*\";", `DIR/named.conf:2: include "none*": no file fits the pattern`},
		"include a folder":    {"include \".\";", `DIR/named.conf:1: include ".": not a regular file`},
		"include itself":      {"include \"./named.conf\";", `DIR/named.conf:1: include "./named.conf": this file is being read already: files include each other in a circle`},
		"include a circle":    {"\n\ninclude \"b\";", `DIR/b:1: include "named.conf": this file is being read already: files include each other in a circle`},
		"bare include":        {"include;", `DIR/named.conf:1: include wants one file name`},
		"too deep":            {strings.Repeat("a {", 200), `DIR/named.conf:1: braces are nested more than 100 deep`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := folder(t, map[string]string{"named.conf": c.text, "b": "include \"named.conf\";"})
			_, err := Read(filepath.Join(dir, "named.conf"), Options{})
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("error is %T %v", err, err)
			}
			if got := strings.ReplaceAll(e.Error(), dir, "DIR"); got != c.want {
				t.Fatalf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
	if _, err := Read(filepath.Join(t.TempDir(), "none"), Options{}); err == nil || !strings.HasSuffix(err.Error(), "none: no such file or directory") {
		t.Fatal(err)
	}
}

func TestRealConfigurationIsRead(t *testing.T) {
	t.Parallel()
	config := filepath.Join(sharedData(t), "operator", "config")
	if config == filepath.Join("operator", "config") {
		return
	}
	opts := Options{MapPath: [][2]string{{"/etc/bind/dns-master", filepath.Dir(config)}}}
	zones, missing, kinds := 0, 0, map[string]int{}
	parts, err := filepath.Glob(filepath.Join(config, "named.conf.*"))
	if err != nil || len(parts) != 8 {
		t.Fatal(parts, err)
	}
	for _, f := range parts {
		c, err := Read(f, opts)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(f, ".options") && c.Directory != "/var/cache/bind" {
			t.Fatalf("directory %q", c.Directory)
		}
		for _, z := range c.Zones {
			kinds[z.Type]++
			if !z.Primary() {
				continue
			}
			zones++
			if _, err := os.Stat(z.File); err != nil {
				if !strings.HasSuffix(z.File, ".signed") {
					t.Errorf("%s:%d: %s: %v", z.Source, z.Line, z.Name, err)
				}
				missing++
			}
		}
	}
	if missing != 14 || zones == 0 || kinds["secondary"] == 0 || len(kinds) != 2 {
		t.Fatalf("%d primary zones, %d without file, of types %v", zones, missing, kinds)
	}
	t.Logf("%d primary zones, %d secondary", zones, kinds["secondary"])
}

// sharedData is the folder of real zones beside the project; empty when it is
// not there, which only a CI run takes for a fault.
func sharedData(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
	}
	data := filepath.Join(dir, "..", "shared", "data")
	if _, err := os.Stat(data); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("real configuration is missing: %v", err)
		}
		t.Logf("real configuration is missing, so this test checked nothing: %v", err)
		return ""
	}
	return data
}

// FuzzRead wants of any octets no panic, and errors that name the file.
func FuzzRead(f *testing.F) {
	f.Add([]byte(`zone "a" in { type master; file "x"; }; view v { zone b { type slave; }; };`))
	f.Add([]byte("options{directory \"/x\";};include\"y\";#\n/**/{{};}"))
	f.Add([]byte("include \"named.conf\";"))
	dir := f.TempDir()
	path := filepath.Join(dir, "none", "named.conf")
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := readBytes(path, b)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.File == "" {
				t.Fatalf("%T %v", err, err)
			}
			return
		}
		for _, z := range c.Zones {
			if !z.Name.Valid() || z.Line < 1 || z.File != "" && !filepath.IsAbs(z.File) {
				t.Fatalf("%+v", z)
			}
		}
	})
}

// readBytes reads a configuration that is in no file. It includes nothing that
// exists, as long as no absolute path is asked for.
func readBytes(path string, b []byte) (*Config, error) {
	if strings.Contains(strings.ToLower(string(b)), "include") {
		b = []byte(strings.ReplaceAll(string(b), "/", ""))
	}
	p := newParser(Options{})
	if err := p.text(path, b, scope{in: top, class: "IN"}); err != nil {
		return nil, err
	}
	return p.resolved(path)
}
