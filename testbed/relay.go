package testbed

import (
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Weather is how a network treats what a Relay passes on; the zero value is a
// good one.
type Weather struct {
	// Loss is the share of datagrams that get lost, each way. Of a stream nothing
	// is: what was lost is sent again, and so comes late (RFC 6298 has the times).
	Loss  float64
	Delay time.Duration // each way
	Rate  int           // octets per second of a stream, each way; 0: as fast as it goes
	Mute  bool          // connections and datagrams are taken, and nothing comes back
}

// Relay stands between programs and passes on what they say, over UDP and TCP, as
// the network between them would.
type Relay struct {
	Addr string // where it listens, host:port

	target  string
	dial    func(network, addr string) (net.Conn, error)
	weather atomic.Pointer[Weather]
	watch   atomic.Pointer[func([]byte)]
	stop    chan struct{}
	work    sync.WaitGroup
}

// RelayOptions say where a relay stands; the zero value is a free port of
// 127.0.0.1.
type RelayOptions struct {
	Addr string                                       // where it listens
	Dial func(network, addr string) (net.Conn, error) // from where it reaches the target; nil: from here
}

// StartRelay passes on what comes to it to the target (host:port), until the test
// ends.
func StartRelay(t T, target string, o RelayOptions) *Relay {
	t.Helper()
	r := &Relay{Addr: o.Addr, target: target, dial: o.Dial, stop: make(chan struct{})}
	if r.Addr == "" {
		r.Addr = FreeAddr(t)
	}
	if r.dial == nil {
		r.dial = func(network, addr string) (net.Conn, error) { return net.DialTimeout(network, addr, 10*time.Second) }
	}
	r.weather.Store(&Weather{})
	streams, err := net.Listen("tcp", r.Addr)
	if err != nil {
		t.Fatalf("start a relay: %v", err)
	}
	datagrams, err := net.ListenPacket("udp", r.Addr)
	if err != nil {
		_ = streams.Close()
		t.Fatalf("start a relay: %v", err)
	}
	r.work.Go(func() { r.streams(streams) })
	r.work.Go(func() { r.datagrams(datagrams) })
	t.Cleanup(func() {
		close(r.stop)
		_, _ = streams.Close(), datagrams.Close()
		r.work.Wait()
	})
	return r
}

// Set changes the weather, also for what is under way.
func (r *Relay) Set(w Weather) { r.weather.Store(&w) }

// Watch has f called with each datagram, and each piece of a stream, that comes
// from a client, before it is passed on.
func (r *Relay) Watch(f func(said []byte)) { r.watch.Store(&f) }

func (r *Relay) seen(said []byte) {
	if f := r.watch.Load(); f != nil {
		(*f)(said)
	}
}

// pause waits, and says whether the relay goes on.
func (r *Relay) pause(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-r.stop:
		return false
	case <-t.C:
		return true
	}
}

// until closes a connection when the relay ends; the function that it returns
// does so at once.
func (r *Relay) until(c net.Conn) (closed func()) {
	done := make(chan struct{})
	r.work.Go(func() {
		select {
		case <-r.stop:
		case <-done:
		}
		_ = c.Close()
	})
	return sync.OnceFunc(func() { close(done) })
}

func (r *Relay) streams(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		r.work.Go(func() {
			defer r.until(c)()
			if !r.pause(late(*r.weather.Load(), time.Second)) { // of the SYN
				return
			}
			s, err := r.dial("tcp", r.target)
			if err != nil {
				return
			}
			defer r.until(s)()
			var both sync.WaitGroup
			both.Go(func() { r.stream(s, c, r.seen); closeWrite(s) })
			both.Go(func() { r.stream(c, s, func([]byte) {}); closeWrite(c) })
			both.Wait()
		})
	}
}

func closeWrite(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.CloseWrite()
	}
}

// stream copies until the one end or the other closes.
func (r *Relay) stream(to, from net.Conn, seen func([]byte)) {
	buf := make([]byte, 4096)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			seen(buf[:n])
			w := *r.weather.Load()
			d := w.Delay + late(w, 200*time.Millisecond)
			if w.Rate > 0 {
				d += time.Duration(n) * time.Second / time.Duration(w.Rate)
			}
			if !r.pause(d) {
				return
			}
			if w.Mute {
				continue
			}
			if _, err := to.Write(buf[:n]); err != nil {
				_ = from.Close()
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// late is how long something on a stream takes more for having been lost, perhaps
// several times: each time twice as long passes until it is sent again.
func late(w Weather, first time.Duration) time.Duration {
	d := time.Duration(0)
	for again := first; rand.Float64() < w.Loss && again < 30*time.Second; again *= 2 {
		d += again
	}
	return d
}

func (r *Relay) datagrams(l net.PacketConn) {
	clients := map[string]net.Conn{} // to the target, by the client's address
	buf := make([]byte, 64<<10)
	for {
		n, from, err := l.ReadFrom(buf)
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue // the answer of one who has gone (ICMP)
		}
		r.seen(buf[:n])
		s := clients[from.String()]
		if s == nil {
			if s, err = r.dial("udp", r.target); err != nil {
				continue
			}
			clients[from.String()] = s
			r.until(s)
			r.work.Go(func() { r.answers(l, from, s) })
		}
		r.datagram(buf[:n], func(b []byte) { _, _ = s.Write(b) })
	}
}

// answers passes a target's on.
func (r *Relay) answers(l net.PacketConn, to net.Addr, s net.Conn) {
	buf := make([]byte, 64<<10)
	for {
		n, err := s.Read(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			r.datagram(buf[:n], func(b []byte) { _, _ = l.WriteTo(b, to) })
		} else if !r.pause(time.Millisecond) { // nobody listens there now
			return
		}
	}
}

// datagram sends one on now, late, or never.
func (r *Relay) datagram(b []byte, send func([]byte)) {
	w := *r.weather.Load()
	switch {
	case w.Mute || rand.Float64() < w.Loss:
	case w.Delay == 0:
		send(b)
	default:
		b = append([]byte{}, b...)
		r.work.Go(func() {
			if r.pause(w.Delay) {
				send(b)
			}
		})
	}
}
