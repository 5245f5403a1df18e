package zonefile

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"dnsctl/zone"
)

// place is a line of a file.
type place struct {
	line uint32
	file uint16
}

// rec is one record as it was read.
type rec struct {
	key         zone.Key
	owner       zone.Name
	data        string // two octets of length, then the rdata: what zone.Rdata is made of
	ttl, run    uint32 // run counts runs of lines with the same owner
	typ, covers zone.Type
	place
}

func (e *rec) compare(o *rec) int {
	if c := strings.Compare(string(e.key), string(o.key)); c != 0 {
		return c
	}
	return cmp.Or(cmp.Compare(e.typ, o.typ), cmp.Compare(e.covers, o.covers))
}

// records is a list that grows without copying what is in it, once it is large.
type records struct {
	chunks [][]rec
	n      int
}

const (
	chunkBits = 12
	chunkMask = 1<<chunkBits - 1
)

func (l *records) add(e rec) {
	last := l.n >> chunkBits
	if last == len(l.chunks) {
		first := 1 << chunkBits
		if last == 0 {
			first = 16 // most zones are small
		}
		l.chunks = append(l.chunks, make([]rec, 0, first))
	}
	l.chunks[last] = append(l.chunks[last], e)
	l.n++
}

func (l *records) at(i int) *rec { return &l.chunks[i>>chunkBits][i&chunkMask] }

// arena keeps many small strings in few allocations. They never move or change:
// a strings.Builder only appends within what it has grown to.
type arena struct {
	b    strings.Builder
	size int // of the chunk at hand
}

const (
	firstArena = 1 << 10
	maxArena   = 256 << 10
)

func (a *arena) keep(b []byte) string {
	if a.b.Cap()-a.b.Len() < len(b) {
		a.size = min(max(firstArena, 2*a.size), maxArena)
		a.b = strings.Builder{}
		a.b.Grow(max(a.size, len(b)))
	}
	at := a.b.Len()
	a.b.Write(b)
	return a.b.String()[at:]
}

// finish makes the snapshot of the records and checks it.
func (r *reader) finish() error {
	if len(r.errs) > 0 {
		return nil
	}
	if !r.soaSeen {
		hint := ""
		if r.recs.n > 0 {
			hint = "a part that another file includes is not a zone by itself"
		}
		r.errs = append(r.errs, &Error{File: r.opts.File, Msg: "the file has no SOA record", Hint: hint})
		return nil
	}
	r.res.Apex = r.apex
	order := r.sorted()
	b := zone.NewBuilder(r.apex, r.rrsets(order))
	r.places = make([]place, 0, cap(order))
	for len(order) > 0 {
		first := r.recs.at(int(order[0].index))
		n := 1
		for n < len(order) && first.compare(r.recs.at(int(order[n].index))) == 0 {
			n++
		}
		set := zone.RRset{Owner: first.owner, Type: first.typ, Covers: first.covers, TTL: first.ttl, Data: zone.Rdata(first.data)}
		if n > 1 {
			r.unite(&set, order[:n])
		}
		b.AddKeyed(first.key, set)
		r.places = append(r.places, first.place)
		order = order[n:]
	}
	snap, err := b.Build()
	if err != nil {
		r.errs = append(r.errs, &Error{File: r.files[r.soa.file], Line: int(r.soa.line), Msg: err.Error()})
		return nil
	}
	r.recs = records{n: r.recs.n}
	if r.opts.NoCheck || r.check(snap) {
		r.res.Snapshot = snap
	}
	return nil
}

// sortKey stands for a record while sorting: most comparisons end at the first
// 16 octets of the key behind the apex's.
type sortKey struct {
	high, low uint64
	index     uint32
}

// sorted is the records in canonical order, those of one RRset in file order.
func (r *reader) sorted() []sortKey {
	order := make([]sortKey, r.recs.n)
	skip := len(r.apex.Key())
	inOrder := true
	for i := range order {
		e := r.recs.at(i)
		var buf [16]byte
		copy(buf[:], e.key[min(skip, len(e.key)):])
		order[i] = sortKey{binary.BigEndian.Uint64(buf[:8]), binary.BigEndian.Uint64(buf[8:]), uint32(i)}
		if i > 0 && inOrder && r.recs.at(i-1).compare(e) > 0 {
			inOrder = false
		}
	}
	if !inOrder {
		slices.SortFunc(order, func(a, b sortKey) int {
			switch {
			case a.high != b.high:
				return cmp.Compare(a.high, b.high)
			case a.low != b.low:
				return cmp.Compare(a.low, b.low)
			}
			return cmp.Or(r.recs.at(int(a.index)).compare(r.recs.at(int(b.index))), cmp.Compare(a.index, b.index))
		})
	}
	return order
}

func (r *reader) rrsets(order []sortKey) int {
	n := 0
	for i := range order {
		if i == 0 || r.recs.at(int(order[i-1].index)).compare(r.recs.at(int(order[i].index))) != 0 {
			n++
		}
	}
	return n
}

// unite makes one RRset of several records: TTL as named would serve it, and no
// record twice.
func (r *reader) unite(set *zone.RRset, order []sortKey) {
	all := make([]string, 0, len(order))
	names := hasNames(set.Type)
	var seen map[string]bool
	if names {
		seen = make(map[string]bool, len(order))
	}
	run, differs := r.recs.at(int(order[0].index)).run, (*rec)(nil)
	for _, k := range order {
		e := r.recs.at(int(k.index))
		if e.ttl != set.TTL {
			differs = e
		}
		if e.run != run {
			set.TTL, run = e.ttl, e.run
		}
		rdata := e.data[2:]
		if names {
			c := Canonical(set.Type, rdata)
			if seen[c] {
				continue
			}
			seen[c] = true
		}
		all = append(all, rdata)
	}
	set.Data = zone.PackRdata(all...)
	if differs != nil {
		r.warnError(&Error{File: r.files[differs.file], Line: int(differs.line),
			Msg: fmt.Sprintf("%s %s has records of different TTLs; all get %d", set.Owner, set.Type, set.TTL)})
	}
}

// check runs zone.Check and puts files and lines to what it finds; false when
// there are errors.
func (r *reader) check(s *zone.Snapshot) bool {
	faults := zone.Check(s)
	if len(faults) == 0 {
		return true
	}
	at := r.locate(s, faults)
	for _, f := range faults {
		p := at[f.ID()]
		if p.line == 0 { // the zone as a whole
			p = r.soa
		}
		e := &Error{File: r.files[p.file], Line: int(p.line), Msg: f.Msg, Hint: f.Hint}
		if f.Severity == zone.SeverityWarning || r.opts.Lax && f.Relaxable() {
			r.warnError(e)
			continue
		}
		if r.errs = append(r.errs, e); len(r.errs) >= MaxErrors {
			break
		}
	}
	return len(r.errs) == 0
}

// locate finds the first line of each RRset that has a fault.
func (r *reader) locate(s *zone.Snapshot, faults []zone.Fault) map[zone.ID]place {
	at := make(map[zone.ID]place, len(faults))
	for _, f := range faults {
		at[f.ID()] = place{}
	}
	i := 0
	for key, set := range s.From("") {
		id := zone.ID{Owner: key, Type: set.Type}
		if p, ok := at[id]; ok && p.line == 0 {
			at[id] = r.places[i]
		}
		i++
	}
	return at
}
