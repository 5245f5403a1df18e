package commands

import (
	"fmt"
	"net/netip"
	"strings"

	"golang.org/x/net/idna"

	"dnsctl/edit"
	"dnsctl/report"
	"dnsctl/zone"
)

// parseZone reads a zone's name as people type it: the final dot may be left
// out, and international names may be given in Unicode.
func parseZone(text string) (zone.Name, error) {
	ascii, err := toASCII(text)
	if err != nil {
		return "", usagef("", "zone name %q: %v", text, err)
	}
	n, err := zone.ParseName(ascii)
	if err != nil {
		return "", usagef("", "zone %v", err)
	}
	return n, nil
}

func parseZones(texts []string) ([]zone.Name, error) {
	out := make([]zone.Name, 0, len(texts))
	for _, t := range texts {
		n, err := parseZone(t)
		if err != nil {
			return nil, err
		}
		out = append(out, n)
	}
	return out, nil
}

// parseHosts reads names of hosts, which are always absolute.
func parseHosts(flag string, texts []string) ([]zone.Name, error) {
	out := make([]zone.Name, 0, len(texts))
	for _, t := range texts {
		ascii, err := toASCII(t)
		if err != nil {
			return nil, usagef("", "--%s %q: %v", flag, t, err)
		}
		n, err := zone.ParseName(ascii)
		if err != nil {
			return nil, usagef("", "--%s: %v", flag, err)
		}
		out = append(out, n)
	}
	return out, nil
}

// toASCII turns Unicode labels into A-labels (RFC 5891); text of ASCII only is
// left as it is, escapes included.
func toASCII(text string) (string, error) {
	for i := range len(text) {
		if text[i] >= 0x80 {
			p := idna.New(idna.MapForLookup(), idna.Transitional(false), idna.StrictDomainName(false))
			return p.ToASCII(text)
		}
	}
	return text, nil
}

// parseOwner reads the name of a record in a zone: relative to the zone unless
// it ends in a dot. One that ends in the zone's own name without a dot is
// refused, since it is hardly ever meant.
func parseOwner(text string, z zone.Name) (zone.Name, error) {
	ascii, err := toASCII(text)
	if err != nil {
		return "", usagef("", "name %q: %v", text, err)
	}
	if err := relativeTwice(ascii, z); err != nil {
		return "", err
	}
	n, _, err := zone.ParseRelative(ascii, z)
	if err != nil {
		return "", usagef("", "%v", err)
	}
	if !n.Under(z) {
		return "", usagef(fmt.Sprintf("names are relative to the zone; the apex is %q", "@"), "name %q is not in zone %s", text, z)
	}
	return n, nil
}

// relativeTwice refuses text that, relative to the zone, would have the zone's
// name twice.
func relativeTwice(text string, z zone.Name) error {
	if z == zone.Root {
		return nil
	}
	asRoot, absolute, err := zone.ParseRelative(text, zone.Root)
	if err == nil && !absolute && text != "@" && asRoot.Under(z) {
		err := edit.ErrSpelling(text, z)
		_, hint := report.ExitOf(err)
		return &usageError{err, hint}
	}
	return nil
}

// Ports that are meant where none is given (RFC 1035; RFC 7858, RFC 9103).
const (
	portDNS = 53
	portTLS = 853
)

// parseAddr reads ADDR or ADDR:PORT; without a port it is 53.
func parseAddr(flag, text string) (netip.AddrPort, error) { return parseAddrPort(flag, text, portDNS) }

func parseAddrPort(flag, text string, port uint16) (netip.AddrPort, error) {
	if ap, err := netip.ParseAddrPort(text); err == nil {
		if ap.Port() == 0 {
			return netip.AddrPort{}, usagef("name the port, as in 192.0.2.1:5300", "--%s %q: there is no port 0", flag, text)
		}
		return ap, nil
	}
	addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"))
	if err != nil {
		return netip.AddrPort{}, usagef("write 192.0.2.1, 192.0.2.1:5300 or [2001:db8::1]:5300", "--%s %q is not an IP address with or without a port", flag, text)
	}
	return netip.AddrPortFrom(addr, port), nil
}

// parseAddrs reads a list; port is meant where none is given.
func parseAddrs(flag string, texts []string, port uint16) ([]netip.AddrPort, error) {
	out := make([]netip.AddrPort, 0, len(texts))
	for _, t := range texts {
		ap, err := parseAddrPort(flag, t, port)
		if err != nil {
			return nil, err
		}
		out = append(out, ap)
	}
	return out, nil
}

// parsePrefixes reads networks; a lone address is a network of one.
func parsePrefixes(flag string, texts []string) ([]netip.Prefix, error) {
	out := make([]netip.Prefix, 0, len(texts))
	for _, t := range texts {
		p, err := netip.ParsePrefix(t)
		if err != nil {
			a, err := netip.ParseAddr(t)
			if err != nil {
				return nil, usagef("write 192.0.2.0/24, 2001:db8::/32 or an address", "--%s %q is not a network", flag, t)
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		if p != p.Masked() {
			return nil, usagef("the network is "+p.Masked().String(), "--%s %q has bits set beyond its length", flag, t)
		}
		out = append(out, p)
	}
	return out, nil
}
