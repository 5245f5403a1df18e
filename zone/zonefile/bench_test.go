package zonefile

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"dnsctl/zone"
)

// bigZone is a master file of n records: half A, the rest AAAA, CNAME, MX and
// TXT, as in the project's measurements.
func bigZone(n int, shuffled bool) []byte {
	var head, b bytes.Buffer
	head.WriteString("$TTL 3600\n$ORIGIN bench.example.\n@ SOA ns1 hostmaster 1 7200 900 1209600 300\n@ NS ns1\nns1 A 192.0.2.1\nmail A 192.0.2.2\n")
	lines := make([]string, n)
	for i := range lines {
		switch k := i % 20; {
		case k < 10:
			lines[i] = fmt.Sprintf("host%07d\tIN\tA\t10.%d.%d.%d\n", i, i>>16&255, i>>8&255, i&255)
		case k < 13:
			lines[i] = fmt.Sprintf("host%07d\tIN\tAAAA\t2001:db8::%x:%x\n", i, i>>16, i&0xffff)
		case k < 16:
			lines[i] = fmt.Sprintf("host%07d\tIN\tCNAME\thost%07d\n", i, i-i%20)
		case k < 18:
			lines[i] = fmt.Sprintf("host%07d\tIN\tMX\t10 mail\n", i)
		default:
			lines[i] = fmt.Sprintf("host%07d\tIN\tTXT\t\"v=spf1 ip4:10.0.0.%d -all\"\n", i, i&255)
		}
	}
	if shuffled {
		rand.New(rand.NewPCG(1, 2)).Shuffle(n, func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
	}
	for _, l := range lines {
		b.WriteString(l)
	}
	return append(head.Bytes(), b.Bytes()...)
}

func benchmarkRead(b *testing.B, n int, shuffled bool) {
	text := bigZone(n, shuffled)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		res, err := Read(context.Background(), bytes.NewReader(text), Options{Origin: zone.MustParseName("bench.example.")})
		if err != nil || res.Records != n+4 {
			b.Fatal(err, res.Records)
		}
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

func BenchmarkRead(b *testing.B) {
	b.Run("sorted", func(b *testing.B) { benchmarkRead(b, 1000000, false) })
	b.Run("shuffled", func(b *testing.B) { benchmarkRead(b, 1000000, true) })
	b.Run("small", func(b *testing.B) { benchmarkRead(b, 10, false) })
}

func BenchmarkWrite(b *testing.B) {
	const n = 200000
	res, err := Read(context.Background(), bytes.NewReader(bigZone(n, false)), Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := Write(io.Discard, res.Snapshot); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
}
