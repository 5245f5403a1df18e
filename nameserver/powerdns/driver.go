package powerdns

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"

	"dnsctl/nameserver"
	"dnsctl/nameserver/httpjson"
	"dnsctl/zone"
)

// driver talks to one pdns_server.
type driver struct {
	client   *httpjson.Client
	base     string // URL of the API
	key      func(ctx context.Context, name zone.Name) (nameserver.KeyConfig, error)
	transfer func(ctx context.Context, name zone.Name) (*zone.Snapshot, error)

	mu   sync.Mutex         // while a TSIG key is looked for, or made
	keys map[zone.Name]bool // those that the server has as they should be

	deleting sync.Mutex // of two deletions at a time on SQLite, PowerDNS gives one up
}

// atOnce is how many calls pdns_server is given at a time.
const atOnce = 4

var (
	_ nameserver.Driver    = (*driver)(nil)
	_ nameserver.BulkAdder = (*driver)(nil)
)

// Close ends the connections that are kept.
func (d *driver) Close() error {
	d.client.Close()
	return nil
}

// Capabilities of PowerDNS: its inventory has serials and the primaries'
// addresses, but not the keys. It gives members of a catalog the primaries of that, and
// not its key. Its API answers several calls at a time.
func (d *driver) Capabilities() nameserver.Capabilities {
	return nameserver.Capabilities{ListsSerials: true, AtOnce: atOnce, KeylessMembers: true, Batch: batch}
}

// Info asks for the server's version.
func (d *driver) Info(ctx context.Context) (nameserver.Info, error) {
	var said struct {
		Daemon  string `json:"daemon_type"`
		Version string `json:"version"`
	}
	err := d.call(ctx, http.MethodGet, "", nil, &said)
	switch {
	case errors.Is(err, errNotFound):
		err = fmt.Errorf("%w: there is no PowerDNS API", nameserver.ErrAnswer)
	case err == nil && said.Daemon != "authoritative":
		err = fmt.Errorf("%w: it is no authoritative PowerDNS", nameserver.ErrAnswer)
	}
	if err != nil {
		return nameserver.Info{}, fmt.Errorf("ask %s: %w", d.base, err)
	}
	return nameserver.Info{Version: "PowerDNS " + nameserver.Printable(said.Version)}, nil
}

// listed is a zone as the API lists it.
type listed struct {
	Name    string   `json:"name"`
	Kind    string   `json:"kind"`
	Masters []string `json:"masters"`
	Serial  *uint32  `json:"serial"` // 0: never loaded
	Catalog string   `json:"catalog"`
}

// Inventory lists all zones, without their DNSSEC states, which take one query
// of the database each.
func (d *driver) Inventory(ctx context.Context, yield func(nameserver.ZoneState) error) error {
	return d.list(ctx, "?dnssec=false", func(z listed) error {
		s, err := stateOf(z)
		if err != nil {
			return fmt.Errorf("inventory: %w", err)
		}
		if z.Catalog == "" { // PowerDNS 4.7 lists members of a catalog without it
			s.Origin = nameserver.Unsure
		}
		return yield(s)
	})
}

// list reads the zones that a query selects.
func (d *driver) list(ctx context.Context, query string, yield func(listed) error) error {
	var stop error // yield's
	err := d.client.Do(ctx, http.MethodGet, d.base+"/zones"+query, nil, func(status int, answer *httpjson.Decoder) error {
		if status != http.StatusOK {
			return refusal(status, answer)
		}
		err := answer.Array(func() error {
			var z listed
			if err := answer.Value(&z); err != nil {
				return err
			}
			stop = yield(z)
			return stop
		})
		if err != nil {
			return err
		}
		return answer.End()
	})
	switch {
	case stop != nil:
		return stop
	case errors.Is(err, errNotFound):
		err = fmt.Errorf("%w: there is no PowerDNS API", nameserver.ErrAnswer)
	}
	if err != nil {
		return fmt.Errorf("list zones of %s: %w", d.base, err)
	}
	return nil
}

// stateOf reads one entry of the list. Of a zone that was never loaded the serial
// is 0; one that has expired is answered as before, and shows its serial.
func stateOf(z listed) (nameserver.ZoneState, error) {
	name, err := zone.ParseName(z.Name)
	if err != nil || z.Name == "" || z.Kind == "" || z.Serial == nil {
		return nameserver.ZoneState{}, fmt.Errorf("%w: a zone without a name, a kind or a serial: %s", nameserver.ErrAnswer, nameserver.Printable(z.Name))
	}
	s := nameserver.ZoneState{Name: name.Lower(), Role: roleOf(z.Kind), Origin: nameserver.Runtime, Detail: "kind " + nameserver.Printable(z.Kind)}
	if len(z.Masters) > 0 {
		s.Detail += ", masters " + nameserver.Printable(strings.Join(z.Masters, " "))
	}
	if z.Catalog != "" {
		s.Origin = nameserver.Cataloged
		s.Detail += ", in catalog " + nameserver.Printable(z.Catalog)
	}
	switch {
	case *z.Serial != 0:
		s.Serial = new(zone.Serial(*z.Serial))
	case s.Role != nameserver.Other:
		s.Expired = true
		s.Detail += ", never loaded"
	}
	return s, nil
}

// roleOf maps the zone kinds. Producer and Consumer are catalog zones.
func roleOf(kind string) nameserver.Role {
	switch strings.ToLower(kind) {
	case "slave", "secondary":
		return nameserver.Secondary
	case "native", "master", "primary":
		return nameserver.Primary
	}
	return nameserver.Other
}

// details are what the API says of one zone.
type details struct {
	listed
	Account       string   `json:"account"`
	SOAEdit       string   `json:"soa_edit"`
	SOAEditAPI    string   `json:"soa_edit_api"`
	APIRectify    bool     `json:"api_rectify"`
	DNSSEC        bool     `json:"dnssec"`
	PrimaryKeys   []string `json:"master_tsig_key_ids"` // who may transfer it from here
	SecondaryKeys []string `json:"slave_tsig_key_ids"`  // what it is transferred with; the first counts
}

// Zone reads one zone afresh.
func (d *driver) Zone(ctx context.Context, name zone.Name) (nameserver.ZoneState, error) {
	_, s, err := d.look(ctx, name)
	if err != nil {
		return nameserver.ZoneState{}, fmt.Errorf("look at zone %s: %w", name, err)
	}
	return s, nil
}

// look reads a zone and what it means.
func (d *driver) look(ctx context.Context, name zone.Name) (details, nameserver.ZoneState, error) {
	var z details
	err := d.call(ctx, http.MethodGet, "/zones/"+id(name)+"?rrsets=false", nil, &z)
	if errors.Is(err, errNotFound) {
		err = d.absent(ctx, name)
	}
	if err != nil {
		return z, nameserver.ZoneState{}, err
	}
	s, err := stateOf(z.listed)
	if err != nil {
		return z, s, err
	}
	if !s.Name.Equal(name) {
		return z, s, fmt.Errorf("%w: it shows zone %s", nameserver.ErrAnswer, s.Name)
	}
	if s.Primaries, s.Known, err = z.primaries(); err != nil {
		return z, s, err
	}
	if z.DNSSEC { // signed here, or signed when it came
		presigned, err := d.metadata(ctx, name, "PRESIGNED")
		if err != nil {
			return z, s, err
		}
		if s.Signs = len(presigned) == 0 || presigned[0] != "1"; s.Signs {
			s.Detail += ", signed here"
		}
	}
	return z, s, nil
}

// absent is ErrNoZone when the server says so in as many words: status 404 alone
// may come from anything on the way.
func (d *driver) absent(ctx context.Context, name zone.Name) error {
	found, err := d.lists(ctx, name)
	switch {
	case err != nil:
		return err
	case found:
		return fmt.Errorf("%w: it lists the zone, and does not find it", nameserver.ErrAnswer)
	}
	return nameserver.ErrNoZone
}

// lists says whether the server lists the zone.
func (d *driver) lists(ctx context.Context, name zone.Name) (found bool, err error) {
	if New().CanHold(name) != nil {
		return false, nil // it refuses the question
	}
	err = d.list(ctx, "?dnssec=false&zone="+url.QueryEscape(nameText(name)), func(z listed) error {
		found = true
		if n, err := zone.ParseName(z.Name); err != nil || !n.Equal(name) {
			return fmt.Errorf("%w: asked for one zone, it lists %s", nameserver.ErrAnswer, nameserver.Printable(z.Name))
		}
		return nil
	})
	return found, err
}

// primaries are the zone's primaries; known is false when they are not
// addresses.
func (z details) primaries() (list []nameserver.PrimaryRef, known bool, err error) {
	var key zone.Name
	if len(z.SecondaryKeys) > 0 {
		if key, err = zone.ParseName(z.SecondaryKeys[0]); err != nil {
			return nil, false, fmt.Errorf("%w: TSIG key: %w", nameserver.ErrAnswer, err)
		}
		key = key.Lower()
	}
	for _, m := range z.Masters {
		addr, err := netip.ParseAddrPort(m)
		if err != nil {
			a, err := netip.ParseAddr(strings.Trim(m, "[]"))
			if err != nil {
				return nil, false, nil
			}
			addr = netip.AddrPortFrom(a, 53)
		}
		list = append(list, nameserver.PrimaryRef{Addr: netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port()), Key: key})
	}
	return list, true, nil
}

// metadata is one kind of a zone's metadata.
func (d *driver) metadata(ctx context.Context, name zone.Name, kind string) ([]string, error) {
	var m metadata
	err := d.call(ctx, http.MethodGet, metadataPath(name, kind), nil, &m)
	if errors.Is(err, errNotFound) {
		err = d.absent(ctx, name)
	}
	return m.Values, err
}

// metadata of a zone, of one kind.
type metadata struct {
	Kind   string   `json:"kind"`
	Values []string `json:"metadata"`
}

func metadataPath(name zone.Name, kind string) string {
	return "/zones/" + id(name) + "/metadata/" + url.PathEscape(kind)
}
