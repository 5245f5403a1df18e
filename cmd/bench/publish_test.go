package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dnsctl/dnsclient"
	"dnsctl/wire"
	"dnsctl/zone"
)

const docs = "../../docs"

// sampleReport has figures of two kinds of server, one of them without
// repetitions.
func sampleReport() *report {
	fig := func(name, server, unit string, samples ...float64) figure {
		return figure{Name: name, Server: server, Unit: unit, Min: samples[0], Median: samples[len(samples)/2], Max: samples[len(samples)-1], Samples: samples}
	}
	r := &report{Machine: "m", Records: 1_000_000, Zones: 200, Repeat: 3, Servers: []product{{"nsd", "NSD", "4.6.1", "as it is"}, {"coredns", "CoreDNS", "", "x"}},
		Missing: []missing{{"axfr", "coredns", "not installed: a|b"}}, Figures: []figure{
			fig("axfr/warm", limit, "records/s", 100e6, 120e6, 130e6), fig("axfr/warm", "nsd", "records/s", 3e6),
			fig("axfr/warm", "sqlite", "records/s", 90e6, 99e6, 99.9e6), fig("import/big", "sqlite", "s", 2.5, 2.6, 2.7), fig("import/big", "postgres", "s", 3),
		}}
	r.compare()
	return r
}

func TestPageHasEveryTable(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(docs, benchmarks))
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	if _, err := sampleReport().fill(page); err != nil {
		t.Errorf("docs/%s: %v", benchmarks, err)
	}
	if have := strings.Count(page, "<!-- table "); have != len(tables()) {
		t.Errorf("the page has marks of %d tables, there are %d", have, len(tables()))
	}
	for _, c := range charts() {
		if !strings.Contains(page, "("+c.file+")") {
			t.Errorf("the page does not show %s", c.file)
		}
	}
	r, err := readReport(filepath.Join(docs, "benchmarks.json"))
	if errors.Is(err, os.ErrNotExist) {
		r = new(report)
	} else if err != nil {
		t.Fatal(err)
	} else if filled, err := r.fill(page); err != nil || filled != page {
		t.Errorf("the page is not that of its figures (%v): go run ./cmd/bench -from docs/benchmarks.json -docs docs", err)
	}
	for _, c := range charts() {
		if have, err := os.ReadFile(filepath.Join(docs, c.file)); err != nil || string(have) != r.draw(c) {
			t.Errorf("%s is not that of the page's figures (%v)", c.file, err)
		}
	}
}

func TestTables(t *testing.T) {
	t.Parallel()
	r := sampleReport()
	dir := t.TempDir()
	var page strings.Builder
	for _, table := range tables() {
		begin, end := marks(table.name)
		page.WriteString("words\n" + begin + "\n| old |\n" + end + "\n")
	}
	file := filepath.Join(dir, benchmarks)
	if err := os.WriteFile(file, []byte(page.String()+"more words\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time over its own work
		if err := r.publish(dir); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"<!-- table axfr -->\n|  | warm |\n|---|---|\n| dnsctl on SQLite | 90.0 M / 99.0 M / 99.9 M |\n| NSD | 3.00 M |\n| the limit | 100 M / 120 M / 130 M |\n<!-- end axfr -->\n",
		"| import/big, s | 2.50 / 2.60 / 2.70 | 3.00 |  |\n",
		"| NSD | 4.6.1 | as it is |\n| CoreDNS | missing | x |\n",
		"| CoreDNS | axfr | not installed: a\\|b |\n",
		"| big AXFR, warm: 8 times the best of NSD and Knot | met: 99.0 M records/s, asked for 24.0 M by NSD | not measured |\n",
		"<!-- table ixfr -->\nNot measured.\n<!-- end ixfr -->",
		"1,000,000 records in the big zone, 200 small zones",
		"<!-- end missing -->\nmore words\n",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the page has no %q", want)
		}
	}
	if strings.Contains(string(text), "| old |") {
		t.Error("an old table stays")
	}
	if _, err := r.fill("no marks"); err == nil {
		t.Error("a page without marks is taken")
	}
}

func TestChartsAreXMLWithBarsInOrder(t *testing.T) {
	t.Parallel()
	r := sampleReport()
	for _, c := range charts() {
		d := xml.NewDecoder(strings.NewReader(r.draw(c)))
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", c.file, err)
			}
		}
	}
	picture := r.draw(charts()[0])
	if strings.Count(picture, `class="ours" x=`) != 1 || !strings.Contains(picture, "99.0 M") || !strings.Contains(picture, "logarithmic") || !strings.Contains(picture, "not measured") {
		t.Error(picture)
	}
	for v, want := range map[float64]string{0.01: "0.01", 1: "1", 1e4: "10 k", 1e6: "1 M"} {
		if tick(v) != want {
			t.Errorf("%v is written %q", v, tick(v))
		}
	}
	for _, values := range [][]float64{{3e6, 120e6}, {1, 5}, {2, 200_000}, {7}} {
		s := newScale(values)
		if s.at(values[0]) < barsFrom || s.at(values[len(values)-1]) > barsTo+0.01 || len(values) > 1 && s.at(values[0]) >= s.at(values[1]) {
			t.Errorf("scale of %v is %+v", values, s)
		}
	}
}

// TestReceiverAcknowledges has NOTIFY and a question sent by the client that
// mdns uses; the question is answered by a server behind the receiver.
func TestReceiverAcknowledges(t *testing.T) {
	t.Parallel()
	key := wire.Key{Name: zone.MustParseName("k."), Algorithm: wire.HMACSHA256, Secret: []byte("0123456789abcdef0123456789abcdef")}
	err := guard(io.Discard, func(bed *bed) {
		behind, err := net.ListenPacket("udp4", "127.0.0.1:0")
		bed.must("listen", err)
		defer behind.Close()
		r := receive(bed, behind.LocalAddr().String(), key)
		c := &dnsclient.Client{Timeout: 5 * time.Second}
		soa := zone.SOA{MName: zone.Root, RName: zone.Root, Serial: 7}
		name := zone.MustParseName("a.example.")
		set := zone.RRset{Owner: name, Type: zone.TypeSOA, Data: zone.PackRdata(soa.Rdata())}
		for _, k := range []*wire.Key{nil, &key} {
			if err := c.Notify(t.Context(), netip.MustParseAddrPort(r.addr), name, set, k); err != nil {
				t.Errorf("signed %v: %v", k != nil, err)
			}
		}
		if _, ok := r.heard("a.example.", 8); ok {
			t.Error("a serial was heard that nobody sent")
		}
		if _, ok := r.heard("a.example.", 6); !ok || len(r.told["a.example."]) != 2 {
			t.Errorf("told %+v", r.told)
		}
		ask, err := net.Dial("udp4", r.addr)
		bed.must("ask", err)
		defer ask.Close()
		q := question{zone: "a.example", typ: zone.TypeSOA, key: &key}.frame()[wire.LengthPrefix:]
		_, err = ask.Write(q)
		bed.must("ask", err)
		buf := make([]byte, 512)
		for _, c := range []interface{ SetReadDeadline(time.Time) error }{behind, ask} {
			_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		}
		n, from, err := behind.ReadFrom(buf)
		bed.must("hand on", err)
		if !bytes.Equal(buf[:n], q) {
			t.Errorf("%x was handed on as %x", q, buf[:n])
		}
		answer := append(bytes.Clone(q), "and more"...)
		_, err = behind.WriteTo(answer, from)
		bed.must("answer", err)
		if n, err = ask.Read(buf); err != nil || !bytes.Equal(buf[:n], answer) {
			t.Errorf("%x came back as %x, %v", answer, buf[:n], err)
		}
		if _, _, ack := r.acknowledge([]byte("not a message"), time.Now()); ack != nil {
			t.Error("acknowledges rubbish")
		}
	})
	if err != nil {
		t.Error(err)
	}
}

func TestMetricsAreRead(t *testing.T) {
	t.Parallel()
	if v := valueOf("# HELP a b\na_total 3\na 1.5e+06\na{x=\"y\"} 4\n", "a"); v != 1.5e6 {
		t.Errorf("%v", v)
	}
	if v := valueOf("a 1\n", "b"); v != 0 {
		t.Errorf("%v", v)
	}
}
