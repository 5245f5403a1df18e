package commands

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"dnsctl/render"
)

// build is what the binary was made of.
type build struct {
	version, commit, goVersion, platform string
	modified                             bool
}

var buildColumns = render.List[build]{Columns: []render.Column[build]{
	{Name: "version", Value: func(b build) any { return b.version }},
	{Name: "commit", Value: func(b build) any { return b.commit }},
	{Name: "modified", Value: func(b build) any { return b.modified }},
	{Name: "go", Value: func(b build) any { return b.goVersion }},
	{Name: "platform", Value: func(b build) any { return b.platform }},
}}

func newVersionCmd(a *App) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "The version of this program",
		Long:    "Shows the version, the commit it was built from, and what built it.",
		Example: "  dnsctl version\n  dnsctl version -o json",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return buildColumns.One(a.Out, thisBuild()) },
	}
}

func thisBuild() build {
	b := build{version: "devel", goVersion: runtime.Version(), platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		b.version = v
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.commit = s.Value
		case "vcs.modified":
			b.modified = s.Value == "true"
		}
	}
	return b
}
