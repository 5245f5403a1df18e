package mdns

import (
	"net"

	"golang.org/x/sys/unix"
)

// waiting is how many octets the kernel has of us that the client has not
// acknowledged (tcp(7), SIOCOUTQ).
func waiting(c *net.TCPConn) (octets int64) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) {
		n, err := unix.IoctlGetInt(int(fd), unix.SIOCOUTQ)
		if err == nil {
			octets = int64(n)
		}
	})
	return octets
}
