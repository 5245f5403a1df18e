package mdns

import (
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dnsctl/testbed"
)

// trickyZones are made to reach every branch of the answering algorithm.
var trickyZones = map[string]string{
	"plain.test.": `
$TTL 3600
@	IN SOA ns1.plain.test. host.plain.test. 1 3600 600 86400 300
@	NS ns1
@	NS ns.elsewhere.example.
@	MX 10 mail
@	TXT "apex"
ns1	A 192.0.2.1
ns1	AAAA 2001:db8::1
mail	A 192.0.2.2
WWW	300 A 192.0.2.3
www	300 A 192.0.2.4
a.b.c.ent	A 192.0.2.5
alias	CNAME www
alias2	CNAME alias
out	CNAME www.elsewhere.example.
dangling	CNAME nothing
loop1	CNAME loop2
loop2	CNAME loop1
self	CNAME self
tosub	CNAME x.sub
tosubns	CNAME ns.sub
tochild	CNAME www.child
towild	CNAME x.wild
tocut	CNAME sub
tods	CNAME sub
*.wild	A 192.0.2.6
*.wild	MX 10 mail
*.wild	TXT "wild"
b.wild	A 192.0.2.7
*.sub.wild	TXT "deeper"
*.wcname	CNAME www
*.wcloop	CNAME x.wcloop
*.wout	CNAME www.elsewhere.example.
a.*.ewild	A 192.0.2.8
*.ws	CNAME sub
sub	NS ns.sub
sub	NS ns1
ns.sub	A 192.0.2.10
ns.sub	AAAA 2001:db8::10
deep.sub	A 192.0.2.11
www.deep.sub	TXT "occluded"
sub2	NS ns.elsewhere.example.
sub3	NS ns1
sub4	NS ns.sub
sub5	NS glue.sub5
glue.sub5	A 192.0.2.12
sub5	DS 12345 13 2 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff
sub6	NS x.wild
sub7	NS alias
nsboth	NS ns1
nsboth	A 192.0.2.13
nsboth	TXT "beside a cut"
dn	DNAME target
dn	A 192.0.2.14
x.dn	A 192.0.2.15
target	A 192.0.2.16
www.target	A 192.0.2.17
c.target	CNAME www
dnout	DNAME elsewhere.example.
dnself	DNAME dnself
dnchain	DNAME dn
dnsub	DNAME sub
*.wdn	DNAME target
tod	CNAME www.dn
long	DNAME aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb.ccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc.plain.test.
weird\.label	A 192.0.2.18
weird\000zero	A 192.0.2.19
unknown	TYPE65280 \# 4 c00c0102
srv	SRV 1 2 3 www
key	KEY 256 3 13 AAAA
c1	CNAME c2
c2	CNAME c3
c3	CNAME c4
c4	CNAME c5
c5	CNAME c6
c6	CNAME c7
c7	CNAME c8
c8	CNAME c9
c9	CNAME c10
c10	CNAME c11
c11	CNAME c12
c12	CNAME c13
c13	CNAME c14
c14	CNAME c15
c15	CNAME c16
c16	CNAME c17
c17	CNAME c18
c18	CNAME c19
c19	A 192.0.2.20
child	NS ns.child
ns.child	A 192.0.2.21
`,
	"child.plain.test.": `
$TTL 3600
@	IN SOA ns hostmaster 5 3600 600 86400 7200
@	300 NS ns
ns	A 192.0.2.21
www	A 192.0.2.22
up	CNAME www.plain.test.
`,
	"apexdname.test.": `
$TTL 3600
@	IN SOA ns.elsewhere.example. host.elsewhere.example. 5 3600 600 86400 7200
@	NS ns.elsewhere.example.
@	DNAME plain.test.
@	TXT "beside"
`,
	"apexglue.test.": `
$TTL 60
@	IN SOA ns.elsewhere.example. host.elsewhere.example. 5 3600 600 86400 7200
@	NS ns.sub
@	NS ns
@	NS x.w
ns	A 192.0.2.40
*.w	AAAA 2001:db8::41
sub	NS ns.sub
ns.sub	A 192.0.2.41
`,
	"apexmany.test.": `
$TTL 60
@	IN SOA ns.elsewhere.example. host.elsewhere.example. 5 3600 600 86400 7200
@	NS ns
@	NS x.w
ns	A 192.0.2.40
ns	AAAA 2001:db8::42
*.w	AAAA 2001:db8::41
`,
	"apexwild.test.": `
$TTL 60
@	IN SOA ns.elsewhere.example. host.elsewhere.example. 5 3600 600 86400 7200
@	NS ns.elsewhere.example.
*	A 192.0.2.30
`,
	"halfsigned.test.": `
$TTL 60
@	IN SOA ns.elsewhere.example. host.elsewhere.example. 5 3600 600 86400 7200
@	NS ns.elsewhere.example.
@	DNSKEY 257 3 13 mdsswUyr3DPW132mOi8V9xESWE8jTo0dxCjjnopKl+GqJxpVXckHAeF+KkxLbxILfDLUT0rAK9iUzy1L53eKGQ==
www	A 192.0.2.30
www	DS 12345 13 2 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff
`,
}

// signable is trickyZones' plain zone without what signers refuse or change.
func signable(origin string) string {
	var out []string
	for _, line := range strings.Split(trickyZones["plain.test."], "\n") {
		if strings.HasPrefix(line, "weird\\000") || strings.HasPrefix(line, "x.dn") || strings.HasPrefix(line, "www.deep.sub") {
			continue
		}
		out = append(out, strings.ReplaceAll(line, "plain.test.", origin))
	}
	return strings.Join(out, "\n")
}

// sign signs a zone with dnssec-signzone.
func sign(t testing.TB, origin, text string, args ...string) string {
	t.Helper()
	dir := t.TempDir()
	name := strings.TrimSuffix(origin, ".")
	run := func(prog string, args ...string) string {
		cmd := exec.Command(prog, args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", prog, err, out)
		}
		return string(out)
	}
	run("dnssec-keygen", "-q", "-a", "ECDSAP256SHA256", "-f", "KSK", name)
	run("dnssec-keygen", "-q", "-a", "ECDSAP256SHA256", name)
	if err := os.WriteFile(filepath.Join(dir, "zone"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	run("dnssec-signzone", append(args, "-S", "-P", "-x", "-O", "full", "-o", name, "-f", "signed", "zone")...)
	b, err := os.ReadFile(filepath.Join(dir, "signed"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func allTrickyZones(t testing.TB) map[string]string {
	z := maps.Clone(trickyZones)
	z["nsec.test."] = sign(t, "nsec.test.", signable("nsec.test."))
	z["nsec3.test."] = sign(t, "nsec3.test.", signable("nsec3.test."), "-3", "aabbccdd", "-H", "3")
	z["optout.test."] = sign(t, "optout.test.", signable("optout.test."), "-3", "-", "-H", "0", "-A")
	z["nsecwild.test."] = sign(t, "nsecwild.test.", strings.ReplaceAll(trickyZones["apexwild.test."], "apexwild", "nsecwild"))
	return z
}

var questionTypes = []uint16{
	dns.TypeA, dns.TypeNS, dns.TypeCNAME, dns.TypeSOA, dns.TypePTR, dns.TypeMX, dns.TypeTXT, dns.TypeAAAA, dns.TypeSRV,
	dns.TypeDNAME, dns.TypeDS, dns.TypeRRSIG, dns.TypeNSEC, dns.TypeDNSKEY, dns.TypeNSEC3, dns.TypeNSEC3PARAM,
	dns.TypeKEY, dns.TypeSIG, dns.TypeNXT, dns.TypeANY, 65280, 65281, dns.TypeHTTPS,
}

// questionNames is every owner and every name above one, and names that do not
// exist beside and below each of them.
func questionNames(origin, text string) []string {
	names := map[string]bool{}
	zp := dns.NewZoneParser(strings.NewReader(text), origin, "")
	for rr, ok := zp.Next(); ok; rr, ok = zp.Next() {
		name := rr.Header().Name
		for name != "." && dns.IsSubDomain(origin, name) {
			names[name] = true
			i, end := dns.NextLabel(name, 0)
			if end {
				break
			}
			name = name[i:]
		}
	}
	for name := range maps.Clone(names) {
		names["nx."+name] = true
		names["a.nx."+name] = true
		names["*."+name] = true
		names["ZZZ."+strings.ToUpper(name)] = true
		names["0."+name] = true
	}
	l := strings.Repeat("y", 60)
	names[l+"."+l+".long."+origin] = true
	names[l+".long."+origin] = true
	out := slices.Sorted(maps.Keys(names))
	return slices.DeleteFunc(out, func(s string) bool { _, ok := dns.IsDomainName(s); return !ok })
}

// summary is what of a response must be the same: everything but the order of
// records and the ID.
func summary(m *dns.Msg) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s aa=%v tc=%v rd=%v ra=%v ad=%v cd=%v\n", dns.RcodeToString[m.Rcode], m.Authoritative, m.Truncated,
		m.RecursionDesired, m.RecursionAvailable, m.AuthenticatedData, m.CheckingDisabled)
	for _, s := range []struct {
		name string
		rrs  []dns.RR
	}{{"question", nil}, {"answer", m.Answer}, {"authority", m.Ns}, {"additional", m.Extra}} {
		var lines []string
		for _, q := range m.Question {
			if s.name == "question" {
				lines = append(lines, q.String())
			}
		}
		for _, rr := range s.rrs {
			if o, ok := rr.(*dns.OPT); ok {
				lines = append(lines, fmt.Sprintf("OPT version %d do %v", o.Version(), o.Do()))
				continue
			}
			rr.Header().Name = strings.ToLower(rr.Header().Name)
			lines = append(lines, rr.String())
		}
		slices.Sort(lines)
		fmt.Fprintf(&b, "%s:\n  %s\n", s.name, strings.Join(lines, "\n  "))
	}
	return b.String()
}

// sameAnswer says whether two responses have the same summary. It is quicker than
// comparing those.
func sameAnswer(a, b *dns.Msg) bool {
	x, y := a.MsgHdr, b.MsgHdr
	x.Id, y.Id = 0, 0
	return x == y && slices.Equal(a.Question, b.Question) && slices.Equal(packed(a.Answer), packed(b.Answer)) &&
		slices.Equal(packed(a.Ns), packed(b.Ns)) && slices.Equal(packed(a.Extra), packed(b.Extra))
}

// packed is the records in wire form, sorted.
func packed(rrs []dns.RR) []string {
	out := make([]string, 0, len(rrs))
	var buf [4096]byte
	for _, rr := range rrs {
		if o, ok := rr.(*dns.OPT); ok {
			out = append(out, fmt.Sprint(o.Version(), o.Do()))
			continue
		}
		rr.Header().Name = strings.ToLower(rr.Header().Name)
		end, err := dns.PackRR(rr, buf[:], 0, nil, false)
		if err != nil {
			out = append(out, err.Error())
			continue
		}
		out = append(out, string(buf[:end]))
	}
	slices.Sort(out)
	return out
}

// asker asks over one TCP connection, so that nothing is cut for its size.
type asker struct {
	t    testing.TB
	conn *dns.Conn
}

func newAsker(t testing.TB, addr string) *asker {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &asker{t, &dns.Conn{Conn: c}}
}

func (a *asker) ask(m *dns.Msg) *dns.Msg {
	a.t.Helper()
	_ = a.conn.SetDeadline(time.Now().Add(20 * time.Second))
	if err := a.conn.WriteMsg(m); err != nil {
		a.t.Fatalf("ask %v: %v", m.Question, err)
	}
	r, err := a.conn.ReadMsg()
	if err != nil {
		a.t.Fatalf("answer to %v: %v", m.Question, err)
	}
	return r
}

// askAll asks at once and returns the answers in the order of the questions.
func (a *asker) askAll(questions []*dns.Msg) []*dns.Msg {
	a.t.Helper()
	_ = a.conn.SetDeadline(time.Now().Add(30 * time.Second))
	var out []byte
	at := map[uint16]int{}
	for i, q := range questions {
		q.Id = uint16(i)
		at[q.Id] = i
		b, err := q.Pack()
		if err != nil {
			a.t.Fatal(err)
		}
		out = append(append(out, byte(len(b)>>8), byte(len(b))), b...)
	}
	if _, err := a.conn.Conn.Write(out); err != nil {
		a.t.Fatal(err)
	}
	answers := make([]*dns.Msg, len(questions))
	for range questions {
		r, err := a.conn.ReadMsg()
		if err != nil {
			a.t.Fatalf("answers to questions about %s: %v", questions[0].Question[0].Name, err)
		}
		answers[at[r.Id]] = r
	}
	return answers
}

func named(t testing.TB, zones map[string]string, options string) *testbed.Named {
	t.Helper()
	return testbed.StartNamed(t, testbed.NamedOptions{
		Zones: zones,
		Options: `minimal-responses yes; answer-cookie no; check-names primary ignore; check-integrity no; check-wildcard no;
			check-mx ignore; check-srv-cname ignore; check-mx-cname ignore; check-sibling no; ` + options,
	})
}

// compare asks named and us the same questions about the same zones: every step-th
// of each zone's names, of names beside and below them, and every type.
func compare(t *testing.T, zones map[string]string, types []uint16, step func(origin string) int) (asked int) {
	t.Helper()
	bind := newAsker(t, named(t, zones, "").Addr)
	m := newMemory()
	for origin, text := range zones {
		m.create(parse(t, origin, text))
	}
	us := newAsker(t, start(t, m, nil).addr)
	differ, failed := 0, 0
	for _, origin := range slices.Sorted(maps.Keys(zones)) {
		for i, name := range questionNames(origin, zones[origin]) {
			if i%step(origin) != 0 {
				continue
			}
			var questions []*dns.Msg
			for _, qt := range types {
				for _, do := range []bool{false, true} {
					q := new(dns.Msg).SetQuestion(name, qt)
					if do {
						q.SetEdns0(4096, true)
						q.RecursionDesired = false
					}
					questions = append(questions, q)
				}
			}
			theirs, ours := bind.askAll(questions), us.askAll(questions)
			for i, q := range questions {
				if asked++; theirs[i].Rcode == dns.RcodeServerFailure && len(theirs[i].Answer) == 0 {
					failed++ // the zone was not loaded there
				}
				if sameAnswer(theirs[i], ours[i]) {
					continue
				}
				want, got := summary(theirs[i]), summary(ours[i])
				if differ++; differ <= 30 {
					t.Errorf("%s %s DO=%v\nnamed: %sus: %s", name, dns.TypeToString[q.Question[0].Qtype], q.IsEdns0() != nil, want, got)
				}
			}
		}
	}
	t.Logf("%d questions, %d answers differ", asked, differ)
	if failed > 0 {
		t.Errorf("named failed to answer %d questions", failed)
	}
	return asked
}

func TestAnswersEqualThoseOfNamed(t *testing.T) {
	t.Parallel()
	step, least := 1, 100_000
	if testing.Short() {
		step, least = 23, 3000
	}
	if asked := compare(t, allTrickyZones(t), questionTypes, func(string) int { return step }); asked < least {
		t.Errorf("only %d questions were asked", asked)
	}
}

// TestAnswersForRealZonesEqualThoseOfNamed uses the real zones that stand beside
// the project's folder where it is developed; CI demands them.
func TestAnswersForRealZonesEqualThoseOfNamed(t *testing.T) {
	t.Parallel()
	const data = "../../shared/data"
	if _, err := os.Stat(data); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("the real zones are not there: %v", err)
		}
		t.Logf("nothing compared: the real zones are not there: %v", err)
		return
	}
	files, err := filepath.Glob(data + "/operator/zones-*/db.*")
	if err != nil {
		t.Fatal(err)
	}
	zones := map[string]string{}
	add := func(origin, file string) {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		zones[origin] = string(b)
	}
	for _, f := range files {
		add(strings.TrimPrefix(filepath.Base(f), "db.")+".", f)
	}
	add(".", data+"/root-2020-09-13.zone")
	types := []uint16{dns.TypeA, dns.TypeNS, dns.TypeMX, dns.TypeSOA, dns.TypePTR, dns.TypeTXT, dns.TypeAAAA, dns.TypeDS, dns.TypeANY}
	thin := 1
	if testing.Short() {
		thin = 15
	}
	compare(t, zones, types, func(origin string) int {
		if origin == "." {
			return 97 * thin
		}
		return 7 * thin
	})
}
