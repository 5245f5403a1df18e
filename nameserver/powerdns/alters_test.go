package powerdns

import (
	"strings"
	"testing"

	"dnsctl/zone"
	"dnsctl/zone/zonefile"
)

func TestWhatPowerDNSMakesOfContentIsKnown(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		record   string
		signed   bool
		how      string
		harmless bool
	}{
		{"A 192.0.2.1", false, "", false},
		{"NSEC3PARAM 1 0 0 -", true, "NSEC3PARAM", true},
		{"NSEC3PARAM 1 0 0 -", false, "NSEC3PARAM", false},
		{"CDS 0 0 0 00", false, "direct-dnskey", false},
		{"CDNSKEY 0 3 0 AA==", false, "direct-dnskey", false},
		{"DNSKEY 257 3 13 AAAA", false, "direct-dnskey", false},
		{"DNSKEY 257 3 13 AAAA", true, "", false},
		{`CAA 0 issue ";"`, false, "", false},
		{`CAA 0 issue ""`, false, "octet of 0", false},
		{"LOC 1 2 3 N 4 5 6 E 7m 40000000m 0m 0m", false, "", false},
		{"LOC 1 2 3 N 4 5 6 E 7m 50000000m 0m 0m", false, "misreads", false},
		{"LOC 1 2 3 N 4 5 6 E 7m 1m 0m 50000000m", false, "misreads", false},
		{`LOC \# 0`, false, "", false},
		{`CAA \# 1 00`, false, "", false},
	} {
		name, text, _ := strings.Cut(c.record, " ")
		typ, err := zone.ParseType(name)
		if err != nil {
			t.Fatal(err)
		}
		data, err := zonefile.ParseRdata(typ, text, zone.Root)
		if err != nil {
			data = strings.Repeat("\x00", strings.Count(text, "00")) // no such record gets through an import
		}
		how, harmless := New().Alters(zone.RRset{Type: typ, Data: zone.PackRdata(data)}, c.signed)
		if (how == "") != (c.how == "") || !strings.Contains(how, c.how) || harmless != c.harmless {
			t.Errorf("%s: %q, %v", c.record, how, harmless)
		}
	}
}
