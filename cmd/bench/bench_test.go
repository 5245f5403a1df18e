package main

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
	for _, bad := range [][]string{{"-n", "0"}, {"-records", "1"}, {"-run", "("}, {"-store", "mysql"}, {"more"}} {
		if _, err := parse(bad, io.Discard); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	o, err := parse([]string{"-quick", "-store", "sqlite", "-run", "^(limit|axfr/sqlite)"}, io.Discard)
	if err != nil || o.repeat != 3 {
		t.Fatalf("%+v, %v", o, err)
	}
	jobs := o.selected()
	if len(jobs) != 2 || jobs[0].name != "limit" || jobs[0].store != "" || jobs[1].name != "axfr" {
		t.Errorf("%+v", jobs)
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
	if status(os.Getpid(), "VmHWM") <= 1 || family(os.Getpid()) < 0 || machine() == "" || load() == "" {
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
