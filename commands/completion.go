package commands

import (
	"github.com/spf13/cobra"
)

func newCompletionCmd(a *App) *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell",
		Short: "A script that completes commands in your shell",
		Long: `Prints a completion script for the shell. Names of zones, pools, servers and keys
are completed from the database, when it answers within half a second. It is only
looked at: never made, and no file is left beside it.

  bash   dnsctl completion bash > /etc/bash_completion.d/dnsctl
  zsh    dnsctl completion zsh > "${fpath[1]}/_dnsctl"
  fish   dnsctl completion fish > ~/.config/fish/completions/dnsctl.fish`,
		Example:   "  dnsctl completion bash",
		ValidArgs: shells,
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		RunE: func(cmd *cobra.Command, args []string) error {
			root, w := cmd.Root(), a.Out.Out
			switch args[0] {
			case "zsh":
				return root.GenZshCompletion(w)
			case "fish":
				return root.GenFishCompletion(w, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(w)
			}
			return root.GenBashCompletionV2(w, true)
		},
	}
}
