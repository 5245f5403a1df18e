package bootstrap_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"dnsctl/audit"
	"dnsctl/bootstrap"
	"dnsctl/dnsclient"
	"dnsctl/edit"
	"dnsctl/fleet"
	"dnsctl/keeper"
	"dnsctl/mdns"
	"dnsctl/nameserver"
	"dnsctl/nameserver/bind"
	"dnsctl/nameserver/powerdns"
	"dnsctl/report"
	"dnsctl/secret"
	"dnsctl/store"
	"dnsctl/sync/apply"
	"dnsctl/sync/inventory"
	"dnsctl/sync/plan"
	"dnsctl/testbed"
	"dnsctl/wire"
	"dnsctl/zone"
	"dnsctl/zone/zonefile"
)

// house is a whole dnsctl in this process: a store, mdns, and the verbs.
type house struct {
	*testing.T
	store  *store.Store
	edit   *edit.Editor
	fleet  *inventory.Fleet
	boot   *bootstrap.Bootstrapper
	syncer *apply.Syncer
	audit  *audit.Auditor
	mdns   netip.AddrPort
	log    *slog.Logger
	dns    inventory.DNS
	keys   map[string]string // server -> the file with its rndc key
}

func newHouse(t *testing.T, url string) *house {
	t.Helper()
	ctx := t.Context()
	h := &house{T: t, keys: make(map[string]string), log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	identity := secret.AgeOptions{File: filepath.Join(t.TempDir(), "identity")}
	recipient, err := identity.Recipient(ctx, true)
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := secret.NewAge(recipient, identity)
	if err != nil {
		t.Fatal(err)
	}
	if url == "" {
		url = "sqlite:" + filepath.Join(t.TempDir(), "dnsctl.db")
	}
	asRecipient := func(context.Context) (string, error) { return recipient, nil }
	if strings.HasPrefix(url, "postgres") {
		s, err := store.Open(ctx, url, store.Options{AnySchema: true})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Init(ctx, recipient); err != nil {
			t.Fatal(err)
		}
		_ = s.Close()
	}
	h.store, err = store.Open(ctx, url, store.Options{Create: true, Recipient: asRecipient, Logger: h.log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.store.Close() })
	prober, err := dnsclient.NewProber(dnsclient.ProberOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { prober.Close() })
	h.dns = inventory.DNS{Client: &dnsclient.Client{}, Prober: prober}
	h.edit = &edit.Editor{Store: h.store, Now: time.Now}
	h.fleet = &inventory.Fleet{Store: h.store, Types: []nameserver.Type{bind.New(), powerdns.New()}, Sealer: sealer, DNS: h.dns, Now: time.Now}
	applier := &apply.Applier{Store: h.store, Edit: h.edit, Sealer: sealer, DNS: h.dns, Now: time.Now, Log: h.log}
	h.syncer = &apply.Syncer{Fleet: h.fleet, Applier: applier, Locks: h.store, Holder: "test"}
	h.boot = &bootstrap.Bootstrapper{Store: h.store, Fleet: h.fleet, Applier: applier, Locks: h.store, Holder: "test", Now: time.Now}
	h.audit = &audit.Auditor{Fleet: h.fleet, Now: time.Now}
	h.serve(sealer)
	key := fleet.Key{Name: name("eu."), Algorithm: wire.HMACSHA256.Name()}
	if key.Secret, err = sealer.Seal(ctx, secret.New([]byte("0123456789abcdef0123456789abcdef"))); err != nil {
		t.Fatal(err)
	}
	if _, err := h.store.CreatePool(ctx, fleet.Pool{Name: "eu", Primaries: []netip.AddrPort{h.mdns}, NS: []zone.Name{name("ns1.example.net")},
		RequireTSIG: true, Unmanaged: fleet.Delete}, &key, fleet.By{}); err != nil {
		t.Fatal(err)
	}
	return h
}

// serve runs mdns and the keeper until the test ends.
func (h *house) serve(sealer secret.Sealer) {
	ready := make(chan netip.AddrPort, 1)
	ctx, cancel := context.WithCancel(context.Background())
	reg := prometheus.NewRegistry()
	srv, err := mdns.New(mdns.Config{Source: h.store, Sealer: sealer, Listen: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")},
		Wake: h.store.Wake(ctx), Logger: h.log, Registry: reg, Ready: func(a, _ []netip.AddrPort) { ready <- a[0] }, DrainTimeout: time.Second})
	if err != nil {
		h.Fatal(err)
	}
	k := &keeper.Keeper{Store: h.store, Fleet: h.fleet, Applier: h.syncer.Applier, Wake: h.store.Wake(ctx), Poll: time.Second, CompareEvery: time.Hour,
		Notify: keeper.NotifyDNS{Client: h.dns.Client, Prober: h.dns.Prober, Key: (&inventory.KeyCache{Fleet: h.fleet}).Key},
		Holder: "keeper", Now: time.Now, Log: h.log, Metrics: keeper.NewMetrics(reg), Meta: edit.Meta{Command: "mdns"}}
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := srv.Serve(ctx); err != nil {
			h.Errorf("mdns: %v", err)
		}
	})
	wg.Go(func() {
		if err := k.Run(ctx); err != nil {
			h.Errorf("keeper: %v", err)
		}
	})
	h.Cleanup(func() { cancel(); wg.Wait() })
	select {
	case h.mdns = <-ready:
	case <-time.After(20 * time.Second):
		h.Fatal("mdns is not ready")
	}
}

func name(s string) zone.Name { return zone.MustParseName(s) }

func (h *house) importZone(apex, text string) {
	h.Helper()
	src := edit.Source{Path: apex, Parse: func(ctx context.Context) (edit.Parsed, error) {
		r, err := zonefile.Read(ctx, strings.NewReader(text), zonefile.Options{Origin: name(apex), File: apex})
		if err != nil {
			return edit.Parsed{}, err
		}
		return edit.Parsed{Content: r.Snapshot, Checked: true}, nil
	}}
	err := h.edit.Import(h.Context(), []edit.Source{src}, edit.ImportOptions{Pools: []string{"eu"}}, edit.Meta{Command: "zone import"},
		func(_ edit.Source, _ edit.Result, err error) {
			if err != nil {
				h.Errorf("import %s: %v", apex, err)
			}
		})
	if err != nil {
		h.Fatal(err)
	}
}

// newNamed adds a server with --new, writes its configuration, starts it and
// bootstraps it.
func (h *house) newNamed(server string) (*testbed.Named, fleet.Server) {
	h.Helper()
	ctx := h.Context()
	var addr [3]string
	for i := range addr {
		addr[i] = testbed.FreeAddr(h)
	}
	added, err := h.boot.Add(ctx, h.store, bootstrap.NewServer{Pools: []string{"eu"}, Server: fleet.Server{Name: server, Type: "bind", New: true,
		Address: netip.MustParseAddrPort(addr[0]), Control: "rndc://" + addr[1], Stats: "http://" + addr[2]}}, edit.Meta{Command: "server add"})
	if err != nil {
		h.Fatal(err)
	}
	dir := h.TempDir()
	typ, files, err := h.boot.Config(ctx, server, bootstrap.ConfigOptions{Dir: dir})
	if err != nil {
		h.Fatal(err)
	}
	for _, f := range files {
		path := filepath.Join(dir, f.Path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			h.Fatal(err)
		}
		if err := os.WriteFile(path, f.Content, os.FileMode(f.Mode)); err != nil {
			h.Fatal(err)
		}
	}
	h.keys[server] = rndcKey(h, filepath.Join(dir, "keys.conf"))
	if checked, err := typ.CheckConfig(ctx, dir); !checked || err != nil {
		h.Fatalf("named-checkconf: %v, %v", checked, err)
	}
	n := testbed.StartNamed(h, testbed.NamedOptions{ConfigFile: filepath.Join(dir, "named.conf"), Addr: addr[0], ControlAddr: addr[1], StatsAddr: addr[2]})
	rep, err := h.boot.Run(ctx, server, bootstrap.Options{Wait: true, Options: h.options("bootstrap")})
	if err != nil || rep.Exit != report.ExitOK {
		h.Fatalf("bootstrap: %v, exit %d: %+v", err, rep.Exit, rep.Servers)
	}
	return n, added.Server
}

func (h *house) options(command string) apply.Options {
	return apply.Options{Meta: edit.Meta{Command: command}, ProveFor: 20 * time.Second}
}

func (h *house) servers() []fleet.Server {
	h.Helper()
	s, err := h.store.Servers(h.Context())
	if err != nil {
		h.Fatal(err)
	}
	return s
}

func (h *house) mustAudit(want report.Exit) report.Report {
	h.Helper()
	rep, err := h.audit.Audit(h.Context(), h.servers(), audit.Options{})
	if err != nil || rep.Exit != want {
		h.Fatalf("audit: %v, exit %d, want %d: %+v", err, rep.Exit, want, rep.Servers)
	}
	return rep
}

func (h *house) sync(want report.Exit) report.Report {
	h.Helper()
	rep, err := h.syncer.Sync(h.Context(), "sync", h.servers(), apply.SyncOptions{Options: h.options("sync")})
	if err != nil || rep.Exit != want {
		h.Fatalf("sync: %v, exit %d, want %d: %+v", err, rep.Exit, want, rep.Servers)
	}
	return rep
}

func item(t *testing.T, r report.Report, zoneName string) report.Item {
	t.Helper()
	for _, it := range r.Servers[0].Items {
		if it.Zone.Equal(name(zoneName)) {
			return it
		}
	}
	t.Fatalf("report has no %s: %+v", zoneName, r.Servers)
	return report.Item{}
}

// serial is what the nameserver answers.
func (h *house) serial(s fleet.Server, zoneName string) (zone.Serial, bool) {
	ses, err := h.fleet.Open(h.Context(), s)
	if err != nil {
		h.Fatal(err)
	}
	defer ses.Close()
	var got plan.Probe
	if err := h.dns.SOAs(h.Context(), 1, func(int) inventory.Question { return ses.Question(name(zoneName)) }, func(_ int, p plan.Probe) { got = p }); err != nil {
		h.Fatal(err)
	}
	return got.Serial, got.Serves
}

const small = "$TTL 300\n@ SOA ns1 hostmaster 7 7200 900 1209600 300\n@ NS ns1\nns1 A 192.0.2.1\nwww A 192.0.2.2\n"

func TestBINDIsKeptInAgreementFromNothing(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"sqlite", "postgres"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			url := ""
			if kind == "postgres" {
				url = testbed.StartPostgres(t).NewDatabase(t)
			}
			keptInAgreement(newHouse(t, url))
		})
	}
}

func keptInAgreement(h *house) {
	t, ctx := h.T, h.Context()
	for i := range 20 {
		h.importZone(fmt.Sprintf("z%d.example.", i), small)
	}
	n, s := h.newNamed("ns1")
	rep := h.mustAudit(report.ExitOK)
	if got := rep.Servers[0].Counts[report.OK]; got != 20 {
		t.Errorf("audit counts %d zones in agreement, want 20: %+v", got, rep.Servers[0].Counts)
	}

	// A change arrives by NOTIFY.
	res, err := h.edit.Records(ctx, name("z3.example."), []edit.Op{{Verb: edit.Set, Owner: name("new.z3.example."), Type: zone.TypeA, Data: []string{"\xc0\x00\x02\x09"}}}, edit.Meta{})
	if err != nil {
		t.Fatal(err)
	}
	testbed.Eventually(t, 20*time.Second, func() bool {
		got, ok := h.serial(s, "z3.example.")
		return ok && got == res.Serial
	})

	// Creates and deletes are carried out by the keeper.
	h.importZone("late.example.", small)
	if _, err := h.edit.Delete(ctx, []zone.Name{name("z5.example.")}, false, edit.Meta{}); err != nil {
		t.Fatal(err)
	}
	testbed.Eventually(t, 30*time.Second, func() bool {
		_, late := h.serial(s, "late.example.")
		_, gone := h.serial(s, "z5.example.")
		return late && !gone
	})
	testbed.Eventually(t, 30*time.Second, func() bool {
		tasks, err := h.store.Tasks(ctx, "")
		return err == nil && len(tasks) == 0
	})
	h.mustAudit(report.ExitOK)

	// A zone made on the server by hand is found, copied, removed, brought back.
	addForeign(h, n, s)
	rep = h.mustAudit(report.ExitDifferences)
	if it := item(t, rep, "foreign.example."); it.Class != report.Foreign || it.Action != report.Delete {
		t.Errorf("audit says %+v", it)
	}
	rep = h.sync(report.ExitOK)
	if it := item(t, rep, "foreign.example."); it.Outcome != report.Done {
		t.Errorf("sync says %+v", it)
	}
	if _, there := h.serial(s, "foreign.example."); there {
		t.Error("the foreign zone still answers")
	}
	copies, err := h.store.Copies(ctx, "", "")
	if err != nil || len(copies) != 1 {
		t.Fatalf("copies %v, %v", copies, err)
	}
	rep, err = h.syncer.Restore(ctx, h.store, copies[0].ID, h.options("quarantine restore"))
	if err != nil || rep.Exit != report.ExitOK {
		t.Fatalf("restore: %v, exit %d: %+v", err, rep.Exit, rep.Servers)
	}
	if got, there := h.serial(s, "foreign.example."); !there || got != 42 {
		t.Errorf("after the restore it answers %v with serial %d", there, got)
	}
	h.sync(report.ExitOK)
	if _, there := h.serial(s, "foreign.example."); !there {
		t.Error("the next sync removed a restored zone")
	}
	if r, err := h.syncer.Sync(ctx, "sync", h.servers(), apply.SyncOptions{Options: h.options("sync"), DryRun: true}); err != nil || r.Exit != report.ExitOK {
		t.Errorf("a dry run after it all: %v, exit %d: %+v", err, r.Exit, r.Servers)
	}
}

// addForeign makes a primary zone on the server, as somebody with rndc would.
func addForeign(h *house, n *testbed.Named, s fleet.Server) {
	h.Helper()
	file := filepath.Join(filepath.Dir(n.ConfigFile), "data", "foreign.zone")
	text := strings.Replace(small, " 7 ", " 42 ", 1)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		h.Fatal(err)
	}
	if err := rndc(h, s, fmt.Sprintf(`addzone foreign.example { type primary; file %q; };`, file)); err != nil {
		h.Fatal(err)
	}
	testbed.Eventually(h, 10*time.Second, func() bool {
		_, ok := h.serial(s, "foreign.example.")
		return ok
	})
	if slices.Contains(strings.Fields(n.Log()), "panic") {
		h.Fatal("named is not well")
	}
}

// rndcKey puts the control key alone into a file, as rndc -k wants it.
func rndcKey(h *house, keys string) string {
	h.Helper()
	text, err := os.ReadFile(keys)
	if err != nil {
		h.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), `key "dnsctl-rndc" {`)
	body, _, closed := strings.Cut(rest, "};")
	if !found || !closed {
		h.Fatalf("%s has no control key", keys)
	}
	file := filepath.Join(h.TempDir(), "rndc.key")
	if err := os.WriteFile(file, []byte(`key "dnsctl-rndc" {`+body+"};\n"), 0o600); err != nil {
		h.Fatal(err)
	}
	return file
}

// rndc runs BIND's own program, as an operator would.
func rndc(h *house, s fleet.Server, command string) error {
	h.Helper()
	host, port, _ := strings.Cut(strings.TrimPrefix(s.Control, "rndc://"), ":")
	out, err := exec.CommandContext(h.Context(), "rndc", "-k", h.keys[s.Name], "-s", host, "-p", port, command).CombinedOutput()
	if err != nil {
		return fmt.Errorf("rndc %s: %w: %s", command, err, out)
	}
	return nil
}
