package testbed

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"syscall"
)

// Ports are taken from below the range that Linux gives to outgoing
// connections (32768 and up), so that no connection takes one in between.
const (
	firstPort = 20000
	lastPort  = 32000
)

// FreePort is a port of 127.0.0.1 that is free for TCP and UDP and that no other
// test, of this process or another, is given before this one ends.
func FreePort(t T) int {
	t.Helper()
	port, lock, err := reservePort()
	if err != nil {
		t.Fatalf("find a free port: %v", err)
	}
	t.Cleanup(func() { _ = lock.Close() })
	return port
}

// FreeAddr is 127.0.0.1 with a FreePort.
func FreeAddr(t T) string {
	t.Helper()
	return loopback(FreePort(t))
}

func loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// reservePort finds a free port. The reservation is a listening socket of that
// number in Linux's abstract namespace (unix(7)): it vanishes with its process,
// and unlike holding the port itself it does not keep the server from it.
func reservePort() (int, io.Closer, error) {
	const span = lastPort - firstPort
	start := rand.IntN(span)
	for i := range span {
		port := firstPort + (start+i)%span
		lock, err := net.Listen("unix", fmt.Sprintf("@dnsctl-testbed-%d", port))
		if err != nil {
			continue
		}
		if portIsFree(port) {
			return port, lock, nil
		}
		_ = lock.Close()
	}
	return 0, nil, fmt.Errorf("no port between %d and %d is free", firstPort, lastPort)
}

// portIsFree opens the port and closes it again. Nothing may fork in between: a
// child has what is open here until its exec, and the port with it.
func portIsFree(port int) bool {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	l, err := net.Listen("tcp", loopback(port))
	if err != nil {
		return false
	}
	defer l.Close()
	u, err := net.ListenPacket("udp", loopback(port))
	if err != nil {
		return false
	}
	return u.Close() == nil
}
