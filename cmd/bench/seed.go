package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"dnsctl/testbed"
)

// tiny writes a zone of three records, of this serial, with the names in full. Its
// retry interval is long, as named asks for the serial of every zone it has in a file
// within that from its start on: that is not what is measured.
func tiny(w io.Writer, number, serial int) error {
	z := smallZone(number)
	_, err := fmt.Fprintf(w, "%[1]s. 3600 IN SOA ns1.%[1]s. hostmaster.%[1]s. %[2]d 7200 7200 1209600 300\n%[1]s. 3600 IN NS ns1.%[1]s.\nns1.%[1]s. 3600 IN A %[3]s\n",
		z, serial, tinyAddress(number))
	return err
}

func tinyAddress(number int) string { return fmt.Sprintf("192.0.2.%d", number&127+1) }

// seedBIND gives a named that was bootstrapped without zones the first n tiny ones,
// as if it had transferred them: in its list of added zones, with their files.
func (h *house) seedBIND(ctx context.Context, t *bed, named *testbed.Named, name string, n int) {
	data := filepath.Join(h.dir, name, "data")
	list := filepath.Join(data, "_default.nz")
	marker, err := exec.CommandContext(ctx, "named-nzd2nzf", list+"d").Output()
	t.must("read named's list of zones", err)
	for i := range n {
		t.must("write a zone", writeFile(filepath.Join(data, "dnsctl-"+smallZone(i)+".db"), func(w io.Writer) error { return tiny(w, i, 1) }))
	}
	_, port, _ := strings.Cut(h.addr, ":")
	t.must("write named's list of zones", writeFile(list+"f", func(w io.Writer) error {
		_, err := w.Write(marker)
		for i := 0; i < n && err == nil; i++ {
			_, err = fmt.Fprintf(w, "zone %[1]q { type secondary; file \"dnsctl-%[1]s.db\"; masterfile-format text; primaries { 127.0.0.1 port %[2]s key %[3]q; }; allow-transfer { key %[3]q; }; };\n",
				smallZone(i), port, pool)
		}
		return err
	}))
	for _, f := range []string{"d", "d-lock"} { // named makes it of the text when it starts
		if err := os.Remove(list + f); err != nil && !os.IsNotExist(err) {
			t.must("remove named's list of zones", err)
		}
	}
	named.Restart(t)
}

// seedPowerDNS does so with a PowerDNS on SQLite.
func (h *house) seedPowerDNS(t *bed, p *testbed.PowerDNS, name string, n int) {
	testbed.FillPowerDNS(t, filepath.Join(h.dir, name, "data", "pdns.sqlite3"), h.addr, pool+".", func(yield func(zone, soa, address string) bool) {
		for i := range n {
			z := smallZone(i)
			if !yield(z, "ns1."+z+" hostmaster."+z+" 1 7200 7200 1209600 300", tinyAddress(i)) {
				return
			}
		}
	})
	p.Restart(t)
}
