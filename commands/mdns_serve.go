package commands

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"
	"golang.org/x/net/netutil"
	"golang.org/x/sync/errgroup"

	"dnsctl/dnsclient"
	"dnsctl/fleet"
	"dnsctl/keeper"
	"dnsctl/mdns"
	"dnsctl/render"
	"dnsctl/report"
	"dnsctl/store"
	"dnsctl/sync/inventory"
)

func newMDNSServeCmd(a *App) *cobra.Command {
	c := &cobra.Command{
		Use:   "serve",
		Short: "Serve zones, tell nameservers of changes, keep them in agreement",
		Long: `Serves the zones of the database over UDP and TCP on every --listen: transfers
(AXFR, IXFR) and ordinary answers. What a request sees is decided by its TSIG key,
or by its address where a pool allows that. Changes are served as soon as they are
committed, whoever commits them.

Any number of mdns processes may run on one database. One of them leads: it tells
nameservers of changes (NOTIFY), carries out what zone create, zone delete and
record changes ask for until the wire proves it, and compares every nameserver with
the database from time to time.

On every --tls-listen it transfers zones over TLS 1.3 (XoT, RFC 9103); a port left out
means 853. With --tls-client-ca clients may show a certificate, and see the zones of
the pools that list one of its names (pool set --tls-client). The TLS files are read
again every ten seconds; files that cannot be used are told in the log and in
/metrics, and what was read before stays in use.

With --read-store zones, pools and keys are read from a streaming standby of the
PostgreSQL database in --store, which keeps all the rest. It serves when the standby
has what was committed before the start, and never a lower serial than it has served;
/metrics and mdns status say how far behind it is. Let the standby say
hot_standby_feedback = on, so that long reads are not ended there.

When it is ready it prints one line on standard output, as JSON with -o json. With
--http it serves /metrics, /healthz, /readyz, and /servers/NAME/ready for load
balancers: 200 while that nameserver is fit for service, else 503 and why, as JSON.
SIGTERM lets transfers finish.`,
		Example:     "  dnsctl mdns serve --listen 127.0.0.1:5300 --http 127.0.0.1:8080",
		Args:        cobra.NoArgs,
		Annotations: map[string]string{service: "yes"},
		RunE:        func(cmd *cobra.Command, _ []string) error { return runMDNSServe(cmd.Context(), a) },
	}
	c.Flags().StringSlice("listen", nil, "serve DNS on this `IP:PORT`, UDP and TCP")
	c.Flags().String("read-store", "", "read zones from the PostgreSQL standby at this `URL`")
	c.Flags().StringSlice("tls-listen", nil, "transfer zones over TLS on this `IP:PORT`")
	c.Flags().String("tls-cert", "", "the `file` with the TLS certificate, PEM, and those between it and its CA")
	c.Flags().String("tls-key", "", "the `file` with its private key, PEM")
	c.Flags().String("tls-client-ca", "", "the `file` with the CA of clients' certificates, PEM")
	c.Flags().String("http", "", "serve metrics and health on this `IP:PORT`")
	return c
}

// ready is the line that says that zones are served.
type ready struct {
	listen []netip.AddrPort
	tls    []netip.AddrPort
	http   string
	zones  int
}

var readyColumns = render.List[ready]{Columns: []render.Column[ready]{
	{Name: "ready", Value: func(ready) any { return true }},
	{Name: "listen", Value: func(r ready) any { return r.listen }},
	{Name: "tls", Value: func(r ready) any { return r.tls }},
	{Name: "http", Value: func(r ready) any { return r.http }},
	{Name: "zones", Value: func(r ready) any { return r.zones }},
}}

// runMDNSServe runs the server, the keeper and the HTTP endpoint until the first
// of them fails or ctx ends, and waits for all of them.
func runMDNSServe(ctx context.Context, a *App) error {
	if len(a.Config.MDNS.Listen) == 0 {
		return usagef("for instance --listen 127.0.0.1:5300", "there is no address to listen on")
	}
	if n := len(a.Config.MDNS.NSID); n > mdns.MaxNSID {
		return usagef("a host name will do", "mdns.nsid has %d octets, and may have %d", n, mdns.MaxNSID)
	}
	listen, err := parseAddrs("listen", a.Config.MDNS.Listen, portDNS)
	if err != nil {
		return err
	}
	overTLS, err := a.serveTLS()
	if err != nil {
		return err
	}
	w, err := a.workshop(ctx)
	if err != nil {
		return err
	}
	if err := w.store.Writable(); err != nil {
		return err
	}
	source, primary, err := a.served(ctx, w.store)
	if err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	web, err := a.listenHTTP(ctx)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	var server *mdns.Server
	followed := make(chan struct{}, 1)
	served, addrs := make(chan struct{}), make(chan []netip.AddrPort, 1)
	server, err = mdns.New(mdns.Config{
		Source: source, Primary: primary, Sealer: w.fleet.Sealer, Listen: listen, Wake: w.store.Wake(ctx), Logger: a.Log, Registry: registry, Now: a.Now,
		PollInterval: a.Config.MDNS.PollInterval, CacheBytes: int64(a.Config.MDNS.Memory), TLS: overTLS, NSID: a.Config.MDNS.NSID,
		UDPWorkers: a.Config.MDNS.UDPWorkers,
		MaxConns:   a.Config.MDNS.MaxTCP, MaxConnsClient: a.Config.MDNS.MaxTCPClient, IdleTimeout: a.Config.MDNS.IdleTimeout,
		ReadTimeout: a.Config.MDNS.ReadTimeout, WriteTimeout: a.Config.MDNS.WriteTimeout, TransferTimeout: a.Config.MDNS.TransferTimeout,
		Followed: func() {
			select {
			case followed <- struct{}{}:
			default: // it has one to take already
			}
		},
		Ready: func(bound, boundTLS []netip.AddrPort) {
			addrs <- slices.Concat(bound, boundTLS)
			a.sayReady(bound, boundTLS, web, server.Zones())
		},
	})
	if err != nil {
		return errTLSFiles(err)
	}
	group.Go(func() error {
		defer close(served)
		return a.otherHistory(server.Serve(ctx))
	})
	keep := a.keeper(w, registry)
	group.Go(func() error {
		server.Announce(ctx, served, addrs, w.store, a.replica(keep.Holder, web))
		return nil
	})
	keep.Wake, keep.Served, keep.Lag = followed, server.Position, server.Lag
	group.Go(func() error { return untilStopped(ctx, keep.Run(ctx)) })
	if web != nil {
		group.Go(func() error { return serveHTTP(ctx, web, a.pages(w, server)) })
	}
	return listenHint(group.Wait())
}

// served is the store that zones are read from, and, where that is a standby, the
// one that it is a standby of.
func (a *App) served(ctx context.Context, s *store.Store) (mdns.Source, mdns.Primary, error) {
	url := a.Config.MDNS.ReadStore
	if url == "" {
		return s, nil, nil
	}
	place := a.Config.Origin("mdns.read_store").Place
	if s.Kind() != "postgres" || !strings.HasPrefix(url, "postgres") {
		return nil, nil, usagef("only PostgreSQL has standbys: name one as postgres://USER@HOST/DATABASE, of the database in --store", "%s: a standby needs PostgreSQL", place)
	}
	from, err := store.Open(ctx, url, store.Options{ReadOnly: true, Logger: a.Log})
	if err != nil {
		return nil, nil, within(place, err)
	}
	a.stop = append(a.stop, from.Close)
	here, err := from.Identity(ctx)
	if err != nil {
		return nil, nil, within(place, err)
	}
	there, err := s.Identity(ctx)
	if err != nil {
		return nil, nil, err
	}
	if here.Store != there.Store {
		return nil, nil, a.otherHistory(fmt.Errorf("%s: %w", place, mdns.ErrOtherHistory))
	}
	return from, s, nil
}

// otherHistory says what to do about a standby of something else.
func (a *App) otherHistory(err error) error {
	if !errors.Is(err, mdns.ErrOtherHistory) {
		return err
	}
	return report.Fail(report.ExitStore, err, "name a streaming standby of the database in --store; one that was promoted, or was primary before, is made anew with pg_basebackup")
}

// listenHint says what to do where an address could not be listened on.
func listenHint(err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return report.Hint(err, "another program listens there, perhaps another dnsctl mdns serve: end it, or name another address")
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return report.Hint(err, "no interface of this machine has the address: name one that it has")
	case errors.Is(err, syscall.EACCES):
		return report.Hint(err, "a port below 1024 needs root or the capability CAP_NET_BIND_SERVICE")
	}
	return err
}

// replica is what this process says of itself in the store.
func (a *App) replica(holder string, web net.Listener) fleet.Replica {
	build := thisBuild()
	r := fleet.Replica{ID: fmt.Sprintf("%08x", rand.Uint32()), Host: a.actor().Host, PID: os.Getpid(), Version: build.version, Holder: holder}
	if build.version == "devel" && build.commit != "" {
		r.Version += " " + build.commit[:min(len(build.commit), 12)]
	}
	if web != nil {
		r.HTTP = web.Addr().String()
	}
	return r
}

// pages are what --http serves.
func (a *App) pages(w *workshop, server *mdns.Server) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", server.Handler())
	mux.Handle("GET /servers/{name}/ready", &keeper.Ready{Store: w.store, Now: a.Now})
	return mux
}

// keptSockets is how many of its sockets to a nameserver the leader keeps for the
// next NOTIFY.
const keptSockets = 16

// keeper is the leader's work, on the same store and registry.
func (a *App) keeper(w *workshop, registry prometheus.Registerer) *keeper.Keeper {
	dns, _ := w.fleet.DNS.(inventory.DNS) // workshop made it
	meta := a.meta("")
	meta.Actor.Process = "mdns"
	keys := &inventory.KeyCache{Fleet: w.fleet}
	client := &dnsclient.Client{Now: a.Now, Keep: keptSockets}
	a.stop = append(a.stop, client.Close)
	return &keeper.Keeper{
		Store: w.store, Fleet: w.fleet, Applier: w.applier,
		Notify: keeper.NotifyDNS{Client: client, Prober: dns.Prober, Key: keys.Key},
		Poll:   a.Config.MDNS.PollInterval, CompareEvery: a.Config.CompareEvery, Retention: a.retention(),
		Meta: meta, Holder: a.holder(), Now: a.Now, Log: a.Log, Metrics: keeper.NewMetrics(registry),
	}
}

// retention is how long the database keeps what is past.
func (a *App) retention() fleet.Retention {
	r := a.Config.Retention
	return fleet.Retention{Deleted: time.Duration(r.Deleted), History: time.Duration(r.History), Events: time.Duration(r.Events), Feed: time.Duration(r.Feed)}
}

// untilStopped takes the end of the run's context for what it is.
func untilStopped(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func (a *App) listenHTTP(ctx context.Context) (net.Listener, error) {
	if a.Config.MDNS.HTTP == "" {
		return nil, nil
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", a.Config.MDNS.HTTP)
	if err != nil {
		var bad *net.AddrError
		if errors.As(err, &bad) {
			return nil, usagef("for instance --http 127.0.0.1:8080", "--http: %v", bad)
		}
		return nil, listenHint(fmt.Errorf("serve metrics and health: %w", err))
	}
	return netutil.LimitListener(l, httpConns), nil
}

// httpConns is how many connections are taken for metrics and health at a time; more
// wait, so that they never take the descriptors of transfers.
const httpConns = 64

// serveHTTP serves until ctx ends.
func serveHTTP(ctx context.Context, l net.Listener, h http.Handler) error {
	s := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 30 * time.Second}
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		stopped <- s.Shutdown(grace)
	}()
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve metrics and health: %w", err)
	}
	return <-stopped
}

// sayReady prints the one line that others wait for.
func (a *App) sayReady(bound, boundTLS []netip.AddrPort, web net.Listener, zones int) {
	r := ready{listen: bound, tls: slices.Concat([]netip.AddrPort{}, boundTLS), zones: zones}
	if web != nil {
		r.http = web.Addr().String()
	}
	if a.Out.Format.Machine() || a.Out.Format == render.Name {
		o := *a.Out
		if o.Format == render.JSON {
			o.Format = render.JSONL // one line, which is a JSON document as well
		}
		_ = readyColumns.Result(&o, r) // nobody may be listening
		return
	}
	text := fmt.Sprintf("ready: serving %s on %v", report.Count(zones, "zone"), bound)
	if len(boundTLS) > 0 {
		text += fmt.Sprintf(", over TLS on %v", boundTLS)
	}
	if r.http != "" {
		text += ", http://" + r.http
	}
	_, _ = io.WriteString(a.Out.Out, text+"\n")
}
