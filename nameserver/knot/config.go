package knot

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"dnsctl/nameserver"
)

// Names of the files that Config makes, and of what is made of them.
const (
	configFile     = "knot.conf"
	readmeFile     = "README"
	dataFolder     = "data"
	runFolder      = "run"
	databaseFolder = "confdb"
	debianData     = "/var/lib/knot"
	debianRun      = "/run/knot"
)

// Config makes the configuration of a new server: knot.conf with the TSIG keys,
// which knotc makes a configuration database of, and how to do that. It declares no
// zone. A Dir below /etc is Debian's way to run it, with data in /var/lib/knot.
func (Type) Config(r nameserver.ConfigRequest) ([]nameserver.File, error) {
	e, err := endpointOf(r.Server)
	if err != nil {
		return nil, err
	}
	switch {
	case !r.Server.Address.IsValid():
		return nil, fmt.Errorf("%w: no address to listen on", errEndpoint)
	case r.Database != "":
		return nil, fmt.Errorf("%w: a database: knotd keeps its zones in files", errEndpoint)
	case !filepath.IsAbs(r.Dir) || strings.ContainsAny(r.Dir, "\"\\\n\r\x00"):
		return nil, fmt.Errorf("%w: folder %q: want an absolute path without quotes and backslashes", errEndpoint, r.Dir)
	}
	text, err := knotConf(r, e)
	if err != nil {
		return nil, err
	}
	files := []nameserver.File{
		{Path: configFile, Mode: 0o640, Content: []byte(text), Secret: true},
		{Path: readmeFile, Mode: 0o644, Content: []byte(readme(r, e))},
	}
	if !debian(r) {
		files = append(files,
			nameserver.File{Path: filepath.Join(dataFolder, readmeFile), Mode: 0o644, Content: []byte("knotd keeps its zones here.\n")},
			nameserver.File{Path: filepath.Join(runFolder, readmeFile), Mode: 0o644, Content: []byte("knotd keeps what only a running one needs here.\n")})
	}
	return files, nil
}

func debian(r nameserver.ConfigRequest) bool {
	return strings.HasPrefix(filepath.Clean(r.Dir)+"/", "/etc/")
}

// folders are where knotd keeps data, what only a running one needs, and its
// configuration.
func folders(r nameserver.ConfigRequest) (data, run, confdb string) {
	if debian(r) {
		return debianData, debianRun, filepath.Join(debianData, databaseFolder)
	}
	return filepath.Join(r.Dir, dataFolder), filepath.Join(r.Dir, runFolder), filepath.Join(r.Dir, databaseFolder)
}

// algorithms are the TSIG algorithms that Knot has.
func algorithms() []string {
	return []string{"hmac-md5", "hmac-sha1", "hmac-sha224", "hmac-sha256", "hmac-sha384", "hmac-sha512"}
}

func knotConf(r nameserver.ConfigRequest, e endpoint) (string, error) {
	data, run, _ := folders(r)
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p("# Knot DNS as a secondary of dnsctl, server %s. A configuration database is\n# made of this file, see README. Zones are added over the control socket; none is\n# declared here. The keys below are secrets.\n", plainText(r.Server.Name))
	p("server:\n    rundir: %s", quote(run))
	if debian(r) {
		p("    user: knot:knot")
	}
	p("    listen: %s", quote(addrText(r.Server.Address)))
	p("    identity: %s\n    version: \"\"\n    nsid: %s\n", quote(plainText(r.Server.Name)), quote(plainText(r.Server.Name)))
	p("control:\n    listen: %s\n", quote(e.socket))
	// knotd notes each request on its control socket: there are several for each zone.
	p("log:\n  - target: %s\n    server: info\n    zone: info\n    control: notice\n", map[bool]string{true: "syslog", false: "stderr"}[debian(r)])
	p("# As Knot's manual recommends for secondaries of many zones.\ndatabase:\n    storage: %s\n    journal-db-mode: asynchronous\n", quote(data))
	if len(r.Keys) > 0 {
		p("key:")
		for _, k := range r.Keys {
			algorithm := strings.TrimSuffix(k.Algorithm.Lower().String(), ".")
			if !slices.Contains(algorithms(), algorithm) {
				return "", fmt.Errorf("%w: TSIG key %s: Knot DNS has no algorithm %s", errEndpoint, k.Name, k.Algorithm)
			}
			p("  - id: %s\n    algorithm: %s\n    secret: %s", quote(nameText(k.Name)), algorithm, quote(base64.StdEncoding.EncodeToString(k.Secret.Reveal())))
		}
		p("")
	}
	p("# Who may query the marker zone of dnsctl: its own hosts.\nmod-queryacl:\n  - id: %s\n    address: [ %s ]\n", probers, strings.Join(allowed(r), ", "))
	p("template:\n  - id: default\n    storage: %s\n    semantic-checks: off", quote(data))
	return b.String(), nil
}

// quote is text as a quoted string of knot.conf.
func quote(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
}

// plainText is text that means nothing special to knot.conf.
func plainText(text string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r == '"' || r == '\\' || r == '#' || r > '~' {
			return '_'
		}
		return r
	}, text)
}

// allowed lists where our questions come from: the hosts named for that, the
// primaries, beside one of which the leader runs, and this host itself.
func allowed(r nameserver.ConfigRequest) []string {
	var list []string
	put := func(text string) {
		if !slices.Contains(list, text) {
			list = append(list, text)
		}
	}
	for _, p := range r.ProbeFrom {
		put(p.Masked().String())
	}
	for _, p := range r.Primaries {
		put(p.Addr().Unmap().String())
	}
	own := r.Server.Address.Addr().Unmap()
	put(own.String())
	if own.Is6() {
		put(netip.IPv6Loopback().String())
	} else {
		put("127.0.0.1")
	}
	return list
}

func readme(r nameserver.ConfigRequest, e endpoint) string {
	data, run, confdb := folders(r)
	steps := fmt.Sprintf(`To run it as yourself, on ports above 1023:

  knotc -C %[1]s conf-import %[2]s
  knotd -C %[1]s

To run it as another user, give that user %[1]s, %[3]s
and %[4]s first (chown -R), and start it as that user.
`, confdb, filepath.Join(r.Dir, configFile), data, run)
	if debian(r) {
		steps = fmt.Sprintf(`To run it as user knot, as Debian does, put KNOTD_ARGS="-C %[1]s" into
/etc/default/knot, and then as root:

  chown root:knot %[2]s
  runuser -u knot -- knotc -C %[1]s conf-import %[2]s
  systemctl restart knot
`, confdb, filepath.Join(r.Dir, configFile))
	}
	return fmt.Sprintf(`Knot DNS configuration for server %[1]q, made by dnsctl.

  %[2]s   the configuration, with the TSIG keys: a secret
  %[3]s   the configuration database that is made of it, once: from then on
      knotd keeps its zones in it, and an import would replace them
  %[4]s   the zones' content

It listens on %[5]s (DNS) and %[6]s (control). Who may open that socket
may do everything: its owner and group are those of knotd.

%[7]s
Then: dnsctl bootstrap %[1]s --wait
`, r.Server.Name, configFile, confdb, data, r.Server.Address, e.socket, steps)
}
