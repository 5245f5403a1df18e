package edit

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"dnsctl/fleet"
	"dnsctl/report"
	"dnsctl/zone"
)

// Verb is what an Op does.
type Verb string

// The verbs of record edits.
const (
	Set    Verb = "set"    // replaces the RRset
	Add    Verb = "add"    // adds records to the RRset
	Delete Verb = "delete" // removes records, an RRset, or all of an owner
)

// Op is one step of an edit of records.
type Op struct {
	Verb  Verb
	Owner zone.Name
	Type  zone.Type // 0: every type of the owner (delete)
	TTL   *uint32   // nil: that of the RRset, or of the SOA where it is new
	Data  []string  // wire rdata; none: the whole RRset (delete)
	Place string    // "changes:7", for messages
}

// at says where a step is written, where that is known.
func (op Op) at(err error) error {
	if op.Place == "" {
		return err
	}
	return fmt.Errorf("%s: %w", op.Place, err)
}

// last is the last step on an owner; one without a place when there is none.
func last(ops []Op, owner zone.Name) Op {
	for _, op := range slices.Backward(ops) {
		if op.Owner.Equal(owner) {
			return op
		}
	}
	return Op{}
}

// Records carries out the steps on one zone, in order, as one change: all of
// them, or none.
func (e *Editor) Records(ctx context.Context, name zone.Name, ops []Op, m Meta) (Result, error) {
	var res Result
	err := retry(ctx, name, func() error {
		z, err := e.live(ctx, name)
		if err != nil {
			return err
		}
		if err := m.ifSerial(name, z.Edition.Serial); err != nil {
			return err
		}
		if z.Edition.Signed {
			return report.Hint(fmt.Errorf("zone %q arrived signed: a record edit would break its signatures", name),
				"change it where it is signed, and import it again")
		}
		res, err = e.records(ctx, z, ops, m)
		return err
	})
	return res, err
}

func (e *Editor) records(ctx context.Context, z fleet.Zone, ops []Op, m Meta) (Result, error) {
	p := &part{ctx: ctx, store: e.Store, zone: z, old: make(map[zone.Key][]zone.RRset), now: make(map[zone.Key][]zone.RRset)}
	apex := z.Name.Key()
	var owners []zone.Key
	for _, op := range ops {
		k := op.Owner.Key()
		if err := p.apply(k, op); err != nil {
			return Result{}, op.at(err)
		}
		if !slices.Contains(owners, k) {
			owners = append(owners, k)
		}
	}
	slices.Sort(owners)
	before := z.Edition.Serial
	res := Result{Zone: z.Name, Action: Unchanged, Before: &before, Serial: before, RRsets: z.Edition.RRsets, Records: z.Edition.Records}
	ed := fleet.Edit{Zone: z, Base: z.Edition.Version, RRsets: z.Edition.RRsets, Records: z.Edition.Records, Octets: z.Edition.Octets}
	for _, k := range owners {
		p.diff(k, &ed)
	}
	soa, given, err := p.soa(apex)
	if err != nil {
		return Result{}, err
	}
	if p.err != nil {
		return Result{}, p.err
	}
	sameSOA := given == z.Edition.SOA
	if ed.Delta.Empty() && sameSOA {
		return res, nil
	}
	if sameSOA || !soa.Serial.Ahead(before) {
		soa.Serial = before.Next(z.SerialStyle, e.Now())
	}
	given.Data = zone.PackRdata(soa.Rdata())
	p.now[apex] = replace(p.At(apex), given)
	ed.Put = append(ed.Put, given)
	ed.Octets += given.Octets() - z.Edition.SOA.Octets()
	ed.Delta.OldSOA, ed.Delta.NewSOA = z.Edition.SOA, given
	for _, f := range zone.CheckOwners(p, owners) {
		if f.Severity == zone.SeverityError {
			hint := f.Hint
			if hint == "" {
				hint = "see what there is with: dnsctl record list " + z.Name.String()
			}
			return Result{}, last(ops, f.Owner).at(report.Hint(fmt.Errorf("zone %q: %s", z.Name, f.Msg), hint))
		}
		res.Warnings = append(res.Warnings, Warning{Text: f.Msg})
	}
	if p.err != nil {
		return Result{}, p.err
	}
	_, err = e.Store.Commit(ctx, fleet.Commit{Edits: []fleet.Edit{ed}, Actor: m.Actor, Command: m.Command, Comment: m.Comment})
	if err != nil {
		return Result{}, err
	}
	res.Action, res.Serial, res.RRsets, res.Records = Changed, soa.Serial, ed.RRsets, ed.Records
	res.Removed, res.Added = ed.Delta.Records()
	return res, nil
}

// part is as much of a zone as an edit looks at: owners are read when they are
// first asked for. It is what the checks look through, changes included.
type part struct {
	ctx   context.Context
	store Store
	zone  fleet.Zone
	old   map[zone.Key][]zone.RRset // as stored
	now   map[zone.Key][]zone.RRset // as changed
	err   error                     // of the first read that failed
}

// Apex of the zone.
func (p *part) Apex() zone.Name { return p.zone.Name }

// At is the RRsets of an owner as they are after the change.
func (p *part) At(k zone.Key) []zone.RRset {
	if sets, ok := p.now[k]; ok {
		return sets
	}
	sets, err := p.store.Owners(p.ctx, p.zone.Edition.ID, []zone.Key{k})
	if err != nil && p.err == nil {
		p.err = fmt.Errorf("read zone %q: %w", p.zone.Name, err)
	}
	p.old[k], p.now[k] = sets, sets
	return sets
}

// apply changes one owner.
func (p *part) apply(k zone.Key, op Op) error {
	if !k.Under(p.zone.Name.Key()) {
		return report.Fail(report.ExitUsage, fmt.Errorf("%s is not in zone %s", op.Owner, p.zone.Name), "names without a final dot are relative to the zone")
	}
	if op.Type.IsMeta() && op.Type != 0 {
		return report.Fail(report.ExitUsage, fmt.Errorf("type %s is not data", op.Type), "it exists in questions only")
	}
	switch op.Type {
	case zone.TypeRRSIG, zone.TypeNSEC, zone.TypeNSEC3, zone.TypeNSEC3PARAM:
		return report.Fail(report.ExitUsage, fmt.Errorf("%s records belong to a signer", op.Type), "they come with a zone that arrives signed")
	}
	sets := slices.Clone(p.At(k))
	if p.err != nil {
		return p.err
	}
	i := slices.IndexFunc(sets, func(s zone.RRset) bool { return s.Type == op.Type })
	var cur zone.RRset
	if i >= 0 {
		cur = sets[i]
	} else {
		cur = zone.RRset{Owner: op.Owner, Type: op.Type, TTL: p.zone.Edition.SOA.TTL}
		if len(sets) > 0 {
			cur.Owner = sets[0].Owner // one spelling per owner
		}
	}
	ttl := cur.TTL
	if op.TTL != nil {
		ttl = *op.TTL
	}
	switch op.Verb {
	case Set:
		cur.Data = zone.PackRdata(op.Data...)
	case Add:
		cur.Data = cur.Data.With(zone.PackRdata(op.Data...))
	case Delete:
		return p.remove(k, sets, i, op)
	}
	if cur.Data.Len() > 1 && op.Type.IsSingleton() {
		return report.Fail(report.ExitUsage, fmt.Errorf("%s %s: there can be one only", op.Owner, op.Type), fmt.Sprintf("give one only, with: dnsctl record set %s %s %s DATA", p.zone.Name, op.Owner, op.Type))
	}
	cur.TTL = ttl
	p.now[k] = replace(sets, cur)
	return nil
}

// remove is apply for Delete; i is the place of the type's RRset, or -1.
func (p *part) remove(k zone.Key, sets []zone.RRset, i int, op Op) error {
	atApex := k == p.zone.Name.Key()
	switch {
	case op.Type == 0 && atApex:
		return report.Fail(report.ExitUsage, fmt.Errorf("%s is the zone apex: name the type to delete there", op.Owner), fmt.Sprintf("for instance: dnsctl record delete %s @ MX", p.zone.Name))
	case op.Type == 0:
		if len(sets) == 0 {
			return p.nothing(op)
		}
		p.now[k] = []zone.RRset{}
		return nil
	case i < 0:
		return p.nothing(op)
	case op.Type == zone.TypeSOA && atApex:
		return report.Fail(report.ExitUsage, fmt.Errorf("zone %q: its SOA cannot be deleted", p.zone.Name), fmt.Sprintf("replace it with: dnsctl record set %s @ SOA DATA", p.zone.Name))
	}
	left := zone.Rdata("")
	if len(op.Data) > 0 {
		gone := zone.PackRdata(op.Data...)
		if left = sets[i].Data.Without(gone); left == sets[i].Data {
			return p.nothing(op)
		}
	}
	if left == "" && op.Type == zone.TypeNS && atApex {
		return report.Fail(report.ExitUsage, fmt.Errorf("zone %q: its last NS cannot be deleted", p.zone.Name), fmt.Sprintf("put the new ones in with: dnsctl record set %s @ NS HOST", p.zone.Name))
	}
	cur := sets[i]
	cur.Data = left
	if left == "" {
		p.now[k] = slices.Delete(sets, i, i+1)
		return nil
	}
	p.now[k] = replace(sets, cur)
	return nil
}

func (p *part) nothing(op Op) error {
	what := "records"
	if op.Type != 0 {
		what = op.Type.String() + " record"
	}
	if len(op.Data) > 0 {
		what = "such " + what
	}
	return report.Hint(fmt.Errorf("%s has no %s to delete", op.Owner, what), "see what there is with: dnsctl record list "+p.zone.Name.String())
}

// replace puts an RRset among its owner's, in order.
func replace(sets []zone.RRset, set zone.RRset) []zone.RRset {
	out := slices.Clone(sets)
	id := zone.ID{Type: set.Type, Covers: set.Covers}
	i, found := slices.BinarySearchFunc(out, id, func(s zone.RRset, id zone.ID) int {
		return zone.ID{Type: s.Type, Covers: s.Covers}.Compare(id)
	})
	if found {
		out[i] = set
		return out
	}
	return slices.Insert(out, i, set)
}

// diff adds what changed at one owner, the SOA apart, to the edit.
func (p *part) diff(k zone.Key, ed *fleet.Edit) {
	old, now := p.old[k], p.now[k]
	for len(old) > 0 || len(now) > 0 {
		c := 0
		switch {
		case len(old) == 0:
			c = 1
		case len(now) == 0:
			c = -1
		default:
			c = zone.ID{Type: old[0].Type, Covers: old[0].Covers}.Compare(zone.ID{Type: now[0].Type, Covers: now[0].Covers})
		}
		switch {
		case c < 0:
			ed.Drop = append(ed.Drop, zone.ID{Owner: k, Type: old[0].Type, Covers: old[0].Covers})
			ed.Delta.Removed = append(ed.Delta.Removed, old[0])
			ed.RRsets--
			ed.Records -= old[0].Data.Len()
			ed.Octets -= old[0].Octets()
			old = old[1:]
		case c > 0:
			ed.Put = append(ed.Put, now[0])
			ed.Delta.Added = append(ed.Delta.Added, now[0])
			ed.RRsets++
			ed.Records += now[0].Data.Len()
			ed.Octets += now[0].Octets()
			now = now[1:]
		default:
			if !old[0].Equal(now[0]) && now[0].Type != zone.TypeSOA {
				ed.Put = append(ed.Put, now[0])
				ed.Delta.Replace(old[0], now[0])
				ed.Records += now[0].Data.Len() - old[0].Data.Len()
				ed.Octets += now[0].Octets() - old[0].Octets()
			}
			old, now = old[1:], now[1:]
		}
	}
}

// soa is the SOA after the change, its serial as given.
func (p *part) soa(apex zone.Key) (zone.SOA, zone.RRset, error) {
	for _, s := range p.At(apex) {
		if s.Type == zone.TypeSOA {
			soa, err := zone.ParseSOA(s.Data.First())
			return soa, s, err
		}
	}
	if p.err != nil {
		return zone.SOA{}, zone.RRset{}, p.err
	}
	return zone.SOA{}, zone.RRset{}, fmt.Errorf("zone %q: %w", p.zone.Name, zone.ErrNoSOA)
}

// ErrSpelling explains a name that ends in the zone's own without a final dot.
func ErrSpelling(text string, z zone.Name) error {
	dotted := text + "."
	rel := strings.TrimSuffix(strings.TrimSuffix(dotted, z.String()), ".")
	if rel == "" {
		rel = "@"
	}
	return report.Fail(report.ExitUsage,
		fmt.Errorf("name %q ends in the zone's own name but not in a dot: it would become %s", text, dotted+z.String()),
		fmt.Sprintf("write %q or %q; or %q if you mean the long one", rel, dotted, dotted+z.String()))
}
