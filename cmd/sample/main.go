// Command sample writes the zones that the repository ships for the demo and
// the tests: over 300 made-up zones with their named.conf, in reserved names
// (RFC 2606) and documentation addresses (RFC 5737, RFC 3849) only.
//
//	sample DIR          writes everything but the signed zone, always the same
//	sample -sign DIR    makes the signed zone anew (BIND's tools; new keys, which are thrown away)
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	sign := flag.Bool("sign", false, "make the signed zone anew")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: sample [-sign] DIR")
		os.Exit(2)
	}
	write := writeSample
	if *sign {
		write = writeSigned
	}
	if err := write(flag.Arg(0)); err != nil {
		fmt.Fprintf(os.Stderr, "sample: %v\n", err)
		os.Exit(1)
	}
}

// writeSample writes the generated files into dir and removes every other
// except the signed zone.
func writeSample(dir string) error {
	wanted := sample()
	for name, text := range wanted {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if _, ok := wanted[filepath.ToSlash(name)]; ok || filepath.ToSlash(name) == signedFile {
			return nil
		}
		return os.Remove(path)
	})
}

// sample is every generated file: its slash-separated name below the sample's
// folder, and its text.
func sample() map[string]string {
	const (
		modern = "zone %q {\n\ttype primary;\n\tfile %q;\n};\n"
		older  = "zone %q IN { type master; file %q; };\n" // what most files in the field still have
	)
	groups := []struct {
		conf, title, statement string
		zones                  []zoneFile
	}{
		{"forward.conf", "What customers have", modern, forward()},
		{"reverse.conf", "Reverse zones: IPv4, classless delegations (RFC 2317), IPv6", older, reverse()},
		{"special.conf", "Zones that show one thing each", modern, special()},
	}
	files := map[string]string{
		"include/mail.inc":   mailInclude,
		"include/policy.inc": policyInclude,
	}
	var includes strings.Builder
	for _, g := range groups {
		var conf strings.Builder
		fmt.Fprintf(&conf, "// %s.\n\n", g.title)
		for _, z := range g.zones {
			if z.file != signedFile {
				files[z.file] = z.text
			}
			fmt.Fprintf(&conf, g.statement, z.name, z.file)
		}
		files[g.conf] = conf.String()
		fmt.Fprintf(&includes, "include %q;\n", g.conf)
	}
	files["named.conf"] = fmt.Sprintf(namedConf, includes.String())
	return files
}

// zoneFile is a zone to write: its name without the final dot, the file below
// the sample's folder, and the master file text.
type zoneFile struct {
	name, file, text string
}

// newZone puts a zone into the file that its name suggests.
func newZone(folder, name, text string) zoneFile {
	return zoneFile{name: name, file: folder + "/" + strings.ReplaceAll(name, "/", "-") + ".zone", text: text}
}

// soa is the head of a master file.
func soa(serial int) string {
	return fmt.Sprintf("$TTL 3600\n@ IN SOA ns1.example.net. hostmaster.example.net. %d 7200 900 1209600 300\n"+
		"@ IN NS ns1.example.net.\n@ IN NS ns2.example.net.\n", serial)
}

// v4 is an address of the three documentation networks.
func v4(n int) string {
	nets := []string{"192.0.2", "198.51.100", "203.0.113"}
	return fmt.Sprintf("%s.%d", nets[n%3], 1+n/3%254)
}

// v6 is an address in the /48 that customer n has.
func v6(n, host int) string { return fmt.Sprintf("2001:db8:%x::%x", n, host) }
