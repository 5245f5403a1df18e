package knot

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"dnsctl/nameserver"
	"dnsctl/zone"
)

// zoneConf is what the configuration says of a zone.
type zoneConf struct {
	template string
	masters  []string
	signs    bool // by itself, whatever its template says
	unsigned bool // the same
}

// put adds what a unit of conf-read says.
func (z *zoneConf) put(u unit) {
	switch u[itemItem] {
	case "template":
		z.template = u[itemData]
	case "master":
		z.masters = append(z.masters, u[itemData])
	case "dnssec-signing":
		z.signs, z.unsigned = u[itemData] == "on", u[itemData] != "on"
	case "module":
		z.signs = z.signs || strings.HasPrefix(u[itemData], "mod-onlinesign")
	}
}

// zoneConfs reads what decides of every zone in the configuration, by its name as
// knotd writes it. Zones of one template share what they say.
func (c *channel) zoneConfs(ctx context.Context) (map[string]*zoneConf, error) {
	zones := map[string]*zoneConf{}
	plain := map[string]*zoneConf{} // of those that say no more than their template
	var name string
	var now zoneConf
	end := func() {
		if name == "" {
			return
		}
		if len(now.masters) > 0 || now.signs || now.unsigned {
			own := now
			zones[name] = &own
		} else {
			if plain[now.template] == nil {
				own := now
				plain[now.template] = &own
			}
			zones[name] = plain[now.template]
		}
		name, now = "", zoneConf{}
	}
	err := c.ask(ctx, 1, just(confUnit("conf-read", "zone", "", "", "")), func(_ int, u unit) error {
		if err := refusal(u); err != nil {
			return err
		}
		if u[itemID] == "" {
			end()
			name = u[itemData]
			return nil
		}
		if u[itemID] != name {
			return fmt.Errorf("%w: settings of zone %s among those of %s", nameserver.ErrAnswer, nameserver.Printable(u[itemID]), nameserver.Printable(name))
		}
		now.put(u)
		return nil
	})
	end()
	return zones, err
}

// status is a zone as zone-status shows it.
type status struct {
	name   string
	fields map[string]string // by what knotd calls them
}

// statuses asks for the state of one zone, or of all where zoneName is "".
func (c *channel) statuses(ctx context.Context, zoneName string, got func(status) error) error {
	var now status
	end := func() error {
		if now.name == "" {
			return nil
		}
		s := now
		now.name = ""
		return got(s)
	}
	q := unit{itemCommand: "zone-status", itemZone: zoneName}
	if zoneName == "" {
		q[itemFilters] = "rsc" // role, serial, catalog
	}
	err := c.ask(ctx, 1, just(q), func(_ int, u unit) error {
		if err := refusal(u); err != nil {
			return err
		}
		if u[itemZone] != now.name {
			if err := end(); err != nil {
				return err
			}
			now = status{name: u[itemZone], fields: make(map[string]string, 4)}
		}
		now.fields[u[itemType]] = u[itemData]
		return nil
	})
	if err != nil {
		return err
	}
	return end()
}

// state reads a status. A zone without a serial has no content: it was never
// loaded, or it has expired, and is answered with SERVFAIL.
func (s status) state() (nameserver.ZoneState, error) {
	bad := func(what string) (nameserver.ZoneState, error) {
		return nameserver.ZoneState{}, fmt.Errorf("%w: zone %s: %s", nameserver.ErrAnswer, nameserver.Printable(s.name), what)
	}
	name, err := zone.ParseName(s.name)
	if err != nil || s.name == "" {
		return bad("its name")
	}
	z := nameserver.ZoneState{Name: name.Lower(), Origin: nameserver.Runtime}
	switch role := s.fields["role"]; role {
	case "slave", "secondary":
		z.Role = nameserver.Secondary
	case "master", "primary":
		z.Role = nameserver.Primary
	default:
		return bad("role " + strconv.Quote(nameserver.Printable(role)))
	}
	z.Detail = "role " + s.fields["role"]
	switch catalog := s.fields["catalog"]; catalog {
	case "-", "none", "":
	case interpret, "generate":
		z.Role = nameserver.Other
		z.Detail += ", a catalog zone"
	default:
		z.Origin = nameserver.Cataloged
		z.Detail += ", in catalog " + nameserver.Printable(strings.TrimPrefix(catalog, "@"))
	}
	switch serial, has := s.fields["serial"]; {
	case !has:
		return bad("no serial")
	case serial == "-", serial == "none":
		z.Expired = z.Role != nameserver.Other
		z.Detail += ", without content"
	default:
		n, err := strconv.ParseUint(serial, 10, 32)
		if err != nil {
			return bad("serial " + strconv.Quote(nameserver.Printable(serial)))
		}
		z.Serial = new(zone.Serial(n))
	}
	for _, event := range []string{"refresh", "expiration"} {
		if when := s.fields[event]; when != "" && when != "-" {
			z.Detail += ", " + event + " " + nameserver.Printable(when)
		}
	}
	return z, nil
}

// complete adds what the configuration says of a zone; in is nil for members of
// catalogs, which are not in it.
func (c config) complete(z *nameserver.ZoneState, in *zoneConf) {
	if in == nil {
		if z.Origin == nameserver.Runtime {
			z.Origin = nameserver.Cataloged // of a catalog that knotd has lost sight of
		}
		return
	}
	masters := in.masters
	template := in.template
	if template == "" {
		template = "default"
	}
	if masters == nil {
		masters = c.get("template", template, "master")
	}
	z.Primaries, z.Known = c.primaries(masters)
	signing := c.get("template", template, "dnssec-signing")
	z.Signs = in.signs || !in.unsigned && len(signing) > 0 && signing[0] == "on"
	if slices.ContainsFunc(c.get("template", template, "module"), func(m string) bool { return strings.HasPrefix(m, "mod-onlinesign") }) {
		z.Signs = true
	}
	if z.Signs {
		z.Detail += ", signed here"
	}
	if strings.HasPrefix(in.template, ownPrefix) {
		z.Detail += ", template " + in.template
	} else if len(masters) > 0 {
		z.Detail += ", master " + nameserver.Printable(strings.Join(masters, " "))
	}
}

// primaries are what remotes stand for; known is false where one is not an address.
func (c config) primaries(masters []string) (list []nameserver.PrimaryRef, known bool) {
	for _, m := range masters {
		remotes := []string{m}
		if group := c.get("remotes", m, "remote"); group != nil {
			remotes = group
		}
		for _, r := range remotes {
			var key zone.Name
			if k := c.get("remote", r, "key"); len(k) > 0 {
				n, err := zone.ParseName(k[0])
				if err != nil {
					return nil, false
				}
				key = n.Lower()
			}
			addresses := c.get("remote", r, "address")
			if len(addresses) == 0 {
				return nil, false
			}
			for _, text := range addresses {
				addr, ok := parseAddr(text)
				if !ok {
					return nil, false
				}
				list = append(list, nameserver.PrimaryRef{Addr: addr, Key: key})
			}
		}
	}
	return list, true
}

// parseAddr reads an address of a remote: ADDRESS, or ADDRESS@PORT.
func parseAddr(text string) (netip.AddrPort, bool) {
	host, port, has := strings.Cut(text, "@")
	n := uint64(53)
	if has {
		var err error
		if n, err = strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return netip.AddrPort{}, false
		}
	}
	addr, err := netip.ParseAddr(host)
	return netip.AddrPortFrom(addr.Unmap(), uint16(n)), err == nil
}
