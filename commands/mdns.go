package commands

import (
	"github.com/spf13/cobra"
)

func newMDNSCmd(a *App) *cobra.Command {
	return group("mdns", "Serve zones to the nameservers, and see who does",
		`mdns is the hidden primary: it serves the zones of the database to the nameservers.`,
		newMDNSServeCmd(a), newMDNSStatusCmd(a))
}
