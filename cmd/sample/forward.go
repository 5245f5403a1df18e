package main

import (
	"fmt"
	"strings"
)

// customers is how many zones of the common kinds there are.
const customers = 232

// forward are the zones of customers, in eight kinds by turns.
func forward() []zoneFile {
	first := []string{"amber", "brisk", "cedar", "dapper", "ember", "fern", "granite", "hazel", "indigo", "jolly", "keen", "lunar", "maple", "noble", "olive", "pearl", "quartz", "river", "silver", "tulip", "umber", "velvet", "willow", "yonder", "zephyr", "autumn", "birch", "copper", "dune"}
	second := []string{"anvil", "bakery", "clinic", "depot", "electric", "foundry", "garden", "harbour", "institute", "journal", "kitchen", "library"}
	tlds := []string{"example", "example.com", "example.org", "test"}
	kinds := []func(n int) string{website, office, hosting, delegating, voice, modern, campus, included}
	var zones []zoneFile
	for n := range customers {
		name := fmt.Sprintf("%s-%s.%s", first[n%len(first)], second[n/len(first)%len(second)], tlds[n/7%len(tlds)])
		zones = append(zones, newZone("forward", name, kinds[n%len(kinds)](n)))
	}
	return zones
}

// serial differs from zone to zone, in the date style.
func serial(n int) int { return 2024010100 + n%28*100 + n%7 }

// website is a plain zone.
func website(n int) string {
	return soa(serial(n)) + fmt.Sprintf(`@	IN	A	%[1]s
@	IN	AAAA	%[2]s
@	IN	MX	10 mail
www	IN	CNAME	@
mail	IN	A	%[3]s
mail	IN	AAAA	%[4]s
ftp	300	IN	A	%[1]s
@	IN	TXT	"v=spf1 mx -all"
`, v4(n), v6(n, 1), v4(n+1), v6(n, 2))
}

// office has owners in mixed case, TTLs in units, and names left out.
func office(n int) string {
	text := soa(serial(n))
	for i, host := range []string{"Gateway", "PrintServer", "files", "BACKUP", "Intranet", "vpn"} {
		text += fmt.Sprintf("%s\t1h30m\tIN\tA\t%s\n\t\tIN\tAAAA\t%s\n", host, v4(n+i), v6(n, 0x10+i))
	}
	return text + "Mail.Office\t2D IN\tCNAME\tfiles\n@\t1W\tIN\tMX\t5 Gateway\n*.Printers\tIN\tA\t" + v4(n) + "\n"
}

// hosting has wildcards, names that they do not cover, and empty non-terminals.
func hosting(n int) string {
	return soa(serial(n)) + fmt.Sprintf(`@	IN	A	%[1]s
*	IN	A	%[1]s
*	IN	TXT	"any name"
*.pages	IN	A	%[2]s
*.pages	IN	AAAA	%[3]s
blog.pages	IN	CNAME	www
www	IN	A	%[1]s
deep.below.an.empty.name	IN	A	%[2]s
*._tcp.shop	IN	SRV	0 0 443 www
static	IN	CNAME	cdn.example.net.
`, v4(n), v4(n+1), v6(n, 1))
}

// delegating hands parts to others: with glue, with a secure delegation, and to
// nameservers elsewhere.
func delegating(n int) string {
	return soa(serial(n)) + fmt.Sprintf(`@	IN	A	%[1]s
dev	IN	NS	ns1.dev
	IN	NS	ns2.dev
ns1.dev	IN	A	%[2]s
ns1.dev	IN	AAAA	%[3]s
ns2.dev	IN	A	%[4]s
lab	IN	NS	ns.elsewhere.example.
lab	IN	DS	%[5]d 13 2 ( 4355A46B19D348DC2F57C046F8EF63D4
			538EBB936000F3C9EE954A27460DD865 )
remote	IN	NS	ns1.partner.example.
remote	IN	NS	ns2.partner.example.
`, v4(n), v4(n+1), v6(n, 0x53), v4(n+2), 10000+n)
}

// voice has what telephony looks up.
func voice(n int) string {
	return soa(serial(n)) + fmt.Sprintf(`@	IN	NAPTR	10 100 "S" "SIP+D2U" "" _sip._udp
@	IN	NAPTR	20 100 "S" "SIPS+D2T" "" _sips._tcp
@	IN	NAPTR	30 50 "U" "E2U+sip" "!^.*$!sip:info@sip%[1]d.example.net!" .
_sip._udp	IN	SRV	10 60 5060 sip1
_sip._udp	IN	SRV	10 40 5060 sip2
_sips._tcp	IN	SRV	10 0 5061 sip1
_xmpp-server._tcp	IN	SRV	5 0 5269 xmpp
_h323cs._tcp	IN	SRV	0 0 0 .
sip1	IN	A	%[2]s
sip1	IN	AAAA	%[3]s
sip2	IN	A	%[4]s
xmpp	IN	A	%[4]s
	IN	LOC	52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m
`, n, v4(n), v6(n, 1), v4(n+1))
}

// modern has service bindings, certificates' constraints and long keys.
func modern(n int) string {
	return soa(serial(n)) + fmt.Sprintf(`@	IN	A	%[1]s
@	IN	AAAA	%[2]s
@	IN	HTTPS	1 . alpn="h2,h3" ipv4hint=%[1]s ipv6hint=%[2]s
www	IN	HTTPS	0 @
_8443._https.api	IN	HTTPS	1 api port=8443 alpn=h2
_dns.resolver	IN	SVCB	1 doh alpn=h2 key65280="two words"
api	IN	A	%[1]s
doh	IN	A	%[3]s
@	IN	CAA	0 issue "ca.example.net; validationmethods=dns-01"
@	IN	CAA	0 issuewild ";"
_443._tcp	IN	TLSA	3 1 1 %[4]s
bastion	IN	A	%[3]s
bastion	IN	SSHFP	4 2 ( %[5]s
			%[6]s )
selector%[7]d._domainkey	IN	TXT	( "v=DKIM1; k=rsa; p=%[8]s"
				"%[9]s" )
`, v4(n), v6(n, 1), v4(n+1), hexText(n, 64), hexText(n+1, 32), hexText(n+2, 32), n%3+1, keyText(n, 230), keyText(n+1, 180))
}

// campus is made of ranges.
func campus(n int) string {
	return soa(serial(n)) + fmt.Sprintf(`$GENERATE 1-%[1]d ws-$ A 198.51.100.$
$GENERATE 1-%[1]d/2 ws-${0,3,d}-v6 AAAA 2001:db8:%[2]x::${0,0,x}
$GENERATE 0-15 lab${1,2,d} CNAME ws-${1}
@	IN	A	%[3]s
`, 20+n%5*4, n, v4(n))
}

// included takes shared parts from files, and opens a folder of its own in them.
func included(n int) string {
	return soa(serial(n)) + fmt.Sprintf(`@	IN	A	%[1]s
www	IN	A	%[1]s
$INCLUDE include/mail.inc
$INCLUDE include/policy.inc ; the same for every customer
$ORIGIN shop
@	IN	A	%[2]s
$INCLUDE include/policy.inc
`, v4(n), v4(n+2))
}

// hexText is length hexadecimal digits that look random and are always the same.
func hexText(n, length int) string { return digits(n, length, "0123456789ABCDEF") }

// keyText is the same in base64's alphabet.
func keyText(n, length int) string {
	return digits(n, length, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
}

func digits(n, length int, alphabet string) string {
	var b strings.Builder
	state := uint64(n)*2862933555777941757 + 3037000493
	for range length {
		state = state*6364136223846793005 + 1442695040888963407
		b.WriteByte(alphabet[state>>33%uint64(len(alphabet))])
	}
	return b.String()
}
