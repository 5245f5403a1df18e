package hostile_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"dnsctl/testbed"
)

// xot is mdns with a TLS listener, and what its clients need.
type xot struct {
	*mdns
	*rig
	ca  *testbed.CA
	tls string // address
}

// newXoT serves large.example and small.example to anybody over anything,
// strict.example over TLS only, and cert.example to a client with a certificate
// of ns1.example.net.
func newXoT(t *testing.T) *xot {
	t.Helper()
	r := newRig(t, "", "127.0.0.1:5300")
	x := &xot{rig: r, ca: testbed.NewCA(t), tls: testbed.FreeAddr(t)}
	r.ok("pool", "create", "open", "--primary", "127.0.0.1:5300", "--no-tsig", "--allow-transfer", "127.0.0.0/8")
	r.ok("pool", "create", "strict", "--primary", "127.0.0.1:8853", "--no-tsig", "--require-tls", "--allow-transfer", "127.0.0.0/8")
	r.ok("pool", "create", "cert", "--primary", "127.0.0.1:8853", "--no-tsig", "--require-tls", "--tls-client", "ns1.example.net")
	var text strings.Builder
	text.WriteString("$TTL 300\n@ SOA ns1.example.net. h.example.net. 1 2 3 4 5\n@ NS ns1.example.net.\n")
	for i := range 100000 {
		fmt.Fprintf(&text, "host%d TXT \"a text that takes some room on the wire, so that buffers fill\"\n", i)
	}
	r.ok("zone", "import", "--pool", "open", "--zone", "large.example", r.write("large.zone", text.String()))
	for zone, pool := range map[string]string{"small.example": "open", "strict.example": "strict", "cert.example": "cert"} {
		r.ok("zone", "create", "--pool", pool, "--ns", "ns1.example.net", zone)
	}
	cert, key := x.ca.Issue(t, "mdns", time.Now().Add(time.Hour), "mdns.example.net")
	x.mdns = r.serve(testbed.FreeAddr(t), "--tls-listen", x.tls, "--tls-cert", cert, "--tls-key", key, "--tls-client-ca", x.ca.File)
	return x
}

// client is the settings of a proper client, with a certificate where there is one.
func (x *xot) client(certificates ...tls.Certificate) *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(x.ca.Cert)
	return &tls.Config{RootCAs: pool, ServerName: "mdns.example.net", NextProtos: []string{"dot"}, Certificates: certificates}
}

// dial connects to the TLS port from an address.
func (x *xot) dial(from string) *net.TCPConn {
	x.rig.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := d.Dial("tcp", x.tls)
	if err != nil {
		x.rig.Fatal(err)
	}
	x.rig.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn)
}

// ask sends one question over a new TLS connection and reads the first message of
// the answer.
func (x *xot) ask(conf *tls.Config, question string) (rcode byte, err error) {
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", x.tls, conf)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := c.Write(framed(question)); err != nil {
		return 0, err
	}
	head := make([]byte, 2+12)
	_, err = io.ReadFull(c, head)
	return head[2+3] & 0xf, err
}

// framed is a question, as packet makes it, with its length.
func framed(question string) []byte {
	p := packet(1, question)
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(p))), p...)
}

// Questions, as octets.
const (
	largeAXFR  = "\x05large\x07example\x00\x00\xfc\x00\x01"
	smallAXFR  = "\x05small\x07example\x00\x00\xfc\x00\x01"
	strictAXFR = "\x06strict\x07example\x00\x00\xfc\x00\x01"
	certAXFR   = "\x04cert\x07example\x00\x00\xfc\x00\x01"
)

func (x *xot) closed(reason string) string {
	return x.metric(fmt.Sprintf("dnsctl_mdns_tcp_connections_closed_total{reason=%q}", reason))
}

// TestTLSClientsThatStallAreBoundedAndHonestOnesServed has many clients that
// begin a handshake and no more, and some that ask for a large zone over TLS again
// and again and read nothing. Meanwhile proper clients are served over TLS, TCP
// and UDP.
func TestTLSClientsThatStallAreBoundedAndHonestOnesServed(t *testing.T) {
	t.Parallel()
	x := newXoT(t)
	const half, limit, deaf = 100, 64, 20
	for i := range half {
		c := x.dial("127.0.0.2")
		if i%2 == 0 {
			_, _ = c.Write([]byte{22, 3, 1, 2, 0, 1, 0}) // the beginning of a ClientHello
		}
	}
	for range deaf {
		raw := x.dial("127.0.0.3")
		_ = raw.SetReadBuffer(4096)
		c := tls.Client(raw, x.client())
		if err := c.Handshake(); err != nil {
			t.Fatal(err)
		}
		for range 50 {
			if _, err := c.Write(framed(largeAXFR)); err != nil {
				t.Fatal(err)
			}
		}
	}
	testbed.Eventually(t, patience, func() bool {
		return x.closed("handshake client limit") == fmt.Sprint(half-limit) && x.metric("dnsctl_mdns_transfers ") == fmt.Sprint(deaf)
	})
	for range 20 {
		begin := time.Now()
		if rcode, err := x.ask(x.client(), smallAXFR); rcode != 0 || err != nil {
			t.Fatalf("an honest client over TLS after %s: rcode %d, %v", time.Since(begin), rcode, err)
		}
		if out := x.dig(x.addr, "+tcp", "small.example", "AXFR"); !strings.Contains(out, "XFR size: 3 records") {
			t.Fatalf("an honest client over TCP after %s: %s", time.Since(begin), out)
		}
		if out := x.dig(x.addr, "small.example", "SOA"); !strings.Contains(out, "NOERROR") {
			t.Fatalf("an honest client over UDP after %s: %s", time.Since(begin), out)
		}
	}
	var resident float64
	if _, err := fmt.Sscanf(x.metric("process_resident_memory_bytes"), "%g", &resident); err != nil || resident > 400<<20 {
		t.Errorf("%.0f octets of memory, %v", resident, err)
	}
	// Handshakes end in time; those that read nothing have longer.
	testbed.Eventually(t, patience, func() bool {
		return x.closed("handshake timeout") == fmt.Sprint(limit) && x.metric("dnsctl_mdns_tcp_connections ") == fmt.Sprint(deaf)
	})
	if n := strings.Count(x.errs.String(), "TLS handshake failed"); n == 0 || n > 60 {
		t.Errorf("%d lines in the log about %d handshakes", n, limit)
	}
}

// TestWhoDoesNotSpeakXoTGetsNoZone: other protocols, older TLS, plain octets,
// strangers' certificates; and strict pools over anything but TLS.
func TestWhoDoesNotSpeakXoTGetsNoZone(t *testing.T) {
	t.Parallel()
	x := newXoT(t)
	certificate := func(ca *testbed.CA, file, name string) tls.Certificate {
		cert, key := ca.Issue(t, file, time.Now().Add(time.Hour), name)
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			t.Fatal(err)
		}
		return pair
	}
	ns1 := certificate(x.ca, "ns1", "ns1.example.net")
	set := func(change func(*tls.Config)) *tls.Config {
		conf := x.client()
		change(conf)
		return conf
	}
	bad := map[string]*tls.Config{
		"TLS 1.2":                 set(func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }),
		"no ALPN":                 set(func(c *tls.Config) { c.NextProtos = nil }),
		"the web's ALPN":          set(func(c *tls.Config) { c.NextProtos = []string{"h2", "http/1.1"} }),
		"a stranger's CA":         x.client(certificate(testbed.NewCA(t), "stranger", "ns1.example.net")),
		"another name's primary":  set(func(c *tls.Config) { c.ServerName = "other.example.net" }),
		"a CA that is not mdns's": set(func(c *tls.Config) { c.RootCAs = x509.NewCertPool() }),
	}
	for what, conf := range bad {
		if rcode, err := x.ask(conf, smallAXFR); err == nil {
			t.Errorf("%s: an answer, rcode %d", what, rcode)
		}
	}
	for what, octets := range map[string][]byte{
		"a DNS question": framed(strictAXFR), "HTTP": []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), "zeros": make([]byte, 4096),
		"a record of 64 KiB": append([]byte{22, 3, 1, 0xff, 0xff}, make([]byte, 70000)...),
	} {
		c := x.dial("127.0.0.4")
		_ = c.SetDeadline(time.Now().Add(patience))
		_, _ = c.Write(octets)
		if got, err := io.ReadAll(c); errors.Is(err, os.ErrDeadlineExceeded) || len(got) > 7 { // an alert at most
			t.Errorf("%s on the TLS port: %q, %v", what, got, err)
		}
	}
	testbed.Eventually(t, patience, func() bool { return x.closed("handshake failed") == fmt.Sprint(len(bad)+4) })

	// Garbage inside of TLS ends that connection.
	c, err := tls.Dial("tcp", x.tls, x.client())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := c.Write(append([]byte{0, 3, 1, 2, 3}, framed(smallAXFR)...)); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(io.LimitReader(c, 3)); err != nil && !errors.Is(err, io.EOF) {
		t.Errorf("a message of three octets: %q, %v", got, err)
	}

	const refused = 5
	for _, q := range []struct {
		what, question string
		conf           *tls.Config
		rcode          byte
	}{
		{"strict, over TLS", strictAXFR, x.client(), 0},
		{"by certificate, without one", certAXFR, x.client(), refused},
		{"by certificate, with another", certAXFR, x.client(certificate(x.ca, "ns9", "ns9.example.net")), refused},
		{"by certificate, with it", certAXFR, x.client(ns1), 0},
	} {
		if rcode, err := x.ask(q.conf, q.question); rcode != q.rcode || err != nil {
			t.Errorf("%s: rcode %d, %v", q.what, rcode, err)
		}
	}
	for _, args := range [][]string{{"AXFR"}, {"IXFR=1"}, {"IXFR=0", "+tcp"}, {"IXFR=4294967295", "+tcp"}} {
		for _, zone := range []string{"strict.example", "cert.example"} {
			out := x.dig(x.addr, append([]string{zone}, args...)...)
			if strings.Contains(out, "NOERROR") || strings.Contains(out, "XFR size: 3") || !strings.Contains(out, "Transfer failed") && !strings.Contains(out, "REFUSED") {
				t.Errorf("%s %v without TLS: %s", zone, args, out)
			}
		}
	}
}

// TestTLSCertificatesAreReplacedWithoutARestart: good files are used soon, bad
// ones change nothing and are told, and a transfer under way goes on.
func TestTLSCertificatesAreReplacedWithoutARestart(t *testing.T) {
	t.Parallel()
	x := newXoT(t)
	serial := func() string {
		c, err := tls.Dial("tcp", x.tls, x.client())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	raw := x.dial("127.0.0.5")
	_ = raw.SetReadBuffer(64 << 10)
	under := tls.Client(raw, x.client())
	if _, err := under.Write(framed(largeAXFR)); err != nil {
		t.Fatal(err)
	}
	testbed.Eventually(t, patience, func() bool { return x.metric("dnsctl_mdns_transfers ") == "1" })

	first := serial()
	cert, key := x.ca.Issue(t, "mdns", time.Now().Add(2*time.Hour), "mdns.example.net")
	testbed.Eventually(t, patience, func() bool { return serial() != first })
	second := serial()

	// The transfer of before ends as it should: a second SOA, after all records.
	_ = under.SetDeadline(time.Now().Add(patience))
	records := 0
	for records < 100003 {
		head := make([]byte, 2+12)
		if _, err := io.ReadFull(under, head); err != nil {
			t.Fatalf("after %d records: %v", records, err)
		}
		records += int(binary.BigEndian.Uint16(head[2+6:]))
		if _, err := io.CopyN(io.Discard, under, int64(binary.BigEndian.Uint16(head))-12); err != nil {
			t.Fatal(err)
		}
	}
	if records != 100003 {
		t.Errorf("%d records", records)
	}

	good, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(key, good[:len(good)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	testbed.Eventually(t, patience, func() bool { return x.metric("dnsctl_mdns_tls_files_unusable") == "1" })
	if got := serial(); got != second {
		t.Errorf("certificate %s is shown, not %s", got, second)
	}
	if log := x.errs.String(); !strings.Contains(log, cert) || strings.Contains(log, strings.Split(string(good), "\n")[1][:20]) {
		t.Errorf("the log: %s", log)
	}
	if err := os.WriteFile(key, good, 0o600); err != nil {
		t.Fatal(err)
	}
	testbed.Eventually(t, patience, func() bool { return x.metric("dnsctl_mdns_tls_files_unusable") == "0" })
}
