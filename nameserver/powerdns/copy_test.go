package powerdns

import (
	"errors"
	"net/http"
	"net/netip"
	"testing"

	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/secret"
	"dnsctl/testbed"
	"dnsctl/zone"
)

func TestDisabledRecordsCommentsAndOwnTypesComeBack(t *testing.T) {
	t.Parallel()
	p := testbed.StartPowerDNS(t, testbed.PowerDNSOptions{})
	opened, err := New().Open(nameserver.Target{Server: fleet.Server{Name: "t", Control: p.APIURL}, Credential: secret.New([]byte(p.APIKey))})
	if err != nil {
		t.Fatal(err)
	}
	d := opened.(*driver)
	defer d.Close()
	type set = map[string]any
	record := func(content string, disabled bool) set { return set{"content": content, "disabled": disabled} }
	body := set{"name": "a.test.", "kind": "Master", "soa_edit_api": "INCREASE", "account": "somebody", "rrsets": []set{
		{"name": "a.test.", "type": "SOA", "ttl": 60, "records": []set{record("ns.a.test. h.a.test. 7 1 2 3 4", false)}},
		{"name": "a.test.", "type": "NS", "ttl": 60, "records": []set{record("ns.a.test.", false)}},
		{"name": "ns.a.test.", "type": "A", "ttl": 60, "records": []set{record("192.0.2.1", false), record("192.0.2.2", true)}},
		{"name": "alias.a.test.", "type": "ALIAS", "ttl": 60, "records": []set{record("www.example.", false)}},
		{"name": "why.a.test.", "type": "TXT", "ttl": 60, "records": []set{record(`"because"`, false)},
			"comments": []set{{"content": "ask me", "account": "me", "modified_at": 1700000000}}},
	}}
	name := zone.MustParseName("a.test.")
	if err := d.call(t.Context(), http.MethodPost, "/zones", body, nil); err != nil {
		t.Fatal(err)
	}
	if err := d.putMetadata(t.Context(), name, metadata{Kind: "ALSO-NOTIFY", Values: []string{"192.0.2.9"}}); err != nil {
		t.Fatal(err)
	}
	before, err := d.Export(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	// As a transfer of the content alone would leave it.
	if err := d.Change(t.Context(), nameserver.ZoneConfig{Name: name, Primaries: []nameserver.PrimaryRef{{Addr: netip.MustParseAddrPort("127.0.0.1:1")}}}); err != nil {
		t.Fatal(err)
	}
	gone := func(owner, typ string, records ...set) set {
		return set{"name": owner, "type": typ, "ttl": 60, "changetype": "REPLACE", "records": records, "comments": []set{}}
	}
	if err := d.zoneCall(t.Context(), name, http.MethodPatch, "", set{"rrsets": []set{
		gone("ns.a.test.", "A", record("192.0.2.1", false)), {"name": "alias.a.test.", "type": "ALIAS", "changetype": "DELETE"},
		gone("why.a.test.", "TXT", record(`"because"`, false))}}); err != nil {
		t.Fatal(err)
	}
	if err := d.zoneCall(t.Context(), name, http.MethodDelete, "/metadata/ALSO-NOTIFY", nil); err != nil {
		t.Fatal(err)
	}
	if err := d.Convert(t.Context(), name, before.Settings); err != nil {
		t.Fatal(err)
	}
	after, err := d.Export(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if after.Settings != before.Settings || !zone.Diff(before.Content, after.Content).Empty() {
		t.Errorf("it was %d %s\nand is %d %s", before.Content.Serial(), before.Settings, after.Content.Serial(), after.Settings)
	}
}

func TestZonesThatItSignsAreNotTouched(t *testing.T) {
	t.Parallel()
	p := testbed.StartPowerDNS(t, testbed.PowerDNSOptions{})
	opened, err := New().Open(nameserver.Target{Server: fleet.Server{Name: "t", Control: p.APIURL}, Credential: secret.New([]byte(p.APIKey))})
	if err != nil {
		t.Fatal(err)
	}
	d := opened.(*driver)
	defer d.Close()
	for kind, more := range map[string]map[string]any{"signed": {"kind": "Native", "dnssec": true}, "producer": {"kind": "Producer"}, "consumer": {"kind": "Consumer"}} {
		name := zone.MustParseName(kind + ".test.")
		body := map[string]any{"name": name.String(), "nameservers": []string{"ns.test."}, "masters": []string{"127.0.0.1:1"}}
		for k, v := range more {
			body[k] = v
		}
		if more["kind"] != "Native" {
			delete(body, "nameservers")
		}
		if err := d.call(t.Context(), http.MethodPost, "/zones", body, nil); err != nil {
			t.Fatal(err)
		}
		s, err := d.Zone(t.Context(), name)
		if err != nil || s.Signs != (kind == "signed") || (s.Role == nameserver.Other) == (kind == "signed") {
			t.Errorf("%s: %+v, %v", kind, s, err)
		}
		if err := d.Delete(t.Context(), name); !errors.Is(err, nameserver.ErrUntouchable) {
			t.Errorf("delete %s: %v", kind, err)
		}
		if err := d.Change(t.Context(), nameserver.ZoneConfig{Name: name, Primaries: []nameserver.PrimaryRef{{Addr: netip.MustParseAddrPort("127.0.0.1:1")}}}); !errors.Is(err, nameserver.ErrUntouchable) {
			t.Errorf("change %s: %v", kind, err)
		}
	}
}
