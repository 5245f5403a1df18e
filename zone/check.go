package zone

import (
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"
)

// Limits beyond which BIND refuses an RRset by default (max-records-per-type,
// and what one message can hold).
const (
	bigSetRecords = 100
	bigSetOctets  = 64 << 10
)

// maxWarnings is how many warnings one check returns at most.
const maxWarnings = 1000

// Content is what a check looks at: a Snapshot, or a zone in a store with an
// edit laid over it.
type Content interface {
	Apex() Name
	// At is the RRsets of one owner, in order of type.
	At(Key) []RRset
}

// walker is a Content that can also be gone through.
type walker interface {
	All() iter.Seq[RRset]
}

var (
	_ Content = (*Snapshot)(nil)
	_ walker  = (*Snapshot)(nil)
)

// Check looks for everything in a zone that the DNS does not allow, or that is
// hardly meant. Its faults are in canonical order; warnings beyond the first
// 1000 are left out.
func Check(s *Snapshot) []Fault {
	c := newChecker(s)
	c.apexNS()
	var sets []RRset
	var at, cover Key // cover is the highest cut or DNAME that the walk is below
	covered := Type(0)
	flush := func() {
		if len(sets) == 0 {
			return
		}
		under := covered
		if under != 0 && (at == cover || !at.Under(cover)) {
			under = 0
		}
		c.owner(at, sets, under, cover)
		if t := cutType(sets, at == c.apexKey); t != 0 && under == 0 {
			cover, covered = at, t
		}
		sets = sets[:0]
	}
	for key, set := range s.From("") {
		if key != at {
			flush()
			at = key
		}
		sets = append(sets, set)
	}
	flush()
	return c.faults
}

// CheckOwners looks at what an edit touched: the RRsets of these owners, the
// apex's nameservers, and, where an owner has no address any more or is an
// alias now, the NS records that point there: those of the delegations it is
// below and, where the content can be walked (a Snapshot can), all of them. The
// rules are those of Check.
func CheckOwners(content Content, owners []Key) []Fault {
	c := newChecker(content)
	c.apexNS()
	c.nameservers(c.apexKey, c.at(c.apexKey))
	owners = slices.Clone(owners)
	slices.Sort(owners)
	owners = slices.Compact(owners)
	all := false
	for _, k := range owners {
		for up := k; up != c.apexKey && up.Under(c.apexKey); up = up.Parent() {
			if up != k && has(c.at(up), TypeNS) && !slices.Contains(owners, up) {
				c.nameservers(up, c.at(up))
			}
		}
		sets := c.at(k)
		if !has(sets, TypeA) && !has(sets, TypeAAAA) || has(sets, TypeCNAME) || has(sets, TypeDNAME) {
			all = true
		}
		if len(sets) == 0 {
			continue
		}
		cover, covered := c.coverOf(k)
		c.owner(k, sets, covered, cover)
	}
	if w, ok := content.(walker); ok && all {
		c.pointing(w, owners)
	}
	return c.faults
}

// checker collects faults.
type checker struct {
	content  Content
	apex     Name
	apexKey  Key
	faults   []Fault
	warnings int
	seen     map[Key]bool // owners whose NS records were looked at

	lastTarget string // of MX and SRV: many records name the same host
	lastAim    aim
}

func newChecker(content Content) *checker {
	return &checker{content: content, apex: content.Apex(), apexKey: content.Apex().Key(), seen: map[Key]bool{}}
}

func (c *checker) at(k Key) []RRset { return c.content.At(k) }

func (c *checker) add(sev Severity, code string, set RRset, hint, format string, args ...any) {
	if sev == SeverityWarning {
		if c.warnings++; c.warnings > maxWarnings {
			return
		}
	}
	msg := fmt.Sprintf("%s %s: ", set.Owner, set.Type)
	if set.Type == 0 {
		msg = set.Owner.String() + ": "
	}
	c.faults = append(c.faults, Fault{set.Owner, set.Type, sev, code, msg + fmt.Sprintf(format, args...), hint})
}

func (c *checker) err(code string, set RRset, hint, format string, args ...any) {
	c.add(SeverityError, code, set, hint, format, args...)
}

func (c *checker) warn(code string, set RRset, hint, format string, args ...any) {
	c.add(SeverityWarning, code, set, hint, format, args...)
}

func has(sets []RRset, t Type) bool {
	for i := range sets {
		if sets[i].Type == t {
			return true
		}
	}
	return false
}

// cutType says what an owner does to the names below it: NS delegates them away
// (not at the apex), DNAME redirects them; 0: nothing.
func cutType(sets []RRset, apex bool) Type {
	switch {
	case has(sets, TypeDNAME):
		return TypeDNAME
	case !apex && has(sets, TypeNS):
		return TypeNS
	}
	return 0
}

// coverOf finds the highest owner above k, k not included, that delegates or
// redirects it.
func (c *checker) coverOf(k Key) (cover Key, covered Type) {
	for up := k; up != c.apexKey && up.Under(c.apexKey); {
		up = up.Parent()
		if t := cutType(c.at(up), up == c.apexKey); t != 0 {
			cover, covered = up, t
		}
	}
	return cover, covered
}

// apexNS wants nameservers at the apex (RFC 1034 section 4.2.1).
func (c *checker) apexNS() {
	if !has(c.at(c.apexKey), TypeNS) {
		c.err(FaultNoNS, RRset{Owner: c.apex}, "add an NS record for each nameserver of the zone", "the zone has no NS record at its apex")
	}
}

// owner checks the RRsets of one owner. covered is TypeNS or TypeDNAME when it
// is below such a record, which is at cover.
func (c *checker) owner(k Key, sets []RRset, covered Type, cover Key) {
	if !k.Under(c.apexKey) {
		c.err(FaultOutside, sets[0], "", "is not in zone %s", c.apex)
		return
	}
	apex := k == c.apexKey
	for i := range sets {
		c.set(sets[i], apex, covered)
	}
	if sets[0].Type == TypeA && len(sets) == 1 && covered == 0 {
		return // most owners
	}
	c.coexistence(sets, apex)
	c.occluded(sets, apex, covered, cover)
	for _, set := range sets {
		switch set.Type {
		case TypeMX, TypeSRV:
			if covered == 0 {
				c.targets(set)
			}
		case TypeNS:
			if covered == 0 {
				c.nameservers(k, sets)
			}
		}
	}
}

// set checks one RRset by itself.
func (c *checker) set(set RRset, apex bool, covered Type) {
	if set.Type.IsMeta() {
		c.err(FaultMeta, set, "", "a zone cannot hold this type")
	}
	if set.TTL > math.MaxInt32 {
		c.err(FaultTTL, set, "", "TTL %d is more than 2147483647 (RFC 2181 section 8)", set.TTL)
	}
	if len(set.Data) > MaxRdata {
		for r := range set.Data.All() {
			if len(r) > MaxRdata {
				c.err(FaultLong, set, "", "a record of %d octets is too long to be transferred: the limit is %d", len(r), MaxRdata)
				break
			}
		}
	}
	// The shortest record has four octets of rdata and as many around it.
	if len(set.Data) > bigSetRecords {
		n := set.Data.Len()
		octets := len(set.Data) + n*(len(set.Owner)+8)
		switch {
		case octets > bigSetOctets:
			c.warn(FaultBigSet, set, "BIND and other nameservers refuse it", "%d records of %d octets do not fit into one answer", n, octets)
		case n > bigSetRecords:
			c.warn(FaultBigSet, set, "BIND refuses more than 100 unless max-records-per-type is raised there", "%d records in one RRset", n)
		}
	}
	switch set.Type {
	case TypeSOA:
		switch {
		case !apex:
			c.err(FaultSOAPlace, set, "", "an SOA is only at the zone's apex")
		case set.Data.Len() > 1:
			c.err(FaultSOACount, set, "", "%d SOA records; there must be one", set.Data.Len())
		}
	case TypeNS:
		if strings.HasPrefix(string(set.Owner), "\x01*") {
			c.warn(FaultWildcardNS, set, "BIND does not load a zone that has any", "nameservers of a wildcard have no defined meaning (RFC 4592 section 4.2)")
		}
	case TypeCNAME, TypeDNAME:
		if n := set.Data.Len(); n > 1 {
			c.err(FaultSeveral, set, "", "%d records where there may be only one (RFC 2181 section 10.1, RFC 6672 section 2.4)", n)
		}
	case TypeDS:
		if apex {
			c.err(FaultDSAtApex, set, "DS records are in the parent zone", "there is no DS at a zone's apex (RFC 4035 section 2.4)")
		}
	}
}

// coexistence checks which types share an owner.
func (c *checker) coexistence(sets []RRset, apex bool) {
	if has(sets, TypeCNAME) {
		for _, set := range sets {
			if !set.Type.AllowedBesideCNAME() {
				cname := RRset{Owner: set.Owner, Type: TypeCNAME}
				c.err(FaultCNAMEAndOther, cname, "a name with a CNAME has no other data (RFC 1034 section 3.6.2)", "the name also has %s records", set.Type)
				break
			}
		}
	}
	if !apex && has(sets, TypeDNAME) && has(sets, TypeNS) {
		c.err(FaultDNAMEAndNS, RRset{Owner: sets[0].Owner, Type: TypeDNAME}, "", "DNAME and NS are together only at the apex (RFC 6672 section 2.3)")
	}
	if !apex && has(sets, TypeDS) && !has(sets, TypeNS) {
		c.warn(FaultDSAlone, RRset{Owner: sets[0].Owner, Type: TypeDS}, "", "a DS without NS is never used")
	}
}

// occluded warns of data that no answer shows since it is below a delegation or
// a DNAME (RFC 2136 section 7.18, RFC 6672 section 2.4).
func (c *checker) occluded(sets []RRset, apex bool, covered Type, cover Key) {
	cut := !apex && covered == 0 && has(sets, TypeNS)
	if covered == 0 && !cut {
		return
	}
	for _, set := range sets {
		switch {
		case set.Type == TypeA || set.Type == TypeAAAA:
			if covered != TypeDNAME {
				continue // glue
			}
		case set.Type == TypeRRSIG || set.Type == TypeNSEC || set.Type == TypeNSEC3:
			continue
		case cut && (set.Type == TypeNS || set.Type == TypeDS || set.Type == TypeDNAME):
			continue
		}
		if cut {
			c.warn(FaultOccluded, set, "", "is hidden by the delegation at this name")
			continue
		}
		name, err := cover.Name()
		if err != nil {
			continue
		}
		c.warn(FaultOccluded, set, "", "is hidden by the %s at %s", covered, name)
	}
}
