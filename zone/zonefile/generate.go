package zonefile

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
)

// maxGenerated bounds the records that all $GENERATE of a zone make together:
// two lines of text must not fill the memory.
const maxGenerated = 1 << 21

// generate makes the records of a $GENERATE, BIND's directive:
//
//	$GENERATE START-STOP[/STEP] LHS [TTL] [CLASS] TYPE RHS
//
// LHS and RHS are templates, see expand. RHS is one word, or quoted, and then
// its content without the quotes is what stands for the rdata.
func (r *reader) generate(line int, args []token) error {
	fail := func(err error) error {
		return r.report(line, "$GENERATE: "+err.Error(), hintFor(err))
	}
	if len(args) < 4 {
		return fail(errors.New("want START-STOP[/STEP] OWNER [TTL] [CLASS] TYPE DATA"))
	}
	start, stop, step, err := parseRange(args[0].text)
	if err != nil {
		return fail(err)
	}
	if r.generated += int((stop-start)/step) + 1; r.generated > maxGenerated {
		return r.fatal(line, fmt.Sprintf("$GENERATE: the zone's ranges make more than %d records", maxGenerated), "")
	}
	h, rest, err := r.header(args[2:])
	if err != nil {
		return fail(err)
	}
	if len(rest) != 1 {
		return fail(&hinted{fmt.Sprintf("want one word of data behind the type, have %d", len(rest)), "put the data in quotes"})
	}
	// The line's owner and those before it must not become each other's.
	s := r.src
	saved := *s
	defer func() { *s = saved; r.run++ }()
	lhs, rhs := template(args[1].text), template(rest[0].text)
	if rest[0].quoted { // what is an escape inside of quotes is one less outside
		rhs = template(bytes.ReplaceAll(rest[0].text, []byte(`\"`), []byte(`"`)))
	}
	for it := start; it <= stop; it += step {
		if it&0xfff == 0 && r.ctx.Err() != nil {
			return fmt.Errorf("read zone file %s: %w", s.name, r.ctx.Err())
		}
		owner, err := lhs.expand(it)
		if err != nil {
			return fail(err)
		}
		data, err := rhs.expand(it)
		if err != nil {
			return fail(err)
		}
		if err := r.setOwner(token{text: owner}); err != nil {
			return fail(err)
		}
		toks, err := words(string(data))
		if err != nil {
			return fail(err)
		}
		before := len(r.errs)
		if err := r.add(line, h, toks); err != nil {
			return err
		}
		if len(r.errs) > before { // the next ones would be wrong in the same way
			return nil
		}
	}
	return nil
}

// parseRange reads START-STOP[/STEP].
func parseRange(b []byte) (start, stop, step int64, err error) {
	bad := fmt.Errorf("range %q: want START-STOP or START-STOP/STEP with START up to STOP and STEP from 1", clip(b))
	span, by, stepped := bytes.Cut(b, []byte("/"))
	from, to, ok := bytes.Cut(span, []byte("-"))
	if !ok {
		return 0, 0, 0, bad
	}
	num := func(b []byte) int64 {
		n, e := strconv.ParseUint(string(b), 10, 31)
		if e != nil {
			err = bad
		}
		return int64(n)
	}
	start, stop, step = num(from), num(to), 1
	if stepped {
		step = num(by)
	}
	if start > stop || step < 1 {
		err = bad
	}
	return start, stop, step, err
}

// template is text with $ or ${OFFSET[,WIDTH[,BASE]]} in it for the number of
// the iteration; $$ is one $, and \ keeps the character behind it.
type template []byte

var errTemplate = &hinted{"bad template", "want $ or ${OFFSET,WIDTH,BASE} with BASE one of d o x X n N"}

// maxExpanded is the limit on an expanded template; more is no name or address.
const maxExpanded = 4096

func (t template) expand(it int64) ([]byte, error) {
	var out []byte
	for i := 0; i < len(t); i++ {
		switch {
		case t[i] == '\\' && i+1 < len(t):
			out = append(out, t[i], t[i+1])
			i++
		case t[i] != '$':
			out = append(out, t[i])
		case i+1 < len(t) && t[i+1] == '$':
			out = append(out, '$')
			i++
		case i+1 < len(t) && t[i+1] == '{':
			end := bytes.IndexByte(t[i:], '}')
			if end < 0 {
				return nil, errTemplate
			}
			var err error
			if out, err = appendModified(out, t[i+2:i+end], it); err != nil {
				return nil, err
			}
			i += end
		default:
			out = strconv.AppendInt(out, it, 10)
		}
		if len(out) > maxExpanded {
			return nil, fmt.Errorf("the text for %d is longer than %d octets", it, maxExpanded)
		}
	}
	return out, nil
}

// appendModified writes it as OFFSET,WIDTH,BASE says.
func appendModified(out, spec []byte, it int64) ([]byte, error) {
	parts := bytes.Split(spec, []byte(","))
	offset, err := strconv.ParseInt(string(parts[0]), 10, 32)
	if err != nil || len(parts) > 3 {
		return nil, errTemplate
	}
	width, base := uint64(0), "d"
	if len(parts) > 1 {
		if width, err = strconv.ParseUint(string(parts[1]), 10, 8); err != nil {
			return nil, errTemplate
		}
	}
	if len(parts) > 2 {
		base = string(parts[2])
	}
	n := it + offset
	if n > math.MaxInt32 || n < 0 && base != "d" {
		return nil, fmt.Errorf("number %d with offset %d is out of range", it, offset)
	}
	verb := map[string]string{"d": "%0*d", "o": "%0*o", "x": "%0*x", "X": "%0*X"}[base]
	switch {
	case base == "n" || base == "N":
		return appendNibbles(out, n, int(width), base == "N"), nil
	case verb == "":
		return nil, errTemplate
	}
	return fmt.Appendf(out, verb, int(width), n), nil
}

// appendNibbles writes n's hexadecimal digits from the last to the first with
// dots between, at least width characters, dots counted.
func appendNibbles(out []byte, n int64, width int, capitals bool) []byte {
	digits := "0123456789abcdef"
	if capitals {
		digits = "0123456789ABCDEF"
	}
	for {
		out = append(out, digits[n&15])
		n >>= 4
		width--
		if width > 0 || n != 0 {
			out = append(out, '.')
			width--
		}
		if n == 0 && width <= 0 {
			return out
		}
	}
}
