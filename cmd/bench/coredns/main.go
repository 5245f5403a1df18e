// Command coredns is CoreDNS with the plugins that `make bench` measures it
// with, so that it is built in a fraction of the time that all of them take.
// It is a module of its own: nothing of it comes into dnsctl.
package main

import (
	"github.com/coredns/coredns/coremain"

	_ "github.com/coredns/coredns/plugin/auto"
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/multisocket"
	_ "github.com/coredns/coredns/plugin/transfer"
	_ "github.com/coredns/coredns/plugin/tsig"
)

func main() { coremain.Run() }
