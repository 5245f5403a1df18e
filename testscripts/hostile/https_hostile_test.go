package hostile_test

import (
	"crypto/tls"
	"io"
	"log"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dnsctl/testbed"
)

// tlsProxy stands before an HTTP API with a certificate of a CA, until the test
// ends, and returns its URL.
func tlsProxy(t *testing.T, api string, ca *testbed.CA, until time.Time, names ...string) string {
	t.Helper()
	u, err := url.Parse(api)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := tls.LoadX509KeyPair(ca.Issue(t, testbed.FreeAddr(t), until, names...))
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(httputil.NewSingleHostReverseProxy(u))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes that the client ends
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL
}

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestAnAPIBehindTLSIsUsedOnlyWithItsCertificate has PowerDNS behind a proxy: all
// goes over it when its CA is known, and nothing, the API key least of all, when
// its certificate is not good.
func TestAnAPIBehindTLSIsUsedOnlyWithItsCertificate(t *testing.T) {
	t.Parallel()
	addr := testbed.FreeAddr(t)
	c := &httpControlled{rig: newRig(t, "", addr)}
	c.ok("zone", "create", "a.example")
	c.m = c.serve(addr)
	c.pdns = testbed.StartPowerDNS(t, testbed.PowerDNSOptions{})
	ca, other := testbed.NewCA(t), testbed.NewCA(t)
	good := tlsProxy(t, c.pdns.APIURL, ca, time.Now().Add(time.Hour))
	key := read(t, c.pdns.KeyFile)
	dir := t.TempDir() // not what dnsctl writes to
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	both := file("control", key+read(t, ca.File))
	add := func(url, file string) []string {
		return []string{"server", "add", "ns1", "--type", "powerdns", "--address", c.pdns.Addr, "--control", url, "--control-key-file", file}
	}
	_, private := ca.Issue(t, "private", time.Now().Add(time.Hour))
	for _, w := range []struct {
		what, url, file string
		code            int
		says            []string
	}{
		{"a CA that nobody knows", good, c.pdns.KeyFile, 1, []string{`nobody vouches for its certificate: .*belongs into the file of --control-key-file, below the key`}},
		{"another's CA", good, file("others", key+read(t, other.File)), 1, []string{`nobody vouches for its certificate`}},
		{"expired", tlsProxy(t, c.pdns.APIURL, ca, time.Now().Add(-time.Minute)), both, 1, []string{`its certificate is not good: .*expired`}},
		{"another name", strings.Replace(tlsProxy(t, c.pdns.APIURL, ca, time.Now().Add(time.Hour), "dns.example"), "127.0.0.1", "localhost", 1), both, 1,
			[]string{`its certificate is not good: .*valid for dns\.example, not localhost`}},
		{"no TLS there", strings.Replace(c.pdns.APIURL, "http:", "https:", 1), both, 1, []string{`cannot be reached`}},
		{"a private key below the API key", good, file("private", key+read(t, private)), 1, []string{`more than certificates in PEM`}},
		{"cut", good, file("cut", key+read(t, ca.File)[:200]), 1, []string{`more than certificates in PEM`}},
	} {
		res := c.want(w.code, append(w.says, `^dnsctl: error: `), add(w.url, w.file)...)
		if strings.Contains(res.stderr, strings.TrimSpace(key)) || strings.Contains(res.stderr, "PRIVATE") {
			t.Errorf("%s: a secret is shown: %v", w.what, res)
		}
	}
	c.want(0, []string{`ns1 answers: PowerDNS 4\.`}, add(good, both)...)
	c.ok("bootstrap", "ns1", "--wait")
	c.foreign("rogue.example")
	c.want(0, []string{`^ns1\trogue\.example\.\tforeign\tdelete\tdone\t`}, "sync", "--yes")
	c.ok("zone", "create", "b.example")
	testbed.Eventually(t, patience, func() bool { return c.answers("b.example") && c.answers("a.example") })
	c.want(0, nil, "audit", "--deep")
	c.noSecret(c.pdns.APIKey)

	// The proxy moves, and then gets another certificate.
	moved := tlsProxy(t, c.pdns.APIURL, other, time.Now().Add(time.Hour))
	c.ok("server", "set", "ns1", "--control", moved, "--control-key-file", file("others", key+read(t, other.File)))
	c.ok("audit")
	c.ok("server", "set", "ns1", "--control", good, "--control-key-file", both)
	c.want(1, []string{`nobody vouches for its certificate`, `hint: .*--no-check`}, "server", "set", "ns1", "--control", moved)
	c.ok("audit")
	c.ok("server", "set", "ns1", "--control", moved, "--no-check")
	c.want(1, []string{`nobody vouches for its certificate`}, "audit")
}
