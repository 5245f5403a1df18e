package mdns

import (
	"testing"

	"dnsctl/zone"
)

func TestZonesThatNameTheirOwnServersShareAForm(t *testing.T) {
	t.Parallel()
	x := newIndex()
	pools := []int64{1}
	for apex, names := range map[string][2]string{
		"a.test.":   {"ns1.a.test.", "hostmaster.a.test."},
		"B.test.":   {"ns1.B.test.", "hostmaster.B.test."},
		"c.test.":   {"c.test.", "c.test."},
		"d.test.":   {"ns.example.", "host.d.test."},
		"e.test.":   {"ns1.E.test.", "hostmaster.e.test."}, // spelled otherwise, and kept so
		"f.test.":   {"ns.example.", "host.example."},
		"xa.test.":  {"ns1.a.test.", "."},
		".":         {"ns.example.", "."},
		"255.test.": {"a\\255b.255.test.", "\\255.255.test."},
	} {
		soa := zone.SOA{MName: n(names[0]), RName: n(names[1]), Serial: 7, Refresh: 1, Retry: 2, Expire: 3, Minimum: 4}
		e := &entry{apex: n(apex)}
		if err := e.setSOA(&pools, zone.RRset{Owner: n(apex), Type: zone.TypeSOA, TTL: 60, Data: zone.PackRdata(soa.Rdata())}); err != nil {
			t.Fatal(err)
		}
		x.share(e)
		if e.soa() != soa.WithSerial(0).Rdata() || e.serial != 7 {
			t.Errorf("the SOA of %s is %q", apex, e.soa())
		}
	}
	if len(x.forms) != 8 {
		t.Errorf("%d forms of 9 zones, of which two are alike", len(x.forms))
	}
}
