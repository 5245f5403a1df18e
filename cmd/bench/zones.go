package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
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
	w := bufio.NewWriterSize(f, 64<<10)
	if err := write(w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Close()
}

// bigRecord is record i of the big zone in a master file's syntax, with data
// made of the number v.
func bigRecord(w io.Writer, i, v int) (err error) {
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
	return err
}

func bigHead(w io.Writer, serial int) error {
	_, err := fmt.Fprintf(w, "$ORIGIN %s.\n$TTL 3600\n@ SOA ns1 hostmaster %d 7200 900 1209600 300\n@ NS ns1\nns1 A 192.0.2.53\n", bigZone, serial)
	return err
}

// writeBig writes a zone of exactly n records: an SOA, an NS and its address,
// then 50% A, 15% AAAA, 15% CNAME, 10% MX, 10% TXT, each with an owner of its
// own, in the order in which a database would number them, which is not the
// canonical one. Every n/changed-th record has other data when changed is not 0.
func writeBig(w io.Writer, n, changed int) error {
	err := bigHead(w, bigSerial)
	step := 0
	if changed > 0 {
		step = (n - 3) / changed
	}
	for i := 0; i < n-3 && err == nil; i++ {
		v := i
		if step > 0 && i%step == step/2 {
			v += 7
		}
		err = bigRecord(w, i, v)
	}
	return err
}

// writeVersion writes the big zone as it is after some of the changes that
// server.change makes.
func writeVersion(w io.Writer, n, changes int) error {
	err := bigHead(w, bigSerial+changes)
	for i := 0; i < n-3 && err == nil; i++ {
		if change := i / 20; i%20 == 0 && change < changes {
			_, err = fmt.Fprintf(w, "%s A %s\n", changedOwner(change), addressOf(change))
			continue
		}
		err = bigRecord(w, i, i)
	}
	return err
}

// changedOwner is whose address the change of a number sets, to addressOf it.
func changedOwner(change int) string { return fmt.Sprintf("h%d", change*20) }

func addressOf(i int) string { return fmt.Sprintf("198.18.%d.%d", i>>8&255, i&255) }

func zoneFile(dir string, i int) string { return filepath.Join(dir, smallZone(i)+".zone") }

// writeFolder makes a folder of the first n small zones.
func writeFolder(dir string, n int) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	for i := range n {
		if err := writeFile(zoneFile(dir, i), func(w io.Writer) error { return writeSmall(w, i) }); err != nil {
			return err
		}
	}
	return nil
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
