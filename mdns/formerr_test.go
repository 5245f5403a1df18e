package mdns

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"dnsctl/wire"
)

// raw makes a message of a header and what follows it.
func raw(flags uint16, counts [4]uint16, body string) string {
	b := binary.BigEndian.AppendUint16([]byte{0, 9}, flags)
	for _, c := range counts {
		b = binary.BigEndian.AppendUint16(b, c)
	}
	return string(b) + body
}

// shape is an answer's rcode, opcode and flags, how many questions and answers it
// has, and what its OPT says.
func shape(m *dns.Msg) string {
	if m == nil {
		return "no answer"
	}
	var flags strings.Builder
	for _, f := range []struct {
		name string
		set  bool
	}{{" aa", m.Authoritative}, {" tc", m.Truncated}, {" rd", m.RecursionDesired}, {" ra", m.RecursionAvailable}, {" z", m.Zero}, {" ad", m.AuthenticatedData}, {" cd", m.CheckingDisabled}} {
		if f.set {
			flags.WriteString(f.name)
		}
	}
	opt := ""
	if o := m.IsEdns0(); o != nil {
		opt = fmt.Sprintf(" OPT v%d do=%v z=%x", o.Version(), o.Do(), o.Hdr.Ttl&0x7fff)
	}
	return fmt.Sprintf("%s %s%s %d/%d%s", wire.Rcode(m.Rcode), wire.Opcode(m.Opcode), flags.String(), len(m.Question), len(m.Answer), opt)
}

// TestMalformedQuestionsAreAnsweredAsByNamed asks named and us the same, each
// question wrong in some way, over UDP, and us over TCP as well. Where we answer
// otherwise than named, own says why.
func TestMalformedQuestionsAreAnsweredAsByNamed(t *testing.T) {
	t.Parallel()
	zones := map[string]string{"plain.test.": trickyZones["plain.test."]}
	bind := named(t, zones, "").Addr
	m := newMemory()
	m.create(parse(t, "plain.test.", zones["plain.test."]))
	us := start(t, m, nil).addr
	const (
		name  = "\x05plain\x04test\x00"
		q     = name + "\x00\x06\x00\x01"
		opt   = "\x00\x00\x29\x10\x00\x00\x00\x00\x00\x00\x00"
		a     = "\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x00\x00\x04\xc0\x00\x02\x01"
		soaRR = "\xc0\x0c\x00\x06\x00\x01\x00\x00\x00\x00\x00\x16\x00\x00\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x01"
		ixfr  = name + "\x00\xfb\x00\x01"
		axfr  = name + "\x00\xfc\x00\x01"
	)
	withOPT := func(ttl, rdata string) string {
		return "\x00\x00\x29\x10\x00" + ttl + string([]byte{byte(len(rdata) >> 8), byte(len(rdata))}) + rdata
	}
	one := [4]uint16{1}
	for _, c := range []struct{ what, msg, want, own string }{
		{"good", raw(0, one, q), "NOERROR QUERY aa 1/1", ""},
		{"all flags", raw(0x07ff&^0xf, one, q), "NOERROR QUERY aa rd cd 1/1", ""},
		{"TC", raw(0x0200, one, q), "NOERROR QUERY aa 1/1", ""},
		{"TC cut", raw(0x0200, one, q[:8]), "FORMERR QUERY 0/0", ""},
		{"QD0", raw(0, [4]uint16{}, ""), "FORMERR QUERY 0/0", ""},
		{"QD0 with OPT", raw(0, [4]uint16{0, 0, 0, 1}, opt), "FORMERR QUERY 0/0 OPT v0 do=false z=0", ""},
		{"QD2 same", raw(0, [4]uint16{2}, q+q), "FORMERR QUERY 0/0", ""},
		{"QD2 other", raw(0, [4]uint16{2}, q+"\x00\x00\x06\x00\x01"), "FORMERR QUERY 0/0", ""},
		{"QD2 missing", raw(0, [4]uint16{2}, q), "FORMERR QUERY 0/0", ""},
		{"QD2 OPT", raw(0, [4]uint16{2, 0, 0, 1}, q+q+opt), "FORMERR QUERY 0/0", ""},
		{"question cut", raw(0, one, q[:len(q)-1]), "FORMERR QUERY 0/0", ""},
		{"name cut", raw(0, one, "\x05pla"), "FORMERR QUERY 0/0", ""},
		{"pointer loop", raw(0, one, "\xc0\x0c\x00\x06\x00\x01"), "FORMERR QUERY 0/0", ""},
		{"pointer to header", raw(0, one, "\xc0\x04\x00\x06\x00\x01"), "FORMERR QUERY 0/0", "RFC 1035 section 4.1.4: a pointer is to an earlier name, which a header is not"},
		{"pointer forward", raw(0, one, "\xc0\x10\x00\x06\x00\x01\x00"), "FORMERR QUERY 0/0", ""},
		{"reserved label 0x40", raw(0, one, "\x41\x00\x00\x06\x00\x01"), "FORMERR QUERY 0/0", ""},
		{"reserved label 0x80", raw(0, one, "\x81\x00\x00\x06\x00\x01"), "FORMERR QUERY 0/0", ""},
		{"trailing", raw(0, one, q+"x"), "NOERROR QUERY aa 1/1", ""},
		{"class ANY", raw(0, one, name+"\x00\x06\x00\xff"), "REFUSED QUERY 1/0", "what we do not serve is REFUSED alike"},
		{"class NONE", raw(0, one, name+"\x00\x06\x00\xfe"), "REFUSED QUERY 1/0", "what we do not serve is REFUSED alike"},
		{"class 0", raw(0, one, name+"\x00\x06\x00\x00"), "REFUSED QUERY 1/0", "what we do not serve is REFUSED alike"},
		{"class CH", raw(0, one, name+"\x00\x06\x00\x03"), "REFUSED QUERY 1/0", ""},
		{"class HS", raw(0, one, name+"\x00\x06\x00\x04"), "REFUSED QUERY 1/0", ""},
		{"class 255 version.bind", raw(0, one, "\x07version\x04bind\x00\x00\x10\x00\x03"), "REFUSED QUERY 1/0", "named tells its version"},
		{"record in answer", raw(0, [4]uint16{1, 1}, q+a), "NOERROR QUERY aa 1/1", ""},
		{"record in authority", raw(0, [4]uint16{1, 0, 1}, q+a), "NOERROR QUERY aa 1/1", ""},
		{"record in additional", raw(0, [4]uint16{1, 0, 0, 1}, q+a), "NOERROR QUERY aa 1/1", ""},
		{"A of 3 octets in additional", raw(0, [4]uint16{1, 0, 0, 1}, q+a[:11]+"\x03abc"), "NOERROR QUERY aa 1/1", "a question's records are read where they mean something"},
		{"record of class CH in additional", raw(0, [4]uint16{1, 0, 0, 1}, q+"\xc0\x0c\x00\x10\x00\x03\x00\x00\x00\x00\x00\x02\x01x"), "NOERROR QUERY aa 1/1", "a question's records are read where they mean something"},
		{"record cut", raw(0, [4]uint16{1, 0, 0, 1}, q+a[:len(a)-1]), "FORMERR QUERY 1/0", ""},
		{"ANCOUNT 1 missing", raw(0, [4]uint16{1, 1}, q), "FORMERR QUERY 1/0", ""},
		{"ARCOUNT 65535", raw(0, [4]uint16{1, 0, 0, 65535}, q), "FORMERR QUERY 1/0", ""},
		{"SOA with a name cut in authority of SOA query", raw(0, [4]uint16{1, 0, 1}, q+"\xc0\x0c\x00\x06\x00\x01\x00\x00\x00\x00\x00\x02\x05a"), "NOERROR QUERY aa 1/1", "a question's records are read where they mean something"},
		{"type ANY record in additional", raw(0, [4]uint16{1, 0, 0, 1}, q+"\xc0\x0c\x00\xff\x00\x01\x00\x00\x00\x00\x00\x00"), "NOERROR QUERY aa 1/1", "a question's records are read where they mean something"},
		{"IXFR no SOA", raw(0, one, ixfr), "FORMERR QUERY 1/0", ""},
		{"IXFR SOA", raw(0, [4]uint16{1, 0, 1}, ixfr+soaRR), "NOERROR QUERY aa 1/1", "AA as in AXFR, RFC 5936 section 2.2.1"},
		{"IXFR two SOA", raw(0, [4]uint16{1, 0, 2}, ixfr+soaRR+soaRR), "NOERROR QUERY aa 1/1", "AA as in AXFR, RFC 5936 section 2.2.1"},
		{"IXFR SOA in answer", raw(0, [4]uint16{1, 1}, ixfr+soaRR), "FORMERR QUERY 1/0", ""},
		{"IXFR SOA of another", raw(0, [4]uint16{1, 0, 1}, ixfr+"\x00"+soaRR[2:]), "FORMERR QUERY 1/0", ""},
		{"IXFR SOA cut rdata", raw(0, [4]uint16{1, 0, 1}, ixfr+soaRR[:11]+"\x15"+soaRR[12:len(soaRR)-1]), "FORMERR QUERY 1/0", ""},
		{"IXFR with A in authority before SOA", raw(0, [4]uint16{1, 0, 2}, ixfr+a+soaRR), "NOERROR QUERY aa 1/1", "AA as in AXFR, RFC 5936 section 2.2.1"},
		{"AXFR UDP", raw(0, one, axfr), "REFUSED QUERY 1/0", "not defined by RFC 5936 section 4.2, and well formed"},
		{"AXFR with authority", raw(0, [4]uint16{1, 0, 1}, axfr+soaRR), "REFUSED QUERY 1/0", "not defined by RFC 5936 section 4.2, and well formed"},
		{"OPT in answer", raw(0, [4]uint16{1, 1}, q+opt), "FORMERR QUERY 1/0", ""},
		{"OPT in authority", raw(0, [4]uint16{1, 0, 1}, q+opt), "FORMERR QUERY 1/0", ""},
		{"two OPT", raw(0, [4]uint16{1, 0, 0, 2}, q+opt+opt), "FORMERR QUERY 1/0 OPT v0 do=false z=0", "RFC 6891 section 6.1.1: an OPT answers an OPT"},
		{"OPT owner", raw(0, [4]uint16{1, 0, 0, 1}, q+"\x01a"+opt), "FORMERR QUERY 1/0", ""},
		{"OPT owner pointer", raw(0, [4]uint16{1, 0, 0, 1}, q+"\xc0\x0c"+opt[1:]), "FORMERR QUERY 1/0", ""},
		{"OPT", raw(0, [4]uint16{1, 0, 0, 1}, q+opt), "NOERROR QUERY aa 1/1 OPT v0 do=false z=0", ""},
		{"OPT DO", raw(0, [4]uint16{1, 0, 0, 1}, q+withOPT("\x00\x00\x80\x00", "")), "NOERROR QUERY aa 1/1 OPT v0 do=true z=0", ""},
		{"OPT all flags", raw(0, [4]uint16{1, 0, 0, 1}, q+withOPT("\x00\x00\xff\xff", "")), "NOERROR QUERY aa 1/1 OPT v0 do=true z=0", ""},
		{"OPT flags no DO", raw(0, [4]uint16{1, 0, 0, 1}, q+withOPT("\x00\x00\x7f\xff", "")), "NOERROR QUERY aa 1/1 OPT v0 do=false z=0", ""},
		{"OPT extended rcode", raw(0, [4]uint16{1, 0, 0, 1}, q+withOPT("\xff\x00\x00\x00", "")), "NOERROR QUERY aa 1/1 OPT v0 do=false z=0", ""},
		{"OPT v1", raw(0, [4]uint16{1, 0, 0, 1}, q+withOPT("\x00\x01\x00\x00", "")), "BADVERS QUERY 1/0 OPT v0 do=false z=0", ""},
		{"OPT v255 DO", raw(0, [4]uint16{1, 0, 0, 1}, q+withOPT("\x00\xff\x80\x00", "")), "BADVERS QUERY 1/0 OPT v0 do=true z=0", ""},
		{"OPT v1 unknown option", raw(0, [4]uint16{1, 0, 0, 1}, q+withOPT("\x00\x01\x00\x00", "\x00\x64\x00\x01x")), "BADVERS QUERY 1/0 OPT v0 do=false z=0", ""},
		{"OPT v1 opcode 15", raw(15<<11, [4]uint16{1, 0, 0, 1}, q+withOPT("\x00\x01\x00\x00", "")), "BADVERS OPCODE15 1/0 OPT v0 do=false z=0", "the question is echoed"},
		{"OPT v1 class CH", raw(0, [4]uint16{1, 0, 0, 1}, name+"\x00\x06\x00\x03"+withOPT("\x00\x01\x00\x00", "")), "BADVERS QUERY 1/0 OPT v0 do=false z=0", ""},
		{"OPT v1 bad option", raw(0, [4]uint16{1, 0, 0, 1}, q+withOPT("\x00\x01\x00\x00", "\x00\x64\x00\x05x")), "BADVERS QUERY 1/0 OPT v0 do=false z=0", "RFC 6891 section 6.1.3: BADVERS, and another version's options may look otherwise"},
		{"OPT option unknown", raw(0, [4]uint16{1, 0, 0, 1}, q+withOPT("\x00\x00\x00\x00", "\x00\x64\x00\x01x")), "NOERROR QUERY aa 1/1 OPT v0 do=false z=0", ""},
		{"OPT option twice", raw(0, [4]uint16{1, 0, 0, 1}, q+withOPT("\x00\x00\x00\x00", "\x00\x03\x00\x00\x00\x03\x00\x00")), "NOERROR QUERY aa 1/1 OPT v0 do=false z=0", ""},
		{"OPT option 0", raw(0, [4]uint16{1, 0, 0, 1}, q+withOPT("\x00\x00\x00\x00", "\x00\x00\x00\x00")), "NOERROR QUERY aa 1/1 OPT v0 do=false z=0", ""},
		{"OPT option 65535", raw(0, [4]uint16{1, 0, 0, 1}, q+withOPT("\x00\x00\x00\x00", "\xff\xff\x00\x00")), "NOERROR QUERY aa 1/1 OPT v0 do=false z=0", ""},
		{"OPT option cut", raw(0, [4]uint16{1, 0, 0, 1}, q+withOPT("\x00\x00\x00\x00", "\x00\x64\x00\x05x")), "FORMERR QUERY 1/0 OPT v0 do=false z=0", "RFC 6891 section 6.1.1: an OPT answers an OPT"},
		{"OPT option head cut", raw(0, [4]uint16{1, 0, 0, 1}, q+withOPT("\x00\x00\x00\x00", "\x00\x64\x00")), "FORMERR QUERY 1/0 OPT v0 do=false z=0", "RFC 6891 section 6.1.1: an OPT answers an OPT"},
		{"NSID with payload", raw(0, [4]uint16{1, 0, 0, 1}, q+withOPT("\x00\x00\x00\x00", "\x00\x03\x00\x02xy")), "NOERROR QUERY aa 1/1 OPT v0 do=false z=0", ""},
		{"keepalive 0", raw(0, [4]uint16{1, 0, 0, 1}, q+withOPT("\x00\x00\x00\x00", "\x00\x0b\x00\x00")), "NOERROR QUERY aa 1/1 OPT v0 do=false z=0", ""},
		{"keepalive 1", raw(0, [4]uint16{1, 0, 0, 1}, q+withOPT("\x00\x00\x00\x00", "\x00\x0b\x00\x01x")), "NOERROR QUERY aa 1/1 OPT v0 do=false z=0", ""},
		{"keepalive 2", raw(0, [4]uint16{1, 0, 0, 1}, q+withOPT("\x00\x00\x00\x00", "\x00\x0b\x00\x02xx")), "NOERROR QUERY aa 1/1 OPT v0 do=false z=0", ""},
		{"expire 4", raw(0, [4]uint16{1, 0, 0, 1}, q+withOPT("\x00\x00\x00\x00", "\x00\x09\x00\x04xxxx")), "NOERROR QUERY aa 1/1 OPT v0 do=false z=0", ""},
		{"expire 3", raw(0, [4]uint16{1, 0, 0, 1}, q+withOPT("\x00\x00\x00\x00", "\x00\x09\x00\x03xxx")), "NOERROR QUERY aa 1/1 OPT v0 do=false z=0", "an option that says nothing is ignored, RFC 6891 section 6.1.2"},
		{"zoneversion 2", raw(0, [4]uint16{1, 0, 0, 1}, q+withOPT("\x00\x00\x00\x00", "\x00\x13\x00\x02xx")), "NOERROR QUERY aa 1/1 OPT v0 do=false z=0", ""},
		{"cookie 7", raw(0, [4]uint16{1, 0, 0, 1}, q+withOPT("\x00\x00\x00\x00", "\x00\x0a\x00\x07xxxxxxx")), "NOERROR QUERY aa 1/1 OPT v0 do=false z=0", "we have no cookies, RFC 6891 section 6.1.2"},
		{"cookie 8", raw(0, [4]uint16{1, 0, 0, 1}, q+withOPT("\x00\x00\x00\x00", "\x00\x0a\x00\x08xxxxxxxx")), "NOERROR QUERY aa 1/1 OPT v0 do=false z=0", ""},
		{"ECS bad", raw(0, [4]uint16{1, 0, 0, 1}, q+withOPT("\x00\x00\x00\x00", "\x00\x08\x00\x03xxx")), "NOERROR QUERY aa 1/1 OPT v0 do=false z=0", "we have no client subnets, RFC 6891 section 6.1.2"},
		{"UPDATE", raw(5<<11, one, q), "NOTIMP UPDATE 1/0", "RFC 2136 section 2.2: NOTIMP, we have no updates"},
		{"UPDATE QD0", raw(5<<11, [4]uint16{}, ""), "FORMERR UPDATE 0/0", ""},
		{"NOTIFY", raw(4<<11, one, q), "REFUSED NOTIFY 1/0", "we are nobody's secondary"},
		{"NOTIFY with SOA", raw(4<<11, [4]uint16{1, 1}, q+soaRR), "REFUSED NOTIFY 1/0", "we are nobody's secondary"},
		{"NOTIFY type A", raw(4<<11, one, name+"\x00\x01\x00\x01"), "REFUSED NOTIFY 1/0", "we are nobody's secondary"},
		{"NOTIFY QD0", raw(4<<11, [4]uint16{}, ""), "FORMERR NOTIFY 0/0", ""},
		{"NOTIFY unknown zone", raw(4<<11, one, "\x01x\x00\x00\x06\x00\x01"), "REFUSED NOTIFY 1/0", "we are nobody's secondary, and do not say what there is"},
		{"STATUS", raw(2<<11, one, q), "NOTIMP STATUS 1/0", "the question is echoed"},
		{"STATUS QD0", raw(2<<11, [4]uint16{}, ""), "NOTIMP STATUS 0/0", ""},
		{"opcode 3 cut", raw(3<<11, one, q[:6]), "FORMERR OPCODE3 0/0", ""},
		{"DSO", raw(6<<11, [4]uint16{}, "\x00\x01\x00\x00"), "NOTIMP DSO 0/0", ""},
		{"opcode 15", raw(15<<11, one, q), "NOTIMP OPCODE15 1/0", "the question is echoed"},
		{"opcode 15 OPT", raw(15<<11, [4]uint16{1, 0, 0, 1}, q+opt), "NOTIMP OPCODE15 1/0 OPT v0 do=false z=0", "the question is echoed"},
		{"response NOTIFY", raw(4<<11|0x8000, one, q), "no answer", ""},
		{"response", raw(0x8000, one, q), "no answer", ""},
		{"11 octets", raw(0, one, "")[:11], "no answer", ""},
		{"header", raw(0, one, ""), "FORMERR QUERY 0/0", ""},
		{"empty", "", "no answer", ""},
	} {
		answered := c.want != "no answer"
		if got := shape(exchange(t, us, []byte(c.msg), answered)); got != c.want {
			t.Errorf("%s: %s, want %s", c.what, got, c.want)
		}
		theirs := shape(exchange(t, bind, []byte(c.msg), answered))
		if theirs != c.want && c.own == "" || theirs == c.want && c.own != "" {
			t.Errorf("%s: named answers %s, want %s; own reason %q", c.what, theirs, c.want, c.own)
		}
		if got := shape(exchangeTCP(t, us, []byte(c.msg))); got != c.want && !strings.HasPrefix(c.what, "AXFR") {
			t.Errorf("%s over TCP: %s, want %s", c.what, got, c.want)
		}
	}
}

// exchangeTCP sends octets as a message, and a question behind it that is
// answered in any case: a wrong message does not end a connection. The answer is
// nil when only that one is.
func exchangeTCP(t *testing.T, addr string, msg []byte) *dns.Msg {
	t.Helper()
	probe, err := new(dns.Msg).SetQuestion("probe.invalid.", dns.TypeA).Pack()
	if err != nil {
		t.Fatal(err)
	}
	c := &dns.Conn{Conn: dial(t, addr)}
	defer c.Close()
	for _, m := range [][]byte{msg, probe} {
		if err := wire.WriteFrame(c.Conn, m); err != nil {
			t.Fatal(err)
		}
	}
	got, err := c.ReadMsg()
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Question) == 1 && got.Question[0].Name == "probe.invalid." {
		return nil
	}
	return got
}
