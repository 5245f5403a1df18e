package bind

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"

	"dnsctl/nameserver"
	"dnsctl/zone"
)

// Names of the files that Config makes.
const (
	configFile = "named.conf"
	keysFile   = "keys.conf"
	readmeFile = "README"
	dataFolder = "data"
	debianData = "/var/cache/bind"
)

// Config makes the complete configuration of a new server: named.conf, the keys
// apart from it and readable by named only, and how to install both. It
// declares no zone and needs no other file; named may be started with it in
// Dir, where it keeps its zones in the folder data. A Dir below /etc is Debian's
// way to run it: zones are then kept in /var/cache/bind.
func (Type) Config(r nameserver.ConfigRequest) ([]nameserver.File, error) {
	e, err := endpointsOf(r.Server)
	if err != nil {
		return nil, err
	}
	if !r.Server.Address.IsValid() {
		return nil, fmt.Errorf("%w: no address to listen on", errEndpoint)
	}
	if r.Server.View != "" && r.Server.View != "_default" {
		return nil, fmt.Errorf("%w: a new server is made without views", errEndpoint)
	}
	if r.Database != "" {
		return nil, fmt.Errorf("%w: a database: named keeps its zones in files", errEndpoint)
	}
	if !filepath.IsAbs(r.Dir) || strings.ContainsAny(r.Dir, "\"\\\n\r\x00") {
		return nil, fmt.Errorf("%w: folder %q: want an absolute path without quotes and backslashes", errEndpoint, r.Dir)
	}
	control, err := readKey(r.Credential.Reveal())
	if err != nil {
		return nil, fmt.Errorf("control credential of server %q: %w", r.Server.Name, err)
	}
	keys, err := keysText(control, r.Keys)
	if err != nil {
		return nil, err
	}
	files := []nameserver.File{
		{Path: configFile, Mode: 0o644, Content: []byte(namedConf(r, e, control))},
		{Path: keysFile, Mode: 0o640, Content: []byte(keys), Secret: true},
		{Path: readmeFile, Mode: 0o644, Content: []byte(readme(r, e))},
	}
	for _, t := range r.TLS {
		if t.CA != "" {
			files = append(files, nameserver.File{Path: caFile(t), Mode: 0o644, Content: []byte(t.CA)})
		}
	}
	if dataDir(r) != debianData {
		files = append(files, nameserver.File{Path: filepath.Join(dataFolder, readmeFile), Mode: 0o644,
			Content: []byte("named keeps its zones here.\n")})
	}
	return files, nil
}

// dataDir is the folder that named works in and writes to.
func dataDir(r nameserver.ConfigRequest) string {
	if strings.HasPrefix(filepath.Clean(r.Dir)+"/", "/etc/") {
		return debianData
	}
	return filepath.Join(r.Dir, dataFolder)
}

func keysText(control key, keys []nameserver.KeyConfig) (string, error) {
	var b strings.Builder
	b.WriteString("# Secrets: readable by named only. The first key opens the control channel,\n# the others sign transfers.\n")
	b.WriteString(control.text())
	for _, k := range keys {
		algorithm, ok := findAlgorithm(strings.TrimSuffix(k.Algorithm.Lower().String(), "."))
		if !ok {
			return "", fmt.Errorf("%w: TSIG key %s: BIND has no algorithm %s", errEndpoint, k.Name, k.Algorithm)
		}
		name := strings.Trim(nameText(k.Name), `"`)
		if name == control.name {
			return "", fmt.Errorf("%w: TSIG key %s has the control key's name", errEndpoint, k.Name)
		}
		b.WriteString(keyStatement(name, algorithm.name, k.Secret.Reveal()))
	}
	return b.String(), nil
}

func namedConf(r nameserver.ConfigRequest, e endpoints, control key) string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	p("# BIND 9 as a secondary of dnsctl, server %q. %s\n\n", strings.ToValidUTF8(r.Server.Name, "?"), comings(r))
	p("include %s;\n\n", quote(filepath.Join(r.Dir, keysFile)))
	for _, t := range r.TLS {
		p("%s", tlsStatement(r, t))
	}
	from := allowed(r, e)
	p("acl dnsctl {\n%s};\n\n", from)
	p("controls {\n\tinet %s port %d allow { dnsctl; } keys { %s; };\n};\n\n", e.control.Addr(), e.control.Port(), quote(control.name))
	p("statistics-channels {\n\tinet %s port %d allow { dnsctl; };\n};\n\n", e.stats.Addr(), e.stats.Port())

	p("options {\n")
	p("\tdirectory %s;\n", quote(dataDir(r)))
	p("\tpid-file \"named.pid\";\n\tsession-keyfile none;\n\n")
	addr := r.Server.Address.Addr().Unmap()
	v4, v6 := addr.String(), "none"
	if addr.Is6() {
		v4, v6 = "none", addr.String()
	}
	p("\tlisten-on port %d { %s; };\n\tlisten-on-v6 port %d { %s; };\n\n", r.Server.Address.Port(), v4, r.Server.Address.Port(), v6)
	p("\t# An authority only.\n\trecursion no;\n\tallow-query { any; };\n\tallow-query-cache { none; };\n\tallow-update { none; };\n")
	p("\tallow-transfer { %s};\n", transferList(r))
	p("\tallow-notify { %s};\n", notifyList(r))
	p("\tdnssec-validation no;\n\tempty-zones-enable no;\n\tminimal-responses yes;\n\tnotify no;\n\tcheck-names secondary ignore;\n")
	p("\tversion none;\n\thostname none;\n\tserver-id %s;\n\n", quote(plainText(r.Server.Name)))
	p("\t# Zones come and go over the control channel, many at a time.\n\tallow-new-zones yes;\n\tzone-statistics terse;\n")
	p("\ttransfers-in 200;\n\ttransfers-per-ns 200;\n\tserial-query-rate 5000;\n\tstartup-notify-rate 5000;\n\tnotify-rate 5000;\n\ttcp-clients 2000;\n")
	if r.Catalog.Name != "" {
		p("\n\t# Its zones are those of a catalog (RFC 9432).\n\t%s\n", catalogOption(r.Catalog))
	}
	p("};\n\n")
	if r.Catalog.Name != "" {
		p("%s\n\n", catalogZone(r.Catalog))
	}

	p("logging {\n\tchannel dnsctl_log { file \"named.log\" versions 3 size 20m; severity info; print-time iso8601; print-category yes; print-severity yes; };\n")
	p("\tcategory default { dnsctl_log; };\n\tcategory lame-servers { null; };\n};\n")
	return b.String()
}

// comings says how zones come.
func comings(r nameserver.ConfigRequest) string {
	if r.Catalog.Name != "" {
		return "Zones come and go with a\n# catalog; it alone is declared here."
	}
	return "Zones are added over the control\n# channel; none is declared here."
}

// caFile is where the certificates of a TLS configuration's CA are.
func caFile(t nameserver.TLSConfig) string { return t.Name + ".pem" }

// tlsStatement is how zones reach primaries over TLS; they name it.
func tlsStatement(r nameserver.ConfigRequest, t nameserver.TLSConfig) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Transfers over TLS (RFC 9103). Where the primaries want a certificate from us:\n# cert-file and key-file.\ntls %s {\n", quote(t.Name))
	if t.CA != "" {
		fmt.Fprintf(&b, "\tca-file %s;\n", quote(filepath.Join(r.Dir, caFile(t))))
		if t.Host != "" {
			fmt.Fprintf(&b, "\tremote-hostname %s;\n", quote(t.Host))
		}
	}
	b.WriteString("\tprotocols { TLSv1.3; };\n};\n\n")
	return b.String()
}

// plainText is text with what named's lexer treats specially replaced.
func plainText(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == '"' || r == '\\' || r > '~' {
			return '_'
		}
		return r
	}, text)
}

// allowed lists who may use the control and statistics channels: where our
// questions come from, the primaries, and the host itself where a channel is on
// loopback.
func allowed(r nameserver.ConfigRequest, e endpoints) string {
	var b strings.Builder
	seen := map[netip.Prefix]bool{}
	put := func(p netip.Prefix) {
		if p = p.Masked(); !seen[p] {
			seen[p] = true
			fmt.Fprintf(&b, "\t%s;\n", p)
		}
	}
	for _, p := range r.ProbeFrom {
		put(p)
	}
	for _, p := range r.Primaries { // the keeper runs beside a primary
		a := p.Addr().Unmap()
		put(netip.PrefixFrom(a, a.BitLen()))
	}
	for _, a := range []netip.Addr{e.control.Addr(), e.stats.Addr()} {
		if a.IsLoopback() || len(seen) == 0 {
			put(netip.PrefixFrom(a, a.BitLen()))
		}
	}
	return b.String()
}

// transferList is who may copy zones: holders of the pools' keys, or where there
// are no keys our own addresses and the primaries'.
func transferList(r nameserver.ConfigRequest) string {
	if len(r.Keys) > 0 {
		return keyList(r)
	}
	list := addressList(r.Primaries)
	for _, p := range r.ProbeFrom {
		list += fmt.Sprintf("%s; ", p.Masked())
	}
	return cmp.Or(list, "none; ")
}

// notifyList is who may send NOTIFY besides a zone's own primaries.
func notifyList(r nameserver.ConfigRequest) string {
	return cmp.Or(keyList(r)+addressList(r.Primaries), "none; ")
}

func keyList(r nameserver.ConfigRequest) string {
	var b strings.Builder
	for _, k := range r.Keys {
		fmt.Fprintf(&b, "key %s; ", nameText(k.Name))
	}
	return b.String()
}

func addressList(list []netip.AddrPort) string {
	var b strings.Builder
	seen := map[netip.Addr]bool{}
	for _, p := range list {
		if a := p.Addr().Unmap(); !seen[a] {
			seen[a] = true
			fmt.Fprintf(&b, "%s; ", a)
		}
	}
	return b.String()
}

func readme(r nameserver.ConfigRequest, e endpoints) string {
	var names []zone.Name
	for _, k := range r.Keys {
		names = append(names, k.Name)
	}
	return fmt.Sprintf(`BIND 9 configuration for server %[1]q, made by dnsctl.

  %[3]s   the configuration; no secrets, no zones
  %[4]s    the control key and TSIG keys %[5]v: secrets
  %[6]s   where named keeps its zones; it alone writes there

It listens on %[7]s (DNS), %[8]s (rndc) and %[9]s (statistics).

To run it as user bind, as Debian does:

  chown root:bind %[2]s %[2]s/%[4]s
  chmod 0750 %[2]s
  chmod 0640 %[2]s/%[4]s
  chown -R bind:bind %[6]s
  named-checkconf %[2]s/%[3]s
  named -u bind -c %[2]s/%[3]s

To run it as yourself, on ports above 1023, leave the owners as they are:

  named -c %[2]s/%[3]s

named started by root without -u cannot read files that only bind may read.
Where AppArmor confines named (Debian does), folders other than /etc/bind,
/var/lib/bind and /var/cache/bind must be allowed in
/etc/apparmor.d/local/usr.sbin.named.

Then: dnsctl bootstrap %[1]s --wait
`, r.Server.Name, r.Dir, configFile, keysFile, names, dataDir(r), r.Server.Address, e.control, e.stats)
}

// CheckConfig runs named-checkconf on a written configuration. checked is false
// when the program is not installed.
func (Type) CheckConfig(ctx context.Context, dir string) (checked bool, err error) {
	return nameserver.RunChecker(ctx, "named-checkconf", filepath.Join(dir, configFile))
}
