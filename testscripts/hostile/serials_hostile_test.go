package hostile_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"dnsctl/testbed"
)

// TestSerialsAtTheirLimits imports them, edits over the wrap, transfers the
// difference across it, and lets audit judge the other side.
func TestSerialsAtTheirLimits(t *testing.T) {
	t.Parallel()
	c := newControlled(t)
	text := func(serial uint32, more string) string {
		return fmt.Sprintf("$TTL 300\n@ SOA ns1.example.net. h.example.net. %d 7200 900 1209600 300\n@ NS ns1.example.net.\n"+
			"a A 192.0.2.1\nb A 192.0.2.2\nc A 192.0.2.3\nd A 192.0.2.4\ne A 192.0.2.5\nf A 192.0.2.6\n%s", serial, more)
	}
	serials := []struct {
		zone     string
		from, to uint32
	}{
		{"s0.example", 0, 1}, {"s31.example", 1<<31 - 1, 1 << 31}, {"s31b.example", 1 << 31, 1<<31 + 1}, {"s32.example", 1<<32 - 1, 0}, {"s32b.example", 1<<32 - 2, 1<<32 - 1},
	}
	for _, s := range serials {
		c.want(0, []string{fmt.Sprintf(`\tcreated\t%d\t8\t`, s.from)}, "zone", "import", "--zone", s.zone, c.write("z", text(s.from, "")))
	}
	c.ok("bootstrap", "ns1", "--wait")
	key := c.key()
	for _, s := range serials {
		c.want(0, []string{fmt.Sprintf(`\tchanged\t%d\t`, s.to)}, "record", "set", s.zone, "new", "A", "192.0.2.9")
		testbed.EventuallyNil(t, patience, func() error {
			if out := c.dig(c.named.Addr, "+norecurse", "+short", s.zone, "SOA"); !strings.Contains(out, fmt.Sprintf(" %d 7200", s.to)) {
				return fmt.Errorf("%s does not arrive: %s", s.zone, out)
			}
			return nil
		})
		// The whole difference, old SOA first; and from a serial that is current, or
		// ahead, a single SOA.
		out := c.dig(c.m.addr, "-k", key, "+onesoa", s.zone, fmt.Sprintf("IXFR=%d", s.from))
		if !strings.Contains(c.dig(c.m.addr, "-k", key, s.zone, fmt.Sprintf("IXFR=%d", s.from)), "XFR size: 5 records") {
			t.Errorf("IXFR of %s from %d: %s", s.zone, s.from, out)
		}
		for _, have := range []uint32{s.to, s.to + 1, s.to + 1<<30} {
			if out := c.dig(c.m.addr, "-k", key, s.zone, fmt.Sprintf("IXFR=%d", have)); !strings.Contains(out, "XFR size: 1 records") {
				t.Errorf("IXFR of %s at %d from %d: %s", s.zone, s.to, have, out)
			}
		}
		if !strings.Contains(c.named.Log(), fmt.Sprintf("zone %s/IN: transferred serial %d", s.zone, s.to)) {
			t.Errorf("named did not transfer %s", s.zone)
		}
		// A file that is behind changes nothing by its serial, one that is ahead takes
		// it; half the circle away is neither.
		c.want(0, []string{fmt.Sprintf(`\tchanged\t%d\t`, s.to+1)}, "zone", "import", "--zone", s.zone, c.write("z", text(s.from, "")))
		c.want(0, []string{fmt.Sprintf(`\tchanged\t%d\t`, s.to+1+5)}, "zone", "import", "--zone", s.zone, c.write("z", text(s.to+1+5, "")))
		c.want(0, []string{fmt.Sprintf(`\tunchanged\t%d\t`, s.to+6)}, "zone", "import", "--zone", s.zone, c.write("z", text(s.to+6+1<<31, "")))
	}
	testbed.Eventually(t, patience, func() bool { return c.run("audit").code == 0 })

	// Behind and ahead are as RFC 1982 has them, over the wrap as well.
	c.m.stop()
	for _, s := range serials {
		c.ok("record", "set", s.zone, "new2", "A", "192.0.2.10")
	}
	res := c.want(3, nil, "audit", "-o", "json")
	var rep struct {
		Servers []struct {
			Items []struct {
				Zone, Class string
			}
		}
	}
	if err := json.Unmarshal([]byte(res.stdout), &rep); err != nil {
		t.Fatal(err)
	}
	if n := len(rep.Servers[0].Items); n != len(serials) {
		t.Errorf("%d zones are not in agreement, want %d: %v", n, len(serials), res)
	}
	for _, it := range rep.Servers[0].Items {
		if it.Class != "behind" {
			t.Errorf("%s is %s, not behind", it.Zone, it.Class)
		}
	}
	// The nameserver's own zones, one ahead over the wrap.
	ahead := c.write("ahead.zone", text(3, ""))
	c.ok("zone", "import", "--zone", "up.example", c.write("z", text(1<<32-5, "")))
	c.rndc("addzone", "up.example", fmt.Sprintf("{ type primary; file %q; };", ahead))
	c.want(3, []string{`\tup\.example\.\t(ahead|misconfigured)\t`}, "audit")
}
