package conformance_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/secret"
	"dnsctl/testbed"
	"dnsctl/zone"
)

// parse is the name of a zone in a test.
func parse(s string) zone.Name { return zone.MustParseName(s) }

func checks() []check {
	return []check{
		{"says who it is; a server without zones has an empty inventory", bareServer},
		{"a wrong credential, a dead server and an ended context are errors", noChannel},
		{"zones of odd names live their whole life; names it cannot have are refused", oddNames},
		{"settings that can never work are refused, and leave nothing behind", badSettings},
		{"a zone that was never loaded shows so", neverLoaded},
		{"zones survive kill -9", survivesKill},
		{"an inventory of many zones is whole, and they go several at a time", manyZones},
		{"an answer that is cut anywhere is an error, and never fewer zones", cutAnywhere},
		{"many zones are added in one exchange, and each says how it ended", addsMany},
		{"many zones are deleted in one exchange, and each says how it ended", deletesMany},
		{"what is not there is ErrNoZone, whatever is asked of it", noZone},
		{"a zone that is added again has nothing of its earlier life", freshLife},
		{"primaries and key are shown, and changed in place", changePrimaries},
		{"a retransfer replaces other content of the same serial, and a serial ahead", retransfers},
		{"changes come by NOTIFY, and by IXFR where the server does that well", changesCome},
		{"every type of record comes, and is copied, unchanged", allTypes},
		{"a signed zone keeps its signatures and denials, and so does its copy", signedZone},
		{"an operator's own zone is a primary, and is copied and deleted", ownZone},
		{"it becomes a secondary on its own content, and changes to ours", ownToSecondary},
		{"a copy is restored as a secondary and converted back in place", restored},
		{"an operator's own secondary comes back with its own primaries", ownSecondary},
		{"queries of a zone can be limited to our keys and primaries", limitedQueries},
		{"a generated configuration starts, is a secondary, and keeps its secrets", generated},
	}
}

func bareServer(t *testing.T, k kind) {
	r := newRig(t, k, nil)
	if list := r.inventory(t); len(list) != 0 {
		t.Errorf("inventory %v", list)
	}
	info, err := r.Info(t.Context())
	if err != nil || !strings.ContainsAny(info.Version, "0123456789") {
		t.Errorf("%+v, %v", info, err)
	}
	if c := r.Capabilities(); !c.ListsSerials {
		t.Errorf("%+v", c)
	}
}

// everything calls all that a driver can do.
func everything(ctx context.Context, r *rig, d nameserver.Driver, name string) map[string]error {
	errs := map[string]error{}
	_, errs["info"] = d.Info(ctx)
	errs["inventory"] = d.Inventory(ctx, func(nameserver.ZoneState) error { return nil })
	n := parse(name)
	_, errs["zone"] = d.Zone(ctx, n)
	errs["add"] = d.Add(ctx, r.config(name))
	errs["change"] = d.Change(ctx, r.config(name))
	errs["delete"] = d.Delete(ctx, n)
	errs["retransfer"] = d.Retransfer(ctx, n)
	_, errs["export"] = d.Export(ctx, n)
	return errs
}

func noChannel(t *testing.T, k kind) {
	r := newRig(t, k, map[string]string{"a.test.": ""})
	other, err := k.typ.NewCredential()
	if err != nil {
		t.Fatal(err)
	}
	for what, err := range everything(t.Context(), r, r.open(t, other), "a.test.") {
		if k.open {
			break
		}
		isErr(t, what+" with a wrong credential", err, nameserver.ErrAuth)
		for _, c := range []secret.Plain{other, r.credential} {
			if err != nil && strings.Contains(err.Error(), string(c.Reveal())) {
				t.Errorf("%s shows a credential", what)
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for what, err := range everything(ctx, r, r.Driver, "a.test.") {
		isErr(t, what+" when the context has ended", err, context.Canceled)
	}
	r.Kill(t)
	begin := time.Now()
	for what, err := range everything(t.Context(), r, r.open(t, r.credential), "a.test.") {
		isErr(t, what+" of a dead server", err, nameserver.ErrUnreachable)
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("that took %s", took)
	}
}

// oddities are legal zone names that break naive quoting, files, paths and URLs.
func oddities() []string {
	return []string{
		".", "plain.test.", `a\.b.test.`, `sp\032ace.test.`, `quo\"te.test.`, `semi\;colon.test.`, `brace\123\125.test.`,
		"0/25.2.0.192.in-addr.arpa.", `\.\./\.\./up.test.`, `back\\slash.test.`, `\\\".test.`, `\195\164\255.test.`, `nul\000.test.`,
		`new\010line.test.`, `\$ORIGIN.test.`, `\@.test.`, `x*y.test.`, "MiXed.Test.", "xn--mnchen-3ya.test.", `-v.test.`, `\035.test.`, `//.test.`,
		"_under.score.test.", `per%25cent.test.`, `que?stion.test.`, `eq=2Ful.test.`, `am&p.test.`, `*.wild.test.`, `com,ma.test.`, `t~e.test.`,
		strings.Repeat("a", 63) + "." + strings.Repeat("b", 63) + "." + strings.Repeat("c", 63) + "." + strings.Repeat("d", 61) + ".",
		strings.Repeat(`\001`, 63) + "." + strings.Repeat(`\002`, 63) + ".ccccc.",                                // 511 octets as text
		strings.Repeat(`\001`, 63) + "." + strings.Repeat(`\002`, 63) + "." + strings.Repeat(`\003`, 63) + ".c.", // 766
	}
}

func oddNames(t *testing.T, k kind) {
	zones := map[string]string{}
	var can, cannot []string
	for _, n := range oddities() {
		if parse(n).IsWildcard() && k.wildcards {
			continue // the primary here cannot have it
		}
		if err := k.typ.CanHold(parse(n)); err != nil {
			isErr(t, n, err, nameserver.ErrBadName)
			cannot = append(cannot, n)
			continue
		}
		if parse(n).IsWildcard() {
			continue // the primary here is a BIND, which has none
		}
		zones[n] = ""
		can = append(can, n)
	}
	if len(can) < 5 {
		t.Fatalf("it can hold %q", can)
	}
	r := newRig(t, k, zones)
	for _, n := range cannot {
		isErr(t, "add "+n, r.Add(t.Context(), r.config(n)), nameserver.ErrBadName)
		_, err := r.Zone(t.Context(), parse(n))
		isErr(t, "look at "+n, err, nameserver.ErrNoZone)
	}
	r.add(t, can...)
	look := func() {
		t.Helper()
		list := r.inventory(t)
		if len(list) != len(can) {
			t.Errorf("%d zones are listed, want %d", len(list), len(can))
		}
		for _, n := range can {
			s := list[parse(n).Lower().String()]
			if s.Role != nameserver.Secondary || !hasSerial(7)(s) {
				t.Errorf("inventory shows %s as %+v", n, s)
			}
			s = r.zone(t, n)
			if s.Origin != nameserver.Runtime || !s.Known || !slices.Equal(s.Primaries, r.config(n).Primaries) {
				t.Errorf("%s: %+v", n, s)
			}
			if got, err := ask(r.server.Address, dns.Fqdn(strings.TrimSuffix(n, ".")), dns.TypeTXT); n != "." && got != `"a;b"` {
				t.Errorf("%s is answered %q, %v", n, got, err)
			}
		}
	}
	look()
	if err := r.Close(); err != nil { // what was added is on disk then
		t.Error(err)
	}
	r.Restart(t) // it reads the names back from its own database
	r.Driver = r.open(t, r.credential)
	for _, n := range can {
		r.wait(t, n, loaded)
		if n != "." {
			r.answers(t, dns.Fqdn(strings.TrimSuffix(n, ".")), dns.TypeTXT, `"a;b"`)
		}
	}
	look()
	for _, n := range can {
		isErr(t, "add again", r.Add(t.Context(), r.config(n)), nameserver.ErrExists)
		if err := r.Change(t.Context(), r.config(n)); err != nil {
			t.Error(err)
		}
		if e, err := r.Export(t.Context(), parse(n)); err != nil || e.Content.Serial() != 7 || e.Settings == "" {
			t.Errorf("export %s: %v", n, err)
		}
		if err := r.Delete(t.Context(), parse(n)); err != nil {
			t.Error(err)
		}
		_, err := r.Zone(t.Context(), parse(n))
		isErr(t, "look at what was deleted", err, nameserver.ErrNoZone)
	}
	if list := r.inventory(t); len(list) != 0 {
		t.Errorf("left over: %v", list)
	}
	if !r.Running() {
		t.Error("the server crashed")
	}
}

func badSettings(t *testing.T, k kind) {
	r := newRig(t, k, nil)
	good := r.config("a.test.")
	for what, refs := range map[string][]nameserver.PrimaryRef{
		"no primaries": nil,
		"no address":   {{}},
		"no port":      {{Addr: netip.AddrPortFrom(good.Primaries[0].Addr.Addr(), 0)}},
		"unknown key":  {{Addr: good.Primaries[0].Addr, Key: parse("nokey.")}},
	} {
		z := good
		z.Primaries = refs
		err := r.Add(t.Context(), z)
		if !errors.Is(err, nameserver.ErrRefused) && !errors.Is(err, fleet.ErrNoKey) {
			t.Errorf("%s: %v", what, err)
		}
	}
	bad := good
	bad.Name = "\x05ab"
	isErr(t, "no name", r.Add(t.Context(), bad), nameserver.ErrBadName)
	if list := r.inventory(t); len(list) != 0 {
		t.Error(list)
	}
}

func neverLoaded(t *testing.T, k kind) {
	r := newRig(t, k, nil)
	if err := r.Add(t.Context(), r.config("a.test.")); err != nil {
		t.Fatal(err)
	}
	for what, s := range map[string]nameserver.ZoneState{"zone": r.zone(t, "a.test."), "inventory": r.inventory(t)["a.test."]} {
		if s.Serial != nil || !s.Expired || s.Role != nameserver.Secondary {
			t.Errorf("%s: %+v", what, s)
		}
	}
	_, err := r.Export(t.Context(), parse("a.test."))
	isErr(t, "export", err, nameserver.ErrNoCopy)
	if got, err := ask(r.server.Address, "a.test.", dns.TypeSOA); err != nil || strings.Contains(got, " ") {
		t.Errorf("it is answered %q, %v", got, err)
	}
	if err := r.Delete(t.Context(), parse("a.test.")); err != nil && !errors.Is(err, nameserver.ErrUntouchable) {
		t.Error(err)
	}
}

func survivesKill(t *testing.T, k kind) {
	r := newRig(t, k, map[string]string{"a.test.": "", "b.test.": ""})
	r.add(t, "b.test.")
	if err := r.Delete(t.Context(), parse("b.test.")); err != nil {
		t.Fatal(err)
	}
	r.add(t, "a.test.") // named writes a deletion down a moment after its answer
	r.Kill(t)
	r.Restart(t)
	r.Driver = r.open(t, r.credential)
	r.wait(t, "a.test.", hasSerial(7))
	if list := r.inventory(t); len(list) != 1 {
		t.Error(list)
	}
	r.answers(t, "a.test.", dns.TypeA, "127.0.0.1")
}

func manyZones(t *testing.T, k kind) {
	const n = 50
	zones := map[string]string{}
	for i := range n {
		zones[fmt.Sprintf("z%d.test.", i)] = ""
	}
	r := newRig(t, k, zones)
	names := slices.Collect(maps.Keys(zones))
	nameserver.Each(t.Context(), r.Driver, n, func(i int) {
		if err := r.Add(t.Context(), r.config(names[i])); err != nil {
			t.Error(err)
		}
		if _, err := r.Zone(t.Context(), parse(names[i])); err != nil {
			t.Error(err)
		}
	}, func(int) {})
	var list map[string]nameserver.ZoneState
	testbed.EventuallyNil(t, 2*patience, func() error {
		list = r.inventory(t)
		for name := range zones {
			if s, ok := list[name]; !ok || !hasSerial(7)(s) {
				return fmt.Errorf("%s: %+v", name, s)
			}
		}
		return nil
	})
	stop := errors.New("enough")
	seen := 0
	err := r.Inventory(t.Context(), func(nameserver.ZoneState) error { seen++; return stop })
	if !errors.Is(err, stop) || seen != 1 || len(list) != n {
		t.Errorf("%d zones; stopped after %d: %v", len(list), seen, err)
	}
	nameserver.Each(t.Context(), r.Driver, n, func(i int) {
		if err := r.Delete(t.Context(), parse(names[i])); err != nil {
			t.Error(err)
		}
	}, func(int) {})
	if left := r.inventory(t); len(left) != 0 {
		t.Errorf("%d zones are left", len(left))
	}
}

func noZone(t *testing.T, k kind) {
	r := newRig(t, k, nil)
	errs := everything(t.Context(), r, r.Driver, "a.test.")
	for _, what := range []string{"info", "inventory", "add", "change"} { // change finds what add has made
		if errs[what] != nil {
			t.Errorf("%s: %v", what, errs[what])
		}
		delete(errs, what)
	}
	_ = r.Delete(t.Context(), parse("a.test."))
	errs = everything(t.Context(), r, r.Driver, "a.test.")
	isErr(t, "zone", errs["zone"], nameserver.ErrNoZone)
	n := parse("none.test.")
	isErr(t, "change", r.Change(t.Context(), r.config("none.test.")), nameserver.ErrNoZone)
	isErr(t, "delete", r.Delete(t.Context(), n), nameserver.ErrNoZone)
	isErr(t, "retransfer", r.Retransfer(t.Context(), n), nameserver.ErrNoZone)
	_, err := r.Export(t.Context(), n)
	isErr(t, "export", err, nameserver.ErrNoZone)
}

func freshLife(t *testing.T, k kind) {
	r := newRig(t, k, map[string]string{"a.test.": ""})
	r.add(t, "a.test.")
	if err := r.Delete(t.Context(), parse("a.test.")); err != nil {
		t.Fatal(err)
	}
	r.primary.Stop(t)
	again := r.config("a.test.")
	again.Incarnation = "2"
	if err := r.Add(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	if s := r.zone(t, "a.test."); s.Serial != nil || !s.Expired {
		t.Errorf("the zone shows old content: %+v", s)
	}
	if got, err := ask(r.server.Address, "a.test.", dns.TypeA); err != nil || got == "127.0.0.1" {
		t.Errorf("it is answered %q, %v", got, err)
	}
}

func addsMany(t *testing.T, k kind) {
	r := newRig(t, k, nil)
	d := r.Driver
	if p, ok := d.(prepared); ok {
		p.ready(t.Context(), r.config("a.test."))
		d = p.Driver
	}
	bulk, ok := d.(nameserver.BulkAdder)
	if !ok {
		t.Skip("this kind of server takes them one by one")
	}
	if err := d.Add(t.Context(), r.config("b.test.")); err != nil {
		t.Fatal(err)
	}
	bad, unknown := r.config("bad.test."), r.config("unknown.test.")
	bad.Primaries, unknown.Primaries = nil, []nameserver.PrimaryRef{{Addr: nobody(t), Key: parse("nokey.")}}
	noName := r.config("no.test.")
	noName.Name = "\x05ab"
	zones := []nameserver.ZoneConfig{r.config("a.test."), bad, r.config("b.test."), noName, r.config("c.test."), unknown, r.config("d.test.")}
	wants := []error{nil, nameserver.ErrRefused, nameserver.ErrExists, nameserver.ErrBadName, nil, nameserver.ErrRefused, nil}
	for i := range 2000 { // more than the buffers of a connection hold
		zones, wants = append(zones, r.config(fmt.Sprintf("zone-%d.%s.test.", i, strings.Repeat("x", 60)))), append(wants, nil)
	}
	errs := bulk.AddAll(t.Context(), zones)
	if len(errs) != len(zones) {
		t.Fatalf("%d errors for %d zones", len(errs), len(zones))
	}
	for i, err := range errs {
		if !errors.Is(err, wants[i]) && !(zones[i].Name == unknown.Name && errors.Is(err, fleet.ErrNoKey)) {
			t.Errorf("zone %d: %v, want: %v", i, err, wants[i])
		}
	}
	if list := r.inventory(t); len(list) != 2004 {
		t.Errorf("%d zones are there", len(list))
	}
	if errs := bulk.AddAll(t.Context(), nil); len(errs) != 0 {
		t.Error(errs)
	}
}

func deletesMany(t *testing.T, k kind) {
	content := map[string]string{}
	for _, n := range []string{"a.test.", `a\000\001\046b.test.`, "UPPER.test."} {
		if k.typ.CanHold(parse(n)) == nil {
			content[n] = ""
		}
	}
	r := newRig(t, k, content)
	d := r.Driver
	if p, ok := d.(prepared); ok {
		d = p.Driver
	}
	bulk, ok := d.(nameserver.BulkDeleter)
	if !ok {
		t.Skip("this kind of server takes them one by one")
	}
	r.add(t, slices.Sorted(maps.Keys(content))...)
	zones := []nameserver.ZoneState{{Name: parse("no.test."), Role: nameserver.Secondary, Origin: nameserver.Runtime, Known: true}}
	var others []nameserver.ZoneConfig
	for i := range 400 { // more than the buffers of a connection hold
		others = append(others, r.config(fmt.Sprintf("zone-%d.%s.test.", i, strings.Repeat("x", 60))))
	}
	adder, ok := r.Driver.(nameserver.BulkAdder)
	if !ok {
		adder = d.(nameserver.BulkAdder)
	}
	if err := errors.Join(adder.AddAll(t.Context(), others)...); err != nil {
		t.Fatal(err)
	}
	stays := others[0].Name.Lower().String()
	for n, z := range r.inventory(t) {
		if n != stays {
			zones = append(zones, z)
		}
	}
	catalog := zones[len(zones)-1]
	catalog.Origin = nameserver.Cataloged
	zones[len(zones)-1] = catalog
	errs := bulk.DeleteAll(t.Context(), zones)
	if len(errs) != len(zones) {
		t.Fatalf("%d errors for %d zones", len(errs), len(zones))
	}
	isErr(t, "delete what is not there", errs[0], nameserver.ErrNoZone)
	isErr(t, "delete a member of a catalog", errs[len(errs)-1], nameserver.ErrUntouchable)
	if err := errors.Join(errs[1 : len(errs)-1]...); err != nil {
		t.Error(err)
	}
	left := r.inventory(t)
	if _, there := left[stays]; !there || len(left) != 2 {
		t.Errorf("%d zones are left: %v", len(left), left)
	}
	for n := range content {
		if z := parse(n).Lower(); !z.Equal(catalog.Name) {
			_, err := r.Zone(t.Context(), z)
			isErr(t, "look at "+n, err, nameserver.ErrNoZone)
			if got, err := ask(r.server.Address, z.String(), dns.TypeSOA); err != nil || strings.Contains(got, " ") {
				t.Errorf("%s is answered %q, %v", n, got, err)
			}
		}
	}
	if errs := bulk.DeleteAll(t.Context(), nil); len(errs) != 0 {
		t.Error(errs)
	}
}
