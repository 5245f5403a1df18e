package nsd

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"dnsctl/nameserver"
	"dnsctl/report"
	"dnsctl/zone"
)

// Names of the files that Config makes, beside those of the control channel.
const (
	configFile = "nsd.conf"
	keysFile   = "keys.conf"
	bundleFile = "primaries.pem"
	readmeFile = "README"
	dataFolder = "data"
	debianData = "/var/lib/nsd"
)

// Config makes the complete configuration of a new server: nsd.conf with a pattern
// for each way that zones come, the secrets apart from it, and how to install
// both. It declares no zone. Zones are kept in the folder data, or for a Dir below
// /etc, which is Debian's way to run it, in /var/lib/nsd.
func (Type) Config(r nameserver.ConfigRequest) ([]nameserver.File, error) {
	e, err := controlOf(r.Server)
	if err != nil {
		return nil, err
	}
	switch {
	case r.Database != "":
		return nil, fmt.Errorf("%w: a database: NSD keeps its zones in files", errEndpoint)
	case !filepath.IsAbs(r.Dir) || !plainPath(r.Dir):
		return nil, fmt.Errorf("%w: folder %q: want an absolute path without quotes, backslashes and %%", errEndpoint, r.Dir)
	}
	if err := checkTLS(r); err != nil {
		return nil, err
	}
	for _, z := range settings(r) {
		z.Name = zone.Root
		if err := check(z); err != nil {
			return nil, err
		}
	}
	keys, err := keysText(r.Keys)
	if err != nil {
		return nil, err
	}
	files := []nameserver.File{
		{Path: configFile, Mode: 0o644, Content: []byte(nsdConf(r, e))},
		{Path: keysFile, Mode: 0o640, Content: []byte(keys), Secret: true},
		{Path: readmeFile, Mode: 0o644, Content: []byte(readme(r, e))},
	}
	if e.path == "" {
		c, err := readCredential(r.Credential.Reveal())
		if err != nil || c.serverKey == nil {
			return nil, fmt.Errorf("control credential of server %q: %w", r.Server.Name, errors.Join(errCredential, err))
		}
		files = append(files,
			nameserver.File{Path: serverKeyFile, Mode: 0o640, Content: keyPEM(c.serverKey), Secret: true},
			nameserver.File{Path: serverCertFile, Mode: 0o644, Content: certPEM(c.server)},
			nameserver.File{Path: controlKeyFile, Mode: 0o640, Content: keyPEM(c.controlKey), Secret: true},
			nameserver.File{Path: controlCertFile, Mode: 0o644, Content: certPEM(c.control)})
	}
	if b := bundle(r); b != "" {
		files = append(files, nameserver.File{Path: bundleFile, Mode: 0o644, Content: []byte(b)})
	}
	if dataDir(r) != debianData {
		files = append(files, nameserver.File{Path: filepath.Join(dataFolder, readmeFile), Mode: 0o644,
			Content: []byte("nsd keeps its zones here.\n")})
	}
	return files, nil
}

// dataDir is the folder that nsd works in and writes to.
func dataDir(r nameserver.ConfigRequest) string {
	if strings.HasPrefix(filepath.Clean(r.Dir)+"/", "/etc/") {
		return debianData
	}
	return filepath.Join(r.Dir, dataFolder)
}

// bundle is the CAs of the pools' primaries, one after the other: NSD has one list.
func bundle(r nameserver.ConfigRequest) string {
	var b strings.Builder
	for _, t := range r.TLS {
		if t.CA != "" {
			b.WriteString(strings.TrimSuffix(t.CA, "\n") + "\n")
		}
	}
	return b.String()
}

// algorithms are those of nsd.conf(5).
var algorithms = []string{"hmac-sha256", "hmac-sha384", "hmac-sha512", "hmac-sha224", "hmac-sha1", "hmac-md5"}

func keysText(keys []nameserver.KeyConfig) (string, error) {
	var b strings.Builder
	b.WriteString("# Secrets: readable by nsd only. They sign transfers.\n")
	for _, k := range keys {
		algorithm := ""
		for _, a := range algorithms {
			if strings.HasPrefix(k.Algorithm.Lower().String(), a+".") {
				algorithm = a
			}
		}
		if algorithm == "" {
			return "", fmt.Errorf("%w: TSIG key %s: NSD has no algorithm %s", errEndpoint, k.Name, k.Algorithm)
		}
		if strings.Contains(keyName(k.Name), `"`) {
			return "", fmt.Errorf("%w: TSIG key %s: nsd.conf knows no quotes in names", errEndpoint, k.Name)
		}
		b.WriteString(nameserver.KeyText("nsd", keyName(k.Name), algorithm, base64.StdEncoding.EncodeToString(k.Secret.Reveal())))
	}
	return b.String(), nil
}

// checkTLS refuses pools whose primaries NSD could not check: it goes by the name in
// their certificate, and by the one list of CAs that it has.
func checkTLS(r nameserver.ConfigRequest) error {
	for _, t := range r.TLS {
		if t.CA == "" || t.Host == "" {
			pool := strings.TrimPrefix(t.Name, "dnsctl-")
			return report.Fail(report.ExitUsage, fmt.Errorf("%w: NSD checks the certificates of primaries by their CA and by name, and pool %s does not have both", errEndpoint, pool),
				"dnsctl pool set "+pool+" --tls-ca FILE --tls-name NAME")
		}
	}
	return nil
}

// tlsText is how NSD reaches primaries over TLS; patterns name it.
func tlsText(t nameserver.TLSConfig) string {
	text := fmt.Sprintf("tls-auth:\n    name: \"%s\"\n", t.Name)
	if t.Host != "" {
		text += fmt.Sprintf("    auth-domain-name: \"%s\"\n", t.Host)
	}
	return text
}

func nsdConf(r nameserver.ConfigRequest, e endpoint) string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	data := dataDir(r)
	p("# NSD as a secondary of dnsctl, server \"%s\". Zones are added over the control\n# channel, by the patterns below; none is declared here.\n\n", plainText(r.Server.Name))
	p("server:\n    ip-address: %s\n", addrText(r.Server.Address))
	user := ""
	if data == debianData {
		user = "nsd"
	}
	p("    username: \"%s\"\n    zonesdir: \"%s\"\n    zonelistfile: \"%s/zone.list\"\n    xfrdfile: \"%s/xfrd.state\"\n", user, data, data, data)
	p("    # A file for each transfer, for a moment. On ext4 very many zones come in half the\n    # time with this on a tmpfs that has room for all that is transferred at a time.\n    xfrdir: \"%s\"\n", data)
	p("    pidfile: \"%s/nsd.pid\"\n    logfile: \"%s/nsd.log\"\n    verbosity: 1\n\n", data, data)
	p("    hide-version: yes\n    identity: \"%s\"\n    minimal-responses: yes\n    refuse-any: yes\n    tcp-count: 250\n\n", plainText(r.Server.Name))
	p("    # Zones come and go over the control channel, many at a time. They are kept in\n    # files, which are written within a minute.\n")
	p("    database: \"\"\n    zonefiles-write: 60\n    xfrd-tcp-max: 512\n    xfrd-tcp-pipeline: 128\n    xfrd-reload-timeout: 1\n")
	if bundle(r) != "" {
		p("\n    # Who vouches for the primaries.\n    tls-cert-bundle: \"%s\"\n", filepath.Join(r.Dir, bundleFile))
	}
	p("\nremote-control:\n    control-enable: yes\n")
	if e.path != "" {
		p("    control-interface: \"%s\"\n", e.path)
	} else {
		p("    control-interface: %s\n    control-port: %d\n", e.addr.Addr(), e.addr.Port())
		for _, f := range []struct{ option, file string }{{"server-key-file", serverKeyFile}, {"server-cert-file", serverCertFile},
			{"control-key-file", controlKeyFile}, {"control-cert-file", controlCertFile}} {
			p("    %s: \"%s\"\n", f.option, filepath.Join(r.Dir, f.file))
		}
	}
	p("\ninclude: \"%s\"\n", filepath.Join(r.Dir, keysFile))
	for _, t := range r.TLS {
		p("\n# Transfers over TLS (RFC 9103). Where the primaries want a certificate from us:\n# client-cert and client-key.\n%s", tlsText(t))
	}
	for _, z := range settings(r) {
		p("\n%s", patternText(z, filepath.Join(data, "zones"), r.ProbeFrom))
	}
	return b.String()
}

// plainText is text with what cannot stand in quotes replaced.
func plainText(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == '"' || r == '\\' || r > '~' {
			return '_'
		}
		return r
	}, text)
}

func readme(r nameserver.ConfigRequest, e endpoint) string {
	control := "the socket " + e.path
	secrets := keysFile
	if e.path == "" {
		control = e.addr.String()
		secrets = strings.Join([]string{keysFile, serverKeyFile, controlKeyFile}, " ")
	}
	return fmt.Sprintf(`NSD configuration for server %[1]q, made by dnsctl.

  %[3]s   the configuration; no secrets, no zones
  %[4]s
             TSIG keys, and the keys of the control channel: secrets
  %[5]s
             where nsd keeps its zones; it alone writes there

It listens on %[6]s (DNS) and %[7]s (control).

To run it as user nsd, as Debian does:

  chown -R root:nsd %[2]s
  chmod 0750 %[2]s
  cd %[2]s && chmod 0640 %[4]s
  chown -R nsd:nsd %[5]s
  nsd-checkconf %[2]s/%[3]s
  nsd -u nsd -c %[2]s/%[3]s

To run it as yourself, on ports above 1023, leave the owners as they are:

  nsd -c %[2]s/%[3]s

When the pools' primaries or keys change, dnsctl bootstrap %[1]s says which
patterns are missing. Add them to %[3]s, and the keys to %[8]s, and have nsd
read both: nsd-control -c %[2]s/%[3]s reconfig
Leave the patterns that are there: NSD goes wrong when one that zones still have
is taken away while it runs.

NSD does not remove the files of zones that were deleted; no zone reads them again.

Then: dnsctl bootstrap %[1]s --wait
`, r.Server.Name, r.Dir, configFile, secrets, dataDir(r), r.Server.Address, control, keysFile)
}

// CheckConfig runs nsd-checkconf on a written configuration. checked is false when
// the program is not installed.
func (Type) CheckConfig(ctx context.Context, dir string) (checked bool, err error) {
	return nameserver.RunChecker(ctx, "nsd-checkconf", filepath.Join(dir, configFile))
}
