package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dnsctl/wire"
	"dnsctl/zone"
	"dnsctl/zone/zonefile"
)

func read(t *testing.T, apex, text string) *zone.Snapshot {
	t.Helper()
	r, err := zonefile.Read(t.Context(), strings.NewReader(text), zonefile.Options{Origin: zone.MustParseName(apex + "."), File: apex})
	if err != nil {
		t.Fatal(err)
	}
	return r.Snapshot
}

func bigText(t *testing.T, n, changed int) string {
	t.Helper()
	var b bytes.Buffer
	if err := writeBig(&b, n, changed); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestZonesHaveTheirNumbersOfRecords(t *testing.T) {
	t.Parallel()
	z := read(t, bigZone, bigText(t, 2003, 0))
	if z.Records() != 2003 || z.Serial() != bigSerial {
		t.Errorf("%d records, serial %d", z.Records(), z.Serial())
	}
	count := map[zone.Type]int{}
	for set := range z.All() {
		count[set.Type] += set.Data.Len()
	}
	for typ, want := range map[zone.Type]int{zone.TypeA: 1001, zone.TypeAAAA: 300, zone.TypeCNAME: 300, zone.TypeMX: 200, zone.TypeTXT: 200} {
		if count[typ] != want {
			t.Errorf("%d %s records, want %d", count[typ], typ, want)
		}
	}
	d := zone.Diff(z, read(t, bigZone, bigText(t, 2003, 100)))
	if r, a := d.Records(); r < 90 || r > 110 || a != r {
		t.Errorf("%d records go, %d come, want about 100", r, a)
	}
	var b bytes.Buffer
	if err := writeSmall(&b, 300); err != nil {
		t.Fatal(err)
	}
	if z := read(t, smallZone(300), b.String()); z.Records() != smallSize {
		t.Errorf("a small zone has %d records", z.Records())
	}
}

func TestPercentilesAndMiddles(t *testing.T) {
	t.Parallel()
	v := make([]float64, 100)
	for i := range v {
		v[i] = float64(99 - i)
	}
	if p50, p99 := percentile(v, 0.5), percentile(v, 0.99); p50 != 50 || p99 != 99 {
		t.Errorf("p50 %v, p99 %v", p50, p99)
	}
	if m := middle([]float64{1, 2, 10}); m != 2 {
		t.Errorf("middle of three is %v", m)
	}
	if m := middle([]float64{1, 3}); m != 2 {
		t.Errorf("middle of two is %v", m)
	}
}

// message is an answer with some records, as far as a client here looks.
func message(records uint16, rcode wire.Rcode, octets int) []byte {
	b := wire.Header{Flags: wire.FlagQR.With(wire.OpQuery, rcode), Counts: [4]uint16{0, records}}.Append(make([]byte, wire.LengthPrefix))
	b = append(b, make([]byte, octets)...)
	wire.PutLength(b)
	return b
}

func TestStreamCountsRecordsHoweverTheyArrive(t *testing.T) {
	t.Parallel()
	all := bytes.Join([][]byte{message(3, 0, 100), message(0, 0, 0), message(7, 0, 5000), message(1, 0, 1)}, nil)
	for _, piece := range []int{1, 2, 13, 14, 15, 1000, len(all)} {
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			for b := all; len(b) > 0; b = b[min(piece, len(b)):] {
				if _, err := server.Write(b[:min(piece, len(b))]); err != nil {
					return
				}
			}
		}()
		s := &stream{Conn: client, buf: make([]byte, 4096)}
		if err := s.count(11); err != nil || s.records != 11 || s.octets != int64(len(all)) {
			t.Errorf("in pieces of %d: %d records, %d of %d octets, %v", piece, s.records, s.octets, len(all), err)
		}
		if err := s.message(); !errors.Is(err, io.EOF) {
			t.Errorf("after the end: %v", err)
		}
		_ = client.Close()
	}
}

func TestStreamSaysWhatARefusalIs(t *testing.T) {
	t.Parallel()
	client, server := net.Pipe()
	go func() {
		defer server.Close()
		_, _ = server.Write(message(0, wire.RcodeRefused, 0))
	}()
	defer client.Close()
	s := &stream{Conn: client, buf: make([]byte, 4096)}
	if err := s.count(1); err == nil || !strings.Contains(err.Error(), "REFUSED") {
		t.Errorf("%v", err)
	}
}

func TestQuestionsAreWhatServersRead(t *testing.T) {
	t.Parallel()
	key := wire.Key{Name: "\x01k\x00", Algorithm: wire.HMACSHA256, Secret: []byte("0123456789abcdef0123456789abcdef")}
	b := question{zone: bigZone, typ: zone.TypeIXFR, serial: 7, key: &key}.frame()
	q, err := wire.ParseQuery(b[wire.LengthPrefix:])
	if err != nil || q.Question.Type != zone.TypeIXFR || q.Serial != 7 || q.TSIG == nil || !q.Question.Name.Equal(zone.MustParseName(bigZone+".")) {
		t.Errorf("%+v, %v", q, err)
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	for _, bad := range [][]string{{"-n", "0"}, {"-records", "1"}, {"-run", "("}, {"-store", "mysql"}, {"-peers", "dnsmasq"}, {"more"}} {
		if _, err := parse(bad, io.Discard); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	o, err := parse([]string{"-quick", "-store", "sqlite", "-run", "^(limit|axfr/sqlite)"}, io.Discard)
	if err != nil || o.repeat != 1 || o.records != 100_000 {
		t.Fatalf("%+v, %v", o, err)
	}
	jobs := o.selected()
	if len(jobs) != 2 || jobs[0].name != "limit" || jobs[0].server != limit || jobs[1].name != "axfr" || jobs[1].server != "sqlite" {
		t.Errorf("%+v", jobs)
	}
	if o, err = parse([]string{"-zones", "300", "-quick", "-run", "^(soa|fleet)/"}, io.Discard); err != nil || o.zones != 300 || o.repeat != 1 {
		t.Fatalf("%+v, %v", o, err)
	}
	var names []string
	for _, j := range o.selected() {
		names = append(names, j.name+"/"+j.server)
	}
	want := "soa/sqlite fleet/sqlite soa/postgres fleet/postgres soa/bind soa/nsd soa/knot soa/powerdns-sqlite soa/powerdns-postgres soa/coredns"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("jobs are %s", got)
	}
}

func TestChangesGiveTheVersionsOfServersThatTakeUpdates(t *testing.T) {
	t.Parallel()
	versions := make([]*zone.Snapshot, 3)
	for i := range versions {
		var b bytes.Buffer
		if err := writeVersion(&b, 2003, i); err != nil {
			t.Fatal(err)
		}
		versions[i] = read(t, bigZone, b.String())
		if versions[i].Serial() != bigSerial+zone.Serial(i) || versions[i].Records() != 2003 {
			t.Errorf("version %d has serial %d and %d records", i, versions[i].Serial(), versions[i].Records())
		}
	}
	if d := zone.Diff(read(t, bigZone, bigText(t, 2003, 0)), versions[0]); !d.Empty() {
		t.Error("version 0 is not the zone")
	}
	for i := range versions[1:] {
		if gone, came := zone.Diff(versions[i], versions[i+1]).Records(); gone != 1 || came != 1 {
			t.Errorf("change %d: %d records go, %d come", i, gone, came)
		}
	}
}

func TestVersionsAreFound(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"BIND 9.18.49-1~deb12u3-Debian (Extended Support Version) <id:>":        "9.18.49-1~deb12u3-Debian",
		"NSD version 4.6.1\nWritten by NLnet Labs.":                             "4.6.1",
		"knotd (Knot DNS), version 3.2.6":                                       "3.2.6",
		"Nov 23 23:52:51 PowerDNS Authoritative Server 4.7.3 (C) 2001-2022 and": "4.7.3",
		"CoreDNS-1.14.7\nlinux/amd64, go1.26.8,":                                "1.14.7",
		"no such thing":                                                         "",
	} {
		if got := versionOf(text); got != want {
			t.Errorf("version of %q is %q, not %q", text, got, want)
		}
	}
}

func TestRatiosAndGoals(t *testing.T) {
	t.Parallel()
	fig := func(name, server, unit string, median float64) figure {
		return figure{Name: name, Server: server, Unit: unit, Median: median}
	}
	r := &report{Zones: 200, Figures: []figure{
		fig("axfr/warm", limit, "records/s", 100), fig("axfr/warm", "sqlite", "records/s", 80),
		fig("axfr/warm", "bind", "records/s", 1), fig("axfr/warm", "nsd", "records/s", 8), fig("axfr/warm", "knot", "records/s", 11),
		fig("soa/cold cpu", "postgres", "us/query", 3), fig("soa/cold cpu", "powerdns-postgres", "us/query", 12),
		fig("soa/cold cpu", "powerdns-sqlite", "us/query", 100), fig("start/to serving", "sqlite", "s", 1),
	}}
	r.compare()
	got := map[string]ratio{}
	for _, x := range r.Ratios {
		got[x.Name+" "+x.Server] = x
	}
	if x := got["axfr/warm sqlite"]; len(got) != 2 || x.Best != "knot" || x.Ratio != 80.0/11 {
		t.Errorf("%+v", got)
	}
	if x := got["soa/cold cpu postgres"]; x.Best != "powerdns-postgres" || x.Ratio != 4 {
		t.Errorf("%+v", x)
	}
	verdicts := map[string]string{}
	for _, c := range r.Goals {
		verdicts[c.Goal+" "+c.Server] = c.verdict()
	}
	for goal, want := range map[string]string{
		"big AXFR, warm: 8 times the best of NSD and Knot sqlite":                                "missed",
		"big AXFR, warm: half of the limit sqlite":                                               "met",
		"big AXFR, warm: half of the limit postgres":                                             "open: not measured",
		"SOA over UDP, cold: a fifth of PowerDNS's processor time on the same database postgres": "missed",
		"1,000,000 zones: answering within 5 s of the start sqlite":                              "open: not measured",
		"small zones, cold: 10,000 a second sqlite":                                              "open: not measured",
	} {
		if verdicts[goal] != want {
			t.Errorf("%s: %q, not %q", goal, verdicts[goal], want)
		}
	}
}

// TestMissingPeersMakeFiguresMissing has a peer that is not there, and one that
// fails later.
func TestMissingPeersMakeFiguresMissing(t *testing.T) {
	t.Parallel()
	err := guard(io.Discard, func(bed *bed) {
		b := &bench{out: io.Discard, bed: bed, running: map[string]server{}, gone: map[string]string{}, report: &report{}}
		starts := 0
		fails := func(_ context.Context, b *bench, _ string) {
			starts++
			b.bed.must("find NSD", errMissing)
		}
		b.attempt(t.Context(), job{measure{name: "axfr", run: fails}, "nsd"})
		b.attempt(t.Context(), job{measure{name: "soa", run: fails}, "nsd"})
		if starts != 1 || len(b.report.Missing) != 2 || b.report.Missing[1] != (missing{"soa", "nsd", "find NSD: not installed"}) {
			t.Errorf("tried %d times, %+v", starts, b.report.Missing)
		}
		b.running["knot"] = &peer{}
		b.attempt(t.Context(), job{measure{name: "axfr", run: fails}, "knot"})
		b.attempt(t.Context(), job{measure{name: "soa", run: fails}, "knot"})
		if starts != 3 || bed.Failed() {
			t.Errorf("a peer that runs is given up after one failure, or the run failed")
		}
		b.attempt(t.Context(), job{measure{name: "axfr", run: fails}, "sqlite"}) // is ours
	})
	if err == nil || err.Error() != "find NSD: not installed" {
		t.Errorf("a failure of dnsctl does not end the run: %v", err)
	}
}

func TestPrepackedAnswersEachQuestion(t *testing.T) {
	t.Parallel()
	err := guard(io.Discard, func(bed *bed) {
		b := &bench{options: options{zones: 120, sample: time.Minute}, bed: bed}
		b.prepacked(message(smallSize+1, 0, 300), false, func(addr string) {
			if _, zones := b.smallZones(&place{addr: addr}, shape{perConn: 50, pipelined: 10, once: true}); zones != 120 {
				t.Errorf("%d zones came", zones)
			}
		})
		b.records, b.sample = 5000, time.Nanosecond
		b.prepacked(message(1000, 0, 3000), true, func(addr string) {
			if _, got := b.big(addr, nil, nil, 3, false); got.records < 3*5001 {
				t.Errorf("%d records came", got.records)
			}
		})
	})
	if err != nil {
		t.Error(err)
	}
}

func TestFailuresCleanUp(t *testing.T) {
	t.Parallel()
	dir, undone := "", false
	err := guard(io.Discard, func(b *bed) {
		b.Cleanup(func() { undone = true })
		b.inside(func(in *bed) {
			dir = in.TempDir()
			in.must("do it", errors.New("cannot"))
		})
	})
	if err == nil || err.Error() != "do it: cannot" || !undone {
		t.Errorf("%v, undone %v", err, undone)
	}
	if _, err := os.Stat(filepath.Dir(dir)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a folder stays: %v", err)
	}
}

func TestOwnProcessIsMeasured(t *testing.T) {
	t.Parallel()
	if status(os.Getpid(), "VmHWM") <= 1 || family(os.Getpid()) <= 0 || memory(os.Getpid()) <= 1 || machine() == "" || load() == "" {
		t.Error("/proc says nothing")
	}
	u, err := execute(t.Context(), os.Environ(), "sh", "-c", "echo out; exit 0")
	if err != nil || u.out != "out\n" || u.wall <= 0 {
		t.Errorf("%+v, %v", u, err)
	}
	if _, err := execute(t.Context(), nil, "sh", "-c", "echo why >&2; exit 3"); err == nil || !strings.Contains(err.Error(), "why") {
		t.Errorf("%v", err)
	}
}
