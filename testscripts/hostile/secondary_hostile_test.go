package hostile_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dnsctl/testbed"
)

// secondary is a real nameserver of any type, without zones at first. dnsctl
// reaches its control channel through a proxy, and its DNS through a relay.
type secondary struct {
	testServer
	*rig
	kind  kind
	name  string
	addr  string // its own, past the relay
	dns   *testbed.Relay
	proxy *proxy   // of the control channel
	list  *proxy   // of what lists the zones: the same, or BIND's statistics
	flags []string // of server add and server set: how it is reached
	// own makes a primary zone as the server's operator does; secretive one that
	// cannot be copied: it lets nobody transfer it, or has nothing to copy, as it is
	// itself transferred from where nobody is.
	own       func(zone string)
	secretive func(zone string)
	// retransfer has it transfer a zone whatever it has, as its operator does.
	retransfer func(zone string)
	// prepare adds what dnsctl says that the configuration lacks; nil where it says
	// nothing of the kind.
	prepare  func(text string)
	lacked   string         // what was added last
	dir      string         // where its files are
	clockOff *time.Duration // by how much its clock is wrong from its next start on
	told     telling        // the writes that it was told, and NOTIFY
}

// telling gathers what was said.
type telling struct {
	mu   sync.Mutex
	said []string
}

func (t *telling) add(said string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.said = append(t.said, said)
}

// forget empties it and returns what it had.
func (t *telling) forget() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	said := t.said
	t.said = nil
	return said
}

// untold fails the test if the nameserver was told a write since forget. A leader of
// ours that runs may always tell it of its marker.
func (s *secondary) untold(leads bool) {
	s.Helper()
	said := s.told.forget()
	if leads {
		said = slices.DeleteFunc(said, func(what string) bool {
			return strings.HasPrefix(what, "NOTIFY ") && strings.Contains(what, `\x06dnsctl\ainvalid`)
		})
	}
	if len(said) > 0 {
		s.Errorf("%s was told %q", s.name, said)
	}
}

// testServer is what all servers of testbed are.
type testServer interface {
	Stop(t testbed.T)
	Kill(t testbed.T)
	Restart(t testbed.T)
	Running() bool
}

// kind is a type of nameserver.
type kind struct {
	name  string // as --type has it
	title string
	start func(s *secondary, keys string)
	// writes is what a client says on the control channel that changes something.
	writes *regexp.Regexp
	// deletes is what it says to remove a zone.
	deletes string
}

var kinds = []kind{
	{"bind", "BIND", startBIND, regexp.MustCompile(`(?s)type\x01\x00\x00\x00.(addzone|delzone|modzone|retransfer|refresh|notify|reload|reconfig|freeze|thaw)`), "delzone "},
	{"nsd", "NSD", startNSD, regexp.MustCompile(`addzones|addzone [^.]|delzone|changezone|transfer|reload|reconfig|notify|update_tsig|add_tsig`), "delzone"},
	{"knot", "Knot DNS", startKnot, regexp.MustCompile(`conf-begin|conf-set|conf-unset|zone-re|zone-purge|zone-set|zone-begin|zone-notify`), "conf-unset"},
	{"powerdns", "PowerDNS", startPowerDNS, regexp.MustCompile(`^(POST|PUT|PATCH|DELETE) `), "DELETE "},
}

// onAllKinds runs a test for each type of nameserver.
func onAllKinds(t *testing.T, try func(t *testing.T, k kind)) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			try(t, k)
		})
	}
}

const foreignText = "$TTL 300\n@ SOA ns.elsewhere. h.elsewhere. 42 3600 600 86400 300\n@ NS ns.elsewhere.\nwww A 203.0.113.66\n"

// secondary starts a nameserver that has the TSIG keys of these pools.
func (r *rig) secondary(k kind, name string, pools ...string) *secondary {
	r.Helper()
	s := &secondary{rig: r, kind: k, name: name}
	keys := ""
	for _, p := range pools {
		keys += r.ok("tsig", "show", p, "--for", k.name, "--show-secret")
	}
	k.start(s, keys)
	if s.list == nil {
		s.list = s.proxy
	}
	s.dns = testbed.StartRelay(r, s.addr, testbed.RelayOptions{})
	s.flags = append(s.flags, "--address", s.dns.Addr)
	s.dns.Watch(func(said []byte) {
		if len(said) > 12 && said[2]>>3&15 == 4 { // NOTIFY (RFC 1996), of one datagram
			s.told.add(fmt.Sprintf("NOTIFY %q", said))
		}
	})
	s.watchWrites()
	return s
}

func (s *secondary) watchWrites() {
	count := func(said string) {
		if s.kind.writes.MatchString(said) {
			s.told.add(said)
		}
	}
	s.proxy.always.Store(&count)
}

// withPrepared runs a command, and once more when it says what the nameserver's
// configuration lacks, after that was added.
func (s *secondary) withPrepared(args ...string) {
	s.Helper()
	res := s.run(args...)
	if _, text, lacks := strings.Cut(res.stderr, " reconfig: "); lacks && s.prepare != nil {
		s.prepare(text)
		s.lacked = text
		res = s.run(args...)
	}
	res.check(s, 0, nil, args...)
}

// add adds it to the fleet.
func (s *secondary) add(pool string) {
	s.Helper()
	s.withPrepared(append([]string{"server", "add", s.name, "--type", s.kind.name, "--pool", pool}, s.flags...)...)
}

func (s *secondary) answers(zone string) bool {
	return strings.Contains(s.dig(s.addr, "+norecurse", zone, "SOA"), "ANSWER: 1")
}

// foreign makes a zone on it that dnsctl does not know, and waits until it is
// answered.
func (s *secondary) foreign(zone string) {
	s.Helper()
	s.own(zone)
	testbed.Eventually(s, patience, func() bool { return s.answers(zone) })
}

func (s *secondary) isForeign(zone string) bool {
	return s.dig(s.addr, "+norecurse", "+short", "www."+zone, "A") == "203.0.113.66\n"
}

func startBIND(s *secondary, keys string) {
	n := testbed.StartNamed(s, testbed.NamedOptions{AllowNewZones: true, Config: keys})
	s.dir, s.clockOff = n.Dir, &n.ClockOff
	s.testServer, s.addr, s.proxy, s.list = n, n.Addr, newProxy(s, n.ControlAddr), newProxy(s, strings.TrimPrefix(n.StatsURL, "http://"))
	s.flags = []string{"--control", "rndc://" + s.proxy.addr, "--stats", "http://" + s.list.addr, "--control-key-file", n.KeyFile}
	host, port, _ := strings.Cut(n.ControlAddr, ":")
	rndc := func(args ...string) {
		s.Helper()
		runIt(s, exec.Command("rndc", append([]string{"-s", host, "-p", port, "-k", n.KeyFile}, args...)...)).check(s, 0, nil, args...)
	}
	s.own = func(zone string) {
		rndc("addzone", zone, fmt.Sprintf("{ type primary; file %q; };", s.write(s.name+"."+zone+".own", foreignText)))
	}
	s.secretive = func(zone string) {
		rndc("addzone", zone, fmt.Sprintf("{ type primary; file %q; allow-transfer { none; }; };", s.write(s.name+"."+zone+".own", foreignText)))
	}
	s.retransfer = func(zone string) { rndc("retransfer", zone) }
}

func startNSD(s *secondary, keys string) {
	n := testbed.StartNSD(s, testbed.NSDOptions{Socket: true, Config: keys + `
pattern:
    name: own
    zonefile: "%s.own"
    provide-xfr: 127.0.0.1 main
pattern:
    name: orphan
    zonefile: "%s.secretive"
    request-xfr: 127.0.0.1@1 NOKEY
    provide-xfr: 127.0.0.1 main
`})
	s.dir, s.clockOff = n.Dir, &n.ClockOff
	s.testServer, s.addr, s.proxy = n, n.Addr, newProxy(s, strings.TrimPrefix(n.Control, "unix:"))
	s.flags = []string{"--control", "unix:" + s.proxy.addr}
	do := func(err error) {
		s.Helper()
		if err != nil {
			s.Fatal(err)
		}
	}
	s.own = func(zone string) {
		do(os.WriteFile(filepath.Join(n.Dir, zone+".own"), []byte(foreignText), 0o600))
		do(n.Ctl("addzone", zone, "own"))
	}
	s.secretive = func(zone string) { do(n.Ctl("addzone", zone, "orphan")) }
	s.retransfer = func(zone string) { do(n.Ctl("force_transfer", zone)) }
	s.prepare = func(text string) {
		do(n.Patterns(strings.ReplaceAll(text, "/var/lib/nsd/dnsctl", filepath.Join(n.Dir, "zones")) + "\n"))
	}
}

func startKnot(s *secondary, _ string) {
	k := testbed.StartKnot(s, testbed.KnotOptions{})
	s.dir, s.clockOff = k.Dir, &k.ClockOff
	s.testServer, s.addr, s.proxy = k, k.Addr, newProxy(s, k.Socket)
	s.flags = []string{"--control", "unix:" + s.proxy.addr}
	control := func(args ...string) {
		s.Helper()
		// knotd has one transaction at a time, and dnsctl may be in one.
		testbed.EventuallyNil(s, patience, func() error {
			out, err := k.Control(args...)
			if err == nil && strings.HasPrefix(out, "error") {
				err = fmt.Errorf("knotc %q: %s", args, out)
			}
			return err
		})
	}
	s.own = func(zone string) {
		control("conf-begin")
		control("conf-set", "zone["+zone+"]")
		control("conf-set", "zone["+zone+"].file", s.write(s.name+"."+zone+".own", foreignText))
		control("conf-commit")
	}
	s.secretive = func(zone string) {
		control("conf-begin")
		control("conf-set", "remote[orphan]")
		control("conf-set", "remote[orphan].address", "127.0.0.1@1")
		control("conf-set", "zone["+zone+"]")
		control("conf-set", "zone["+zone+"].master", "orphan")
		control("conf-commit")
	}
	s.retransfer = func(zone string) { control("zone-retransfer", zone) }
}

func startPowerDNS(s *secondary, _ string) {
	p := testbed.StartPowerDNS(s, testbed.PowerDNSOptions{})
	s.dir, s.clockOff = p.Dir, &p.ClockOff
	s.testServer, s.addr, s.proxy = p, p.Addr, newProxy(s, strings.TrimPrefix(p.APIURL, "http://"))
	s.flags = []string{"--control", "http://" + s.proxy.addr, "--control-key-file", p.KeyFile}
	s.own = func(zone string) { ownPowerDNS(s, p, zone) }
	s.secretive = func(zone string) {
		callPowerDNS(s, p, http.MethodPost, "", fmt.Sprintf(`{"name":"%s.","kind":"Slave","masters":["127.0.0.1:1"]}`, zone))
	}
	s.retransfer = func(zone string) { callPowerDNS(s, p, http.MethodPut, "/"+zone+"./axfr-retrieve", "") }
}

// ownPowerDNS makes a zone of PowerDNS's own.
func ownPowerDNS(t testing.TB, p *testbed.PowerDNS, zone string) {
	t.Helper()
	callPowerDNS(t, p, http.MethodPost, "", fmt.Sprintf(`{"name":"%[1]s.","kind":"Native","nameservers":["ns.elsewhere."],"rrsets":[
 {"name":"www.%[1]s.","type":"A","ttl":60,"records":[{"content":"203.0.113.66"}]}]}`, zone))
}

// callPowerDNS does something to its zones over its API.
func callPowerDNS(t testing.TB, p *testbed.PowerDNS, method, path, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, p.APIURL+"/api/v1/servers/localhost/zones"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-API-Key", p.APIKey)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode/100 != 2 {
		t.Fatal(res.Status)
	}
}
