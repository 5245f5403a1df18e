package nsd

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"dnsctl/nameserver"
	"dnsctl/zone"
)

// A zone that is added at run time has the settings of a pattern of nsd.conf, and
// the control channel shows of a pattern only its name. So the name of one of ours
// says what is in it:
//
//	dnsctl/192.0.2.1@53/eu.,2001:db8::1@853/eu./dnsctl-eu
//
// are primaries, each with the TSIG key and the TLS settings for it, where it has
// them. Zones whose queries are limited have another, and so has a catalog zone.
const (
	patternPrefix = "dnsctl/"
	limitedPrefix = "dnsctl-limited/"
	catalogPrefix = "dnsctl-catalog/"
)

// patternName is the name of the pattern for a zone's settings.
func patternName(z nameserver.ZoneConfig) string {
	var b strings.Builder
	switch {
	case z.Limited:
		b.WriteString(limitedPrefix)
	case z.Catalog:
		b.WriteString(catalogPrefix)
	default:
		b.WriteString(patternPrefix)
	}
	for i, p := range z.Primaries {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(addrText(p.Addr))
		if p.Key != "" || p.TLS != "" {
			b.WriteByte('/')
			if p.Key != "" {
				b.WriteString(strings.TrimSuffix(typed(p.Key), ".") + ".")
			}
		}
		if p.TLS != "" {
			b.WriteString("/" + escaped(p.TLS))
		}
	}
	return b.String()
}

// readPattern is the primaries that a pattern's name states; false when it is not
// one of ours.
func readPattern(name string) ([]nameserver.PrimaryRef, bool) {
	prefix, rest, _ := strings.Cut(name, "/")
	if prefix += "/"; prefix != patternPrefix && prefix != limitedPrefix && prefix != catalogPrefix {
		return nil, false
	}
	var refs []nameserver.PrimaryRef
	for part := range strings.SplitSeq(rest, ",") {
		fields := strings.Split(part, "/")
		if len(fields) > 3 {
			return nil, false
		}
		host, port, ok := strings.Cut(fields[0], "@")
		addr, err := netip.ParseAddr(host)
		n, perr := strconv.ParseUint(port, 10, 16)
		if !ok || err != nil || perr != nil || addr.Zone() != "" || n == 0 {
			return nil, false
		}
		ref := nameserver.PrimaryRef{Addr: netip.AddrPortFrom(addr.Unmap(), uint16(n))}
		if len(fields) > 1 && fields[1] != "" {
			key, err := zone.ParseName(fields[1])
			if err != nil {
				return nil, false
			}
			ref.Key = key.Lower()
		}
		if len(fields) > 2 {
			if ref.TLS, ok = unescaped(fields[2]); !ok {
				return nil, false
			}
		}
		refs = append(refs, ref)
	}
	return refs, true
}

// addrText is an address as nsd.conf has it.
func addrText(a netip.AddrPort) string { return fmt.Sprintf("%s@%d", a.Addr().Unmap(), a.Port()) }

// escaped is text with what separates the parts of a pattern's name, or ends it,
// as \DDD.
func escaped(text string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`/,\"`, c) >= 0 {
			fmt.Fprintf(&b, `\%03d`, c)
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

func unescaped(text string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			b.WriteByte(text[i])
			continue
		}
		if i+3 >= len(text) {
			return "", false
		}
		c, err := strconv.ParseUint(text[i+1:i+4], 10, 8)
		if err != nil {
			return "", false
		}
		b.WriteByte(byte(c))
		i += 3
	}
	return b.String(), true
}

// everywhere is all addresses, for what a key protects.
var everywhere = []string{"0.0.0.0/0", "::0/0"}

// patternText is a pattern for nsd.conf. Who holds the key of a primary may send
// NOTIFY, copy the zone and, where that is limited, query it, from wherever; where
// there is no key the primary itself may, and whoever is in from may query and
// copy. folder is where the zones' files are.
func patternText(z nameserver.ZoneConfig, folder string, from []netip.Prefix) string {
	var b strings.Builder
	fmt.Fprintf(&b, "pattern:\n    name: \"%s\"\n    zonefile: \"%s/%%s%s\"\n", patternName(z), folder, zoneSuffix)
	if z.Catalog {
		members := z
		members.Catalog = false
		fmt.Fprintf(&b, "    catalog: consumer\n    catalog-member-pattern: \"%s\"\n", patternName(members))
	}
	seen := map[string]bool{}
	put := func(what, whom, key string) {
		line := fmt.Sprintf("    %s: %s %s\n", what, whom, key)
		if !seen[line] {
			seen[line] = true
			b.WriteString(line)
		}
	}
	for _, p := range z.Primaries {
		key := "NOKEY"
		if p.Key != "" {
			key = `"` + keyName(p.Key) + `"`
		}
		if p.TLS != "" {
			put("request-xfr", addrText(p.Addr), key+` "`+p.TLS+`"`)
		} else {
			put("request-xfr", addrText(p.Addr), key)
		}
	}
	for _, p := range z.Primaries {
		addr := p.Addr.Addr().Unmap().String()
		if z.Limited {
			put("allow-query", addr, "NOKEY")
		}
		if p.Key == "" {
			put("allow-notify", addr, "NOKEY")
			put("provide-xfr", addr, "NOKEY")
			continue
		}
		for _, e := range everywhere {
			put("allow-notify", e, `"`+keyName(p.Key)+`"`)
			put("provide-xfr", e, `"`+keyName(p.Key)+`"`)
			if z.Limited {
				put("allow-query", e, `"`+keyName(p.Key)+`"`)
			}
		}
	}
	for _, f := range from {
		if z.Limited {
			put("allow-query", f.Masked().String(), "NOKEY")
		}
		if len(z.Primaries) > 0 && z.Primaries[0].Key == "" {
			put("provide-xfr", f.Masked().String(), "NOKEY")
		}
	}
	return b.String()
}
