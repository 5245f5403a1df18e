package mdns

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"dnsctl/testbed"
	"dnsctl/zone"
)

// startPowerDNS runs one that has the zones as a secondary.
func startPowerDNS(t *testing.T, primary string, versions []beginning) *secondary {
	t.Helper()
	p := testbed.StartPowerDNS(t, testbed.PowerDNSOptions{Settings: "allow-axfr-ips=127.0.0.0/8\nallow-notify-from=127.0.0.0/8\nxfr-max-received-mbytes=0\n"})
	for _, v := range versions {
		body := fmt.Sprintf(`{"name": %q, "kind": "Slave", "masters": [%q]}`, v.apex.Lower().String(), primary)
		req, err := http.NewRequest(http.MethodPost, p.APIURL+"/api/v1/servers/localhost/zones", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-API-Key", p.APIKey)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusCreated {
			t.Fatalf("PowerDNS takes no zone %s: %s", v.apex, res.Status)
		}
	}
	return &secondary{name: "powerdns", addr: p.Addr}
}

// oddZones is the last version of each odd history, whose names are asked for in
// other letter case than they are spelled in.
func oddZones(t *testing.T) (zones []*zone.Snapshot) {
	t.Helper()
	for _, h := range histories()[1:] {
		zones = append(zones, h.at(t, len(h.versions)-1, 0, 1))
	}
	return zones
}

// TestOddZonesAreTransferredToEverySecondary begins with nothing on all four.
func TestOddZonesAreTransferredToEverySecondary(t *testing.T) {
	t.Parallel()
	m := newMemory()
	var begin []beginning
	zones := oddZones(t)
	for _, z := range zones {
		m.create(z)
		begin = append(begin, beginning{apex: z.Apex()})
	}
	r := start(t, m, nil)
	for _, s := range append(secondaries(t, r.addr, begin), startPowerDNS(t, r.addr, begin)) {
		for _, z := range zones {
			s.notify(t, z.Apex())
		}
		for _, z := range zones {
			if s.takes(z) {
				s.catchesUp(t, z)
			}
		}
	}
}

// dnspythonTransfer prints the records of a transfer, one a line. Debian's dnspython
// is its own Python's, whatever is before that in the path.
const dnspythonTransfer = `
import sys, dns.query, dns.rdatatype
host, port, name = sys.argv[1], int(sys.argv[2]), sys.argv[3]
for m in dns.query.xfr(host, name, port=port, relativize=False, lifetime=60):
    for rrset in m.answer:
        for rd in rrset:
            print(rrset.name, rrset.ttl, 'IN', dns.rdatatype.to_text(rrset.rdtype), rd)
`

// TestToolsReadOddZones counts and compares what dig, kdig, drill and dnspython
// read, which print records each in their way.
func TestToolsReadOddZones(t *testing.T) {
	t.Parallel()
	m := newMemory()
	zones := oddZones(t)
	for _, z := range zones {
		m.create(z)
	}
	r := start(t, m, nil)
	host, port, _ := net.SplitHostPort(r.addr)
	for _, tool := range []struct {
		name string
		args func(zone string) []string
	}{
		{"dig", func(z string) []string {
			return []string{"@" + host, "-p", port, "+noall", "+answer", "+onesoa", "+time=30", z, "AXFR"}
		}},
		{"kdig", func(z string) []string {
			return []string{"@" + host, "-p", port, "+noall", "+answer", "+time=30", z, "AXFR"}
		}},
		{"drill", func(z string) []string { return []string{"-p", port, z, "@" + host, "AXFR"} }},
		{"/usr/bin/python3", func(z string) []string { return []string{"-c", dnspythonTransfer, host, port, z} }},
	} {
		for _, z := range zones {
			name := strings.ToUpper(z.Apex().String())
			var errs bytes.Buffer
			cmd := exec.CommandContext(t.Context(), tool.name, tool.args(name)...)
			cmd.Stderr = &errs
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%s %s: %v: %s%.1000s", tool.name, name, err, errs.String(), out)
			}
			want, got := map[string]bool{}, map[string]bool{}
			for _, line := range linesOf(t, z, false) {
				want[line] = true
			}
			for line := range strings.Lines(string(out)) {
				if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, ";") {
					continue
				}
				rr, err := dns.NewRR(line)
				if err != nil || rr == nil {
					t.Fatalf("%s %s says %q: %v", tool.name, name, line, err)
				}
				got[strings.ToLower(rr.String())] = true
			}
			missing := 0
			for line := range want {
				if !got[strings.ToLower(line)] {
					missing++
				}
			}
			if missing > 0 || len(got) != len(want) {
				t.Errorf("%s %s: %d records, %d of %d are missing", tool.name, name, len(got), missing, len(want))
			}
		}
	}
}
