package edit_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dnsctl/edit"
	"dnsctl/fleet"
	"dnsctl/report"
	"dnsctl/store"
	"dnsctl/testbed/pretend"
	"dnsctl/zone"
	"dnsctl/zone/zonefile"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func editor(t *testing.T) (*edit.Editor, *store.Store) {
	t.Helper()
	s := pretend.NewStore(t)
	_, err := s.CreatePool(t.Context(), fleet.Pool{Name: "eu", Primaries: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:5300")},
		NS: []zone.Name{name("ns1.example.net"), name("ns2.example.net")}, Unmanaged: fleet.Delete}, nil, fleet.By{})
	if err != nil {
		t.Fatal(err)
	}
	return &edit.Editor{Store: s, Now: func() time.Time { return noon }}, s
}

func name(s string) zone.Name { return zone.MustParseName(s) }

func rdata(t *testing.T, typ zone.Type, text string) string {
	t.Helper()
	r, err := zonefile.ParseRdata(typ, text, name("example.org."))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func op(t *testing.T, v edit.Verb, owner string, typ zone.Type, data ...string) edit.Op {
	o := edit.Op{Verb: v, Owner: name(owner), Type: typ}
	for _, d := range data {
		o.Data = append(o.Data, rdata(t, typ, d))
	}
	return o
}

func source(text string) edit.Source {
	return edit.Source{Path: "test", Parse: func(ctx context.Context) (edit.Parsed, error) {
		r, err := zonefile.Read(ctx, strings.NewReader(text), zonefile.Options{Origin: name("example.org."), File: "test"})
		if err != nil {
			return edit.Parsed{}, err
		}
		return edit.Parsed{Content: r.Snapshot, Checked: true}, nil
	}}
}

func importText(t *testing.T, e *edit.Editor, text string) (edit.Result, error) {
	t.Helper()
	var res edit.Result
	var one error
	err := e.Import(t.Context(), []edit.Source{source(text)}, edit.ImportOptions{Pools: []string{"eu"}}, edit.Meta{Command: "zone import"},
		func(_ edit.Source, r edit.Result, err error) { res, one = r, err })
	if err != nil {
		t.Fatal(err)
	}
	return res, one
}

func content(t *testing.T, s *store.Store, n string) *zone.Snapshot {
	t.Helper()
	z, err := s.Zone(t.Context(), name(n))
	if err != nil {
		t.Fatal(err)
	}
	snap, _, err := s.Snapshot(t.Context(), z.Edition.ID)
	if err != nil {
		t.Fatal(err)
	}
	if snap.Records() != z.Edition.Records || snap.RRsets() != z.Edition.RRsets || snap.Octets() != z.Edition.Octets {
		t.Errorf("edition counts %d records, %d RRsets, %d octets; content has %d, %d, %d",
			z.Edition.Records, z.Edition.RRsets, z.Edition.Octets, snap.Records(), snap.RRsets(), snap.Octets())
	}
	return snap
}

const small = "$TTL 300\n@ SOA ns1 hostmaster 7 7200 900 1209600 300\n@ NS ns1\nns1 A 192.0.2.1\nwww A 192.0.2.2\n"

func TestFirstImportStoresNoDelta(t *testing.T) {
	e, s := editor(t)
	res, err := importText(t, e, small)
	if err != nil || res.Action != edit.Created || res.Serial != 7 {
		t.Fatalf("got %+v, %v", res, err)
	}
	z, err := s.Zone(t.Context(), name("example.org"))
	if err != nil {
		t.Fatal(err)
	}
	if d, err := s.Deltas(t.Context(), z.Edition.ID, 6, 7, 1<<20); err != nil || d != nil {
		t.Errorf("a first import has deltas: %v, %v", d, err)
	}
}

func TestReimportChoosesTheSerial(t *testing.T) {
	tests := []struct {
		name, old, new string
		action         string
		serial         zone.Serial
	}{
		{"same file", "", "", edit.Unchanged, 7},
		{"content differs, serial does not", "192.0.2.2", "192.0.2.3", edit.Changed, 8},
		{"content and serial differ", "hostmaster 7 7200 900 1209600 300\n@ NS ns1\nns1 A 192.0.2.1\nwww A 192.0.2.2", "hostmaster 70 7200 900 1209600 300\n@ NS ns1\nns1 A 192.0.2.1\nwww A 192.0.2.3", edit.Changed, 70},
		{"serial alone is ahead", "hostmaster 7", "hostmaster 9", edit.Changed, 9},
		{"serial alone is behind", "hostmaster 7", "hostmaster 6", edit.Unchanged, 7},
		{"serial behind and content differs", "hostmaster 7 7200", "hostmaster 6 7201", edit.Changed, 8},
		{"serial wrapped", "hostmaster 7", "hostmaster 2147483654", edit.Changed, 2147483654},
		{"serial 2^31 away with the same content", "hostmaster 7", "hostmaster 2147483655", edit.Unchanged, 7},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e, s := editor(t)
			if _, err := importText(t, e, small); err != nil {
				t.Fatal(err)
			}
			next := small
			if tt.old != "" {
				next = strings.Replace(small, tt.old, tt.new, 1)
				if next == small {
					t.Fatal("the test changes nothing")
				}
			}
			res, err := importText(t, e, next)
			if err != nil || res.Action != tt.action || res.Serial != tt.serial {
				t.Errorf("got %s serial %d, %v; want %s serial %d", res.Action, res.Serial, err, tt.action, tt.serial)
			}
			if got := content(t, s, "example.org").Serial(); got != tt.serial {
				t.Errorf("stored serial %d, want %d", got, tt.serial)
			}
		})
	}
}

func TestReimportStoresTheDifferenceOnly(t *testing.T) {
	e, s := editor(t)
	if _, err := importText(t, e, small); err != nil {
		t.Fatal(err)
	}
	if _, err := importText(t, e, strings.Replace(small, "192.0.2.2", "192.0.2.3", 1)); err != nil {
		t.Fatal(err)
	}
	z, err := s.Zone(t.Context(), name("example.org"))
	if err != nil {
		t.Fatal(err)
	}
	deltas, err := s.Deltas(t.Context(), z.Edition.ID, 7, 8, 1<<20)
	if err != nil || len(deltas) != 1 {
		t.Fatalf("deltas %v, %v", deltas, err)
	}
	if removed, added := deltas[0].Records(); removed != 1 || added != 1 {
		t.Errorf("delta removes %d and adds %d records, want 1 and 1", removed, added)
	}
}

func TestZoneCreatedAgainStartsPastItsLastSerial(t *testing.T) {
	e, _ := editor(t)
	if _, err := importText(t, e, strings.Replace(small, "hostmaster 7", "hostmaster 4000", 1)); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Delete(t.Context(), []zone.Name{name("example.org")}, true, edit.Meta{}); err != nil {
		t.Fatal(err)
	}
	res, err := e.Create(t.Context(), edit.NewZone{Name: name("example.org"), Pools: []string{"eu"}, SerialStyle: zone.SerialIncrement}, edit.Meta{})
	if err != nil || res.Serial != 4001 {
		t.Errorf("got serial %d, %v; want 4001", res.Serial, err)
	}
}

func TestRecordEditsChangeContentCountsAndSerial(t *testing.T) {
	ttl := uint32(60)
	tests := []struct {
		name string
		ops  func(t *testing.T) []edit.Op
		want string // a line that the zone has then; with "-" before it, has not
	}{
		{"set a new RRset", func(t *testing.T) []edit.Op {
			return []edit.Op{op(t, edit.Set, "mail.example.org.", zone.TypeA, "192.0.2.5", "192.0.2.6")}
		}, "mail.example.org. 300 A 192.0.2.6"},
		{"set replaces", func(t *testing.T) []edit.Op {
			return []edit.Op{op(t, edit.Set, "WWW.example.org.", zone.TypeA, "192.0.2.9")}
		}, "-www.example.org. 300 A 192.0.2.2"},
		{"add", func(t *testing.T) []edit.Op {
			return []edit.Op{op(t, edit.Add, "www.example.org.", zone.TypeA, "192.0.2.9")}
		}, "www.example.org. 300 A 192.0.2.9"},
		{"delete one record", func(t *testing.T) []edit.Op {
			return []edit.Op{op(t, edit.Add, "www.example.org.", zone.TypeA, "192.0.2.9"), op(t, edit.Delete, "www.example.org.", zone.TypeA, "192.0.2.2")}
		}, "-www.example.org. 300 A 192.0.2.2"},
		{"delete an owner", func(t *testing.T) []edit.Op {
			return []edit.Op{{Verb: edit.Delete, Owner: name("www.example.org.")}}
		}, "-www.example.org. 300 A 192.0.2.2"},
		{"new TTL", func(t *testing.T) []edit.Op {
			o := op(t, edit.Set, "www.example.org.", zone.TypeA, "192.0.2.2")
			o.TTL = &ttl
			return []edit.Op{o}
		}, "www.example.org. 60 A 192.0.2.2"},
		{"set the SOA", func(t *testing.T) []edit.Op {
			return []edit.Op{op(t, edit.Set, "example.org.", zone.TypeSOA, "ns1.example.org. ops.example.org. 3 1 2 3 4")}
		}, "example.org. 300 SOA ns1.example.org. ops.example.org. 8 1 2 3 4"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e, s := editor(t)
			if _, err := importText(t, e, small); err != nil {
				t.Fatal(err)
			}
			before := content(t, s, "example.org")
			res, err := e.Records(t.Context(), name("example.org"), tt.ops(t), edit.Meta{})
			if err != nil || res.Serial != 8 || res.Action != edit.Changed {
				t.Fatalf("got %+v, %v", res, err)
			}
			after := content(t, s, "example.org")
			line, without := strings.CutPrefix(tt.want, "-")
			if slices.Contains(lines(after), line) == without {
				t.Errorf("zone has\n%s\nwant %q", strings.Join(lines(after), "\n"), tt.want)
			}
			z, err := s.Zone(t.Context(), name("example.org"))
			if err != nil {
				t.Fatal(err)
			}
			deltas, err := s.Deltas(t.Context(), z.Edition.ID, 7, 8, 1<<20)
			if err != nil || len(deltas) != 1 {
				t.Fatalf("deltas %v, %v", deltas, err)
			}
			applied, err := before.Apply(deltas[0])
			if err != nil || !slices.Equal(lines(applied), lines(after)) {
				t.Errorf("the stored delta does not lead to the stored content: %v", err)
			}
		})
	}
}

func lines(s *zone.Snapshot) []string {
	var out []string
	for set := range s.All() {
		for d := range set.Data.All() {
			out = append(out, fmt.Sprintf("%s %d %s %s", set.Owner, set.TTL, set.Type, zonefile.RdataText(set.Type, d)))
		}
	}
	return out
}

func TestRecordEditsThatDNSForbidsAreRefused(t *testing.T) {
	tests := []struct {
		name string
		op   func(t *testing.T) edit.Op
		want string
	}{
		{"CNAME beside other data", func(t *testing.T) edit.Op { return op(t, edit.Set, "www.example.org.", zone.TypeCNAME, "a.example.") }, "CNAME"},
		{"other data beside CNAME", func(t *testing.T) edit.Op { return op(t, edit.Set, "example.org.", zone.TypeCNAME, "a.example.") }, "CNAME"},
		{"last apex NS", func(t *testing.T) edit.Op { return op(t, edit.Delete, "example.org.", zone.TypeNS) }, "last NS"},
		{"SOA deleted", func(t *testing.T) edit.Op { return op(t, edit.Delete, "example.org.", zone.TypeSOA) }, "SOA"},
		{"everything at the apex", func(t *testing.T) edit.Op { return edit.Op{Verb: edit.Delete, Owner: name("example.org.")} }, "apex"},
		{"out of zone", func(t *testing.T) edit.Op { return op(t, edit.Set, "www.example.com.", zone.TypeA, "192.0.2.1") }, "not in zone"},
		{"nothing to delete", func(t *testing.T) edit.Op { return op(t, edit.Delete, "www.example.org.", zone.TypeMX) }, "no MX record"},
		{"two CNAMEs", func(t *testing.T) edit.Op { return op(t, edit.Set, "x.example.org.", zone.TypeCNAME, "a.", "b.") }, "one only"},
		{"apex NS in the zone without address", func(t *testing.T) edit.Op { return op(t, edit.Set, "example.org.", zone.TypeNS, "ns9.example.org.") }, "address"},
	}
	e, s := editor(t)
	if _, err := importText(t, e, small); err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := e.Records(t.Context(), name("example.org"), []edit.Op{tt.op(t)}, edit.Meta{})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want something about %q", err, tt.want)
			}
			if got := content(t, s, "example.org").Serial(); got != 7 {
				t.Errorf("serial moved to %d", got)
			}
		})
	}
}

func TestIfSerialRefusesWhenSomebodyWasFaster(t *testing.T) {
	e, _ := editor(t)
	if _, err := importText(t, e, small); err != nil {
		t.Fatal(err)
	}
	old := zone.Serial(6)
	_, err := e.Records(t.Context(), name("example.org"), []edit.Op{op(t, edit.Set, "a.example.org.", zone.TypeA, "192.0.2.1")}, edit.Meta{IfSerial: &old})
	if exit, hint := report.ExitOf(err); err == nil || exit != report.ExitFailed || hint == "" {
		t.Errorf("got %v, exit %d, hint %q", err, exit, hint)
	}
}

func TestNoEditIsLostAmongManyAtOnce(t *testing.T) {
	e, s := editor(t)
	if _, err := importText(t, e, small); err != nil {
		t.Fatal(err)
	}
	const writers, each = 4, 5
	var wg sync.WaitGroup
	errs := make(chan error, writers*each)
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				o := op(t, edit.Set, fmt.Sprintf("w%d-%d.example.org.", w, i), zone.TypeA, "192.0.2.7")
				if _, err := e.Records(context.Background(), name("example.org"), []edit.Op{o}, edit.Meta{}); err != nil {
					errs <- err
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
	snap := content(t, s, "example.org")
	if want := 4 + writers*each; snap.Records() != want || snap.Serial() != 7+writers*each {
		t.Errorf("%d records at serial %d, want %d at %d", snap.Records(), snap.Serial(), want, 7+writers*each)
	}
}

func TestDeletedZoneComesBackUnderANewSerial(t *testing.T) {
	e, s := editor(t)
	if _, err := importText(t, e, small); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Delete(t.Context(), []zone.Name{name("example.org")}, false, edit.Meta{}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Records(t.Context(), name("example.org"), nil, edit.Meta{}); err == nil {
		t.Error("a deleted zone was edited")
	}
	res, err := e.Undelete(t.Context(), name("example.org"), edit.Meta{})
	if err != nil || res.Serial != 8 {
		t.Fatalf("got serial %d, %v", res.Serial, err)
	}
	if snap := content(t, s, "example.org"); snap.Serial() != 8 || snap.Records() != 4 {
		t.Errorf("serial %d with %d records", snap.Serial(), snap.Records())
	}
	if _, err := e.Delete(t.Context(), []zone.Name{name("example.org")}, true, edit.Meta{}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Undelete(t.Context(), name("example.org"), edit.Meta{}); err == nil {
		t.Error("a purged zone came back")
	}
}

func TestUndeletedZoneStartsPastEveryLaterZoneOfItsName(t *testing.T) {
	e, s := editor(t)
	del := func() {
		t.Helper()
		if _, err := e.Delete(t.Context(), []zone.Name{name("example.org")}, false, edit.Meta{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, serial := range []string{"hostmaster 7", "hostmaster 900"} {
		if _, err := importText(t, e, strings.Replace(small, "hostmaster 7", serial, 1)); err != nil {
			t.Fatal(err)
		}
		del()
	}
	res, err := e.Undelete(t.Context(), name("example.org"), edit.Meta{})
	if err != nil || res.Serial != 901 {
		t.Fatalf("got serial %d, %v; want 901", res.Serial, err)
	}
	del()
	if res, err = e.Undelete(t.Context(), name("example.org"), edit.Meta{}); err != nil || res.Serial != 902 {
		t.Fatalf("got serial %d, %v; want 902", res.Serial, err)
	}
	if got := content(t, s, "example.org").Serial(); got != 902 {
		t.Errorf("stored serial %d", got)
	}
}

func TestDatabaseZonesOfDnsctlItselfAreLeftAlone(t *testing.T) {
	e, _ := editor(t)
	if _, err := e.Create(t.Context(), edit.NewZone{Name: name("x.dnsctl.invalid"), Pools: []string{"eu"}}, edit.Meta{}); err == nil {
		t.Error("a marker's name was taken for an ordinary zone")
	}
	z, err := e.Store.Zone(t.Context(), name("nothere.example"))
	if !errors.Is(err, fleet.ErrNoZone) {
		t.Errorf("got %v, %v", z, err)
	}
}
