package churn_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"dnsctl/testbed"
)

// nameserver is one that the test looks at in its own way, with the server's own
// tools and a plain DNS client.
type nameserver struct {
	*rig
	name, addr string
	keyed      bool         // transfers need the pool's key
	starts     atomic.Int64 // how often it was started again
	process    interface {
		Kill(t testbed.T)
		Restart(t testbed.T)
	}
	zones func() ([]string, error) // the names of the zones that it has, however it is called for
	keys  map[string]string        // secrets of TSIG keys
}

// kinds make a nameserver of each kind in a folder with the configuration that
// bootstrap --out has written.
var kinds = map[string]func(s *nameserver, control, stats string) error{
	"bind": func(s *nameserver, control, stats string) error {
		s.keyed = true
		s.process = testbed.StartNamed(s, testbed.NamedOptions{ConfigFile: s.conf("named.conf"), Addr: s.addr, ControlAddr: control, StatsAddr: stats})
		s.zones = func() ([]string, error) { return bindZones(stats) }
		return nil
	},
	"nsd": func(s *nameserver, control, _ string) error {
		s.keyed = true
		s.process = testbed.StartNSD(s, testbed.NSDOptions{ConfigFile: s.conf("nsd.conf"), Addr: s.addr, Control: control})
		s.zones = func() ([]string, error) {
			out, err := exec.Command("nsd-control", "-c", s.conf("nsd.conf"), "zonestatus").CombinedOutput()
			return found(`(?m)^zone:\s+(\S+)$`, out, err)
		}
		return nil
	},
	"knot": func(s *nameserver, socket, _ string) error {
		s.keyed = true
		if err := testbed.ImportKnot(s.conf("confdb"), s.conf("knot.conf")); err != nil {
			return err
		}
		s.process = testbed.StartKnot(s, testbed.KnotOptions{Database: s.conf("confdb"), Addr: s.addr, Socket: socket})
		s.zones = func() ([]string, error) {
			out, err := exec.Command("knotc", "-s", socket, "zone-status").CombinedOutput()
			return found(`(?m)^\[([^\]]+)\]`, out, err)
		}
		return nil
	},
	"powerdns": func(s *nameserver, control, _ string) error {
		s.process = testbed.StartPowerDNS(s, testbed.PowerDNSOptions{ConfigFile: s.conf("pdns.conf"), Addr: s.addr, APIAddr: control, Args: []string{"--allow-axfr-ips=127.0.0.0/8"}})
		text, err := os.ReadFile(s.conf("pdns.conf"))
		if err != nil {
			return err
		}
		key, err := found(`(?m)^api-key=(\S+)$`, text, nil)
		if err != nil {
			return err
		}
		s.zones = func() ([]string, error) { return powerDNSZones(control, key[0]) }
		return nil
	},
}

func (s *nameserver) conf(file string) string { return filepath.Join(s.dir, s.name, file) }

// newServer adds a server to two pools and starts it as it is meant to be started.
func (r *rig) newServer(kind, name string) *nameserver {
	r.Helper()
	s := &nameserver{rig: r, name: name, addr: testbed.FreeAddr(r), keys: map[string]string{}}
	control, stats := testbed.FreeAddr(r), ""
	args := []string{"server", "add", name, "--new", "--pool", poolMain, "--pool", poolSide, "--type", kind, "--address", s.addr, "--control"}
	given := control
	switch kind {
	case "bind":
		stats = testbed.FreeAddr(r)
		args = append(args, "rndc://"+control, "--stats", "http://"+stats)
	case "nsd":
		given = "tls://" + control
		args = append(args, given)
	case "knot":
		given = filepath.Join(r.dir, name+".sock")
		args = append(args, "unix:"+given)
	case "powerdns":
		args = append(args, "http://"+control)
	}
	r.ok(args...)
	r.ok("bootstrap", name, "--out", name)
	secret := regexp.MustCompile(`secret "([^"]+)"`)
	for _, pool := range []string{poolMain, poolSide} {
		found := secret.FindStringSubmatch(r.ok("tsig", "show", pool, "--for", "dig", "--show-secret"))
		if found == nil {
			r.Fatalf("the key of pool %s has no secret", pool)
		}
		s.keys[pool+"."] = found[1]
	}
	if err := kinds[kind](s, given, stats); err != nil {
		r.Fatal(err)
	}
	return s
}

// found is what a pattern's group matches in a program's output.
func found(pattern string, out []byte, err error) ([]string, error) {
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	all := regexp.MustCompile(pattern).FindAllStringSubmatch(string(out), -1)
	if len(all) == 0 {
		return nil, fmt.Errorf("nothing matches %s in %q", pattern, out)
	}
	names := make([]string, len(all))
	for i, m := range all {
		names[i] = m[1]
	}
	return names, nil
}

// get reads JSON over HTTP.
func get(url, key string, into any) error {
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	req.Header.Set("X-API-Key", key)
	client := http.Client{Timeout: 20 * time.Second}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", res.Status, body)
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(body, into)
}

func bindZones(stats string) ([]string, error) {
	var all struct {
		Views map[string]struct {
			Zones []struct{ Name, Class, Type string }
		}
	}
	if err := get("http://"+stats+"/json/v1/zones", "", &all); err != nil {
		return nil, err
	}
	var names []string
	for _, z := range all.Views["_default"].Zones {
		if z.Class == "IN" {
			names = append(names, z.Name)
		}
	}
	return names, nil
}

func powerDNSZones(api, key string) ([]string, error) {
	var all []struct{ Name string }
	if err := get("http://"+api+"/api/v1/servers/localhost/zones?dnssec=false", key, &all); err != nil {
		return nil, err
	}
	names := make([]string, len(all))
	for i, z := range all {
		names[i] = z.Name
	}
	return names, nil
}

var errNoMarker = errors.New("it has zones and no marker")

// list is the names of the zones of the test that the server has.
func (s *nameserver) list() (map[string]bool, error) {
	names, err := s.zones()
	if err != nil {
		return nil, err
	}
	out, marker := map[string]bool{}, false
	for _, n := range names {
		n = strings.ToLower(dns.Fqdn(n))
		switch {
		case strings.HasSuffix(n, ".dnsctl.invalid."):
			marker = true
		case strings.HasSuffix(n, ".example."):
			out[n] = true
		}
	}
	if !marker && len(out) > 0 {
		return nil, errNoMarker
	}
	return out, nil
}

// soa asks for the serial and the life that a zone is served with; false when it is
// not served.
func (s *nameserver) soa(zone string) (serial uint32, life int, served bool, err error) {
	q := new(dns.Msg).SetQuestion(zone, dns.TypeSOA)
	q.RecursionDesired = false
	c := dns.Client{Timeout: 2 * time.Second}
	a, _, err := c.Exchange(q, s.addr)
	if err != nil {
		return 0, 0, false, err
	}
	for _, rr := range a.Answer {
		if soa, ok := rr.(*dns.SOA); ok && a.Authoritative && strings.EqualFold(soa.Hdr.Name, zone) {
			life, err := lifeOf(soa.Mbox)
			return soa.Serial, life, true, err
		}
	}
	return 0, 0, false, nil
}

// errNotServed says that a server refuses a transfer, or cannot do it now.
var errNotServed = errors.New("not transferred")

// transfer is a zone's records as the server has them, but for the SOA's repetition.
func (s *nameserver) transfer(zone, key string) ([]dns.RR, error) {
	q := new(dns.Msg).SetAxfr(zone)
	t := &dns.Transfer{DialTimeout: 10 * time.Second, ReadTimeout: 20 * time.Second}
	if s.keyed {
		t.TsigSecret = s.keys
		q.SetTsig(key, dns.HmacSHA256, 300, time.Now().Unix())
	}
	messages, err := t.In(q, s.addr)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNotServed, err)
	}
	var all []dns.RR
	for m := range messages {
		if m.Error != nil {
			err = m.Error
		}
		all = append(all, m.RR...)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNotServed, err)
	}
	if len(all) < 2 {
		return nil, fmt.Errorf("%w: %d records", errNotServed, len(all))
	}
	return all[:len(all)-1], nil
}
