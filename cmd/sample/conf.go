package main

// namedConf is the sample's named.conf, of the kind that grew over the years. It
// is run in its own folder: file names are relative to that.
const namedConf = `/*
 * The primary's configuration. Made by "make sample".
 */
acl "secondaries" {
	192.0.2.53;       // ns1.example.net
	198.51.100.53;    // ns2.example.net
	2001:db8::/32;
};

options {
	recursion no;
	allow-transfer { "secondaries"; };
	notify explicit;  # the list is kept by hand
	listen-on-v6 { none; };
};

%s
// Not ours: transferred in, and forwarded.
zone "partner.example" {
	type secondary;
	primaries { 203.0.113.53; };
	file "partner.example.zone";
};
zone "corp.example" { type forward; forward only; forwarders { 203.0.113.54; }; };
`

// What several zones include. BIND looks for the file in its own folder, not in
// that of the including file.
const (
	mailInclude = `; How mail reaches a customer; the origin is the including zone's.
@	IN	MX	10 mx1.example.net.
@	IN	MX	20 mx2.example.net.
autoconfig	IN	CNAME	autoconfig.example.net.
autodiscover	IN	CNAME	autodiscover.example.net.
_submission._tcp	IN	SRV	0 1 587 mail.example.net.
_imaps._tcp	IN	SRV	0 1 993 mail.example.net.
`
	policyInclude = `; The house's mail and certificate policy.
@	IN	TXT	"v=spf1 include:_spf.example.net -all"
_dmarc	IN	TXT	( "v=DMARC1; p=quarantine; "
			  "rua=mailto:dmarc@example.net; adkim=s" )
@	IN	CAA	0 issue "ca.example.net"
@	IN	CAA	0 iodef "mailto:security@example.net"
`
)
