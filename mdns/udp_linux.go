package mdns

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// listenUDP opens n sockets on one address, among which the kernel divides the
// clients (socket(7), SO_REUSEPORT), so that no two workers wait for one. That the
// address is not another program's is known from TCP, which is listened on before
// and not shared.
func listenUDP(ctx context.Context, network, addr string, n int) ([]*net.UDPConn, error) {
	share := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		cerr := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) })
		if err == nil {
			err = cerr
		}
		return err
	}}
	var all []*net.UDPConn
	for range n {
		c, err := share.ListenPacket(ctx, network, addr)
		if err != nil {
			for _, c := range all {
				_ = c.Close()
			}
			return nil, err
		}
		u := c.(*net.UDPConn)
		_ = u.SetReadBuffer(udpBuffer) // the kernel gives what it is set to give
		all = append(all, u)
	}
	return all, nil
}

// udpBuffer is how many octets of queries are to wait for a worker, in memory of
// the kernel, which for a short query takes about a kilobyte.
const udpBuffer = 1 << 20

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
}

// batch reads queries from a socket and writes the answers to it, up to udpBatch
// by one system call (recvmmsg(2), sendmmsg(2)), and allocates nothing. One
// goroutine has it.
type batch struct {
	raw      syscall.RawConn
	wildcard bool // the socket listens on all addresses: answers come from the one that was asked
	in, out  [udpBatch]mmsghdr
	inIOV    [udpBatch]unix.Iovec
	outIOV   [udpBatch]unix.Iovec
	names    [udpBatch]unix.RawSockaddrInet6 // or the shorter one of IPv4
	control  [udpBatch][oobSize]byte
	bufs     [udpBatch][maxQuery]byte
	queued   int // answers

	// What the system calls are given and return, since a closure made for each of
	// them would be an allocation.
	sent, n    int
	errno      syscall.Errno
	recv, send func(fd uintptr) bool
}

func newBatch(c *net.UDPConn, at netip.Addr) (*batch, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	b := &batch{raw: raw, wildcard: at.IsUnspecified()}
	if b.wildcard {
		level, option := unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO
		if at.Is4() {
			level, option = unix.IPPROTO_IP, unix.IP_PKTINFO
		}
		cerr := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), level, option, 1) })
		if err == nil {
			err = cerr
		}
		if err != nil {
			return nil, err
		}
	}
	for i := range b.in {
		b.inIOV[i].Base = &b.bufs[i][0]
		b.inIOV[i].SetLen(maxQuery)
		b.in[i].hdr.Name = (*byte)(unsafe.Pointer(&b.names[i]))
		b.in[i].hdr.Iov = &b.inIOV[i]
		b.in[i].hdr.SetIovlen(1)
	}
	b.recv = func(fd uintptr) bool {
		for {
			n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&b.in[0])), udpBatch, unix.MSG_DONTWAIT, 0, 0)
			if b.n, b.errno = int(n), errno; errno != unix.EINTR {
				return errno != unix.EAGAIN
			}
		}
	}
	b.send = func(fd uintptr) bool {
		for {
			n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&b.out[b.sent])), uintptr(b.queued-b.sent), unix.MSG_DONTWAIT, 0, 0)
			if b.n, b.errno = int(n), errno; errno != unix.EINTR {
				return errno != unix.EAGAIN
			}
		}
	}
	return b, nil
}

// read waits for queries and says how many there are. The error is that the
// socket is closed.
func (b *batch) read() (int, error) {
	for i := range b.in {
		h := &b.in[i].hdr
		h.Namelen = unix.SizeofSockaddrInet6
		if b.wildcard {
			h.Control = &b.control[i][0]
			h.SetControllen(oobSize)
		}
	}
	if err := b.raw.Read(b.recv); err != nil {
		return 0, err
	}
	if b.errno != 0 { // an ICMP error for an earlier answer
		return 0, nil
	}
	return b.n, nil
}

// query is the i-th query that was read, valid until the next read, and whose it
// is.
func (b *batch) query(i int) (msg []byte, from netip.AddrPort) {
	a := &b.names[i]
	port := binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&a.Port))[:])
	if a.Family == unix.AF_INET {
		return b.bufs[i][:b.in[i].len], netip.AddrPortFrom(netip.AddrFrom4((*unix.RawSockaddrInet4)(unsafe.Pointer(a)).Addr), port)
	}
	return b.bufs[i][:b.in[i].len], netip.AddrPortFrom(netip.AddrFrom16(a.Addr), port)
}

// reply queues the answer to the i-th query, until flush or the next read.
func (b *batch) reply(i int, answer []byte) {
	k := b.queued
	b.outIOV[k].Base = &answer[0]
	b.outIOV[k].SetLen(len(answer))
	h := &b.out[k].hdr
	h.Name, h.Namelen = b.in[i].hdr.Name, b.in[i].hdr.Namelen
	h.Iov = &b.outIOV[k]
	h.SetIovlen(1)
	h.Control, h.Controllen = nil, 0
	if oob := b.source(i); len(oob) > 0 {
		h.Control = &oob[0]
		h.SetControllen(len(oob))
	}
	b.queued++
}

// source is the control message that sends an answer from where the i-th query
// was sent to (ip(7), ipv6(7)); empty when that is the socket's address. The one
// that came with the query becomes it: the interface is the kernel's to choose.
func (b *batch) source(i int) []byte {
	if !b.wildcard {
		return nil
	}
	oob := b.control[i][:b.in[i].hdr.Controllen]
	if len(oob) < unix.SizeofCmsghdr {
		return nil
	}
	h := (*unix.Cmsghdr)(unsafe.Pointer(&oob[0]))
	data := oob[unix.CmsgLen(0):]
	switch {
	case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
		p := (*unix.Inet4Pktinfo)(unsafe.Pointer(&data[0]))
		p.Ifindex, p.Spec_dst = 0, p.Addr
		return oob[:unix.CmsgSpace(unix.SizeofInet4Pktinfo)]
	case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
		(*unix.Inet6Pktinfo)(unsafe.Pointer(&data[0])).Ifindex = 0
		return oob[:unix.CmsgSpace(unix.SizeofInet6Pktinfo)]
	}
	return nil
}

// flush writes what is queued; what the kernel refuses is lost, as UDP may be.
func (b *batch) flush() {
	for b.sent = 0; b.sent < b.queued; {
		if b.raw.Write(b.send) != nil { // closed
			break
		}
		if b.errno != 0 {
			b.n = 1
		}
		b.sent += max(b.n, 1)
	}
	b.queued = 0
}
