package mdns

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dnsctl/fleet"
	"dnsctl/wire"
)

// TestAnswersSayWhatWasAskedAboutTheZone: EXPIRE (RFC 7314), ZONEVERSION (RFC
// 9660), NSID (RFC 5001) and what an rcode does not say (RFC 8914), over UDP and
// TCP, with content that is in memory and that is not.
func TestAnswersSayWhatWasAskedAboutTheZone(t *testing.T) {
	t.Parallel()
	const nsid, expire, version = dns.EDNS0NSID, dns.EDNS0EXPIRE, wire.OptZoneVersion
	m := newMemory()
	local := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	m.configure(func(m *memory) {
		m.pools = []fleet.Pool{{ID: 1, Name: "open", AllowTransfer: local}, {ID: 2, Name: "strict", AllowTransfer: local, TLS: fleet.PoolTLS{Require: true}}, {ID: 3, Name: "other"}}
	})
	first := big(t, "z.test.", 7, 3000)
	id := m.create(first, 1)
	m.create(big(t, "strict.test.", 1, 3), 2)
	m.create(big(t, "other.test.", 1, 3), 3)
	m.create(big(t, "deep.er.test.", 0xfffffff0, 3), 1)
	r := start(t, m, func(c *Config) { c.NSID = "replica-1" })
	m.change(id, put(t, first, "", "new.z.test. 60 IN A 192.0.2.1\n"))
	follows(t, r, m)

	// What follows is asked in this order, so that the first transfer finds nothing
	// in memory, the second makes the zone's image, and the third is sent from it.
	for _, c := range []struct {
		what, proto, name string
		typ               uint16
		serial            uint32 // of an IXFR
		ask               []uint16
		rcode             int
		want              string // the options of the answer
	}{
		{"nothing", "udp", "z.test.", dns.TypeSOA, 0, nil, 0, ""},
		{"all, before content is in memory", "udp", "z.test.", dns.TypeSOA, 0, []uint16{nsid, expire, version}, 0, "nsid=replica-1 expire=86400 version=2/8"},
		{"expire", "tcp", "z.test.", dns.TypeSOA, 0, []uint16{expire}, 0, "expire=86400"},
		{"the first transfer", "tcp", "z.test.", dns.TypeAXFR, 0, []uint16{expire, version}, 0, "expire=86400 version=2/8"},
		{"the second", "tcp", "z.test.", dns.TypeAXFR, 0, []uint16{expire, version}, 0, "expire=86400 version=2/8"},
		{"from the image", "tcp", "z.test.", dns.TypeAXFR, 0, []uint16{expire, nsid}, 0, "nsid=replica-1 expire=86400"},
		{"from the image, nothing", "tcp", "z.test.", dns.TypeAXFR, 0, []uint16{}, 0, ""},
		{"changes", "tcp", "z.test.", dns.TypeIXFR, 7, []uint16{expire, version}, 0, "expire=86400 version=2/8"},
		{"changes over UDP", "udp", "z.test.", dns.TypeIXFR, 7, []uint16{expire, version}, 0, "expire=86400 version=2/8"},
		{"current", "udp", "z.test.", dns.TypeIXFR, 8, []uint16{expire, version}, 0, "expire=86400 version=2/8"},
		{"a name", "udp", "host1.z.test.", dns.TypeA, 0, []uint16{version, expire}, 0, "version=2/8"},
		{"no such name", "udp", "a.b.c.z.test.", dns.TypeA, 0, []uint16{version}, dns.RcodeNameError, "version=2/8"},
		{"a zone of three labels, serial beyond 2^31", "udp", "x.deep.er.test.", dns.TypeA, 0, []uint16{version}, dns.RcodeNameError, "version=3/4294967280"},
		{"not ours", "udp", "nowhere.test.", dns.TypeSOA, 0, []uint16{version, expire}, dns.RcodeRefused, "ede=20"},
		{"ours, and not theirs, looks the same", "udp", "other.test.", dns.TypeSOA, 0, []uint16{version, expire}, dns.RcodeRefused, "ede=20"},
		{"the same for transfers", "tcp", "other.test.", dns.TypeAXFR, 0, []uint16{expire}, dns.RcodeRefused, "ede=20"},
		{"AXFR over UDP", "udp", "z.test.", dns.TypeAXFR, 0, []uint16{expire}, dns.RcodeRefused, `ede=21 "AXFR is over TCP"`},
		{"without TLS", "tcp", "strict.test.", dns.TypeAXFR, 0, []uint16{version}, dns.RcodeRefused, `ede=18 "this zone is transferred over TLS only"`},
		{"strict, and no transfer", "udp", "strict.test.", dns.TypeSOA, 0, []uint16{version}, 0, "version=2/1"},
	} {
		q := new(dns.Msg)
		q.SetQuestion(c.name, c.typ)
		if c.typ == dns.TypeIXFR {
			q.SetIxfr(c.name, c.serial, ".", ".")
		}
		if c.ask != nil {
			q.SetEdns0(4096, false)
			for _, code := range c.ask {
				q.IsEdns0().Option = append(q.IsEdns0().Option, &dns.EDNS0_LOCAL{Code: code})
			}
		}
		// Of a transfer's messages the first has them.
		if got := converse(t, r.addr, c.proto, q)[0]; got.Rcode != c.rcode || optionText(got) != c.want || (got.IsEdns0() == nil) != (c.ask == nil) {
			t.Errorf("%s: %s with %s, want %s", c.what, dns.RcodeToString[got.Rcode], optionText(got), c.want)
		}
	}

	// A zone that is held back is ours, and not answered for.
	m.change(id, big(t, "z.test.", 6, 3000))
	follows(t, r, m)
	q := new(dns.Msg).SetQuestion("z.test.", dns.TypeSOA).SetEdns0(4096, false)
	if got := converse(t, r.addr, "udp", q)[0]; got.Rcode != dns.RcodeServerFailure || optionText(got) != "ede=24" {
		t.Errorf("held back: %v", got)
	}
}

// converse returns the messages of an answer: those of a transfer until its last
// SOA.
func converse(t *testing.T, addr, proto string, q *dns.Msg) (all []*dns.Msg) {
	t.Helper()
	c, err := dns.DialTimeout(proto, addr, 20*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.UDPSize = 4096
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if err := c.WriteMsg(q); err != nil {
		t.Fatal(err)
	}
	transfer := q.Question[0].Qtype == dns.TypeAXFR || q.Question[0].Qtype == dns.TypeIXFR
	for soas := 0; len(all) == 0 || transfer && proto == "tcp" && soas < 2; {
		got, err := c.ReadMsg()
		if err != nil {
			t.Fatalf("%s: %v", q.Question[0].String(), err)
		}
		all = append(all, got)
		if got.Rcode != 0 {
			break
		}
		for _, rr := range got.Answer {
			if rr.Header().Rrtype == dns.TypeSOA {
				soas++
			}
		}
	}
	return all
}

// optionText is a message's EDNS options.
func optionText(m *dns.Msg) string {
	var out []string
	if m.IsEdns0() == nil {
		return ""
	}
	for _, o := range m.IsEdns0().Option {
		switch o := o.(type) {
		case *dns.EDNS0_NSID:
			var id []byte
			_, _ = fmt.Sscanf(o.Nsid, "%x", &id)
			out = append(out, "nsid="+string(id))
		case *dns.EDNS0_EXPIRE:
			out = append(out, fmt.Sprintf("expire=%d", o.Expire))
		case *dns.EDNS0_EDE:
			text := fmt.Sprintf("ede=%d", o.InfoCode)
			if o.ExtraText != "" {
				text += fmt.Sprintf(" %q", o.ExtraText)
			}
			out = append(out, text)
		case *dns.EDNS0_ZONEVERSION:
			out = append(out, fmt.Sprintf("version=%d/%d", o.LabelCount, binary.BigEndian.Uint32([]byte(o.Version))))
		default:
			out = append(out, o.String())
		}
	}
	return strings.Join(out, " ")
}
