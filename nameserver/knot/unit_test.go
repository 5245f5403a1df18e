package knot

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"dnsctl/nameserver"
	"dnsctl/zone"
)

// answer is what a server sends: units of data, and the end of the block.
func answer(units ...unit) []byte {
	b, err := appendRequest(nil, units)
	if err != nil {
		panic(err)
	}
	return b
}

func TestUnitsComeBackAsTheyWereSent(t *testing.T) {
	t.Parallel()
	list := []unit{
		confUnit("conf-set", "zone", `a\.b.test.`, "file", ""),
		{itemCommand: "zone-purge", itemFlags: "BF", itemZone: ".", itemFilters: "ejt"},
		{itemData: strings.Repeat("x", 0xffff), itemOwner: "o", itemTTL: "1", itemType: "TXT"},
	}
	b := answer(list...)
	r := bufio.NewReader(bytes.NewReader(b))
	for i, want := range list {
		kind, got, err := readUnit(r)
		if err != nil || kind != kindData || got != want {
			t.Errorf("%d: %d %q %v", i, kind, got, err)
		}
	}
	if kind, _, err := readUnit(r); kind != kindBlock || err != nil {
		t.Error(kind, err)
	}
	if _, _, err := readUnit(r); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	// The bytes are knotc's own, as strace shows them.
	want := "\x01\x10\x00\x0bzone-status\x16\x00\x02a.\x03"
	if got := answer(unit{itemCommand: "zone-status", itemZone: "a."}); string(got) != want {
		t.Errorf("%q", got)
	}
	if _, err := appendRequest(nil, []unit{{itemData: strings.Repeat("x", 0x10000)}}); !errors.Is(err, errMalformed) {
		t.Error(err)
	}
}

func TestMalformedUnitsAreRefused(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		bytes string
		want  error
	}{
		"a kind that is none":       {"\x04", errMalformed},
		"an item without a unit":    {"\x10\x00\x00", errMalformed},
		"a code that is none":       {"\x01\x05\x03", errMalformed},
		"cut after the kind":        {"\x01", io.ErrUnexpectedEOF},
		"cut in a length":           {"\x01\x10\x00", io.ErrUnexpectedEOF},
		"cut in a value":            {"\x01\x10\x00\x05abc", io.ErrUnexpectedEOF},
		"items without end":         {"\x01" + strings.Repeat("\x10\x00\x00", 2*maxItems), errMalformed},
		"nothing":                   {"", io.EOF},
		"a unit that does not stop": {"\x01\x10\x00\x01a", io.ErrUnexpectedEOF},
	} {
		if _, u, err := readUnit(bufio.NewReader(strings.NewReader(c.bytes))); !errors.Is(err, c.want) {
			t.Errorf("%s: %q, %v", what, u, err)
		}
	}
	// An item of a later version is skipped.
	if _, u, err := readUnit(bufio.NewReader(strings.NewReader("\x01\x40\x00\x01x\x1a\x00\x01y\x03"))); err != nil || u != (unit{itemData: "y"}) {
		t.Errorf("%q, %v", u, err)
	}
}

func FuzzReadUnit(f *testing.F) {
	f.Add(answer(unit{itemZone: "a.", itemType: "serial", itemData: "7"}))
	f.Add([]byte("\x02\x16\x00\x02a.\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bufio.NewReader(bytes.NewReader(b))
		for {
			kind, u, err := readUnit(r)
			if err != nil {
				return
			}
			if kind != kindData {
				continue
			}
			again, err := appendRequest(nil, []unit{u})
			if err != nil {
				t.Fatal(err)
			}
			if _, v, err := readUnit(bufio.NewReader(bytes.NewReader(again))); err != nil || v != u {
				t.Fatalf("%q, %v", v, err)
			}
		}
	})
}

// What zone-status, conf-read and zone-read say is any text at all.
func FuzzAnswers(f *testing.F) {
	f.Add("a.test.", "slave", "7", "-", "192.0.2.1@53", "TXT", `"x"`)
	f.Add("b.test.", "master", "-", "cat.test.#group", "2001:db8::1", "SOA", ". . 1 2 3 4 5")
	f.Add("", "", "", "interpret", "/socket", "TYPE65535", `\# 0`)
	f.Fuzz(func(t *testing.T, name, role, serial, catalog, address, typ, data string) {
		z, err := status{name, map[string]string{"role": role, "serial": serial, "catalog": catalog}}.state()
		if err != nil && !errors.Is(err, nameserver.ErrAnswer) {
			t.Fatal(err)
		}
		if err == nil && (!z.Name.Valid() || z.Role == "" || z.Serial == nil && !z.Expired && z.Role != nameserver.Other) {
			t.Fatalf("%+v", z)
		}
		conf := config{}
		for _, u := range []unit{confUnit("", "remote", "", "id", "r"), confUnit("", "remote", "r", "address", address), confUnit("", "remotes", "g", "remote", "r")} {
			conf.put(u)
		}
		conf.complete(&z, &zoneConf{masters: []string{"g"}})
		for _, p := range z.Primaries {
			if !p.Addr.IsValid() || p.Addr.Port() == 0 {
				t.Fatalf("%+v", z.Primaries)
			}
		}
		if set, err := readRecord(unit{itemOwner: name, itemTTL: serial, itemType: typ, itemData: data}); err == nil && (!set.Owner.Valid() || set.Data.Len() != 1) {
			t.Fatalf("%+v", set)
		}
	})
}

func FuzzSettings(f *testing.F) {
	f.Add(`{"name":"a.test.","role":"primary","items":[{"item":"file","values":["x"]}]}`)
	f.Add(`{"name":"a.test.","role":"secondary"}`)
	f.Fuzz(func(t *testing.T, text string) {
		s, name, err := readSettings(text)
		if err == nil && (!name.Valid() || s.Role == "") {
			t.Fatalf("%+v", s)
		}
	})
}

func TestStatesAreRead(t *testing.T) {
	t.Parallel()
	type want struct {
		role    nameserver.Role
		origin  nameserver.Origin
		serial  zone.Serial
		expired bool
	}
	for _, c := range []struct {
		role, serial, catalog string
		want                  want
	}{
		{"slave", "4294967295", "-", want{nameserver.Secondary, nameserver.Runtime, 1<<32 - 1, false}},
		{"secondary", "none", "none", want{nameserver.Secondary, nameserver.Runtime, 0, true}},
		{"slave", "-", "-", want{nameserver.Secondary, nameserver.Runtime, 0, true}},
		{"master", "0", "-", want{nameserver.Primary, nameserver.Runtime, 0, false}},
		{"slave", "7", "cat.test.", want{nameserver.Secondary, nameserver.Cataloged, 7, false}},
		{"master", "7", "@cat.test.#g", want{nameserver.Primary, nameserver.Cataloged, 7, false}},
		{"slave", "-", "interpret", want{nameserver.Other, nameserver.Runtime, 0, false}},
		{"master", "7", "generate", want{nameserver.Other, nameserver.Runtime, 7, false}},
	} {
		z, err := status{"a.test.", map[string]string{"role": c.role, "serial": c.serial, "catalog": c.catalog}}.state()
		got := want{role: z.Role, origin: z.Origin, expired: z.Expired}
		if z.Serial != nil {
			got.serial = *z.Serial
		}
		if err != nil || got != c.want || (z.Serial == nil) != strings.Contains("- none", c.serial) {
			t.Errorf("%s %s %s: %+v, %v", c.role, c.serial, c.catalog, z, err)
		}
	}
	for _, fields := range []map[string]string{{"serial": "7"}, {"role": "slave"}, {"role": "slave", "serial": "-1"}, {"role": "king", "serial": "1"}} {
		if _, err := (status{"a.", fields}).state(); !errors.Is(err, nameserver.ErrAnswer) {
			t.Errorf("%v: %v", fields, err)
		}
	}
}
