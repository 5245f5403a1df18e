package fleet

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"dnsctl/zone"
)

// catalogRoom is how many octets the names in a catalog zone take beyond its
// own: "group", a label of 32 octets and "zones".
const catalogRoom = 6 + 33 + 6

// CheckGroup says why a zone cannot have this group in catalogs (RFC 9432 section
// 4.4.2), where it is one character string of a TXT record; nil when it can. "" is
// no group.
func CheckGroup(group string) error {
	switch {
	case len(group) > 255:
		return fmt.Errorf("group of %d octets: it may have 255", len(group))
	case strings.ContainsFunc(group, func(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }):
		return fmt.Errorf("group %q: it may have letters, digits, signs and blanks", group)
	}
	return nil
}

// CheckCatalog says why no catalog zone can have this name; nil when one can.
func CheckCatalog(name zone.Name) error {
	switch {
	case name == zone.Root:
		return fmt.Errorf("the root zone is no name for a catalog")
	case name.Under(MarkerParent):
		return fmt.Errorf("catalog %q: names under %s are dnsctl's own", name, MarkerParent)
	case len(name) > zone.MaxName-catalogRoom:
		return fmt.Errorf("catalog %q: with its members' labels before it the name would be too long", name)
	}
	return nil
}

// CatalogState is how far the catalog zone of a pool is.
type CatalogState struct {
	Pool    int64
	Epoch   int64     // that it was last published in
	Pos     int64     // feed position; what came up to it is in the zone
	Members int       // that the zone has
	Held    int       // those of them that should leave and are held back
	Reason  string    // why they, or everything, are held back; "" when nothing is in the way
	Since   time.Time // held back for that reason, or not
}

// HasCatalog says whether a zone of this name is the catalog of one of the
// server's pools.
func (s Server) HasCatalog(name zone.Name) bool {
	for _, p := range s.Pools {
		if p.Catalog != "" && p.Catalog.Equal(name) {
			return true
		}
	}
	return false
}
