// Package powerdns is the driver for the PowerDNS Authoritative Server (tried
// with 4.7 and 4.9, on its SQLite and its PostgreSQL backend): its HTTP API, and the
// configuration of a new server.
package powerdns

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/nameserver/httpjson"
	"dnsctl/secret"
	"dnsctl/zone"
)

// defaultPort is the API's, of a server whose URL leaves it out.
const defaultPort = 8081

// apiPath is where the API is below the control URL. A pdns_server has one
// server, which it calls localhost.
const apiPath = "/api/v1/servers/localhost"

// Type is PowerDNS as a kind of nameserver.
type Type struct{}

var _ nameserver.Type = Type{}

// New is the type for the list of nameserver types.
func New() Type { return Type{} }

// Name is "powerdns".
func (Type) Name() string { return "powerdns" }

// NewCredential makes a random API key.
func (Type) NewCredential() (secret.Plain, error) {
	var b [24]byte
	if _, err := rand.Read(b[:]); err != nil {
		return secret.Plain{}, fmt.Errorf("make API key: %w", err)
	}
	return secret.New([]byte(hex.EncodeToString(b[:]))), nil
}

var errKeyFile = errors.New("not an API key")

// ReadCredential reads an API key: the file's only line, or its line api-key=KEY
// where it is a pdns.conf. Certificates of CAs may follow it, in PEM (RFC 7468):
// what an https control URL leads to has one of theirs.
func (Type) ReadCredential(file []byte) (secret.Plain, error) {
	text, certificates := cutPEM(string(file))
	var lines []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if key, ok := strings.CutPrefix(line, "api-key="); ok {
			lines = []string{strings.TrimSpace(key)}
			break
		}
		if line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	if len(lines) != 1 {
		return secret.Plain{}, fmt.Errorf("%w: want one line with the key, or a pdns.conf with api-key=KEY", errKeyFile)
	}
	credential := secret.New([]byte(lines[0] + "\n" + certificates))
	if certificates == "" {
		credential = secret.New([]byte(lines[0]))
	}
	_, _, err := readCredential(credential)
	return credential, err
}

// cutPEM takes the certificates off that follow a key.
func cutPEM(text string) (key, certificates string) {
	if i := strings.Index(text, "-----BEGIN "); i >= 0 {
		return text[:i], text[i:]
	}
	return text, ""
}

// readCredential is the API key of a credential, and the CAs that vouch for the
// server; nil: the system's.
func readCredential(credential secret.Plain) (key string, roots *x509.CertPool, err error) {
	key, rest := cutPEM(string(credential.Reveal()))
	key = strings.TrimSuffix(key, "\n")
	if err := checkKeyText(key); err != nil || rest == "" {
		return key, nil, err
	}
	roots = x509.NewCertPool()
	for left := []byte(rest); len(bytes.TrimSpace(left)) > 0; {
		var block *pem.Block
		if block, left = pem.Decode(left); block == nil || block.Type != "CERTIFICATE" {
			return "", nil, fmt.Errorf("%w: below the key there is more than certificates in PEM", errKeyFile)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return "", nil, fmt.Errorf("%w: a certificate below the key: %w", errKeyFile, err)
		}
		roots.AddCert(c)
	}
	return key, roots, nil
}

// checkKeyText makes sure that a key can stand in a header and in pdns.conf. The
// error never shows it.
func checkKeyText(key string) error {
	switch {
	case key == "" || len(key) > 512:
		return fmt.Errorf("%w: want 1 to 512 characters", errKeyFile)
	case strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }):
		return fmt.Errorf("%w: it has characters that cannot stand in an HTTP header", errKeyFile)
	case strings.HasPrefix(key, "$scrypt$"):
		return fmt.Errorf("%w: it is the hash of one", errKeyFile)
	}
	return nil
}

// Check says what is wrong with a server's settings.
func (Type) Check(s fleet.Server) error {
	_, err := baseOf(s)
	return err
}

// Open makes a driver.
func (Type) Open(t nameserver.Target) (nameserver.Driver, error) {
	base, err := baseOf(t.Server)
	if err != nil {
		return nil, err
	}
	key, roots, err := readCredential(t.Credential)
	if err != nil {
		return nil, fmt.Errorf("control credential of server %q: %w", t.Server.Name, err)
	}
	return &driver{
		client:   httpjson.NewClient(http.Header{"X-API-Key": []string{key}}, roots), // as the manual spells it; names in HTTP have no case
		base:     base + apiPath,
		key:      t.Key,
		transfer: t.Transfer,
		keys:     map[zone.Name]bool{},
	}, nil
}

var errEndpoint = errors.New("bad server settings")

// baseOf reads a server's control URL: http://HOST:PORT, or https:// of a proxy
// before it, as PowerDNS speaks no TLS itself. Without one the API is at the
// server's own address.
func baseOf(s fleet.Server) (string, error) {
	switch {
	case s.View != "":
		return "", fmt.Errorf("%w: view %q: PowerDNS has no views", errEndpoint, s.View)
	case s.Stats != "":
		return "", fmt.Errorf("%w: statistics URL %q: PowerDNS needs none", errEndpoint, s.Stats)
	case s.Control == "" && !s.Address.IsValid():
		return "", fmt.Errorf("%w: the server has no address", errEndpoint)
	case s.Control == "":
		return "http://" + netip.AddrPortFrom(s.Address.Addr().Unmap(), defaultPort).String(), nil
	}
	fail := func(what string) (string, error) {
		return "", fmt.Errorf("%w: control URL %q: %s; want http://IP:PORT, or https://HOST of a proxy before it", errEndpoint, shown(s.Control), what)
	}
	u, err := url.Parse(s.Control)
	switch {
	case err != nil:
		return fail("not a URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return fail(fmt.Sprintf("scheme %q", u.Scheme))
	case u.User != nil:
		return fail("it carries a name or a password")
	case u.RawQuery != "", u.Fragment != "", u.Opaque != "":
		return fail("more than a host, a port and a path")
	case u.Hostname() == "":
		return fail("no host")
	}
	return strings.TrimSuffix(u.String(), "/"), nil
}

// shown is a URL without what may be a password in it.
func shown(text string) string {
	scheme, rest, ok := strings.Cut(text, "://")
	if _, host, has := strings.Cut(rest, "@"); ok && has {
		return scheme + "://...@" + host
	}
	return text
}

// CatalogsSince is when PowerDNS has zones of kind Consumer.
func (Type) CatalogsSince() nameserver.Release { return nameserver.Release{Major: 4, Minor: 7} }
