package dnsclient

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dnsctl/testbed"
	"dnsctl/wire"
	"dnsctl/zone"
	"dnsctl/zone/zonefile"
)

// tricky has what transfers stumble over: names compressed in rdata, letter
// case, escapes, unknown types, wildcards, names below a cut, an RRset that fills
// messages, and records enough for many of them.
func tricky() string {
	var b strings.Builder
	b.WriteString(`$TTL 300
@ IN SOA ns.Example. Host\.Master.example. 4294967290 60 60 600 60
@ NS ns
@ NS NS2.sub
@ MX 10 mail
@ MX 20 Mail.OUTSIDE.test.
@ CAA 0 issue "ca.test"
ns A 127.0.0.1
ns AAAA ::1
MixedCase TXT "Mixed" "case and \"quotes\" \000\255"
a\.b.c\032d TXT "escaped"
\000\001\255 A 127.0.0.2
* TXT "wild"
*.deep CNAME @
sub NS ns2.sub
ns2.sub A 127.0.0.3
hidden.sub TXT "occluded"
alias CNAME mixedcase
tree DNAME other.test.
_sip._udp SRV 1 2 5060 sip
e164 NAPTR 100 10 "u" "E2U+sip" "!^.*$!sip:x@example!" next.example.
rp RP mbox.example. txt.example.
afs AFSDB 1 afs
kx KX 1 kx
px PX 10 map822.example. mapx400.example.
rt RT 10 relay
minfo MINFO resp.example. err.example.
new TYPE65280 \# 6 C00C0A000001
svc HTTPS 1 . alpn=h2
0/25 NS ns
`)
	for i := range 90 {
		fmt.Fprintf(&b, "many TXT \"%0100d\"\n", i)
	}
	for i := range 3000 {
		fmt.Fprintf(&b, "host%d.%d A 10.0.%d.%d\nhost%d.%d MX 5 mail.host%d\n", i, i%7, i/256, i%256, i, i%7, i)
	}
	return b.String()
}

func parse(t *testing.T, text string) *zone.Snapshot {
	t.Helper()
	r, err := zonefile.Read(t.Context(), strings.NewReader(text), zonefile.Options{Origin: name("example."), NoCheck: true})
	if err != nil {
		t.Fatal(err)
	}
	return r.Snapshot
}

func compare(t *testing.T, got, want *zone.Snapshot) {
	t.Helper()
	d := zone.Diff(want, got)
	if got.Serial() != want.Serial() || !d.Empty() {
		t.Errorf("serial %d instead of %d; missing %v; too many %v", got.Serial(), want.Serial(), d.Removed, d.Added)
	}
}

const keyStatement = `key "transfer.key" { algorithm hmac-sha256; secret "%s"; };`

func keyConfig() string {
	return fmt.Sprintf(keyStatement, base64.StdEncoding.EncodeToString(testKey().Secret))
}

func address(n *testbed.Named) netip.AddrPort { return netip.MustParseAddrPort(n.Addr) }

func TestTransferFromNamedIsTheZoneToTheOctet(t *testing.T) {
	t.Parallel()
	n := testbed.StartNamed(t, testbed.NamedOptions{
		Zones:  map[string]string{"example": tricky()},
		Config: keyConfig(), Options: `allow-transfer { any; }; check-names primary ignore; check-integrity no;`,
	})
	want := parse(t, tricky())
	for _, key := range []*wire.Key{nil, testKey()} {
		got, err := new(Client).Transfer(t.Context(), address(n), name("example."), key, TransferOptions{})
		if err != nil {
			t.Fatal(err)
		}
		compare(t, got, want)
	}
	_, err := new(Client).Transfer(t.Context(), address(n), name("example."), nil, TransferOptions{MaxOctets: 20_000})
	if !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v", err)
	}
}

func TestNamedRefusesWhoMayNotTransfer(t *testing.T) {
	t.Parallel()
	n := testbed.StartNamed(t, testbed.NamedOptions{
		Zones:  map[string]string{"example": tricky()},
		Config: keyConfig(), Options: `allow-transfer { key transfer.key; }; check-names primary ignore; check-integrity no;`,
	})
	wrongName, wrongSecret, wrongAlgorithm := testKey(), testKey(), testKey()
	wrongName.Name = name("other.key.")
	wrongSecret.Secret = []byte("not the secret that the server has")
	wrongAlgorithm.Algorithm = wire.HMACSHA512
	for _, c := range []struct {
		zone string
		key  *wire.Key
		kind error
		tsig wire.TSIGError
	}{
		{"example.", nil, ErrRefused, 0},
		{"elsewhere.", testKey(), ErrNotAuth, 0},
		{"example.", wrongName, ErrTSIG, wire.BadKey},
		{"example.", wrongSecret, ErrTSIG, wire.BadSig},
		{"example.", wrongAlgorithm, ErrTSIG, wire.BadKey},
		{"example.", testKey(), nil, 0},
	} {
		_, err := new(Client).Transfer(t.Context(), address(n), name(c.zone), c.key, TransferOptions{})
		var e *Error
		if !errors.Is(err, c.kind) || errors.As(err, &e) && e.TSIG != c.tsig {
			t.Errorf("%s with %v: got %v", c.zone, c.key, err)
		}
		if c.kind != ErrTSIG {
			continue
		}
		if _, err := new(Client).Ask(t.Context(), address(n), name(c.zone), zone.TypeSOA, c.key); !errors.Is(err, ErrTSIG) {
			t.Errorf("question with %v: got %v", c.key, err)
		}
		r := patient(t).SOA(t.Context(), Probe{Server: address(n), Zone: name(c.zone), Key: c.key})
		if !errors.As(r.Err, &e) || e.TSIG != c.tsig {
			t.Errorf("probe with %v: got %v", c.key, r.Err)
		}
	}
}

// update changes a zone by RFC 2136.
func update(t *testing.T, n *testbed.Named, change func(m *dns.Msg, rr func(text string) []dns.RR)) {
	t.Helper()
	m := new(dns.Msg)
	m.SetUpdate("example.")
	change(m, func(text string) []dns.RR {
		rr, err := dns.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		return []dns.RR{rr}
	})
	r, _, err := (&dns.Client{Net: "tcp", Timeout: 10 * time.Second}).Exchange(m, n.Addr)
	if err != nil || r.Rcode != dns.RcodeSuccess {
		t.Fatalf("update: %v, %v", r, err)
	}
}

func primary(t *testing.T, options string) *testbed.Named {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "example.zone")
	if err := os.WriteFile(file, []byte(tricky()), 0o600); err != nil {
		t.Fatal(err)
	}
	return testbed.StartNamed(t, testbed.NamedOptions{
		Config: fmt.Sprintf(`%s
zone "example" { type primary; file %q; allow-update { 127.0.0.1; }; check-names ignore; check-integrity no; };`, keyConfig(), file),
		Options: options,
	})
}

func TestIXFRFromNamedLeadsFromAnyVersionToTheNewest(t *testing.T) {
	t.Parallel()
	n := primary(t, `allow-transfer { any; };`)
	c := new(Client)
	versions := []*zone.Snapshot{parse(t, tricky())}
	changes := []func(m *dns.Msg, rr func(string) []dns.RR){
		func(m *dns.Msg, rr func(string) []dns.RR) { m.Insert(rr("new1.example. 60 A 127.0.0.9")) },
		func(m *dns.Msg, rr func(string) []dns.RR) {
			m.Remove(rr("new1.example. 60 A 127.0.0.9"))
			m.Insert(rr("example. 300 MX 30 Third.example."))
			m.RemoveRRset(rr("alias.example. 300 CNAME x."))
		},
		func(m *dns.Msg, rr func(string) []dns.RR) { m.Insert(rr("mixedcase.EXAMPLE. 300 TXT \"another\"")) },
		// BIND gives the whole RRset the new TTL.
		func(m *dns.Msg, rr func(string) []dns.RR) { m.Insert(rr("ns.example. 77 A 127.0.0.7")) },
		func(m *dns.Msg, rr func(string) []dns.RR) {
			m.RemoveRRset(rr("many.example. 300 TXT x"))
			m.Insert(rr("many.example. 5 TXT \"only\""))
		},
		func(m *dns.Msg, rr func(string) []dns.RR) {
			m.Insert(rr(`\000\001\255.example. 300 TYPE65280 \# 3 C00C01`))
		},
		func(m *dns.Msg, rr func(string) []dns.RR) { m.RemoveName(rr("ns2.sub.example. 300 A 127.0.0.1")) },
	}
	for _, change := range changes {
		update(t, n, change)
		s, err := c.Transfer(t.Context(), address(n), name("example."), nil, TransferOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if !s.Serial().Ahead(versions[len(versions)-1].Serial()) {
			t.Fatalf("serial %d after %d", s.Serial(), versions[len(versions)-1].Serial())
		}
		versions = append(versions, s)
	}
	newest := versions[len(versions)-1]
	for _, from := range versions {
		for _, key := range []*wire.Key{nil, testKey()} {
			got, err := c.IXFR(t.Context(), address(n), from, key, TransferOptions{})
			if err != nil {
				t.Fatalf("from %d: %v", from.Serial(), err)
			}
			compare(t, got, newest)
			if from == newest && got != from {
				t.Error("a new snapshot for nothing new")
			}
		}
	}
	// A version that the server never had gets the whole zone.
	d := zone.Delta{OldSOA: versions[0].SOASet(), NewSOA: versions[0].SOASet()}
	d.NewSOA.Data = zone.PackRdata(versions[0].SOA().WithSerial(versions[0].Serial() - 100).Rdata())
	old, err := versions[0].Apply(d)
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.IXFR(t.Context(), address(n), old, nil, TransferOptions{})
	if err != nil {
		t.Fatal(err)
	}
	compare(t, got, newest)
}

func TestNotifyMakesNamedFetchTheZone(t *testing.T) {
	t.Parallel()
	p := primary(t, `allow-transfer { any; };`)
	port := address(p).Port()
	s := testbed.StartNamed(t, testbed.NamedOptions{Config: keyConfig() + fmt.Sprintf(`
zone "example" { type secondary; file "example.db"; primaries { 127.0.0.1 port %d; }; allow-notify { key transfer.key; }; };
zone "closed" { type secondary; file "closed.db"; primaries { 192.0.2.1; }; };`, port)})
	pr := patient(t)
	serves := func(serial zone.Serial) func() error {
		return func() error {
			r := pr.SOA(t.Context(), Probe{Server: address(s), Zone: name("example.")})
			if !r.Serves() || r.Serial != serial {
				return fmt.Errorf("serves serial %d: %s, %v", r.Serial, r.Rcode, r.Err)
			}
			return nil
		}
	}
	first := parse(t, tricky())
	testbed.EventuallyNil(t, 20*time.Second, serves(first.Serial()))
	c := &Client{Timeout: 5 * time.Second}
	for i, key := range []*wire.Key{nil, testKey()} {
		update(t, p, func(m *dns.Msg, rr func(string) []dns.RR) {
			m.Insert(rr(fmt.Sprintf("note%d.example. 60 A 127.0.0.9", i)))
		})
		now, err := c.Transfer(t.Context(), address(p), name("example."), nil, TransferOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Notify(t.Context(), address(s), name("example."), now.SOASet(), key); err != nil {
			t.Fatal(err)
		}
		testbed.EventuallyNil(t, 20*time.Second, serves(now.Serial()))
	}
	for z, kind := range map[string]error{"elsewhere.": ErrNotAuth, "closed.": ErrRefused} {
		if err := c.Notify(t.Context(), address(s), name(z), zone.RRset{}, nil); !errors.Is(err, kind) {
			t.Errorf("%s: got %v", z, err)
		}
	}
}

func TestNamedShowsWhoseZoneItIs(t *testing.T) {
	t.Parallel()
	n := testbed.StartNamed(t, testbed.NamedOptions{
		Zones: map[string]string{"example": tricky()}, Options: "check-names primary ignore; check-integrity no;",
		Config: `zone "dead" { type secondary; file "dead.db"; primaries { 127.0.0.1 port 9; }; };`,
	})
	for z, want := range map[string]struct{ serves, absent bool }{
		"example.": {true, false}, "none.example.": {false, true}, "x.sub.example.": {false, true},
		"ns.example.": {false, true}, "elsewhere.": {false, true}, "dead.": {false, false},
	} {
		r := patient(t).SOA(t.Context(), Probe{Server: address(n), Zone: name(z)})
		if r.Err != nil || r.Serves() != want.serves || r.Absent() != want.absent {
			t.Errorf("%s: %+v", z, r)
		}
	}
	// An answer of 9 kB goes over TCP.
	a, err := new(Client).Ask(t.Context(), address(n), name("many.example."), zone.TypeTXT, nil)
	if err != nil {
		t.Fatal(err)
	}
	if set, ok := a.RRset(name("many.example."), zone.TypeTXT); !ok || set.Data.Len() != 90 {
		t.Errorf("%d records", set.Data.Len())
	}
}
