package zone_test

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"

	"dnsctl/zone"
	"dnsctl/zone/zonefile"
)

const head = "$TTL 300\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n"

func parse(t testing.TB, text string) *zone.Snapshot {
	t.Helper()
	res, err := zonefile.Read(context.Background(), strings.NewReader(text), zonefile.Options{Origin: zone.MustParseName("example."), NoCheck: true})
	if err != nil {
		t.Fatal(err)
	}
	return res.Snapshot
}

// told is the faults as SEVERITY CODE OWNER TYPE lines.
func told(faults []zone.Fault) string {
	var lines []string
	for _, f := range faults {
		lines = append(lines, fmt.Sprintf("%s %s %s %d", f.Severity, f.Code, f.Owner, f.Type))
	}
	slices.Sort(lines)
	return strings.Join(slices.Compact(lines), "\n")
}

var checks = map[string]struct{ text, want string }{
	"nothing":                    {"", ""},
	"CNAME and other data":       {"c CNAME a\nc TXT x\nc A 192.0.2.1\n", "error cname-and-other-data c.example. 5"},
	"CNAME and DNSSEC":           {"c CNAME a\nc NSEC d A\nc RRSIG CNAME 8 2 300 20260101000000 20250101000000 1 @ AAAA\n", ""},
	"several CNAMEs":             {"c CNAME a\nc CNAME b\n", "error several-of-singleton c.example. 5"},
	"several DNAMEs":             {"c DNAME a\nc DNAME b\n", "error several-of-singleton c.example. 39"},
	"CNAME and DNAME":            {"c CNAME a\nc DNAME b\n", "error cname-and-other-data c.example. 5"},
	"DNAME and NS":               {"c DNAME a\nc NS ns\n", "error dname-and-delegation c.example. 39"},
	"DNAME and NS at the apex":   {"@ DNAME a.test.\n", "error target-below-dname example. 2\nwarning occluded ns.example. 1"},
	"name below a DNAME":         {"c DNAME a\nx.y.c A 192.0.2.1\nd A 192.0.2.1\n", "warning occluded x.y.c.example. 1"},
	"delegation with glue":       {"d NS ns.d\nns.d A 192.0.2.2\nd DS 1 8 9 00\n", ""},
	"delegation without glue":    {"d NS ns.d\n", "error missing-glue d.example. 2"},
	"delegation to its own name": {"d NS d\nd AAAA 2001:db8::1\n", ""},
	"sibling glue":               {"d NS ns.e\ne NS ns\n", "warning missing-sibling-glue d.example. 2"},
	"apex NS in a delegation":    {"@ NS ns.e\ne NS ns\n", "error target-without-address example. 2"},
	"NS without address":         {"@ NS none\nd NS none2\n", "error target-without-address d.example. 2\nerror target-without-address example. 2"},
	"NS to other data":           {"@ NS t\nt TXT x\n", "error target-without-address example. 2"},
	"NS to a CNAME":              {"@ NS c\nd NS c\nc CNAME ns\n", "error target-is-cname d.example. 2\nerror target-is-cname example. 2"},
	"NS below a DNAME":           {"d NS x.dn\ndn DNAME y.test.\n", "error target-below-dname d.example. 2"},
	"NS by a wildcard":           {"d NS x.w\n*.w A 192.0.2.1\n", ""},
	"NS by a wildcard CNAME":     {"d NS x.w\n*.w CNAME ns\n", "error target-is-cname d.example. 2"},
	"wildcard stopped by a name": {"d NS x.y.w\n*.w A 192.0.2.1\ny.w TXT x\n", "error target-without-address d.example. 2"},
	"NS of a wildcard":           {"*.w NS ns.test.\n", "warning wildcard-ns *.w.example. 2"},
	"NS elsewhere":               {"d NS ns.test.\n", ""},
	"NS below a delegation":      {"d NS ns\nx.d NS none\n", "warning occluded x.d.example. 2"},
	"MX and SRV targets":         {"m MX 10 c\nc CNAME ns\nm MX 20 none\ns SRV 1 1 1 c\ns SRV 1 1 1 none\n", "warning target-is-cname m.example. 15\nwarning target-is-cname s.example. 33\nwarning target-without-address m.example. 15\nwarning target-without-address s.example. 33"},
	"null MX and SRV":            {"m MX 0 .\ns SRV 0 0 0 .\n", ""},
	"MX below a DNAME":           {"m MX 0 x.dn\ndn DNAME y.test.\n", "warning target-below-dname m.example. 15"},
	"MX into a delegation":       {"m MX 0 x.d\nd NS ns\n", ""},
	"DS at the apex":             {"@ DS 1 8 9 00\n", "error ds-at-apex example. 43"},
	"DS without NS":              {"d DS 1 8 9 00\n", "warning ds-without-ns d.example. 43"},
	"hidden by a delegation":     {"d NS ns\nd TXT x\nx.d TXT x\nx.d A 192.0.2.1\n", "warning occluded d.example. 16\nwarning occluded x.d.example. 16"},
	"many records":               {manyRecords(101, 4), "warning large-rrset many.example. 16"},
	"not quite as many":          {manyRecords(100, 4), ""},
	"many octets":                {manyRecords(90, 1000), "warning large-rrset many.example. 16"},
}

func manyRecords(n, size int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "many TXT %d", i)
		for l := 0; l < size; l += 250 {
			b.WriteString(" " + strings.Repeat("x", 250))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func TestCheckFindsFaults(t *testing.T) {
	t.Parallel()
	for name, c := range checks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := parse(t, head+c.text)
			faults := zone.Check(s)
			if got := told(faults); got != c.want {
				t.Fatalf("got\n%s\nwant\n%s", got, c.want)
			}
			for _, f := range faults {
				if !strings.HasPrefix(f.Msg, f.Owner.String()) || strings.Contains(f.Msg, "%!") {
					t.Error(f.Msg)
				}
			}
			// All owners, one by one, are the whole zone.
			var owners []zone.Key
			for k := range s.From("") {
				owners = append(owners, k)
			}
			if got := told(zone.CheckOwners(s, owners)); got != c.want {
				t.Fatalf("by owners\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func TestCheckFindsWhatTheReaderDoesNotLetIn(t *testing.T) {
	t.Parallel()
	s := parse(t, head)
	n := zone.MustParseName
	soa := s.SOASet()
	other := zone.SOA{MName: n("x."), RName: n("y.")}.Rdata()
	for name, c := range map[string]struct {
		set  zone.RRset
		want string
	}{
		"outside":       {zone.RRset{Owner: n("a.test."), Type: zone.TypeA, Data: zone.PackRdata("\x01\x02\x03\x04")}, "error out-of-zone a.test. 1"},
		"meta type":     {zone.RRset{Owner: n("a.example."), Type: zone.TypeANY, Data: zone.PackRdata("")}, "error meta-type a.example. 255"},
		"TTL":           {zone.RRset{Owner: n("a.example."), Type: zone.TypeA, TTL: 1 << 31, Data: zone.PackRdata("\x01\x02\x03\x04")}, "error ttl-too-big a.example. 1"},
		"too long":      {zone.RRset{Owner: n("a.example."), Type: 999, Data: zone.PackRdata(strings.Repeat("x", 65535))}, "error record-too-long a.example. 999\nwarning large-rrset a.example. 999"},
		"SOA below":     {zone.RRset{Owner: n("a.example."), Type: zone.TypeSOA, Data: soa.Data}, "error soa-not-at-apex a.example. 6"},
		"several SOA":   {zone.RRset{Owner: n("example."), Type: zone.TypeSOA, Data: zone.PackRdata(other)}, "error several-soa example. 6"},
		"malformed NS":  {zone.RRset{Owner: n("a.example."), Type: zone.TypeNS, Data: zone.PackRdata("\xc0\x0c")}, "error malformed-rdata a.example. 2"},
		"malformed MX":  {zone.RRset{Owner: n("a.example."), Type: zone.TypeMX, Data: zone.PackRdata("\x00\x01")}, "error malformed-rdata a.example. 15"},
		"malformed SRV": {zone.RRset{Owner: n("a.example."), Type: zone.TypeSRV, Data: zone.PackRdata("\x00\x01\x00\x01\x00\x01\x05a\x00")}, "error malformed-rdata a.example. 33"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := zone.NewBuilder(s.Apex(), 8)
			for set := range s.All() {
				b.Add(set)
			}
			b.Add(c.set)
			bad, err := b.Build()
			if err != nil {
				t.Fatal(err)
			}
			if got := told(zone.Check(bad)); got != c.want {
				t.Fatalf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func TestNoNameserverAtTheApexIsAFault(t *testing.T) {
	t.Parallel()
	s := parse(t, "@ 300 SOA . . 1 2 3 4 5\nd 300 NS ns.test.\n")
	want := "error no-ns-at-apex example. 0"
	if got := told(zone.Check(s)); got != want {
		t.Fatal(got)
	}
	if got := told(zone.CheckOwners(s, nil)); got != want {
		t.Fatal(got)
	}
}

// window hides everything of a content but its two methods.
type window struct{ s *zone.Snapshot }

func (w window) Apex() zone.Name            { return w.s.Apex() }
func (w window) At(k zone.Key) []zone.RRset { return w.s.At(k) }

// counter counts how much of a snapshot a check reads.
type counter struct {
	*zone.Snapshot
	walks, lookups int
}

func (c *counter) At(k zone.Key) []zone.RRset { c.lookups++; return c.Snapshot.At(k) }
func (c *counter) All() iter.Seq[zone.RRset]  { c.walks++; return c.Snapshot.All() }

func TestAnEditIsCheckedWhereItTouches(t *testing.T) {
	t.Parallel()
	key := func(name string) zone.Key { return zone.MustParseName(name).Key() }
	for name, c := range map[string]struct {
		text     string // the zone after the edit
		owners   []string
		want     string
		windowed string // what is found of it without walking the zone
	}{
		"the apex's nameserver loses its address": {"$TTL 5\n@ SOA ns h 1 2 3 4 5\n@ NS ns\n", []string{"ns.example"}, "error target-without-address example. 2", "error target-without-address example. 2"},
		"glue goes":                               {head + "d NS ns.d\n", []string{"ns.d.example"}, "error missing-glue d.example. 2", "error missing-glue d.example. 2"},
		"another delegation's nameserver goes":    {head + "d NS h\n", []string{"h.example"}, "error target-without-address d.example. 2", ""},
		"it becomes an alias":                     {head + "d NS h\nh CNAME ns\n", []string{"h.example"}, "error target-is-cname d.example. 2", ""},
		"a DNAME comes above it":                  {head + "d NS h.x\nh.x A 192.0.2.1\nx DNAME y.test.\n", []string{"x.example"}, "error target-below-dname d.example. 2", ""},
		"the wildcard goes that gave its address": {head + "d NS h.x\n", []string{"*.x.example"}, "error target-without-address d.example. 2", ""},
		"data comes below a delegation":           {head + "d NS ns\nx.d TXT x\n", []string{"x.d.example"}, "warning occluded x.d.example. 16", "warning occluded x.d.example. 16"},
		"faults elsewhere are not told":           {head + "c CNAME a\nc TXT x\nf TXT x\n", []string{"f.example"}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := parse(t, c.text)
			var owners []zone.Key
			for _, o := range c.owners {
				owners = append(owners, key(o))
			}
			if got := told(zone.CheckOwners(s, owners)); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if got := told(zone.CheckOwners(window{s}, owners)); got != c.windowed {
				t.Errorf("without walking: got %s, want %s", got, c.windowed)
			}
		})
	}
	t.Run("a new address costs a few lookups", func(t *testing.T) {
		t.Parallel()
		c := &counter{Snapshot: parse(t, head+"$GENERATE 1-5000 h$ A 192.0.2.1\n")}
		if faults := zone.CheckOwners(c, []zone.Key{key("h17.example")}); len(faults) > 0 || c.walks > 0 || c.lookups > 10 {
			t.Fatal(faults, c.walks, c.lookups)
		}
	})
}

func TestWarningsAreBounded(t *testing.T) {
	t.Parallel()
	faults := zone.Check(parse(t, head+"d DNAME x.test.\n$GENERATE 1-5000 h$.d A 192.0.2.1\nz CNAME a\nz TXT x\n"))
	if len(faults) != 1001 || faults[1000].Severity != zone.SeverityError {
		t.Fatal(len(faults))
	}
}

func TestSignedZonesAreKnown(t *testing.T) {
	t.Parallel()
	key, sig := "@ DNSKEY 257 3 13 AAAA\n", "@ RRSIG SOA 13 1 300 20260101000000 20250101000000 1 @ AAAA\n"
	for text, want := range map[string]bool{"": false, key: false, sig: false, key + sig: true} {
		if got := parse(t, head+text).Signed(); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}
