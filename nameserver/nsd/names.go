package nsd

import (
	"crypto/sha256"
	"fmt"
	"strings"

	"dnsctl/nameserver"
	"dnsctl/zone"
)

// longestName is how long the text of a zone's name may be: with zoneSuffix, and
// the ~ of the file that NSD writes before it renames it, it is the name of a
// file, which has up to 255 octets.
const longestName = 255 - len(zoneSuffix) - 1

// zoneSuffix is what the names of zone files end in.
const zoneSuffix = ".zone"

// CanHold refuses names whose text is too long to name a file.
func (Type) CanHold(name zone.Name) error {
	if !name.Valid() {
		return fmt.Errorf("%w: it is no name", nameserver.ErrBadName)
	}
	if n := len(typed(name)); n > longestName {
		return fmt.Errorf("%w: NSD names a zone's file by it, which cannot have more than %d octets; with escapes it has %d",
			nameserver.ErrBadName, longestName, n)
	}
	return nil
}

// typed is a name as it stands in a command, in lower case. NSD puts it into the
// path of the zone's file as it is (nsd.conf(5), zonefile: %s), so everything but
// letters, digits, - and _ is escaped as \DDD.
func typed(name zone.Name) string {
	if name == zone.Root {
		return "."
	}
	var b strings.Builder
	for n := name.Lower(); len(n) > 1; n = n.Parent() {
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		for _, c := range []byte(n.First()) {
			if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_' {
				b.WriteByte(c)
				continue
			}
			fmt.Fprintf(&b, `\%03d`, c)
		}
	}
	return b.String()
}

// spelled is typed with the case of its first letters given by the zone's
// incarnation. NSD never removes a zone's file, and loads the one that it finds
// when a zone is added: without this, a zone that is deleted and made again would
// be answered as in its earlier life until its transfer arrives. On the wire and
// in every command letters have no case.
func spelled(name zone.Name, incarnation string) string {
	text := []byte(typed(name))
	if incarnation == "" {
		return string(text)
	}
	bits := sha256.Sum256([]byte(incarnation))
	letters := 0
	for i, c := range text {
		if c < 'a' || c > 'z' {
			continue
		}
		if letters == spelledLetters {
			break
		}
		if bits[letters/8]>>(letters%8)&1 == 1 {
			text[i] = c - 'a' + 'A'
		}
		letters++
	}
	return string(text)
}

// spelledLetters is how many letters tell one life from another.
const spelledLetters = 24

// keyName is a TSIG key's name as nsd.conf has it, and as `tsig show --for nsd`
// writes it.
func keyName(key zone.Name) string { return strings.TrimSuffix(key.String(), ".") }

// printable is a part of an answer for an error or a report.
func printable(s string) string {
	if len(s) > 300 {
		s = s[:300] + "..."
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '�' {
			return '?'
		}
		return r
	}, s)
}
