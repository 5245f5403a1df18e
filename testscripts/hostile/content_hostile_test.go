package hostile_test

import (
	"fmt"
	"regexp"
	"testing"

	"dnsctl/testbed"
)

// TestContentThatIsNotOursIsFoundCopiedAndReplaced has somebody else's primary stand
// at our address, with our key: one zone comes to be ahead of ours, another to have
// other content under the same serial.
func TestContentThatIsNotOursIsFoundCopiedAndReplaced(t *testing.T) {
	t.Parallel()
	onAllKinds(t, func(t *testing.T, k kind) {
		addr := testbed.FreeAddr(t)
		r := newRig(t, "", addr)
		fill := func(r *rig, ahead int, www string) {
			for zone, serial := range map[string]int{"ahead": ahead, "differs": 1, "fine": 1} {
				address := www
				if zone == "fine" {
					address = "192.0.2.1"
				}
				r.ok("zone", "import", "-q", r.write(zone+".example.zone", fmt.Sprintf(
					"$TTL 300\n@ SOA ns1.example.net. h.example.net. %d 7200 900 1209600 300\n@ NS ns1.example.net.\nwww A %s\n", serial, address)))
			}
		}
		fill(r, 1, "192.0.2.1")
		m := r.serve(addr)
		s := r.secondary(k, "ns1", "main")
		s.add("main")
		r.ok("bootstrap", "ns1", "--wait")
		m.stop()

		other := newRig(t, "", "")
		other.ok("pool", "create", "main", "--primary", addr, "--no-tsig")
		secret := regexp.MustCompile(`secret "(.*)"`).FindStringSubmatch(r.ok("tsig", "show", "main", "--for", "dig", "--show-secret"))[1]
		other.ok("tsig", "create", "main", "--scope", "pool:main", "--secret-file", other.write("secret", secret))
		fill(other, 100, "203.0.113.66")
		foreign := other.serve(addr)
		for _, zone := range []string{"ahead.example", "differs.example"} {
			s.retransfer(zone)
			testbed.Eventually(r, patience, func() bool { return s.isForeign(zone) })
		}
		foreign.stop()

		// Nobody serves now, who would mend it.
		r.want(3, []string{`^ns1\tahead\.example\.\tahead\t`, "!differs", "!fine"}, "audit")
		r.want(3, []string{`^ns1\tahead\.example\.\tahead\t`, `^ns1\tdiffers\.example\.\tdiffers\t.*www`, "!fine"}, "audit", "--deep")
		m = r.serve(addr)
		r.ok("sync", "ns1", "--deep", "--yes")
		r.want(0, []string{`^ns1: 3 ok$`}, "audit", "--deep")
		for _, zone := range []string{"ahead.example", "differs.example"} {
			if out := r.dig(s.addr, "+norecurse", "+short", "www."+zone, "A"); out != "192.0.2.1\n" {
				t.Errorf("%s: %q", zone, out)
			}
		}
		// What was ahead may be somebody's work.
		r.want(0, []string{`\tahead\.example\.\t`, "!fine"}, "quarantine", "list")
		m.stop()
	})
}
