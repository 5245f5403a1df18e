package commands

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"dnsctl/config"
	"dnsctl/render"
)

// Groups of the command list.
const (
	groupData   = "data"
	groupFleet  = "fleet"
	groupRun    = "run"
	groupSystem = "system"
	groupTopics = "topics"
)

// newRootCmd builds the whole command tree.
func newRootCmd(a *App) *cobra.Command {
	root := &cobra.Command{
		Use:   "dnsctl COMMAND",
		Short: "A hidden primary over SQL that keeps nameservers in agreement with it",
		Long: `dnsctl keeps DNS zones in an SQL database, serves them to your nameservers as a
hidden primary, and keeps those nameservers in agreement with the database.

Without any configuration everything works on an SQLite file.`,
		Example: `  dnsctl pool create main --primary 127.0.0.1:5300 --ns ns1.example.net --email hostmaster@example.net
  dnsctl zone create example.org
  dnsctl record set example.org www A 192.0.2.1`,
		SilenceErrors:         true,
		DisableFlagsInUseLine: true,
		SilenceUsage:          true,
		Args:                  unknownCommand,
		RunE:                  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkFlags(cmd); err != nil {
				return err
			}
			return a.prepare(cmd)
		},
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.AddGroup(
		&cobra.Group{ID: groupData, Title: "Zones and records:"},
		&cobra.Group{ID: groupFleet, Title: "Nameservers and how zones reach them:"},
		&cobra.Group{ID: groupRun, Title: "Serving and keeping in agreement:"},
		&cobra.Group{ID: groupSystem, Title: "This program:"},
		&cobra.Group{ID: groupTopics, Title: "Help topics:"},
	)
	a.bindGlobal(root)
	for _, g := range []struct {
		id       string
		commands []*cobra.Command
	}{
		{groupData, []*cobra.Command{newZoneCmd(a), newRecordCmd(a)}},
		{groupFleet, []*cobra.Command{newPoolCmd(a), newServerCmd(a), newTSIGCmd(a), newFleetCmd(a)}},
		{groupRun, []*cobra.Command{newMDNSCmd(a), newBootstrapCmd(a), newSyncCmd(a), newAuditCmd(a), newDrainCmd(a), newUndrainCmd(a), newTaskCmd(a), newQuarantineCmd(a)}},
		{groupSystem, []*cobra.Command{newDBCmd(a), newConfigCmd(a), newCompletionCmd(a), newVersionCmd(a)}},
	} {
		for _, c := range g.commands {
			c.GroupID = g.id
			root.AddCommand(c)
		}
	}
	root.AddCommand(newTopics(a)...)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return flagError(cmd, err) })
	root.SetHelpCommandGroupID(groupTopics)
	root.SetHelpCommand(&cobra.Command{Use: "help [COMMAND]", Short: "Help about a command", Hidden: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			found, rest, err := cmd.Root().Find(args)
			switch {
			case err != nil:
				return unknownCommand(cmd.Root(), args)
			case len(rest) > 0:
				return unknownCommand(found, rest)
			}
			return found.Help()
		}})
	wrapArgs(root)
	a.completeAll(root)
	return root
}

// bindGlobal defines the flags that every command has.
func (a *App) bindGlobal(root *cobra.Command) {
	f := root.PersistentFlags()
	f.SortFlags = false
	f.StringVar(&a.flags.config, "config", "", "read this configuration `file` before the user's and the system's")
	f.String("store", "", "the `URL` of the database, sqlite:PATH or postgres://USER@HOST/DATABASE")
	f.VarP(newEnum(&a.flags.output, "table", formats()...), "output", "o", "format of the output")
	f.StringSliceVar(&a.flags.columns, "columns", nil, "show these `columns`, in this order")
	f.BoolVar(&a.flags.noHeaders, "no-headers", false, "leave the headings out")
	f.BoolVarP(&a.flags.quiet, "quiet", "q", false, "no progress and no remarks, only results and errors")
	f.CountVarP(&a.flags.verbose, "verbose", "v", "log more; twice for everything")
	var color, logFormat string
	f.Var(newEnum(&color, "auto", "auto", "always", "never"), "color", "when to use color")
	f.Var(newEnum(&logFormat, "text", "text", "json"), "log-format", "format of the log")
	f.BoolVar(&a.flags.yes, "yes", false, "do without asking what would be asked on a terminal")
	f.Duration("timeout", 0, "bound the whole run, as 30s or 10m; 0 is no bound")
}

func formats() []string {
	out := make([]string, len(render.Formats))
	for i, f := range render.Formats {
		out[i] = string(f)
	}
	return out
}

// group makes a command that only holds others.
func group(use, short, long string, subs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use + " COMMAND", Short: short, Long: long, Args: unknownCommand, DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usagef("name one of "+strings.Join(names(cmd), ", "), "%s: which command?", cmd.CommandPath())
		}}
	c.AddCommand(subs...)
	return c
}

func names(cmd *cobra.Command) []string {
	var out []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			out = append(out, c.Name())
		}
	}
	return out
}

// unknownCommand is the Args of commands that take only subcommands.
func unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := "the commands are listed by: " + cmd.CommandPath() + " --help"
	if near := config.Nearest(args[0], names(cmd)); near != "" {
		hint = fmt.Sprintf("did you mean: %s %s", cmd.CommandPath(), near)
	}
	return usagef(hint, "unknown command %q for %s", args[0], cmd.CommandPath())
}

// enum is a flag that takes one of a few words.
type enum struct {
	value   *string
	allowed []string
}

func newEnum(value *string, def string, allowed ...string) *enum {
	*value = def
	return &enum{value, allowed}
}

func (e *enum) String() string {
	if e.value == nil {
		return ""
	}
	return *e.value
}

func (e *enum) Set(s string) error {
	if !slices.Contains(e.allowed, s) {
		return fmt.Errorf("want one of %s", strings.Join(e.allowed, ", "))
	}
	*e.value = s
	return nil
}

// Type is what help shows for the value.
func (e *enum) Type() string { return strings.Join(e.allowed, "|") }

var _ pflag.Value = (*enum)(nil)
