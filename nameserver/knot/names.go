package knot

import (
	"fmt"

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
