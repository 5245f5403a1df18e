package mdns

import (
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

func TestTransfersFromAnImageAreTheSame(t *testing.T) {
	t.Parallel()
	m := newMemory()
	s := big(t, "Big.example.", 1, 30000)
	id := m.create(s)
	m.addKey(t, "pool.key.", "hmac-sha256.", keySecret, fleet.Scope{PoolID: testPool})
	long := strings.Repeat(strings.Repeat("k", 60)+".", 4)
	m.addKey(t, long, "hmac-sha512.", keySecret, fleet.Scope{PoolID: testPool})
	r := start(t, m, nil)
	e := r.index.apex(n("big.example."), scope{pools: []int64{testPool}})
	keys := []wire.Key{
		{}, {Name: n("pool.key."), Algorithm: wire.HMACSHA256, Secret: []byte(keySecret)},
		{Name: n(long), Algorithm: wire.HMACSHA512, Secret: []byte(keySecret)},
	}
	round := func(want *zone.Snapshot) {
		t.Helper()
		for i := range 6 {
			q := transferQuery([]string{"big.example.", "BIG.EXAMPLE."}[i%2], zone.TypeAXFR, 0)
			var v *wire.Verifier
			if k := keys[i%3]; k.Secret != nil {
				var mac []byte
				q, mac = wire.SignRequest(q, 0, k, time.Now())
				v = wire.NewVerifier(k, mac)
			}
			_, recs, datas, _ := fetch(t, r.addr, q, v)
			same(t, want, recs, datas)
		}
		c := r.cache.peek(e)
		if c == nil {
			t.Fatal("the content is not kept")
		}
		for i := range c.image.packs {
			if c.image.packs[i].Load() == nil {
				t.Errorf("block %d of %d has no pack", i, len(c.image.packs))
			}
		}
	}
	round(s)
	if used, cost := counter(t, r, "dnsctl_mdns_cache_bytes"), r.cache.peek(e).cost; used < float64(cost)+600000 {
		t.Errorf("the image is not counted: %v octets used, content %d", used, cost)
	}
	s2 := put(t, s, "", "new.Big.example. 60 IN A 192.0.2.1\n")
	m.change(id, s2)
	follows(t, r, m)
	e = r.index.apex(n("big.example."), scope{pools: []int64{testPool}})
	round(s2)
}

// TestAChangeMakesItsBlockAgainAndNoOther is what makes a change's cost
// independent of the zone's size: of the image, the next version needs again the
// first block, which has the SOA, and the one that changed.
func TestAChangeMakesItsBlockAgainAndNoOther(t *testing.T) {
	t.Parallel()
	m := newMemory()
	s := big(t, "big.example.", 1, 60000)
	id := m.create(s)
	r := start(t, m, nil)
	current := func() *content {
		c := r.cache.peek(r.index.apex(n("big.example."), scope{pools: []int64{testPool}}))
		if c == nil {
			t.Fatal("the content is not kept")
		}
		return c
	}
	transfer := func(want *zone.Snapshot) {
		t.Helper()
		_, recs, datas, _ := fetch(t, r.addr, transferQuery("big.example.", zone.TypeAXFR, 0), nil)
		same(t, want, recs, datas)
	}
	transfer(s)
	transfer(s)
	kept := map[*pack]bool{}
	for i := range current().image.packs {
		kept[current().image.packs[i].Load()] = true
	}
	if len(kept) < 20 || kept[nil] {
		t.Fatalf("%d packs were made, or one is missing: %v", len(kept), kept[nil])
	}
	for i, text := range []string{"host31000.big.example. 60 IN TXT more\n", "a.a.a.big.example. 60 IN A 192.0.2.1\n", "zzz.big.example. 60 IN A 192.0.2.1\n"} {
		s = put(t, s, "", text)
		m.change(id, s)
		follows(t, r, m)
		transfer(s)
		made := 0
		for i := range current().image.packs {
			p := current().image.packs[i].Load()
			if !kept[p] {
				made++
			}
			kept[p] = true
		}
		if kept[nil] || made > 3 { // of three, one was made of a block that was cut in two
			t.Errorf("change %d: %d packs were made again, or one is missing: %v", i, made, kept[nil])
		}
		used := counter(t, r, "dnsctl_mdns_cache_bytes")
		if want := current().cost + current().image.octets(); used != float64(want) {
			t.Errorf("change %d: %v octets are counted, %d are there", i, used, want)
		}
		transfer(s)
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
		{10, []string{"SOA 12", "SOA 10", "SOA 12", `new.z.example. A "\xc0\x00\x02\x02"`, `other.z.example. TXT "\x01x"`, "SOA 12"}},
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

func TestOverUDPThereIsNoAXFRAndIXFRWhereItFits(t *testing.T) {
	t.Parallel()
	m := newMemory()
	s := big(t, "z.example.", 10, 10)
	id := m.create(s)
	s = put(t, s, "", "new.z.example. 60 IN A 192.0.2.1\n")
	m.change(id, s)
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
	for _, c := range []struct{ from, records int }{{10, 5}, {11, 1}, {9, 1}} {
		for range 2 { // read from the store, then at hand
			got := ask(transferQuery("z.example.", zone.TypeIXFR, zone.Serial(c.from)))
			if len(got.Answer) != c.records || got.Answer[0].(*dns.SOA).Serial != 11 || got.Truncated {
				t.Errorf("IXFR from %d over UDP: %v", c.from, got)
			}
		}
	}
	var more strings.Builder
	for i := range 100 {
		fmt.Fprintf(&more, "more%d.z.example. 60 IN A 192.0.2.1\n", i)
	}
	m.change(id, put(t, s, "", more.String()))
	testbed.Eventually(t, 10*time.Second, func() bool { return r.Position() == int64(len(m.feed)) })
	if got := ask(transferQuery("z.example.", zone.TypeIXFR, 11)); len(got.Answer) != 1 || got.Answer[0].(*dns.SOA).Serial != 12 || got.Truncated {
		t.Errorf("changes that do not fit: %v", got)
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
