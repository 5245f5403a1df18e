package mdns

import (
	"context"
	"errors"
	"net"
	"runtime"
	"sync"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"dnsctl/wire"
)

const (
	udpBatch   = 32   // messages read and written at once
	maxQuery   = 4096 // octets of a query over UDP; longer ones are cut and fail
	maxSlowUDP = 512  // queries over UDP that may wait for content at once
)

// packetConn reads and writes batches; ipv4.PacketConn and ipv6.PacketConn are
// one.
type packetConn interface {
	ReadBatch([]ipv4.Message, int) (int, error)
	WriteBatch([]ipv4.Message, int) (int, error)
}

// oobSize is room for the control message that says which of our addresses a
// query was sent to.
const oobSize = 64

// batched wraps a socket. On one that listens on all addresses, the answer must
// come from the address that was asked.
func batched(k *socket) (pc packetConn, wildcard bool) {
	wildcard = k.addr.Addr().IsUnspecified()
	if k.addr.Addr().Is4() {
		p := ipv4.NewPacketConn(k.udp)
		if wildcard {
			wildcard = p.SetControlMessage(ipv4.FlagDst, true) == nil
		}
		return p, wildcard
	}
	p := ipv6.NewPacketConn(k.udp)
	if wildcard {
		wildcard = p.SetControlMessage(ipv6.FlagDst, true) == nil
	}
	return p, wildcard
}

// source is the control message that sends an answer from where the query was
// sent to; nil when that is not known.
func source(oob []byte, v4 bool) []byte {
	if v4 {
		var cm ipv4.ControlMessage
		if cm.Parse(oob) != nil || cm.Dst == nil {
			return nil
		}
		return (&ipv4.ControlMessage{Src: cm.Dst}).Marshal()
	}
	var cm ipv6.ControlMessage
	if cm.Parse(oob) != nil || cm.Dst == nil {
		return nil
	}
	return (&ipv6.ControlMessage{Src: cm.Dst}).Marshal()
}

// serveUDP answers queries until the socket is closed.
func (s *Server) serveUDP(ctx context.Context, k *socket) {
	var wg sync.WaitGroup
	slow := &slowUDP{s: s, limit: make(chan struct{}, maxSlowUDP)}
	for range max(2, runtime.GOMAXPROCS(0)) {
		wg.Go(func() { s.udpWorker(ctx, k, slow) })
	}
	wg.Wait()
	slow.wg.Wait()
}

func (s *Server) udpWorker(ctx context.Context, k *socket, slow *slowUDP) {
	pc, wildcard := batched(k)
	in := make([]ipv4.Message, udpBatch)
	answers := make([]ipv4.Message, 0, udpBatch)
	bufs := make([][]byte, udpBatch)
	for i := range in {
		in[i].Buffers = [][]byte{make([]byte, maxQuery)}
		if wildcard {
			in[i].OOB = make([]byte, oobSize)
		}
		bufs[i] = make([]byte, 0, minUDP)
	}
	r := s.newRequest(true)
	r.wait = false
	for {
		n, err := pc.ReadBatch(in, 0)
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue // an ICMP error for an earlier answer
		}
		answers = answers[:0]
		for i := range in[:n] {
			m := &in[i]
			from, ok := m.Addr.(*net.UDPAddr)
			if !ok || from.Port == 0 {
				continue
			}
			var oob []byte
			if wildcard {
				oob = source(m.OOB[:m.NN], k.addr.Addr().Is4())
			}
			out, err := r.handle(ctx, m.Buffers[0][:m.N], bufs[i][:0], from.AddrPort(), nil)
			if errors.Is(err, errLater) {
				slow.start(ctx, pc, append([]byte(nil), m.Buffers[0][:m.N]...), from, oob)
				continue
			}
			bufs[i] = out
			if len(out) > 0 {
				answers = append(answers, ipv4.Message{Buffers: [][]byte{out}, Addr: from, OOB: oob})
			}
		}
		send(pc, answers)
	}
}

// send writes all messages; what the kernel refuses is lost, as UDP may be.
func send(pc packetConn, m []ipv4.Message) {
	for len(m) > 0 {
		n, err := pc.WriteBatch(m, 0)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		m = m[max(n, 1):]
	}
}

// slowUDP answers queries that must wait for content, apart from the workers.
type slowUDP struct {
	s     *Server
	limit chan struct{}
	wg    sync.WaitGroup
}

func (u *slowUDP) start(ctx context.Context, pc packetConn, msg []byte, from *net.UDPAddr, oob []byte) {
	select {
	case u.limit <- struct{}{}:
	default:
		u.s.m.dropped.WithLabelValues("busy").Inc()
		return
	}
	u.wg.Go(func() {
		defer func() { <-u.limit }()
		out, err := u.s.newRequest(true).handle(ctx, msg, make([]byte, 0, wire.HeaderLen+minUDP), from.AddrPort(), nil)
		if err == nil && len(out) > 0 {
			send(pc, []ipv4.Message{{Buffers: [][]byte{out}, Addr: from, OOB: oob}})
		}
	})
}
