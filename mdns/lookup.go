package mdns

import (
	"strings"

	"dnsctl/zone"
)

// kind of what stands at a name, as RFC 1034 section 4.3.2 and RFC 6672 section
// 3.2 go through them.
type kind uint8

const (
	found      kind = iota // the type, or with ANY all types
	alias                  // a CNAME instead of the type
	redirected             // at or below a DNAME's owner
	delegated              // at or below a zone cut
	noData                 // the name exists, the type does not
	emptyName              // the name exists and owns nothing
	noName
)

// match is what a lookup ends at.
type match struct {
	kind kind
	// at is the name that the records stand at: the one asked for, its wildcard,
	// a zone cut or a DNAME's owner.
	at zone.Key
	// sets is everything that stands there; valid until the next lookup with the
	// same scratch space.
	sets []zone.RRset
	// encloser is the longest existing name at or above the one asked for, where
	// that does not exist itself.
	encloser zone.Key
	wild     bool // at is a wildcard that made the match (RFC 4592)
}

// get is the RRset of a type among those of a name.
func get(sets []zone.RRset, t, covers zone.Type) (zone.RRset, bool) {
	for i := range sets {
		if sets[i].Type == t && sets[i].Covers == covers {
			return sets[i], true
		}
	}
	return zone.RRset{}, false
}

// ofChain says whether a set belongs to the NSEC3 chain, whose owners do not
// exist as names (RFC 5155 section 7.2.8).
func ofChain(s *zone.RRset) bool {
	return s.Type == zone.TypeNSEC3 || s.Type == zone.TypeRRSIG && s.Covers == zone.TypeNSEC3
}

// node collects what stands at a name, and says whether the name exists: it owns
// something, or a name below it does.
func (c *content) node(k zone.Key, scratch []zone.RRset) (sets []zone.RRset, exists bool) {
	sets = scratch[:0]
	for key, set := range c.snap.From(k) {
		if !key.Under(k) {
			break
		}
		if ofChain(&set) {
			continue
		}
		if key != k {
			return sets, true
		}
		sets = append(sets, set)
	}
	return sets, len(sets) > 0
}

// find looks a name of the zone up. With noWild, wildcards match nothing, as
// proofs of nonexistence need. Questions for RRSIG are questions for all types.
func (c *content) find(key zone.Key, t zone.Type, noWild bool, scratch *[]zone.RRset) match {
	p := key[:len(c.apexKey)]
	for {
		sets, exists := c.node(p, *scratch)
		*scratch = sets[:0]
		switch {
		case !exists && len(p) > len(c.apexKey):
			return c.wildcard(p.Parent(), t, noWild, scratch)
		case len(p) == len(key):
			return c.exact(match{at: p, sets: sets}, t)
		}
		if _, cut := get(sets, zone.TypeNS, 0); cut && len(p) > len(c.apexKey) {
			return match{kind: delegated, at: p, sets: sets}
		}
		if _, dname := get(sets, zone.TypeDNAME, 0); dname {
			return match{kind: redirected, at: p, sets: sets}
		}
		p = key[:len(p)+1+strings.IndexByte(string(key[len(p):]), 0)]
	}
}

// wildcard looks for the source of synthesis below the closest encloser (RFC
// 4592 section 3.3.1).
func (c *content) wildcard(encloser zone.Key, t zone.Type, noWild bool, scratch *[]zone.RRset) match {
	if !noWild {
		sets, exists := c.node(encloser.Wildcard(), *scratch)
		*scratch = sets[:0]
		if exists {
			return c.exact(match{at: encloser.Wildcard(), sets: sets, wild: true, encloser: encloser}, t)
		}
	}
	return match{kind: noName, encloser: encloser}
}

// exact decides at a name that exists. NSEC and KEY at a zone cut are the
// parent's, as is DS; for all other types the cut is a referral.
func (c *content) exact(m match, t zone.Type) match {
	has := func(t zone.Type) bool { _, ok := get(m.sets, t, 0); return ok }
	cut := m.at != c.apexKey && t != zone.TypeDS && has(zone.TypeNS)
	switch {
	case len(m.sets) == 0 && m.wild:
		m.kind = noData
	case len(m.sets) == 0:
		m.kind = emptyName
	case cut && (t != zone.TypeNSEC && t != zone.TypeKEY || !has(t)):
		m.kind = delegated
	case t == zone.TypeANY || t == zone.TypeRRSIG || t == zone.TypeSIG || has(t):
		m.kind = found
	case t != zone.TypeKEY && t != zone.TypeNSEC && has(zone.TypeCNAME):
		m.kind = alias
	default:
		m.kind = noData
	}
	return m
}
