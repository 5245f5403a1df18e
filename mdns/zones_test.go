package mdns

import (
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dnsctl/wire"
	"dnsctl/zone"
)

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
	return receive(t, ask(t, addr, q), q, verify)
}

// ask sends a question over a connection of its own, which is closed when the
// test ends.
func ask(t testing.TB, addr string, q []byte) net.Conn {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	if err := wire.WriteFrame(c, q); err != nil {
		t.Fatal(err)
	}
	return c
}

// fetchOn is fetch over a connection that is there.
func fetchOn(t testing.TB, c io.ReadWriter, q []byte, verify *wire.Verifier) (rcode wire.Rcode, recs []wire.Record, datas []string, messages int) {
	t.Helper()
	if err := wire.WriteFrame(c, q); err != nil {
		t.Fatal(err)
	}
	return receive(t, c, q, verify)
}

// receive reads the transfer that q asked for.
func receive(t testing.TB, c io.Reader, q []byte, verify *wire.Verifier) (rcode wire.Rcode, recs []wire.Record, datas []string, messages int) {
	t.Helper()
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
