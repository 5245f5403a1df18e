package mdns

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"dnsctl/secret"
	"dnsctl/wire"
)

// Config of a Server. Source, Sealer and Listen must be set; the rest has
// defaults.
type Config struct {
	Source Source
	Sealer secret.Sealer    // opens the TSIG secrets
	Listen []netip.AddrPort // UDP and TCP on each; port 0 picks one
	Wake   <-chan struct{}  // from the store: something may have changed; may be nil
	// Primary is set where Source is a standby of it; Wake is then of the primary. Serve
	// begins when the standby has what was committed before.
	Primary Primary
	TLS     TLS
	// Ready is called once, when the index is loaded and all addresses listen: those
	// of Listen, and those of TLS.
	Ready func(plain, overTLS []netip.AddrPort)
	// Followed is called whenever the feed has been followed to its end: what it has
	// is served. It must not block; it may be nil.
	Followed func()
	Logger   *slog.Logger
	// Registry takes the metrics; its other metrics appear under /metrics as well.
	Registry *prometheus.Registry
	Now      func() time.Time

	PollInterval time.Duration // how long a change may go unseen when a wake-up is lost
	DrainTimeout time.Duration // how long transfers may go on after the end of Serve's context
	CacheBytes   int64         // budget for zones' content in memory
	MaxMessage   int           // greatest message of a transfer, in octets
	UDPSize      int           // greatest answer over UDP, in octets (RFC 9715)
	UDPWorkers   int           // sockets and goroutines that answer over UDP on each address
	NSID         string        // answer to RFC 5001's option, up to MaxNSID octets; empty: none

	IdleTimeout  time.Duration // between queries on a TCP connection
	ReadTimeout  time.Duration // from a query's first octet to its last
	WriteTimeout time.Duration // for a client to take some octets, minTaken
	// TransferTimeout bounds a transfer, and so how long an old version of a zone is
	// kept in memory for one.
	TransferTimeout time.Duration
	MaxConns        int // TCP connections in all; fewer where the process may not have the files
	MaxConnsClient  int // TCP connections of one address
	MaxLoads        int // zones being read from the store at once
}

// MaxNSID bounds Config.NSID, so that it fits beside every question.
const MaxNSID = 128

func (c *Config) setDefaults() error {
	if len(c.NSID) > MaxNSID {
		return fmt.Errorf("mdns: NSID of %d octets, more than %d", len(c.NSID), MaxNSID)
	}
	if c.Source == nil || c.Sealer == nil || len(c.Listen) == 0 {
		return errors.New("mdns: Source, Sealer and Listen must be set")
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Registry == nil {
		c.Registry = prometheus.NewRegistry()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	orDuration := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	orDuration(&c.PollInterval, 2*time.Second)
	orDuration(&c.DrainTimeout, 30*time.Second)
	orDuration(&c.IdleTimeout, 30*time.Second)
	orDuration(&c.ReadTimeout, 10*time.Second)
	orDuration(&c.WriteTimeout, 30*time.Second)
	orDuration(&c.TransferTimeout, 2*time.Hour)
	orDuration(&c.TLS.LookEvery, 10*time.Second)
	orDuration(&c.TLS.HandshakeTimeout, 10*time.Second)
	orInt := func(n *int, v int) {
		if *n <= 0 {
			*n = v
		}
	}
	orInt(&c.MaxConns, 4096)
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err == nil {
		if most := connsWithin(c.MaxConns, uint64(files.Cur)); most < c.MaxConns {
			c.Logger.Warn("fewer TCP connections than configured: the process may not have more files open", "limit", most, "configured", c.MaxConns)
			c.MaxConns = most
		}
	}
	orInt(&c.MaxConnsClient, 512)
	orInt(&c.TLS.MaxHandshakes, 512)
	orInt(&c.TLS.MaxHandshakesClient, 64)
	orInt(&c.MaxLoads, 4)
	orInt(&c.MaxMessage, wire.MaxMessage)
	orInt(&c.UDPSize, 1232)
	orInt(&c.UDPWorkers, runtime.GOMAXPROCS(0))
	c.MaxMessage = min(max(c.MaxMessage, 4096), wire.MaxMessage)
	c.UDPSize = min(max(c.UDPSize, minUDP), 4096)
	if c.CacheBytes <= 0 {
		c.CacheBytes = 1 << 30
	}
	return nil
}

// otherFiles is how many descriptors are left to the store, its other clients and
// what looks after nameservers, however many TCP clients there are.
const otherFiles = 128

// connsWithin is how many TCP connections, of so many at most, a process may have
// that may have so many files open.
func connsWithin(conns int, files uint64) int {
	return int(min(uint64(conns), max(files, 2*otherFiles)-otherFiles))
}
