package zonefile

import (
	"os"
	"path/filepath"
	"testing"
)

// Records on which named's verdict, taken or refused, has to be ours: a record
// that named refuses makes its transfer of the whole zone fail.
var verdicts = []string{
	`a A 192.0.2.1`, `a A 192.0.2.01`, `a A 192.0.2`, `a A 192.0.2.256`, `a A 1.2.3.4.5`, `a A \# 4 01020304`, `a A \# 3 010203`, `a A \# 4 0102 0304`,
	`a AAAA ::`, `a AAAA ::1.2.3.4`, `a AAAA 1::2::3`, `a AAAA fe80::1%1`, `a AAAA 1.2.3.4`,
	`a TXT`, `a TXT ""`, `a TXT "a" b`, `a TXT \009`, `a TXT \256`, `a TXT \12`, `a TXT (a b)`, `a TXT a)`,
	`a MX 10`, `a MX a b`, `a MX 65536 b`, `a MX -1 b`, `a MX 010 b`, `a MX 10 b c`, `a MX 10 "b"`,
	`a NS a..b`, `a NS .`, `a NS @`, `a NS \@`, `a PTR \000`, `a CNAME "x"`,
	`a SRV 1 2 3 .`, `a SRV 1 2 3`, `a SRV 1 2 70000 x`,
	`a HINFO x`, `a HINFO x y`, `a HINFO x y z`, `a RP a b`, `a RP a`, `a AFSDB 1 x`, `a ISDN 1`, `a ISDN 1 2`, `a ISDN 1 2 3`, `a PX 1 a b`, `a KX 1 a`,
	`a CAA 0 issue "x"`, `a CAA 256 issue "x"`, `a CAA 0 is-sue "x"`, `a CAA 0 issue ""`, `a CAA 0 issue`, `a CAA 0 "issue" x`,
	`a DS 1 8 2 00`, `a DS 1 8 1 FC519B15BF79CF6453A07382A1A9B7C0B9FF4840`, `a DS 1 8 9 00`, `a DS 1 8 1`, `a DS 1 8 1 FC519B15BF79CF6453A07382A1A9B7C0B9FF484`,
	`a CDS 0 0 0 00`, `a CDS 0 0 0 0`, `a CDNSKEY 0 3 0 AA==`, `a CDNSKEY 0 3 0 0`, `a DNSKEY 256 3 8`, `a DNSKEY 256 3 13 AAAA`, `a DNSKEY 256 3 8 A`,
	`a KEY 49152 3 8`, `a KEY 0 3 8`,
	`a SSHFP 1 1 00`, `a SSHFP 1 9 00`, `a SSHFP 1 1 123456789abcdef67890123456789abcdef67890`, `a SSHFP 1 9`,
	`a TLSA 3 1 1 00`, `a TLSA 3 1 1`, `a TLSA 3 1 1 0`, `a SMIMEA 3 1 1 00`,
	`@ ZONEMD 1 1 1 00`, `@ ZONEMD 1 2 9 000102030405060708090a0b`, `a OPENPGPKEY AAAA`, `a OPENPGPKEY ""`, `a DHCID AA==`, `a CERT 1 1 1 AAAA`, `a CERT 1 1 1`, `a CERT PGP 0 0 AAAA`,
	`a NSEC b A`, `a NSEC b`, `a NSEC b TYPE1 A`, `a NSEC b NOPE`, `a NSEC3PARAM 1 0 0 -`, `a NSEC3PARAM 1 0 0 ab`, `a NSEC3PARAM 1 0 0 abc`, `a NSEC3PARAM 1 0 0`,
	`a NSEC3 1 0 0 - 2t7b4g4vsa5smi47k61mv5bv1a22bojr`, `a NSEC3 1 0 0 - 2t7b4g4vsa5smi47k61mv5bv1a22bojr A`, `a NSEC3 1 0 0 - w A`,
	`a CSYNC 1 0`, `a CSYNC 1 0 A NS`, `a CSYNC 1`,
	`a RRSIG A 8 1 300 20260101000000 20250101000000 1 @ AAAA`, `a RRSIG A 8 1 300 2026010100000 20250101000000 1 @ AAAA`, `a RRSIG A 8 1 300 20260101000000 20250101000000 1 @`,
	`a NAPTR 1 1 "u" "x" "" .`, `a NAPTR 1 1 "u" "x" "bad regex" .`, `a NAPTR 1 1 "u" "x" "!^.*$!sip:x!" .`, `a NAPTR 1 1 "u" "x" "!^(.*)$!sip:\\1!i" .`,
	`a NAPTR 1 1 "u" "x" "!^(.*)$!sip:\\1!x" .`, `a NAPTR 1 1 "u" "x" "!^.*$!sip:\\1!" .`, `a NAPTR 1 1 "u" "x" "!^.*$!sip:x" .`, `a NAPTR 1 1 "u" "x" "1^.*$1sip:x1" .`, `a NAPTR 1 1 u x`,
	`a NAPTR 1 1 "u" "x" "!^(.*$!sip:x!" .`, `a NAPTR 1 1 "u" "x" "!^[.*$!sip:x!" .`, `a NAPTR 1 1 "u" "x" "!!x!" .`, `a NAPTR 1 1 "u" "x" "!a!!" .`,
	`a LOC 91 N 0 E 0m`, `a LOC 90 N 180 E 0m`, `a LOC 0 60 N 0 E 0m`, `a LOC 0 N 0 E`, `a LOC 0 N 0 E -100001m`, `a LOC 0 N 0 E 0m 1m 1m 1m 1m`, `a LOC 1 2 3.4567 N 0 E 0m`,
	`a APL 1:1.2.3.4/33`, `a APL 1:1.2.3.0/24`, `a APL 3:1/1`, `a APL !2:::/0`, `a APL 1:0.0.0.0/0`,
	`a SVCB 1 .`, `a SVCB 1 . port=1`, `a SVCB 1 . port=1 port=2`, `a SVCB 1 . mandatory=port`, `a SVCB 1 . mandatory=port port=1`, `a SVCB 1 . mandatory=mandatory`, `a SVCB 0 . port=1`,
	`a SVCB 1 . key1=h2`, `a SVCB 1 . alpn=`, `a SVCB 1 . alpn`, `a SVCB 1 . port`, `a SVCB 1 . port=99999`, `a SVCB 1 . ipv4hint=1`, `a SVCB 1 . ipv6hint=::1`, `a SVCB 1 . no-default-alpn`,
	`a SVCB 1 . no-default-alpn alpn=h2`, `a SVCB 1 . no-default-alpn=1 alpn=h2`, `a SVCB 1 . key65535=x`, `a SVCB 1 . nope=x`, `a HTTPS 1 x. alpn="h2,h3"`, `a SVCB 1 . key99999=x`, `a SVCB 1 . ech=AAAA`, `a SVCB 1 . ech=A`,
	`a SVCB 1 . alpn="f\\\\oo\\,bar,h2"`, `a SVCB 1 . key667="hello\210qoo"`, `a SVCB 1 . dohpath=/q{?dns}`, `a SVCB 1 . mandatory=alpn,port port=1 alpn=h2`,
	`a IPSECKEY 10 0 2 . AAAA`, `a IPSECKEY 10 1 2 1.2.3.4 AAAA`, `a IPSECKEY 10 1 2 x AAAA`, `a IPSECKEY 10 3 2 x AAAA`, `a IPSECKEY 10 4 2 x AAAA`, `a IPSECKEY 10 1 0 1.2.3.4`,
	`a HIP 2 200100107B1A74DF365639CC39F1D578 AAAA`, `a HIP 2 200100107B1A74DF365639CC39F1D578 AAAA rvs`, `a HIP 2 20 A`,
	`a AMTRELAY 0 0 0 .`, `a AMTRELAY 0 0 0 x`, `a AMTRELAY 0 2 0 .`, `a AMTRELAY 0 1 3 x`, `a AMTRELAY 0 0 1 ::1`,
	`a URI 1 1 "x"`, `a URI 1 1 ""`, `a URI 1 1`, `a EUI48 00-00-5e-00-53-2a`, `a EUI48 0:1:2:3:4:5`, `a EUI48 0-0-5e-0-53-2a`, `a EUI64 00-00-5e-ef-10-00-00-2a`,
	`a NID 1 0014:4fff:ff20:ee64`, `a NID 1 14:4fff:ff20:ee64`, `a NID 1 ::1`, `a L32 1 1.2.3.4`, `a L64 1 1:2:3:4`, `a LP 1 x`,
	`a TYPE999 \# 0`, `a TYPE999 \# 1 00`, `a TYPE999 \# 1 0`, `a TYPE999 \# 1`, `a TYPE999 x`, `a TYPE999`, `a TYPE1 1.2.3.4`, `a TYPE0 \# 0`, `a TYPE65535 \# 0`, `a TYPE255 \# 0`, `a ANY \# 0`, `a OPT \# 0`,
	`a IN IN A 1.2.3.4`, `a 1h 1h A 1.2.3.4`, `a 1h IN A 1.2.3.4`, `a CLASS1 A 1.2.3.4`, `a CH TXT x`, `a 1h30 A 1.2.3.4`, `a 1H30M A 1.2.3.4`, `a h A 1.2.3.4`, `a 1d1d A 1.2.3.4`,
	`a SPF "x"`, `a X25 123456`, `a X25 abc`, `a GPOS 1 2 3`, `a GPOS 1000 1000 1`, `a TALINK a b`, `a AVC "x"`, `a NINFO "x"`, `a RKEY 0 3 8 AAAA`,
	`$FOO bar`, `$TTL`, `$TTL 1x`, `$ORIGIN`, `$ORIGIN a..b`, `$INCLUDE`, `$INCLUDE none`,
}

// otherwise are those on which we differ, and why.
var otherwise = map[string]string{
	`a X25 abc`:                 "no more than a string to us",
	`a EUI48 0-0-5e-0-53-2a`:    "RFC 7043 has two digits each",
	`a SSHFP 1 9`:               "no fingerprint at all",
	`a SVCB 1 . key65535=x`:     "the invalid key of RFC 9460",
	`a IPSECKEY 10 1 0 1.2.3.4`: "RFC 4025 section 2.4: algorithm 0 is no key",
}

func TestVerdictsAreThoseOfNamed(t *testing.T) {
	t.Parallel()
	if compilezone(t) == "" {
		return
	}
	for _, record := range verdicts {
		t.Run(record, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "z")
			if err := os.WriteFile(file, []byte(head+record+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			res, err := read(t, head+record+"\n", Options{Origin: testOrigin, NoCheck: true})
			want, out, ok := namedReads(t, "example.", file)
			switch why := otherwise[record]; {
			case why != "":
				if ok == (err == nil) {
					t.Error("we do not differ any more")
				}
			case ok != (err == nil):
				t.Errorf("we say %v; named says %v: %s", err, ok, out)
			case ok:
				requireSame(t, want, res.Snapshot)
			}
		})
	}
}
