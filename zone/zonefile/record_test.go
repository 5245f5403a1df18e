package zonefile

import (
	"strings"
	"testing"

	"dnsctl/zone"
)

func TestRecordDataFromACommandLine(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 300)
	for _, c := range []struct {
		typ        zone.Type
		text, want string // want is its text
	}{
		{zone.TypeA, "192.0.2.1", "192.0.2.1"},
		{zone.TypeA, "  192.0.2.1 ", "192.0.2.1"},
		{zone.TypeA, `\# 4 c0000201`, "192.0.2.1"},
		{zone.TypeMX, "10 mail", "10 mail.example."},
		{zone.TypeMX, "10 mail.example.", "10 mail.example."},
		{zone.TypeCNAME, "@", "example."},
		{zone.TypeTXT, "v=spf1 ip4:192.0.2.0/24 -all", `"v=spf1 ip4:192.0.2.0/24 -all"`},
		{zone.TypeTXT, "v=DKIM1; k=rsa; p=(x)", `"v=DKIM1; k=rsa; p=(x)"`},
		{zone.TypeTXT, " a  b ", `" a  b "`},
		{zone.TypeTXT, "", `""`},
		{zone.TypeTXT, `say \"hi\" \065`, `"say \"hi\" A"`},
		{zone.TypeTXT, `"two" "strings"`, `"two" "strings"`},
		{zone.TypeTXT, `"two" strings`, `"two" "strings"`},
		{zone.TypeTXT, long, `"` + long[:255] + `" "` + long[:45] + `"`},
		{zone.TypeTXT, `\# 2 0161`, `"a"`},
		{99, "v=spf1 -all", `"v=spf1 -all"`},
		{257, `0 issue "letsencrypt.org; a=b"`, `0 issue "letsencrypt.org; a=b"`},
		{257, `0 issue letsencrypt.org`, `0 issue "letsencrypt.org"`},
		{zone.TypeSOA, "ns hostmaster 7 2h 15m 2w 300", "ns.example. hostmaster.example. 7 7200 900 1209600 300"},
		{65, `1 . alpn="h2,h3"`, `1 . alpn="h2,h3"`},
		{29, "42 21 54 N 71 06 18 W -24m 30m", "42 21 54.000 N 71 06 18.000 W -24m 30m 10000m 10m"},
		{260, "128 1 3 relay", "128 1 3 relay.example."},
		{42, "", ""},
		{65280, `\# 0`, `\# 0`},
		{zone.TypeDNSKEY, "257 3 ECDSAP256SHA256 AAAA BBBB", "257 3 13 AAAABBBB"},
		{zone.TypeRRSIG, "A ED25519 2 300 20260131000000 20260101000000 1 @ AAAA", "A 15 2 300 20260131000000 20260101000000 1 example. AAAA"},
		{zone.TypeRRSIG, "TYPE1 15 2 300 1769817600 0 1 @ AAAA", "A 15 2 300 20260131000000 19700101000000 1 example. AAAA"},
		{104, "10 0014:4FFF:ff20:ee64", "10 0014:4fff:ff20:ee64"},
		{108, "00-00-5E-00-53-2a", "00-00-5e-00-53-2a"},
	} {
		rdata, err := ParseRdata(c.typ, c.text, testOrigin)
		if err != nil {
			t.Errorf("%s %q: %v", c.typ, c.text, err)
			continue
		}
		if got := RdataText(c.typ, rdata); got != c.want {
			t.Errorf("%s %q is %s, want %s", c.typ, c.text, got, c.want)
		}
	}
}

func TestRecordDataThatIsRefusedSaysWhatIsWanted(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		typ        zone.Type
		text, want string
	}{
		{zone.TypeMX, "mail.example. 10", `MX wants PREFERENCE HOST: "mail.example.": preference is not a number`},
		{zone.TypeMX, "", "MX wants PREFERENCE HOST: preference is missing"},
		{zone.TypeMX, "mail.example.", `MX wants PREFERENCE HOST: "mail.example.": preference is not a number`},
		{zone.TypeA, "2001:db8::1", `A wants ADDRESS: "2001:db8::1": address is not an IPv4 address`},
		{zone.TypeA, "192.0.2.1\n192.0.2.2", "A wants ADDRESS: more than one line"},
		{zone.TypeA, "192.0.2.1 ; x", "A wants ADDRESS: an unquoted ; begins a comment: put the text in quotes"},
		{zone.TypeA, "; x", "A wants ADDRESS: an unquoted ; begins a comment: put the text in quotes"},
		{zone.TypeA, "(192.0.2.1", "A wants ADDRESS: parenthesis opened here is never closed"},
		{zone.TypeTXT, `"open`, "TXT wants STRING...: quoted string opened here is not closed on its line"},
		{zone.TypeTXT, `bad \300`, `TXT: "bad \\300" has a bad escape: want \DDD with 000 to 255, or \ before one character`},
		{zone.TypeTXT, `"` + strings.Repeat("x", 256) + `"`, `TXT wants STRING...: "` + strings.Repeat("x", 77) + `...": string is a string of more than 255 octets: split it into several`},
		{zone.TypeTXT, strings.Repeat("x", 65000), "TXT record of 65255 octets: more than 64393 do not fit into a zone transfer"},
		{zone.TypeANY, "", "ANY is no type that a zone can hold"},
		{11, "192.0.2.1 tcp smtp", `WKS records are read in generic form only: \# LENGTH HEX (RFC 3597)`},
		{29, "91 N 0 E 0m", `LOC wants LATITUDE LONGITUDE ALTITUDE [SIZE [HPRECISION [VPRECISION]]]: bad LOC Latitude: "91"`},
		{65, "1", `HTTPS wants PRIORITY TARGET [KEY=VALUE...]: bad SVCB Target`},
	} {
		_, err := ParseRdata(c.typ, c.text, testOrigin)
		if err == nil || err.Error() != c.want {
			t.Errorf("%s %.80q: %v\nwant %s", c.typ, c.text, err, c.want)
		}
	}
}

func TestMalformedRdataIsShownInGenericForm(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		typ         zone.Type
		rdata, want string
	}{
		{zone.TypeA, "\x01\x02\x03", `\# 3 010203`},
		{zone.TypeA, "", `\# 0`},
		{zone.TypeMX, "\x00\x0a\xc0\x0c", `\# 4 000ac00c`},
		{zone.TypeTXT, "\x05abc", `\# 4 05616263`},
		{29, "\x01", `\# 1 01`},
		{260, "\x00", `\# 1 00`},
		{65280, "abc", `\# 3 616263`},
	} {
		if got := RdataText(c.typ, c.rdata); got != c.want {
			t.Errorf("%s %x is %s, want %s", c.typ, c.rdata, got, c.want)
		}
	}
}

func TestTimes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]uint32{
		"0": 0, "300": 300, "1h30m": 5400, "1H30M": 5400, "1w2d3h4m5s": 788645, "5s": 5, "1d1d": 172800, "4294967295": 1<<32 - 1, "007": 7,
	} {
		if got, err := ParseTTL(text); err != nil || got != want {
			t.Errorf("%q is %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "h", "1h30", "1y", "-1", "+1", "1 h", "4294967296", "99999999999999999999999", "7102w", "1.5h"} {
		if got, err := ParseTTL(text); err == nil {
			t.Errorf("%q is %d", text, got)
		}
	}
}

func TestWritingPutsTheSOAFirst(t *testing.T) {
	t.Parallel()
	res, err := read(t, head+"@ A 192.0.2.9\nb TXT \"a\tb\"\na\\.c 1h MX 10 Mail\n", Options{Origin: testOrigin})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := Write(&b, res.Snapshot); err != nil {
		t.Fatal(err)
	}
	want := "example.\t300\tIN\tSOA\tns.example. h.example. 1 2 3 4 5\n" +
		"example.\t300\tIN\tA\t192.0.2.9\nexample.\t300\tIN\tNS\tns.example.\n" +
		"a\\.c.example.\t3600\tIN\tMX\t10 Mail.example.\nb.example.\t300\tIN\tTXT\t\"a\\009b\"\nns.example.\t300\tIN\tA\t192.0.2.1\n"
	if b.String() != want {
		t.Fatalf("got\n%s\nwant\n%s", b.String(), want)
	}
	if err := Write(full{}, res.Snapshot); err == nil || err.Error() != "write zone example.: disk full" {
		t.Fatal(err)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }

var errFull = &hinted{msg: "disk full"}
