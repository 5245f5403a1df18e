package zone

import "slices"

// aim is what the host name in an NS, MX or SRV record leads to.
type aim int

const (
	aimOutside   aim = iota // not in the zone, or delegated away: others know
	aimAddress              // it has an address
	aimNothing              // authoritative, but without an address
	aimAlias                // it has a CNAME
	aimBelow                // it is below a DNAME
	aimDelegated            // it is below a delegation and has no glue
)

// lookup follows a host name within the zone; cut is the delegation it is below.
func (c *checker) lookup(target Name) (a aim, cut Key) {
	if !target.Under(c.apex) {
		return aimOutside, ""
	}
	k := target.Key()
	sets := c.at(k)
	cut, covered := c.coverOf(k)
	if covered == 0 && k != c.apexKey && has(sets, TypeNS) {
		cut, covered = k, TypeNS
	}
	switch {
	case covered == TypeDNAME:
		return aimBelow, cut
	case has(sets, TypeA) || has(sets, TypeAAAA):
		return aimAddress, cut
	case covered == TypeNS:
		return aimDelegated, cut
	case has(sets, TypeCNAME):
		return aimAlias, ""
	case len(sets) == 0:
		return c.wildcard(k), ""
	}
	return aimNothing, ""
}

// wildcard says what a name without records gets from a wildcard (RFC 4592). An
// empty non-terminal in between would stop it, which a Content cannot show; the
// worst that comes of it is a fault not reported.
func (c *checker) wildcard(k Key) aim {
	for up := k; up != c.apexKey; {
		up = up.Parent()
		if sets := c.at(up.Wildcard()); len(sets) > 0 {
			switch {
			case has(sets, TypeA) || has(sets, TypeAAAA):
				return aimAddress
			case has(sets, TypeCNAME):
				return aimAlias
			}
			return aimNothing
		}
		if len(c.at(up)) > 0 {
			return aimNothing
		}
	}
	return aimNothing
}

// nameservers checks where the NS records of an owner lead, once.
func (c *checker) nameservers(k Key, sets []RRset) {
	if c.seen[k] {
		return
	}
	c.seen[k] = true
	for _, set := range sets {
		if set.Type != TypeNS {
			continue
		}
		for r := range set.Data.All() {
			target := Name(r)
			if !target.Valid() {
				c.err(FaultRdata, set, "", "rdata is not a name")
				continue
			}
			a, cut := c.lookup(target)
			switch a {
			case aimAlias:
				c.err(FaultToCNAME, set, "a nameserver is named by a name with addresses (RFC 2181 section 10.3)", "nameserver %s is a CNAME", target)
			case aimBelow:
				c.err(FaultBelowDNAME, set, "", "nameserver %s is below a DNAME", target)
			case aimNothing:
				c.err(FaultNoAddress, set, "add an A or AAAA record for it", "nameserver %s has no address in this zone", target)
			case aimDelegated:
				if cut == k {
					c.err(FaultGlue, set, "add its A or AAAA record here as glue", "nameserver %s is inside of the delegated zone and has no address here", target)
				} else if k == c.apexKey {
					c.err(FaultNoAddress, set, "add its A or AAAA record here as glue", "nameserver %s is in a delegated zone and has no address here", target)
				} else {
					c.warn(FaultSiblingGlue, set, "", "nameserver %s is in another delegated zone and has no address here", target)
				}
			}
		}
	}
}

// targets checks where MX and SRV records lead.
func (c *checker) targets(set RRset) {
	fixed := 2
	if set.Type == TypeSRV {
		fixed = 6
	}
	for r := range set.Data.All() {
		if len(r) <= fixed || !Name(r[fixed:]).Valid() {
			c.err(FaultRdata, set, "", "rdata is not numbers and a name")
			continue
		}
		target := Name(r[fixed:])
		if target == Root { // "no service": RFC 7505, RFC 2782
			continue
		}
		if string(target) != c.lastTarget {
			c.lastTarget = string(target)
			c.lastAim, _ = c.lookup(target)
		}
		switch c.lastAim {
		case aimAlias:
			c.warn(FaultToCNAME, set, "point it at the name that has the addresses (RFC 2181 section 10.3)", "target %s is a CNAME", target)
		case aimBelow:
			c.warn(FaultBelowDNAME, set, "", "target %s is below a DNAME", target)
		case aimNothing:
			c.warn(FaultNoAddress, set, "", "target %s has no address in this zone", target)
		}
	}
}

// pointing checks all NS RRsets that name one of these owners, or a name that
// gets its records from one of them that is a wildcard, or loses them to one
// that is a DNAME.
func (c *checker) pointing(w walker, owners []Key) {
	touched := make(map[Key]bool, len(owners))
	var tops []Key
	for _, k := range owners {
		touched[k] = true
		if up := k.Parent(); k == up.Wildcard() {
			tops = append(tops, up)
		}
		if has(c.at(k), TypeDNAME) {
			tops = append(tops, k)
		}
	}
	concerns := func(rdata string) bool {
		target := Name(rdata)
		if !target.Valid() {
			return false
		}
		k := target.Key()
		return touched[k] || slices.ContainsFunc(tops, k.Under)
	}
	for set := range w.All() {
		if set.Type != TypeNS {
			continue
		}
		for r := range set.Data.All() {
			if concerns(r) {
				k := set.Owner.Key()
				if _, covered := c.coverOf(k); covered == 0 {
					c.nameservers(k, c.at(k))
				}
				break
			}
		}
	}
}
