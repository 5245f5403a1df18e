package commands

import (
	"github.com/spf13/cobra"

	"dnsctl/render"
)

func newConfigCheckCmd(a *App) *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Check the configuration files and the environment",
		Long: `Reads flags, environment and configuration files as every command does and lists
the files that were read. What is wrong is an error that names the file or
variable, the key, and the remedy; the exit code is then 2.`,
		Example: "  dnsctl config check",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return runConfigCheck(a) },
	}
}

// runConfigCheck has little to do: the configuration was read before.
func runConfigCheck(a *App) error {
	list := render.List[string]{Nothing: "no configuration file: every setting is a default, a flag or an environment variable",
		Columns: []render.Column[string]{
			{Name: "file", Value: func(f string) any { return f }},
			{Name: "status", Value: func(string) any { return "ok" }, Style: func(string) render.Style { return render.Good }},
		}}
	return list.Write(a.Out, render.Rows(a.Config.Files))
}
