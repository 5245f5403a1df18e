package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
)

const (
	bigZone    = "big.example"
	bigSerial  = 1000
	smallSize  = 10 // records of a small zone, the SOA included
	smallFirst = 1  // serial of the small zones
)

func smallZone(i int) string { return fmt.Sprintf("z%05d.example", i) }

func writeFile(path string, write func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	if err := write(w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Close()
}

// writeBig writes a zone of exactly n records: an SOA, an NS and its address,
// then 50% A, 15% AAAA, 15% CNAME, 10% MX, 10% TXT, each with an owner of its
// own, in the order in which a database would number them, which is not the
// canonical one. Every n/changed-th record has other data when changed is not 0.
func writeBig(w io.Writer, n, changed int) error {
	_, err := fmt.Fprintf(w, "$ORIGIN %s.\n$TTL 3600\n@ SOA ns1 hostmaster %d 7200 900 1209600 300\n@ NS ns1\nns1 A 192.0.2.53\n", bigZone, bigSerial)
	step := 0
	if changed > 0 {
		step = (n - 3) / changed
	}
	for i := 0; i < n-3 && err == nil; i++ {
		v := i
		if step > 0 && i%step == step/2 {
			v += 7
		}
		switch r := i % 20; {
		case r < 10:
			_, err = fmt.Fprintf(w, "h%d A 10.%d.%d.%d\n", i, v>>16&255, v>>8&255, v&255)
		case r < 13:
			_, err = fmt.Fprintf(w, "h%d AAAA 2001:db8:%x::%x\n", i, v>>16, v&0xffff)
		case r < 16:
			_, err = fmt.Fprintf(w, "h%d CNAME h%d\n", i, v/20*20)
		case r < 18:
			_, err = fmt.Fprintf(w, "h%d MX %d h%d\n", i, 10+r, v/20*20)
		default:
			_, err = fmt.Fprintf(w, "h%d TXT \"text of number %d\"\n", i, v)
		}
	}
	return err
}

// writeSmall writes one zone of smallSize records.
func writeSmall(w io.Writer, i int) error {
	_, err := fmt.Fprintf(w, `$TTL 3600
@ SOA ns1 hostmaster %d 7200 900 1209600 300
@ NS ns1
@ NS ns2
@ MX 10 mail
ns1 A 192.0.2.53
ns2 A 192.0.2.54
mail A 10.1.%d.%d
www A 10.2.%[2]d.%[3]d
ftp CNAME www
@ TXT "zone %[4]d"
`, smallFirst, i>>8&255, i&255, i)
	return err
}
