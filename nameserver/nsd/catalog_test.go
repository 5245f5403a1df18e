package nsd

import (
	"net/netip"
	"strings"
	"testing"

	"dnsctl/nameserver"
	"dnsctl/zone"
)

// The pattern of a catalog zone has its members come with the pattern that zones of the
// same primaries are added with.
func TestTheCatalogsPatternNamesItsMembers(t *testing.T) {
	refs := []nameserver.PrimaryRef{{Addr: netip.MustParseAddrPort("192.0.2.1:53"), Key: zone.MustParseName("eu.")}}
	catalog := nameserver.ZoneConfig{Name: zone.MustParseName("catalog.example."), Primaries: refs, Catalog: true}
	member := nameserver.ZoneConfig{Name: zone.MustParseName("a.example."), Primaries: refs}
	text := patternText(catalog, "/zones", nil)
	for _, want := range []string{"name: \"dnsctl-catalog/192.0.2.1@53/eu.\"", "catalog: consumer\n", "catalog-member-pattern: \"" + patternName(member) + "\"", "request-xfr: 192.0.2.1@53 \"eu\""} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	if strings.Contains(patternText(member, "/zones", nil), "catalog") {
		t.Error("a member's pattern is one of a catalog")
	}
	if got, ok := readPattern(patternName(catalog)); !ok || !nameserver.SamePrimaries(got, refs) {
		t.Errorf("%v %v", got, ok)
	}
	all := settings(nameserver.ConfigRequest{Settings: []nameserver.ZoneConfig{member}, Catalog: catalog})
	if len(all) != 2 || patternName(all[1]) != patternName(catalog) {
		t.Errorf("%v", all)
	}
}
