package mdns

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dnsctl/zone"
)

// TestAnswersComeFromTheAddressThatWasAsked matters to a server that listens on
// all addresses: a connected client takes no answer from another one.
func TestAnswersComeFromTheAddressThatWasAsked(t *testing.T) {
	t.Parallel()
	m := newMemory()
	m.configure(func(m *memory) {
		m.pools[0].AllowTransfer = append(m.pools[0].AllowTransfer, netip.MustParsePrefix("::1/128"))
	})
	m.create(big(t, "z.test.", 1, 20))
	listens := map[string][]string{"0.0.0.0:0": {"127.0.0.1", "127.0.0.2"}}
	if l, err := net.Listen("tcp", "[::1]:0"); err == nil {
		_ = l.Close()
		listens["[::]:0"] = []string{"::1"}
		listens["[::1]:0"] = []string{"::1"}
	}
	for listen, asked := range listens {
		r := start(t, m, func(c *Config) { c.Listen = []netip.AddrPort{netip.MustParseAddrPort(listen)} })
		_, port, _ := net.SplitHostPort(r.addr)
		for _, host := range asked {
			for _, network := range []string{"udp", "tcp"} {
				for _, name := range []string{"z.test.", "host10.z.test."} { // without and with content
					c := &dns.Client{Net: network, Timeout: 10 * time.Second}
					got, _, err := c.Exchange(new(dns.Msg).SetQuestion(name, dns.TypeSOA), net.JoinHostPort(host, port))
					if err != nil || got.Rcode != dns.RcodeSuccess {
						t.Errorf("%s at %s over %s, %s: %v %v", listen, host, network, name, got, err)
					}
				}
			}
		}
	}
}

func TestSeveralAddressesAreListenedOn(t *testing.T) {
	t.Parallel()
	m := newMemory()
	m.create(big(t, "z.test.", 1, 20))
	var bound []netip.AddrPort
	ready := make(chan struct{})
	r := start(t, m, func(c *Config) {
		c.Listen = append(c.Listen, netip.MustParseAddrPort("127.0.0.2:0"))
		told := c.Ready
		c.Ready = func(a, b []netip.AddrPort) { bound = a; close(ready); told(a, b) }
	})
	<-ready
	if len(bound) != 2 || bound[1].Addr() != netip.MustParseAddr("127.0.0.2") || bound[1].Port() == 0 {
		t.Fatalf("bound to %v", bound)
	}
	if r.Zones() != 1 {
		t.Errorf("%d zones", r.Zones())
	}
	got := one(t, bound[1].String(), transferQuery("z.test.", zone.TypeSOA, 0))
	if len(got) < 50 {
		t.Errorf("answer %x", got)
	}
}
