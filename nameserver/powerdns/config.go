package powerdns

import (
	"fmt"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"dnsctl/nameserver"
)

// Names of the files that Config makes.
const (
	configFile   = "pdns.conf"
	readmeFile   = "README"
	dataFolder   = "data"
	databaseFile = "pdns.sqlite3"
	passwordFile = "pgpass"
	schemaFile   = "schema.sql"
	debianData   = "/var/lib/powerdns"
	maxSocket    = 107 - len("/pdns.controlsocket") // octets of the folder with the control socket, unix(7)
)

// Config makes the complete configuration of a new server: pdns.conf with the
// API key, an empty SQLite database or what makes one in PostgreSQL, and how to
// install them. It declares no zone; pdns_server may be started with it in Dir. A
// Dir below /etc is Debian's way to run it, where data belongs in
// /var/lib/powerdns.
func (Type) Config(r nameserver.ConfigRequest) ([]nameserver.File, error) {
	api, err := listenOn(r)
	if err != nil {
		return nil, err
	}
	switch {
	case !r.Server.Address.IsValid():
		return nil, fmt.Errorf("%w: no address to listen on", errEndpoint)
	case !filepath.IsAbs(r.Dir) || strings.ContainsAny(r.Dir, "#\"\\,\n\r\x00") || strings.TrimSpace(r.Dir) != r.Dir:
		return nil, fmt.Errorf("%w: folder %q: want an absolute path without quotes, commas, # and backslashes", errEndpoint, r.Dir)
	case len(dataDir(r)) > maxSocket:
		return nil, fmt.Errorf("%w: folder %q: its path is too long for a socket in it", errEndpoint, r.Dir)
	}
	key, _, err := readCredential(r.Credential)
	if err != nil {
		return nil, fmt.Errorf("control credential of server %q: %w", r.Server.Name, err)
	}
	db, err := databaseOf(r)
	if err != nil {
		return nil, err
	}
	files, err := db.files()
	if err != nil {
		return nil, err
	}
	return append([]nameserver.File{
		{Path: configFile, Mode: 0o640, Content: []byte(pdnsConf(r, db, api, key)), Secret: true},
		{Path: readmeFile, Mode: 0o644, Content: []byte(readme(r, db, api, files[0]))},
	}, files...), nil
}

// listenOn is where the API of a new server listens.
func listenOn(r nameserver.ConfigRequest) (netip.AddrPort, error) {
	base, err := baseOf(r.Server)
	if err != nil {
		return netip.AddrPort{}, err
	}
	u, err := url.Parse(base)
	if err != nil {
		return netip.AddrPort{}, err
	}
	addr, err := netip.ParseAddr(u.Hostname())
	if err != nil || u.Scheme != "http" || u.Path != "" {
		return netip.AddrPort{}, fmt.Errorf("%w: control URL %q: a new server listens there itself; want http://IP:PORT", errEndpoint, r.Server.Control)
	}
	if u.Port() == "" {
		return netip.AddrPortFrom(addr, 80), nil
	}
	at, err := netip.ParseAddrPort(u.Host)
	if err != nil || at.Port() == 0 {
		return at, fmt.Errorf("%w: control URL %q: port", errEndpoint, r.Server.Control)
	}
	return at, nil
}

func debian(r nameserver.ConfigRequest) bool {
	return strings.HasPrefix(filepath.Clean(r.Dir)+"/", "/etc/")
}

// dataDir is the folder that pdns_server writes to.
func dataDir(r nameserver.ConfigRequest) string {
	if debian(r) {
		return debianData
	}
	return filepath.Join(r.Dir, dataFolder)
}

func pdnsConf(r nameserver.ConfigRequest, db database, api netip.AddrPort, key string) string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p("# PowerDNS as a secondary of dnsctl, server %s. Zones and TSIG keys are added over\n# the API; none is declared here. The API key below is a secret.\n", plainText(r.Server.Name))
	p("%s", db.settings())
	p("local-address=%s\nlocal-port=%d", r.Server.Address.Addr().Unmap(), r.Server.Address.Port())
	if !debian(r) {
		p("socket-dir=%s", dataDir(r))
	}
	p("server-id=%s\nversion-string=anonymous\nsecurity-poll-suffix=\n", plainText(r.Server.Name))
	p("# The API, which adds and removes zones.\nwebserver=yes\nwebserver-address=%s\nwebserver-port=%d", api.Addr(), api.Port())
	p("webserver-allow-from=%s\nwebserver-loglevel=none\napi=yes\napi-key=%s\n", allowed(r, api), key)
	p("# An authority only, and a secondary only. Transfers out are for holders of the\n# zone's TSIG key, or where there is none for our own addresses.")
	p("primary=no\nsecondary=yes\nautosecondary=no\ndnsupdate=no\nresolver=no\nallow-axfr-ips=%s", transferList(r))
	p("allow-notify-from=%s\n8bit-dns=yes", prefixes(r, netip.Addr{}))
	p("# Without it, keys in a zone that is not signed would not be kept.\ndirect-dnskey=yes\n")
	p("# Many zones transfer at a time, and large ones.\nretrieval-threads=8\nxfr-cycle-interval=5\nxfr-max-received-mbytes=4096\naxfr-lower-serial=yes")
	return b.String()
}

// plainText is text that is one word to PowerDNS.
func plainText(text string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r == '#' || r == '"' || r == '\\' || r > '~' {
			return '_'
		}
		return r
	}, text)
}

// allowed lists who may use the API: where our questions come from, the
// primaries, and the host itself where it listens on loopback.
func allowed(r nameserver.ConfigRequest, api netip.AddrPort) string {
	own := api.Addr()
	if !own.IsLoopback() && len(r.ProbeFrom)+len(r.Primaries) > 0 {
		own = netip.Addr{}
	}
	return prefixes(r, own)
}

// transferList is who may copy any zone, whatever its keys.
func transferList(r nameserver.ConfigRequest) string {
	if len(r.Keys) > 0 {
		return ""
	}
	return prefixes(r, netip.Addr{})
}

// prefixes lists our own addresses, the primaries', and one more if that is
// valid.
func prefixes(r nameserver.ConfigRequest, more netip.Addr) string {
	var list []string
	put := func(p netip.Prefix) {
		if text := p.Masked().String(); !slices.Contains(list, text) {
			list = append(list, text)
		}
	}
	for _, p := range r.ProbeFrom {
		put(p)
	}
	for _, p := range r.Primaries { // the keeper runs beside a primary
		a := p.Addr().Unmap()
		put(netip.PrefixFrom(a, a.BitLen()))
	}
	if more.IsValid() {
		put(netip.PrefixFrom(more, more.BitLen()))
	}
	return strings.Join(list, ",")
}

// readme says what to do with the files; data is the one that pdns_server's own
// user must have.
func readme(r nameserver.ConfigRequest, db database, api netip.AddrPort, data nameserver.File) string {
	own, run := fmt.Sprintf("  chown -R pdns:pdns %s\n", dataDir(r)), "pdns_server --config-dir="+r.Dir
	if debian(r) {
		own = fmt.Sprintf("  install -o pdns -g pdns -m %04o %s %s/\n", data.Mode, filepath.Join(r.Dir, data.Path), debianData)
	}
	files, steps := db.readme()
	return fmt.Sprintf(`PowerDNS configuration for server %[1]q, made by dnsctl.

  %[2]s             the configuration, with the API key: a secret
%[3]s
It listens on %[4]s (DNS) and %[5]s (the API, without TLS: keep
it on loopback or a network of your own, or put a proxy that speaks TLS before it).

%[9]sTo run it as user pdns, as Debian does:

  chown root:pdns %[6]s %[6]s/%[2]s
  chmod 0750 %[6]s
%[7]s  %[8]s --setuid=pdns --setgid=pdns

To run it as yourself, on ports above 1023, leave the owners as they are:

  %[8]s

Then: dnsctl bootstrap %[1]s --wait
`, r.Server.Name, configFile, files, r.Server.Address, api, r.Dir, own, run, steps)
}
