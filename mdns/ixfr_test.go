package mdns

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dnsctl/dnsclient"
	"dnsctl/testbed"
	"dnsctl/zone"
	"dnsctl/zone/zonefile"
)

// randomVersions is versions of a zone as somebody who edits it all day makes
// them: records come and go, come back, and change their TTL or spelling.
func randomVersions(t testing.TB, r *rand.Rand, n int) []*zone.Snapshot {
	t.Helper()
	type record struct{ owner, typ, data string }
	ttls := map[[2]string]int{} // one for each owner (in its spelling) and type
	spelling := map[string]string{}
	have := map[record]bool{}
	var out []*zone.Snapshot
	for serial := 1; serial <= n; serial++ {
		for range 1 + r.IntN(12) {
			owner := fmt.Sprintf("host%d", r.IntN(3))
			typ := []string{"A", "TXT", "MX"}[r.IntN(3)]
			switch r.IntN(8) {
			case 0:
				ttls[[2]string{owner, typ}] = 60 * r.IntN(4)
			case 1:
				spelling[owner] = []string{owner, strings.ToUpper(owner)}[r.IntN(2)]
			default:
				i := r.IntN(3)
				data := map[string]string{"A": fmt.Sprintf("192.0.2.%d", i), "TXT": fmt.Sprintf("%q", strings.Repeat("t", 60*i)), "MX": fmt.Sprintf("%d mail%d", i, i)}[typ]
				rec := record{owner, typ, data}
				if have[rec] {
					delete(have, rec)
				} else {
					have[rec] = true
				}
			}
		}
		var text strings.Builder
		fmt.Fprintf(&text, "@ 300 SOA ns hostmaster %d 3600 600 86400 300\n@ 300 NS ns.elsewhere.test.\n", serial)
		for i := range 200 { // what stays, so that changes are never longer than the zone
			fmt.Fprintf(&text, "stays%d 300 A 192.0.2.%d\n", i, i)
		}
		for rec := range have {
			owner := rec.owner
			if s := spelling[owner]; s != "" {
				owner = s
			}
			fmt.Fprintf(&text, "%s %d %s %s\n", owner, ttls[[2]string{rec.owner, rec.typ}], rec.typ, rec.data)
		}
		out = append(out, parse(t, "history.test.", text.String()))
	}
	return out
}

// renamed is the zone under another name, for many copies of it on one server.
func renamed(t testing.TB, s *zone.Snapshot, origin string) *zone.Snapshot {
	t.Helper()
	var b strings.Builder
	if err := zonefile.Write(&b, s); err != nil {
		t.Fatal(err)
	}
	return parse(t, origin, strings.ReplaceAll(b.String(), "history.test.", origin))
}

// TestChangesBetweenAnyTwoVersionsLeadFromOneToTheOther has our own client and
// named take the IXFR of every pair of versions of a random history.
func TestChangesBetweenAnyTwoVersionsLeadFromOneToTheOther(t *testing.T) {
	t.Parallel()
	const n = 9
	versions := randomVersions(t, rand.New(rand.NewPCG(1, 1995)), n)
	m := newMemory()
	dir := t.TempDir()
	type pair struct {
		origin   string
		old, new *zone.Snapshot
	}
	var pairs []pair
	for from := range n {
		for to := from + 1; to < n; to++ {
			origin := fmt.Sprintf("f%dt%d.test.", from, to)
			id := m.create(renamed(t, versions[0], origin))
			for _, v := range versions[1 : to+1] {
				m.change(id, renamed(t, v, origin))
			}
			pairs = append(pairs, pair{origin, renamed(t, versions[from], origin), renamed(t, versions[to], origin)})
		}
	}
	r := start(t, m, nil)
	host, port, _ := net.SplitHostPort(r.addr)
	var conf strings.Builder
	for _, p := range pairs {
		f, err := os.Create(filepath.Join(dir, p.origin))
		if err == nil {
			err = zonefile.Write(f, p.old)
		}
		if err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
		fmt.Fprintf(&conf, "zone %q { type secondary; primaries { %s port %s; }; file %q; masterfile-format text; request-ixfr yes; max-ixfr-ratio unlimited; };\n",
			p.origin, host, port, f.Name())
	}
	bind := testbed.StartNamed(t, testbed.NamedOptions{Config: conf.String(), Options: "check-names secondary ignore; serial-query-rate 1000; transfers-in 100; transfers-per-ns 100; allow-transfer { any; };"})
	bindAddr, ourAddr := netip.MustParseAddrPort(bind.Addr), netip.MustParseAddrPort(r.addr)
	var client dnsclient.Client
	differ := func(who string, p pair, got *zone.Snapshot) {
		t.Helper()
		if d := zone.Diff(p.new, got); got.Serial() != p.new.Serial() || !d.Empty() {
			t.Errorf("%s of %s: serial %d, missing %v, too many %v", who, p.origin, got.Serial(), d.Removed, d.Added)
		}
	}
	for _, p := range pairs { // named asks by itself when the refresh time is over
		if _, err := dns.Exchange(new(dns.Msg).SetNotify(p.origin), bind.Addr); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range pairs {
		var got *zone.Snapshot
		testbed.EventuallyNil(t, 30*time.Second, func() (err error) {
			got, err = client.Transfer(t.Context(), bindAddr, p.new.Apex(), nil, dnsclient.TransferOptions{})
			if err == nil && got.Serial() != p.new.Serial() {
				err = fmt.Errorf("%s is at %d", p.origin, got.Serial())
			}
			return err
		})
		differ("named's version", p, got)
		got, err := client.IXFR(t.Context(), ourAddr, p.old, nil, dnsclient.TransferOptions{})
		if err != nil {
			t.Fatal(err)
		}
		differ("our client's version", p, got)
	}
	changes := counter(t, r, `dnsctl_mdns_transfers_total{kind="ixfr",result="done"}`)
	whole := counter(t, r, `dnsctl_mdns_transfers_total{kind="ixfr-full",result="done"}`)
	if changes < float64(2*len(pairs)) || whole > 0 {
		t.Errorf("%v transfers of changes and %v of the whole, of %d pairs", changes, whole, len(pairs))
	}
}
