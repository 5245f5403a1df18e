package bind

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"

	"dnsctl/nameserver"
	"dnsctl/zone"
)

// nameText is a name as a quoted string for named: lower case as its database
// of added zones keeps it, without the final dot, and every octet that means
// something to a lexer, a shell or a path as \DDD.
func nameText(n zone.Name) string {
	if n == zone.Root {
		return `"."`
	}
	var b strings.Builder
	b.WriteByte('"')
	n = n.Lower()
	for i := 0; i < len(n) && n[i] != 0; {
		if i > 0 {
			b.WriteByte('.')
		}
		end := i + 1 + int(n[i])
		for i++; i < end; i++ {
			if c := n[i]; isPlain(c) {
				b.WriteByte(c)
			} else {
				fmt.Fprintf(&b, `\%03d`, c)
			}
		}
	}
	b.WriteByte('"')
	return b.String()
}

// maxNameText is LMDB's longest key.
const maxNameText = 511

// CanHold says why BIND cannot have a zone of this name.
func (Type) CanHold(name zone.Name) error {
	if !name.Valid() {
		return fmt.Errorf("%w: not a domain name", nameserver.ErrBadName)
	}
	if name.IsWildcard() {
		return fmt.Errorf("%w: BIND loads no zone whose name is a wildcard", nameserver.ErrBadName)
	}
	if text := strings.TrimSuffix(name.String(), "."); len(text) > maxNameText {
		return fmt.Errorf("%w: BIND's database of added zones takes names of up to %d octets as text with escapes, this one has %d",
			nameserver.ErrBadName, maxNameText, len(text))
	}
	return nil
}

// isPlain says whether the octet can stand for itself in names and file names.
func isPlain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}

const (
	filePrefix   = "dnsctl-"
	maxFileLabel = 80 // octets of the zone's name that its file name shows
)

// fileName is where named keeps a zone that we add. It is relative to named's
// directory, legal for any zone name, and new each time, so that no file that an
// earlier life of the zone left behind is ever served; it shows the zone's name
// to people as far as that is safe.
func fileName(n zone.Name, incarnation string) string {
	var unique [8]byte
	_, _ = rand.Read(unique[:])
	sum := sha256.Sum256([]byte(string(n.Key()) + "\xff" + incarnation + string(unique[:])))
	var b strings.Builder
	b.WriteString(filePrefix)
	text := strings.TrimSuffix(n.Lower().String(), ".")
	for i := 0; i < len(text) && i < maxFileLabel; i++ {
		if c := text[i]; isPlain(c) || c == '.' {
			b.WriteByte(c)
		} else {
			b.WriteByte('_')
		}
	}
	b.WriteByte('-')
	b.WriteString(hex.EncodeToString(sum[:10]))
	b.WriteString(".db")
	return b.String()
}

// ownFile says whether a file name is one that fileName makes.
func ownFile(file string) bool {
	return strings.HasPrefix(file, filePrefix) && !strings.Contains(file, "/")
}

// settings are those of a zone statement, as showzone prints it.
type settings struct {
	name  zone.Name
	kind  string // the type in today's words: primary, secondary, ...
	block []statement
}

// parseSettings reads one zone statement.
func parseSettings(text string) (settings, error) {
	list, err := parseConfig(text)
	if err != nil {
		return settings{}, err
	}
	if len(list) != 1 || list[0].block == nil || len(list[0].words) < 2 || list[0].words[0].text != "zone" {
		return settings{}, fmt.Errorf("%w: not one zone statement", errSyntax)
	}
	s := settings{block: list[0].block}
	if s.name, err = zone.ParseName(list[0].words[1].text); err != nil {
		return settings{}, fmt.Errorf("%w: %w", errSyntax, err)
	}
	s.name = s.name.Lower()
	s.kind = modernKind(s.word("type"))
	if s.kind == "" {
		return settings{}, fmt.Errorf("%w: a zone without a type", errSyntax)
	}
	return s, nil
}

// modernKind maps the zone types that BIND renamed in 9.14.
func modernKind(kind string) string {
	switch kind {
	case "master":
		return "primary"
	case "slave":
		return "secondary"
	}
	return kind
}

func roleOf(kind string) nameserver.Role {
	switch modernKind(kind) {
	case "primary":
		return nameserver.Primary
	case "secondary":
		return nameserver.Secondary
	}
	return nameserver.Other
}

// word is the single value of a setting, "" when it is absent.
func (s settings) word(name string) string {
	if st, ok := find(s.block, name); ok && len(st.words) == 2 {
		return st.words[1].text
	}
	return ""
}

// with is s with a setting replaced, or added at the end; without when value is
// empty.
func (s settings) with(name string, value ...word) settings {
	block := make([]statement, 0, len(s.block)+1)
	for _, st := range s.block {
		if len(st.words) == 0 || st.words[0].text != name {
			block = append(block, st)
		}
	}
	if len(value) > 0 {
		block = append(block, statement{words: append([]word{{text: name}}, value...)})
	}
	s.block = block
	return s
}

// text is the block with its braces, as addzone and modzone take it.
func (s settings) text() string {
	var b strings.Builder
	b.WriteString("{ ")
	appendStatements(&b, s.block)
	b.WriteString("};")
	return b.String()
}

// signs says whether named signs the zone with keys of its own.
func (s settings) signs() bool {
	policy, auto := s.word("dnssec-policy"), s.word("auto-dnssec")
	return policy != "" && policy != "none" && policy != "insecure" || auto != "" && auto != "off" || s.word("inline-signing") == "yes"
}

// primaries are the zone's primaries; known is false when they stand in a named
// list, which the control channel does not show.
func (s settings) primaries() (list []nameserver.PrimaryRef, known bool) {
	st, ok := find(s.block, "primaries")
	if !ok {
		if st, ok = find(s.block, "masters"); !ok {
			return nil, true
		}
	}
	port := uint16(53)
	for i := 1; i+1 < len(st.words); i += 2 {
		if st.words[i].text == "port" {
			if _, err := fmt.Sscanf(st.words[i+1].text, "%d", &port); err != nil {
				return nil, false
			}
		}
	}
	for _, p := range st.block {
		if len(p.words) == 0 {
			return nil, false
		}
		addr, err := netip.ParseAddr(p.words[0].text)
		if err != nil {
			return nil, false
		}
		at := port
		ref := nameserver.PrimaryRef{}
		for i := 1; i+1 < len(p.words); i += 2 {
			switch v := p.words[i+1].text; p.words[i].text {
			case "port":
				if _, err := fmt.Sscanf(v, "%d", &at); err != nil {
					return nil, false
				}
			case "key":
				if ref.Key, err = zone.ParseName(v); err != nil {
					return nil, false
				}
				ref.Key = ref.Key.Lower()
			case "tls":
				ref.TLS = v
			}
		}
		ref.Addr = netip.AddrPortFrom(addr.Unmap(), at)
		list = append(list, ref)
	}
	return list, true
}

// secondaryText is the block of a secondary zone of ours. Without a file or a
// format those settings are left out.
func secondaryText(z nameserver.ZoneConfig, file, format string) string {
	var b strings.Builder
	b.WriteString("{ type secondary; ")
	if file != "" {
		fmt.Fprintf(&b, "file %s; ", quote(file))
	}
	if format != "" {
		fmt.Fprintf(&b, "masterfile-format %s; ", format)
	}
	b.WriteString("primaries " + primariesText(z) + "; ")
	var keys []zone.Name
	for _, p := range z.Primaries {
		if p.Key != "" {
			keys = appendNew(keys, p.Key.Lower())
		}
	}
	if len(keys) > 0 {
		b.WriteString("allow-transfer { ")
		for _, k := range keys {
			fmt.Fprintf(&b, "key %s; ", nameText(k))
		}
		b.WriteString("}; ")
	}
	if z.Limited && len(keys) > 0 {
		b.WriteString("allow-query { ")
		for _, k := range keys {
			fmt.Fprintf(&b, "key %s; ", nameText(k))
		}
		// A rotated key is not the one that stands here: mdns asks all the same.
		for _, p := range z.Primaries {
			fmt.Fprintf(&b, "%s; ", p.Addr.Addr().Unmap())
		}
		b.WriteString("}; ")
	}
	b.WriteString("};")
	return b.String()
}

// primariesText is the list of a zone's primaries.
func primariesText(z nameserver.ZoneConfig) string {
	var b strings.Builder
	b.WriteString("{ ")
	for _, p := range z.Primaries {
		fmt.Fprintf(&b, "%s port %d", p.Addr.Addr().Unmap(), p.Addr.Port())
		if p.Key != "" {
			fmt.Fprintf(&b, " key %s", nameText(p.Key))
		}
		if p.TLS != "" {
			fmt.Fprintf(&b, " tls %s", quote(p.TLS))
		}
		b.WriteString("; ")
	}
	b.WriteString("}")
	return b.String()
}

func appendNew(list []zone.Name, n zone.Name) []zone.Name {
	for _, m := range list {
		if m == n {
			return list
		}
	}
	return append(list, n)
}
