package mdns

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"dnsctl/fleet"
	"dnsctl/testbed"
	"dnsctl/wire"
	"dnsctl/zone"
)

// startTLS serves over TLS as well, with a certificate for mdns.test.
func startTLS(t testing.TB, m *memory, ca *testbed.CA, change func(*Config)) (r *running, addr string) {
	t.Helper()
	cert, key := ca.Issue(t, "mdns", time.Now().Add(time.Hour), "mdns.test")
	bound := make(chan string, 1)
	r = start(t, m, func(c *Config) {
		c.TLS.Listen = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}
		c.TLS.CertFile, c.TLS.KeyFile, c.TLS.ClientCAFile = cert, key, ca.File
		c.TLS.LookEvery = 20 * time.Millisecond
		told := c.Ready
		c.Ready = func(a, b []netip.AddrPort) { bound <- b[0].String(); told(a, b) }
		if change != nil {
			change(c)
		}
	})
	return r, <-bound
}

func clientTLS(ca *testbed.CA) *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(ca.Cert)
	return &tls.Config{RootCAs: pool, ServerName: "mdns.test", NextProtos: []string{"dot"}}
}

func dialTLS(t testing.TB, addr string, conf *tls.Config) *tls.Conn {
	t.Helper()
	c, err := tls.Dial("tcp", addr, conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(2 * time.Minute))
	return c
}

// withCert is conf with a client's certificate.
func withCert(t testing.TB, conf *tls.Config, cert, key string) *tls.Config {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	conf.Certificates = []tls.Certificate{pair}
	return conf
}

// rcodeOf sends a query and returns the rcode of the first message of the answer.
func rcodeOf(t testing.TB, c io.ReadWriter, q []byte) wire.Rcode {
	t.Helper()
	if err := wire.WriteFrame(c, q); err != nil {
		t.Fatal(err)
	}
	msg, err := wire.ReadFrame(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	h, _ := wire.ParseHeader(msg)
	return h.Flags.Rcode()
}

func TestZonesAreTransferredOverTLS(t *testing.T) {
	t.Parallel()
	m := newMemory()
	large, small := big(t, "large.test.", 1, 30000), big(t, "small.test.", 1, 10)
	m.create(large)
	m.create(small)
	m.addKey(t, "pool.key.", "hmac-sha256.", keySecret, fleet.Scope{PoolID: testPool})
	ca := testbed.NewCA(t)
	r, addr := startTLS(t, m, ca, nil)
	c := dialTLS(t, addr, clientTLS(ca))
	s := c.ConnectionState()
	if s.Version != tls.VersionTLS13 || s.NegotiatedProtocol != "dot" {
		t.Errorf("version %x, protocol %q", s.Version, s.NegotiatedProtocol)
	}
	key := wire.Key{Name: n("pool.key."), Algorithm: wire.HMACSHA256, Secret: []byte(keySecret)}
	for range 3 { // the last from an image
		_, recs, datas, _ := fetchOn(t, c, transferQuery("large.test.", zone.TypeAXFR, 0), nil)
		same(t, large, recs, datas)
		q, mac := wire.SignRequest(transferQuery("small.test.", zone.TypeAXFR, 0), 0, key, time.Now())
		_, recs, datas, _ = fetchOn(t, c, q, wire.NewVerifier(key, mac))
		same(t, small, recs, datas)
	}
	if got := counter(t, r, `dnsctl_mdns_queries_total{proto="tls",rcode="NOERROR",type="AXFR"}`); got != 6 {
		t.Errorf("%v transfers counted", got)
	}
	// No tickets: a second connection resumes nothing.
	conf := clientTLS(ca)
	conf.ClientSessionCache = tls.NewLRUClientSessionCache(4)
	for range 2 {
		c := dialTLS(t, addr, conf)
		rcodeOf(t, c, transferQuery("small.test.", zone.TypeSOA, 0))
		if c.ConnectionState().DidResume {
			t.Error("the session was resumed")
		}
		c.Close()
	}
}

func TestWhoDoesNotSpeakXoTIsCutOff(t *testing.T) {
	t.Parallel()
	m := newMemory()
	ca, other := testbed.NewCA(t), testbed.NewCA(t)
	r, addr := startTLS(t, m, ca, nil)
	cert, key := other.Issue(t, "stranger", time.Now().Add(time.Hour), "ns1.test")
	expired, expiredKey := ca.Issue(t, "expired", time.Now().Add(-time.Minute), "ns1.test")
	for what, conf := range map[string]*tls.Config{
		"TLS 1.2":             {InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12, NextProtos: []string{"dot"}},
		"no ALPN":             {InsecureSkipVerify: true},
		"HTTP":                {InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}},
		"another CA":          withCert(t, clientTLS(ca), cert, key),
		"expired certificate": withCert(t, clientTLS(ca), expired, expiredKey),
	} {
		c, err := tls.Dial("tcp", addr, conf)
		if err == nil { // in TLS 1.3 the client is done before the server has looked
			_ = c.SetDeadline(time.Now().Add(2 * time.Minute))
			_, err = c.Read(make([]byte, 1))
			c.Close()
		}
		if err == nil {
			t.Errorf("%s: served", what)
		}
	}
	testbed.Eventually(t, 20*time.Second, func() bool { return counter(t, r, closed("handshake failed")) == 5 })
	plain := dial(t, addr) // a DNS query without TLS
	if err := wire.WriteFrame(plain, transferQuery("z.test.", zone.TypeSOA, 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(plain); err != nil && !errors.Is(err, net.ErrClosed) && !strings.Contains(err.Error(), "reset") {
		t.Error(err)
	}
	testbed.Eventually(t, 20*time.Second, func() bool { return counter(t, r, closed("handshake failed")) == 6 })
}

// TestCertificatesAndStrictPoolsDecideWhoMayTransfer: a name in the client's
// certificate opens the pools that list it; a pool that requires TLS is
// transferred over nothing else, whoever asks.
func TestCertificatesAndStrictPoolsDecideWhoMayTransfer(t *testing.T) {
	t.Parallel()
	m := newMemory()
	local := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	m.configure(func(m *memory) {
		m.pools = []fleet.Pool{
			{ID: 1, Name: "strict", AllowTransfer: local, TLS: fleet.PoolTLS{Require: true}},
			{ID: 2, Name: "named", TLS: fleet.PoolTLS{Require: true, Clients: []string{"ns1.test", "ns2.test"}}},
			{ID: 3, Name: "plain", AllowTransfer: local},
			{ID: 4, Name: "lax", TLS: fleet.PoolTLS{Clients: []string{"ns1.test"}}},
		}
	})
	ids := map[string]int64{}
	for _, z := range []struct {
		name  string
		pools []int64
	}{{"strict.test.", []int64{1}}, {"named.test.", []int64{2}}, {"plain.test.", []int64{3}}, {"lax.test.", []int64{4}}, {"both.test.", []int64{2, 3}}} {
		ids[z.name] = m.create(big(t, z.name, 1, 5), z.pools...)
	}
	m.addKey(t, "strict.key.", "hmac-sha256.", keySecret, fleet.Scope{PoolID: 1})
	m.addKey(t, "zone.key.", "hmac-sha256.", keySecret, fleet.Scope{ZoneID: ids["both.test."]})
	ca := testbed.NewCA(t)
	r, addr := startTLS(t, m, ca, nil)
	cert, key := ca.Issue(t, "ns1", time.Now().Add(time.Hour), "NS1.test", "other.test")
	wrong, wrongKey := ca.Issue(t, "wrong", time.Now().Add(time.Hour), "ns9.test")
	conns := map[string]io.ReadWriter{
		"tcp": dial(t, r.addr), "tls": dialTLS(t, addr, clientTLS(ca)),
		"ns1": dialTLS(t, addr, withCert(t, clientTLS(ca), cert, key)), "ns9": dialTLS(t, addr, withCert(t, clientTLS(ca), wrong, wrongKey)),
	}
	const no = wire.RcodeRefused
	for _, c := range []struct {
		over, key, zone string
		transfer, soa   wire.Rcode
	}{
		{"tcp", "", "strict.test.", no, 0}, {"tls", "", "strict.test.", 0, 0},
		{"tcp", "strict.key.", "strict.test.", no, 0}, {"tls", "strict.key.", "strict.test.", 0, 0},
		{"tcp", "", "named.test.", no, no}, {"tls", "", "named.test.", no, no}, {"ns1", "", "named.test.", 0, 0}, {"ns9", "", "named.test.", no, no},
		{"tcp", "", "plain.test.", 0, 0}, {"tls", "", "plain.test.", 0, 0}, {"ns1", "", "plain.test.", 0, 0},
		{"tcp", "", "lax.test.", no, no}, {"ns1", "", "lax.test.", 0, 0},
		{"tcp", "", "both.test.", 0, 0}, {"ns1", "", "both.test.", 0, 0},
		{"tcp", "zone.key.", "both.test.", no, 0}, {"tls", "zone.key.", "both.test.", 0, 0},
		{"ns1", "strict.key.", "named.test.", no, no}, // a signed request sees what its key sees
	} {
		for qt, want := range map[zone.Type]wire.Rcode{zone.TypeAXFR: c.transfer, zone.TypeIXFR: c.transfer, zone.TypeSOA: c.soa} {
			q := transferQuery(c.zone, qt, 0)
			if c.key != "" {
				q, _ = wire.SignRequest(q, 0, wire.Key{Name: n(c.key), Algorithm: wire.HMACSHA256, Secret: []byte(keySecret)}, time.Now())
			}
			if got := rcodeOf(t, conns[c.over], q); got != want {
				t.Errorf("%s over %s with key %q: %s is %s, want %s", c.zone, c.over, c.key, qt, got, want)
			}
		}
	}
	// IXFR over UDP tells a client that is current so, but not here.
	for name, want := range map[string]wire.Rcode{"strict.test.": no, "plain.test.": 0} {
		u, err := net.Dial("udp", r.addr)
		if err != nil {
			t.Fatal(err)
		}
		_ = u.SetDeadline(time.Now().Add(2 * time.Minute))
		_, _ = u.Write(transferQuery(name, zone.TypeIXFR, 1))
		buf := make([]byte, 512)
		k, err := u.Read(buf)
		u.Close()
		h, _ := wire.ParseHeader(buf[:k])
		if err != nil || h.Flags.Rcode() != want {
			t.Errorf("IXFR over UDP of %s: %s, %v", name, h.Flags.Rcode(), err)
		}
	}
	// The list of names is followed, on connections that are open as well.
	m.configure(func(m *memory) { m.pools[1].TLS.Clients = []string{"ns9.test"} })
	follows(t, r, m)
	for over, want := range map[string]wire.Rcode{"ns1": no, "ns9": 0} {
		if got := rcodeOf(t, conns[over], transferQuery("named.test.", zone.TypeAXFR, 0)); got != want {
			t.Errorf("after the change, %s: %s", over, got)
		}
	}
}

func TestCertificatesAreReadAgainAndBadOnesChangeNothing(t *testing.T) {
	t.Parallel()
	m := newMemory()
	m.create(big(t, "z.test.", 1, 5))
	ca := testbed.NewCA(t)
	r, addr := startTLS(t, m, ca, nil)
	shown := func() string {
		c := dialTLS(t, addr, clientTLS(ca))
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	first := shown()
	old := dialTLS(t, addr, clientTLS(ca))
	ca.Issue(t, "mdns", time.Now().Add(2*time.Hour), "mdns.test")
	testbed.Eventually(t, 20*time.Second, func() bool { return shown() != first })
	if rcodeOf(t, old, transferQuery("z.test.", zone.TypeAXFR, 0)) != 0 {
		t.Error("a connection from before is of no use any more")
	}
	testbed.Eventually(t, 20*time.Second, func() bool { return counter(t, r, "dnsctl_mdns_tls_files_unusable") == 0 })

	second, file := shown(), r.cfg.TLS.CertFile
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	testbed.Eventually(t, 20*time.Second, func() bool { return counter(t, r, "dnsctl_mdns_tls_files_unusable") == 1 })
	if shown() != second {
		t.Error("another certificate is shown")
	}
	if err := os.WriteFile(file, good, 0o600); err != nil {
		t.Fatal(err)
	}
	testbed.Eventually(t, 20*time.Second, func() bool { return counter(t, r, "dnsctl_mdns_tls_files_unusable") == 0 })
}

func TestBadTLSFilesAreAClearErrorAtStart(t *testing.T) {
	t.Parallel()
	ca := testbed.NewCA(t)
	cert, key := ca.Issue(t, "a", time.Now().Add(time.Hour), "a.test")
	other, otherKey := ca.Issue(t, "b", time.Now().Add(time.Hour), "b.test")
	open := t.TempDir() + "/open.key"
	text, err := os.ReadFile(key)
	if err == nil {
		err = os.WriteFile(open, text, 0o600)
	}
	if err == nil {
		err = os.Chmod(open, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		files TLS
		want  []string
	}{
		"missing":          {TLS{CertFile: "/nowhere/cert.pem", KeyFile: key}, []string{"/nowhere/cert.pem", "no such file"}},
		"no key file":      {TLS{CertFile: cert, KeyFile: ca.File}, []string{ca.File, "private key"}},
		"swapped":          {TLS{CertFile: key, KeyFile: cert}, []string{key}},
		"of another":       {TLS{CertFile: other, KeyFile: key}, []string{other, key, "does not match"}},
		"bad CA":           {TLS{CertFile: cert, KeyFile: key, ClientCAFile: otherKey}, []string{otherKey, "no certificate"}},
		"open to everyone": {TLS{CertFile: cert, KeyFile: open}, []string{open, "0644", "chmod 600"}},
	} {
		c.files.Listen = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}
		_, err := New(Config{Source: newMemory(), Sealer: plainSealer{}, Listen: c.files.Listen, TLS: c.files, Registry: prometheus.NewRegistry()})
		if !errors.Is(err, ErrTLSFiles) {
			t.Errorf("%s: %v", what, err)
			continue
		}
		for _, w := range c.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %q does not say %q", what, err, w)
			}
		}
		if strings.Contains(err.Error(), strings.Split(string(text), "\n")[1][:20]) {
			t.Errorf("%s: a secret in %q", what, err)
		}
	}
}

func TestHalfOpenHandshakesAreBoundedInTimeAndNumber(t *testing.T) {
	t.Parallel()
	m := newMemory()
	m.create(big(t, "z.test.", 1, 5))
	ca := testbed.NewCA(t)
	r, addr := startTLS(t, m, ca, func(c *Config) {
		c.TLS.MaxHandshakes, c.TLS.MaxHandshakesClient, c.TLS.HandshakeTimeout = 6, 4, 500*time.Millisecond
	})
	from := func(ip string) net.Conn {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
		c, err := d.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		_ = c.SetDeadline(time.Now().Add(2 * time.Minute))
		return c
	}
	begin := time.Now()
	for range 6 {
		_, _ = from("127.0.0.2").Write([]byte{22, 3}) // the beginning of a record
	}
	for range 6 {
		from("127.0.0.3")
	}
	// Of each address four are let in, and with the last of those, earlier ones make
	// room.
	testbed.Eventually(t, 20*time.Second, func() bool {
		out := counter(t, r, closed("handshake timeout")) + counter(t, r, closed("made room")) + counter(t, r, closed("handshake client limit"))
		return out == 12 && counter(t, r, closed("made room")) >= 2 && counter(t, r, closed("handshake client limit")) >= 2
	})
	if took := time.Since(begin); took < 500*time.Millisecond {
		t.Errorf("cut off after %s", took)
	}
	testbed.Eventually(t, 20*time.Second, func() bool { return r.conns.count() == 0 })
	if got := rcodeOf(t, dialTLS(t, addr, clientTLS(ca)), transferQuery("z.test.", zone.TypeSOA, 0)); got != 0 {
		t.Errorf("an honest client afterwards: %s", got)
	}
}

// TestKdigTransfersOverTLS has another implementation ask.
func TestKdigTransfersOverTLS(t *testing.T) {
	t.Parallel()
	m := newMemory()
	m.configure(func(m *memory) {
		m.pools[0].AllowTransfer, m.pools[0].TLS = nil, fleet.PoolTLS{Require: true, Clients: []string{"ns1.test"}}
	})
	m.create(big(t, "z.test.", 1, 2000))
	ca := testbed.NewCA(t)
	_, addr := startTLS(t, m, ca, nil)
	cert, key := ca.Issue(t, "ns1", time.Now().Add(time.Hour), "ns1.test")
	_, port, _ := net.SplitHostPort(addr)
	run := func(args ...string) string {
		out, _ := exec.Command("kdig", append([]string{"@127.0.0.1", "-p", port, "+tls", "+tls-ca=" + ca.File, "+tls-hostname=mdns.test"}, args...)...).CombinedOutput()
		return string(out)
	}
	mine := []string{"+tls-certfile=" + cert, "+tls-keyfile=" + key, "z.test"}
	if out := run(append(mine, "AXFR")...); !strings.Contains(out, "\nhost1999.z.test.") || strings.Count(out, "\tSOA\t") != 2 {
		t.Errorf("AXFR: %.500s", out)
	}
	if out := run(append(mine, "SOA")...); !strings.Contains(out, "status: NOERROR") || !strings.Contains(out, "TLS session (TLS1.3)") {
		t.Errorf("SOA: %s", out)
	}
	if out := run("z.test", "AXFR"); !strings.Contains(out, "REFUSED") {
		t.Errorf("AXFR without a certificate: %s", out)
	}
}
