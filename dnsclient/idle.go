package dnsclient

import (
	"errors"
	"net"
	"net/netip"
	"sync"
)

// idle are connected UDP sockets that wait for the next NOTIFY to their server:
// to open one and to close it costs more than to send.
type idle struct {
	mu     sync.Mutex
	to     map[netip.AddrPort][]*net.UDPConn
	closed bool
}

// take is a socket that is connected to the server; nil when none waits.
func (i *idle) take(addr netip.AddrPort) *net.UDPConn {
	i.mu.Lock()
	defer i.mu.Unlock()
	all := i.to[addr]
	if len(all) == 0 {
		return nil
	}
	conn := all[len(all)-1]
	i.to[addr] = all[:len(all)-1]
	return conn
}

// keep has the socket wait, where fewer than most do. Its last exchange must have
// ended well: an error that is on its way would be that of the next.
func (i *idle) keep(addr netip.AddrPort, conn *net.UDPConn, most int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed || len(i.to[addr]) >= most {
		_ = conn.Close()
		return
	}
	if i.to == nil {
		i.to = make(map[netip.AddrPort][]*net.UDPConn)
	}
	i.to[addr] = append(i.to[addr], conn)
}

// Close ends the sockets that Keep has kept; further ones are not kept.
func (c *Client) Close() error {
	c.idle.mu.Lock()
	defer c.idle.mu.Unlock()
	var errs []error
	for _, all := range c.idle.to {
		for _, conn := range all {
			errs = append(errs, conn.Close())
		}
	}
	c.idle.to, c.idle.closed = nil, true
	return errors.Join(errs...)
}
