package wire

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"dnsctl/zone"
)

func name(s string) zone.Name { return zone.MustParseName(s) }

// rr makes a set of one record from master-file text, its octets those of
// miekg/dns.
func rr(t testing.TB, text string) zone.RRset {
	t.Helper()
	r, err := dns.NewRR(text)
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 70000)
	n, err := dns.PackRR(r, buf, 0, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	sets, err := zone.ParseWire(buf[:n])
	if err != nil {
		t.Fatal(err)
	}
	return sets[0]
}

var everyShape = []string{
	"example.org. 300 IN SOA ns1.example.org. host.example.org. 1 2 3 4 5",
	"example.org. 300 IN NS ns1.example.org.",
	"www.example.org. 300 IN A 192.0.2.1",
	"WWW.Example.org. 300 IN A 192.0.2.2",
	"alias.example.org. 300 IN CNAME www.example.org.",
	"alias2.example.org. 300 IN CNAME WWW.EXAMPLE.org.",
	"p.example.org. 300 IN PTR a.b.example.org.",
	"m.example.org. 300 IN MX 10 mail.example.org.",
	"m.example.org. 300 IN MX 20 mail.example.net.",
	"i.example.org. 300 IN MINFO r.example.org. e.example.org.",
	"b.example.org. 300 IN MB b.example.org.",
	"g.example.org. 300 IN MG b.example.org.",
	"r.example.org. 300 IN MR b.example.org.",
	"s.example.org. 300 IN SRV 1 2 3 www.example.org.",
	"d.example.org. 300 IN DNAME www.example.org.",
	"n.example.org. 300 IN NAPTR 1 2 \"a\" \"b\" \"c\" www.example.org.",
	"rp.example.org. 300 IN RP www.example.org. www.example.org.",
	"t.example.org. 300 IN TXT \"example.org\"",
	"u.example.org. 300 IN TYPE65280 \\# 4 c00c0000",
	"other.example.net. 300 IN A 192.0.2.3",
}

func TestRecordsReadBackUnchangedInBothModes(t *testing.T) {
	for _, mode := range []Compression{Anchor, Full} {
		var e Encoder
		e.Reset([]byte{0, 0}, Header{ID: 7, Flags: FlagQR}, mode, name("example.org."), MaxMessage)
		q := Question{name("EXAMPLE.ORG."), zone.TypeAXFR, ClassIN}
		if !e.Question(q) {
			t.Fatal("no room for the question")
		}
		var want []zone.RRset
		for _, text := range everyShape {
			set := rr(t, text)
			if !e.Set(SectionAnswer, set) {
				t.Fatalf("no room for %s", text)
			}
			want = append(want, set)
		}
		frame := e.Bytes()
		PutLength(frame)
		msg := frame[2:]
		var m dns.Msg
		if err := m.Unpack(msg); err != nil {
			t.Fatalf("mode %d: miekg/dns: %v", mode, err)
		}
		r := NewReader(msg)
		if got, err := r.Question(); err != nil || got != q {
			t.Fatalf("question %v, %v", got, err)
		}
		for i, w := range want {
			rec, err := r.Record()
			if err != nil {
				t.Fatal(err)
			}
			data, err := r.Rdata(rec)
			if err != nil {
				t.Fatal(err)
			}
			if rec.Owner != w.Owner || rec.Type != w.Type || rec.TTL != w.TTL || rec.Class != ClassIN || data != w.Data.First() {
				t.Errorf("mode %d record %d: got %v %q, want %v", mode, i, rec, data, w)
			}
			if a, b := m.Answer[i].String(), mustRR(t, everyShape[i]).String(); a != b {
				t.Errorf("mode %d record %d: miekg/dns reads %s, want %s", mode, i, a, b)
			}
		}
		if r.Offset() != len(msg) {
			t.Errorf("mode %d: %d octets left", mode, len(msg)-r.Offset())
		}
		if i := bytes.Index(msg, []byte("WWW")); mode == Anchor && i < 0 {
			t.Error("letter case lost")
		}
	}
}

func mustRR(t testing.TB, s string) dns.RR {
	t.Helper()
	r, err := dns.NewRR(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAnchorIsTheFirstOwnerNotTheQuestion(t *testing.T) {
	var e Encoder
	e.Reset(nil, Header{}, Anchor, name("example.org."), MaxMessage)
	e.Question(Question{name("example.org."), zone.TypeAXFR, ClassIN})
	e.Record(SectionAnswer, name("a.example.org."), zone.TypeA, 1, "\x01\x02\x03\x04")
	e.Record(SectionAnswer, name("b.example.org."), zone.TypeA, 1, "\x01\x02\x03\x04")
	e.Record(SectionAnswer, name("b.EXAMPLE.org."), zone.TypeA, 1, "\x01\x02\x03\x04")
	msg := e.Bytes()
	body := msg[HeaderLen+13+4:]
	want := "\x01a\x07example\x03org\x00" + "\x00\x01\x00\x01\x00\x00\x00\x01\x00\x04\x01\x02\x03\x04" +
		"\x01b\xc0\x1f" + "\x00\x01\x00\x01\x00\x00\x00\x01\x00\x04\x01\x02\x03\x04" +
		"\x01b\x07EXAMPLE\x03org\x00" + "\x00\x01\x00\x01\x00\x00\x00\x01\x00\x04\x01\x02\x03\x04"
	if string(body) != want {
		t.Errorf("got %q, want %q", body, want)
	}
}

func TestApexOctetsInsideALabelAreNotPointedAt(t *testing.T) {
	apex := name("b.c.")
	inside := zone.Name("\x07xxx\x01b\x01c\x00") // one label: xxx\001b\001c
	if !inside.Valid() {
		t.Fatal("the test's name must be valid")
	}
	var e Encoder
	e.Reset(nil, Header{}, Anchor, apex, MaxMessage)
	e.Record(SectionAnswer, apex, zone.TypeA, 1, "1234")
	e.Record(SectionAnswer, inside, zone.TypeA, 1, "1234")
	r := NewReader(e.Bytes())
	for _, want := range []zone.Name{apex, inside} {
		if rec, err := r.Record(); err != nil || rec.Owner != want {
			t.Errorf("got %q %v, want %q", rec.Owner, err, want)
		}
	}
}

func TestEncoderRefusesWhatDoesNotFitAndStaysWhole(t *testing.T) {
	for _, mode := range []Compression{Anchor, Full} {
		var e Encoder
		e.Reset(nil, Header{}, mode, name("example.org."), 100)
		added := 0
		for e.Record(SectionAnswer, name(fmt.Sprintf("h%d.example.org.", added)), zone.TypeNS, 1, "\x02ns\x07example\x03org\x00") {
			added++
		}
		msg := e.Bytes()
		if len(msg) > 100 || added == 0 {
			t.Fatalf("%d octets, %d records", len(msg), added)
		}
		h, _ := ParseHeader(msg)
		if int(h.Counts[SectionAnswer]) != added {
			t.Errorf("count %d, want %d", h.Counts[SectionAnswer], added)
		}
		r := NewReader(msg)
		for range added {
			if _, err := r.Record(); err != nil {
				t.Fatal(err)
			}
		}
		if r.Offset() != len(msg) {
			t.Error("octets left behind")
		}
	}
}

func TestRewindForgetsNames(t *testing.T) {
	var e Encoder
	e.Reset(nil, Header{}, Full, name("example.org."), MaxMessage)
	m := e.Mark()
	e.Record(SectionAnswer, name("gone.example.org."), zone.TypeA, 1, "1234")
	e.Rewind(m)
	e.Record(SectionAnswer, name("kept.example.org."), zone.TypeA, 1, "1234")
	rec, err := NewReader(e.Bytes()).Record()
	if err != nil || rec.Owner != name("kept.example.org.") {
		t.Errorf("got %q, %v", rec.Owner, err)
	}
}

func TestNamesBeyondTheReachOfPointersAreWrittenInFull(t *testing.T) {
	for _, mode := range []Compression{Anchor, Full} {
		var e Encoder
		e.Reset(nil, Header{}, mode, name("example.org."), MaxMessage)
		e.Record(SectionAnswer, name("first.net."), zone.Type(10), 1, strings.Repeat("x", 20000))
		for range 3 {
			e.Record(SectionAnswer, name("late.example.org."), zone.TypeA, 1, "1234")
		}
		r := NewReader(e.Bytes())
		for i := range 4 {
			rec, err := r.Record()
			if err != nil || i > 0 && rec.Owner != name("late.example.org.") {
				t.Fatalf("mode %d record %d: %q %v", mode, i, rec.Owner, err)
			}
		}
	}
}

func TestAppendingRecordsAllocatesNothing(t *testing.T) {
	sets := []zone.RRset{}
	for _, text := range everyShape {
		sets = append(sets, rr(t, text))
	}
	buf := make([]byte, 0, MaxMessage)
	for _, mode := range []Compression{Anchor, Full} {
		var e Encoder
		n := testing.AllocsPerRun(100, func() {
			e.Reset(buf, Header{}, mode, sets[0].Owner, MaxMessage)
			for _, s := range sets {
				e.Set(SectionAnswer, s)
			}
			e.Bytes()
		})
		if n != 0 {
			t.Errorf("mode %d: %v allocations", mode, n)
		}
	}
}

func TestOPTCarriesTheRcodeAndOptions(t *testing.T) {
	var e Encoder
	e.Reset(nil, Header{Flags: FlagQR.With(OpQuery, RcodeBadVers)}, Full, "", MaxMessage)
	if !e.OPT(Reply{UDPSize: 1232, DO: true, Keepalive: 300, NSID: "abc"}, RcodeBadVers) {
		t.Fatal("no room")
	}
	if got, want := e.Len()-HeaderLen, (Reply{Keepalive: 300, NSID: "abc"}).Len(); got != want {
		t.Errorf("length %d, want %d", got, want)
	}
	var m dns.Msg
	if err := m.Unpack(e.Bytes()); err != nil {
		t.Fatal(err)
	}
	o := m.IsEdns0()
	if o == nil || o.UDPSize() != 1232 || !o.Do() || m.Rcode != dns.RcodeBadVers || len(o.Option) != 2 {
		t.Errorf("got %v", m.String())
	}
	all := Reply{Keepalive: -1, HasExpire: true, Expire: 86400, HasVersion: true, Labels: 2, Serial: 4000000000, EDE: EDE{EDEProhibited, "no"}}
	e.Reset(nil, Header{}, Full, "", MaxMessage)
	if !e.OPT(all, 0) || e.Len()-HeaderLen != all.Len() {
		t.Errorf("length %d, want %d", e.Len()-HeaderLen, all.Len())
	}
	if err := m.Unpack(e.Bytes()); err != nil {
		t.Fatal(err)
	}
	got := m.IsEdns0().Option
	want := []dns.EDNS0{
		&dns.EDNS0_EXPIRE{Expire: 86400}, &dns.EDNS0_ZONEVERSION{LabelCount: 2, Version: "\xee\x6b\x28\x00"},
		&dns.EDNS0_EDE{InfoCode: 18, ExtraText: "no"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("options %v, want %v", got, want)
	}
	e.Reset(nil, Header{}, Full, "", HeaderLen+5)
	if e.OPT(Reply{Keepalive: -1}, 0) {
		t.Error("OPT written without room")
	}
}

func BenchmarkAppendRecords(b *testing.B) {
	buf := make([]byte, 0, MaxMessage)
	var e Encoder
	owners := make([]zone.Name, 1000)
	for i := range owners {
		owners[i] = name(fmt.Sprintf("host%d.example.org.", i))
	}
	apex := name("example.org.")
	b.ReportAllocs()
	for b.Loop() {
		e.Reset(buf, Header{}, Anchor, apex, MaxMessage)
		for _, o := range owners {
			e.Record(SectionAnswer, o, zone.TypeA, 300, "\x01\x02\x03\x04")
		}
	}
	b.ReportMetric(float64(b.N)*1000/b.Elapsed().Seconds(), "records/s")
}

func TestABodyHoldsInAnotherMessageOfTheSameQuestionLength(t *testing.T) {
	apex := name("example.org.")
	var e Encoder
	e.Reset(nil, Header{ID: 1}, Anchor, apex, MaxMessage)
	e.Question(Question{name("EXAMPLE.org."), zone.TypeAXFR, ClassIN})
	at := e.Len()
	for _, text := range everyShape {
		e.Set(SectionAnswer, rr(t, text))
	}
	body, records, anchor := e.Bytes()[at:], e.Count(SectionAnswer), e.Anchor()
	e.Set(SectionAnswer, rr(t, everyShape[0]))
	whole := bytes.Clone(e.Bytes()[at:])
	var f Encoder
	f.Reset([]byte{0, 0}, Header{ID: 2}, Anchor, apex, MaxMessage)
	f.Question(Question{name("example.ORG."), zone.TypeAXFR, ClassIN})
	if !f.Body(body, records, anchor) || f.Anchor() != anchor || anchor != at {
		t.Fatalf("no room, or the anchor %d is another: %d", anchor, f.Anchor())
	}
	if f.Set(SectionAnswer, rr(t, everyShape[0])); !bytes.Equal(f.Bytes()[2+at:], whole) {
		t.Error("a record behind the body is not as it would have been")
	}
	r := NewReader(f.Bytes()[2:])
	if _, err := r.Question(); err != nil {
		t.Fatal(err)
	}
	for _, text := range everyShape {
		want := rr(t, text)
		rec, err := r.Record()
		if err != nil || rec.Owner != want.Owner {
			t.Fatalf("got %v %v, want %v", rec, err, want)
		}
		if data, err := r.Rdata(rec); err != nil || data != want.Data.First() {
			t.Errorf("%s: got %q %v", text, data, err)
		}
	}
	f.Reset(nil, Header{}, Anchor, apex, len(body))
	if f.Body(body, records, anchor) {
		t.Error("written without room")
	}
}

func TestAnSOAIsWrittenWithAnotherSerial(t *testing.T) {
	t.Parallel()
	mname, rname := zone.MustParseName("ns1.z.test."), zone.MustParseName("h.z.test.")
	times := "\x00\x00\x00\x02\x00\x00\x00\x03\x00\x00\x00\x04\x00\x00\x00\x05"
	with := func(serial string) string { return string(mname) + string(rname) + serial + times }
	apex := zone.MustParseName("z.test.")
	for _, mode := range []Compression{Full, Anchor} {
		var a, b Encoder
		a.Reset(nil, Header{}, mode, apex, MaxMessage)
		b.Reset(nil, Header{}, mode, apex, MaxMessage)
		if !a.SOA(SectionAnswer, apex, 60, with("\x00\x00\x00\x00"), 0xfffefdfc) || !b.Record(SectionAnswer, apex, zone.TypeSOA, 60, with("\xff\xfe\xfd\xfc")) {
			t.Fatal("it does not fit")
		}
		if !bytes.Equal(a.Bytes(), b.Bytes()) {
			t.Errorf("%v: % x, not % x", mode, a.Bytes(), b.Bytes())
		}
		a.Reset(nil, Header{}, mode, apex, 40)
		if a.SOA(SectionAnswer, apex, 60, with("\x00\x00\x00\x00"), 1) || a.Len() != 12 {
			t.Errorf("%v: %d octets of what does not fit", mode, a.Len())
		}
	}
}
