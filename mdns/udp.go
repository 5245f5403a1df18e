package mdns

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"

	"dnsctl/wire"
)

const (
	udpBatch   = 64   // messages read and written at once
	maxQuery   = 4096 // octets of a query over UDP; longer ones are cut and fail
	maxSlowUDP = 512  // queries over UDP that may wait for content at once
)

// oobSize is room for the control message that says which of our addresses a
// query was sent to.
const oobSize = 64

// serveUDP answers queries until the sockets are closed, with a worker for each.
func (s *Server) serveUDP(ctx context.Context, k *socket) {
	var wg sync.WaitGroup
	slow := &slowUDP{s: s, limit: make(chan struct{}, maxSlowUDP)}
	for _, c := range k.udp {
		wg.Go(func() {
			if err := s.udpWorker(ctx, c, k.addr.Addr(), slow); err != nil {
				s.log.Error("UDP is not served", "listen", k.addr.String(), "err", err)
			}
		})
	}
	wg.Wait()
	slow.wg.Wait()
}

// udpWorker answers the queries of one socket until it is closed. The error is
// that it could not be set up.
func (s *Server) udpWorker(ctx context.Context, c *net.UDPConn, at netip.Addr, slow *slowUDP) error {
	b, err := newBatch(c, at)
	if err != nil {
		return err
	}
	answers := make([][]byte, udpBatch)
	for i := range answers {
		answers[i] = make([]byte, 0, minUDP)
	}
	r := s.newRequest(true)
	r.wait, r.counts = false, s.m.queries.shard()
	for {
		n, err := b.read()
		if err != nil {
			return nil
		}
		for i := range n {
			msg, from := b.query(i)
			if from.Port() == 0 {
				continue
			}
			out, err := r.handle(ctx, msg, answers[i][:0], from, nil)
			if errors.Is(err, errLater) {
				slow.start(ctx, c, bytes.Clone(msg), from, bytes.Clone(b.source(i)))
				continue
			}
			if answers[i] = out; len(out) > 0 {
				b.reply(i, out)
			}
		}
		b.flush()
	}
}

// slowUDP answers queries that must wait for content, apart from the workers.
type slowUDP struct {
	s     *Server
	limit chan struct{}
	wg    sync.WaitGroup
}

// start answers a query; source is the control message for the answer.
func (u *slowUDP) start(ctx context.Context, c *net.UDPConn, msg []byte, from netip.AddrPort, source []byte) {
	select {
	case u.limit <- struct{}{}:
	default:
		u.s.m.dropped.WithLabelValues("busy").Inc()
		return
	}
	u.wg.Go(func() {
		defer func() { <-u.limit }()
		out, err := u.s.newRequest(true).handle(ctx, msg, make([]byte, 0, wire.HeaderLen+minUDP), from, nil)
		if err == nil && len(out) > 0 {
			_, _, _ = c.WriteMsgUDPAddrPort(out, source, from) // lost, where it cannot be sent
		}
	})
}
