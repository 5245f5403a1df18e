package conformance_test

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"dnsctl/dnsclient"
	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/testbed"
	"dnsctl/wire"
	"dnsctl/zone"
	"dnsctl/zone/zonefile"
)

const ownText = "$TTL 60\n@ SOA ns.invalid. h.invalid. 3 3600 3600 86400 60\n@ NS ns.invalid.\n@ A 127.0.0.9\nwww A 127.0.0.8\n@ TXT \"own\" \"\\\"quoted\\\"\"\n"

func changePrimaries(t *testing.T, k kind) {
	r := newRig(t, k, map[string]string{"a.test.": ""})
	z := r.config("a.test.")
	z.Primaries = []nameserver.PrimaryRef{{Addr: nobody(t), Key: r.key.Name}, {Addr: netip.MustParseAddrPort("[2001:db8::1]:53"), Key: r.key.Name}}
	if err := r.Add(t.Context(), z); err != nil {
		t.Fatal(err)
	}
	if s := r.zone(t, "a.test."); !s.Known || !slices.Equal(s.Primaries, z.Primaries) {
		t.Errorf("%+v", s)
	}
	unsigned := r.config("a.test.")
	unsigned.Primaries = []nameserver.PrimaryRef{{Addr: z.Primaries[0].Addr}}
	if err := r.Change(t.Context(), unsigned); err != nil {
		t.Fatal(err)
	}
	if s := r.zone(t, "a.test."); !s.Known || !slices.Equal(s.Primaries, unsigned.Primaries) {
		t.Errorf("without a key: %+v", s)
	}
	if err := r.Change(t.Context(), r.config("a.test.")); err != nil {
		t.Fatal(err)
	}
	if err := r.Retransfer(t.Context(), parse("a.test.")); err != nil {
		t.Fatal(err)
	}
	r.wait(t, "a.test.", hasSerial(7))
}

func retransfers(t *testing.T, k kind) {
	r := newRig(t, k, map[string]string{"same.test.": "", "ahead.test.": ""})
	r.add(t, "same.test.", "ahead.test.")
	// Another server takes the primary's place, with other content.
	other := strings.Replace(zoneText, "127.0.0.1", "127.0.0.2", 1)
	second := testbed.StartNamed(t, testbed.NamedOptions{Config: r.keyText(), Options: "allow-transfer { key pool; };",
		Zones: map[string]string{"same.test": other, "ahead.test": strings.Replace(other, " 7 ", " 5 ", 1)}})
	for name, serial := range map[string]zone.Serial{"same.test.": 7, "ahead.test.": 5} {
		z := r.config(name)
		z.Primaries[0].Addr = netip.MustParseAddrPort(second.Addr)
		if err := r.Change(t.Context(), z); err != nil {
			t.Fatal(err)
		}
		if err := r.Retransfer(t.Context(), z.Name); err != nil {
			t.Fatal(err)
		}
		r.answers(t, name, dns.TypeA, "127.0.0.2")
		r.wait(t, name, hasSerial(serial))
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

func changesCome(t *testing.T, k kind) {
	r := newRig(t, k, map[string]string{"a.test.": ""})
	r.add(t, "a.test.")
	for serial := 8; serial < 11; serial++ {
		address := fmt.Sprintf("127.0.0.%d", serial)
		r.change(t, "a.test.", strings.NewReplacer(" 7 ", fmt.Sprintf(" %d ", serial), "127.0.0.1", address).Replace(zoneText))
		r.answers(t, "a.test.", dns.TypeA, address)
		r.answers(t, "a.test.", dns.TypeTXT, `"a;b"`)
	}
	if sent := strings.Contains(r.primary.Log(), "transfer of 'a.test/IN': IXFR started"); sent != k.ixfr {
		t.Errorf("the primary has sent an IXFR: %v", sent)
	}
}

// sample is a zone of the repository's examples.
func sample(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "testdata", "sample", path))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// same reports what differs between two versions of a zone, but for the letter
// case of names where the server folds that.
func (k kind) same(t *testing.T, what string, got, want *zone.Snapshot) {
	t.Helper()
	lines := func(s *zone.Snapshot) []string {
		var text []byte
		for set := range s.All() {
			text = zonefile.AppendRecords(text, set)
		}
		if k.folds {
			text = bytes.ToLower(text)
		}
		list := strings.Split(string(text), "\n")
		slices.Sort(list)
		return list
	}
	has, should := lines(got), lines(want)
	for _, line := range should {
		if _, found := slices.BinarySearch(has, line); !found {
			t.Errorf("%s: gone: %s", what, line)
		}
	}
	for _, line := range has {
		if _, found := slices.BinarySearch(should, line); !found {
			t.Errorf("%s: came: %s", what, line)
		}
	}
}

func wholeCopies(t *testing.T, k kind, zones map[string]string) *rig {
	t.Helper()
	r := newRig(t, k, zones)
	for name := range zones {
		r.add(t, name)
		want, err := r.axfr(t.Context(), netip.MustParseAddrPort(r.primary.Addr), parse(name))
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.axfr(t.Context(), r.server.Address, parse(name))
		if err != nil {
			t.Fatal(err)
		}
		k.same(t, name+" as it is served", got, want)
		e, err := r.Export(t.Context(), parse(name))
		if err != nil {
			t.Fatal(err)
		}
		k.same(t, name+" as it is copied", e.Content, want)
	}
	return r
}

func allTypes(t *testing.T, k kind) {
	wholeCopies(t, k, map[string]string{
		"types.example.": sample(t, "special/types.example.zone"), "escapes.example.": sample(t, "special/escapes.example.zone"),
		"aliases.example.": sample(t, "special/aliases.example.zone"), "deep.example.": sample(t, "special/deep.example.zone"),
		"big.example.": sample(t, "special/big.example.zone"), "lab.example.org.": sample(t, "special/lab.example.org.zone"),
	})
}

func signedZone(t *testing.T, k kind) {
	r := wholeCopies(t, k, map[string]string{"signed.example.": sample(t, "signed/signed.example.zone")})
	got, err := ask(r.server.Address, "signed.example.", dns.TypeDNSKEY)
	if err != nil || !strings.Contains(got, "DNSKEY 13 2") {
		t.Errorf("%s, %v", got, err)
	}
	if r.zone(t, "signed.example.").Signs {
		t.Error("it seems to sign what was signed when it came")
	}
	p, err := dnsclient.NewProber(dnsclient.ProberOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for _, key := range []*wire.Key{nil, r.wireKey()} {
		ours := p.SOA(t.Context(), dnsclient.Probe{Server: netip.MustParseAddrPort(r.primary.Addr), Zone: parse("signed.example."), Key: key, Witness: zone.TypeRRSIG})
		its := p.SOA(t.Context(), dnsclient.Probe{Server: r.server.Address, Zone: parse("signed.example."), Key: key, Witness: zone.TypeRRSIG})
		if its.Witnessed == "" || its.Witnessed != ours.Witnessed || !its.Serves() {
			t.Errorf("the SOA's signature is %x (%v), not %x (%v)", its.Witnessed, its.Err, ours.Witnessed, ours.Err)
		}
	}
}

func ownZone(t *testing.T, k kind) {
	r := newRig(t, k, nil)
	r.own(t, "a.test.", ownText)
	for what, s := range map[string]nameserver.ZoneState{"zone": r.zone(t, "a.test."), "inventory": r.inventory(t)["a.test."]} {
		if s.Role != nameserver.Primary || !hasSerial(3)(s) || s.Expired || s.Signs || s.Detail == "" {
			t.Errorf("%s: %+v", what, s)
		}
	}
	e, err := r.Export(t.Context(), parse("a.test."))
	if err != nil || e.Content.Serial() != 3 || e.Content.Records() != 5 {
		t.Errorf("%+v, %v", e, err)
	}
	if err := r.Delete(t.Context(), parse("a.test.")); err != nil {
		t.Error(err)
	}
	if list := r.inventory(t); len(list) != 0 {
		t.Error(list)
	}
	r.answers(t, "a.test.", dns.TypeA, "REFUSED")
}

// watch asks a question again and again, and returns what else than want was
// answered until stop is called.
func watch(t *testing.T, r *rig, name, want string) (stop func() []string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	wrong, asked := make(chan []string, 1), 0
	go func() {
		var list []string
		for ctx.Err() == nil {
			got, err := ask(r.server.Address, name, dns.TypeA)
			asked++
			if err != nil || got != want {
				list = append(list, fmt.Sprintf("%s %v", got, err))
			}
		}
		wrong <- list
	}()
	return func() []string {
		cancel()
		list := <-wrong
		if asked == 0 {
			t.Error("nothing was asked")
		}
		return list
	}
}

func ownToSecondary(t *testing.T, k kind) {
	r := newRig(t, k, map[string]string{"a.test.": zoneText})
	r.own(t, "a.test.", strings.Replace(ownText, "127.0.0.9", "127.0.0.1", 1))
	r.answers(t, "a.test.", dns.TypeA, "127.0.0.1")
	stop := watch(t, r, "a.test.", "127.0.0.1")
	if err := r.Change(t.Context(), r.config("a.test.")); err != nil {
		t.Fatal(err)
	}
	s := r.zone(t, "a.test.")
	if s.Role != nameserver.Secondary || s.Serial == nil || !slices.Equal(s.Primaries, r.config("a.test.").Primaries) {
		t.Errorf("%+v", s)
	}
	if err := r.Retransfer(t.Context(), parse("a.test.")); err != nil {
		t.Fatal(err)
	}
	r.wait(t, "a.test.", hasSerial(7))
	r.answers(t, "a.test.", dns.TypeTXT, `"a;b"`)
	if wrong := stop(); len(wrong) > 0 && !k.gap {
		t.Errorf("%d answers were wrong: %q", len(wrong), wrong[0])
	}
}

func restored(t *testing.T, k kind) {
	r := newRig(t, k, map[string]string{"a.test.": ownText})
	r.own(t, "a.test.", ownText)
	before, err := r.Export(t.Context(), parse("a.test."))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Delete(t.Context(), parse("a.test.")); err != nil {
		t.Fatal(err)
	}
	if err := r.Add(t.Context(), r.config("a.test.")); err != nil {
		t.Fatal(err)
	}
	r.wait(t, "a.test.", hasSerial(3))
	r.answers(t, "a.test.", dns.TypeA, "127.0.0.9")
	stop := watch(t, r, "a.test.", "127.0.0.9")
	if err := r.Convert(t.Context(), parse("a.test."), before.Settings); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		r.answers(t, "a.test.", dns.TypeA, "127.0.0.9")
	}
	if wrong := stop(); len(wrong) > 0 && !k.gap {
		t.Errorf("%d answers were wrong: %q", len(wrong), wrong[0])
	}
	r.answers(t, "a.test.", dns.TypeA, "127.0.0.9")
	if s := r.zone(t, "a.test."); s.Role != nameserver.Primary || !hasSerial(3)(s) {
		t.Errorf("%+v", s)
	}
	r.Restart(t)
	r.answers(t, "a.test.", dns.TypeA, "127.0.0.9")
	after, err := r.Export(t.Context(), parse("a.test."))
	if err != nil {
		t.Fatal(err)
	}
	k.same(t, "the restored zone", after.Content, before.Content)
	if after.Settings != before.Settings {
		t.Errorf("the settings were %s and are %s", before.Settings, after.Settings)
	}
	for what, settings := range map[string]string{"another zone's": strings.ReplaceAll(before.Settings, "a.test", "b.test"), "none": "", "nonsense": "{"} {
		if err := r.Convert(t.Context(), parse("a.test."), settings); err == nil {
			t.Errorf("settings that are %s were taken", what)
		}
	}
}

func ownSecondary(t *testing.T, k kind) {
	r := newRig(t, k, map[string]string{"a.test.": zoneText})
	first := testbed.StartNamed(t, testbed.NamedOptions{Zones: map[string]string{"a.test": zoneText}, Options: "allow-transfer { any; };"})
	r.secondary(t, "a.test.", first.Addr)
	if err := r.Retransfer(t.Context(), parse("a.test.")); err != nil {
		t.Fatal(err)
	}
	r.wait(t, "a.test.", hasSerial(7))
	want := []nameserver.PrimaryRef{{Addr: netip.MustParseAddrPort(first.Addr)}}
	if k.blind {
		want = nil
	}
	if s := r.zone(t, "a.test."); s.Role != nameserver.Secondary || !slices.Equal(s.Primaries, want) {
		t.Errorf("%+v", s)
	}
	// Ours for a while: that lets us in to copy it, too.
	e, err := r.Export(t.Context(), parse("a.test."))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Change(t.Context(), r.config("a.test.")); err != nil {
		t.Fatal(err)
	}
	r.wait(t, "a.test.", hasSerial(7))
	if err := r.Convert(t.Context(), parse("a.test."), e.Settings); err != nil {
		t.Fatal(err)
	}
	if s := r.zone(t, "a.test."); s.Role != nameserver.Secondary || !slices.Equal(s.Primaries, want) {
		t.Errorf("%+v", s)
	}
	r.answers(t, "a.test.", dns.TypeA, "127.0.0.1")
}

func limitedQueries(t *testing.T, k kind) {
	if !k.limits {
		t.Skip("this kind of server cannot")
	}
	r := newRig(t, k, map[string]string{"a.test.": ""})
	z := r.config("a.test.")
	z.Primaries[0].Addr = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), z.Primaries[0].Addr.Port())
	z.Limited = true
	if err := r.Add(t.Context(), z); err != nil {
		t.Fatal(err)
	}
	r.wait(t, "a.test.", loaded)
	r.answers(t, "a.test.", dns.TypeA, "127.0.0.1") // 127.0.0.1 is a primary's address
	from127002 := &dns.Client{Dialer: dialFrom("127.0.0.2")}
	q := new(dns.Msg)
	q.SetQuestion("a.test.", dns.TypeSOA)
	if a, _, err := from127002.Exchange(q, r.server.Address.String()); err != nil || a.Rcode != dns.RcodeRefused && a.Rcode != dns.RcodeNotAuth {
		t.Errorf("%v, %v", a, err)
	}
}

func generated(t *testing.T, k kind) {
	label := strings.Repeat(`\001`, 60)
	r := newRig(t, k, map[string]string{"a.test.": "", "long.test.": zoneText + strings.Join([]string{label, label, label}, ".") + " A 127.0.0.3\n"})
	credential, err := k.typ.NewCredential()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	req := nameserver.ConfigRequest{Server: r.server, Credential: credential, Keys: []nameserver.KeyConfig{r.key}, Dir: dir,
		Settings:  []nameserver.ZoneConfig{{Primaries: r.config("a.test.").Primaries}, {Primaries: r.config("a.test.").Primaries, Limited: true}},
		Primaries: []netip.AddrPort{netip.MustParseAddrPort(r.primary.Addr)}, ProbeFrom: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	at := func(url string) string {
		if strings.HasPrefix(url, "unix:") {
			return "unix:" + filepath.Join(dir, "control.sock")
		}
		scheme, _, _ := strings.Cut(url, "://")
		return scheme + "://" + testbed.FreeAddr(t)
	}
	req.Server = fleet.Server{Name: "new", New: true, Address: netip.MustParseAddrPort(testbed.FreeAddr(t)), Control: at(r.server.Control)}
	if r.server.Stats != "" {
		req.Server.Stats = at(r.server.Stats)
	}
	database := ""
	if k.database != nil {
		database = k.database(t)
		req.Database = withoutPassword(t, database)
	}
	files, err := k.typ.Config(req)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if shows := !k.open && strings.Contains(string(f.Content), string(credential.Reveal())); shows && !f.Secret || f.Secret && f.Mode&0o007 != 0 {
			t.Errorf("%s: mode %o, secret %v", f.Path, f.Mode, f.Secret)
		}
		path := filepath.Join(dir, f.Path)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, f.Content, os.FileMode(f.Mode)); err != nil {
			t.Fatal(err)
		}
	}
	if checked, err := k.typ.CheckConfig(t.Context(), dir); !checked || err != nil {
		t.Fatal(checked, err)
	}
	if database != "" {
		makeTables(t, dir, database)
	}
	r.process, r.server, r.credential = k.adopt(t, dir, req.Server), req.Server, credential
	r.Driver = r.open(t, credential)
	if list := r.inventory(t); len(list) != 0 {
		t.Errorf("it has zones of its own: %v", list)
	}
	r.add(t, "a.test.", "long.test.")
	r.answers(t, "a.test.", dns.TypeA, "127.0.0.1")
	if _, err := r.axfr(t.Context(), r.server.Address, parse("a.test.")); err != nil {
		t.Errorf("its transfer with the pool's key: %v", err)
	}
	if a, err := new(dns.Transfer).In(new(dns.Msg).SetAxfr("a.test."), r.server.Address.String()); err == nil {
		for env := range a {
			if env.Error == nil && len(env.RR) > 0 {
				t.Error("it gives zones to anybody")
			}
		}
	}
	// What has come is on disk when whoever added it is done: neither a primary nor a
	// clean end is needed for it.
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r.primary.Kill(t)
	r.Kill(t)
	r.Restart(t)
	r.Driver = r.open(t, credential)
	r.wait(t, "a.test.", hasSerial(7))
	r.answers(t, "a.test.", dns.TypeA, "127.0.0.1")
}
