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

	mu    sync.Mutex
	state error // why the server is not ready; nil when it is
}

// Reasons for not being ready.
var (
	errStarting = errors.New("index is not loaded yet")
	errStopping = errors.New("stopping")
)

// New checks the configuration and registers the metrics. Nothing is read or
// opened before Serve.
func New(cfg Config) (*Server, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, log: cfg.Logger, m: newMetrics(cfg.Registry), index: newIndex(), state: errStarting}
	s.cache = newCache(cfg.Source, s.index, s.m, cfg.CacheBytes, cfg.MaxLoads)
	s.history = newHistory(cfg.CacheBytes)
	s.access.Store(&access{})
	s.quiet = newQuiet(cfg.Now)
	s.conns = newConnTable(cfg.MaxConns, cfg.MaxConnsClient, s.m)
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
	// Followers end before the connections do, which may outlive ctx.
	var sockets []*socket
	defer func() {
		for _, k := range sockets {
			k.close()
		}
	}()
	var bound []netip.AddrPort
	for _, addr := range s.cfg.Listen {
		k, err := listen(ctx, addr)
		if err != nil {
			return err
		}
		sockets = append(sockets, k)
		bound = append(bound, k.addr)
	}
	f := &follower{source: s.cfg.Source, index: s.index, access: s.loadAccess, forget: s.forget, log: s.log, m: s.m, now: s.cfg.Now}
	if err := f.load(ctx, false); err != nil {
		return err
	}

	// drainCtx ends the work of connections that are still busy at the deadline.
	drainCtx, abort := context.WithCancel(context.WithoutCancel(ctx))
	defer abort()
	var followers, servers sync.WaitGroup
	followers.Go(func() { f.run(ctx, s.cfg.Wake, s.cfg.PollInterval, s.setFollowed) })
	for _, k := range sockets {
		servers.Go(func() { s.serveUDP(drainCtx, k) })
		servers.Go(func() { s.serveTCP(drainCtx, k.tcp) })
	}
	s.setState(nil)
	s.log.Info("serving", "listen", fmt.Sprint(bound), "zones", s.index.size())
	if s.cfg.Ready != nil {
		s.cfg.Ready(bound)
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

// socket is one address: UDP and TCP of the same port.
type socket struct {
	addr netip.AddrPort
	udp  *net.UDPConn
	tcp  *net.TCPListener
}

func (k *socket) close() {
	_ = k.udp.Close()
	_ = k.tcp.Close()
}

// listen opens UDP and TCP. For port 0 it picks one that both have free. All
// IPv6 addresses are that and no more: IPv4 is listened on where it is asked for.
func listen(ctx context.Context, addr netip.AddrPort) (*socket, error) {
	addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
	family := "6"
	if addr.Addr().Is4() {
		family = "4"
	}
	for try := 0; ; try++ {
		t, err := (&net.ListenConfig{}).Listen(ctx, "tcp"+family, addr.String())
		if err != nil {
			return nil, fmt.Errorf("listen on %s: %w", addr, err)
		}
		tcp := t.(*net.TCPListener)
		at := tcp.Addr().(*net.TCPAddr).AddrPort()
		u, err := (&net.ListenConfig{}).ListenPacket(ctx, "udp"+family, at.String())
		if err == nil {
			return &socket{addr: netip.AddrPortFrom(at.Addr().Unmap(), at.Port()), udp: u.(*net.UDPConn), tcp: tcp}, nil
		}
		_ = tcp.Close()
		if addr.Port() != 0 || try == 20 {
			return nil, fmt.Errorf("listen on %s: %w", addr, err)
		}
	}
}

// quiet lets through one log line a second for each source, and forgets sources
// rather than growing.
type quiet struct {
	now  func() time.Time
	mu   sync.Mutex
	last map[netip.Addr]time.Time
}

const quietSources = 4096

func newQuiet(now func() time.Time) *quiet { return &quiet{now: now, last: map[netip.Addr]time.Time{}} }

func (q *quiet) allow(from netip.Addr) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.now()
	if t, ok := q.last[from]; ok && now.Sub(t) < time.Second {
		return false
	}
	if len(q.last) >= quietSources {
		clear(q.last)
	}
	q.last[from] = now
	return true
}
