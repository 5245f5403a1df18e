package nsd

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dnsctl/dnsclient"
	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/report"
	"dnsctl/testbed"
	"dnsctl/zone"
)

const patience = 30 * time.Second

const zoneText = "$TTL 60\n@ SOA ns.invalid. h.invalid. 7 3600 3600 86400 60\n@ NS ns.invalid.\n@ A 127.0.0.1\n"

// rig is an nsd and a named that has zones for it.
type rig struct {
	nameserver.Driver
	nsd     *testbed.NSD
	primary *testbed.Named
}

func newRig(t *testing.T, o testbed.NSDOptions, zones map[string]string) *rig {
	t.Helper()
	r := &rig{nsd: testbed.StartNSD(t, o), primary: testbed.StartNamed(t, testbed.NamedOptions{Zones: zones, Options: "allow-transfer { any; };"})}
	r.Driver = open(t, r.nsd)
	return r
}

func open(t *testing.T, n *testbed.NSD) nameserver.Driver {
	t.Helper()
	target := nameserver.Target{Server: fleet.Server{Name: "t", Address: netip.MustParseAddrPort(n.Addr), Control: n.Control}}
	target.Transfer = func(ctx context.Context, name zone.Name) (*zone.Snapshot, error) {
		return (&dnsclient.Client{}).Transfer(ctx, target.Server.Address, name, nil, dnsclient.TransferOptions{})
	}
	if !New().Keyless(target.Server) {
		var all []byte
		for _, name := range New().CredentialFiles() {
			b, err := os.ReadFile(filepath.Join(n.CertDir, name))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, b...)
		}
		var err error
		if target.Credential, err = New().ReadCredential(all); err != nil {
			t.Fatal(err)
		}
	}
	d, err := New().Open(target)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// prepare does what Prepared says, as the server's operator.
func (r *rig) prepare(t *testing.T, list ...nameserver.ZoneConfig) {
	t.Helper()
	ask := func() error {
		return r.Driver.(nameserver.Preparer).Prepared(t.Context(), nameserver.ConfigRequest{Settings: list})
	}
	_, hint := report.ExitOf(ask())
	_, text, ok := strings.Cut(hint, "nsd-control reconfig: ")
	if !ok {
		t.Fatalf("no text to add in %q", hint)
	}
	if err := r.nsd.Patterns(strings.ReplaceAll(text, zoneFolder, "zones") + "\n"); err != nil {
		t.Fatal(err)
	}
	if err := ask(); err != nil {
		t.Fatalf("prepared as it said: %v", err)
	}
}

func (r *rig) config(name, incarnation string) nameserver.ZoneConfig {
	return nameserver.ZoneConfig{Name: zone.MustParseName(name), Incarnation: incarnation,
		Primaries: []nameserver.PrimaryRef{{Addr: netip.MustParseAddrPort(r.primary.Addr)}}}
}

func (r *rig) add(t *testing.T, z nameserver.ZoneConfig) {
	t.Helper()
	if err := r.Add(t.Context(), z); err != nil {
		t.Fatal(err)
	}
	r.answers(t, z.Name, "127.0.0.1")
}

func (r *rig) ask(name zone.Name) string {
	q := new(dns.Msg)
	q.SetQuestion(name.String(), dns.TypeA)
	a, _, err := (&dns.Client{Timeout: 2 * time.Second}).Exchange(q, r.nsd.Addr)
	switch {
	case err != nil:
		return err.Error()
	case len(a.Answer) == 0:
		return dns.RcodeToString[a.Rcode]
	}
	return strings.TrimPrefix(a.Answer[0].String(), a.Answer[0].Header().String())
}

func (r *rig) answers(t *testing.T, name zone.Name, want string) {
	t.Helper()
	testbed.EventuallyNil(t, patience, func() error {
		if got := r.ask(name); got != want {
			return fmt.Errorf("%s is answered %q, want %q", name, got, want)
		}
		return nil
	})
}
