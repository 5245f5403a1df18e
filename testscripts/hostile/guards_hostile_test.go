package hostile_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"dnsctl/testbed"
)

// guarded is a fleet of two nameservers of one type that a database has filled:
// ns1 in the pool main, ns2 in the pool b.
type guarded struct {
	*rig
	pg       *testbed.Postgres // nil on SQLite
	addr     string            // of mdns
	m        *mdns
	ns1, ns2 *secondary
	before   *rig       // a copy of the database that is older than the servers
	all      *testing.T // the test of all accidents
}

// lasting does what is to last beyond the accident.
func (g *guarded) lasting(do func()) {
	defer func(inner *testing.T) { g.T = inner }(g.T)
	g.T = g.all
	do()
}

// accident is what a guard of the contract is for. cause makes it, tries all that
// might do harm, sees that none was done, puts everything back, and returns how
// the command ended.
type accident struct {
	name  string
	holds string // what, in words
	cause func(g *guarded) string
}

var accidents = []accident{
	{"zones from before dnsctl", "they stay, whatever policy is asked for, until `server accept`", zonesFromBefore},
	{"restored backup", "every write is withheld", restoredBackup},
	{"standby promoted too early", "every write is withheld", promotedStandby},
	{"wrong database (staging)", "every write is withheld", wrongDatabase},
	{"two stores on one server", "every write of the second is withheld", secondStore},
	{"swapped servers", "every write is withheld", swappedServers},
	{"empty database", "no zone is deleted", emptyDatabase},
	{"half-read list of zones", "nothing is done", halfReadList},
	{"half-read inventory", "nothing is read as absent, nothing is done", halfReadInventory},
	{"two pools on one server", "it has the zones of both", twoPools},
	{"one server under two names", "every write under the second is withheld", twoNames},
	{"zone moved between pools of a server", "it is answered all the while", movedZone},
	{"zone made while it is deleted", "it is there in the end, with its new content", remadeZone},
	{"copy impossible", "the zone stays, without `--no-copy`", copyImpossible},
	{"copy cannot be stored", "the zone stays, even with `--no-copy`", copyUnstorable},
	{"zone under a protect glob", "it stays", protectedZone},
	{"mass deletion", "all stay, without `--max-delete` of their exact number", massDeletion},
	{"deleted by mistake", "`quarantine restore` gives entry and content back, and protects it", deletedByMistake},
	{"deletion that fails", "none is begun after its batch, and what may be gone has its copy", failingDeletion},
}

// TestGuards makes each accident on each type of nameserver. Two of them are
// managed from PostgreSQL.
func TestGuards(t *testing.T) {
	t.Parallel()
	onAllKinds(t, func(t *testing.T, k kind) {
		g := newGuarded(t, k, k.name == "bind" || k.name == "knot")
		for _, a := range accidents {
			if !t.Run(a.name, func(t *testing.T) {
				defer func(outer *testing.T) { g.T = outer }(g.T)
				g.T = t
				guardMatrix.set(a.name, k, a.cause(g))
			}) {
				return // the next would begin with what it left
			}
		}
	})
}

func newGuarded(t *testing.T, k kind, postgres bool) *guarded {
	t.Helper()
	g := &guarded{addr: testbed.FreeAddr(t), all: t}
	url := ""
	if postgres {
		g.pg = testbed.StartPostgres(t, testbed.PostgresOptions{NoFsync: true})
		url = g.pg.NewDatabase(t)
	}
	g.rig = newRig(t, url, g.addr)
	g.ok("pool", "create", "b", "--primary", g.addr, "--ns", "ns1.example.net", "--email", "h@example.net")
	for _, z := range []string{"a.example", "b.example", "c.example"} {
		g.ok("zone", "create", z, "--pool", "main")
	}
	for _, z := range []string{"x.example", "y.example"} {
		g.ok("zone", "create", z, "--pool", "b")
	}
	g.m = g.serve(g.addr)
	g.ns1, g.ns2 = g.secondary(k, "ns1", "main", "b"), g.secondary(k, "ns2", "main", "b")
	g.ns1.foreign("old.example")
	g.ns1.add("main")
	g.ns2.add("b")
	if g.ns1.prepare != nil { // so that either may stand where the other did
		g.ns1.prepare(g.ns2.lacked)
		g.ns2.prepare(g.ns1.lacked)
	}
	g.ok("bootstrap", "ns2", "--wait")
	return g
}

// exec changes the database behind dnsctl's back, in the words of each.
func (r *rig) exec(sqlite, postgres string) {
	r.Helper()
	if file, ok := strings.CutPrefix(r.url, "sqlite:"); ok {
		execSQL(r, "sqlite", file, sqlite)
	} else {
		execSQL(r, "postgres", r.url, postgres)
	}
}

// step is what a report says of a zone.
type step struct {
	Zone, Class, Action, Outcome, Guard, Reason string
}

// report runs a command that reports on one server, and wants this code.
func (r *rig) report(code int, args ...string) (withheld string, steps map[string]step) {
	r.Helper()
	res := r.want(code, nil, append(args, "-o", "json")...)
	var rep struct {
		Exit    int
		Servers []struct {
			Withheld string
			Items    []step
		}
	}
	if err := json.Unmarshal([]byte(res.stdout), &rep); err != nil || len(rep.Servers) != 1 || rep.Exit != code {
		r.Fatalf("%v: %v: %v", args, err, res)
	}
	steps = map[string]step{}
	for _, it := range rep.Servers[0].Items {
		steps[strings.TrimSuffix(it.Zone, ".")] = it
	}
	return rep.Servers[0].Withheld, steps
}

// held is a cell of the matrix: the exit code, and the guard that withheld what
// is asked for of a zone.
func (r *rig) held(code int, zone, guard string, args ...string) string {
	r.Helper()
	_, steps := r.report(code, args...)
	if st := steps[zone]; st.Outcome != "withheld" || st.Guard != guard {
		r.Fatalf("%v: %s is %+v, want it withheld by guard %s", args, zone, st, guard)
	}
	return fmt.Sprintf("%d %s", code, guard)
}

// has fails the test unless the nameserver answers for the zones.
func (s *secondary) has(zones ...string) {
	s.Helper()
	for _, z := range zones {
		if !s.answers(z) {
			s.Errorf("%s does not answer for %s", s.name, z)
		}
	}
}

func zonesFromBefore(g *guarded) string {
	g.want(5, []string{"server accept ns1"}, "bootstrap", "ns1")
	cell := g.held(5, "old.example", "accept", "sync", "ns1", "--yes", "--unmanaged", "delete", "--max-delete", "1")
	if !g.ns1.isForeign("old.example") {
		g.Error("it is gone")
	}
	g.ok("server", "accept", "ns1", "--yes")
	g.ok("bootstrap", "ns1", "--wait")
	_, steps := g.report(0, "sync", "ns1", "--yes")
	if st := steps["old.example"]; st.Outcome != "done" || g.ns1.answers("old.example") || !g.copy("old.example") {
		g.Errorf("once the server is accepted: %+v", st)
	}
	return cell
}

// copy says whether there is a whole copy of a foreign zone.
func (r *rig) copy(zone string) bool {
	r.Helper()
	return slices.ContainsFunc(r.copies(), func(c copyRow) bool { return c.Zone == zone+"." && c.Records == 3 })
}

// goOn changes the database, and waits until the nameservers have all of it. Their
// markers are past the old copy then. mdns is stopped.
func (g *guarded) goOn() {
	g.Helper()
	g.lasting(func() { g.before = g.copied(g.pg) })
	g.ok("record", "set", "a.example", "www", "A", "192.0.2.1")
	g.ok("record", "set", "a.example", "www", "A", "192.0.2.2")
	g.ok("zone", "create", "new.example", "--pool", "main") // which the markers are moved past
	g.ok("zone", "create", "newb.example", "--pool", "b")
	g.ok("zone", "delete", "b.example")
	testbed.EventuallyNil(g, 2*patience, func() error {
		for _, server := range []string{"ns1", "ns2"} {
			if res := g.run("audit", server); res.code != 0 {
				return fmt.Errorf("%v", res)
			}
		}
		return nil
	})
	g.m.stop()
}

func restoredBackup(g *guarded) string {
	g.goOn()
	return g.withheld(g.before, `its marker (is at position \d+ of the change feed, this store is at \d+ only: it is an older copy|knows position \d+ of the change feed under another id)`, `dnsctl db new-epoch`)
}

// promotedStandby has gone past the position that the marker states.
func promotedStandby(g *guarded) string {
	g.before.T = g.T
	standby := g.before.copied(g.pg)
	for i := range 30 {
		standby.ok("record", "set", "c.example", "w", "A", fmt.Sprintf("192.0.2.%d", i+1))
	}
	return g.withheld(standby, `its marker knows position \d+ of the change feed under another id: this store is a fork`, `dnsctl db new-epoch`)
}

// wrongDatabase is staging, made of production's data long ago.
func wrongDatabase(g *guarded) string {
	g.before.T = g.T
	staging := g.before.copied(g.pg)
	for i := range 30 {
		staging.ok("zone", "create", fmt.Sprintf("staging%d.example", i), "--pool", "main")
	}
	staging.ok("zone", "delete", "c.example")
	return g.withheld(staging, `under another id: this store is a fork`, `dnsctl db new-epoch`)
}

func secondStore(g *guarded) string {
	second := newRig(g.T, "", g.addr)
	for _, z := range []string{"a.example", "z.example"} {
		second.ok("zone", "create", z)
	}
	second.ok(append([]string{"server", "add", "ns1", "--type", g.ns1.kind.name}, g.ns1.flags...)...)
	return g.withheld(second, `it carries the marker [0-9a-f]{32}\.dnsctl\.invalid\., which is another store's`, ``)
}

// swappedServers gives each of the two the other's address.
func swappedServers(g *guarded) string {
	const swap = `UPDATE servers SET (address, control, stats, credential) = (SELECT w.address, w.control, w.stats, w.credential FROM servers w WHERE w.id <> servers.id)`
	swapped := g.copied(g.pg)
	swapped.exec(`CREATE TEMP TABLE was AS SELECT id, address, control, stats, credential FROM servers; `+strings.Replace(swap, "servers w", "was w", 1), swap)
	return g.withheld(swapped, `it carries the marker [0-9a-f]{32}\.dnsctl\.invalid\., which is another store's or another server's`, ``)
}

// withheld tries all that writes to ns1, from a store that must not.
func (g *guarded) withheld(now *rig, says, hint string) string {
	g.Helper()
	now.T = g.T
	g.ns1.told.forget()
	now.ok("record", "set", "a.example", "accident", "A", "192.0.2.66")
	now.ok("zone", "create", "accident.example", "--pool", "main")
	for _, args := range [][]string{{"sync", "ns1", "--yes"}, {"sync", "ns1", "--yes", "--unmanaged", "delete"}, {"sync", "ns1", "--dry-run"}} {
		now.want(5, []string{says, hint}, args...)
	}
	now.want(5, nil, "bootstrap", "ns1")
	if res := now.run("audit", "ns1"); res.code != 3 && res.code != 4 { // 4: with another key not even serials can be asked for
		g.Errorf("audit: %v", res)
	}
	// The leader sees it as well, and leaves the server alone: changes, new zones and
	// deletions are tasks that wait.
	m := now.serve(g.addr)
	testbed.Eventually(g, patience, func() bool {
		return regexp.MustCompile(`server is left alone.*server=ns1 reason=marker-wrong.*` + says).MatchString(strings.ReplaceAll(m.errs.String(), `\"`, `"`))
	})
	now.ok("record", "set", "a.example", "accident", "A", "192.0.2.67")
	now.ok("zone", "delete", "accident.example")
	now.ok("task", "retry")
	testbed.Eventually(g, patience, func() bool {
		return strings.Contains(now.ok("task", "list"), "a.example.\tpresent")
	})
	now.want(4, []string{`^ns1\tserver\tmarker-wrong\t.*` + says}, "mdns", "status")
	m.stop()
	g.ns1.untold(false)
	g.ns1.has("a.example", "c.example", "new.example")
	return "5 marker"
}

// emptyDatabase has lost the rows that say what is wanted.
func emptyDatabase(g *guarded) string {
	empty := g.copied(g.pg)
	const lost = `DELETE FROM memberships WHERE zone_id IN (SELECT id FROM zones WHERE kind = 'zone')`
	empty.exec(lost, lost)
	cell := empty.held(5, "a.example", "never", "sync", "ns1", "--yes", "--max-delete", "3") // they have our key: evidence of an older store
	g.ns1.foreign("other.example")
	empty.held(5, "other.example", "empty", "sync", "ns1", "--yes")
	g.ns1.has("a.example", "c.example", "new.example", "other.example")
	g.sweep("other.example")
	return cell
}

// sweep removes foreign zones from ns1, as the policy has it.
func (g *guarded) sweep(zones ...string) {
	g.Helper()
	_, steps := g.report(0, "sync", "ns1", "--yes", "--max-delete", fmt.Sprint(len(zones)))
	for _, z := range zones {
		if st := steps[z]; st.Outcome != "done" || g.ns1.answers(z) {
			g.Errorf("%s is not removed: %+v", z, st)
		}
	}
}

// halfReadList has a row in its middle that cannot be read.
func halfReadList(g *guarded) string {
	half := g.copied(g.pg)
	const damage = `UPDATE editions SET soa = %s WHERE zone_id = (SELECT max(m.zone_id) FROM memberships m JOIN zones z ON z.id = m.zone_id WHERE m.pool_name = 'main' AND m.deleted_at IS NULL AND z.kind = 'zone')`
	half.exec(fmt.Sprintf(damage, "x'00'"), fmt.Sprintf(damage, `'\x00'::bytea`))
	g.ns1.foreign("other.example")
	g.ns1.told.forget()
	half.want(1, []string{`^ns1: error: .*new\.example.*restore a backup`}, "sync", "ns1", "--yes", "--max-delete", "1")
	g.ns1.untold(false)
	g.ns1.has("a.example", "c.example", "new.example", "other.example")
	g.lasting(func() { g.m = g.serve(g.addr) }) // the accidents so far were without ours
	g.sweep("other.example")
	return "1"
}

// halfReadInventory cuts the control channel in the middle of the list.
func halfReadInventory(g *guarded) string {
	g.ns1.foreign("other.example")
	for _, n := range []int{1, 20, 100} {
		g.ns1.list.behave(cuts(n))
		for _, args := range [][]string{{"audit", "ns1"}, {"sync", "ns1", "--yes"}} {
			g.ns1.told.forget()
			_, steps := g.report(1, args...)
			if len(steps) != 0 {
				g.Errorf("cut after %d octets: %v: %v", n, args, steps)
			}
			g.ns1.untold(true)
		}
	}
	g.ns1.list.behave(nil)
	g.ns1.has("a.example", "c.example", "new.example", "other.example")
	g.sweep("other.example")
	return "1"
}

func twoPools(g *guarded) string {
	g.ns1.withPrepared("server", "set", "ns1", "--add-pool", "b")
	g.report(0, "sync", "ns1", "--yes", "--unmanaged", "delete")
	testbed.EventuallyNil(g, patience, func() error { return g.agrees("ns1") }) // the leader may be at it, too
	_, steps := g.report(0, "sync", "ns1", "--yes")
	if len(steps) != 0 {
		g.Errorf("there is more to do: %v", steps)
	}
	g.ns1.has("a.example", "c.example", "new.example", "x.example", "y.example", "newb.example")
	return "0"
}

func (r *rig) agrees(server string) error {
	if res := r.run("audit", server); res.code != 0 {
		return fmt.Errorf("%v", res)
	}
	return nil
}

func twoNames(g *guarded) string {
	twice := g.copied(g.pg)
	twice.T = g.T
	g.ns1.told.forget()
	twice.ok(append([]string{"server", "add", "ns3", "--no-check", "--type", g.ns1.kind.name, "--pool", "b"}, g.ns1.flags...)...)
	twice.want(5, []string{`carries the marker .*another server's`}, "sync", "ns3", "--yes", "--unmanaged", "delete")
	twice.want(5, nil, "bootstrap", "ns3")
	g.ns1.untold(false)
	g.ns1.has("a.example", "c.example", "x.example")
	return "5 marker"
}

// movedZone moves one between two pools that ns1 is in, and ns2 in one of them.
func movedZone(g *guarded) string {
	g.ok("zone", "set", "x.example", "--add-pool", "main", "--remove-pool", "b")
	testbed.Eventually(g, 2*patience, func() bool {
		g.ns1.has("x.example")
		return !g.ns2.answers("x.example")
	})
	g.report(0, "sync", "ns1", "--yes")
	g.ns1.has("x.example")
	for _, e := range g.events("x.example") {
		if e.Action == "delete" {
			g.Errorf("it was deleted: %+v", e)
		}
	}
	testbed.EventuallyNil(g, patience, func() error { return g.agrees("ns2") })
	return "0"
}

// remadeZone makes a zone in the database at the moment when the nameserver is
// told to delete a foreign one of its name.
func remadeZone(g *guarded) string {
	g.ns1.foreign("again.example")
	var made atomic.Bool
	watch := func(said string) {
		if strings.Contains(said, g.ns1.kind.deletes) && made.CompareAndSwap(false, true) {
			g.ok("zone", "create", "again.example", "--pool", "main")
		}
	}
	g.ns1.proxy.watch.Store(&watch)
	_, steps := g.report(6, "sync", "ns1", "--yes", "--max-delete", "1")
	g.ns1.proxy.watch.Store(nil)
	if st := steps["again.example"]; st.Outcome != "dropped" {
		g.Errorf("%+v", st)
	}
	testbed.EventuallyNil(g, patience, func() error {
		if out := g.dig(g.ns1.addr, "+norecurse", "+short", "again.example", "NS"); out != "ns1.example.net.\n" {
			return fmt.Errorf("NS: %q", out)
		}
		return g.agrees("ns1")
	})
	if g.ns1.isForeign("again.example") || !g.copy("again.example") {
		g.Error("it has the content of before, or that has no copy")
	}
	return "6"
}

func copyImpossible(g *guarded) string {
	g.ns1.secretive("secret.example")
	_, steps := g.report(5, "sync", "ns1", "--yes", "--max-delete", "1")
	st := steps["secret.example"]
	if st.Outcome != "withheld" || st.Guard != "copy" {
		g.Errorf("%+v", st)
	}
	_, steps = g.report(0, "sync", "ns1", "--yes", "--max-delete", "1", "--no-copy")
	if st := steps["secret.example"]; st.Outcome != "done" {
		g.Errorf("--no-copy: %+v", st)
	}
	return "5 " + st.Guard
}

// copyUnstorable has a store that takes no copies.
func copyUnstorable(g *guarded) string {
	g.ns1.foreign("other.example")
	g.exec(`CREATE TRIGGER full BEFORE INSERT ON quarantine BEGIN SELECT RAISE(ABORT, 'the disk is full'); END`,
		`ALTER TABLE quarantine ADD CONSTRAINT nothing CHECK (id < 0) NOT VALID`)
	cell := g.held(5, "other.example", "copy", "sync", "ns1", "--yes", "--max-delete", "1", "--no-copy")
	g.ns1.has("other.example")
	g.exec(`DROP TRIGGER full`, `ALTER TABLE quarantine DROP CONSTRAINT nothing`)
	g.sweep("other.example")
	return cell
}

func protectedZone(g *guarded) string {
	g.ok("pool", "set", "main", "--protect", "keep*.example")
	g.ns1.foreign("keep1.example")
	cell := g.held(5, "keep1.example", "never", "sync", "ns1", "--yes", "--unmanaged", "delete", "--max-delete", "1")
	g.ns1.has("keep1.example")
	g.ok("pool", "set", "main", "--protect", "")
	g.sweep("keep1.example")
	return cell
}

func massDeletion(g *guarded) string {
	var all []string
	for i := range 11 {
		all = append(all, fmt.Sprintf("mass%d.example", i))
		g.ns1.own(all[i])
	}
	testbed.Eventually(g, patience, func() bool { return !slices.ContainsFunc(all, func(z string) bool { return !g.ns1.answers(z) }) })
	cell := g.held(5, "mass3.example", "limit", "sync", "ns1", "--yes")
	g.held(5, "mass3.example", "limit", "sync", "ns1", "--yes", "--max-delete", "10")
	g.ns1.has(all...)
	g.sweep(all...)
	for _, z := range all {
		if !g.copy(z) {
			g.Errorf("%s has no whole copy", z)
		}
	}
	return cell
}

// event is one of a nameserver.
type event struct {
	Actor struct {
		UID  *int
		Host string
	}
	Command, Action, Zone, Before, Comment string
}

// events is what was done to a zone on ns1.
func (g *guarded) events(zone string) []event {
	g.Helper()
	var shown struct{ Events []event }
	if err := json.Unmarshal([]byte(g.ok("server", "show", "ns1", "--events", "1000", "-o", "json")), &shown); err != nil {
		g.Fatal(err)
	}
	return slices.DeleteFunc(shown.Events, func(e event) bool { return e.Zone != zone+"." })
}

// deletedByMistake brings one of the eleven back, and asks who took it away.
func deletedByMistake(g *guarded) string {
	copies := g.copies()
	i := slices.IndexFunc(copies, func(c copyRow) bool { return c.Zone == "mass3.example." })
	g.ok("quarantine", "restore", fmt.Sprint(copies[i].ID), "--comment", "needed after all")
	if !g.ns1.isForeign("mass3.example") {
		g.Error("its content is not back")
	}
	g.report(0, "sync", "ns1", "--yes", "--max-delete", "1")
	if !g.ns1.isForeign("mass3.example") {
		g.Error("a sync has removed it again")
	}
	seen := map[string]bool{}
	for _, e := range g.events("mass3.example") {
		if e.Actor.UID == nil || e.Actor.Host == "" || e.Command == "" {
			g.Errorf("it does not say who did it: %+v", e)
		}
		seen[e.Command+": "+e.Action] = true
		if e.Action == "delete" && e.Command == "sync" && e.Before == "" {
			g.Errorf("it does not say what it was: %+v", e)
		}
	}
	if !seen["sync: delete"] || !seen["quarantine restore: restore"] {
		g.Errorf("events: %v", seen)
	}
	g.ok("quarantine", "release", fmt.Sprint(copies[i].ID))
	g.sweep("mass3.example")
	return "0"
}

// failingDeletion has a control channel that breaks when it is told the first.
func failingDeletion(g *guarded) string {
	var zones []string
	for i := range 6 { // more than go at once where each is a command of its own
		zones = append(zones, fmt.Sprintf("fail%d.example", i))
		g.ns1.foreign(zones[i])
	}
	watch := func(said string) {
		if strings.Contains(said, g.ns1.kind.deletes) {
			g.ns1.proxy.broken.Store(true)
		}
	}
	g.ns1.proxy.watch.Store(&watch)
	_, steps := g.report(4, "sync", "ns1", "--yes", "--max-delete", "6")
	g.ns1.proxy.watch.Store(nil)
	g.ns1.proxy.broken.Store(false)
	outcomes := map[string]int{}
	for _, z := range zones {
		outcomes[steps[z].Outcome+" "+steps[z].Guard]++
	}
	if outcomes["failed "] == 0 || outcomes["failed "]+outcomes["withheld batch"] != len(zones) {
		g.Errorf("%v", outcomes)
	}
	for _, z := range zones {
		if steps[z].Outcome == "failed" && !g.copy(z) {
			g.Errorf("%s has no whole copy", z)
		}
	}
	left := slices.DeleteFunc(zones, func(z string) bool { return !g.ns1.answers(z) })
	g.sweep(left...)
	if outcomes["withheld batch"] == 0 {
		return "4"
	}
	return "4 batch"
}
