package mdns

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dnsctl/fleet"
	"dnsctl/wire"
	"dnsctl/zone"
)

// exchange sends octets over UDP and returns the answer. Where none is expected,
// it is nil when queries sent after them have been answered first.
func exchange(t testing.TB, addr string, msg []byte, expected bool) *dns.Msg {
	t.Helper()
	c, err := net.Dial("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Write(msg); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 65535)
	read := func() *dns.Msg {
		k, err := c.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		var m dns.Msg
		if err := m.Unpack(buf[:k]); err != nil {
			t.Fatalf("answer cannot be read: %v: %x", err, buf[:k])
		}
		return &m
	}
	if expected {
		return read()
	}
	probe, err := new(dns.Msg).SetQuestion("probe.invalid.", dns.TypeA).Pack()
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := c.Write(probe); err != nil {
			t.Fatal(err)
		}
		if m := read(); len(m.Question) != 1 || m.Question[0].Name != "probe.invalid." {
			return m
		}
	}
	return nil
}

func TestBadAndUnusualPacketsGetTheirRcode(t *testing.T) {
	t.Parallel()
	m := newMemory()
	m.create(parse(t, "plain.test.", trickyZones["plain.test."]))
	r := start(t, m, nil)
	base := func(change func(m *dns.Msg)) []byte {
		m := new(dns.Msg).SetQuestion("www.plain.test.", dns.TypeA)
		m.Id = 1
		if change != nil {
			change(m)
		}
		b, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	good := base(nil)
	edit := func(at int, v byte) []byte { b := slices.Clone(good); b[at] = v; return b }
	op := func(o int) []byte { return base(func(m *dns.Msg) { m.Opcode = o }) }
	typ := func(t uint16) []byte { return base(func(m *dns.Msg) { m.Question[0].Qtype = t }) }
	for _, c := range []struct {
		what string
		msg  []byte
		want int // rcode; -1: no answer
	}{
		{"good", good, dns.RcodeSuccess},
		{"empty", nil, -1},
		{"one octet", []byte{1}, -1},
		{"eleven octets", good[:11], -1},
		{"a response", edit(2, 0x80), -1},
		{"header only", good[:12], dns.RcodeFormatError},
		{"cut question", good[:20], dns.RcodeFormatError},
		{"QDCOUNT 0", edit(5, 0), dns.RcodeFormatError},
		{"QDCOUNT 2", edit(5, 2), dns.RcodeFormatError},
		{"QDCOUNT 2, both there", append(edit(5, 2), good[12:]...), dns.RcodeFormatError},
		{"ANCOUNT 65535", edit(6, 255), dns.RcodeFormatError},
		{"looped name", append(slices.Clone(good[:12]), 0xc0, 12, 0, 1, 0, 1), dns.RcodeFormatError},
		{"name of 256 octets", append(append(slices.Clone(good[:12]), []byte(strings.Repeat("\x3f"+strings.Repeat("a", 63), 4))...), 0, 0, 1, 0, 1), dns.RcodeFormatError},
		{"oversized, with trailing octets", append(slices.Clone(good), make([]byte, 3000)...), dns.RcodeSuccess},
		{"UPDATE", op(dns.OpcodeUpdate), dns.RcodeNotImplemented},
		{"NOTIFY", op(dns.OpcodeNotify), dns.RcodeRefused},
		{"STATUS", op(dns.OpcodeStatus), dns.RcodeNotImplemented},
		{"IQUERY", op(dns.OpcodeIQuery), dns.RcodeNotImplemented},
		{"opcode 15", op(15), dns.RcodeNotImplemented},
		{"class CH", base(func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }), dns.RcodeRefused},
		{"class ANY", base(func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassANY }), dns.RcodeRefused},
		{"unknown zone", base(func(m *dns.Msg) { m.Question[0].Name = "elsewhere.example." }), dns.RcodeRefused},
		{"the root", base(func(m *dns.Msg) { m.Question[0].Name = "." }), dns.RcodeRefused},
		{"type OPT", typ(dns.TypeOPT), dns.RcodeFormatError},
		{"type TSIG", typ(dns.TypeTSIG), dns.RcodeFormatError},
		{"type TKEY", typ(dns.TypeTKEY), dns.RcodeFormatError},
		{"type 200", typ(200), dns.RcodeFormatError},
		{"type 0", typ(0), dns.RcodeSuccess},
		{"type MAILB", typ(dns.TypeMAILB), dns.RcodeNotImplemented},
		{"type MAILA", typ(dns.TypeMAILA), dns.RcodeNotImplemented},
		{"type 65535", typ(65535), dns.RcodeSuccess},
		{"AXFR over UDP", base(func(m *dns.Msg) { m.SetAxfr("plain.test.") }), dns.RcodeRefused},
		{"IXFR without SOA", base(func(m *dns.Msg) { m.SetAxfr("plain.test."); m.Question[0].Qtype = dns.TypeIXFR }), dns.RcodeFormatError},
		{"EDNS version 1", base(func(m *dns.Msg) { m.SetEdns0(1232, false); m.IsEdns0().SetVersion(1) }), dns.RcodeBadVers},
		{"two OPT", base(func(m *dns.Msg) { m.SetEdns0(1232, false); m.Extra = append(m.Extra, m.Extra[0]) }), dns.RcodeFormatError},
	} {
		got := exchange(t, r.addr, c.msg, c.want >= 0)
		switch {
		case got == nil && c.want >= 0:
			t.Errorf("%s: no answer", c.what)
		case got != nil && c.want < 0:
			t.Errorf("%s: answered %v", c.what, got)
		case got != nil && got.Rcode != c.want:
			t.Errorf("%s: %s, want %s", c.what, dns.RcodeToString[got.Rcode], dns.RcodeToString[c.want])
		case got != nil && (!got.Response || got.Opcode != int(c.msg[2]>>3&15)):
			t.Errorf("%s: %v", c.what, got)
		}
	}
}

func TestUDPAnswersKeepToTheSizeAndSayTC(t *testing.T) {
	t.Parallel()
	text := "$TTL 60\n@ IN SOA ns host 1 3600 600 86400 300\n@ NS ns\n"
	for i := range 60 {
		text += fmt.Sprintf("many A 192.0.2.%d\nsub NS ns%d.sub\nns%d.sub A 192.0.2.%d\nfar NS ns%d.sub\n", i, i, i, i, i)
	}
	m := newMemory()
	m.create(parse(t, "z.test.", text))
	r := start(t, m, nil)
	for _, c := range []struct {
		name  string
		size  uint16
		bound int
		tc    bool
	}{
		{"many.z.test.", 0, 512, true},
		{"many.z.test.", 100, 512, true},
		{"many.z.test.", 900, 900, true},
		{"many.z.test.", 1232, 1232, false},
		{"many.z.test.", 65535, 1232, false},
		{"x.sub.z.test.", 1232, 1232, true},
		{"z.test.", 0, 512, false},
	} {
		q := new(dns.Msg).SetQuestion(c.name, dns.TypeA)
		if c.size > 0 {
			q.SetEdns0(c.size, false)
		}
		b, _ := q.Pack()
		conn, err := net.Dial("udp", r.addr)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		_, _ = conn.Write(b)
		buf := make([]byte, 65535)
		k, err := conn.Read(buf)
		_ = conn.Close()
		if err != nil {
			t.Fatal(err)
		}
		var got dns.Msg
		if err := got.Unpack(buf[:k]); err != nil {
			t.Fatal(err)
		}
		if k > c.bound || got.Truncated != c.tc || (got.IsEdns0() != nil) != (c.size > 0) {
			t.Errorf("%s size %d: %d octets, TC %v, OPT %v", c.name, c.size, k, got.Truncated, got.IsEdns0() != nil)
		}
		if o := got.IsEdns0(); o != nil && o.UDPSize() != 1232 {
			t.Errorf("we say %d", o.UDPSize())
		}
	}
}

// TestScopesDecideWhoSeesWhat: keys see their pool or zone, unsigned requests
// the pools of their address, and everything else is refused alike.
func TestScopesDecideWhoSeesWhat(t *testing.T) {
	t.Parallel()
	m := newMemory()
	m.configure(func(m *memory) {
		m.pools = []fleet.Pool{
			{ID: 1, Name: "open", AllowTransfer: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32"), netip.MustParsePrefix("::ffff:10.0.0.0/104")}},
			{ID: 2, Name: "closed"},
		}
	})
	zones := map[string][]int64{"open.test.": {1}, "closed.test.": {2}, "both.test.": {1, 2}, "child.closed.test.": {1}}
	ids := map[string]int64{}
	for _, z := range slices.Sorted(maps.Keys(zones)) {
		ids[z] = m.create(big(t, z, 1, 5), zones[z]...)
	}
	m.addKey(t, "Open.Key.", "hmac-sha256.", keySecret, fleet.Scope{PoolID: 1})
	m.addKey(t, "closed.key.", "HMAC-SHA512.", keySecret, fleet.Scope{PoolID: 2})
	m.addKey(t, "closed2.key.", "hmac-sha384.", keySecret, fleet.Scope{PoolID: 2})
	m.addKey(t, "zone.key.", "hmac-sha256.", keySecret, fleet.Scope{ZoneID: ids["closed.test."]})
	m.addKey(t, "retired.key.", "hmac-sha256.", keySecret, fleet.Scope{PoolID: 1})
	m.addKey(t, "weak.key.", "hmac-sha1.", keySecret, fleet.Scope{PoolID: 1})
	m.addKey(t, "sealed.key.", "hmac-sha256.", "unreadable", fleet.Scope{PoolID: 1})
	m.configure(func(m *memory) {
		past, future := time.Now().Add(-time.Minute), time.Now().Add(time.Minute)
		m.keys[4].Retired = &past
		m.keys[1].Retired = &future
	})
	r := start(t, m, nil)
	key := func(name string, alg wire.Algorithm, secret string) *wire.Key {
		return &wire.Key{Name: n(name), Algorithm: alg, Secret: []byte(secret), AllowWeak: true}
	}
	open := key("open.key.", wire.HMACSHA256, keySecret)
	closed := key("closed.key.", wire.HMACSHA512, keySecret)
	for _, c := range []struct {
		what string
		key  *wire.Key
		name string
		want wire.Rcode
		tsig wire.TSIGError
	}{
		{"unsigned, allowed", nil, "open.test.", 0, 0},
		{"unsigned, one of two pools", nil, "both.test.", 0, 0},
		{"unsigned, not allowed", nil, "closed.test.", wire.RcodeRefused, 0},
		{"unsigned, child of another pool's zone", nil, "child.closed.test.", 0, 0},
		{"unknown zone", nil, "nothing.test.", wire.RcodeRefused, 0},
		{"pool key", open, "open.test.", 0, 0},
		{"pool key, second pool of the zone", closed, "both.test.", 0, 0},
		{"pool key, other pool", open, "closed.test.", wire.RcodeRefused, 0},
		{"pool key, other pool, allowed address", closed, "open.test.", wire.RcodeRefused, 0},
		{"retired later", closed, "closed.test.", 0, 0},
		{"second key of the pool", key("closed2.key.", wire.HMACSHA384, keySecret), "closed.test.", 0, 0},
		{"zone key", key("zone.key.", wire.HMACSHA256, keySecret), "closed.test.", 0, 0},
		{"zone key, other zone", key("zone.key.", wire.HMACSHA256, keySecret), "both.test.", wire.RcodeRefused, 0},
		{"unknown key", key("nobody.key.", wire.HMACSHA256, keySecret), "open.test.", wire.RcodeNotAuth, wire.BadKey},
		{"retired key", key("retired.key.", wire.HMACSHA256, keySecret), "open.test.", wire.RcodeNotAuth, wire.BadKey},
		{"weak key", key("weak.key.", wire.HMACSHA1, keySecret), "open.test.", wire.RcodeNotAuth, wire.BadKey},
		{"key that cannot be opened", key("sealed.key.", wire.HMACSHA256, keySecret), "open.test.", wire.RcodeNotAuth, wire.BadKey},
		{"wrong algorithm", key("open.key.", wire.HMACSHA384, keySecret), "open.test.", wire.RcodeNotAuth, wire.BadKey},
		{"wrong secret", key("open.key.", wire.HMACSHA256, "wrong"), "open.test.", wire.RcodeNotAuth, wire.BadSig},
	} {
		for _, qt := range []zone.Type{zone.TypeSOA, zone.TypeA, zone.TypeAXFR} {
			if qt == zone.TypeA && c.name == "child.closed.test." {
				continue
			}
			q := transferQuery(c.name, qt, 0)
			var v *wire.Verifier
			if c.key != nil {
				var mac []byte
				q, mac = wire.SignRequest(q, 0, *c.key, time.Now())
				v = wire.NewVerifier(*c.key, mac)
			}
			msg := one(t, r.addr, q)
			h, _ := wire.ParseHeader(msg)
			ts, err := wire.FindTSIG(msg)
			if err != nil {
				t.Fatal(err)
			}
			if h.Flags.Rcode() != c.want {
				t.Errorf("%s, %s: %s, want %s", c.what, qt, h.Flags.Rcode(), c.want)
			}
			switch {
			case c.key == nil && ts != nil, c.key != nil && (ts == nil || ts.Error != c.tsig):
				t.Errorf("%s, %s: TSIG %+v, want %v", c.what, qt, ts, c.tsig)
			case v != nil && c.tsig == 0:
				if _, err := v.Verify(msg, time.Now()); err != nil {
					t.Errorf("%s, %s: %v", c.what, qt, err)
				}
			}
		}
	}
	// BADTIME is signed and says our time.
	q, mac := wire.SignRequest(transferQuery("open.test.", zone.TypeSOA, 0), 0, *open, time.Now().Add(-time.Hour))
	if _, err := wire.NewVerifier(*open, mac).Verify(one(t, r.addr, q), time.Now().Add(-time.Hour)); err == nil || !strings.Contains(err.Error(), "BADTIME") {
		t.Errorf("an hour late: %v", err)
	}
	for what, min := range map[string]float64{
		`dnsctl_mdns_tsig_errors_total{error="BADKEY"}`: 10, `dnsctl_mdns_tsig_errors_total{error="BADSIG"}`: 2,
		`dnsctl_mdns_refusals_total{reason="zone"}`: 10, `dnsctl_mdns_tsig_keys_unusable`: 2,
	} {
		if got := counter(t, r, what); got < min {
			t.Errorf("%s is %v, want at least %v", what, got, min)
		}
	}
}

// one is the first answer to a query over TCP.
func one(t testing.TB, addr string, q []byte) []byte {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if err := wire.WriteFrame(c, q); err != nil {
		t.Fatal(err)
	}
	msg, err := wire.ReadFrame(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	return msg
}

func TestMetaTypesAreAnsweredAsByNamed(t *testing.T) {
	t.Parallel()
	zones := map[string]string{"plain.test.": trickyZones["plain.test."]}
	bind := newAsker(t, named(t, zones, "").Addr)
	m := newMemory()
	m.create(parse(t, "plain.test.", zones["plain.test."]))
	us := newAsker(t, start(t, m, nil).addr)
	for qt := uint16(0); qt < 300; qt++ {
		if qt == dns.TypeAXFR || qt == dns.TypeIXFR || qt == dns.TypeTKEY {
			continue // TKEY is a protocol of its own there
		}
		q := new(dns.Msg).SetQuestion("www.plain.test.", qt)
		if want, got := summary(bind.ask(q)), summary(us.ask(q)); want != got {
			t.Errorf("type %d\nnamed: %sus: %s", qt, want, got)
		}
	}
	for _, at := range []struct {
		aa, cd, ad, rd bool
	}{{cd: true}, {ad: true}, {rd: true}, {aa: true}} {
		q := new(dns.Msg).SetQuestion("www.plain.test.", dns.TypeA)
		q.Authoritative, q.CheckingDisabled, q.AuthenticatedData, q.RecursionDesired = at.aa, at.cd, at.ad, at.rd
		if want, got := summary(bind.ask(q)), summary(us.ask(q)); want != got {
			t.Errorf("flags %+v\nnamed: %sus: %s", at, want, got)
		}
	}
}
