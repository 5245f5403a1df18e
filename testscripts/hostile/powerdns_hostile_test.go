package hostile_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dnsctl/testbed"
)

// httpControlled is a rig with a real PowerDNS whose API can be spoiled.
type httpControlled struct {
	*rig
	m     *mdns
	pdns  *testbed.PowerDNS
	proxy *proxy
}

// newHTTPControlled bootstraps a PowerDNS with zones, behind an honest proxy.
func newHTTPControlled(t *testing.T, zones ...string) *httpControlled {
	t.Helper()
	addr := testbed.FreeAddr(t)
	c := &httpControlled{rig: newRig(t, "", addr)}
	for _, z := range zones {
		c.ok("zone", "create", z)
	}
	c.m = c.serve(addr)
	c.pdns = testbed.StartPowerDNS(t, testbed.PowerDNSOptions{})
	c.proxy = newProxy(t, strings.TrimPrefix(c.pdns.APIURL, "http://"))
	c.ok("server", "add", "ns1", "--type", "powerdns", "--address", c.pdns.Addr, "--control", "http://"+c.proxy.addr, "--control-key-file", c.pdns.KeyFile)
	c.ok("bootstrap", "ns1", "--wait")
	return c
}

// foreign makes a zone on the nameserver that dnsctl does not know.
func (c *httpControlled) foreign(name string) {
	c.Helper()
	ownPowerDNS(c, c.pdns, name)
}

func (c *httpControlled) answers(name string) bool {
	return strings.Contains(c.dig(c.pdns.Addr, "+norecurse", name, "SOA"), "status: NOERROR")
}

// chunks says the beginning of a list in chunks, and then nothing or an error.
func chunks(text string, hang bool) manner {
	return func(c net.Conn, _ string, stop <-chan struct{}) {
		_, _ = c.Read(make([]byte, 4096))
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", len(text), text)
		if hang {
			<-stop
			return
		}
		fmt.Fprint(c, "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n")
	}
}

// TestAnHTTPAPIThatMisbehavesIsNeverReadAsEmpty spoils the API in each way.
func TestAnHTTPAPIThatMisbehavesIsNeverReadAsEmpty(t *testing.T) {
	t.Parallel()
	c := newHTTPControlled(t, "a.example", "b.example")
	c.foreign("rogue.example")
	c.want(3, []string{`^ns1\trogue\.example\.\tforeign\t`}, "audit")
	c.m.stop() // its leader would work on the server too
	const one = `[{"name":"a.example.","kind":"Slave","masters":[],"serial":1},`
	for _, w := range []struct {
		what  string
		api   manner
		hangs bool
	}{
		{what: "refuses", api: refuses},
		{what: "hangs", api: hangs, hangs: true},
		{what: "is no HTTP", api: says("220 mail.example ESMTP\r\n")},
		{what: "fails", api: says("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n")},
		{what: "says it is not found", api: says("HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nNot Found")},
		{what: "does not let us in", api: says("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")},
		{what: "redirects", api: says("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")},
		{what: "is another page", api: says200("<html>It works!</html>")},
		{what: "says nothing", api: says200("")},
		{what: "is an empty object", api: says200("{}")},
		{what: "lists nonsense", api: says200("[{}]")},
		{what: "goes on after the list", api: says200("[]<html>")},
		{what: "fails in the middle of the list", api: chunks(one, false)},
		{what: "hangs in the middle of the list", api: chunks(one, true), hangs: true},
		{what: "is cut", api: cuts(300)},
		{what: "stops", api: stops(300), hangs: true},
		{what: "never ends", api: endless("HTTP/1.1 200 OK\r\n\r\n"+`[{"name":"`, strings.Repeat("a", 1<<16)), hangs: true},
	} {
		c.proxy.behave(w.api)
		for _, args := range [][]string{{"audit", "-o", "json"}, {"sync", "--yes", "-o", "json"}} {
			if w.hangs {
				args = append(args, "--timeout", "1s")
			}
			res := c.run(args...)
			if res.code != 1 {
				t.Errorf("%s: %v: want exit 1, have %v", w.what, args, res)
			}
			if strings.Contains(res.stdout, `"missing"`) || strings.Contains(res.stdout, `"complete": true`) {
				t.Errorf("%s: %v: it is taken for an answer: %v", w.what, args, res)
			}
			if strings.Contains(res.stdout+res.stderr, c.pdns.APIKey) {
				t.Errorf("%s: %v shows the API key", w.what, args)
			}
		}
	}
	for _, z := range []string{"a.example", "b.example", "rogue.example"} {
		if !c.answers(z) {
			t.Errorf("%s is gone", z)
		}
	}
	// An empty list makes our zones missing and the marker too: nothing comes of that.
	c.proxy.behave(says200("[]"))
	if res := c.run("sync", "--yes"); res.code == 0 || !c.answers("a.example") || !c.answers("rogue.example") {
		t.Errorf("an empty list: %v", res)
	}
	c.proxy.behave(nil)
	c.want(3, []string{`^ns1\trogue\.example\.\tforeign\t`}, "audit")
	c.want(0, []string{`^ns1\trogue\.example\.\tforeign\tdelete\tdone\t`}, "sync", "--yes")
	c.noSecret(c.pdns.APIKey)
}

// noSecret looks for a secret in all that dnsctl has written.
func (c *httpControlled) noSecret(secret string) {
	c.Helper()
	err := filepath.WalkDir(c.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(b), secret) {
			c.Errorf("the API key stands in %s", path)
		}
		return err
	})
	if err != nil {
		c.Error(err)
	}
	if said := c.m.out.String() + c.m.errs.String(); strings.Contains(said, secret) {
		c.Errorf("mdns has said the API key")
	}
}

// TestAKilledPowerDNSIsCaughtUp kills the nameserver while it is brought up, and
// dnsctl after it.
func TestAKilledPowerDNSIsCaughtUp(t *testing.T) {
	t.Parallel()
	c := newHTTPControlled(t, "a.example")
	for i := range 20 {
		c.ok("zone", "create", fmt.Sprintf("z%d.example", i))
	}
	c.pdns.Kill(t)
	c.want(1, []string{"ns1"}, "audit")
	c.pdns.Restart(t)
	testbed.EventuallyNil(t, 3*patience, func() error {
		if res := c.run("audit"); res.code != 0 {
			return fmt.Errorf("%v", res)
		}
		return nil
	})
	if !c.answers("z19.example") {
		t.Error("z19.example is not answered")
	}
}
