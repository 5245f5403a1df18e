package commands

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"dnsctl/fleet"
	"dnsctl/render"
	"dnsctl/report"
	"dnsctl/store"
	"dnsctl/zone"
)

func newPoolCmd(a *App) *cobra.Command {
	return group("pool", "Manage sets of nameservers that serve the same zones",
		`A pool is a set of nameservers that serve the same zones: a region, a view. A zone
may be in several pools, and a nameserver too: what it should have is the union.`,
		newPoolCreateCmd(a), newPoolListCmd(a), newPoolShowCmd(a), newPoolSetCmd(a), newPoolDeleteCmd(a))
}

// poolColumns show pools.
var poolColumns = render.List[fleet.Pool]{
	Nothing: "there is no pool yet: dnsctl pool create",
	Columns: []render.Column[fleet.Pool]{
		{Name: "pool", Value: func(p fleet.Pool) any { return p.Name }},
		{Name: "primaries", Value: func(p fleet.Pool) any { return p.Primaries }},
		{Name: "unmanaged", Value: func(p fleet.Pool) any { return string(p.Unmanaged) }},
		{Name: "tsig", Value: func(p fleet.Pool) any { return p.RequireTSIG }},
		{Name: "ns", Value: func(p fleet.Pool) any { return p.NS }, Show: render.WideOnly},
		{Name: "email", Value: func(p fleet.Pool) any { return p.Email }, Show: render.WideOnly},
		{Name: "allow_transfer", Value: func(p fleet.Pool) any { return p.AllowTransfer }, Show: render.WideOnly},
		{Name: "require_tls", Value: func(p fleet.Pool) any { return p.TLS.Require }, Show: render.WideOnly},
		{Name: "tls_clients", Value: func(p fleet.Pool) any { return orEmpty(p.TLS.Clients) }, Show: render.WideOnly},
		{Name: "tls_name", Value: func(p fleet.Pool) any { return p.TLS.Name }, Show: render.WideOnly},
		{Name: "tls_ca", Value: func(p fleet.Pool) any { return certificateNames(p.TLS.CA) }, Show: render.WideOnly},
		{Name: "protect", Value: func(p fleet.Pool) any { return p.Protect }, Show: render.WideOnly},
		{Name: "min_active", Value: func(p fleet.Pool) any { return p.MinActive }, Show: render.WideOnly},
		{Name: "compare_every", Value: func(p fleet.Pool) any { return int64(p.CompareEvery / time.Second) }, Show: render.WideOnly},
		{Name: "catalog", Value: func(p fleet.Pool) any { return catalogName(p.Catalog) }, Show: render.WideOnly},
		{Name: "created", Value: func(p fleet.Pool) any { return p.Created }, Show: render.WideOnly},
	},
}

// poolFlags are the settings of a pool as flags have them.
type poolFlags struct {
	primaries, ns, allow, protect []string
	email, unmanaged, comment     string
	minActive                     int
	compareEvery                  time.Duration
	catalog                       string
	tlsClients                    []string
	tlsName, tlsCA                string
	requireTLS                    bool
}

func (f *poolFlags) bind(c *cobra.Command, policy string) {
	fl := c.Flags()
	fl.StringSliceVar(&f.primaries, "primary", nil, "where its nameservers find mdns, as `ADDR[:PORT]`")
	fl.StringSliceVar(&f.ns, "ns", nil, "a name server, as `host`, of new zones")
	fl.StringVar(&f.email, "email", "", "the mailbox in the SOA of new zones, as `user@domain`")
	fl.StringSliceVar(&f.allow, "allow-transfer", nil, "a `network` from which unsigned requests see its zones")
	fl.BoolVar(&f.requireTLS, "require-tls", false, "transfer its zones over TLS only; the primaries are mdns's --tls-listen")
	fl.StringSliceVar(&f.tlsClients, "tls-client", nil, "unsigned requests with a client certificate of this DNS `name` see its zones")
	fl.StringVar(&f.tlsName, "tls-name", "", "the DNS `name` in the primaries' certificate, if not their address")
	fl.StringVar(&f.tlsCA, "tls-ca", "", "a `file` with the certificate, PEM, that must have signed the primaries'")
	fl.Var(newEnum(&f.unmanaged, policy, policyNames()...), "unmanaged", "what is done with foreign zones on its nameservers")
	fl.StringSliceVar(&f.protect, "protect", nil, "never touch zones whose name matches this `pattern`")
	fl.IntVar(&f.minActive, "min-active", 1, "how many servers in service a drain leaves it, as a `number`")
	fl.DurationVar(&f.compareEvery, "compare-every", 0, "how often the leader compares its nameservers' zones with the database; 0: as compare_every of the configuration")
	fl.StringVar(&f.catalog, "catalog", "", "publish its zones in a catalog zone (RFC 9432) of this `name`; none when empty")
	fl.StringVar(&f.comment, "comment", "", "a `text` for the events")
}

// apply puts the flags that were given into the pool.
func (f *poolFlags) apply(given func(flag string) bool, p *fleet.Pool) error {
	if err := f.applyTLS(given, &p.TLS); err != nil {
		return err
	}
	if given("primary") {
		port := uint16(portDNS)
		if p.TLS.Require {
			port = portTLS
		}
		primaries, err := parseAddrs("primary", f.primaries, port)
		if err != nil {
			return err
		}
		p.Primaries = primaries
	}
	if given("ns") {
		ns, err := parseHosts("ns", f.ns)
		if err != nil {
			return err
		}
		p.NS = ns
	}
	if given("allow-transfer") {
		allow, err := parsePrefixes("allow-transfer", f.allow)
		if err != nil {
			return err
		}
		p.AllowTransfer = allow
	}
	if given("email") {
		p.Email = f.email
	}
	if given("protect") {
		p.Protect = nil
		for _, glob := range f.protect {
			if err := fleet.CheckGlob(glob); err != nil {
				return usagef("for instance --protect '*.internal.example.org'; a [ that is meant is written \\[", "--protect: %v", err)
			}
			p.Protect = append(p.Protect, glob)
		}
	}
	if given("min-active") {
		if f.minActive < 0 {
			return usagef("0 allows to drain the last one", "--min-active %d is no number of servers", f.minActive)
		}
		p.MinActive = f.minActive
	}
	if given("compare-every") {
		if f.compareEvery != 0 && f.compareEvery < time.Second {
			return usagef("for instance --compare-every 1h", "--compare-every %s is too short", f.compareEvery)
		}
		p.CompareEvery = f.compareEvery
	}
	if given("catalog") {
		p.Catalog = ""
		if f.catalog != "" {
			name, err := parseHosts("catalog", []string{f.catalog})
			if err != nil {
				return err
			}
			p.Catalog = name[0].Lower()
		}
	}
	if given("unmanaged") {
		policy, err := fleet.ParsePolicy(f.unmanaged)
		if err != nil {
			return usagef("", "%v", err)
		}
		p.Unmanaged = policy
	}
	return nil
}

// byWith is who makes a change, with a comment.
func (a *App) byWith(comment string) fleet.By {
	by := a.by()
	by.Comment = comment
	return by
}

// poolUse is a pool with what is in it.
type poolUse struct {
	fleet.Pool
	zones   int
	servers []string
	keys    []zone.Name
	catalog *fleet.Zone // nil when there is none, or it was not made yet
	state   fleet.CatalogState
}

// catalogName is a pool's catalog as it is shown.
func catalogName(n zone.Name) string {
	if n == "" {
		return ""
	}
	return n.String()
}

func (u poolUse) catalogSerial() *zone.Serial {
	if u.catalog == nil {
		return nil
	}
	return &u.catalog.Edition.Serial
}

// catalogMembers is how many members the catalog zone has, as the leader says.
func (u poolUse) catalogMembers() *int {
	if u.catalog == nil {
		return nil
	}
	return &u.state.Members
}

// readCatalog reads what became of the pool's catalog.
func (u *poolUse) readCatalog(ctx context.Context, s *store.Store) error {
	if u.Catalog == "" {
		return nil
	}
	z, err := s.Zone(ctx, u.Catalog)
	switch {
	case err == nil && z.Deleted == nil && z.Kind == fleet.Catalog:
		u.catalog = &z
	case err != nil && !errors.Is(err, fleet.ErrNoZone):
		return err
	}
	u.state, err = s.Catalog(ctx, u.ID)
	if errors.Is(err, fleet.ErrNotFound) {
		err = nil
	}
	return err
}

// use counts what is in a pool.
func (a *App) use(ctx context.Context, p fleet.Pool) (poolUse, error) {
	u := poolUse{Pool: p, servers: []string{}, keys: []zone.Name{}}
	if err := u.readCatalog(ctx, a.store); err != nil {
		return u, err
	}
	err := a.store.Zones(ctx, fleet.ZoneFilter{Pool: p.Name}, func(fleet.Zone) error { u.zones++; return nil })
	if err != nil {
		return u, err
	}
	servers, err := a.store.Servers(ctx)
	if err != nil {
		return u, err
	}
	for _, s := range servers {
		for _, sp := range s.Pools {
			if sp.ID == p.ID {
				u.servers = append(u.servers, s.Name)
			}
		}
	}
	keys, err := a.store.Keys(ctx)
	if err != nil {
		return u, err
	}
	for _, k := range keys {
		if k.Scope.PoolID == p.ID {
			u.keys = append(u.keys, k.Name)
		}
	}
	return u, nil
}

// samePlace refuses a list of primaries that no nameserver could use.
func samePlace(primaries []netip.AddrPort) error {
	for _, p := range primaries {
		if p.Addr().IsUnspecified() || p.Addr().IsMulticast() {
			return report.Fail(report.ExitUsage, errAddr(p), "name the address at which the nameservers reach mdns")
		}
	}
	return nil
}
