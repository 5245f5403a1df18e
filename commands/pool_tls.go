package commands

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"

	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/report"
	"dnsctl/zone"
)

// applyTLS puts the flags about TLS that were given into the pool's settings.
func (f *poolFlags) applyTLS(given func(string) bool, t *fleet.PoolTLS) error {
	if given("require-tls") {
		if f.requireTLS != t.Require && !given("primary") {
			return usagef("TLS is served at other addresses: give those with --primary", "--require-tls changes where nameservers find mdns")
		}
		t.Require = f.requireTLS
	}
	if given("tls-client") {
		names, err := parseHosts("tls-client", f.tlsClients)
		if err != nil {
			return err
		}
		t.Clients = t.Clients[:0:0]
		for _, n := range names {
			t.Clients = append(t.Clients, certificateName(n))
		}
	}
	if given("tls-name") {
		t.Name = ""
		if f.tlsName != "" {
			names, err := parseHosts("tls-name", []string{f.tlsName})
			if err != nil {
				return err
			}
			t.Name = certificateName(names[0])
		}
	}
	if given("tls-ca") {
		ca, err := readCA(f.tlsCA)
		if err != nil {
			return err
		}
		t.CA = ca
	}
	if t.Name != "" && t.CA == "" {
		return usagef("give the CA as well, with --tls-ca", "--tls-name alone proves nothing: anybody can make a certificate of that name")
	}
	return nil
}

// certificateName is a name as certificates write it.
func certificateName(n zone.Name) string { return strings.TrimSuffix(n.Lower().String(), ".") }

// readCA reads a file of certificates and keeps those, and nothing else of it.
func readCA(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	text, err := readOnce("tls-ca", path)
	if err != nil {
		return "", err
	}
	return parseCA(path, text)
}

// parseCA keeps the certificates of a text, and nothing else of it; place says
// where it is from.
func parseCA(place string, text []byte) (string, error) {
	var out []byte
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return "", usagef("", "--tls-ca %s: %v", place, err)
		}
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes})...)
	}
	if out == nil {
		return "", usagef("it begins with -----BEGIN CERTIFICATE-----", "--tls-ca %s: there is no PEM certificate in it", place)
	}
	return string(out), nil
}

// certificateNames is the subjects of PEM certificates.
func certificateNames(text string) []string {
	names := []string{}
	for block, rest := pem.Decode([]byte(text)); block != nil; block, rest = pem.Decode(rest) {
		if c, err := x509.ParseCertificate(block.Bytes); err == nil {
			names = append(names, c.Subject.String())
		}
	}
	return names
}

// checkServers refuses settings of a pool that a server in it cannot follow: TLS where
// its kind cannot transfer so, another catalog than the one that its zones came with.
func checkServers(p fleet.Pool, servers []fleet.Server) error {
	for _, s := range servers {
		i := slices.IndexFunc(s.Pools, func(q fleet.Pool) bool { return q.ID == p.ID })
		if i < 0 {
			continue
		}
		if s.Provision == fleet.ByCatalog && s.Pools[i].Catalog != p.Catalog {
			return report.Fail(report.ExitUsage, fmt.Errorf("server %s takes its zones from catalog %s of pool %s", s.Name, s.Pools[i].Catalog, p.Name),
				"a pool keeps its catalog while a nameserver has its zones from it: dnsctl server set "+s.Name+" --provision control first")
		}
		s.Pools = []fleet.Pool{p}
		for _, t := range nameserverTypes() {
			if t.Name() != s.Type {
				continue
			}
			if err := nameserver.CheckTLS(t, s); err != nil {
				return report.Fail(report.ExitUsage, err, "take it out of the pool first")
			}
		}
	}
	return nil
}
