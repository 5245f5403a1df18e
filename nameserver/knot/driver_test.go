package knot

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/report"
	"dnsctl/secret"
	"dnsctl/testbed"
	"dnsctl/zone"
)

const patience = 20 * time.Second

func TestMain(m *testing.M) { os.Exit(testbed.Main(m)) }

const zoneText = "$TTL 60\n@ SOA ns.invalid. h.invalid. 7 3600 3600 86400 60\n@ NS ns.invalid.\n@ A 127.0.0.1\n"

const catalogText = "$TTL 60\n@ SOA invalid. invalid. 7 3600 3600 86400 60\n@ NS invalid.\nversion TXT \"2\"\nm1.zones PTR member.test.\n"

// rig is a primary, a knotd, and a driver of the latter.
type rig struct {
	*driver
	knot    *testbed.Knot
	primary *testbed.Named
	key     nameserver.KeyConfig
}

func newRig(t *testing.T, o testbed.KnotOptions, zones map[string]string) *rig {
	t.Helper()
	var raw [32]byte
	_, _ = rand.Read(raw[:])
	r := &rig{key: nameserver.KeyConfig{Name: zone.MustParseName("pool."), Algorithm: zone.MustParseName("hmac-sha256."), Secret: secret.New(raw[:])}}
	r.primary = testbed.StartNamed(t, testbed.NamedOptions{Zones: zones, Options: "allow-transfer { any; };"})
	o.Config += fmt.Sprintf("remote:\n  - id: primary\n    address: %s\n", strings.Replace(r.primary.Addr, ":", "@", 1))
	r.knot = testbed.StartKnot(t, o)
	d, err := New().Open(nameserver.Target{Server: fleet.Server{Name: "t", Control: "unix:" + r.knot.Socket},
		Key: func(_ context.Context, name zone.Name) (nameserver.KeyConfig, error) {
			if !name.Equal(r.key.Name) {
				return nameserver.KeyConfig{}, fleet.ErrNoKey
			}
			return r.key, nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	r.driver = d.(*driver)
	return r
}

func (r *rig) config(name string) nameserver.ZoneConfig {
	return nameserver.ZoneConfig{Name: zone.MustParseName(name), Primaries: []nameserver.PrimaryRef{{Addr: addr(r.primary.Addr)}}}
}

// configure does what an operator does.
func (r *rig) configure(t *testing.T, commands ...string) {
	t.Helper()
	for _, c := range append(append([]string{"conf-begin"}, commands...), "conf-commit") {
		if out, err := r.knot.Control(strings.Fields(c)...); err != nil || strings.HasPrefix(out, "error") {
			t.Fatalf("%s: %v: %s", c, err, out)
		}
	}
}

func (r *rig) list(t *testing.T) map[string]nameserver.ZoneState {
	t.Helper()
	m := map[string]nameserver.ZoneState{}
	if err := r.Inventory(t.Context(), func(s nameserver.ZoneState) error { m[s.Name.String()] = s; return nil }); err != nil {
		t.Fatal(err)
	}
	return m
}

func (r *rig) loaded(t *testing.T, name string) {
	t.Helper()
	testbed.EventuallyNil(t, patience, func() error {
		z, err := r.Zone(t.Context(), zone.MustParseName(name))
		if err == nil && z.Serial == nil {
			err = errors.New(z.Detail)
		}
		return err
	})
}

func (r *rig) add(t *testing.T, names ...string) {
	t.Helper()
	var list []nameserver.ZoneConfig
	for _, n := range names {
		list = append(list, r.config(n))
	}
	if err := errors.Join(r.AddAll(t.Context(), list)...); err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		r.loaded(t, n)
	}
}

// read is a part of knotd's configuration as its operator sees it.
func (r *rig) read(t *testing.T, item string) string {
	t.Helper()
	out, err := r.knot.Control("conf-read", item)
	if err != nil && !strings.Contains(out, "invalid identifier") {
		t.Fatal(err)
	}
	return out
}

func TestZonesAreAddedInOneTransaction(t *testing.T) {
	t.Parallel()
	r := newRig(t, testbed.KnotOptions{}, map[string]string{"a.test": zoneText, "b.test": zoneText})
	r.configure(t, "conf-set zone[there.test]")
	signed := r.config("signed.test.")
	signed.Primaries[0].Key = r.key.Name
	other := r.config("other.test.")
	other.Primaries[0].Key = zone.MustParseName("nokey.")
	before := strings.Count(r.knot.Log(), "'conf-commit'")
	errs := r.AddAll(t.Context(), []nameserver.ZoneConfig{r.config("a.test."), r.config("there.test."), {Name: "\x05ab"}, signed, other, r.config("b.test.")})
	for i, want := range []error{nil, nameserver.ErrExists, nameserver.ErrBadName, nil, fleet.ErrNoKey, nil} {
		if !errors.Is(errs[i], want) {
			t.Errorf("%d: %v", i, errs[i])
		}
	}
	// One each for the key and the two templates, which are made once, and one for all zones.
	if n := strings.Count(r.knot.Log(), "'conf-commit'") - before; n != 4 {
		t.Errorf("%d transactions", n)
	}
	r.loaded(t, "a.test.")
	r.loaded(t, "b.test.")
	if list := r.list(t); len(list) != 4 || list["a.test."].Primaries[0] != r.config("a.test.").Primaries[0] || list["signed.test."].Primaries[0].Key != r.key.Name || !list["signed.test."].Known {
		t.Errorf("%+v", list)
	}
	if text := r.read(t, "zone[a.test]"); strings.Count(text, "\n") != 2 {
		t.Errorf("a zone is more than its name and its template:\n%s", text)
	}
	before = strings.Count(r.knot.Log(), "'conf-commit'")
	if err := r.Add(t.Context(), r.config("c.test.")); err != nil {
		t.Error(err)
	}
	if n := strings.Count(r.knot.Log(), "'conf-commit'") - before; n != 1 {
		t.Errorf("%d transactions for one more zone", n)
	}
}

// Of many zones a request is of a hundred: what is wrong with one is not the others'.
func TestOneOfManyZonesIsThere(t *testing.T) {
	t.Parallel()
	r := newRig(t, testbed.KnotOptions{}, map[string]string{"cat.test": catalogText, "member.test": zoneText})
	r.configure(t, "conf-set zone[z7.test]")
	many := func() (zones []nameserver.ZoneConfig) {
		for i := range atOnce + 50 {
			zones = append(zones, r.config(fmt.Sprintf("z%d.test.", i)))
		}
		return append(zones, r.config("member.test."))
	}
	for i, err := range r.AddAll(t.Context(), many()) {
		if want := map[int]error{7: nameserver.ErrExists}[i]; !errors.Is(err, want) {
			t.Errorf("%d: %v", i, err)
		}
	}
	if n := len(r.list(t)); n != atOnce+51 {
		t.Errorf("%d zones", n)
	}
	// A member of a catalog is there, too, though the configuration does not have it.
	r.configure(t, "conf-unset zone")
	r.configure(t, "conf-set template[members]", "conf-set template[members].master primary", "conf-set zone[cat.test]", "conf-set zone[cat.test].master primary",
		"conf-set zone[cat.test].catalog-role interpret", "conf-set zone[cat.test].catalog-template members")
	testbed.Eventually(t, patience, func() bool { _, has := r.list(t)["member.test."]; return has })
	for i, err := range r.AddAll(t.Context(), many()) {
		if want := map[int]error{atOnce + 50: nameserver.ErrExists}[i]; !errors.Is(err, want) {
			t.Errorf("%d: %v", i, err)
		}
	}
}

func TestWhatALifeOfAZoneLeavesNeverComesBack(t *testing.T) {
	t.Parallel()
	r := newRig(t, testbed.KnotOptions{}, map[string]string{"a.test": zoneText, "c.test": zoneText, "file.test": zoneText})
	r.configure(t, "conf-set zone[file.test]", "conf-set zone[file.test].master primary")
	file := filepath.Join(r.knot.Dir, "file.test.zone")
	testbed.EventuallyNil(t, patience, func() error { _, err := os.Stat(file); return err })
	for range 3 { // a transfer may be under way
		r.add(t, "a.test.")
		if err := r.Retransfer(t.Context(), zone.MustParseName("a.test.")); err != nil {
			t.Fatal(err)
		}
		if err := r.Delete(t.Context(), zone.MustParseName("a.test.")); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Delete(t.Context(), zone.MustParseName("file.test.")); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the zone file is left: %v", err)
	}
	for _, name := range []string{"a.test.", "file.test."} {
		if out, _ := exec.Command("kjournalprint", "-D", filepath.Join(r.knot.Dir, "journal"), name).CombinedOutput(); strings.Contains(string(out), "SOA") {
			t.Errorf("the journal still has %s:\n%s", name, out)
		}
	}
	r.add(t, "c.test.")
	r.configure(t, "conf-unset zone[c.test]") // as an operator does
	r.primary.Stop(t)
	for _, name := range []string{"a.test.", "c.test."} {
		if err := r.Add(t.Context(), r.config(name)); err != nil {
			t.Fatal(err)
		}
		if s := r.list(t)[name]; s.Serial != nil || !s.Expired {
			t.Errorf("%+v", s)
		}
	}
}

func TestTransactionsOfOthers(t *testing.T) {
	t.Parallel()
	r := newRig(t, testbed.KnotOptions{}, map[string]string{"a.test": zoneText})
	r.add(t, "a.test.")
	if _, err := r.knot.Control("conf-begin"); err != nil {
		t.Fatal(err)
	}
	r.busyFor = 100 * time.Millisecond
	for what, err := range map[string]error{
		"add": r.Add(t.Context(), r.config("b.test.")), "delete": r.Delete(t.Context(), zone.MustParseName("a.test.")),
	} {
		if _, hint := report.ExitOf(err); !errors.Is(err, errBusy) || !errors.Is(err, nameserver.ErrRefused) || !strings.Contains(hint, "conf-abort") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if s := r.list(t)["a.test."]; s.Serial == nil {
		t.Errorf("a deletion that was not begun has emptied the zone: %+v", s)
	}
	// It ends while it is waited for.
	r.busyFor = patience
	done := make(chan error, 1)
	go func() { done <- r.Add(t.Context(), r.config("b.test.")) }()
	testbed.Eventually(t, patience, func() bool { return strings.Count(r.knot.Log(), "'conf-begin'") > 5 })
	if _, err := r.knot.Control("conf-abort"); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestATransactionThatAKilledRunHasLeftIsEnded(t *testing.T) {
	t.Parallel()
	r := newRig(t, testbed.KnotOptions{}, nil)
	r.busyFor = 100 * time.Millisecond
	for _, how := range []string{"cut off", "context ended", "refused"} {
		ctx, cancel := context.WithCancel(t.Context())
		err := r.transact(ctx, func(c *channel) error {
			if err := c.all(ctx, [][]unit{{confUnit("conf-set", "zone", "half.test.", "", "")}}); err != nil {
				return err
			}
			switch how {
			case "cut off":
				_ = c.conn.Close()
			case "context ended":
				cancel()
			}
			return c.all(ctx, [][]unit{{confUnit("conf-set", "zone", "half.test.", "master", "nobody")}})
		})
		cancel()
		if err == nil {
			t.Errorf("%s: no error", how)
		}
		if _, there := r.list(t)["half.test."]; there {
			t.Errorf("%s: half of it was done", how)
		}
	}
	// Killed for good: the transaction is open, and carries a mark.
	c, _, err := r.begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.all(t.Context(), [][]unit{{confUnit("conf-set", "zone", "half.test.", "", "")}}); err != nil {
		t.Fatal(err)
	}
	_ = c.conn.Close()
	if err := r.Add(t.Context(), r.config("b.test.")); err != nil {
		t.Error(err)
	}
	if list := r.list(t); len(list) != 1 {
		t.Errorf("%v", list)
	}
	if text := r.read(t, "template"); strings.Contains(text, markID) {
		t.Errorf("the mark was committed:\n%s", text)
	}
}

func TestAConfigurationInAFileIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, testbed.KnotOptions{TextOnly: true}, nil)
	_, err := r.Info(t.Context())
	if _, hint := report.ExitOf(err); !errors.Is(err, nameserver.ErrRefused) || !strings.Contains(hint, "conf-import") {
		t.Error(err, hint)
	}
	if err := r.Add(t.Context(), r.config("a.test.")); !errors.Is(err, nameserver.ErrRefused) || len(r.list(t)) != 0 {
		t.Error(err)
	}
	// Where its arguments cannot be seen, the first write finds out, and leaves nothing.
	r.to = elsewhere{r.to}
	if _, err := r.Info(t.Context()); err != nil {
		t.Error(err)
	}
	err = r.Add(t.Context(), r.config("a.test."))
	if _, hint := report.ExitOf(err); !errors.Is(err, nameserver.ErrRefused) || !strings.Contains(hint, "conf-import") || len(r.list(t)) != 0 {
		t.Error(err, hint)
	}
	if text := r.read(t, "template"); strings.Contains(text, ownPrefix) {
		t.Errorf("left:\n%s", text)
	}
	good := newRig(t, testbed.KnotOptions{}, map[string]string{"a.test": zoneText})
	good.to = elsewhere{good.to}
	good.add(t, "a.test.")
}

// elsewhere is a socket whose other end cannot be looked at.
type elsewhere struct{ dialer }

func TestCatalogsAndTheirMembersAreLeftAlone(t *testing.T) {
	t.Parallel()
	r := newRig(t, testbed.KnotOptions{Config: "acl:\n  - id: any\n    address: 127.0.0.0/8\n    action: transfer\n"},
		map[string]string{"cat.test": catalogText, "member.test": zoneText})
	r.configure(t, "conf-set template[members]", "conf-set template[members].master primary", "conf-set zone[cat.test]", "conf-set zone[cat.test].master primary",
		"conf-set zone[cat.test].catalog-role interpret", "conf-set zone[cat.test].catalog-template members",
		"conf-set zone[made.test]", "conf-set zone[made.test].catalog-role generate", "conf-set zone[own.test]", "conf-set zone[own.test].catalog-role member", "conf-set zone[own.test].catalog-zone made.test")
	r.loaded(t, "cat.test.")
	testbed.Eventually(t, patience, func() bool { return r.list(t)["member.test."].Serial != nil })
	list := r.list(t)
	if list["cat.test."].Role != nameserver.Other || list["made.test."].Role != nameserver.Other || list["member.test."].Origin != nameserver.Cataloged || list["own.test."].Origin != nameserver.Cataloged {
		t.Errorf("%+v", list)
	}
	for _, name := range []string{"cat.test.", "made.test.", "member.test.", "own.test."} {
		n := zone.MustParseName(name)
		z := r.config(name)
		if s, err := r.Zone(t.Context(), n); err != nil || s.Role != list[name].Role || s.Origin != list[name].Origin {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
		for what, err := range map[string]error{"delete": r.Delete(t.Context(), n), "change": r.Change(t.Context(), z), "convert": r.Convert(t.Context(), n, `{"name":"`+name+`","role":"secondary"}`)} {
			if !errors.Is(err, nameserver.ErrUntouchable) {
				t.Errorf("%s %s: %v", what, name, err)
			}
		}
		if err := r.Add(t.Context(), z); !errors.Is(err, nameserver.ErrExists) {
			t.Errorf("add %s: %v", name, err)
		}
	}
	if after := r.list(t); len(after) != len(list) {
		t.Errorf("%v", after)
	}
}

func TestZonesThatKnotSignsAreLeftAlone(t *testing.T) {
	t.Parallel()
	r := newRig(t, testbed.KnotOptions{}, nil)
	for _, name := range []string{"signed.test", "template.test", "online.test"} {
		if err := os.WriteFile(filepath.Join(r.knot.Dir, name+".zone"), []byte(strings.ReplaceAll(zoneText, "@", name+".")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r.configure(t, "conf-set zone[signed.test]", "conf-set zone[signed.test].dnssec-signing on",
		"conf-set template[t]", "conf-set template[t].dnssec-signing on", "conf-set template[t].storage "+r.knot.Dir, "conf-set zone[template.test]", "conf-set zone[template.test].template t",
		"conf-set mod-onlinesign[m]", "conf-set zone[online.test]", "conf-set zone[online.test].module mod-onlinesign/m")
	list := r.list(t)
	for _, name := range []string{"signed.test.", "template.test.", "online.test."} {
		s, err := r.Zone(t.Context(), zone.MustParseName(name))
		if err != nil || !s.Signs || !list[name].Signs {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
		if err := r.Delete(t.Context(), s.Name); !errors.Is(err, nameserver.ErrUntouchable) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAKeyOfSomebodyElseStays(t *testing.T) {
	t.Parallel()
	r := newRig(t, testbed.KnotOptions{Config: "key:\n  - id: pool\n    algorithm: hmac-sha256\n    secret: c29tZWJvZHkgZWxzZSdzIHNlY3JldA==\n"}, nil)
	made, err := r.HoldKey(t.Context(), r.key.Name)
	if _, hint := report.ExitOf(err); made || !errors.Is(err, nameserver.ErrRefused) || !strings.Contains(hint, "conf-unset 'key[pool.]'") || strings.Contains(err.Error(), "c29t") {
		t.Error(made, err)
	}
	r.configure(t, "conf-unset key[pool]")
	for i, want := range []bool{true, false} {
		if made, err := r.HoldKey(t.Context(), r.key.Name); made != want || err != nil {
			t.Error(i, made, err)
		}
	}
	clear(r.keys)
	if made, err := r.HoldKey(t.Context(), r.key.Name); made || err != nil {
		t.Error(made, err)
	}
}

func TestAnExpiredZoneShowsSo(t *testing.T) {
	t.Parallel()
	r := newRig(t, testbed.KnotOptions{}, map[string]string{"a.test": strings.Replace(zoneText, "7 3600 3600 86400", "7 1 1 2", 1)})
	r.add(t, "a.test.")
	r.primary.Stop(t)
	testbed.Eventually(t, patience, func() bool { return r.list(t)["a.test."].Expired })
	if s := r.list(t)["a.test."]; s.Serial != nil || s.Role != nameserver.Secondary {
		t.Errorf("%+v", s)
	}
}

// An operator who changes what is ours gets it changed back, and one who changes
// the primaries of a zone is seen.
func TestTemplatesAreMadeAnew(t *testing.T) {
	t.Parallel()
	r := newRig(t, testbed.KnotOptions{}, map[string]string{"a.test": zoneText})
	r.add(t, "a.test.")
	template := entriesOf(r.config("a.test."), false)[2].id
	r.configure(t, "conf-set template["+template+"].zonefile-load whole", "conf-set zone[a.test].master primary", "conf-unset template["+template+"].master")
	if err := r.Change(t.Context(), r.config("a.test.")); err != nil {
		t.Fatal(err)
	}
	if text := r.read(t, "template["+template+"]"); !strings.Contains(text, "zonefile-load = none") || !strings.Contains(text, ".master = ") || strings.Contains(r.read(t, "zone[a.test]"), "master") {
		t.Errorf("%s", text)
	}
	if s := r.list(t)["a.test."]; s.Serial == nil || !slices.Equal(s.Primaries, r.config("a.test.").Primaries) {
		t.Errorf("%+v", s)
	}
}

// A primary's own file may have been written anew since the copy was made.
func TestAZoneFileWithOtherContentIsLeftAlone(t *testing.T) {
	t.Parallel()
	r := newRig(t, testbed.KnotOptions{}, map[string]string{"a.test": zoneText})
	file := filepath.Join(r.knot.Dir, "own.zone")
	other := strings.ReplaceAll(strings.Replace(zoneText, "127.0.0.1", "127.0.0.2", 1), "@", "a.test.")
	if err := os.WriteFile(file, []byte(other), 0o600); err != nil {
		t.Fatal(err)
	}
	r.add(t, "a.test.")
	n := zone.MustParseName("a.test.")
	before, err := r.Export(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Convert(t.Context(), n, `{"name":"a.test.","role":"primary","items":[{"item":"file","values":["own.zone"]}]}`); err != nil {
		t.Fatal(err)
	}
	r.knot.Restart(t)
	after, err := r.Export(t.Context(), n)
	if err != nil || !zone.Diff(before.Content, after.Content).Empty() || !strings.Contains(after.Settings, "dnsctl-restored-") {
		t.Errorf("%s, %v", after.Settings, err)
	}
	if now, err := os.ReadFile(file); err != nil || string(now) != other {
		t.Errorf("%s, %v", now, err)
	}
}

func TestSettingsThatCannotBeGivenBackChangeNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, testbed.KnotOptions{}, map[string]string{"a.test": zoneText})
	r.add(t, "a.test.")
	n := zone.MustParseName("a.test.")
	before := r.read(t, "zone[a.test]")
	for items, want := range map[string]error{
		`[{"item":"template","values":["gone"]}]`:         nameserver.ErrRefused,
		`[{"item":"dnssec-signing","values":["on"]}]`:     nameserver.ErrUntouchable,
		`[{"item":"catalog-role","values":["generate"]}]`: nameserver.ErrUntouchable,
		`[{"item":"no-such","values":["x"]}]`:             nameserver.ErrRefused,
	} {
		if err := r.Convert(t.Context(), n, `{"name":"a.test.","role":"primary","items":`+items+`}`); !errors.Is(err, want) {
			t.Errorf("%s: %v", items, err)
		}
	}
	if s := r.list(t)["a.test."]; s.Serial == nil || r.read(t, "zone[a.test]") != before {
		t.Errorf("%+v\n%s", s, r.read(t, "zone[a.test]"))
	}
}
