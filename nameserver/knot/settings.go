package knot

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"dnsctl/nameserver"
)

// ownPrefix begins the identifiers of what we put into a configuration.
const ownPrefix = "dnsctl-"

// probers is the instance of mod-queryacl whose addresses may query the zones that
// are limited. A configuration that has none limits nobody: who asks is not known
// here.
const probers = "dnsctl"

// ownKeys is the acl with all TSIG keys that the server was given. It lets holders of
// each ask questions and notify, so that a key can be tried before zones are
// transferred with it; knotd takes a key only where the zone's acl names it.
const ownKeys = ownPrefix + "keys"

// entry is a part of the configuration that zones refer to.
type entry struct {
	section, id string
	items       []item
}

// id is the identifier of an entry with this content.
func id(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return ownPrefix + hex.EncodeToString(sum[:8])
}

// addrText is an address and port as knotd writes them.
func addrText(a netip.AddrPort) string {
	return a.Addr().Unmap().String() + "@" + strconv.Itoa(int(a.Port()))
}

func remoteOf(p nameserver.PrimaryRef) entry {
	e := entry{section: "remote", items: []item{{"address", []string{addrText(p.Addr)}}}}
	if p.Key != "" {
		e.items = append(e.items, item{"key", []string{nameText(p.Key)}})
	}
	e.id = id("remote", addrText(p.Addr), nameText(p.Key))
	return e
}

// entriesOf are the entries that a secondary zone of ours needs, in the order in
// which they can be made; the last one is its template. All zones with the same
// primaries and keys share them, so that a zone itself is no more than its name
// and its template.
//
// Content is kept in the journal alone, where zone-purge finds it when the zone is
// gone; a zone file would be left, and be served when the zone is added again.
func entriesOf(z nameserver.ZoneConfig, limited bool) []entry {
	var list []entry
	var remotes, addresses, keys []string
	for _, p := range z.Primaries {
		r := remoteOf(p)
		if !slices.Contains(remotes, r.id) {
			list, remotes = append(list, r), append(remotes, r.id)
		}
		if a := p.Addr.Addr().Unmap().String(); !slices.Contains(addresses, a) {
			addresses = append(addresses, a)
		}
		if k := nameText(p.Key); p.Key != "" && !slices.Contains(keys, k) {
			keys = append(keys, k)
		}
	}
	// Holders of the key may notify and transfer; without one the primaries may.
	acl := entry{section: "acl", items: []item{{"key", keys}, {"action", []string{"transfer", "notify"}}}}
	if len(keys) == 0 {
		acl.items[0] = item{"address", addresses}
	}
	acl.id = id(append([]string{"acl"}, acl.items[0].Values...)...)
	acls := []string{acl.id}
	if len(keys) > 0 {
		acls = append(acls, ownKeys)
	}
	template := entry{section: "template", items: []item{
		{"master", remotes},
		{"acl", acls},
		{"zonefile-sync", []string{"-1"}},
		{"zonefile-load", []string{"none"}},
		{"journal-content", []string{"all"}},
		{"journal-max-usage", []string{"4294967296"}},
		{"semantic-checks", []string{"off"}},
		{"dnssec-signing", []string{"off"}},
	}}
	about := append([]string{"template", acl.id}, remotes...)
	if limited {
		about = append(about, "limited")
		template.items = append(template.items, item{"module", []string{"mod-queryacl/" + probers}})
	}
	template.id = id(about...)
	return append(list, acl, template)
}

// requests make an entry, in place of one of this identifier that is otherwise; none
// where it is there as it should be.
func (e entry) requests(conf config) [][]unit {
	_, there := conf[e.section][e.id]
	if there && !slices.ContainsFunc(e.items, func(it item) bool {
		return !slices.Equal(conf.get(e.section, e.id, it.Name), it.Values)
	}) {
		return nil
	}
	var list [][]unit
	if there {
		list = append(list, []unit{confUnit("conf-unset", e.section, e.id, "", "")})
	}
	units := []unit{confUnit("conf-set", e.section, e.id, "", "")}
	for _, it := range e.items {
		for _, v := range it.Values {
			units = append(units, confUnit("conf-set", e.section, e.id, it.Name, v))
		}
	}
	return append(list, units)
}
