package knot

import (
	"fmt"
	"strings"

	"dnsctl/nameserver"
	"dnsctl/zone"
)

// CanHold says why Knot cannot have a zone of this name.
func (Type) CanHold(name zone.Name) error {
	if !name.Valid() {
		return fmt.Errorf("%w: not a domain name", nameserver.ErrBadName)
	}
	return nil
}

// nameText is a name as knotd takes and prints it: lower case, with its final dot.
func nameText(n zone.Name) string { return n.Lower().String() }

// printable is a foreign text, cut short and without control characters.
func printable(text string) string {
	const most = 300
	if len(text) > most {
		text = text[:most] + "..."
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
}
