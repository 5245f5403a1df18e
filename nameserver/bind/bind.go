package bind

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"dnsctl/dnsclient"
	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/secret"
)

// Ports of a server whose URLs leave them out.
const (
	defaultControlPort = 953
	defaultStatsPort   = 8053
)

// Type is BIND 9 as a kind of nameserver.
type Type struct{}

var _ nameserver.Type = Type{}

// New is the type for the list of nameserver types.
func New() Type { return Type{} }

// Name is "bind".
func (Type) Name() string { return "bind" }

// TransfersTLS is true: BIND does since 9.18.
func (Type) TransfersTLS() bool { return true }

// NewCredential makes a random rndc key.
func (Type) NewCredential() (secret.Plain, error) {
	k, err := newKey("dnsctl-rndc")
	if err != nil {
		return secret.Plain{}, err
	}
	return k.plain(), nil
}

// ReadCredential reads the key statement of an rndc.key or named.conf file; the
// first one counts. The credential is that statement, written anew.
func (Type) ReadCredential(file []byte) (secret.Plain, error) {
	k, err := readKey(file)
	if err != nil {
		return secret.Plain{}, err
	}
	return k.plain(), nil
}

// Check says what is wrong with a server's addresses and view.
func (Type) Check(s fleet.Server) error {
	_, err := endpointsOf(s)
	return err
}

// Open makes a driver.
func (Type) Open(t nameserver.Target) (nameserver.Driver, error) {
	e, err := endpointsOf(t.Server)
	if err != nil {
		return nil, err
	}
	k, err := readKey(t.Credential.Reveal())
	if err != nil {
		return nil, fmt.Errorf("control credential of server %q: %w", t.Server.Name, err)
	}
	return &driver{
		control:  rndc{addr: e.control.String(), key: k},
		stats:    "http://" + e.stats.String(),
		view:     e.view,
		transfer: t.Transfer,
		key:      t.Key,
		dns:      &dnsclient.Client{},
		addr:     t.Server.ProbeAddr(),
	}, nil
}

// endpoints of a server.
type endpoints struct {
	control, stats netip.AddrPort
	view           string
}

var errEndpoint = errors.New("bad server settings")

// endpointsOf reads a server's URLs: rndc://IP:PORT and http://IP:PORT. Where
// one is missing it is the server's own address with the usual port.
func endpointsOf(s fleet.Server) (endpoints, error) {
	e := endpoints{view: s.View}
	var err error
	if e.control, err = endpoint(s.Control, "rndc", s.Address.Addr(), defaultControlPort); err != nil {
		return e, fmt.Errorf("%w: control URL %q: %w; want rndc://IP:PORT", errEndpoint, s.Control, err)
	}
	if e.stats, err = endpoint(s.Stats, "http", s.Address.Addr(), defaultStatsPort); err != nil {
		return e, fmt.Errorf("%w: statistics URL %q: %w; want http://IP:PORT", errEndpoint, s.Stats, err)
	}
	if e.view == "" {
		e.view = "_default"
	}
	if e.view == "_bind" || strings.Trim(strings.ToLower(e.view), "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" {
		// addzone takes the view's name as a bare word only.
		return e, fmt.Errorf("%w: view %q: over the control channel named takes letters, digits, dot, - and _ only", errEndpoint, e.view)
	}
	return e, nil
}

func endpoint(text, scheme string, server netip.Addr, port uint16) (netip.AddrPort, error) {
	if text == "" {
		if !server.IsValid() {
			return netip.AddrPort{}, errors.New("the server has no address")
		}
		return netip.AddrPortFrom(server, port), nil
	}
	u, err := url.Parse(text)
	if err != nil {
		return netip.AddrPort{}, errors.New("not a URL")
	}
	switch {
	case u.Scheme != scheme:
		return netip.AddrPort{}, fmt.Errorf("scheme %q", u.Scheme)
	case u.User != nil, u.RawQuery != "", u.Fragment != "", u.Path != "" && u.Path != "/", u.Opaque != "":
		return netip.AddrPort{}, errors.New("more than an address and a port")
	}
	addr, err := netip.ParseAddr(u.Hostname())
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("host %q is not an IP address", u.Hostname())
	}
	if p := u.Port(); p != "" {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return netip.AddrPort{}, fmt.Errorf("port %q", p)
		}
		port = uint16(n)
	}
	return netip.AddrPortFrom(addr.Unmap(), port), nil
}

// CatalogsSince is when BIND takes those of RFC 9432.
func (Type) CatalogsSince() nameserver.Release { return nameserver.Release{Major: 9, Minor: 18} }
