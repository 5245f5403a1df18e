package commands

import (
	"time"

	"github.com/spf13/cobra"

	"dnsctl/config"
	"dnsctl/render"
)

func newConfigShowCmd(a *App) *cobra.Command {
	var origin bool
	c := &cobra.Command{
		Use:   "show",
		Short: "The settings that hold",
		Long: `Shows every setting with the value that holds. With --origin also where it comes
from: a flag, an environment variable, a file, or the default. Passwords in URLs
are left out.`,
		Example: "  dnsctl config show\n  dnsctl config show --origin\n  dnsctl config show -o json",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return runConfigShow(a, origin) },
	}
	c.Flags().BoolVar(&origin, "origin", false, "say where each value comes from")
	return c
}

func runConfigShow(a *App, origin bool) error {
	show := render.DataOnly
	if origin {
		show = render.Always
	}
	list := render.List[config.Value]{Columns: []render.Column[config.Value]{
		{Name: "key", Value: func(v config.Value) any { return v.Key }},
		{Name: "value", Value: func(v config.Value) any {
			if d, ok := v.Safe().(time.Duration); ok {
				return d.String() // as settings are written
			}
			return v.Safe()
		}},
		{Name: "source", Value: func(v config.Value) any { return string(v.Source) }, Show: show},
		{Name: "place", Value: func(v config.Value) any { return v.Place }, Show: show},
	}}
	return list.Write(a.Out, render.Rows(a.Config.Values))
}
