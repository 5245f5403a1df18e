//go:build !linux

package mdns

import (
	"context"
	"errors"
	"net"
	"net/netip"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// listenUDP opens a socket, which the workers share.
func listenUDP(ctx context.Context, network, addr string, n int) ([]*net.UDPConn, error) {
	c, err := (&net.ListenConfig{}).ListenPacket(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	all := make([]*net.UDPConn, n)
	for i := range all {
		all[i] = c.(*net.UDPConn)
	}
	return all, nil
}

// batch reads one query at a time and writes its answer.
type batch struct {
	c        *net.UDPConn
	wildcard bool
	v4       bool
	buf      [maxQuery]byte
	oob      [oobSize]byte
	n, noob  int
	from     netip.AddrPort
}

func newBatch(c *net.UDPConn, at netip.Addr) (*batch, error) {
	b := &batch{c: c, wildcard: at.IsUnspecified(), v4: at.Is4()}
	switch {
	case !b.wildcard:
		return b, nil
	case b.v4:
		return b, ipv4.NewPacketConn(c).SetControlMessage(ipv4.FlagDst, true)
	}
	return b, ipv6.NewPacketConn(c).SetControlMessage(ipv6.FlagDst, true)
}

func (b *batch) read() (n int, err error) {
	b.n, b.noob, _, b.from, err = b.c.ReadMsgUDPAddrPort(b.buf[:], b.oob[:])
	switch {
	case err == nil:
		return 1, nil
	case errors.Is(err, net.ErrClosed):
		return 0, err
	}
	return 0, nil
}

func (b *batch) query(int) (msg []byte, from netip.AddrPort) { return b.buf[:b.n], b.from }

func (b *batch) reply(i int, answer []byte) {
	_, _, _ = b.c.WriteMsgUDPAddrPort(answer, b.source(i), b.from)
}

func (b *batch) source(int) []byte {
	if !b.wildcard {
		return nil
	}
	if b.v4 {
		var cm ipv4.ControlMessage
		if cm.Parse(b.oob[:b.noob]) != nil || cm.Dst == nil {
			return nil
		}
		return (&ipv4.ControlMessage{Src: cm.Dst}).Marshal()
	}
	var cm ipv6.ControlMessage
	if cm.Parse(b.oob[:b.noob]) != nil || cm.Dst == nil {
		return nil
	}
	return (&ipv6.ControlMessage{Src: cm.Dst}).Marshal()
}

func (b *batch) flush() {}
