package fleetfile_test

import (
	"bytes"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"dnsctl/fleet"
	"dnsctl/fleetfile"
	"dnsctl/zone"
)

// sample is a fleet with every setting that a document has.
func sample() fleetfile.Document {
	main := fleet.Pool{Name: "main", Primaries: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:53"), netip.MustParseAddrPort("[2001:db8::1]:53")},
		NS: []zone.Name{zone.MustParseName("ns1.example.net.")}, Email: "h@example.net", RequireTSIG: true,
		AllowTransfer: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
		TLS:           fleet.PoolTLS{Require: true, Clients: []string{"ns1.example.net"}, Name: "mdns.example.net", CA: "-----BEGIN\nline\n"},
		Unmanaged:     fleet.Warn, Protect: []string{"*.corp", "a: b"}, CompareEvery: 90 * time.Minute, MinActive: 0, Catalog: zone.MustParseName("cat.example.")}
	lab := fleet.Pool{Name: "lab", Primaries: main.Primaries[:1], Unmanaged: fleet.Delete, MinActive: 1}
	keys := []fleet.Key{
		{Name: zone.MustParseName("main."), Algorithm: zone.MustParseName("hmac-sha256."), ScopeName: "pool:main"},
		{Name: zone.MustParseName("old."), Algorithm: zone.MustParseName("hmac-sha256."), ScopeName: "pool:main", Retired: new(time.Unix(9, 0))},
	}
	servers := []fleet.Server{{Name: "ns1", Type: "bind", Address: netip.MustParseAddrPort("192.0.2.53:53"), Probe: netip.MustParseAddrPort("192.0.2.54:53"),
		Control: "rndc://192.0.2.53:953", Stats: "http://192.0.2.53:8053", View: "in", Pools: []fleet.Pool{main, lab}}}
	return fleetfile.Of([]fleet.Pool{main, lab}, keys, servers)
}

func TestWhatIsWrittenIsReadAgain(t *testing.T) {
	var b, again bytes.Buffer
	if err := sample().Write(&b); err != nil {
		t.Fatal(err)
	}
	doc, err := fleetfile.Read(bytes.NewReader(b.Bytes()))
	if err != nil {
		t.Fatalf("%v in:\n%s", err, b.String())
	}
	if err := doc.Write(&again); err != nil || again.String() != b.String() {
		t.Fatalf("%v; written again:\n%s\nbefore:\n%s", err, again.String(), b.String())
	}
	if d := fleetfile.Compare(sample(), doc); len(d) != 0 {
		t.Fatalf("a document differs from itself: %+v", d)
	}
	if strings.Contains(b.String(), "old") {
		t.Fatal("a retired key is written")
	}
}

func TestWrongDocumentsAreRefusedWithTheirPlace(t *testing.T) {
	const head = "schema: dnsctl-fleet/v1\n"
	for text, want := range map[string]string{
		"":                              "it is empty",
		"schema: dnsctl-fleet/v9\n":     `schema is "dnsctl-fleet/v9"`,
		"pools: []\n":                   `schema is ""`,
		head + "pool: []\n":             `line 2: unknown field "pool"`,
		head + "pools: {}\n":            "line 2: a list is wanted here",
		head + "pools:\n  - main\n":     "line 3: fields are wanted here",
		head + "pools:\n  - ns: [a]\n":  "line 3: an element of pools has no name",
		head + "pools:\n  - name: ''\n": "line 3: an element of pools has no name",
		head + "pools:\n  - name: a\n    primry: [b]\n":              `line 4: unknown field "primry"`,
		head + "pools:\n  - name: a\n    name: b\n":                  `line 4: field "name" stands twice`,
		head + "pools:\n  - {name: a}\n  - {name: A.}\n":             `line 4: pools: "A." stands on line 3 already`,
		head + "pools:\n  - name: a\n    min-active: many\n":         "line 4: cannot unmarshal",
		head + "pools:\n  - name: a\n    primary: 192.0.2.1\n":       "line 4: a list is wanted here",
		head + "pools:\n  - name: a\n    primary: [[a]]\n":           "cannot unmarshal",
		head + "pools: &x\n  - name: a\nkeys: *x\n":                  "aliases",
		head + "---\n" + head:                                        "second document",
		head + "pools: [\n":                                          "line",
		"schema: [a]\n":                                              "cannot unmarshal",
		"\xff\xfe":                                                   "",
		head + strings.Repeat("# a long remark\n", 16<<20/16) + "\n": "longer than",
	} {
		_, err := fleetfile.Read(strings.NewReader(text))
		var fault *fleetfile.Fault
		if !errors.As(err, &fault) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, want %q", text, err, want)
		}
	}
}

func TestCompareSaysWhatDiffersInAnOrderThatWorks(t *testing.T) {
	have, want := sample(), sample()
	want.Pools = slices.DeleteFunc(want.Pools, func(p fleetfile.Pool) bool { return p.Name == "lab" })
	want.Pools[0].NS = []string{"ns1.example.net.", "ns2.example.net."}
	want.Pools = append(want.Pools, fleetfile.Pool{Name: "new"})
	want.Servers[0].Pool, want.Servers[0].ControlKeyFile = []string{"main", "new"}, "rndc.key"
	want.Keys[0].Name = "other"
	var got []string
	for _, d := range fleetfile.Compare(have, want) {
		line := string(d.Action) + " " + string(d.Kind) + " " + d.Name
		for _, f := range d.Fields {
			line += " " + f.Name + " " + f.From + ">" + f.To
		}
		got = append(got, line)
	}
	expected := []string{
		"change pool main ns ns1.example.net.>ns1.example.net.,ns2.example.net.",
		"add pool new",
		"add key other",
		"change server ns1 pool lab,main>main,new",
		"remove key main",
		"remove pool lab",
	}
	if !slices.Equal(got, expected) {
		t.Fatalf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(expected, "\n"))
	}
}

func FuzzRead(f *testing.F) {
	var b bytes.Buffer
	if err := sample().Write(&b); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte("schema: dnsctl-fleet/v1\npools:\n  - {name: a, min-active: 0}\nservers: ~\n"))
	f.Add([]byte("a: &a [*a]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		doc, err := fleetfile.Read(bytes.NewReader(text))
		if err != nil {
			return
		}
		var out bytes.Buffer
		if err := doc.Write(&out); err != nil {
			t.Fatal(err)
		}
		again, err := fleetfile.Read(&out)
		if err != nil {
			t.Fatalf("what was written is refused: %v", err)
		}
		if d := fleetfile.Compare(doc, again); len(d) != 0 {
			t.Fatalf("it differs when it is read again: %+v", d)
		}
	})
}
