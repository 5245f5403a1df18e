package nameserver_test

import (
	"errors"
	"testing"

	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/nameserver/bind"
	"dnsctl/nameserver/knot"
	"dnsctl/nameserver/nsd"
	"dnsctl/nameserver/powerdns"
)

func TestWhoIsTooOldForCatalogs(t *testing.T) {
	for _, c := range []struct {
		of      nameserver.Type
		version string
		old     bool
	}{
		{bind.New(), "BIND 9.18.49-1~deb12u3-Debian (Extended Support Version) <id:>", false},
		{bind.New(), "BIND 9.16.50", true},
		{bind.New(), "BIND 10.0.1", false},
		{knot.New(), "Knot DNS 3.2.6", false},
		{knot.New(), "Knot DNS 2.9.9", true},
		{nsd.New(), "NSD 4.6.1", true},
		{nsd.New(), "NSD 4.9.0", false},
		{nsd.New(), "NSD 4.10.2", false},
		{powerdns.New(), "PowerDNS 4.7.3", false},
		{powerdns.New(), "PowerDNS 4.6.4", true},
		{powerdns.New(), "PowerDNS", false}, // it does not say
		{powerdns.New(), "PowerDNS 99999999999999999999.1", false},
	} {
		s := fleet.Server{Name: "ns1", Provision: fleet.ByCatalog}
		if err := nameserver.CheckCatalog(c.of, s, nameserver.Info{Version: c.version}); errors.Is(err, nameserver.ErrNoCatalogs) != c.old || (err != nil) != c.old {
			t.Errorf("%s: %v", c.version, err)
		}
		s.Provision = fleet.ByControl
		if err := nameserver.CheckCatalog(c.of, s, nameserver.Info{Version: c.version}); err != nil {
			t.Errorf("%s over its control channel: %v", c.version, err)
		}
	}
}
