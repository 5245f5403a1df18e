package mdns

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"dnsctl/dnsclient"
	"dnsctl/zone"
)

// edits is versions of a zone; text is in master-file form, relative to the
// zone's name.
type edits struct {
	name     string
	apex     func(from, to int) string // for one pair of versions
	versions []string
}

// pairName is names of equal length, so that owners of 255 octets are that below
// each.
func pairName(suffix string) func(from, to int) string {
	return func(from, to int) string { return fmt.Sprintf("f%dt%d.%s", from, to, suffix) }
}

// longOwner is a name relative to a zone's name that makes one of 255 octets.
func longOwner(apex string) string {
	left := 255 - len(zone.MustParseName(apex))
	var labels []string
	for left > 0 {
		n := min(left, 64)
		if left == 65 { // no label is empty
			n = 63
		}
		labels = append(labels, strings.Repeat("L", n-1))
		left -= n
	}
	return strings.Join(labels, ".")
}

// large is an RRset of n TXT records, 256 octets each.
func large(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "large 300 TXT \"%04d%s\"\n", i, strings.Repeat("x", 251))
	}
	return b.String()
}

const apexText = "@ 300 SOA ns hostmaster %d 3600 600 86400 300\n@ 300 NS ns.elsewhere.test.\n"

// histories is one of random edits, and those of odd zones.
func histories() []edits {
	odd := func(name string, apex func(from, to int) string, texts ...string) edits {
		h := edits{name: name, apex: apex}
		for i, text := range texts {
			h.versions = append(h.versions, fmt.Sprintf(apexText, i+1)+text)
		}
		return h
	}
	filler := strings.Builder{} // what stays, so that changes are not longer than the zone
	for i := range 100 {
		fmt.Fprintf(&filler, "stays%d 300 A 192.0.2.%d\n", i, i)
	}
	long := longOwner("f0t0.LONG.test.")
	return []edits{
		{"random", pairName("history.test."), randomVersions(rand.New(rand.NewPCG(1, 1995)), 9)},
		odd("only SOA and NS", pairName("BARE.test."), "", "@ 300 NS b.elsewhere.test.\n", ""),
		odd("names of 255 octets", pairName("LONG.test."), filler.String(), filler.String()+long+" 300 A 192.0.2.1\n", filler.String()+long+" 300 A 192.0.2.2\n"+long+" 300 TXT t\n"),
		odd("RRsets of 64 KiB", pairName("large.test."), large(3), large(252), large(251)+"other 300 A 192.0.2.1\n"),
		odd("RRsets beyond", pairName("beyond.test."), large(3), large(600), large(599)+"other 300 A 192.0.2.1\n"),
		odd("the root", func(int, int) string { return "." }, filler.String()+"test 300 NS ns.test\nns.test 300 A 192.0.2.1\n", filler.String()+"test 300 NS ns.test\nns.test 300 A 192.0.2.2\n",
			filler.String()+"Example 300 NS ns.example\nns.Example 300 AAAA 2001:db8::1\n"),
	}
}

// at is version i under a pair's name.
func (h edits) at(t testing.TB, i, from, to int) *zone.Snapshot {
	t.Helper()
	return parse(t, h.apex(from, to), h.versions[i])
}

// randomVersions is versions of a zone as somebody who edits it all day makes
// them: records come and go, come back, and change their TTL or spelling.
func randomVersions(r *rand.Rand, n int) []string {
	type record struct{ owner, typ, data string }
	ttls := map[[2]string]int{} // one for each owner (in its spelling) and type
	spelling := map[string]string{}
	have := map[record]bool{}
	var out []string
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
		fmt.Fprintf(&text, apexText, serial)
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
		out = append(out, text.String())
	}
	return out
}

// TestChangesBetweenAnyTwoVersionsLeadFromOneToTheOther has our own client, named,
// NSD and Knot take the IXFR of every pair of versions of each history: each
// begins with the one, and then has exactly what an AXFR of the other is. A server
// has one root zone, and takes one pair of that.
func TestChangesBetweenAnyTwoVersionsLeadFromOneToTheOther(t *testing.T) {
	t.Parallel()
	m := newMemory()
	type pair struct {
		history  string
		old, new *zone.Snapshot
		client   bool // for our own client only
	}
	var pairs []pair
	var begin []beginning
	for _, h := range histories() {
		last := len(h.versions) - 1
		for from := range last {
			for to := from + 1; to <= last; to++ {
				if testing.Short() && to < last { // make test has them all
					continue
				}
				p := pair{history: h.name, old: h.at(t, from, from, to), new: h.at(t, to, from, to)}
				if p.client = p.new.Apex() == zone.Root && (from > 0 || to < last); p.client {
					continue
				}
				id := m.create(h.at(t, 0, from, to))
				for i := range to {
					m.change(id, h.at(t, i+1, from, to))
				}
				pairs = append(pairs, p)
				begin = append(begin, beginning{p.new.Apex(), p.old})
				if p.new.Apex() == zone.Root { // our client takes it from each
					for i := 1; i < last; i++ {
						pairs = append(pairs, pair{h.name, h.at(t, i, from, to), p.new, true})
					}
				}
			}
		}
	}
	r := start(t, m, nil)
	others := secondaries(t, r.addr, begin)
	for _, s := range others {
		for _, v := range begin { // it asks by itself when the refresh time is over
			s.notify(t, v.apex)
		}
	}
	var client dnsclient.Client
	ourAddr := netip.MustParseAddrPort(r.addr)
	for _, p := range pairs {
		got, err := client.IXFR(t.Context(), ourAddr, p.old, nil, dnsclient.TransferOptions{})
		if err != nil {
			t.Fatal(err)
		}
		differ(t, "our client's version", p.new, got, true)
		whole, err := client.Transfer(t.Context(), ourAddr, p.new.Apex(), nil, dnsclient.TransferOptions{})
		if err != nil {
			t.Fatal(err)
		}
		differ(t, "the AXFR", p.new, whole, true)
		if p.client {
			continue
		}
		for _, s := range others {
			if s.takes(p.old) && s.takes(p.new) {
				s.catchesUp(t, p.new)
			}
		}
	}
	changes := counter(t, r, `dnsctl_mdns_transfers_total{kind="ixfr",result="done"}`)
	random := 0
	for _, p := range pairs {
		if p.history == "random" {
			random++
		}
	}
	if changes < float64(4*random) {
		t.Errorf("%v transfers of changes of %d pairs, to four clients", changes, random)
	}
}
