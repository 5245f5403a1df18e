package mdns

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dnsctl/wire"
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

// TestQuestionsOfSecondariesCostOneAllocation is about those that come all the
// time: the SOA's rdata is put together, nothing else.
func TestQuestionsOfSecondariesCostOneAllocation(t *testing.T) {
	m := newMemory()
	m.create(big(t, "z.test.", 7, 1))
	r := start(t, m, func(c *Config) { c.NSID = "one" })
	soa := new(dns.Msg).SetQuestion("z.test.", dns.TypeSOA)
	mixed := new(dns.Msg).SetQuestion("Z.test.", dns.TypeSOA)
	edns := soa.Copy().SetEdns0(1232, false)
	edns.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_NSID{Code: dns.EDNS0NSID}, &dns.EDNS0_EXPIRE{Code: dns.EDNS0EXPIRE}}
	current := new(dns.Msg).SetIxfr("z.test.", 7, ".", ".")
	for _, q := range []*dns.Msg{soa, mixed, edns, current} {
		msg, err := q.Pack()
		if err != nil {
			t.Fatal(err)
		}
		req, out := r.newRequest(true), make([]byte, 0, maxQuery)
		req.wait, req.counts = false, r.m.queries.shard()
		from := netip.MustParseAddrPort("127.0.0.1:5")
		allocs := testing.AllocsPerRun(1000, func() {
			got, err := req.handle(t.Context(), msg, out, from, nil)
			if h, ok := wire.ParseHeader(got); err != nil || !ok || h.Flags.Rcode() != wire.RcodeSuccess || h.Counts[wire.SectionAnswer] != 1 {
				t.Fatalf("%v: %x %v", q.Question, got, err)
			}
		})
		if q != current && allocs > 1 || allocs > 4 { // of an IXFR, the client's SOA is read
			t.Errorf("%v: %v allocations", q, allocs)
		}
	}
}

// TestBatchesCarryWhatWasAsked floods one worker's socket from several others at
// once: every answer must be the asker's own.
func TestBatchesCarryWhatWasAsked(t *testing.T) {
	t.Parallel()
	m := newMemory()
	const zones = 20 // asked at once by each of 4 clients: the kernel loses what a starved worker does not take
	for i := range zones {
		m.create(big(t, fmt.Sprintf("z%d.test.", i), i+1, 1))
	}
	for _, listen := range []string{"127.0.0.1:0", "0.0.0.0:0"} {
		r := start(t, m, func(c *Config) {
			c.Listen, c.UDPWorkers = []netip.AddrPort{netip.MustParseAddrPort(listen)}, 1
		})
		_, port, _ := net.SplitHostPort(r.addr)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				c, err := net.Dial("udp4", net.JoinHostPort("127.0.0.1", port))
				if err != nil {
					t.Error(err)
					return
				}
				defer c.Close()
				buf := make([]byte, 512)
				for round := range 20 {
					for i := range zones {
						q := transferQuery(fmt.Sprintf("z%d.test.", i), zone.TypeSOA, 0)
						q[0], q[1] = byte(round), byte(i)
						if _, err := c.Write(q); err != nil {
							t.Error(err)
						}
					}
					_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
					for got := 0; got < zones; got++ {
						k, err := c.Read(buf)
						if err != nil {
							t.Errorf("round %d: %d of %d answers: %v", round, got, zones, err)
							return
						}
						var a dns.Msg
						if err := a.Unpack(buf[:k]); err != nil || len(a.Answer) != 1 {
							t.Errorf("answer %x: %v", buf[:k], err)
							return
						}
						i := int(a.Id & 0xff)
						if soa := a.Answer[0].(*dns.SOA); int(a.Id>>8) != round || soa.Hdr.Name != fmt.Sprintf("z%d.test.", i) || int(soa.Serial) != i+1 {
							t.Errorf("round %d: %v answers question %d", round, soa, i)
						}
					}
				}
			})
		}
		wg.Wait()
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
