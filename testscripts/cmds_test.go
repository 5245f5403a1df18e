package testscripts_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"dnsctl/testbed"
)

// cmdAddr reserves addresses on loopback until the script ends:
//
//	addr MDNS HTTP    sets $MDNS and $HTTP to 127.0.0.1:PORT, $MDNS_PORT and $HTTP_PORT to PORT
func cmdAddr(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: addr NAME...")
	}
	for _, name := range args {
		addr := testbed.FreeAddr(scriptT{ts})
		ts.Setenv(name, addr)
		ts.Setenv(name+"_PORT", portOf(addr))
	}
}

// cmdCertificates makes a CA, ca.pem, and certificates that it has signed with
// their keys, NAME.pem and NAME.key:
//
//	certificates mdns=mdns.example.net ns1=ns1.example.net
func cmdCertificates(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: certificates NAME=HOST...")
	}
	ca := testbed.NewCA(scriptT{ts})
	files := map[string]string{"ca.pem": ca.File}
	for _, arg := range args {
		name, host, _ := strings.Cut(arg, "=")
		files[name+".pem"], files[name+".key"] = ca.Issue(scriptT{ts}, name, time.Now().Add(time.Hour), host)
	}
	for to, from := range files {
		b, err := os.ReadFile(from)
		ts.Check(err)
		ts.Check(os.WriteFile(ts.MkAbs(to), b, 0o600))
	}
}

func portOf(addr string) string { return addr[strings.LastIndex(addr, ":")+1:] }

// cmdNamed starts BIND 9 until the script ends and waits until it answers:
//
//	named [-include=FILE] [-options=FILE] NAME      one that runs already, zones may be added
//	named -config=DIR/named.conf -addr=A -control=C -stats=S NAME    one with that configuration
//
// It sets $NAME_ADDR, $NAME_CONTROL, $NAME_STATS and $NAME_KEY.
func cmdNamed(ts *testscript.TestScript, neg bool, args []string) {
	flags, rest := splitFlags(ts, args)
	if neg || len(rest) != 1 {
		ts.Fatalf("usage: named [-config=FILE -addr=A -control=C -stats=S] NAME")
	}
	o := testbed.NamedOptions{AllowNewZones: true}
	if file := flags["include"]; file != "" {
		o.Config = ts.ReadFile(file)
	}
	if file := flags["options"]; file != "" {
		o.Options = ts.ReadFile(file)
	}
	if c := flags["config"]; c != "" {
		o = testbed.NamedOptions{ConfigFile: ts.MkAbs(c), Addr: flags["addr"], ControlAddr: flags["control"], StatsAddr: flags["stats"]}
	}
	n := testbed.StartNamed(scriptT{ts}, o)
	ts.Setenv(rest[0]+"_ADDR", n.Addr)
	ts.Setenv(rest[0]+"_PORT", portOf(n.Addr))
	ts.Setenv(rest[0]+"_CONTROL", n.ControlAddr)
	ts.Setenv(rest[0]+"_CONTROL_PORT", portOf(n.ControlAddr))
	ts.Setenv(rest[0]+"_STATS", n.StatsURL)
	ts.Setenv(rest[0]+"_KEY", n.KeyFile)
}

// cmdPowerDNS starts PowerDNS until the script ends and waits until it answers:
//
//	powerdns [-backend=postgres] NAME                     one that runs already
//	powerdns -config=DIR/pdns.conf -addr=A -control=C NAME    one with that configuration
//
// It sets $NAME_ADDR, $NAME_PORT, $NAME_CONTROL (the API's URL) and $NAME_KEY.
func cmdPowerDNS(ts *testscript.TestScript, neg bool, args []string) {
	flags, rest := splitFlags(ts, args)
	if neg || len(rest) != 1 {
		ts.Fatalf("usage: powerdns [-backend=postgres] [-config=FILE -addr=A -control=C] NAME")
	}
	o := testbed.PowerDNSOptions{Backend: testbed.PowerDNSBackend(flags["backend"])}
	if c := flags["config"]; c != "" {
		o = testbed.PowerDNSOptions{ConfigFile: ts.MkAbs(c), Addr: flags["addr"], APIAddr: flags["control"]}
	}
	p := testbed.StartPowerDNS(scriptT{ts}, o)
	ts.Setenv(rest[0]+"_ADDR", p.Addr)
	ts.Setenv(rest[0]+"_PORT", portOf(p.Addr))
	ts.Setenv(rest[0]+"_CONTROL", p.APIURL)
	ts.Setenv(rest[0]+"_KEY", p.KeyFile)
}

// cmdNSD starts an nsd until the script ends and waits until it answers:
//
//	nsd [-include=FILE] NAME                            one that runs already, with more of nsd.conf
//	nsd -config=DIR/nsd.conf -addr=A -control=C NAME    one with that configuration
//
// It sets $NAME_ADDR, $NAME_PORT, $NAME_CONTROL (a URL), $NAME_CERTS (a folder),
// $NAME_CONF and $NAME_DIR.
func cmdNSD(ts *testscript.TestScript, neg bool, args []string) {
	flags, rest := splitFlags(ts, args)
	if neg || len(rest) != 1 {
		ts.Fatalf("usage: nsd [-include=FILE] [-config=FILE -addr=A -control=C] NAME")
	}
	var o testbed.NSDOptions
	if file := flags["include"]; file != "" {
		o.Config = ts.ReadFile(file)
	}
	if c := flags["config"]; c != "" {
		o = testbed.NSDOptions{ConfigFile: ts.MkAbs(c), Addr: flags["addr"], Control: "tls://" + flags["control"]}
	}
	n := testbed.StartNSD(scriptT{ts}, o)
	ts.Setenv(rest[0]+"_ADDR", n.Addr)
	ts.Setenv(rest[0]+"_PORT", portOf(n.Addr))
	ts.Setenv(rest[0]+"_CONTROL", n.Control)
	ts.Setenv(rest[0]+"_CERTS", n.CertDir)
	ts.Setenv(rest[0]+"_CONF", n.ConfigFile)
	ts.Setenv(rest[0]+"_DIR", n.Dir)
}

// cmdKnot starts Knot DNS until the script ends and waits until it answers:
//
//	knot NAME                                     one that runs already
//	knot -text NAME                               the same, with its configuration in a file
//	knot -database=DIR/confdb -addr=A -socket=S NAME    one with that configuration
//
// It sets $NAME_ADDR, $NAME_PORT, $NAME_SOCKET and $NAME_DIR, where its files are.
func cmdKnot(ts *testscript.TestScript, neg bool, args []string) {
	text := len(args) > 0 && args[0] == "-text"
	if text {
		args = args[1:]
	}
	flags, rest := splitFlags(ts, args)
	if neg || len(rest) != 1 {
		ts.Fatalf("usage: knot [-text] [-database=DIR -addr=A -socket=S] NAME")
	}
	o := testbed.KnotOptions{TextOnly: text}
	if d := flags["database"]; d != "" {
		o = testbed.KnotOptions{Database: ts.MkAbs(d), Addr: flags["addr"], Socket: flags["socket"]}
	}
	k := testbed.StartKnot(scriptT{ts}, o)
	ts.Setenv(rest[0]+"_ADDR", k.Addr)
	ts.Setenv(rest[0]+"_PORT", portOf(k.Addr))
	ts.Setenv(rest[0]+"_SOCKET", k.Socket)
	ts.Setenv(rest[0]+"_DIR", k.Dir)
}

// cmdSSHD starts an sshd until the script ends, and puts an ssh that may log in
// there before others in $PATH:
//
//	sshd NAME    sets $NAME to USER@HOST:PORT
func cmdSSHD(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: sshd NAME")
	}
	s := testbed.StartSSHD(scriptT{ts}, "")
	ssh, err := exec.LookPath("ssh")
	ts.Check(err)
	bin := ts.MkAbs("ssh-bin")
	ts.Check(os.MkdirAll(bin, 0o755))
	ts.Check(os.WriteFile(filepath.Join(bin, "ssh"), fmt.Appendf(nil, "#!/bin/sh\nexec %s -F %s \"$@\"\n", ssh, s.Config), 0o755))
	ts.Setenv("PATH", bin+":"+ts.Getenv("PATH"))
	ts.Setenv(args[0], s.User+"@"+s.Addr)
}

// cmdAPI asks PowerDNS's API for something, as its operator does:
//
//	api POST $NS1_CONTROL/api/v1/servers/localhost/zones $NS1_KEY zone.json
func cmdAPI(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: api METHOD URL KEYFILE BODYFILE")
	}
	req, err := http.NewRequest(args[0], args[1], strings.NewReader(ts.ReadFile(args[3])))
	ts.Check(err)
	req.Header.Set("X-API-Key", strings.TrimSpace(ts.ReadFile(args[2])))
	res, err := (&http.Client{Timeout: waitDeadline}).Do(req)
	ts.Check(err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	ts.Check(err)
	if res.StatusCode >= 300 {
		ts.Fatalf("%s %s: %d: %s", args[0], args[1], res.StatusCode, body)
	}
}

// waitDeadline is how long a condition may take to become true.
const waitDeadline = 30 * time.Second

// cmdWaitFor runs a command again and again until its output, both streams,
// matches a pattern; with ! until it does not:
//
//	wait-for 192\.0\.2\.1 dig +short ...
func cmdWaitFor(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: wait-for PATTERN COMMAND...")
	}
	want, err := regexp.Compile(args[0])
	ts.Check(err)
	testbed.EventuallyNil(scriptT{ts}, waitDeadline, func() error {
		err := ts.Exec(args[1], args[2:]...)
		out := ts.ReadFile("stdout") + ts.ReadFile("stderr")
		if want.MatchString(out) != neg {
			return nil
		}
		return fmt.Errorf("%s (%v) says %q", strings.Join(args[1:], " "), err, out)
	})
}

// cmdGet fetches a URL and wants this status; the body becomes the file body:
//
//	get 200 http://$HTTP/healthz
func cmdGet(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: get STATUS URL")
	}
	client := http.Client{Timeout: waitDeadline}
	res, err := client.Get(args[1])
	ts.Check(err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs("body"), body, 0o600))
	if got := strconv.Itoa(res.StatusCode); got != args[0] {
		ts.Fatalf("%s answers %s: %s", args[1], got, body)
	}
}

// cmdWaitGet fetches a URL again and again until its body matches a pattern:
//
//	wait-get '"ready":true' http://$HTTP/servers/ns1/ready
func cmdWaitGet(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: wait-get PATTERN URL")
	}
	want, err := regexp.Compile(args[0])
	ts.Check(err)
	client := http.Client{Timeout: waitDeadline}
	testbed.EventuallyNil(scriptT{ts}, waitDeadline, func() error {
		res, err := client.Get(args[1])
		if err != nil {
			return err
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err == nil && !want.Match(body) {
			err = fmt.Errorf("%s says %q", args[1], body)
		}
		return err
	})
}

// cmdLines counts the lines of a file, or of the last command's stdout:
//
//	lines 12 stdout
func cmdLines(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: lines N FILE")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := strings.Count(ts.ReadFile(args[1]), "\n")
	if (got == want) == neg {
		ts.Fatalf("%s has %d lines", args[1], got)
	}
}

// cmdMode checks a file's permissions:
//
//	mode 0600 identity.age
func cmdMode(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: mode OCTAL FILE")
	}
	want, err := strconv.ParseUint(args[0], 8, 32)
	ts.Check(err)
	info, err := os.Stat(ts.MkAbs(args[1]))
	ts.Check(err)
	if (uint64(info.Mode().Perm()) == want) == neg {
		ts.Fatalf("%s has mode %04o", args[1], info.Mode().Perm())
	}
}
