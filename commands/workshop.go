package commands

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"slices"
	"time"

	"dnsctl/bootstrap"
	"dnsctl/config"
	"dnsctl/dnsclient"
	"dnsctl/fleet"
	"dnsctl/nameserver"
	"dnsctl/nameserver/bind"
	"dnsctl/nameserver/knot"
	"dnsctl/nameserver/nsd"
	"dnsctl/nameserver/powerdns"
	"dnsctl/report"
	"dnsctl/store"
	"dnsctl/sync/apply"
	"dnsctl/sync/inventory"
)

// nameserverTypes is every kind of nameserver that there is a driver for.
func nameserverTypes() []nameserver.Type {
	return []nameserver.Type{bind.New(), knot.New(), nsd.New(), powerdns.New()}
}

func typeNames() []string {
	var out []string
	for _, t := range nameserverTypes() {
		out = append(out, t.Name())
	}
	return out
}

// workshop is what the verbs that talk to nameservers are made of.
type workshop struct {
	store     *store.Store
	fleet     *inventory.Fleet
	applier   *apply.Applier
	syncer    *apply.Syncer
	bootstrap *bootstrap.Bootstrapper
}

// workshop opens the store and the sockets, and puts the verbs' parts together,
// once.
func (a *App) workshop(ctx context.Context) (*workshop, error) {
	if a.shop != nil {
		return a.shop, nil
	}
	if a.command != "mdns serve" && a.getenv("GOGC") == "" {
		// It runs beside what it looks after, for a short time: memory first.
		debug.SetGCPercent(50)
	}
	s, err := a.openStore(ctx)
	if err != nil {
		return nil, err
	}
	sealer, err := a.sealer(ctx)
	if err != nil {
		return nil, err
	}
	e, err := a.editor(ctx)
	if err != nil {
		return nil, err
	}
	prober, err := dnsclient.NewProber(dnsclient.ProberOptions{Now: a.Now})
	if err != nil {
		return nil, fmt.Errorf("open sockets for questions: %w", err)
	}
	a.stop = append(a.stop, prober.Close)
	dns := inventory.DNS{Client: &dnsclient.Client{Now: a.Now}, Prober: prober}
	w := &workshop{store: s, fleet: &inventory.Fleet{Store: s, Types: nameserverTypes(), Sealer: sealer, DNS: dns, Now: a.Now}}
	w.applier = &apply.Applier{Store: s, Edit: e, Sealer: sealer, DNS: dns, Now: a.Now, Log: a.Log, Retention: a.keepCopies()}
	holder := a.holder()
	w.syncer = &apply.Syncer{Fleet: w.fleet, Applier: w.applier, Locks: s, Holder: holder}
	w.bootstrap = &bootstrap.Bootstrapper{Store: s, Fleet: w.fleet, Applier: w.applier, Locks: s, Holder: holder, Now: a.Now}
	a.shop = w
	return w, nil
}

// keepCopies is how long quarantined copies are kept.
func (a *App) keepCopies() time.Duration {
	if d := time.Duration(a.Config.Retention.Quarantine); d > 0 {
		return d
	}
	return 100 * 365 * 24 * time.Hour // for ever
}

// holder names this process in locks.
// Containers may share host names and process ids, so a random part tells them
// apart.
func (a *App) holder() string {
	act := a.actor()
	return fmt.Sprintf("%s@%s pid %d-%08x (%s)", act.User, act.Host, os.Getpid(), rand.Uint32(), a.command)
}

// servers is the nameservers named, or all of them.
func (a *App) servers(ctx context.Context, names []string) ([]fleet.Server, error) {
	s, err := a.openStore(ctx)
	if err != nil {
		return nil, err
	}
	all, err := s.Servers(ctx)
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		if len(all) == 0 {
			return nil, report.Fail(report.ExitUsage, errors.New("there is no server yet"), "add one: dnsctl server add --help says how")
		}
		return all, nil
	}
	var out []fleet.Server
	for _, n := range names {
		sv, err := pickServer(all, n)
		if err != nil {
			return nil, err
		}
		out = append(out, sv)
	}
	return out, nil
}

// server is the nameserver of this name.
func (a *App) server(ctx context.Context, name string) (fleet.Server, error) {
	all, err := a.servers(ctx, []string{name})
	if err != nil {
		return fleet.Server{}, err
	}
	return all[0], nil
}

func pickServer(all []fleet.Server, name string) (fleet.Server, error) {
	known := make([]string, len(all))
	for i, s := range all {
		if s.Name == name {
			return s, nil
		}
		known[i] = s.Name
	}
	return fleet.Server{}, named(fmt.Errorf("server %q: %w", name, fleet.ErrNoServer), fleet.ErrNoServer, name, "server", known)
}

// showReport shows a report and makes the command's result of its exit code.
func (a *App) showReport(rep report.Report, all bool, err error) error {
	if err != nil && len(rep.Servers) == 0 {
		return err
	}
	if !all {
		rep = withoutOK(rep)
	}
	if e := unread(a.Out.Report(a.pasteableReport(rep))); e != nil {
		return e
	}
	if err != nil {
		return err
	}
	return end(rep.Exit)
}

// pasteableReport makes the commands that a report suggests work on this run's
// store.
func (a *App) pasteableReport(rep report.Report) report.Report {
	if a.place == "" {
		return rep
	}
	rep.Servers = slices.Clone(rep.Servers)
	for i := range rep.Servers {
		s := &rep.Servers[i]
		s.Error, s.Hint, s.Withheld = a.pasteable(s.Error), a.pasteable(s.Hint), a.pasteable(s.Withheld)
		s.Items = slices.Clone(s.Items)
		for j := range s.Items {
			s.Items[j].Reason = a.pasteable(s.Items[j].Reason)
		}
	}
	return rep
}

// withoutOK leaves out what is in agreement and dnsctl's own zones.
func withoutOK(rep report.Report) report.Report {
	servers := make([]report.Server, len(rep.Servers))
	for i, s := range rep.Servers {
		items := make([]report.Item, 0, len(s.Items))
		for _, it := range s.Items {
			if it.Class == report.OK && (it.Action == report.None || it.Action == "") || isMarker(it) || slices.Contains(it.Attributes, report.Unplanned) {
				continue
			}
			items = append(items, it)
		}
		s.Items = items
		servers[i] = s
	}
	rep.Servers = servers
	return rep
}

func isMarker(it report.Item) bool {
	return slices.Contains(it.Attributes, report.MarkerZone)
}

// pool is the pool of this name, or an error that knows what may have been meant.
func (a *App) pool(ctx context.Context, name string) (fleet.Pool, error) {
	s, err := a.openStore(ctx)
	if err != nil {
		return fleet.Pool{}, err
	}
	p, err := s.Pool(ctx, name)
	if err == nil {
		return p, nil
	}
	all, e := s.Pools(ctx)
	if e != nil {
		return fleet.Pool{}, err
	}
	known := make([]string, len(all))
	for i, p := range all {
		known[i] = p.Name
	}
	return fleet.Pool{}, named(err, fleet.ErrNoPool, name, "pool", known)
}

// nearest is config.Nearest for a typed word.
func nearest(word string, known []string) string { return config.Nearest(word, known) }
