package mdns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Server is the hidden primary.
type Server struct {
	cfg     Config
	log     *slog.Logger
	m       *metrics
	index   *index
	cache   *cache
	history *history
	access  atomic.Pointer[access]
	quiet   *quiet
	conns   *connTable
	certs   *certificates // nil without TLS
	lag     atomic.Int64  // see Lag
	kits    sync.Pool     // of *connKit

	mu    sync.Mutex
	state error // why the server is not ready; nil when it is
}

// Reasons for not being ready.
var (
	errStarting = errors.New("index is not loaded yet")
	errStopping = errors.New("stopping")
)

// New checks the configuration, the TLS files included (ErrTLSFiles), and
// registers the metrics. Nothing else is read or opened before Serve.
func New(cfg Config) (*Server, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, log: cfg.Logger, m: newMetrics(cfg.Registry), index: newIndex(), state: errStarting}
	s.cache = newCache(cfg.Source, s.index, s.m, cfg.CacheBytes, cfg.MaxLoads)
	s.history = newHistory(cfg.CacheBytes)
	s.access.Store(&access{})
	s.quiet = newQuiet(cfg.Now)
	s.conns = newConnTable(&s.cfg, s.m)
	if len(cfg.TLS.Listen) > 0 {
		var err error
		if s.certs, err = loadCertificates(cfg.TLS, s.log, s.m, cfg.Now); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Readiness is nil when the server is ready, else why it is not.
func (s *Server) Readiness() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

func (s *Server) setState(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !errors.Is(s.state, errStopping) {
		s.state = err
	}
}

// Position is the feed position that is served now.
func (s *Server) Position() int64 { return s.index.position() }

// Zones counts the zones in the index.
func (s *Server) Zones() int { return s.index.size() }

// Serve listens, loads the index, calls Config.Ready and answers until the
// context ends. Then it stops accepting, lets transfers finish for up to
// Config.DrainTimeout, and returns nil. An address that cannot be listened on or
// an index that cannot be loaded is an error before anything is answered.
func (s *Server) Serve(ctx context.Context) error {
	trail := &standby{Server: s}
	if s.cfg.Primary != nil { // before it listens: who asks goes on to another replica
		if err := trail.arrive(ctx); err != nil {
			return err
		}
	}
	// Followers end before the connections do, which may outlive ctx.
	var sockets []*socket
	defer func() {
		for _, k := range sockets {
			k.close()
		}
	}()
	var bound, overTLS []netip.AddrPort
	for _, addr := range s.cfg.Listen {
		k, err := listen(ctx, addr, s.cfg.UDPWorkers)
		if err != nil {
			return err
		}
		sockets = append(sockets, k)
		bound = append(bound, k.addr)
	}
	for _, addr := range s.cfg.TLS.Listen {
		k, err := listenTCP(ctx, addr)
		if err != nil {
			return err
		}
		sockets = append(sockets, k)
		overTLS = append(overTLS, k.addr)
	}
	f := &follower{source: s.cfg.Source, index: s.index, access: s.loadAccess, forget: s.forget, log: s.log, m: s.m, now: s.cfg.Now}
	if err := f.load(ctx, false); err != nil {
		return err
	}

	// drainCtx ends the work of connections that are still busy at the deadline.
	drainCtx, abort := context.WithCancel(context.WithoutCancel(ctx))
	defer abort()
	var followers, servers sync.WaitGroup
	wake := s.cfg.Wake
	if s.cfg.Primary != nil {
		arrived := make(chan struct{}, 1)
		wake = arrived
		followers.Go(func() { trail.run(ctx, arrived) })
	}
	followers.Go(func() { f.run(ctx, wake, s.cfg.PollInterval, s.setFollowed) })
	for _, k := range sockets {
		if len(k.udp) > 0 {
			servers.Go(func() { s.serveUDP(drainCtx, k) })
		}
		servers.Go(func() { s.serveTCP(drainCtx, k.tcp, len(k.udp) == 0) })
	}
	if s.certs != nil {
		followers.Go(func() { s.certs.follow(ctx) })
	}
	s.setState(nil)
	s.log.Info("serving", "listen", fmt.Sprint(bound), "tls", fmt.Sprint(overTLS), "zones", s.index.size())
	if s.cfg.Ready != nil {
		s.cfg.Ready(bound, overTLS)
	}

	<-ctx.Done()
	s.mu.Lock()
	s.state = errStopping
	s.mu.Unlock()
	followers.Wait()
	for _, k := range sockets {
		k.close()
	}
	servers.Wait()
	s.drain(abort)
	s.log.Info("stopped")
	return nil
}

// forget drops all content and changes in memory.
func (s *Server) forget() {
	s.cache.purge()
	s.history.purge()
}

// drain closes idle connections, waits for busy ones and at the deadline closes
// those as well.
func (s *Server) drain(abort context.CancelFunc) {
	done := s.conns.drain()
	timer := time.NewTimer(s.cfg.DrainTimeout)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		s.log.Warn("transfers cut off at the drain deadline", "connections", s.conns.count())
		abort()
		s.conns.closeAll()
		<-done
	}
}

func (s *Server) setFollowed(err error) {
	if err != nil {
		err = fmt.Errorf("feed cannot be followed: %w", err)
	}
	s.setState(err)
	if err == nil && s.cfg.Followed != nil {
		s.cfg.Followed()
	}
}

// socket is one address: UDP and TCP of the same port, or TCP alone for TLS.
type socket struct {
	addr netip.AddrPort
	udp  []*net.UDPConn // one for each worker; empty: TLS
	tcp  *net.TCPListener
}

func (k *socket) close() {
	for _, c := range k.udp {
		_ = c.Close()
	}
	_ = k.tcp.Close()
}

// listen opens UDP and TCP. For port 0 it picks one that both have free. All
// IPv6 addresses are that and no more: IPv4 is listened on where it is asked for.
func listen(ctx context.Context, addr netip.AddrPort, workers int) (*socket, error) {
	for try := 0; ; try++ {
		k, err := listenTCP(ctx, addr)
		if err != nil {
			return nil, err
		}
		if k.udp, err = listenUDP(ctx, "udp"+family(k.addr), k.addr.String(), workers); err == nil {
			return k, nil
		}
		k.close()
		if addr.Port() != 0 || try == 20 {
			return nil, fmt.Errorf("listen on %s: %w", addr, err)
		}
	}
}

func listenTCP(ctx context.Context, addr netip.AddrPort) (*socket, error) {
	addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
	// No keep-alive: whatever a connection waits for has an end of its own, and each
	// would cost four more system calls.
	l, err := (&net.ListenConfig{KeepAlive: -1}).Listen(ctx, "tcp"+family(addr), addr.String())
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
	at := l.Addr().(*net.TCPAddr).AddrPort()
	return &socket{addr: netip.AddrPortFrom(at.Addr().Unmap(), at.Port()), tcp: l.(*net.TCPListener)}, nil
}

func family(addr netip.AddrPort) string {
	if addr.Addr().Is4() {
		return "4"
	}
	return "6"
}
