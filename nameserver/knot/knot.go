// Package knot is the driver for Knot DNS (tried with 3.2 and 3.4): its control socket, on
// this host or through ssh, and the configuration of a new server.
package knot

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"strconv"
	"strings"

	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/secret"
	"dnsctl/zone"
)

// defaultSocket is where Debian's knotd listens.
const defaultSocket = "/run/knot/knot.sock"

// Type is Knot DNS as a kind of nameserver.
type Type struct{}

var _ nameserver.Type = Type{}

// New is the type for the list of nameserver types.
func New() Type { return Type{} }

// Name is "knot".
func (Type) Name() string { return "knot" }

// KeysByZone is true: a key counts where an acl of the zone names it.
func (Type) KeysByZone() bool { return true }

// Keyless is true of every server: who may open the socket may do everything.
func (Type) Keyless(fleet.Server) bool { return true }

// NewCredential makes none.
func (Type) NewCredential() (secret.Plain, error) { return secret.Plain{}, nil }

var errKeyFile = errors.New("a control socket has no credential: its permissions decide, and those of ssh where it is on another host")

// ReadCredential takes none.
func (Type) ReadCredential(file []byte) (secret.Plain, error) {
	if len(file) > 0 {
		return secret.Plain{}, errKeyFile
	}
	return secret.Plain{}, nil
}

// Check says what is wrong with a server's settings.
func (Type) Check(s fleet.Server) error {
	_, err := endpointOf(s)
	return err
}

// Open makes a driver.
func (Type) Open(t nameserver.Target) (nameserver.Driver, error) {
	e, err := endpointOf(t.Server)
	if err != nil {
		return nil, err
	}
	return &driver{to: e.dialer(), busyFor: busyFor, key: t.Key, keys: map[zone.Name]bool{}}, nil
}

// endpoint is where a control socket is.
type endpoint struct {
	socket string // its path, on that host
	host   string // "" for this one
	user   string // "" for what ssh's configuration says
	port   int    // 0: the same
}

func (e endpoint) dialer() dialer {
	if e.host == "" {
		return socket(e.socket)
	}
	return &tunnel{endpoint: e}
}

var errEndpoint = errors.New("bad server settings")

// maxSocket is how long a socket's path may be, unix(7).
const maxSocket = 107

// endpointOf reads a server's control URL: unix:PATH, or ssh://[USER@]HOST[:PORT]/PATH.
// Without one it is Debian's socket on this host.
func endpointOf(s fleet.Server) (endpoint, error) {
	e := endpoint{socket: defaultSocket}
	fail := func(what string) (endpoint, error) {
		return e, fmt.Errorf("%w: control URL %q: %s; want unix:PATH, or ssh://HOST/PATH", errEndpoint, shown(s.Control), what)
	}
	switch {
	case s.View != "":
		return e, fmt.Errorf("%w: view %q: Knot DNS has no views", errEndpoint, s.View)
	case s.Stats != "":
		return e, fmt.Errorf("%w: statistics URL %q: Knot DNS needs none", errEndpoint, s.Stats)
	case s.Control == "":
		return e, nil
	}
	u, err := url.Parse(s.Control)
	if err != nil {
		return fail("not a URL")
	}
	if u.RawQuery != "" || u.Fragment != "" {
		return fail("more than a host and a path")
	}
	switch e.socket = u.Path; u.Scheme {
	case "unix":
		if u.Host != "" || u.User != nil {
			return fail("a socket on this host has no host in its URL")
		}
		if u.Opaque != "" {
			return fail("not an absolute path")
		}
	case "ssh":
		if _, has := u.User.Password(); has {
			return fail("it carries a password, which ssh would not take")
		}
		e.host, e.user = u.Hostname(), u.User.Username()
		if !plainWord(e.host) || e.user != "" && !plainWord(e.user) {
			return fail("host or user")
		}
		if p := u.Port(); p != "" {
			if e.port, err = strconv.Atoi(p); err != nil || e.port < 1 || e.port > 65535 {
				return fail(fmt.Sprintf("port %q", p))
			}
		}
	default:
		return fail(fmt.Sprintf("scheme %q", u.Scheme))
	}
	switch {
	case !path.IsAbs(e.socket) || strings.HasSuffix(e.socket, "/"):
		return fail("not the absolute path of a socket")
	case len(e.socket) > maxSocket:
		return fail(fmt.Sprintf("a path of %d octets, a socket's has at most %d", len(e.socket), maxSocket))
	case strings.ContainsFunc(e.socket, func(r rune) bool { return r < ' ' || r == 0x7f }),
		e.host != "" && strings.ContainsAny(e.socket, ":%$[]*?\\ "):
		return fail("the path has characters that cannot stand there")
	}
	return e, nil
}

// plainWord says whether ssh takes a text as a host or a user, and as nothing else.
func plainWord(text string) bool {
	return text != "" && text[0] != '-' && !strings.ContainsFunc(text, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(".-_:", r))
	})
}

// shown is a URL without what may be a password in it.
func shown(text string) string {
	scheme, rest, ok := strings.Cut(text, "://")
	if _, host, has := strings.Cut(rest, "@"); ok && has {
		return scheme + "://...@" + host
	}
	return text
}

// CatalogsSince is when Knot DNS interprets catalog zones.
func (Type) CatalogsSince() nameserver.Release { return nameserver.Release{Major: 3, Minor: 0} }
