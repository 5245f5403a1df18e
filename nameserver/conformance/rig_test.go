package conformance_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dnsctl/dnsclient"
	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/report"
	"dnsctl/secret"
	"dnsctl/testbed"
	"dnsctl/wire"
	"dnsctl/zone"
)

const patience = 60 * time.Second

// kind is a nameserver that the suite tries.
type kind struct {
	name  string
	typ   nameserver.Type
	start func(r *rig) running
	// adopt starts a server on the configuration that the type has made in dir;
	// database is the URL of one that it is to have, if any.
	adopt     func(t *testing.T, dir string, s fleet.Server) process
	database  func(t *testing.T) string
	limits    bool // Limited has an effect
	ixfr      bool // changes come by IXFR
	gap       bool // a zone may be unanswered for a moment while it is converted
	folds     bool // names become lower case
	wildcards bool // it can have zones whose names are wildcards
	blind     bool // the primaries of zones that others made are not shown
	open      bool // the control channel has no credential
	pointers  bool // of a name it follows few compression pointers one after the other (PowerDNS 4.9.18: ten), of which named writes many
}

// process is a running nameserver.
type process interface {
	Stop(t testbed.T)
	Kill(t testbed.T)
	Restart(t testbed.T)
	Running() bool
}

// running is a server of a kind, without zones.
type running struct {
	process
	server     fleet.Server // its addresses
	credential secret.Plain
	// own makes a primary zone as the server's own operator would, and secondary
	// one that is transferred, unsigned, from an address.
	own       func(t *testing.T, name, text string)
	secondary func(t *testing.T, name, from string)
	// prepare adds to the server's configuration what its driver says that it lacks;
	// nil where drivers say nothing.
	prepare func(text string) error
}

// prepared is a driver whose server is prepared, as its operator does, for each
// zone that it is given.
type prepared struct {
	nameserver.Driver
	prepare func(text string) error
	mu      *sync.Mutex
}

func (p prepared) ready(ctx context.Context, z nameserver.ZoneConfig) {
	p.mu.Lock()
	defer p.mu.Unlock()
	err := p.Driver.(nameserver.Preparer).Prepared(ctx, nameserver.ConfigRequest{Settings: []nameserver.ZoneConfig{z}})
	if _, hint := report.ExitOf(err); hint != "" {
		if _, text, ok := strings.Cut(hint, " reconfig: "); ok {
			_ = p.prepare(text) // what cannot be prepared is refused when it is added
		}
	}
}

func (p prepared) Add(ctx context.Context, z nameserver.ZoneConfig) error {
	p.ready(ctx, z)
	return p.Driver.Add(ctx, z)
}

func (p prepared) Change(ctx context.Context, z nameserver.ZoneConfig) error {
	p.ready(ctx, z)
	return p.Driver.Change(ctx, z)
}

// rig is a primary, a server of the kind, and a driver of the latter.
type rig struct {
	nameserver.Driver
	running
	t       *testing.T
	kind    kind
	primary *testbed.Named
	names   []string // the primary's zones, as their files are numbered
	key     nameserver.KeyConfig
}

const zoneText = "$TTL 60\n@ SOA ns.invalid. h.invalid. 7 3600 3600 86400 60\n@ NS ns.invalid.\n@ A 127.0.0.1\n@ TXT \"a;b\"\n"

// newRig starts both. The primary has zones by name; a text of "" is zoneText. It
// gives them to holders of the key pool only, and tells the server of changes.
func newRig(t *testing.T, k kind, zones map[string]string) *rig {
	t.Helper()
	var raw [32]byte
	_, _ = rand.Read(raw[:])
	r := &rig{t: t, kind: k, key: nameserver.KeyConfig{Name: zone.MustParseName("pool."), Algorithm: wire.HMACSHA256.Name(), Secret: secret.New(raw[:])}}
	r.running = k.start(r)
	p := testbed.NamedOptions{Zones: map[string]string{}, Config: r.keyText(), Notify: fmt.Sprintf("127.0.0.1 port %d key pool", r.server.Address.Port()),
		Options: "allow-transfer { key pool; }; check-names primary ignore; ixfr-from-differences yes; max-ixfr-ratio unlimited;"}
	if k.pointers {
		p.Options += " transfer-format one-answer;"
	}
	for n, text := range zones {
		if text == "" {
			text = zoneText
		}
		if n == "." {
			text += "ns.invalid. A 127.0.0.1\n"
		}
		p.Zones[quoted(n)] = text
		r.names = append(r.names, quoted(n))
	}
	slices.Sort(r.names)
	r.primary = testbed.StartNamed(t, p)
	r.Driver = r.open(t, r.credential)
	return r
}

// quoted is a name as it stands in quotes in named.conf.
func quoted(name string) string {
	n := zone.MustParseName(name)
	if n == zone.Root {
		return "."
	}
	var b strings.Builder
	for i := 0; i < len(n) && n[i] != 0; i += int(n[i]) + 1 {
		if i > 0 {
			b.WriteByte('.')
		}
		for _, c := range []byte(n[i+1 : i+1+int(n[i])]) {
			fmt.Fprintf(&b, `\%03d`, c)
		}
	}
	return b.String()
}

func (r *rig) keyText() string {
	return fmt.Sprintf("key \"pool\" { algorithm hmac-sha256; secret %q; };\n", base64.StdEncoding.EncodeToString(r.key.Secret.Reveal()))
}

func (r *rig) wireKey() *wire.Key {
	return &wire.Key{Name: r.key.Name, Algorithm: wire.HMACSHA256, Secret: r.key.Secret.Reveal()}
}

// change gives a zone of the primary another text, of which it tells the server.
func (r *rig) change(t *testing.T, name, text string) {
	t.Helper()
	file := filepath.Join(r.primary.Dir, fmt.Sprintf("primary-%d.zone", slices.Index(r.names, quoted(name))))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(file, time.Time{}, time.Now().Add(2*time.Second)); err != nil { // named looks at the file's time, in seconds
		t.Fatal(err)
	}
	if err := syscall.Kill(r.primary.PID(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
}

func (r *rig) open(t *testing.T, credential secret.Plain) nameserver.Driver {
	t.Helper()
	d, err := r.kind.typ.Open(nameserver.Target{Server: r.server, Credential: credential, Key: r.secretOf,
		Transfer: func(ctx context.Context, name zone.Name) (*zone.Snapshot, error) {
			return r.axfr(ctx, r.server.Address, name)
		}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	if r.prepare != nil {
		return prepared{d, r.prepare, new(sync.Mutex)}
	}
	return d
}

// secretOf is Target.Key.
func (r *rig) secretOf(_ context.Context, name zone.Name) (nameserver.KeyConfig, error) {
	if !name.Equal(r.key.Name) {
		return nameserver.KeyConfig{}, fleet.ErrNoKey
	}
	return r.key, nil
}

// axfr transfers a zone; one that is cut off by a reload of the server is begun again.
func (r *rig) axfr(ctx context.Context, from netip.AddrPort, name zone.Name) (s *zone.Snapshot, err error) {
	for range 5 {
		s, err = (&dnsclient.Client{}).Transfer(ctx, from, name, r.wireKey(), dnsclient.TransferOptions{})
		if !errors.Is(err, dnsclient.ErrCut) {
			break
		}
	}
	return s, err
}

// config is a zone as it should be on the server.
func (r *rig) config(name string) nameserver.ZoneConfig {
	return nameserver.ZoneConfig{Name: zone.MustParseName(name), Incarnation: "1",
		Primaries: []nameserver.PrimaryRef{{Addr: netip.MustParseAddrPort(r.primary.Addr), Key: r.key.Name}}}
}

// add adds zones and waits until each is loaded.
func (r *rig) add(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := r.Add(t.Context(), r.config(name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range names {
		r.wait(t, name, loaded)
	}
}

func loaded(s nameserver.ZoneState) bool { return s.Serial != nil && !s.Expired }

func hasSerial(n zone.Serial) func(nameserver.ZoneState) bool {
	return func(s nameserver.ZoneState) bool { return s.Serial != nil && *s.Serial == n }
}

func (r *rig) wait(t *testing.T, name string, ok func(nameserver.ZoneState) bool) {
	t.Helper()
	testbed.EventuallyNil(t, patience, func() error {
		s, err := r.Zone(t.Context(), zone.MustParseName(name))
		if err == nil && !ok(s) {
			err = fmt.Errorf("zone %s is %+v", name, s)
		}
		return err
	})
}

func (r *rig) zone(t *testing.T, name string) nameserver.ZoneState {
	t.Helper()
	s, err := r.Zone(t.Context(), zone.MustParseName(name))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// inventory is the list by name, without what the server brings along.
func (r *rig) inventory(t *testing.T) map[string]nameserver.ZoneState {
	t.Helper()
	m := map[string]nameserver.ZoneState{}
	if err := r.Inventory(t.Context(), func(s nameserver.ZoneState) error {
		if s.Origin != nameserver.Builtin {
			m[s.Name.String()] = s
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return m
}

// ask is the answer to a question over UDP: its records as text, or the rcode.
func ask(addr netip.AddrPort, name string, typ uint16) (string, error) {
	q := new(dns.Msg)
	q.SetQuestion(name, typ)
	q.SetEdns0(4096, true)
	q.RecursionDesired = false
	a, _, err := (&dns.Client{Timeout: 2 * time.Second}).Exchange(q, addr.String())
	if err != nil {
		return "", err
	}
	if len(a.Answer) == 0 || !a.Authoritative {
		return dns.RcodeToString[a.Rcode], nil
	}
	var out []string
	for _, rr := range a.Answer {
		out = append(out, strings.TrimPrefix(rr.String(), rr.Header().String()))
	}
	slices.Sort(out)
	return strings.Join(out, " "), nil
}

// answers waits until a question is answered so.
func (r *rig) answers(t *testing.T, name string, typ uint16, want string) {
	t.Helper()
	testbed.EventuallyNil(t, patience, func() error {
		got, err := ask(r.server.Address, name, typ)
		if err == nil && got != want {
			err = fmt.Errorf("%s is answered %q, want %q", name, got, want)
		}
		return err
	})
}

func isErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want: %v", what, err, want)
	}
}

// nobody is an address that refuses connections.
func nobody(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return netip.MustParseAddrPort(l.Addr().String())
}

func dialFrom(ip string) *net.Dialer {
	return &net.Dialer{LocalAddr: &net.UDPAddr{IP: net.ParseIP(ip)}}
}
