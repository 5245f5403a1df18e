package commands

import (
	"github.com/spf13/cobra"
)

func newConfigCmd(a *App) *cobra.Command {
	return group("config", "Show and check the configuration",
		`Shows the settings that hold, and checks the files they come from. The settings
themselves are explained by: dnsctl environment`,
		newConfigShowCmd(a), newConfigCheckCmd(a))
}
