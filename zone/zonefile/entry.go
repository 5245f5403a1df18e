package zonefile

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"dnsctl/zone"
)

// record reads what the lexer has cut: a directive or a resource record. The
// error is errGiveUp or ctx's.
func (r *reader) record() error {
	s := r.src
	line, toks := s.lex.first, s.lex.toks
	if !s.lex.indent {
		t := toks[0]
		if !t.quoted && len(t.text) > 0 && t.text[0] == '$' {
			return r.directive(line, toks)
		}
		toks = toks[1:]
		if err := r.setOwner(t); err != nil {
			return r.report(line, err.Error(), hintFor(err))
		}
	} else if s.owner == "" {
		return r.report(line, "the record has no owner: it begins with white space, and none is before it", "")
	}
	h, toks, err := r.header(toks)
	if err != nil {
		return r.report(line, err.Error(), hintFor(err))
	}
	return r.add(line, h, toks)
}

// hinted is an error that knows the remedy.
type hinted struct {
	msg, hint string
}

func (h *hinted) Error() string { return h.msg }

func hintFor(err error) string {
	var h *hinted
	switch {
	case errors.As(err, &h):
		return h.hint
	case errors.Is(err, errNoOrigin):
		return "say which zone this is, or begin the file with $ORIGIN"
	}
	return ""
}

// setOwner reads an owner and makes it the last one.
func (r *reader) setOwner(t token) error {
	if t.quoted {
		return &hinted{fmt.Sprintf("owner %q is quoted", clip(t.text)), "only strings of rdata are quoted"}
	}
	var err error
	if r.scratch, err = appendName(r.scratch[:0], t.text, r.src.origin); err != nil {
		return fmt.Errorf("owner %q %w", clip(t.text), err)
	}
	s := r.src
	if string(r.scratch) == string(s.owner) {
		return nil
	}
	owner := zone.Name(r.text.keep(r.scratch))
	if s.owner == "" || !owner.Equal(s.owner) {
		r.run++
		s.key = owner.Key()
		s.outside = r.apex != "" && !owner.Under(r.apex)
	}
	s.owner = owner
	return nil
}

// header is what stands between owner and rdata.
type header struct {
	typ      zone.Type
	ttl      uint32
	explicit bool // the TTL was written
}

// header reads TTL and class, in either order and both optional, and the type.
func (r *reader) header(toks []token) (header, []token, error) {
	var h header
	class := false
	for i, t := range toks {
		b := t.text
		switch {
		case t.quoted || len(b) == 0:
			return h, nil, fmt.Errorf("%q is quoted where a type is wanted", clip(b))
		case b[0] >= '0' && b[0] <= '9' && !h.explicit:
			ttl, err := readTTL(b)
			if err != nil {
				return h, nil, err
			}
			h.ttl, h.explicit = ttl, true
			continue
		case !class:
			var err error
			if class, err = isClass(b); err != nil {
				return h, nil, err
			}
			if class {
				continue
			}
		}
		typ, ok := r.layout[string(b)]
		if !ok {
			var err error
			if typ, err = zone.ParseType(string(b)); err != nil {
				hint := ""
				if b[0] == '$' {
					hint = "a directive begins at the start of its line"
				}
				return h, nil, &hinted{err.Error(), hint}
			}
			if typ.IsMeta() {
				return h, nil, fmt.Errorf("%s is no type that a zone can hold", typ)
			}
			r.layout[string(b)] = typ
		}
		h.typ = typ
		return h, toks[i+1:], nil
	}
	return h, nil, &hinted{"the record has no type", "a record is: OWNER [TTL] [CLASS] TYPE DATA"}
}

func readTTL(b []byte) (uint32, error) {
	ttl, err := parsePeriod(b)
	if err == nil && ttl > MaxTTL {
		err = errors.New("more than 2147483647 (RFC 2181 section 8)")
	}
	if err != nil {
		return 0, fmt.Errorf("TTL %q is %w", clip(b), err)
	}
	return ttl, nil
}

// isClass says whether b is class IN; other classes are an error.
func isClass(b []byte) (bool, error) {
	switch len(b) {
	case 2:
		switch c, d := b[0]|0x20, b[1]|0x20; {
		case c == 'i' && d == 'n':
			return true, nil
		case c == 'c' && (d == 'h' || d == 's'), c == 'h' && d == 's':
			return false, fmt.Errorf("class %s: only IN is served", b)
		}
	case 3, 4, 5:
	default:
		if num, ok := strings.CutPrefix(strings.ToUpper(string(b)), "CLASS"); ok && num != "" {
			if strings.TrimLeft(num, "0") != "1" {
				return false, fmt.Errorf("class %s: only IN is served", clip(b))
			}
			return true, nil
		}
	}
	return false, nil
}

// add reads the rdata and keeps the record, whose owner is the source's last.
func (r *reader) add(line int, h header, toks []token) error {
	s := r.src
	p := &r.parser
	p.toks, p.origin = toks, s.origin
	p.out = append(p.out[:0], 0, 0) // the length's place
	if err := p.rdata(h.typ); err != nil {
		if h.explicit { // its TTL holds for what follows all the same
			r.ttl, r.ttlKnown = h.ttl, true
		}
		return r.report(line, err.Error(), hintFor(err))
	}
	n := len(p.out) - 2
	if n > zone.MaxRdata {
		return r.report(line, fmt.Sprintf("%s record of %d octets is too long to be transferred: the limit is %d", h.typ, n, zone.MaxRdata), "")
	}
	p.out[0], p.out[1] = byte(n>>8), byte(n)
	rdata := p.out[2:]
	if h.typ == zone.TypeSOA {
		if err := r.setSOA(line, rdata); err != nil {
			return err
		}
	}
	if !h.explicit {
		switch {
		case r.defaultKnown:
			h.ttl = r.defaultTTL
		case r.ttlKnown:
			h.ttl = r.ttl
		case h.typ == zone.TypeSOA:
			h.ttl = min(u32(string(rdata[n-4:])), MaxTTL)
			r.defaultTTL, r.defaultKnown = h.ttl, true
		default:
			return r.report(line, "the record has no TTL, and none is before it", "begin the file with $TTL")
		}
	} else {
		r.ttl, r.ttlKnown = h.ttl, true
	}
	if s.outside {
		return r.outside(line, s.owner)
	}
	covers := zone.Type(0)
	if h.typ == zone.TypeRRSIG || h.typ == zone.TypeSIG {
		covers = zone.Type(rdata[0])<<8 | zone.Type(rdata[1])
	}
	r.recs.add(rec{key: s.key, owner: s.owner, data: r.text.keep(p.out), ttl: h.ttl, typ: h.typ, covers: covers,
		run: r.run, place: r.place(line)})
	return nil
}

func (r *reader) place(line int) place {
	return place{uint32(min(line, math.MaxUint32)), r.src.index}
}

func (r *reader) outside(line int, owner zone.Name) error {
	return r.report(line, fmt.Sprintf("%s is not in zone %s", owner, r.apex), "a name without a final dot is relative to $ORIGIN")
}

// setSOA checks the SOA's place and learns the apex from it.
func (r *reader) setSOA(line int, rdata []byte) error {
	owner := r.src.owner
	if r.soaSeen {
		hint := "a zone has one SOA: delete the other, or put each zone in a file of its own"
		if r.soaRdata == string(rdata) && owner.Equal(r.apex) {
			hint = "the output of a zone transfer repeats the SOA at its end: delete it there"
		}
		return r.report(line, fmt.Sprintf("second SOA record; the first is in %s:%d", r.files[r.soa.file], r.soa.line), hint)
	}
	r.soaSeen, r.soaRdata, r.soa = true, string(rdata), r.place(line)
	if r.apex == "" {
		r.apex = owner
		for i := range r.recs.n {
			if e := r.recs.at(i); !e.owner.Under(owner) {
				name := r.files[e.file]
				r.errs = append(r.errs, &Error{File: name, Line: int(e.line), Msg: fmt.Sprintf("%s is not in zone %s", e.owner, owner)})
				if len(r.errs) >= MaxErrors {
					return errGiveUp
				}
			}
		}
		return nil
	}
	if !owner.Equal(r.apex) {
		return r.report(line, fmt.Sprintf("SOA of %s in zone %s", owner, r.apex), "")
	}
	return nil
}
