package mdns

import (
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dnsctl/fleet"
	"dnsctl/testbed"
	"dnsctl/wire"
	"dnsctl/zone"
)

const keySecret = "a secret that tests may know 123"

var keyBase64 = base64.StdEncoding.EncodeToString([]byte(keySecret))

// big is a zone of many records with this serial and this many hosts.
func big(t testing.TB, origin string, serial, hosts int) *zone.Snapshot {
	t.Helper()
	b := zone.NewBuilder(n(origin), hosts+2)
	b.Add(zone.RRset{Owner: n(origin), Type: zone.TypeSOA, TTL: 3600, Data: zone.PackRdata(zone.SOA{
		MName: n("ns." + origin), RName: n("host." + origin), Serial: zone.Serial(serial), Refresh: 3600, Retry: 600, Expire: 86400, Minimum: 300,
	}.Rdata())})
	b.Add(zone.RRset{Owner: n(origin), Type: zone.TypeNS, TTL: 3600, Data: zone.PackRdata(string(n("ns." + origin)))})
	b.Add(zone.RRset{Owner: n("ns." + origin), Type: zone.TypeA, TTL: 3600, Data: zone.PackRdata("\x7f\x00\x00\x01")})
	for i := range hosts {
		set := zone.RRset{Owner: n(fmt.Sprintf("host%d.%s", i, origin)), TTL: 3600}
		switch i % 20 {
		case 0, 1, 2:
			set.Type, set.Data = zone.TypeAAAA, zone.PackRdata(fmt.Sprintf("%016d", i))
		case 3, 4, 5:
			set.Type, set.Data = zone.TypeCNAME, zone.PackRdata(string(n(fmt.Sprintf("host%d.%s", i+1, origin))))
		case 6, 7:
			set.Type, set.Data = zone.TypeMX, zone.PackRdata("\x00\x0a"+string(n("mail."+origin)))
		case 8, 9:
			set.Type, set.Data = zone.TypeTXT, zone.PackRdata("\x0bsome text 1")
		default:
			set.Type, set.Data = zone.TypeA, zone.PackRdata(fmt.Sprintf("%04d", i%10000))
		}
		b.Add(set)
	}
	s, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// put is the zone with these changes made: text of records to remove and to add,
// and the next serial.
func put(t testing.TB, s *zone.Snapshot, remove, add string) *zone.Snapshot {
	t.Helper()
	soa := s.SOASet()
	p := s.SOA()
	soa.Data = zone.PackRdata(p.WithSerial(p.Serial + 1).Rdata())
	d := zone.Delta{OldSOA: s.SOASet(), NewSOA: soa, Removed: records(t, remove), Added: records(t, add)}
	next, err := s.Apply(d)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

func records(t testing.TB, text string) (sets []zone.RRset) {
	t.Helper()
	buf := make([]byte, 70000)
	for line := range strings.Lines(text) {
		rr, err := dns.NewRR(line)
		if err != nil {
			t.Fatal(err)
		}
		if rr == nil {
			continue
		}
		end, err := dns.PackRR(rr, buf, 0, nil, false)
		if err != nil {
			t.Fatal(err)
		}
		got, err := zone.ParseWire(buf[:end])
		if err != nil {
			t.Fatal(err)
		}
		sets = append(sets, got...)
	}
	slices.SortFunc(sets, func(a, b zone.RRset) int { return a.ID().Compare(b.ID()) })
	return sets
}

// fetch asks for a transfer over a connection of its own and returns what comes
// until the transfer's end, checking every message.
func fetch(t testing.TB, addr string, q []byte, verify *wire.Verifier) (rcode wire.Rcode, recs []wire.Record, datas []string, messages int) {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	if err := wire.WriteFrame(c, q); err != nil {
		t.Fatal(err)
	}
	var last string
	soas := 0
	for {
		msg, err := wire.ReadFrame(c, nil)
		if err != nil {
			t.Fatalf("after %d messages: %v", messages, err)
		}
		messages++
		if verify != nil {
			if msg, err = verify.Verify(msg, time.Now()); err != nil {
				t.Fatalf("message %d: %v", messages, err)
			}
		}
		h, _ := wire.ParseHeader(msg)
		if h.Flags.Rcode() != 0 {
			return h.Flags.Rcode(), nil, nil, messages
		}
		r := wire.NewReader(msg)
		for range h.Counts[wire.SectionQuestion] {
			got, err := r.Question()
			want, _ := wire.ParseQuery(q)
			if err != nil || got != want.Question {
				t.Fatalf("question %v, %v; want %v", got, err, want.Question)
			}
		}
		for range h.Counts[wire.SectionAnswer] {
			rec, err := r.Record()
			if err != nil {
				t.Fatal(err)
			}
			data, err := r.Rdata(rec)
			if err != nil {
				t.Fatal(err)
			}
			rec.Data = nil
			recs, datas = append(recs, rec), append(datas, data)
			if rec.Type == zone.TypeSOA {
				if soas == 0 {
					last = data
				}
				soas++
			}
		}
		n := len(recs)
		if n == 0 {
			t.Fatal("empty answer")
		}
		if n == 1 && verify == nil && messages == 1 && h.Counts[wire.SectionAnswer] == 1 && soas == 1 {
			if q, _ := wire.ParseQuery(q); q.Question.Type == zone.TypeIXFR {
				return 0, recs, datas, messages // current
			}
		}
		// AXFR ends at the second SOA; IXFR at the third SOA equal to the first.
		if n > 1 && recs[n-1].Type == zone.TypeSOA && datas[n-1] == last {
			same := 0
			for i := range recs {
				if recs[i].Type == zone.TypeSOA && datas[i] == last {
					same++
				}
			}
			if recs[1].Type != zone.TypeSOA && same == 2 || recs[1].Type == zone.TypeSOA && same == 3 {
				return 0, recs, datas, messages
			}
		}
	}
}

func transferQuery(origin string, t zone.Type, serial zone.Serial) []byte {
	var e wire.Encoder
	e.Reset(nil, wire.Header{ID: 77}, wire.Full, "", wire.MaxMessage)
	e.Question(wire.Question{Name: n(origin), Type: t, Class: wire.ClassIN})
	if t == zone.TypeIXFR {
		e.Record(wire.SectionAuthority, n(origin), zone.TypeSOA, 0, zone.SOA{MName: zone.Root, RName: zone.Root, Serial: serial}.Rdata())
	}
	return e.Bytes()
}

// same fails unless the records of an AXFR are the snapshot's, in its order
// between two SOAs.
func same(t testing.TB, s *zone.Snapshot, recs []wire.Record, datas []string) {
	t.Helper()
	if len(recs) != s.Records()+1 {
		t.Fatalf("%d records, want %d", len(recs), s.Records()+1)
	}
	i := 1
	for set := range s.All() {
		if set.Type == zone.TypeSOA {
			continue
		}
		for d := range set.Data.All() {
			if recs[i].Owner != set.Owner || recs[i].Type != set.Type || recs[i].TTL != set.TTL || datas[i] != d {
				t.Fatalf("record %d is %v %q, want %v %q", i, recs[i], datas[i], set, d)
			}
			i++
		}
	}
	for _, i := range []int{0, len(recs) - 1} {
		if recs[i].Type != zone.TypeSOA || datas[i] != s.SOASet().Data.First() {
			t.Fatalf("record %d is no SOA of the zone: %v", i, recs[i])
		}
	}
}

func TestAXFRSendsTheZoneWholeInOrderInEverySize(t *testing.T) {
	t.Parallel()
	plain := parse(t, "plain.test.", trickyZones["plain.test."])
	large := big(t, "BIG.example.", 1, 30000)
	for _, size := range []int{4096, 16384, wire.MaxMessage} {
		m := newMemory()
		m.create(plain)
		m.create(large)
		r := start(t, m, func(c *Config) { c.MaxMessage = size })
		_, recs, datas, _ := fetch(t, r.addr, transferQuery("PLAIN.test.", zone.TypeAXFR, 0), nil)
		same(t, plain, recs, datas)
		_, recs, datas, messages := fetch(t, r.addr, transferQuery("big.EXAMPLE.", zone.TypeAXFR, 0), nil)
		same(t, large, recs, datas)
		if want := large.Octets() / 2 / size; messages < want {
			t.Errorf("%d messages of at most %d octets", messages, size)
		}
	}
}

func TestTransfersAreSignedInEveryMessage(t *testing.T) {
	t.Parallel()
	m := newMemory()
	s := big(t, "big.example.", 1, 20000)
	m.create(s)
	m.addKey(t, "pool.key.", "hmac-sha256.", keySecret, fleet.Scope{PoolID: testPool})
	r := start(t, m, func(c *Config) { c.MaxMessage = 5000 })
	key := wire.Key{Name: n("pool.key."), Algorithm: wire.HMACSHA256, Secret: []byte(keySecret)}
	q, mac := wire.SignRequest(transferQuery("big.example.", zone.TypeAXFR, 0), 0, key, time.Now())
	v := wire.NewVerifier(key, mac)
	_, recs, datas, messages := fetch(t, r.addr, q, v)
	same(t, s, recs, datas)
	if err := v.Done(); err != nil || messages < 100 {
		t.Errorf("%d messages: %v", messages, err)
	}
}

func TestIXFRSendsChangesSingleSOAOrTheWholeZone(t *testing.T) {
	t.Parallel()
	m := newMemory()
	s1 := big(t, "z.example.", 10, 100)
	id := m.create(s1)
	s2 := put(t, s1, "", "new.z.example. 60 IN A 192.0.2.1\nnew.z.example. 60 IN A 192.0.2.2\n")
	s3 := put(t, s2, "new.z.example. 60 IN A 192.0.2.1\n", "other.z.example. 60 IN TXT x\n")
	m.change(id, s2)
	m.change(id, s3)
	r := start(t, m, nil)
	var lines []string
	show := func(serial int) []string {
		_, recs, datas, _ := fetch(t, r.addr, transferQuery("z.example.", zone.TypeIXFR, zone.Serial(serial)), nil)
		lines = nil
		for i, rec := range recs {
			if rec.Type == zone.TypeSOA {
				soa, _ := zone.ParseSOA(datas[i])
				lines = append(lines, fmt.Sprint("SOA ", soa.Serial))
			} else {
				lines = append(lines, fmt.Sprintf("%s %s %q", rec.Owner, rec.Type, datas[i]))
			}
		}
		return lines
	}
	for _, c := range []struct {
		from int
		want []string
	}{
		{10, []string{"SOA 12", "SOA 10", "SOA 11", `new.z.example. A "\xc0\x00\x02\x01"`, `new.z.example. A "\xc0\x00\x02\x02"`,
			"SOA 11", `new.z.example. A "\xc0\x00\x02\x01"`, "SOA 12", `other.z.example. TXT "\x01x"`, "SOA 12"}},
		{11, []string{"SOA 12", "SOA 11", `new.z.example. A "\xc0\x00\x02\x01"`, "SOA 12", `other.z.example. TXT "\x01x"`, "SOA 12"}},
		{12, []string{"SOA 12"}},
		{13, []string{"SOA 12"}},
		{12 + 1<<31 - 1, []string{"SOA 12"}},
	} {
		if got := show(c.from); !slices.Equal(got, c.want) {
			t.Errorf("from %d:\ngot  %q\nwant %q", c.from, got, c.want)
		}
	}
	_, recs, datas, _ := fetch(t, r.addr, transferQuery("z.example.", zone.TypeIXFR, 9), nil)
	same(t, s3, recs, datas) // history does not reach back

	// History longer than the zone.
	small := big(t, "small.example.", 1, 1)
	sid := m.create(small)
	for i := range 30 {
		next := put(t, small, "", fmt.Sprintf("x%d.small.example. 60 IN A 192.0.2.1\n", i))
		m.change(sid, next)
		small = put(t, next, fmt.Sprintf("x%d.small.example. 60 IN A 192.0.2.1\n", i), "")
		m.change(sid, small)
	}
	testbed.Eventually(t, 10*time.Second, func() bool { return r.Position() == int64(len(m.feed)) })
	_, recs, datas, _ = fetch(t, r.addr, transferQuery("small.example.", zone.TypeIXFR, 1), nil)
	same(t, small, recs, datas)

	// A store that does not say how large the zone is.
	m.change(sid, put(t, small, "", "y.small.example. 60 IN A 192.0.2.1\n"))
	m.configure(func(m *memory) { m.zones[sid].Octets = 0 })
	r2 := start(t, m, nil)
	if _, recs, _, _ = fetch(t, r2.addr, transferQuery("small.example.", zone.TypeIXFR, small.Serial()), nil); len(recs) != 5 {
		t.Errorf("%d records for a small change", len(recs))
	}
}

func TestUDPTransfersAreRefusedOrASingleSOA(t *testing.T) {
	t.Parallel()
	m := newMemory()
	s := big(t, "z.example.", 10, 10)
	id := m.create(s)
	m.change(id, put(t, s, "", "new.z.example. 60 IN A 192.0.2.1\n"))
	r := start(t, m, nil)
	ask := func(q []byte) *dns.Msg {
		c, err := net.Dial("udp", r.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := c.Write(q); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 4096)
		k, err := c.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		var m dns.Msg
		if err := m.Unpack(buf[:k]); err != nil {
			t.Fatal(err)
		}
		return &m
	}
	if got := ask(transferQuery("z.example.", zone.TypeAXFR, 0)); got.Rcode != dns.RcodeRefused {
		t.Errorf("AXFR over UDP: %v", got)
	}
	got := ask(transferQuery("z.example.", zone.TypeIXFR, 10))
	if len(got.Answer) != 1 || got.Answer[0].(*dns.SOA).Serial != 11 {
		t.Errorf("IXFR over UDP: %v", got)
	}
}

func TestARecordThatFitsNoMessageFailsTheTransfer(t *testing.T) {
	t.Parallel()
	m := newMemory()
	b := zone.NewBuilder(n("z.example."), 0)
	for set := range big(t, "z.example.", 1, 10).All() {
		b.Add(set)
	}
	b.Add(zone.RRset{Owner: n("huge.z.example."), Type: 65280, TTL: 1, Data: zone.PackRdata(strings.Repeat("x", 5000))})
	s, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	m.create(s)
	r := start(t, m, func(c *Config) { c.MaxMessage = 4096 })
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if err := wire.WriteFrame(c, transferQuery("z.example.", zone.TypeAXFR, 0)); err != nil {
		t.Fatal(err)
	}
	for {
		msg, err := wire.ReadFrame(c, nil)
		if err != nil {
			break // closed before the last SOA: the client knows
		}
		h, _ := wire.ParseHeader(msg)
		if int(h.Counts[wire.SectionAnswer]) >= s.Records() {
			t.Fatal("the transfer came to its end without the record")
		}
	}
}

func TestATransferHoldsItsSnapshotWhileTheZoneChanges(t *testing.T) {
	t.Parallel()
	m := newMemory()
	s := big(t, "big.example.", 1, 200000)
	id := m.create(s)
	r := start(t, m, nil)
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	if err := wire.WriteFrame(c, transferQuery("big.example.", zone.TypeAXFR, 0)); err != nil {
		t.Fatal(err)
	}
	first, err := wire.ReadFrame(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	// The rest does not fit the socket's buffers: the transfer is under way.
	m.change(id, put(t, s, "", "new.big.example. 60 IN A 192.0.2.1\n"))
	testbed.Eventually(t, 10*time.Second, func() bool { return r.Position() == 2 })
	count := 0
	var last *wire.Record
	for msg := first; ; {
		h, _ := wire.ParseHeader(msg)
		rd := wire.NewReader(msg)
		for range h.Counts[0] {
			_, _ = rd.Question()
		}
		for range h.Counts[1] {
			rec, err := rd.Record()
			if err != nil {
				t.Fatal(err)
			}
			if rec.Owner == n("new.big.example.") {
				t.Fatal("the new version leaked in")
			}
			count++
			last = &rec
		}
		if count > 1 && last.Type == zone.TypeSOA {
			data, _ := rd.Rdata(*last)
			if soa, _ := zone.ParseSOA(data); soa.Serial != 1 {
				t.Errorf("ends at serial %d", soa.Serial)
			}
			break
		}
		if msg, err = wire.ReadFrame(c, nil); err != nil {
			t.Fatal(err)
		}
	}
	if count != s.Records()+1 {
		t.Errorf("%d records, want %d", count, s.Records()+1)
	}
}

func TestDigTransfersZones(t *testing.T) {
	t.Parallel()
	m := newMemory()
	s := big(t, "z.example.", 10, 50)
	id := m.create(s)
	m.change(id, put(t, s, "", "new.z.example. 60 IN A 192.0.2.1\n"))
	m.addKey(t, "zone.key.", "hmac-sha512.", keySecret, fleet.Scope{ZoneID: id})
	r := start(t, m, nil)
	host, port, _ := net.SplitHostPort(r.addr)
	dig := func(args ...string) string {
		out, err := exec.Command("dig", append([]string{"@" + host, "-p", port, "+tries=1", "+time=10"}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("dig %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	y := "hmac-sha512:zone.key:" + keyBase64
	for _, args := range [][]string{{"z.example", "axfr"}, {"-y", y, "z.example", "axfr"}} {
		out := dig(args...)
		if !strings.Contains(out, "XFR size: 55 records") || strings.Contains(out, "ailed") || strings.Contains(out, "verify") {
			t.Errorf("dig %v:\n%s", args, out)
		}
	}
	if out := dig("-y", y, "z.example", "ixfr=10"); !strings.Contains(out, "XFR size: 5 records") {
		t.Errorf("ixfr:\n%s", out)
	}
	if out := dig("+keepopen", "+tcp", "+keepalive", "z.example", "soa", "z.example", "soa"); strings.Count(out, "TCP KEEPALIVE: 30.0") != 2 {
		t.Errorf("keepalive:\n%s", out)
	}
	if out := dig("+edns=1", "+noednsneg", "z.example", "soa"); !strings.Contains(out, "BADVERS") {
		t.Errorf("EDNS version 1:\n%s", out)
	}
}

// TestNamedFollowsAsASecondary lets a real named transfer with TSIG, first whole
// and then by IXFR, and compares what it serves.
func TestNamedFollowsAsASecondary(t *testing.T) {
	t.Parallel()
	m := newMemory()
	texts := allTrickyZones(t)
	snaps := map[string]*zone.Snapshot{}
	ids := map[string]int64{}
	for origin, text := range texts {
		snaps[origin] = parse(t, origin, text)
		ids[origin] = m.create(snaps[origin], 2)
	}
	m.configure(func(m *memory) { m.pools = append(m.pools, fleet.Pool{ID: 2, Name: "secondaries"}) })
	m.addKey(t, "pool.key.", "hmac-sha256.", keySecret, fleet.Scope{PoolID: 2})
	r := start(t, m, nil)
	host, port, _ := net.SplitHostPort(r.addr)
	conf := fmt.Sprintf("key pool.key { algorithm hmac-sha256; secret %q; };\n", keyBase64)
	for origin := range texts {
		conf += fmt.Sprintf("zone %q { type secondary; primaries { %s port %s key pool.key; }; file %q; request-ixfr yes; allow-notify { any; }; };\n",
			origin, host, port, "secondary-"+origin)
	}
	bind := testbed.StartNamed(t, testbed.NamedOptions{Config: conf, Options: "check-names secondary ignore; ixfr-from-differences no;"})
	serial := func(origin string) uint32 {
		q := new(dns.Msg)
		q.SetQuestion(origin, dns.TypeSOA)
		got, err := dns.Exchange(q, bind.Addr)
		if err != nil || len(got.Answer) == 0 {
			return 0
		}
		return got.Answer[0].(*dns.SOA).Serial
	}
	served := func(origin string, want *zone.Snapshot) {
		testbed.Eventually(t, 30*time.Second, func() bool { return serial(origin) == uint32(want.Serial()) })
		got := map[string]bool{}
		tr := &dns.Transfer{}
		q := new(dns.Msg)
		q.SetAxfr(origin)
		ch, err := tr.In(q, bind.Addr)
		if err != nil {
			t.Fatal(err)
		}
		count := 0
		for e := range ch {
			if e.Error != nil {
				t.Fatalf("%s: %v", origin, e.Error)
			}
			for _, rr := range e.RR {
				got[rr.String()] = true
				count++
			}
		}
		if count-1 != want.Records() {
			t.Errorf("%s: named has %d records, want %d", origin, count-1, want.Records())
		}
		for set := range want.All() {
			rr, _, err := dns.UnpackRR(set.AppendWire(nil), 0)
			if err != nil {
				t.Fatal(err)
			}
			if !got[rr.String()] {
				t.Errorf("%s: named lacks %s", origin, rr)
			}
		}
	}
	for origin := range texts {
		served(origin, snaps[origin])
	}
	s := snaps["plain.test."]
	s2 := put(t, s, "mail.plain.test. 3600 IN A 192.0.2.2\n", "Mixed.Case.plain.test. 60 IN A 192.0.2.99\n")
	s3 := put(t, s2, "", "more.plain.test. 60 IN A 192.0.2.98\n")
	m.change(ids["plain.test."], s2)
	m.change(ids["plain.test."], s3)
	testbed.Eventually(t, 10*time.Second, func() bool { return r.Position() == int64(len(m.feed)) })
	notify := new(dns.Msg)
	notify.SetNotify("plain.test.")
	testbed.EventuallyNil(t, 10*time.Second, func() error { _, err := dns.Exchange(notify, bind.Addr); return err })
	served("plain.test.", s3)
	if got := counter(t, r, `dnsctl_mdns_transfers_total{kind="ixfr",result="done"}`); got != 1 {
		t.Errorf("named took %v IXFRs, want 1", got)
	}
}

func BenchmarkAXFR(b *testing.B) {
	for _, signed := range []bool{false, true} {
		b.Run(fmt.Sprintf("tsig=%v", signed), func(b *testing.B) {
			m := newMemory()
			s := big(b, "big.example.", 1, 1_000_000)
			m.create(s)
			m.addKey(b, "pool.key.", "hmac-sha256.", keySecret, fleet.Scope{PoolID: testPool})
			r := start(b, m, func(c *Config) { c.CacheBytes = 8 << 30 })
			q := transferQuery("big.example.", zone.TypeAXFR, 0)
			key := wire.Key{Name: n("pool.key."), Algorithm: wire.HMACSHA256, Secret: []byte(keySecret)}
			if signed {
				q, _ = wire.SignRequest(q, 0, key, time.Now())
			}
			e := r.index.apex(n("big.example."), scope{pools: []int64{testPool}})
			if _, err := r.cache.get(context.Background(), e); err != nil {
				b.Fatal(err)
			}
			c, err := net.Dial("tcp", r.addr)
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			buf := make([]byte, 1<<20)
			for b.Loop() {
				if err := wire.WriteFrame(c, q); err != nil {
					b.Fatal(err)
				}
				// Raw reading: only the frames' lengths are looked at.
				for got, last := 0, false; !last; {
					msg, err := wire.ReadFrame(c, buf)
					if err != nil {
						b.Fatal(err)
					}
					h, _ := wire.ParseHeader(msg)
					got += int(h.Counts[1])
					if last = h.Counts[1] < 100 || len(msg) < 60000; last && got == 0 {
						b.Fatal("nothing")
					}
				}
			}
			b.ReportMetric(float64(b.N)*float64(s.Records())/b.Elapsed().Seconds(), "records/s")
		})
	}
}
