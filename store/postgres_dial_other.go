//go:build !linux

package store

import (
	"syscall"
	"time"
)

// giveUpAfter is not known here: keep-alive alone finds connections that are cut.
func giveUpAfter(time.Duration) func(network, address string, c syscall.RawConn) error { return nil }
