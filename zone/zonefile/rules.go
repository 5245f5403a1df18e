package zonefile

import (
	"errors"
	"regexp/syntax"
	"strings"

	"dnsctl/zone"
)

// rules is what else the rdata of a type must obey beyond its fields. A
// nameserver refuses the whole zone for a record that does not, so it must not
// get into one. The rdata has the type's fields.
var rules = map[zone.Type]func(rdata string) error{
	zone.TypeDS: dsRule, 59: dsRule, 32768: dsRule, 32769: dsRule,
	44:              digestRule(1, 2, map[byte]int{1: 20, 2: 32}),
	zone.TypeZONEMD: digestRule(5, 6, map[byte]int{1: 48, 2: 64}),
	zone.TypeKEY:    keyRule,
	zone.TypeNAPTR:  naptrRule,
	45:              ipseckeyRule,
	64:              svcbRule,
	65:              svcbRule,
}

func obeys(t zone.Type, rdata string) error {
	if rule, ok := rules[t]; ok {
		return rule(rdata)
	}
	return nil
}

var dsRule = digestRule(3, 4, map[byte]int{1: 20, 2: 32, 4: 48})

// digestRule checks a digest's length: kindAt is where the octet stands that
// names its kind, at where the digest begins, and lengths has those of the kinds
// we know (RFC 4034, 4509 and 6605; RFC 4255 and 6594; RFC 8976 section 2.2.3).
func digestRule(kindAt, at int, lengths map[byte]int) func(string) error {
	return func(rdata string) error {
		if want, ok := lengths[rdata[kindAt]]; ok && len(rdata) != at+want {
			return errors.New("the digest has the wrong length for its type")
		}
		return nil
	}
}

// keyRule wants a key unless the flags say that there is none (RFC 2535 section
// 3.1.2).
func keyRule(rdata string) error {
	if rdata[0]&0xc0 != 0xc0 && len(rdata) == 4 {
		return errors.New("key is missing, and the flags do not say that there is none")
	}
	return nil
}

// ipseckeyRule knows the gateway types of RFC 4025 section 2.3.
func ipseckeyRule(rdata string) error {
	if rdata[1] > 3 {
		return errors.New("gateway type is not 0 to 3")
	}
	return nil
}

var errRegexp = errors.New("regexp is not DELIMITER REGEXP DELIMITER REPLACEMENT DELIMITER [i]")

// naptrRule checks the substitution expression (RFC 3402 section 3.2).
func naptrRule(rdata string) error {
	at := 4
	for range 2 { // flags and services
		at += 1 + int(rdata[at])
	}
	expr := rdata[at+1 : at+1+int(rdata[at])]
	if expr == "" {
		return nil
	}
	delim := expr[0]
	if delim == 0 || delim == 'i' || delim == '\\' || delim >= '1' && delim <= '9' {
		return errRegexp
	}
	var parts []string
	start := 1
	for i := 1; i < len(expr); i++ {
		switch expr[i] {
		case '\\':
			i++
		case delim:
			parts = append(parts, expr[start:i])
			start = i + 1
		}
	}
	if len(parts) != 2 || parts[0] == "" || strings.Trim(expr[start:], "i") != "" {
		return errRegexp
	}
	groups, err := groupsOf(parts[0])
	if err != nil {
		return err
	}
	for i := 0; i < len(parts[1]); i++ {
		if parts[1][i] != '\\' {
			continue
		}
		if i++; i < len(parts[1]) && parts[1][i] >= '0' && parts[1][i] <= '9' {
			if n := int(parts[1][i] - '0'); n < 1 || n > groups {
				return errors.New("the replacement names a group that the regexp does not have")
			}
		}
	}
	return nil
}

// groupsOf counts the groups of a POSIX extended regular expression. What Go's
// parser alone does not take is let pass.
func groupsOf(expr string) (int, error) {
	re, err := syntax.Parse(expr, syntax.POSIX)
	if err == nil {
		return re.MaxCap(), nil
	}
	var e *syntax.Error
	foreign := strings.Contains(expr, ".]") || strings.Contains(expr, "=]")
	if foreign || !errors.As(err, &e) || e.Code == syntax.ErrInvalidRepeatSize || e.Code == syntax.ErrInvalidUTF8 ||
		e.Code == syntax.ErrInvalidEscape || e.Code == syntax.ErrLarge || e.Code == syntax.ErrNestingDepth {
		return 9, nil
	}
	return 0, errors.New("regexp is malformed: " + e.Code.String())
}

// Keys of SVCB and HTTPS records (RFC 9460 section 14.3.2).
const (
	svcMandatory = 0
	svcALPN      = 1
	svcNoDefault = 2
)

// svcbRule checks what the keys of an SVCB record say of each other (RFC 9460
// sections 7.1.1 and 8).
func svcbRule(rdata string) error {
	_, n, err := unpackName(rdata[2:])
	if err != nil {
		return err
	}
	values := map[uint16]string{}
	for rest := rdata[2+n:]; len(rest) >= 4; {
		l := 4 + int(u16(rest[2:]))
		if l > len(rest) {
			return errors.New("parameters are cut short")
		}
		values[u16(rest)] = rest[4:l]
		rest = rest[l:]
	}
	if alpn, ok := values[svcALPN]; ok && alpn == "" {
		return errors.New("alpn is empty")
	}
	if _, ok := values[svcNoDefault]; ok && values[svcALPN] == "" {
		return errors.New("no-default-alpn is without alpn")
	}
	for m := values[svcMandatory]; len(m) >= 2; m = m[2:] {
		if _, ok := values[u16(m)]; !ok || u16(m) == svcMandatory {
			return errors.New("a key is mandatory, but not there")
		}
	}
	return nil
}
