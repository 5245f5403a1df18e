// Package nsd is the driver for NSD (tried with 4.6 and 4.12): its control protocol spoken
// natively, over TLS or a socket on this host, and the configuration of a new
// server.
package nsd

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"

	"dnsctl/dnsclient"
	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/secret"
)

// defaultPort is that of the control channel where the URL leaves it out.
const defaultPort = 8952

// Type is NSD as a kind of nameserver.
type Type struct{}

var (
	_ nameserver.Type          = Type{}
	_ nameserver.CredentialDir = Type{}
	_ nameserver.Keyless       = Type{}
)

// New is the type for the list of nameserver types.
func New() Type { return Type{} }

// Name is "nsd".
func (Type) Name() string { return "nsd" }

// TransfersTLS is true: NSD does since 4.6.
func (Type) TransfersTLS() bool { return true }

// Keyless says whether the control channel is a socket on this host.
func (Type) Keyless(s fleet.Server) bool { return strings.HasPrefix(s.Control, "unix:") }

// Check says what is wrong with a server's settings.
func (Type) Check(s fleet.Server) error {
	_, err := controlOf(s)
	return err
}

// Open makes a driver.
func (Type) Open(t nameserver.Target) (nameserver.Driver, error) {
	e, err := controlOf(t.Server)
	if err != nil {
		return nil, err
	}
	d := &driver{server: t.Server.Name, dns: &dnsclient.Client{}, addr: t.Server.ProbeAddr(), transfer: t.Transfer}
	if e.path != "" {
		d.control = channel{network: "unix", addr: e.path}
		return d, nil
	}
	c, err := readCredential(t.Credential.Reveal())
	if err != nil {
		return nil, fmt.Errorf("control credential of server %q: %w", t.Server.Name, err)
	}
	d.control = channel{network: "tcp", addr: e.addr.String(), tls: c.config()}
	return d, nil
}

// ReadCredential reads certificates and keys in PEM (RFC 7468), in any order: the
// server's certificate, and the key and certificate that nsd-control has.
func (Type) ReadCredential(file []byte) (secret.Plain, error) {
	c, err := readCredential(file)
	if err != nil {
		return secret.Plain{}, err
	}
	c.serverKey = nil // the server's own business
	return c.plain(), nil
}

// NewCredential makes a server's key and certificate, and a client's that this one
// vouches for, as nsd-control-setup does.
func (Type) NewCredential() (secret.Plain, error) {
	c, err := newCredential()
	if err != nil {
		return secret.Plain{}, err
	}
	return c.plain(), nil
}

// CredentialFiles are the files of nsd-control-setup that a client needs.
func (Type) CredentialFiles() []string {
	return []string{serverCertFile, controlKeyFile, controlCertFile}
}

var errEndpoint = errors.New("bad server settings")

// endpoint is where a control channel is: an address, or the path of a socket.
type endpoint struct {
	addr netip.AddrPort
	path string
}

// controlOf reads a server's control URL: tls://IP:PORT, or unix:PATH of a socket
// on this host. Without one it is TLS at the server's own address.
func controlOf(s fleet.Server) (endpoint, error) {
	switch {
	case s.View != "":
		return endpoint{}, fmt.Errorf("%w: view %q: NSD has no views", errEndpoint, s.View)
	case s.Stats != "":
		return endpoint{}, fmt.Errorf("%w: statistics URL %q: NSD needs none", errEndpoint, s.Stats)
	case !s.Address.IsValid():
		return endpoint{}, fmt.Errorf("%w: the server has no address", errEndpoint)
	case s.Control == "":
		return endpoint{addr: netip.AddrPortFrom(s.Address.Addr().Unmap(), defaultPort)}, nil
	}
	fail := func(what string) (endpoint, error) {
		return endpoint{}, fmt.Errorf("%w: control URL %q: %s; want tls://IP:PORT or unix:PATH", errEndpoint, s.Control, what)
	}
	if path, ok := strings.CutPrefix(s.Control, "unix:"); ok {
		if path = "/" + strings.TrimLeft(path, "/"); !strings.HasPrefix(s.Control, "unix:/") || !plainPath(path) || len(path) > 107 { // unix(7)
			return fail("want an absolute path of at most 107 octets, without quotes and backslashes")
		}
		return endpoint{path: filepath.Clean(path)}, nil
	}
	u, err := url.Parse(s.Control)
	switch {
	case err != nil:
		return fail("not a URL")
	case u.Scheme != "tls":
		return fail(fmt.Sprintf("scheme %q", u.Scheme))
	case u.User != nil, u.RawQuery != "", u.Fragment != "", u.Path != "" && u.Path != "/", u.Opaque != "":
		return fail("more than an address and a port")
	}
	addr, err := netip.ParseAddr(u.Hostname())
	if err != nil {
		return fail(fmt.Sprintf("host %q is not an IP address", u.Hostname()))
	}
	port := uint64(defaultPort)
	if p := u.Port(); p != "" {
		if port, err = strconv.ParseUint(p, 10, 16); err != nil || port == 0 {
			return fail(fmt.Sprintf("port %q", p))
		}
	}
	return endpoint{addr: netip.AddrPortFrom(addr.Unmap(), uint16(port))}, nil
}

// plainPath says whether a path can stand in quotes in nsd.conf, which knows no
// escapes.
func plainPath(path string) bool {
	return !strings.ContainsFunc(path, func(r rune) bool { return r < ' ' || r == '"' || r == '\\' || r == '%' || r == 0x7f })
}

// minTLS is what NSD has spoken for long.
const minTLS = tls.VersionTLS12

// CatalogsSince is when NSD takes its zones from one.
func (Type) CatalogsSince() nameserver.Release { return nameserver.Release{Major: 4, Minor: 9} }
