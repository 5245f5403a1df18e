// Command dnsctl is a hidden primary that serves DNS zones from SQL, and keeps
// nameservers in agreement with it.
package main

import (
	"os"

	"dnsctl/commands"
)

func main() {
	os.Exit(commands.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Environ()))
}
