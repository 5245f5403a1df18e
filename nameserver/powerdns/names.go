package powerdns

import (
	"fmt"
	"strings"

	"dnsctl/nameserver"
	"dnsctl/zone"
)

// CanHold says why PowerDNS cannot have a zone of this name. Its API takes
// letters, digits, -, _ and / only, found by trying every printable character.
func (Type) CanHold(name zone.Name) error {
	if !name.Valid() {
		return fmt.Errorf("%w: not a domain name", nameserver.ErrBadName)
	}
	for i := 0; i < len(name) && name[i] != 0; {
		end := i + 1 + int(name[i])
		for i++; i < end; i++ {
			if c := name[i]; !isPlain(c) && c != '_' && c != '/' {
				return fmt.Errorf("%w: PowerDNS takes letters, digits, -, _ and / in a zone's name only, and %s has %q", nameserver.ErrBadName, name, c)
			}
		}
	}
	return nil
}

func isPlain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-'
}

// nameText is a name as the API takes it: lower case, with its final dot.
func nameText(n zone.Name) string { return n.Lower().String() }

// id names a zone or a TSIG key in a path of the API: what is not plain is =XX.
func id(n zone.Name) string {
	text := nameText(n)
	if text == "." {
		return "=2E"
	}
	var b strings.Builder
	for i := range len(text) {
		if c := text[i]; isPlain(c) || c == '.' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "=%02X", c)
		}
	}
	return b.String()
}
