package mdns

import (
	"dnsctl/wire"
	"dnsctl/zone"
)

// maxRestarts is how many CNAMEs and DNAMEs are followed; a longer chain, or a
// loop, is answered with SERVFAIL and what was found so far, as BIND does.
const maxRestarts = 11

// answer collects the RRsets of a response. It is reused; one goroutine has it.
type answer struct {
	rcode    wire.Rcode
	aa       bool
	sections [4][]zone.RRset // by wire.Section; the question's is unused
	glue     int             // how many of the additional RRsets a referral cannot do without

	// sameZone says whether names below the zone are in it, or in a zone of their
	// own that we serve too.
	sameZone func(zone.Name, zone.Type) bool

	c     *content
	sec   *security
	do    bool // proofs and signatures are wanted and there are some
	qtype zone.Type

	scratch, scratch2 []zone.RRset
}

func (a *answer) reset() {
	for i := range a.sections {
		clear(a.sections[i])
		a.sections[i] = a.sections[i][:0]
	}
	clear(a.scratch[:cap(a.scratch)])
	clear(a.scratch2[:cap(a.scratch2)])
	a.rcode, a.aa, a.glue, a.c, a.sec, a.do = 0, true, 0, nil, nil, false
}

// add puts a set into a section unless the response has it already.
func (a *answer) add(s wire.Section, set zone.RRset) {
	for i := range a.sections {
		for j := range a.sections[i] {
			o := &a.sections[i][j]
			if o.Type == set.Type && o.Covers == set.Covers && o.Owner.Equal(set.Owner) {
				return
			}
		}
	}
	a.sections[s] = append(a.sections[s], set)
}

// addWith adds the set, under another owner unless that is empty, and its
// signature where it is wanted; sets is what stands beside it.
func (a *answer) addWith(s wire.Section, set zone.RRset, sets []zone.RRset, owner zone.Name) {
	sig, signed := get(sets, zone.TypeRRSIG, set.Type)
	if owner != "" {
		set.Owner, sig.Owner = owner, owner
	}
	a.add(s, set)
	if a.do && signed {
		a.add(s, sig)
	}
}

// resolve answers a question about a name of the zone with its content. The
// restarts follow BIND's: an alias out of the zone, or into another zone that we
// serve, is left to the client.
func (a *answer) resolve(c *content, q wire.Question, do bool) {
	a.c, a.sec, a.qtype = c, c.security(), q.Type
	a.do = do && a.sec.signed
	name := q.Name
	for restarts := 0; ; restarts++ {
		if restarts > maxRestarts {
			a.rcode = wire.RcodeServFail
			return
		}
		next, again := a.step(name, restarts == 0)
		if !again || !next.Under(c.apex) || !a.sameZone(next, q.Type) {
			return
		}
		name = next
	}
}

// step answers for one name of the chain and says where to go on.
func (a *answer) step(name zone.Name, first bool) (next zone.Name, again bool) {
	key := name.Key()
	m := a.c.find(key, a.qtype, false, &a.scratch)
	owner := zone.Name("") // the stored one
	if m.wild {
		owner = name
	}
	switch m.kind {
	case found:
		if a.respond(m, owner) {
			a.proveExpansion(m, name, key)
			return "", false
		}
		a.noSignature(name)
	case alias:
		set, _ := get(m.sets, zone.TypeCNAME, 0)
		a.addWith(wire.SectionAnswer, set, m.sets, owner)
		a.proveExpansion(m, name, key)
		return zone.Name(set.Data.First()), true
	case redirected:
		return a.redirect(m, name)
	case delegated:
		a.aa = a.aa && !first
		a.refer(m, name)
	case noData:
		a.noData(m, name, key)
	case emptyName:
		a.emptyName(name, key)
	case noName:
		a.noName(m, name, key)
	}
	return "", false
}

// respond adds what was asked for; false when there turns out to be nothing.
func (a *answer) respond(m match, owner zone.Name) bool {
	if a.qtype != zone.TypeANY && a.qtype != zone.TypeRRSIG && a.qtype != zone.TypeSIG {
		set, _ := get(m.sets, a.qtype, 0)
		a.addWith(wire.SectionAnswer, set, m.sets, owner)
		if a.qtype == zone.TypeNS && m.at == a.c.apexKey {
			a.addAddresses(set, func(zone.Name) bool { return true }, false)
		}
		return true
	}
	any := false
	for _, set := range m.sets {
		// A zone on its way to or from being signed keeps that to itself.
		if a.qtype == zone.TypeANY && !a.sec.signed && ofDNSSEC(set.Type) {
			any = true
			continue
		}
		if a.qtype != zone.TypeANY && set.Type != a.qtype {
			continue
		}
		if owner != "" {
			set.Owner = owner
		}
		a.add(wire.SectionAnswer, set)
		any = true
	}
	return any
}

func ofDNSSEC(t zone.Type) bool {
	switch t {
	case zone.TypeRRSIG, zone.TypeNSEC, zone.TypeDNSKEY, zone.TypeNSEC3, zone.TypeNSEC3PARAM, zone.TypeDS:
		return true
	}
	return false
}

// redirect answers by a DNAME (RFC 6672 section 3.2): the record, and the CNAME
// that it makes, which is itself the answer where that type is asked for.
func (a *answer) redirect(m match, name zone.Name) (next zone.Name, again bool) {
	set, _ := get(m.sets, zone.TypeDNAME, 0)
	a.addWith(wire.SectionAnswer, set, m.sets, "")
	target := zone.Name(set.Data.First())
	prefix := name[:len(name)-len(set.Owner)]
	if len(prefix)+len(target) > zone.MaxName {
		a.rcode = wire.RcodeYXDomain
		return "", false
	}
	next = prefix + target
	a.add(wire.SectionAnswer, zone.RRset{Owner: name, Type: zone.TypeCNAME, TTL: set.TTL, Data: zone.PackRdata(string(next))})
	return next, a.qtype != zone.TypeCNAME && a.qtype != zone.TypeANY
}

// addSOA adds the SOA for a negative answer, its TTL cut to the time that such
// an answer may be kept (RFC 2308 section 3).
func (a *answer) addSOA(zeroTTL bool) {
	set := a.c.snap.SOASet()
	ttl := min(set.TTL, a.c.snap.SOA().Minimum)
	if zeroTTL {
		ttl = 0
	}
	sig, signed := a.c.snap.Get(zone.ID{Owner: a.c.apexKey, Type: zone.TypeRRSIG, Covers: zone.TypeSOA})
	set.TTL = ttl
	a.add(wire.SectionAuthority, set)
	if a.do && signed {
		sig.TTL = min(sig.TTL, ttl)
		a.add(wire.SectionAuthority, sig)
	}
}

// refer answers with a delegation: its NS, what says whether the child is
// signed, and the addresses of its nameservers that we hold.
func (a *answer) refer(m match, name zone.Name) {
	set, _ := get(m.sets, zone.TypeNS, 0)
	if m.wild {
		set.Owner = name
	}
	a.add(wire.SectionAuthority, set)
	if a.do {
		a.proveDelegation(m, set.Owner)
	}
	a.addGlue(set)
}

// addGlue adds those addresses of a delegation's nameservers that stand below a
// zone cut. First come those that the delegation does not work without: of
// nameservers that are below it (RFC 9471).
func (a *answer) addGlue(ns zone.RRset) {
	a.addAddresses(ns, func(target zone.Name) bool { return target.Under(ns.Owner) }, true)
	a.glue = len(a.sections[wire.SectionAdditional])
	a.addAddresses(ns, func(target zone.Name) bool { return !target.Under(ns.Owner) }, true)
}

// addAddresses adds the addresses of the nameservers that are wanted.
func (a *answer) addAddresses(ns zone.RRset, wanted func(zone.Name) bool, glue bool) {
	for d := range ns.Data.All() {
		target := zone.Name(d)
		if !target.Under(a.c.apex) || !wanted(target) {
			continue
		}
		for _, t := range [...]zone.Type{zone.TypeA, zone.TypeAAAA} {
			a.address(target, t, glue)
		}
	}
}

// address adds a nameserver's address: one that is glue, or one that is not.
func (a *answer) address(target zone.Name, t zone.Type, glue bool) {
	key := target.Key()
	m := a.c.find(key, t, false, &a.scratch2)
	switch {
	case glue && m.kind == delegated:
		sets, _ := a.c.node(key, a.scratch2)
		a.scratch2 = sets[:0]
		if set, ok := get(sets, t, 0); ok {
			a.add(wire.SectionAdditional, set)
		}
	case !glue && m.kind == found:
		set, _ := get(m.sets, t, 0)
		owner := zone.Name("")
		if m.wild {
			owner = target
		}
		a.addWith(wire.SectionAdditional, set, m.sets, owner)
	}
}

// write renders the response's sections. What does not fit is left out: whole
// RRsets, and with TC unless they are only further help.
func (a *answer) write(e *wire.Encoder) {
	for _, s := range []wire.Section{wire.SectionAnswer, wire.SectionAuthority} {
		for _, set := range a.sections[s] {
			if !e.Set(s, set) {
				e.SetFlags(e.Flags() | wire.FlagTC)
				return
			}
		}
	}
	for i, set := range a.sections[wire.SectionAdditional] {
		if !e.Set(wire.SectionAdditional, set) && i < a.glue {
			e.SetFlags(e.Flags() | wire.FlagTC)
		}
	}
}

// metaRcode is how a question for a type that is no data is answered; success
// for all others and ANY.
func metaRcode(t zone.Type) wire.Rcode {
	switch {
	case t == zone.TypeANY:
		return wire.RcodeSuccess
	case t == 253 || t == 254: // MAILB, MAILA
		return wire.RcodeNotImp
	case t != 0 && t.IsMeta():
		return wire.RcodeFormErr
	}
	return wire.RcodeSuccess
}
