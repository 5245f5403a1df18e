package nameserver

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"

	"dnsctl/fleet"
	"dnsctl/report"
)

// ErrNoCatalogs is wrapped when a nameserver cannot take its zones from a catalog.
var ErrNoCatalogs = errors.New("cannot take its zones from a catalog")

// Release is the first two numbers of a version.
type Release struct{ Major, Minor int }

func (r Release) String() string { return fmt.Sprintf("%d.%d", r.Major, r.Minor) }

var releaseText = regexp.MustCompile(`\b(\d{1,6})\.(\d{1,6})\b`)

// Before says whether it came earlier than another.
func (r Release) Before(o Release) bool {
	return r.Major < o.Major || r.Major == o.Major && r.Minor < o.Minor
}

// ReleaseOf reads the release that a server says in its version; false when it says
// none.
func ReleaseOf(version string) (Release, bool) {
	m := releaseText.FindStringSubmatch(version)
	if m == nil {
		return Release{}, false
	}
	major, _ := strconv.Atoi(m[1])
	minor, _ := strconv.Atoi(m[2])
	return Release{major, minor}, true
}

// CheckCatalog refuses a server that is to take its zones from a catalog, and is too
// old for catalog zones of RFC 9432. A type says since when its servers have them by
// its method CatalogsSince.
func CheckCatalog(t Type, s fleet.Server, i Info) error {
	if s.Provision != fleet.ByCatalog {
		return nil
	}
	const hint = "give it its zones over the control channel: --provision control"
	x, ok := t.(interface{ CatalogsSince() Release })
	if !ok {
		return report.Fail(report.ExitUsage, fmt.Errorf("server %s, of type %s, %w", s.Name, t.Name(), ErrNoCatalogs), hint)
	}
	since := x.CatalogsSince()
	has, known := ReleaseOf(i.Version)
	if !known || !has.Before(since) {
		return nil // one that does not say its version shows at the first zone
	}
	return report.Fail(report.ExitUsage, fmt.Errorf("server %s %w: it is %s, and catalog zones came with %s", s.Name, ErrNoCatalogs, Printable(i.Version), since),
		hint+", or give it a newer release")
}
