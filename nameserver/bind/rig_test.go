package bind

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/testbed"
	"dnsctl/zone"
)

const patience = 20 * time.Second

// hostile are legal zone names that break naive quoting, files and paths.
func hostile() []string {
	return []string{
		".", "plain.test.", `a\.b.test.`, `sp\032ace.test.`, `quo\"te.test.`, `semi\;colon.test.`, `brace\123\125.test.`,
		"0/25.2.0.192.in-addr.arpa.", `\.\./\.\./up.test.`, `back\\slash.test.`, `\\\".test.`, `\195\164\255.test.`, `nul\000.test.`,
		`new\010line.test.`, `\$ORIGIN.test.`, `\@.test.`, `x*y.test.`, "MiXed.Test.", "xn--mnchen-3ya.test.", `-v.test.`, `\035.test.`, `//.test.`,
		strings.Repeat("a", 63) + "." + strings.Repeat("b", 63) + "." + strings.Repeat("c", 63) + "." + strings.Repeat("d", 61) + ".",
		strings.Repeat(`\001`, 63) + "." + strings.Repeat(`\002`, 63) + ".ccccc.", // 511 octets as text
	}
}

const zoneText = "$TTL 60\n@ SOA ns.invalid. h.invalid. 7 3600 3600 86400 60\n@ NS ns.invalid.\n@ A 127.0.0.1\n@ TXT \"a;b\"\n"

const catalogText = "$TTL 60\n@ SOA invalid. invalid. 7 3600 3600 86400 60\n@ NS invalid.\nversion TXT \"2\"\nm1.zones PTR member.test.\n"

// rig is a primary and a secondary named, and a driver of the latter.
type rig struct {
	*driver
	primary, named *testbed.Named
	key            zone.Name
	secret         string
}

func (r *rig) keyText() string {
	return fmt.Sprintf("key \"pool\" { algorithm hmac-sha256; secret %q; };\n", r.secret)
}

func (r *rig) secretOctets(t testing.TB) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(r.secret)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// primaryText is the primary's address as named.conf has it.
func (r *rig) primaryText() string { return strings.Replace(r.primary.Addr, ":", " port ", 1) }

// newRig starts both. The primary has the zones; the secondary gets more config.
func newRig(t testing.TB, zones []string, opts testbed.NamedOptions) *rig {
	t.Helper()
	var raw [32]byte
	_, _ = rand.Read(raw[:])
	r := &rig{key: zone.MustParseName("pool."), secret: base64.StdEncoding.EncodeToString(raw[:])}
	p := testbed.NamedOptions{Zones: map[string]string{}, Config: r.keyText(), Options: "allow-transfer { key pool; }; check-names primary ignore;"}
	for _, z := range zones {
		text := zoneText
		if strings.HasPrefix(z, "cat") {
			text = catalogText
		}
		if z == "." {
			text += "ns.invalid. A 127.0.0.1\n"
		}
		p.Zones[strings.Trim(nameText(zone.MustParseName(z)), `"`)] = text
	}
	r.primary = testbed.StartNamed(t, p)
	opts.AllowNewZones = true
	opts.Config = r.keyText() + strings.ReplaceAll(opts.Config, "@PRIMARY@", r.primaryText())
	opts.Options = strings.ReplaceAll(opts.Options, "@PRIMARY@", r.primaryText()) + " allow-transfer { key pool; };"
	r.named = testbed.StartNamed(t, opts)
	r.driver = r.open(t, "")
	return r
}

func (r *rig) open(t testing.TB, view string) *driver {
	t.Helper()
	file, err := os.ReadFile(r.named.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	credential, err := New().ReadCredential(file)
	if err != nil {
		t.Fatal(err)
	}
	d, err := New().Open(nameserver.Target{
		Server:     fleet.Server{Name: "t", View: view, Control: "rndc://" + r.named.ControlAddr, Stats: r.named.StatsURL, Address: netip.MustParseAddrPort(r.named.Addr)},
		Credential: credential,
		Transfer:   r.axfr,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d.(*driver)
}

func (r *rig) axfr(_ context.Context, name zone.Name) (*zone.Snapshot, error) {
	q := new(dns.Msg)
	q.SetAxfr(name.String())
	q.SetTsig("pool.", dns.HmacSHA256, 300, time.Now().Unix())
	tr := dns.Transfer{TsigSecret: map[string]string{"pool.": r.secret}}
	answers, err := tr.In(q, r.named.Addr)
	if err != nil {
		return nil, err
	}
	b := zone.NewBuilder(name, 0)
	for env := range answers {
		if env.Error != nil {
			return nil, env.Error
		}
		for _, rr := range env.RR {
			buf := make([]byte, 70000)
			n, err := dns.PackRR(rr, buf, 0, nil, false)
			if err != nil {
				return nil, err
			}
			owner, k, err := zone.UnpackName(buf[:n])
			if err != nil {
				return nil, err
			}
			b.Add(zone.RRset{Owner: owner, Type: zone.Type(rr.Header().Rrtype), TTL: rr.Header().Ttl, Data: zone.PackRdata(string(buf[k+10 : n]))})
		}
	}
	return b.Build()
}

func (r *rig) config(name, incarnation string) nameserver.ZoneConfig {
	return nameserver.ZoneConfig{Name: zone.MustParseName(name), Incarnation: incarnation,
		Primaries: []nameserver.PrimaryRef{{Addr: netip.MustParseAddrPort(r.primary.Addr), Key: r.key}}}
}

// add adds a zone and waits until it is loaded.
func (r *rig) add(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := r.Add(t.Context(), r.config(name, "1")); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range names {
		r.wait(t, name, func(s nameserver.ZoneState) bool { return s.Serial != nil && *s.Serial == 7 })
	}
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

func (r *rig) rndc(t *testing.T, command string) string {
	t.Helper()
	text, err := r.control.do(t.Context(), command)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// inventory is the list by name.
func (r *rig) inventory(t *testing.T, d *driver) map[string]nameserver.ZoneState {
	t.Helper()
	m := map[string]nameserver.ZoneState{}
	if err := d.Inventory(t.Context(), func(s nameserver.ZoneState) error { m[s.Name.String()] = s; return nil }); err != nil {
		t.Fatal(err)
	}
	return m
}
