package mdns

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dnsctl/testbed"
	"dnsctl/wire"
	"dnsctl/zone"
)

func dial(t testing.TB, addr string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return c.(*net.TCPConn)
}

func closed(name string) string {
	return fmt.Sprintf("dnsctl_mdns_tcp_connections_closed_total{reason=%q}", name)
}

func TestPipelinedQueriesAreAnsweredInOrder(t *testing.T) {
	t.Parallel()
	m := newMemory()
	s := big(t, "z.test.", 1, 2000)
	m.create(s)
	r := start(t, m, nil)
	c := dial(t, r.addr)
	var all []byte
	add := func(q []byte, id byte) {
		q[1] = id
		all = append(all, byte(len(q)>>8), byte(len(q)))
		all = append(all, q...)
	}
	for i := range 30 {
		t := zone.TypeSOA
		if i%3 == 0 {
			t = zone.TypeAXFR
		}
		add(transferQuery("z.test.", t, 0), byte(i))
	}
	add([]byte{0, 99, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 99) // a response: no answer
	add(transferQuery("z.test.", zone.TypeSOA, 0), 100)
	// In two pieces, cut within a length prefix.
	if _, err := c.Write(all[:1]); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(all[1:]); err != nil {
		t.Fatal(err)
	}
	var ids []byte
	for len(ids) == 0 || ids[len(ids)-1] != 100 {
		msg, err := wire.ReadFrame(c, nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(ids) == 0 || ids[len(ids)-1] != msg[1] {
			ids = append(ids, msg[1])
		}
	}
	if len(ids) != 31 {
		t.Errorf("answers to %d queries: %v", len(ids), ids)
	}
	for i := range 30 {
		if ids[i] != byte(i) {
			t.Fatalf("out of order: %v", ids)
		}
	}
}

func TestClientsThatStallAreCutOff(t *testing.T) {
	t.Parallel()
	m := newMemory()
	s := big(t, "z.test.", 1, 400000)
	m.create(s)
	r := start(t, m, func(c *Config) {
		c.IdleTimeout, c.ReadTimeout, c.WriteTimeout = 300*time.Millisecond, 200*time.Millisecond, 300*time.Millisecond
	})
	silent, slow, deaf := dial(t, r.addr), dial(t, r.addr), dial(t, r.addr)
	if _, err := slow.Write([]byte{0}); err != nil { // one octet, then nothing
		t.Fatal(err)
	}
	_ = deaf.SetReadBuffer(4096)
	if err := wire.WriteFrame(deaf, transferQuery("z.test.", zone.TypeAXFR, 0)); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]*net.TCPConn{"silent": silent, "slow": slow} {
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("%s client: %v", what, err)
		}
	}
	testbed.Eventually(t, 20*time.Second, func() bool {
		return counter(t, r, closed("idle")) == 1 && counter(t, r, closed("stalled")) == 2
	})
	if got := counter(t, r, `dnsctl_mdns_transfers_total{kind="axfr",result="aborted"}`); got != 1 {
		t.Errorf("%v transfers aborted", got)
	}
	if got := counter(t, r, "dnsctl_mdns_transfer_bytes_total{kind=\"axfr\"}"); got > 8<<20 {
		t.Errorf("%v octets for a client that reads nothing", got)
	}
	testbed.Eventually(t, 10*time.Second, func() bool { return r.conns.count() == 0 })
}

func TestConnectionsAreLimitedForEachClientAndInAll(t *testing.T) {
	t.Parallel()
	m := newMemory()
	m.create(big(t, "z.test.", 1, 1))
	for _, c := range []struct {
		what   string
		change func(*Config)
	}{
		{"client limit", func(c *Config) { c.MaxConnsClient = 2 }},
		{"limit", func(c *Config) { c.MaxConns = 2 }},
	} {
		r := start(t, m, c.change)
		first, second := dial(t, r.addr), dial(t, r.addr)
		testbed.Eventually(t, 10*time.Second, func() bool { return r.conns.count() == 2 })
		third := dial(t, r.addr)
		if _, err := third.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: the third connection: %v", c.what, err)
		}
		if got := counter(t, r, closed(c.what)); got != 1 {
			t.Errorf("%s: %v connections refused", c.what, got)
		}
		_ = first.Close()
		testbed.Eventually(t, 10*time.Second, func() bool { return r.conns.count() == 1 })
		if _, rcode := soa(t, r, "z.test."); rcode != dns.RcodeSuccess {
			t.Errorf("%s: after one has left: %s", c.what, dns.RcodeToString[rcode])
		}
		_ = second.Close()
	}
}

func TestStoppingLetsTransfersFinishAndIdleOnesGo(t *testing.T) {
	t.Parallel()
	m := newMemory()
	s := big(t, "z.test.", 1, 400000)
	m.create(s)
	r := start(t, m, nil)
	idle, busy := dial(t, r.addr), dial(t, r.addr)
	if err := wire.WriteFrame(busy, transferQuery("z.test.", zone.TypeAXFR, 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := wire.ReadFrame(busy, nil); err != nil {
		t.Fatal(err)
	}
	testbed.Eventually(t, 10*time.Second, func() bool { return r.conns.count() == 2 })
	r.stop()
	if _, err := idle.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("idle connection: %v", err)
	}
	if c, err := net.Dial("tcp", r.addr); err == nil {
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("a new connection is served while stopping")
		}
		_ = c.Close()
	}
	if code, text := page(t, r, "/readyz"); code != 503 || !strings.Contains(text, "stopping") {
		t.Errorf("readyz while stopping: %d %s", code, text)
	}
	got := 0
	for {
		msg, err := wire.ReadFrame(busy, nil)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		h, _ := wire.ParseHeader(msg)
		got += int(h.Counts[wire.SectionAnswer])
	}
	if got < s.Records()*9/10 {
		t.Errorf("%d records after the stop, want the rest of %d", got, s.Records())
	}
	if err := <-r.done; err != nil {
		t.Error(err)
	}
	r.done <- nil
}

func TestTheDrainDeadlineEndsWhatDoesNotEnd(t *testing.T) {
	t.Parallel()
	m := newMemory()
	m.create(big(t, "z.test.", 1, 400000))
	r := start(t, m, func(c *Config) { c.DrainTimeout = 50 * time.Millisecond })
	c := dial(t, r.addr)
	if err := wire.WriteFrame(c, transferQuery("z.test.", zone.TypeAXFR, 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := wire.ReadFrame(c, nil); err != nil {
		t.Fatal(err)
	}
	r.stop()
	if err := <-r.done; err != nil {
		t.Error(err)
	}
	r.done <- nil
}

func TestRefusalsAreLoggedOnceASecondForEachSource(t *testing.T) {
	now := time.Unix(1000, 0)
	q := newQuiet(func() time.Time { return now })
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	for i, c := range []struct {
		after time.Duration
		b     bool
		want  bool
	}{{0, false, true}, {0, false, false}, {0, true, true}, {900 * time.Millisecond, false, false}, {100 * time.Millisecond, false, true}, {0, true, true}} {
		now = now.Add(c.after)
		from := a
		if c.b {
			from = b
		}
		if got := q.allow(from); got != c.want {
			t.Errorf("step %d: %v", i, got)
		}
	}
}
