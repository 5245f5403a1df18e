package hostile_test

import (
	"encoding/binary"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"dnsctl/testbed"
)

// TestTCPClientsThatStallAreBoundedAndHonestOnesServed has many clients that
// send one octet, and some that ask for a large zone again and again and read
// nothing. Meanwhile a proper client is served, and in the end those that
// sent one octet are cut off and counted.
func TestTCPClientsThatStallAreBoundedAndHonestOnesServed(t *testing.T) {
	t.Parallel()
	r := newRig(t, "", "127.0.0.1:5300")
	r.ok("pool", "create", "open", "--primary", "127.0.0.1:5300", "--no-tsig", "--allow-transfer", "127.0.0.0/8")
	var text strings.Builder
	text.WriteString("$TTL 300\n@ SOA ns1.example.net. h.example.net. 1 2 3 4 5\n@ NS ns1.example.net.\n")
	for i := range 40000 {
		fmt.Fprintf(&text, "host%d TXT \"a text that takes some room on the wire, so that buffers fill\"\n", i)
	}
	r.ok("zone", "import", "--pool", "open", "--zone", "large.example", r.write("large.zone", text.String()))
	r.ok("zone", "create", "--pool", "open", "--ns", "ns1.example.net", "small.example")
	m := r.serve(testbed.FreeAddr(t))

	dial := func(from string) *net.TCPConn {
		t.Helper()
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		c, err := d.Dial("tcp", m.addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c.(*net.TCPConn)
	}
	// More than one address may have at all: the rest is refused at once.
	const slow, limit = 600, 512
	for i := range slow {
		if _, err := dial("127.0.0.2").Write([]byte{byte(i >> 8)}); err != nil && i < limit {
			t.Fatal(err)
		}
	}
	axfr := packet(1, "\x05large\x07example\x00\x00\xfc\x00\x01")
	framed := append(binary.BigEndian.AppendUint16(nil, uint16(len(axfr))), axfr...)
	for range 20 {
		c := dial("127.0.0.3")
		_ = c.SetReadBuffer(4096)
		for range 50 {
			if _, err := c.Write(framed); err != nil {
				t.Fatal(err)
			}
		}
	}
	testbed.Eventually(t, patience, func() bool {
		return m.metric(`dnsctl_mdns_tcp_connections_closed_total{reason="client limit"}`) == fmt.Sprint(slow-limit)
	})
	testbed.Eventually(t, patience, func() bool { return m.metric("dnsctl_mdns_transfers ") == "20" })

	for range 20 {
		begin := time.Now()
		if out := r.dig(m.addr, "+tcp", "small.example", "AXFR"); !strings.Contains(out, "XFR size: 3 records") {
			t.Fatalf("an honest client after %s: %s", time.Since(begin), out)
		}
	}
	if out := r.dig(m.addr, "large.example", "AXFR"); !strings.Contains(out, "XFR size: 40003 records") {
		t.Errorf("a large transfer beside those that read nothing: %.300s", out)
	}
	var resident float64
	if _, err := fmt.Sscanf(m.metric("process_resident_memory_bytes"), "%g", &resident); err != nil || resident > 300<<20 {
		t.Errorf("%.0f octets of memory, %v", resident, err)
	}
	// Those that read nothing have longer, and are still there.
	testbed.Eventually(t, patience, func() bool {
		return m.metric(`dnsctl_mdns_tcp_connections_closed_total{reason="stalled"}`) == fmt.Sprint(limit) && m.metric("dnsctl_mdns_tcp_connections ") == "20"
	})
}
