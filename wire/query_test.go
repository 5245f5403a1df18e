package wire

import (
	"errors"
	"testing"

	"github.com/miekg/dns"

	"dnsctl/zone"
)

func pack(t testing.TB, m *dns.Msg) []byte {
	t.Helper()
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParseQueryReadsWhatAServerNeeds(t *testing.T) {
	m := new(dns.Msg)
	m.SetIxfr("WWW.Example.org.", 4000000000, "ns.example.org.", "host.example.org.")
	m.Id = 99
	m.RecursionDesired = true
	m.SetEdns0(4096, true)
	o := m.IsEdns0()
	o.Option = append(o.Option, &dns.EDNS0_NSID{Code: dns.EDNS0NSID}, &dns.EDNS0_TCP_KEEPALIVE{Code: dns.EDNS0TCPKEEPALIVE},
		&dns.EDNS0_EXPIRE{Code: dns.EDNS0EXPIRE, Empty: true}, &dns.EDNS0_LOCAL{Code: OptZoneVersion})
	m.SetTsig("key.example.", dns.HmacSHA256, 300, 1000)
	signed, _, err := dns.TsigGenerate(m, "c2VjcmV0", "", false)
	if err != nil {
		t.Fatal(err)
	}
	q, err := ParseQuery(signed)
	if err != nil {
		t.Fatal(err)
	}
	if q.ID != 99 || q.Flags&FlagRD == 0 || q.Question != (Question{name("WWW.Example.org."), zone.TypeIXFR, ClassIN}) ||
		q.Serial != 4000000000 || q.QuestionEnd != HeaderLen+17+4 {
		t.Errorf("got %+v", q)
	}
	if want := (EDNS{Present: true, UDPSize: 4096, DO: true, NSID: true, Keepalive: true, Expire: true, ZoneVersion: true}); q.EDNS != want {
		t.Errorf("EDNS %+v, want %+v", q.EDNS, want)
	}
	if q.TSIG == nil || q.TSIG.KeyName != name("key.example.") || q.TSIG.Time != 1000 || q.TSIG.Fudge != 300 ||
		q.TSIG.Algorithm != HMACSHA256.Name() || q.TSIG.OriginalID != 99 || len(q.TSIG.MAC) != 32 {
		t.Errorf("TSIG %+v", q.TSIG)
	}
}

func TestParseQueryTellsDropFromFormErr(t *testing.T) {
	plain := string(pack(t, new(dns.Msg).SetQuestion("example.org.", dns.TypeA)))
	opt := "\x00\x00\x29\x10\x00\x00\x00\x00\x00\x00\x00"
	tsig := "\x01k\x00\x00\xfa\x00\xff\x00\x00\x00\x00\x00\x3a\x0bhmac-sha256\x00" + "\x00\x00\x00\x00\x00\x01\x01\x2c\x00\x20" +
		"01234567890123456789012345678901" + "\x00\x00\x00\x00\x00\x00"
	tsig = tsig[:12] + string(rune(len(tsig)-13)) + tsig[13:]
	set := func(s string, at int, v byte) string { b := []byte(s); b[at] = v; return string(b) }
	for _, c := range []struct {
		what, msg string
		want      error
	}{
		{"whole", plain, nil},
		{"empty", "", ErrDrop},
		{"eleven octets", plain[:11], ErrDrop},
		{"response", set(plain, 2, 0x80), ErrDrop},
		{"header only", plain[:12], ErrFormat},
		{"QDCOUNT 0", set(plain, 5, 0), ErrFormat},
		{"QDCOUNT 2", set(plain, 5, 2), ErrFormat},
		{"QDCOUNT 0 with opcode STATUS", set(set(plain, 5, 0), 2, 0x10), nil},
		{"question cut", plain[:len(plain)-1], ErrFormat},
		{"looped name", plain[:12] + "\xc0\x0c\x00\x01\x00\x01", ErrFormat},
		{"trailing octets", plain + "xyz", nil},
		{"OPT", set(plain, 11, 1) + opt, nil},
		{"two OPT", set(plain, 11, 2) + opt + opt, ErrFormat},
		{"OPT in the answer", set(plain, 7, 1) + opt, ErrFormat},
		{"OPT with owner", set(plain, 11, 1) + "\x01a" + opt, ErrFormat},
		{"OPT option cut", set(plain, 11, 1) + opt[:10] + "\x02\x00\x03", ErrFormat},
		{"keepalive with a value in a query", set(plain, 11, 1) + opt[:10] + "\x06\x00\x0b\x00\x02\x00\x01", nil},
		{"OPT option cut, of a version that we do not know", set(plain, 11, 1) + opt[:6] + "\x01\x00\x00\x00\x02\x00\x03", nil},
		{"additional missing", set(plain, 11, 1), ErrFormat},
		{"TSIG", set(plain, 11, 1) + tsig, nil},
		{"TSIG before OPT", set(plain, 11, 2) + tsig + opt, ErrFormat},
		{"TSIG after OPT", set(plain, 11, 2) + opt + tsig, nil},
		{"two TSIG", set(plain, 11, 2) + tsig + tsig, ErrFormat},
		{"TSIG of class IN", set(plain, 11, 1) + set(tsig, 6, 1), ErrFormat},
		{"TSIG with TTL", set(plain, 11, 1) + set(tsig, 10, 1), ErrFormat},
		{"TSIG with a MAC beyond its end", set(plain, 11, 1) + set(tsig, 35, 0x7f), ErrFormat},
		{"IXFR without SOA", set(plain, 26, 251), ErrFormat},
	} {
		_, err := ParseQuery([]byte(c.msg))
		if c.want == nil && err != nil || !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.what, err, c.want)
		}
	}
}

func TestMnemonics(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{RcodeSuccess.String(), "NOERROR"}, {RcodeNotAuth.String(), "NOTAUTH"}, {Rcode(16).String(), "BADVERS"},
		{Rcode(99).String(), "RCODE99"}, {OpNotify.String(), "NOTIFY"}, {Opcode(9).String(), "OPCODE9"},
		{BadTime.Mnemonic(), "BADTIME"},
	} {
		if c.got != c.want {
			t.Errorf("got %s, want %s", c.got, c.want)
		}
	}
}

func FuzzParseQuery(f *testing.F) {
	m := new(dns.Msg)
	m.SetIxfr("example.org.", 1, "ns.example.org.", "host.example.org.")
	m.SetEdns0(4096, true)
	f.Add(pack(f, m))
	m.SetTsig("key.example.", dns.HmacSHA256, 300, 1000)
	signed, _, _ := dns.TsigGenerate(m, "c2VjcmV0", "", false)
	f.Add(signed)
	f.Fuzz(func(t *testing.T, msg []byte) {
		q, err := ParseQuery(msg)
		if err != nil && !errors.Is(err, ErrDrop) && !errors.Is(err, ErrFormat) {
			t.Fatalf("error of no kind: %v", err)
		}
		if q.QuestionEnd > len(msg) || q.Question.Name != "" && !q.Question.Name.Valid() {
			t.Fatalf("got %+v", q)
		}
		if q.TSIG != nil && err == nil {
			if _, err := FindTSIG(msg); err != nil {
				t.Fatalf("ParseQuery finds TSIG and FindTSIG says %v", err)
			}
			key := Key{Name: q.TSIG.KeyName, Algorithm: HMACSHA256, Secret: []byte("s")}
			if q.TSIG.Verify(msg, key, fixed) == nil {
				t.Fatal("forged")
			}
		}
	})
}
