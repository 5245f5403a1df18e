package hostile_test

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"dnsctl/testbed"
)

// hostileContent are records below a zone's SOA and NS, one zone for each.
func hostileContent() map[string]string {
	var strs, big, octets, ttls, types strings.Builder
	for i := range 200 {
		fmt.Fprintf(&strs, " %q", strings.Repeat(string(rune('a'+i%26)), i%256))
		fmt.Fprintf(&ttls, "h%d %d A 192.0.2.%d\n", i, i*7, i%250+1)
	}
	for range 240 { // 61,440 octets
		fmt.Fprintf(&big, " %q", strings.Repeat("b", 255))
	}
	for i := range 256 {
		fmt.Fprintf(&octets, "o%d TXT \"\\%03d\" \"\\%03d\\%03d\"\nl\\%03dl A 192.0.2.1\n", i, i, i, 255-i, i)
	}
	for i, typ := range []int{3, 4, 5, 7, 8, 9, 10, 11, 14, 19, 20, 21, 22, 23, 24, 26, 27, 30, 31, 32, 34, 38, 40, 42, 49, 55, 56, 57, 58, 60, 62, 63, 99, 100, 101, 102, 103, 104, 105, 106, 107, 109, 256, 258, 259, 260, 261, 262, 1000, 32768, 32769, 60000, 65280, 65400, 65401, 65402, 65534} {
		switch typ { // those whose rdata has a form that is checked
		case 3, 4, 5, 7, 8, 9, 14, 19, 20, 21, 22, 23, 57, 99, 100, 109, 259, 24, 26, 27, 30, 34, 42, 49, 55, 58, 60, 62, 63, 104, 105, 106, 107, 256, 258, 260:
			continue
		}
		fmt.Fprintf(&types, "t%d TYPE%d \\# %d %s\n", i, typ, 4+i%3, hex.EncodeToString(make([]byte, 4+i%3)))
	}
	label := strings.Repeat("x", 63)
	return map[string]string{
		"case":      "MiXeD.CaSe A 192.0.2.1\nC CNAME Target.CASE.EXAMPLE.\nm MX 10 MAIL.Example.\nm NS NS.Sub.m\nNS.Sub.m A 192.0.2.7\ns SRV 1 2 3 UP.\nn NAPTR 1 1 \"U\" \"SIP+D2U\" \"\" Repl.ACE.\np RP Mbox.X Txt.Y\n",
		"caseblob":  "t TXT \"MiXeD\"\ncaa CAA 0 Issue \"CA.Example\"\nhi HINFO \"X86\" \"LiNuX\"\nu URI 1 1 \"HTTP://X/\"\n",
		"strings":   "many TXT" + strs.String() + "\nempty TXT \"\"\nempties TXT \"\" \"\" \"\"\n",
		"big":       "big TXT" + big.String() + "\n",
		"octets":    octets.String(),
		"ttls":      ttls.String() + "zero 0 A 192.0.2.1\nmost 2147483647 A 192.0.2.1\n",
		"types":     types.String(),
		"longest":   strings.Join([]string{label, label, label, strings.Repeat("y", 45)}, ".") + " A 192.0.2.1\n",
		"wordy":     "\\.\\.\\. A 192.0.2.1\n\\@ A 192.0.2.2\n\\\" A 192.0.2.3\n\\; A 192.0.2.4\n\\\\ A 192.0.2.5\n\\032 A 192.0.2.6\n* A 192.0.2.7\n*.* A 192.0.2.8\n_ A 192.0.2.9\n\\$ORIGIN A 192.0.2.10\n\\%s A 192.0.2.11\n'\\;drop A 192.0.2.12\n",
		"ents":      "a.b.c.d.e.f A 192.0.2.1\nx.*.y A 192.0.2.2\n",
		"cuts":      "sub NS ns.sub\nns.sub A 192.0.2.1\nns.sub AAAA 2001:db8::1\nsub DS 1 13 2 " + strings.Repeat("AB", 32) + "\nother NS ns.elsewhere.\n",
		"dname":     "d DNAME elsewhere.\nd TXT \"beside\"\n",
		"rdnames":   "m MX 10 a\\.b.\\000\\255.example.\nc CNAME " + strings.Join([]string{label, label, label, strings.Repeat("z", 61)}, ".") + ".\nr MX 0 .\ns SRV 0 0 0 .\np PTR \\@.x.\\032.\n",
		"svcb":      "a HTTPS 1 . alpn=\"h2,h3\" port=8443 ipv4hint=192.0.2.1,192.0.2.2 ipv6hint=2001:db8::1 ech=AAAA\nb SVCB 2 Svc.X mandatory=alpn,key65000 alpn=h2 key65000=\"a\\032b\"\nc SVCB 0 alias\nd HTTPS 1 . no-default-alpn alpn=h2 dohpath=/q{?dns}\n",
		"naptr":     "a NAPTR 65535 65535 \"\" \"\" \"!^(.*)\\\\.x$!\\\\1!\" .\n",
		"caa":       "a CAA 128 issue \"ca.example; x=\\\"y\\\"\"\nb CAA 0 iodef \"mailto:a@b\"\n",
		"apl":       "a APL 1:192.0.2.0/24 !2:2001:db8::/32\nb APL\n",
		"loc":       "a LOC 90 0 0.000 S 180 0 0.000 E 42849672.95m 40000000m 0m 0m\nb LOC 0 0 0.001 N 0 0 0.001 W -100000m 1m 1m 1m\n",
		"hip":       "a HIP 2 200100107B1A74DF365639CC39F1D578 AwEAAbdxyhNuSutc5EMzxTs9LBPCIkOFH8cIvM4p9+LrV4e19WzK00+CI6zBCQTdtWsuxKbWIy87UOoJTwkUs7lBu+Upr1gsNrut79ryra+bSRGQb1slImA8YVJyuIDsj7kwzG7jnERNqnWxZ48AWkskmdHaVDP4BcelrTI3rMXdXF5D Rvs.Example.\n",
		"ipseckey":  "a IPSECKEY 10 3 2 Gw.Example. AQNRU3mG7TVTO2BkR47usntb102uFJtugbo6BSGvgqt4AQ==\nb IPSECKEY 10 0 0 .\nc IPSECKEY 10 2 2 2001:db8::1 AQNR\n",
		"keys":      "a TLSA 3 1 1 " + strings.Repeat("AB", 32) + "\nb SSHFP 4 2 " + strings.Repeat("CD", 32) + "\nc OPENPGPKEY " + strings.Repeat("QUJD", 1000) + "\nd CERT 65000 1 8 AAAA\ne SMIMEA 0 0 0 00\nf CDS 0 0 0 00\nf CDNSKEY 0 3 0 AA==\ng DNSKEY 257 3 13 " + strings.Repeat("A", 86) + "==\n",
		"old":       "a AFSDB 1 Db.X\nb KX 1 K.X\nc MINFO R.X E.X\nd MB M.X\ne MG G.X\nf MR R.X\ng X25 \"311061700956\"\nh ISDN \"150862028003217\" \"004\"\ni RT 2 R.X\nj NSAP-PTR foo.\nk PX 50 A.X B.X\nl SPF \"v=spf1 -all\"\n",
		"newer":     "a CSYNC 66 3 A NS AAAA\nb ZONEMD 1 1 1 " + strings.Repeat("AB", 48) + "\nc EUI48 00-00-5e-00-53-2a\nd EUI64 00-00-5e-ef-10-00-00-2a\ne NID 10 0014:4fff:ff20:ee64\nf L32 10 10.1.2.0\ng L64 10 2001:0DB8:1140:1000\nh LP 10 L64.X\ni DHCID AAIBY2/AuCccgoJbsaxcQc9TUapptP69lOjxfNuVAA2kjEA=\nj TALINK A. B.\n",
		"aliaslike": "a TYPE65401 \\# 3 017800\n",
		"lualike":   "b TYPE65402 \\# 4 0001 0131\n",
		"many":      manyRecords(),
	}
}

func manyRecords() string {
	var b strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&b, "m A 10.0.%d.%d\n", i/250, i%250+1)
	}
	return b.String()
}

// TestHostileContentIsTheSameOnPowerDNSUnderADeepLook has each kind of content on
// both of its backends. What PowerDNS changes is found, and nothing else; so is
// what somebody changes there.
func TestHostileContentIsTheSameOnPowerDNSUnderADeepLook(t *testing.T) {
	t.Parallel()
	addr := testbed.FreeAddr(t)
	r := newRig(t, "", addr)
	const head = "$TTL 300\n@ SOA ns1.example.net. h.example.net. 7 3600 600 86400 300\n@ NS ns1.example.net.\n"
	take := func(name, text string) {
		r.ok("zone", "import", "--lax", "--zone", name+".example", r.write(name+".zone", head+text))
	}
	for name, text := range hostileContent() {
		take(name, text)
	}
	for _, flags := range [][]string{{}, {"-n"}, {"-n", "-p"}} { // NSEC, NSEC3, opt-out
		r.signed(fmt.Sprintf("signed%d.example", len(flags)), head+hostileContent()["cuts"]+hostileContent()["ents"]+"* TXT \"any\"\n", flags...)
	}
	files, err := filepath.Glob("../../testdata/sample/special/*.zone")
	if err != nil || len(files) == 0 {
		t.Fatal(err, files)
	}
	for _, f := range files {
		abs, err := filepath.Abs(f)
		if err != nil {
			t.Fatal(err)
		}
		r.ok("zone", "import", "-q", "--lax", "--zone", strings.TrimSuffix(filepath.Base(f), ".zone"), abs)
	}
	r.serve(addr)
	for _, backend := range []testbed.PowerDNSBackend{testbed.PowerDNSPostgres, testbed.PowerDNSSQLite} {
		if backend == testbed.PowerDNSSQLite {
			// The tables of Debian's package for PostgreSQL have room for 255 characters.
			escaped := strings.Repeat(`\000`, 63)
			take("escaped", strings.Join([]string{escaped, escaped, escaped}, ".")+" A 192.0.2.1\n")
		}
		p := testbed.StartPowerDNS(t, testbed.PowerDNSOptions{Backend: backend, Settings: "direct-dnskey=yes\n"})
		name := string(backend)
		r.ok("server", "add", name, "--type", "powerdns", "--address", p.Addr, "--control", p.APIURL, "--control-key-file", p.KeyFile)
		r.ok("bootstrap", name, "--wait")
		found := func(code int, want ...string) {
			t.Helper()
			res := r.run("audit", "--deep", name, "--no-headers")
			for _, w := range want {
				if !strings.Contains(res.stdout, w) {
					t.Errorf("%s: not found: %s", name, w)
				}
			}
			if res.code != code || strings.Count(res.stdout, "\n") != len(want) {
				t.Errorf("%s: %v", name, res)
			}
		}
		found(0)
		// A record is changed there, under the same serial.
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPatch, p.APIURL+"/api/v1/servers/localhost/zones/ttls.example.",
			strings.NewReader(`{"rrsets":[{"name":"zero.ttls.example.","type":"A","ttl":1,"changetype":"REPLACE","records":[{"content":"192.0.2.1"}]}]}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-API-Key", p.APIKey)
		if res, err := http.DefaultClient.Do(req); err != nil || res.Body.Close() != nil || res.StatusCode != http.StatusNoContent {
			t.Fatal(res, err)
		}
		found(3, "ttls.example.\tdiffers\tretransfer\tplanned\t7\t7\tsame serial, other content: 1 RRsets with other records or TTL (zero.ttls.example. A)")
		r.want(0, []string{`ttls\.example\.\tdiffers\tretransfer\tdone`}, "sync", "--deep", name)
		found(0)
	}
	// What it makes of some content is said, and is not transferred again and again.
	p := testbed.StartPowerDNS(t, testbed.PowerDNSOptions{})
	for name, text := range map[string]string{"nothing": "a CAA 1 tbs \"\"\n", "large": "a LOC 1 2 3 N 4 5 6 E 7m 50000000m 0m 0m\n", "keys2": hostileContent()["keys"]} {
		take(name, text)
	}
	r.ok("server", "add", "last", "--type", "powerdns", "--address", p.Addr, "--control", p.APIURL, "--control-key-file", p.KeyFile)
	r.ok("bootstrap", "last", "--wait")
	limits := []string{`\tnothing\.example\.\tdiffers\tnone\t.*empty value of CAA`, `\tlarge\.example\.\tdiffers\tnone\t.*misreads a LOC`, `\tkeys\.example\.\tdiffers\tnone\t.*direct-dnskey=yes`}
	r.want(3, limits, "audit", "--deep", "last")
	r.want(0, append(limits, `!\tdone\t`), "sync", "--deep", "last")
}

// signed signs a zone and imports it.
func (r *rig) signed(name, text string, flags ...string) {
	r.Helper()
	zone := r.write(name, text)
	shell := func(program string, args ...string) string {
		c := exec.Command(program, args...)
		c.Dir = r.dir
		out, err := c.CombinedOutput()
		if err != nil {
			r.Fatalf("%v: %v: %s", c.Args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	key := shell("ldns-keygen", "-a", "ECDSAP256SHA256", "-k", name)
	shell("ldns-signzone", append(flags, "-o", name, zone, key)...)
	r.ok("zone", "import", "--lax", "--zone", name, zone+".signed")
}
