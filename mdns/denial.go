package mdns

import (
	"dnsctl/wire"
	"dnsctl/zone"
)

// Proofs of what does not exist, by NSEC (RFC 4035 section 3.1.3) and NSEC3 (RFC
// 5155 section 7.2).

// noData answers for a name, or the wildcard that stands for it, that does not
// have the type.
func (a *answer) noData(m match, name zone.Name, key zone.Key) {
	// BIND takes an empty wildcard of a zone with NSEC for a name that does not
	// exist: see noName about the TTL.
	emptyWild := m.wild && len(m.sets) == 0 && a.sec.signed && a.sec.nsec3 == nil
	a.addSOA(emptyWild && a.qtype == zone.TypeSOA)
	if !a.do {
		return
	}
	if a.sec.nsec3 != nil {
		if m.wild {
			a.proveNoWildcard(name, key, false, true)
		} else {
			a.proveName(name)
		}
		return
	}
	nsec, ok := get(m.sets, zone.TypeNSEC, 0)
	sig, _ := get(m.sets, zone.TypeRRSIG, zone.TypeNSEC)
	if !ok { // an empty wildcard
		a.addNSEC(key)
		a.proveNoWildcard(name, key, false, false)
		return
	}
	if m.wild {
		a.proveNoWildcard(name, key, true, false)
	}
	a.add(wire.SectionAuthority, nsec)
	if sig.Data != "" {
		a.add(wire.SectionAuthority, sig)
	}
}

// noSignature answers a question for RRSIG or SIG at a name that has none. With
// NSEC there is then no proof, as with BIND.
func (a *answer) noSignature(name zone.Name) {
	a.addSOA(false)
	if a.do && a.sec.nsec3 != nil {
		a.proveName(name)
	}
}

// emptyName answers for a name that exists only because others are below it.
func (a *answer) emptyName(name zone.Name, key zone.Key) {
	a.addSOA(false)
	switch {
	case !a.do:
	case a.sec.nsec3 != nil:
		a.proveName(name)
	default:
		a.addNSEC(key)
	}
}

// noName answers NXDOMAIN. A question for an SOA gets one with TTL 0, so that
// looking for a zone's apex is not remembered (BIND's zero-no-soa-ttl).
func (a *answer) noName(m match, name zone.Name, key zone.Key) {
	a.rcode = wire.RcodeNXDomain
	a.addSOA(a.qtype == zone.TypeSOA)
	if !a.do {
		return
	}
	if a.sec.nsec3 == nil {
		a.addNSEC(key)
	}
	a.proveNoWildcard(name, key, false, false)
}

// proveExpansion goes with an answer that a wildcard made: nothing closer
// exists.
func (a *answer) proveExpansion(m match, name zone.Name, key zone.Key) {
	if a.do && m.wild {
		a.proveNoWildcard(name, key, true, false)
	}
}

// addNSEC adds the NSEC record that covers a name.
func (a *answer) addNSEC(key zone.Key) (zone.RRset, bool) {
	nsec, ok := a.c.snap.Before(key, zone.TypeNSEC)
	if !ok {
		return nsec, false
	}
	a.add(wire.SectionAuthority, nsec)
	if sig, ok := a.c.snap.Get(zone.ID{Owner: nsec.Owner.Key(), Type: zone.TypeRRSIG, Covers: zone.TypeNSEC}); ok {
		a.add(wire.SectionAuthority, sig)
	}
	return nsec, true
}

// proveNoWildcard proves that a name does not exist and, unless the answer is
// positive, that no wildcard stands for it; with noData, that a wildcard does
// and lacks the type.
func (a *answer) proveNoWildcard(name zone.Name, key zone.Key, positive, noData bool) {
	if a.sec.nsec3 != nil {
		a.proveNoWildcard3(name, key, positive, noData)
		return
	}
	if a.c.find(key, zone.TypeNSEC, true, &a.scratch2).kind != noName {
		return
	}
	nsec, ok := a.addNSEC(key)
	if !ok || positive {
		return
	}
	// The closest encloser is the longest of what the name shares with the two
	// ends of the gap.
	n := max(sharedLabels(name, nsec.Owner), sharedLabels(name, nextName(nsec)))
	if n == name.Labels() {
		return
	}
	wild := "\x01*" + lastLabels(name, n)
	if wildKey := wild.Key(); wildKey != key && a.c.find(wildKey, zone.TypeNSEC, true, &a.scratch2).kind == noName {
		a.addNSEC(wildKey)
	}
}

func (a *answer) proveNoWildcard3(name zone.Name, key zone.Key, positive, noData bool) {
	m := a.c.find(key, zone.TypeNSEC, true, &a.scratch2)
	encloser := name
	if m.kind == noName {
		encloser = lastLabels(name, labelsOfKey(m.encloser))
	}
	at, encloser, ok := a.closest(encloser, true)
	if !ok {
		return
	}
	if !positive {
		a.addNSEC3(at)
	}
	if encloser.Labels() == name.Labels() {
		return
	}
	if at, _, ok = a.closest(lastLabels(name, encloser.Labels()+1), false); !ok {
		return
	}
	a.addNSEC3(at)
	if positive || len(encloser)+2 > zone.MaxName {
		return
	}
	if at, _, ok = a.closest("\x01*"+encloser, noData); ok {
		a.addNSEC3(at)
	}
}

// proveName proves by NSEC3 that an existing name lacks a type; where it has no
// NSEC3 because of opt-out, the closest encloser that has one is proven.
func (a *answer) proveName(name zone.Name) {
	at, provable, ok := a.closest(name, true)
	if !ok {
		return
	}
	a.addNSEC3(at)
	if n := provable.Labels(); n < name.Labels() {
		if at, _, ok = a.closest(lastLabels(name, n+1), false); ok {
			a.addNSEC3(at)
		}
	}
}

// proveDelegation says with a referral whether the child is signed.
func (a *answer) proveDelegation(m match, owner zone.Name) {
	for _, t := range [...]zone.Type{zone.TypeDS, zone.TypeNSEC} {
		set, ok := get(m.sets, t, 0)
		if !ok {
			continue
		}
		if sig, signed := get(m.sets, zone.TypeRRSIG, t); signed {
			set.Owner, sig.Owner = owner, owner
			a.add(wire.SectionAuthority, set)
			a.add(wire.SectionAuthority, sig)
			return
		}
		break
	}
	if a.sec.nsec3 != nil {
		a.proveName(owner)
	}
}

// closest is the NSEC3 record that matches the name, or the one that covers it.
// With up, a covering record that opts out sends the search to the parent: the
// name returned is then the closest provable encloser.
func (a *answer) closest(name zone.Name, up bool) (at zone.Key, provable zone.Name, ok bool) {
	for {
		k, exact, ok := a.sec.nsec3.find(a.sec.nsec3.owner(a.c.apexKey, name))
		if !ok || exact || !up || name == zone.Root || !name.Under(a.c.apex) {
			return k, name, ok
		}
		set, _ := a.c.snap.Get(zone.ID{Owner: k, Type: zone.TypeNSEC3})
		if d := set.Data.First(); len(d) < 2 || d[1]&1 == 0 {
			return k, name, true
		}
		name = name.Parent()
	}
}

func (a *answer) addNSEC3(k zone.Key) {
	set, ok := a.c.snap.Get(zone.ID{Owner: k, Type: zone.TypeNSEC3})
	if !ok {
		return
	}
	a.add(wire.SectionAuthority, set)
	if sig, ok := a.c.snap.Get(zone.ID{Owner: k, Type: zone.TypeRRSIG, Covers: zone.TypeNSEC3}); ok {
		a.add(wire.SectionAuthority, sig)
	}
}

// sharedLabels counts the labels that two names have in common at their ends.
func sharedLabels(a, b zone.Name) int {
	n := min(a.Labels(), b.Labels())
	for n > 0 && !lastLabels(a, n).Equal(lastLabels(b, n)) {
		n--
	}
	return n
}

// lastLabels is the name made of the last n labels.
func lastLabels(name zone.Name, n int) zone.Name {
	for l := name.Labels(); l > n; l-- {
		name = name.Parent()
	}
	return name
}

// labelsOfKey counts the labels of the name that has the key.
func labelsOfKey(k zone.Key) int {
	n := 0
	for i := range len(k) {
		if k[i] == 0 {
			n++
		}
	}
	return n
}

// nextName is the next owner of an NSEC record's rdata.
func nextName(nsec zone.RRset) zone.Name {
	n, _, err := zone.UnpackName([]byte(nsec.Data.First()))
	if err != nil {
		return zone.Root
	}
	return n
}
