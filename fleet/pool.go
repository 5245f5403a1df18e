package fleet

import (
	"fmt"
	"net/netip"
	"path"
	"strings"
	"time"

	"dnsctl/report"
	"dnsctl/secret"
	"dnsctl/zone"
)

// Policy says what is done with foreign zones on a pool's nameservers.
type Policy string

// The policies, from mild to strict.
const (
	Ignore Policy = "ignore"
	Warn   Policy = "warn"
	Delete Policy = "delete"
)

// Policies lists them as the documentation does.
var Policies = []Policy{Delete, Warn, Ignore}

var strictness = map[Policy]int{Ignore: 0, Warn: 1, Delete: 2}

// ParsePolicy checks a policy's name.
func ParsePolicy(s string) (Policy, error) {
	if _, ok := strictness[Policy(s)]; !ok {
		return "", fmt.Errorf("policy %q for unmanaged zones: want delete, warn or ignore", s)
	}
	return Policy(s), nil
}

// Milder is the milder of two policies.
func (p Policy) Milder(o Policy) Policy {
	if strictness[o] < strictness[p] {
		return o
	}
	return p
}

// Pool is a set of nameservers that serve the same zones: a region, a view.
type Pool struct {
	ID            int64
	Name          string
	Primaries     []netip.AddrPort // where its nameservers find mdns
	NS            []zone.Name      // default NS of new zones
	Email         string           // default SOA mailbox of new zones, as user@domain
	RequireTSIG   bool             // false: made with --no-tsig
	AllowTransfer []netip.Prefix   // unsigned requests from here see its zones
	TLS           PoolTLS
	Unmanaged     Policy
	Protect       []string // globs over zone names without the final dot
	CompareEvery  time.Duration
	MinActive     int       // servers in service that a drain leaves
	Catalog       zone.Name // its catalog zone (RFC 9432), in lower case; "" when it has none
	Created       time.Time
}

// PoolTLS is how a pool's zones travel over TLS (RFC 9103).
type PoolTLS struct {
	Require bool     // the primaries are TLS listeners, and transfers happen nowhere else
	Clients []string // unsigned requests with a certificate of one of these names see its zones
	Name    string   // the DNS name in the primaries' certificate; "" means their address
	CA      string   // PEM: who must have signed that certificate; "" leaves it unchecked
}

// Profile is the name under which a nameserver keeps the pool's TLS settings; ""
// for a pool without TLS.
func (p Pool) Profile() string {
	if !p.TLS.Require {
		return ""
	}
	return "dnsctl-" + p.Name
}

// Protects says whether one of the pool's globs covers the zone. A glob is
// matched against the lower-case name without its final dot; * does not stop at
// dots.
func (p Pool) Protects(name zone.Name) (glob string, ok bool) {
	text := strings.ReplaceAll(strings.TrimSuffix(name.Lower().String(), "."), "/", "\x00")
	for _, g := range p.Protect {
		pattern := strings.ReplaceAll(strings.TrimSuffix(strings.ToLower(g), "."), "/", "\x00")
		if m, err := path.Match(pattern, text); err == nil && m {
			return g, true
		}
	}
	return "", false
}

// CheckGlob says what is wrong with a glob, which would protect nothing.
func CheckGlob(glob string) error {
	if _, err := path.Match(glob, ""); err != nil || glob == "" {
		return fmt.Errorf("%q is no pattern of names", glob)
	}
	return nil
}

// State is where a server stands in its life.
type State string

// The states.
const (
	Joining  State = "joining"  // not yet proven to serve all its zones
	Active   State = "active"   // in service
	Draining State = "draining" // being taken out
	Drained  State = "drained"  // out for maintenance: no NOTIFY, no tasks
)

// Out says whether a server in this state is out of service, or on its way out.
func (s State) Out() bool { return s == Draining || s == Drained }

// Server is one nameserver: a process, and a view where it has views.
type Server struct {
	ID         int64
	Name       string
	Type       string         // the driver's name
	Address    netip.AddrPort // where it serves DNS
	Probe      netip.AddrPort // where we ask it; Address when zero
	Notify     netip.AddrPort // where NOTIFY goes; Address when zero
	Control    string         // control channel URL
	Stats      string         // statistics channel URL, where there is one
	View       string
	State      State
	Drain      *report.Drain // why it is Draining or Drained; nil when it is not
	Accepted   bool          // false: policy is at most warn until `server accept`
	New        bool          // added with --new, not reached yet
	Provision  Provision     // how it comes to its zones; ByControl when ""
	Marker     zone.Name
	Credential secret.Sealed // of the control channel, in the driver's own encoding
	Settings   map[string]string
	Pools      []Pool // ascending by ID
	Created    time.Time
}

// Provision says how a server comes to the zones of its pools.
type Provision string

// The ways.
const (
	ByControl Provision = "control" // zones are added and deleted over its control channel
	ByCatalog Provision = "catalog" // it takes them from its pool's catalog zone (RFC 9432)
)

// Catalog is the catalog zone that the server takes its zones from; "" when it gets
// them over its control channel.
func (s Server) Catalog() zone.Name {
	if s.Provision != ByCatalog || len(s.Pools) != 1 {
		return ""
	}
	return s.Pools[0].Catalog
}

// CheckProvision says why the server cannot come to its zones the way that it should.
// One catalog is all that some nameservers take, and a zone that is in two of them goes
// with the first that it leaves.
func (s Server) CheckProvision() error {
	switch {
	case s.Provision != ByCatalog:
		return nil
	case len(s.Pools) != 1:
		return fmt.Errorf("a server that takes its zones from a catalog is in one pool; server %s would be in %d", s.Name, len(s.Pools))
	case s.Pools[0].Catalog == "":
		return fmt.Errorf("pool %s has no catalog zone for server %s to take its zones from", s.Pools[0].Name, s.Name)
	}
	return nil
}

// ProbeAddr is where to ask the server over DNS.
func (s Server) ProbeAddr() netip.AddrPort {
	if s.Probe.IsValid() {
		return s.Probe
	}
	return s.Address
}

// NotifyAddr is where to send it NOTIFY.
func (s Server) NotifyAddr() netip.AddrPort {
	if s.Notify.IsValid() {
		return s.Notify
	}
	return s.Address
}

// Unmanaged is the policy for foreign zones on the server: the mildest of its
// pools', and at most warn until it is accepted.
func (s Server) Unmanaged() Policy {
	p := Delete
	for _, pool := range s.Pools {
		p = p.Milder(pool.Unmanaged)
	}
	if !s.Accepted || len(s.Pools) == 0 {
		p = p.Milder(Warn)
	}
	return p
}

// Protects says whether any of its pools' globs covers the zone.
func (s Server) Protects(name zone.Name) (glob string, ok bool) {
	for _, p := range s.Pools {
		if g, ok := p.Protects(name); ok {
			return g, true
		}
	}
	return "", false
}

// Scope of a TSIG key: exactly one of the two is set.
type Scope struct {
	PoolID int64
	ZoneID int64
}

// Key is a TSIG key (RFC 8945).
type Key struct {
	ID        int64
	Name      zone.Name
	Algorithm zone.Name // hmac-sha256. and the like
	Secret    secret.Sealed
	Scope     Scope
	ScopeName string // "pool:NAME" or "zone:NAME"
	Created   time.Time
	Retired   *time.Time // still accepted until then; nil: no end set
}

// Valid says whether the key may be used at that time.
func (k Key) Valid(now time.Time) bool { return k.Retired == nil || now.Before(*k.Retired) }
