package hostile_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dnsctl/testbed"
)

// hostileNames are legal zone names that files, shells, SQL, URLs, named.conf
// and terminals might take for something else; in presentation form.
var hostileNames = []string{
	`quo\"te.example.`, `'); drop table zones; --.example.`, `semi\;colon.example.`, `back\\slash.example.`, `new\010line.example.`,
	`nul\000.example.`, `\255\254\128.example.`, `0/25.2.0.192.in-addr.arpa.`, `\.\./\.\./etc/passwd.example.`, `/etc/passwd.`,
	`sp\032ace.example.`, `tab\009.example.`, `\027[31mred.example.`, `$(id)` + "`id`" + `.example.`, `{ type primary\; }\;.example.`,
	`\"\;\032}\;.example.`, `-o.example.`, `%2e%2e%00.example.`, `%s%n.example.`, `\@.example.`, `//comment.example.`, `#.example.`,
	`dnsctl.example.dnsctl-x.db.`, strings.Repeat(strings.Repeat("x", 63)+".", 3) + strings.Repeat("y", 61) + ".",
	strings.Repeat("z.", 126) + "z.",
}

func TestHostileNamesLiveFromImportToTheNameserver(t *testing.T) {
	t.Parallel()
	c := newControlled(t)
	for i, n := range hostileNames {
		file := c.write(fmt.Sprintf("z%d.zone", i), fmt.Sprintf("$TTL 300\n@ SOA ns1.example.net. h.example.net. 7 2 3 4 5\n@ NS ns1.example.net.\n"+
			"\\\"\\;\\\\\\010 TXT \"%d\" \"a\\\"b;c\\\\d\\010\\255\"\n", i))
		if len(n) > 240 { // no room for another label
			file = c.write(fmt.Sprintf("z%d.zone", i), fmt.Sprintf("$TTL 300\n@ SOA ns1.example.net. h.example.net. 7 2 3 4 5\n@ NS ns1.example.net.\n@ TXT \"%d\"\n", i))
		}
		c.ok("zone", "import", "--zone", n, file)
	}
	zones := func(args ...string) []string {
		var rows []struct {
			Zone string `json:"zone"`
		}
		if err := json.Unmarshal([]byte(c.ok(append(args, "-o", "json")...)), &rows); err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, r := range rows {
			out = append(out, r.Zone)
		}
		return out
	}
	if have := zones("zone", "list"); len(have) != len(hostileNames) {
		t.Errorf("%d zones of %d are there: %q", len(have), len(hostileNames), have)
	}
	for _, n := range zones("zone", "list") {
		text := c.ok("zone", "export", "--", n)
		if strings.ContainsAny(text, "\x00\x1b\r") || len(strings.Split(strings.TrimSpace(text), "\n")) != 3 {
			t.Errorf("export of %s: %q", n, text)
		}
		c.want(0, []string{`\tunchanged\t7\t`}, "zone", "import", "--zone", n, c.write("again.zone", text))
	}
	table := c.ok("zone", "list")
	if strings.ContainsAny(table, "\x00\x1b") || strings.Count(table, "\n") != len(hostileNames)+1 {
		t.Errorf("the table is torn: %q", table)
	}

	// No zone of BIND is a wildcard: that is said, and keeps nothing else.
	c.ok("zone", "create", "*.example")
	c.want(4, []string{`^ns1\t\*\.example\.\tmissing\tnone\t\t1\t\tthe nameserver cannot hold a zone of this name: .*wildcard`}, "bootstrap", "ns1")
	c.ok("zone", "delete", "*.example")
	c.want(0, nil, "bootstrap", "ns1", "--wait")
	c.want(0, nil, "audit", "--deep")
	for _, n := range zones("zone", "list") {
		if !strings.Contains(c.dig(c.named.Addr, "+norecurse", "-q", n, "-t", "SOA"), "status: NOERROR") {
			t.Errorf("%s does not answer", n)
		}
	}
	root := c.named.Dir
	if err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && path != root {
			err = fmt.Errorf("a folder %s was made", path)
		}
		if strings.ContainsAny(d.Name(), "\"'\\;\n\x00\x1b %$`{}*") || len(d.Name()) > 200 {
			t.Errorf("a file is called %q", d.Name())
		}
		return err
	}); err != nil {
		t.Error(err)
	}

	// Half of them go, all others stay.
	all := zones("zone", "list")
	c.ok(append([]string{"zone", "delete", "--max-delete", "100", "--"}, all[:len(all)/2]...)...)
	for _, n := range all[:len(all)/2] {
		testbed.EventuallyNil(t, patience, func() error {
			if out := c.dig(c.named.Addr, "+norecurse", "-q", n, "-t", "SOA"); strings.Contains(out, "ANSWER: 1") {
				return fmt.Errorf("%s still answers: %s", n, out)
			}
			return nil
		})
	}
	c.want(0, nil, "audit", "--deep")
	for _, n := range all[len(all)/2:] {
		if !strings.Contains(c.dig(c.named.Addr, "+norecurse", "-q", n, "-t", "SOA"), "ANSWER: 1") {
			t.Errorf("%s is gone as well", n)
		}
	}
}

func TestHostileForeignZonesAreCopiedRemovedAndBroughtBack(t *testing.T) {
	t.Parallel()
	c := newControlled(t, "a.example")
	foreign := []string{`semi\;colon.rogue.`, `0/25.rogue.`, `\.\..rogue.`, `new\010line.rogue.`, `\255.rogue.`, `back\\slash.rogue.`, `\027[31m.rogue.`, `\$\(id\).rogue.`}
	file := c.write("rogue.zone", "$TTL 300\n@ SOA ns.elsewhere. h.elsewhere. 42 2 3 4 5\n@ NS ns.elsewhere.\n\\010\\\" TXT \"\\010\\\"\"\n")
	for _, n := range foreign {
		c.rndc("addzone", `"`+n+`"`, fmt.Sprintf("{ type primary; file %q; };", file))
	}
	c.ok("server", "accept", "ns1", "--yes")
	res := c.run("audit", "-o", "json")
	for _, n := range foreign {
		quoted, err := json.Marshal(n)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(res.stdout, string(quoted)) {
			t.Errorf("audit does not find %s: %v", n, res)
		}
	}
	c.want(0, nil, "sync", "--yes")
	var copied []string
	for _, row := range c.copies() {
		copied = append(copied, row.Zone)
		c.want(0, nil, "quarantine", "show", fmt.Sprint(row.ID))
		c.want(0, nil, "quarantine", "restore", fmt.Sprint(row.ID))
		if !strings.Contains(c.dig(c.named.Addr, "+norecurse", "-q", row.Zone, "-t", "SOA"), "ANSWER: 1") {
			t.Errorf("%s does not come back", row.Zone)
		}
	}
	for _, n := range foreign {
		if !slices.Contains(copied, n) {
			t.Errorf("%s has no copy: %q", n, copied)
		}
	}
}

func TestNamesThatGoIntoConfigurationsArePlain(t *testing.T) {
	t.Parallel()
	r := newRig(t, "", "127.0.0.1:1")
	for _, bad := range []string{`a"b`, "a'b", `a\;b`, "a b", `a\010b`, "../x", "", "a/b", "ü"} {
		r.want(2, []string{`^dnsctl: error: `}, "tsig", "create", "--scope", "pool:main", "--", bad)
		if bad != "ü" && bad != "../x" && bad != "" {
			r.want(2, []string{`^dnsctl: error: .*name`, `^dnsctl: hint: use `}, "pool", "create", "--primary", "127.0.0.1:1", "--no-tsig", "--", bad)
		}
		r.want(2, []string{`^dnsctl: error: .*name`, `^dnsctl: hint: use `}, "server", "add", "--new", "--type", "bind", "--address", "127.0.0.1:1",
			"--control", "rndc://127.0.0.1:1", "--stats", "http://127.0.0.1:1", "--", bad)
	}
	for _, control := range []string{"rndc://127.0.0.1:1;}", "rndc://127.0.0.1:1/../x", "rndc://u:p@127.0.0.1:1", "http://127.0.0.1:1", "rndc://\n127.0.0.1:1", "unix:/etc/passwd"} {
		r.want(2, []string{`^dnsctl: error: `, "^dnsctl: hint: "}, "server", "add", "ns1", "--new", "--type", "bind", "--address", "127.0.0.1:1", "--control", control, "--stats", "http://127.0.0.1:1")
	}
	r.want(2, []string{`^dnsctl: error: .*view`}, "server", "add", "ns1", "--new", "--type", "bind", "--address", "127.0.0.1:1", "--control", "rndc://127.0.0.1:1",
		"--stats", "http://127.0.0.1:1", "--view", `a"; };`)
	if out := r.ok("server", "list", "--no-headers"); out != "" {
		t.Errorf("a server was added: %s", out)
	}
}
