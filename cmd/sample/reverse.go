package main

import (
	"fmt"
	"strings"
)

// networks are the documentation networks, as reverse zones name them.
var networks = []struct{ zone, prefix string }{
	{"2.0.192.in-addr.arpa", "192.0.2"},
	{"100.51.198.in-addr.arpa", "198.51.100"},
	{"113.0.203.in-addr.arpa", "203.0.113"},
}

// sites is how many /48s of 2001:db8::/32 have a reverse zone.
const sites = 40

// reverse are the reverse zones: three /24s cut into classless delegations of
// 32 addresses each, and an IPv6 /32 with the /48s that it delegates.
func reverse() []zoneFile {
	var zones []zoneFile
	for i, network := range networks {
		parent := soa(serial(i))
		for block := range 8 {
			// RFC 2317 section 4 proposes the slash; others write a dash.
			child := fmt.Sprintf("%d/27", block*32)
			if i == 2 {
				child = fmt.Sprintf("%d-%d", block*32, block*32+31)
			}
			parent += fmt.Sprintf("; %s.%d/27\n%s\tIN\tNS\tns1.example.net.\n\tIN\tNS\tns2.example.net.\n", network.prefix, block*32, child)
			parent += fmt.Sprintf("$GENERATE %d-%d $ CNAME $.%s\n", block*32, block*32+31, child)
			zones = append(zones, newZone("reverse", child+"."+network.zone, classless(i, block)))
		}
		zones = append(zones, newZone("reverse", network.zone, parent))
	}
	const top = "8.b.d.0.1.0.0.2.ip6.arpa"
	parent := soa(serial(9)) + "ns.0.0.0.0\tIN\tPTR\tns1.example.net.\n"
	for n := range sites {
		label := nibbles(fmt.Sprintf("%04x", n*7+1))
		parent += fmt.Sprintf("%s\tIN\tNS\tns1.example.net.\n%s\tIN\tNS\tns2.example.net.\n", label, label)
		zones = append(zones, newZone("reverse", label+"."+top, site(n)))
	}
	return append(zones, newZone("reverse", top, parent))
}

// classless is the zone of 32 addresses.
func classless(network, block int) string {
	text := soa(serial(network*8 + block))
	for host := 1; host < 31; host += 1 + block%3 {
		text += fmt.Sprintf("%d\tIN\tPTR\thost-%d.block%d.example.net.\n", block*32+host, block*32+host, network)
	}
	return text
}

// site is the zone of a /48; its origin goes deeper for each subnet.
func site(n int) string {
	text := soa(serial(n))
	for subnet := range 3 {
		text += fmt.Sprintf("$ORIGIN %s.%s.8.b.d.0.1.0.0.2.ip6.arpa.\n", nibbles(fmt.Sprintf("%04x", subnet)), nibbles(fmt.Sprintf("%04x", n*7+1)))
		for host := 1; host <= 4; host++ {
			text += fmt.Sprintf("%s\tPTR\thost%d.net%d.site%d.example.net.\n", nibbles(fmt.Sprintf("%016x", host)), host, subnet, n)
		}
	}
	return text
}

// nibbles turns hexadecimal digits round, with dots between.
func nibbles(digits string) string {
	var labels []string
	for i := len(digits) - 1; i >= 0; i-- {
		labels = append(labels, digits[i:i+1])
	}
	return strings.Join(labels, ".")
}
