package main

import (
	"fmt"
	"strings"
)

// special are the provider's own zones, internationalised names, and zones that
// each show something a master file may hold.
func special() []zoneFile {
	zones := []zoneFile{
		newZone("special", "example.net", soa(2024022901)+provider),
		newZone("special", "example.com", soa(2024022902)+delegations("example.com")),
		newZone("special", "example.org", soa(2024022903)+delegations("example.org")),
		newZone("special", "lab.example.org", soa(2024022904)+"@\tA\t192.0.2.77\n*\tTXT\t\"below a cut in example.org\"\n"),
		newZone("special", "minimal.example", soa(1)),
		newZone("special", "types.example", soa(2024030100)+types),
		newZone("special", "escapes.example", soa(2024030101)+escapes),
		newZone("special", "aliases.example", soa(2024030102)+aliases),
		newZone("special", "layout.example", layout),
		newZone("special", "deep.example", soa(2024030104)+deep()),
		newZone("special", "big.example", soa(2024030105)+big),
	}
	for n, name := range idns {
		zones = append(zones, newZone("special", name, idn(n)))
	}
	return append(zones, zoneFile{name: signedZone, file: signedFile})
}

const provider = `ns1	A	192.0.2.53
ns1	AAAA	2001:db8::53
ns2	A	198.51.100.53
ns2	AAAA	2001:db8:1::53
mail	A	192.0.2.25
mx1	A	192.0.2.26
mx2	A	198.51.100.26
autoconfig	A	192.0.2.80
autodiscover	A	192.0.2.80
cdn	A	203.0.113.80
cdn	AAAA	2001:db8::80
_spf	TXT	"v=spf1 ip4:192.0.2.0/24 ip4:198.51.100.0/24 ip6:2001:db8::/32 -all"
@	CAA	128 issue "ca.example.net"
@	MX	10 mx1
@	MX	20 mx2
*.block0	A	192.0.2.1
`

// delegations are those to the customers' zones below parent, and for
// example.org to the lab.
func delegations(parent string) string {
	text := "@\tA\t192.0.2.80\n*.wild\tA\t192.0.2.81\n"
	children := forward()
	if parent == "example.org" {
		children = append(children, zoneFile{name: "lab.example.org"})
	}
	for _, z := range children {
		if label, ok := strings.CutSuffix(z.name, "."+parent); ok {
			text += fmt.Sprintf("%s\tNS\tns1.example.net.\n%s\tNS\tns2.example.net.\n", label, label)
		}
	}
	return text
}

// types has records of many types, known and unknown (RFC 3597).
const types = `a	A	192.0.2.1
aaaa	AAAA	2001:DB8::1
mapped	AAAA	::ffff:192.0.2.1
afsdb	AFSDB	1 a
caa	CAA	1 tbs "unknown; but critical"
cert	CERT	PKIX 12345 RSASHA256 MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIB
csync	CSYNC	66 3 A NS AAAA
dhcid	DHCID	AAIBY2/AuCccgoJbsaxcQc9TUapptP69lOjxfNuVAA2kjEA=
dname	DNAME	a
ds	NS	ns.elsewhere.example.
ds	DS	60485 8 2 D4B7D520E7BB5F0F67674A0CCEB1E3E0614B93C4F9E99B8383F6A1E4469DA50A
eui48	EUI48	00-00-5e-00-53-2a
eui64	EUI64	00-00-5e-ef-10-00-00-2a
hinfo	HINFO	"RISC-V 64" "Plan 9"
https	HTTPS	0 a
ipseckey	IPSECKEY	10 1 2 192.0.2.38 AQNRU3mG7TVTO2BkR47usntb102uFJtugbo6BSGvgqt4AQ==
kx	KX	10 a
loc	LOC	42 21 54 N 71 06 18 W -24m 30m
mx	MX	0 .
naptr	NAPTR	100 10 "u" "E2U+email" "!^.*$!mailto:info@types.example!i" .
openpgpkey	OPENPGPKEY	mQENBFVHm5sBCAC2
ptr	PTR	A.Types.Example.
rp	RP	host\.master.types.example. people
people	TXT	"call +1 555 0100"
smimea	SMIMEA	3 0 0 30820122300D06092A864886F70D01010105
sshfp	SSHFP	1 1 123456789ABCDEF67890123456789ABCDEF67890
srv	SRV	65535 65535 65535 a
svcb	SVCB	16 a mandatory=alpn alpn=h2 key65333=x
tlsa	TLSA	0 0 1 D2ABDE240D7CD3EE6B4B28C54DF034B97983A1D16E8A410E4561CB106618E971
txt	TXT	"" "a" "two words" unquoted
uri	URI	10 1 "https://www.types.example/path?q=1"
unknown	TYPE65400	\# 4 0A000001
unknown	TYPE731	\# 6 abcd ( ef 01 23 45 )
unknown	CLASS1 TYPE62347 \# 0
generic	A	\# 4 C0000202
generic	CLASS1 TYPE28 \# 16 20010DB8000000000000000000000002
many	A	192.0.2.1
many	A	192.0.2.2
many	A	192.0.2.3
many	TXT	"a host and more"
many	SSHFP	4 2 9A61B9B8C5D7A2D13F7D0FEE5C9A8C5C1D6B8E0F4A3B2C1D0E9F8A7B6C5D4E3F
`

// escapes has owners and data that need care in presentation form, and the
// longest that DNS allows.
var escapes = `dotted\.label	TXT	"the dot belongs to the label"
a\032space	TXT	"and a \"quoted\" word"
\@	TXT	"not the apex"
semi\;colon	TXT	"a; b" c\;d
back\\slash	TXT	"back\\slash"
quo\"te	TXT	"\034 is a quotation mark"
par\(en\)	TXT	( "(not" "closed" )
\000zero	TXT	"\000\001\255"
caf\195\169	TXT	"caf\195\169, in UTF-8"
dollar\$	TXT	"$not a directive"
UPPER.Case	TXT	"as written"
*.*.star	TXT	"a star in the middle is a label"
_under_score	TXT	"_"
-dash-	TXT	"-"
1	TXT	"looks like a TTL"
in	TXT	"looks like a class"
mx	TXT	"looks like a type"
` + strings.Repeat("m", 63) + `	TXT	"the longest label"
` + strings.Repeat("a.", 118) + `a	TXT	"the longest name"
full	TXT	"` + strings.Repeat("x", 255) + `"
huge	TXT	` + hugeText() + "\n"

// hugeText is 8,000 octets in strings of 250.
func hugeText() string {
	var b strings.Builder
	b.WriteString("(\n")
	for n := range 32 {
		fmt.Fprintf(&b, "\t\t%q\n", keyText(n, 250))
	}
	b.WriteString("\t\t)")
	return b.String()
}

const aliases = `@	A	192.0.2.10
www	CNAME	one
one	CNAME	two
two	CNAME	three
three	A	192.0.2.11
loop-a	CNAME	loop-b
loop-b	CNAME	loop-a
dangling	CNAME	nowhere
away	CNAME	www.elsewhere.example.
old	DNAME	new
old	TXT	"beside a DNAME"
host.new	A	192.0.2.12
*.new	A	192.0.2.13
*.alias	CNAME	three
out	DNAME	example.net.
`

// layout is written in every way that a master file can be.
const layout = `; A comment before anything, then a TTL in units
$TTL 1d2h
$ORIGIN example.
layout	IN	SOA	ns1.example.net. Host\.Master.example.net. (
	2024030103	; serial
	2h		; refresh
	15M ; retry
	2w
	5m )		; negative answers
	NS	ns1.example.net.
	IN 300 NS	ns2.example.net.
$ORIGIN layout.example.
@ 0 A 192.0.2.20 ; never cached
  A 192.0.2.21
a 60 IN A 192.0.2.22
b IN 60 A 192.0.2.23
c 2147483647 A 192.0.2.24
$TTL 60
d ( A
	192.0.2.25 )
e	TXT ( "one" ; a comment inside
	"two"

	"three" )
$ORIGIN sub
f	A 192.0.2.26
$ORIGIN below
g	A 192.0.2.27
$ORIGIN .
h.layout.example	A 192.0.2.28
$ORIGIN layout.example.
$GENERATE 0-30/10 i${0,4,x} 120 IN A 192.0.2.${30}
$GENERATE 1-3 $.j PTR k\$-$.layout.example.
` + "last\tA\t192.0.2.29" // the file ends without a line break

// deep has names of many labels with nothing between them.
func deep() string {
	var b strings.Builder
	for depth := 2; depth <= 60; depth += 2 {
		fmt.Fprintf(&b, "%s\tTXT\t\"depth %d\"\n", strings.TrimSuffix(strings.Repeat("d.", depth), "."), depth)
	}
	return b.String()
}

// big has some thousands of records in a few lines.
const big = `$GENERATE 0-1999 host-$ A 192.0.2.1
$GENERATE 0-1999 host-$ AAAA 2001:db8:bbbb::${0,0,x}
$GENERATE 0-999 host-$ TXT "host number $"
`

// idns are names in several scripts, as A-labels: bücher, münchen, zürich,
// français, españa, ελλάδα, пример, москва, 例え, 中国, مثال, उदाहरण, faß and a
// name whose every label is one.
var idns = []string{
	"xn--bcher-kva.example",
	"xn--mnchen-3ya.example",
	"xn--zrich-kva.example",
	"xn--franais-xxa.example",
	"xn--espaa-rta.example",
	"xn--hxakic4aa.example",
	"xn--e1afmkfd.example",
	"xn--80adxhks.example",
	"xn--r8jz45g.example",
	"xn--fiqs8s.example",
	"xn--mgbh0fb.example",
	"xn--p1b6ci4b4b3a.example",
	"xn--fa-hia.example",
	"xn--bcher-kva.xn--mnchen-3ya.example",
}

func idn(n int) string {
	return soa(serial(n)) + fmt.Sprintf(`@	A	%[1]s
www	CNAME	@
xn--caf-dma	A	%[1]s
xn--strae-oqa	CNAME	xn--caf-dma
@	TXT	"\195\188"
`, v4(n))
}
