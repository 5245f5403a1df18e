package bootstrap_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"dnsctl/bootstrap"
	"dnsctl/edit"
	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/report"
	"dnsctl/secret"
	"dnsctl/sync/apply"
	"dnsctl/sync/inventory"
	"dnsctl/testbed"
	"dnsctl/wire"
	"dnsctl/zone"
)

// foreign makes a primary zone on the nameserver by hand.
func (h *house) foreign(n *testbed.Named, s fleet.Server, apex, text, settings string) {
	h.Helper()
	file := strings.Trim(apex, ".") + ".own"
	if err := os.WriteFile(filepath.Join(filepath.Dir(n.ConfigFile), "data", file), []byte(text), 0o600); err != nil {
		h.Fatal(err)
	}
	h.must(s, fmt.Sprintf(`addzone %s { type primary; file "%s"; %s };`, apex, file, settings))
}

// must gives named a command.
func (h *house) must(s fleet.Server, command string) {
	h.Helper()
	if err := rndc(h, s, command); err != nil {
		h.Fatal(err)
	}
}

func (h *house) adopt(s fleet.Server, apex string, o apply.AdoptOptions) report.Report {
	h.Helper()
	o.Options = h.options("zone adopt")
	rep, err := h.syncer.Adopt(h.Context(), h.store, s, name(apex), o)
	if err != nil {
		h.Fatal(err)
	}
	return rep
}

// load asks a nameserver the same question some 500 times a second.
type load struct {
	asked, failed atomic.Int64
	how           []string // what was answered instead
	stop          func()
}

// load starts a load that wants this address, and returns when it is under way.
func (h *house) load(s fleet.Server, owner string, want string) *load {
	h.Helper()
	l := new(load)
	ctx, cancel := context.WithCancel(h.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			a, err := h.dns.Client.Ask(h.Context(), s.Address, name(owner), zone.TypeA, nil)
			set, ok := a.RRset(name(owner), zone.TypeA)
			if err != nil || !ok || a.Rcode != wire.RcodeSuccess || set.Data.First() != want {
				l.failed.Add(1)
				l.how = append(l.how, fmt.Sprintf("%v %v", a.Rcode, err))
			}
			l.asked.Add(1)
		}
	})
	l.stop = func() { cancel(); wg.Wait() }
	l.more(h)
	return l
}

// more waits for some more questions.
func (l *load) more(t testbed.T) {
	t.Helper()
	n := l.asked.Load() + 20
	testbed.Eventually(t, 20*time.Second, func() bool { return l.asked.Load() >= n })
}

// patience is how many answers in a row may fail on a busy machine: named loses
// its processor between two commands, too.
const patience = 25

// TestAForeignZoneIsAdoptedUnderLoad takes over primaries of BIND that somebody
// made by hand while they are asked all the time. BIND cannot change the role of
// a zone: what the test allows is the gap that it has, and it is reported.
func TestAForeignZoneIsAdoptedUnderLoad(t *testing.T) {
	t.Parallel()
	h := newHouse(t, "")
	h.importZone("ours.example.", small)
	n, s := h.newNamed("ns1")
	const zones = 4
	var asked, failed int64
	for i := range zones {
		apex := fmt.Sprintf("old%d.example.", i)
		h.foreign(n, s, apex, small, "")
		l := h.load(s, "www."+apex, "\xc0\x00\x02\x02")
		rep := h.adopt(s, apex, apply.AdoptOptions{})
		l.more(h)
		l.stop()
		asked, failed = asked+l.asked.Load(), failed+l.failed.Load()
		if it := item(t, rep, apex); rep.Exit != report.ExitOK || it.Outcome != report.Done || *it.Serial.Have != 7 || !strings.Contains(it.Reason, "quarantine restore") {
			t.Fatalf("exit %d: %+v", rep.Exit, it)
		}
		if l.failed.Load() > patience {
			t.Errorf("%s: %d of %d answers failed: %v", apex, l.failed.Load(), l.asked.Load(), l.how)
		}
	}
	t.Logf("%d zones adopted: %d of %d answers failed", zones, failed, asked)
	if asked < zones*50 {
		t.Errorf("only %d questions: no load", asked)
	}
	h.mustAudit(report.ExitOK)

	// From now on it is changed here.
	res, err := h.edit.Records(t.Context(), name("old0.example."), []edit.Op{{Verb: edit.Set, Owner: name("www.old0.example."), Type: zone.TypeA, Data: []string{"\xc0\x00\x02\x09"}}}, edit.Meta{})
	if err != nil {
		t.Fatal(err)
	}
	testbed.Eventually(t, 20*time.Second, func() bool {
		got, ok := h.serial(s, "old0.example.")
		return ok && got == res.Serial
	})
	if rep := h.adopt(s, "old0.example.", apply.AdoptOptions{}); rep.Exit != report.ExitOK {
		t.Errorf("adopted again: %+v", rep.Servers)
	}
	events, err := h.store.Events(t.Context(), fleet.EventFilter{Server: "ns1", Zone: name("old0.example.")})
	if err != nil || !slices.ContainsFunc(events, func(e report.Event) bool { return e.Action == "adopt" }) {
		t.Errorf("events %+v, %v", events, err)
	}

	// Back to what it was.
	copies, err := h.store.Copies(t.Context(), "ns1", name("old0.example."))
	if err != nil || len(copies) != 1 {
		t.Fatalf("copies %+v, %v", copies, err)
	}
	if _, err := h.edit.Delete(t.Context(), []zone.Name{name("old0.example.")}, false, edit.Meta{}); err != nil {
		t.Fatal(err)
	}
	rep, err := h.syncer.Restore(t.Context(), h.store, copies[0].ID, h.options("quarantine restore"))
	if err != nil || rep.Exit != report.ExitOK {
		t.Fatalf("restore: %v, %+v", err, rep.Servers)
	}
	if got, ok := h.serial(s, "old0.example."); !ok || got != 7 {
		t.Errorf("serial %d, %v after the restore", got, ok)
	}
	ses, err := h.fleet.Open(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	defer ses.Close()
	if z, err := ses.Driver.Zone(t.Context(), name("old0.example.")); err != nil || z.Role != nameserver.Primary {
		t.Errorf("it is %+v, %v", z, err)
	}
	// And once more, which ends the protection of what was restored.
	if rep := h.adopt(s, "old0.example.", apply.AdoptOptions{}); rep.Exit != report.ExitOK {
		t.Fatalf("adopted after a restore: %+v", rep.Servers)
	}
	if names, err := h.store.Protected(t.Context(), s.ID); err != nil || len(names) != 0 {
		t.Errorf("protected %v, %v", names, err)
	}
	if got, ok := h.serial(s, "old0.example."); !ok || !got.Ahead(res.Serial) {
		t.Errorf("serial %d, %v: it went back", got, ok)
	}
	h.mustAudit(report.ExitOK)
}

// update sends a dynamic update (RFC 2136) of one record.
func update(t *testing.T, addr netip.AddrPort, apex, record string) {
	t.Helper()
	rr, err := dns.NewRR(record)
	if err != nil {
		t.Fatal(err)
	}
	m := new(dns.Msg)
	m.SetUpdate(apex)
	m.Insert([]dns.RR{rr})
	a, _, err := new(dns.Client).Exchange(m, addr.String())
	if err != nil || a.Rcode != dns.RcodeSuccess {
		t.Fatalf("update %s: %v, %v", record, a, err)
	}
}

// TestADynamicZoneIsAdoptedWithItsUpdates: what dynamic updates have left in the
// journal belongs to the zone.
func TestADynamicZoneIsAdoptedWithItsUpdates(t *testing.T) {
	t.Parallel()
	h := newHouse(t, "")
	n, s := h.newNamed("ns1")
	h.foreign(n, s, "dyn.example.", small, "allow-update { 127.0.0.1; };")
	for i := range 3 {
		update(t, s.Address, "dyn.example.", fmt.Sprintf("u%d.dyn.example. 60 A 192.0.2.%d", i, 100+i))
	}
	l := h.load(s, "u2.dyn.example.", "\xc0\x00\x02\x66")
	rep := h.adopt(s, "dyn.example.", apply.AdoptOptions{})
	l.more(h)
	l.stop()
	t.Logf("%d of %d answers failed", l.failed.Load(), l.asked.Load())
	if rep.Exit != report.ExitOK || l.failed.Load() > patience {
		t.Fatalf("exit %d, %+v; %v", rep.Exit, rep.Servers, l.how)
	}
	for i := range 3 {
		owner := name(fmt.Sprintf("u%d.dyn.example.", i))
		a, err := h.dns.Client.Ask(t.Context(), s.Address, owner, zone.TypeA, nil)
		if set, ok := a.RRset(owner, zone.TypeA); err != nil || !ok || set.TTL != 60 {
			t.Errorf("%s: %+v, %v", owner, a, err)
		}
	}
	if got, ok := h.serial(s, "dyn.example."); !ok || got != 10 {
		t.Errorf("serial %d", got)
	}
	h.mustAudit(report.ExitOK)
	n.Restart(t)
	if got, ok := h.serial(s, "dyn.example."); !ok || got != 10 {
		t.Errorf("serial %d after a restart", got)
	}
}

func TestWhatCannotBeAdoptedIsRefusedWithItsReason(t *testing.T) {
	t.Parallel()
	h := newHouse(t, "")
	h.importZone("same.example.", small)
	h.importZone("other.example.", small)
	n, s := h.newNamed("ns1")
	h.foreign(n, s, "signs.example.", small, "dnssec-policy default; inline-signing yes;")
	refused := func(apex, want string, o apply.AdoptOptions) {
		t.Helper()
		rep := h.adopt(s, apex, o)
		if it := item(t, rep, apex); it.Outcome != report.Failed && it.Outcome != report.Withheld || !strings.Contains(it.Reason, want) || rep.Exit == report.ExitOK {
			t.Errorf("%s: exit %d, %+v, want %q", apex, rep.Exit, it, want)
		}
	}
	refused("none.example.", "has no zone", apply.AdoptOptions{})
	refused("signs.example.", "signed by the server", apply.AdoptOptions{})
	h.foreign(n, s, "pool.example.", small, "")
	refused("pool.example.", `is not in pool "us"`, apply.AdoptOptions{Pool: "us"})

	// In the database with the same content: converted. With other: refused.
	h.must(s, `delzone -clean same.example`)
	h.must(s, `delzone -clean other.example`)
	h.foreign(n, s, "same.example.", small, "")
	h.foreign(n, s, "other.example.", strings.Replace(small, "192.0.2.2", "192.0.2.22", 1), "")
	refused("other.example.", "1 records only on the server (www.other.example. A)", apply.AdoptOptions{})
	if rep := h.adopt(s, "same.example.", apply.AdoptOptions{}); rep.Exit != report.ExitOK {
		t.Errorf("the same content: %+v", rep.Servers)
	}
	if z, err := h.store.Zone(t.Context(), name("same.example.")); err != nil || z.Edition.Version != 1 {
		t.Errorf("it was written: %+v, %v", z.Edition, err)
	}
}

// TestAPowerDNSZoneIsAdoptedWithoutAFailedAnswer: PowerDNS changes the kind of a
// zone in place, so every answer stands.
func TestAPowerDNSZoneIsAdoptedWithoutAFailedAnswer(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"Native", "Master"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, "")
			h.importZone("ours.example.", small)
			p, server := h.newPowerDNS()
			body := `{"name": "old.example.", "kind": "` + kind + `", "soa_edit_api": "", "rrsets": [
				{"name": "old.example.", "type": "SOA", "ttl": 300, "records": [{"content": "ns1.old.example. h.old.example. 7 7200 900 1209600 300", "disabled": false}]},
				{"name": "old.example.", "type": "NS", "ttl": 300, "records": [{"content": "ns1.old.example.", "disabled": false}]},
				{"name": "ns1.old.example.", "type": "A", "ttl": 300, "records": [{"content": "192.0.2.1", "disabled": false}]},
				{"name": "www.old.example.", "type": "A", "ttl": 300, "records": [{"content": "192.0.2.2", "disabled": false}]}]}`
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.APIURL+"/api/v1/servers/localhost/zones", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("X-API-Key", p.APIKey)
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if res.StatusCode != http.StatusCreated {
				text, _ := io.ReadAll(res.Body)
				t.Fatalf("make the zone: %s: %s", res.Status, text)
			}
			l := h.load(server, "www.old.example.", "\xc0\x00\x02\x02")
			adopted := h.adopt(server, "old.example.", apply.AdoptOptions{})
			l.more(h)
			l.stop()
			t.Logf("%d of %d answers failed", l.failed.Load(), l.asked.Load())
			if adopted.Exit != report.ExitOK || l.failed.Load() > 0 {
				t.Fatalf("exit %d, %+v; %v", adopted.Exit, adopted.Servers, l.how)
			}
			h.mustAudit(report.ExitOK)
			copies, err := h.store.Copies(t.Context(), "ns1", name("old.example."))
			if err != nil || len(copies) != 1 || copies[0].Records != 4 {
				t.Errorf("copies %+v, %v", copies, err)
			}
			r, err := h.edit.Records(t.Context(), name("old.example."), []edit.Op{{Verb: edit.Set, Owner: name("www.old.example."), Type: zone.TypeA, Data: []string{"\xc0\x00\x02\x09"}}}, edit.Meta{})
			if err != nil {
				t.Fatal(err)
			}
			testbed.Eventually(t, 20*time.Second, func() bool {
				got, ok := h.serial(server, "old.example.")
				return ok && got == r.Serial
			})
		})
	}
}

// newPowerDNS adds a PowerDNS that runs already and bootstraps it.
func (h *house) newPowerDNS() (*testbed.PowerDNS, fleet.Server) {
	h.Helper()
	p := testbed.StartPowerDNS(h, testbed.PowerDNSOptions{})
	key, err := os.ReadFile(p.KeyFile)
	if err != nil {
		h.Fatal(err)
	}
	added, err := h.boot.Add(h.Context(), h.store, bootstrap.NewServer{Pools: []string{"eu"}, ControlKey: key,
		Server: fleet.Server{Name: "ns1", Type: "powerdns", Address: netip.MustParseAddrPort(p.Addr), Control: p.APIURL}}, edit.Meta{Command: "server add"})
	if err != nil {
		h.Fatal(err)
	}
	rep, err := h.boot.Run(h.Context(), "ns1", bootstrap.Options{Wait: true, Options: h.options("bootstrap")})
	if err != nil || rep.Exit != report.ExitOK {
		h.Fatalf("bootstrap: %v, %+v", err, rep.Servers)
	}
	return p, added.Server
}

// TestAPowerDNSGetsARotatedKey: it takes keys over its API, so that nobody has to
// make the new one known to it.
func TestAPowerDNSGetsARotatedKey(t *testing.T) {
	t.Parallel()
	h := newHouse(t, "")
	h.importZone("ours.example.", small)
	_, s := h.newPowerDNS()
	sealed, err := h.fleet.Sealer.Seal(t.Context(), secret.New([]byte("fedcba9876543210fedcba9876543210")))
	if err != nil {
		t.Fatal(err)
	}
	pool, err := h.store.Pool(t.Context(), "eu")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.store.CreateKey(t.Context(), fleet.Key{Name: name("eu-2."), Algorithm: wire.HMACSHA256.Name(), Secret: sealed, Scope: fleet.Scope{PoolID: pool.ID}}, fleet.By{}); err != nil {
		t.Fatal(err)
	}
	inUse := func() zone.Name {
		fresh := &inventory.Fleet{Store: h.store, Types: h.fleet.Types, Sealer: h.fleet.Sealer, DNS: h.dns, Now: time.Now}
		ses, err := fresh.Open(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		defer ses.Close()
		return ses.Question(name("ours.example.")).Key.Name
	}
	h.sync(report.ExitOK) // with the old one, and offers the new one
	testbed.Eventually(t, 20*time.Second, func() bool { return inUse().Equal(name("eu-2.")) })
}
