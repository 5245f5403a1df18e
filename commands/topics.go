package commands

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"dnsctl/config"
	"dnsctl/render"
	"dnsctl/report"
)

// newTopics makes the help topics. They are commands, so that they show up where
// commands do, man pages included.
func newTopics(a *App) []*cobra.Command {
	return []*cobra.Command{
		topic(a, "environment", "Settings: files, environment variables, precedence", environmentTopic(), settingColumns, config.Reference),
		topic(a, "exit-codes", "What the exit codes mean", exitCodesTopic(), exitCodeColumns, func() ([]report.ExitCode, error) { return report.ExitCodes, nil }),
		topic(a, "output", "Formats of the output and what scripts may rely on", outputTopic(), formatColumns, func() ([]formatUse, error) { return formatUses, nil }),
	}
}

// topic makes one: a text for people, and its list for programs.
func topic[T any](a *App, use, short, long string, list render.List[T], rows func() ([]T, error)) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Long: long, GroupID: groupTopics, Args: cobra.NoArgs, Example: "  dnsctl " + use + "\n  dnsctl " + use + " -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !a.Out.Format.Machine() && a.Out.Format != render.Name && len(a.Out.Columns) == 0 {
				_, err := fmt.Fprintln(a.Out.Out, cmd.Long)
				return err
			}
			all, err := rows()
			if err != nil {
				return err
			}
			return list.Write(a.Out, render.Rows(all))
		},
	}
}

var settingColumns = render.List[config.Entry]{Columns: []render.Column[config.Entry]{
	{Name: "key", Value: func(e config.Entry) any { return e.Key }},
	{Name: "variable", Value: func(e config.Entry) any { return e.Env }},
	{Name: "flag", Value: func(e config.Entry) any {
		if e.Flag == "" {
			return ""
		}
		return "--" + e.Flag
	}},
	{Name: "default", Value: func(e config.Entry) any { return e.Default }},
	{Name: "use", Value: func(e config.Entry) any { return e.Doc }},
}}

var exitCodeColumns = render.List[report.ExitCode]{Columns: []render.Column[report.ExitCode]{
	{Name: "code", Value: func(e report.ExitCode) any { return int(e.Code) }},
	{Name: "meaning", Value: func(e report.ExitCode) any { return e.Meaning }},
}}

// formatUse says what a format is for.
type formatUse struct {
	format render.Format
	use    string
}

var formatUses = []formatUse{
	{render.Table, "on a terminal aligned columns, relative times and colors; elsewhere tab-separated values, never cut, with times in RFC 3339 and UTC"},
	{render.Wide, "table with all columns"},
	{render.JSON, "one JSON document; its fields are only ever added to"},
	{render.JSONL, "one JSON object per line"},
	{render.YAML, "the same as json, as YAML"},
	{render.CSV, "comma-separated values with a line of headings"},
	{render.Name, "names only, one per line, for use in other commands"},
}

var formatColumns = render.List[formatUse]{Columns: []render.Column[formatUse]{
	{Name: "format", Value: func(f formatUse) any { return string(f.format) }},
	{Name: "use", Value: func(f formatUse) any { return f.use }},
}}

func exitCodesTopic() string {
	var b strings.Builder
	b.WriteString("Every dnsctl command ends with one of these codes:\n\n")
	for _, e := range report.ExitCodes {
		fmt.Fprintf(&b, "  %3d  %s\n", e.Code, e.Meaning)
	}
	b.WriteString(`
2, 10, 11 and 130 end a run before or instead of its work. Otherwise the worst
wins, in this order: 1, 4, 6, 5, 7, 3.`)
	return b.String()
}

func environmentTopic() string {
	var b strings.Builder
	b.WriteString(`A setting is taken from the first place that has it:

  1. the flag
  2. the environment variable
  3. the file named by --config or DNSCTL_CONFIG
  4. $XDG_CONFIG_HOME/dnsctl/dnsctl.yaml (~/.config/dnsctl/dnsctl.yaml)
  5. /etc/dnsctl/dnsctl.yaml
  6. the default

In files, settings with a dot are written in sections: log.format is the key
format below log:. An unknown key or variable is an error. What holds, and why,
is shown by: dnsctl config show --origin

`)
	entries, err := config.Reference()
	if err != nil {
		return err.Error()
	}
	for _, e := range entries {
		fmt.Fprintf(&b, "%s\n", e.Key)
		from := e.Env
		if e.Flag != "" {
			from = "--" + e.Flag + ", " + from
		}
		if e.Default != "" {
			from += "; default " + e.Default
		}
		fmt.Fprintf(&b, "    %s\n%s\n", from, wrap(e.Doc, 76, "    "))
	}
	b.WriteString(`NO_COLOR, CLICOLOR_FORCE and TERM=dumb are honoured as usual.`)
	return b.String()
}

func outputTopic() string {
	var b strings.Builder
	b.WriteString("Results go to standard output, everything else to standard error.\n\n")
	for _, f := range formatUses {
		text := strings.TrimLeft(wrap(f.use, 80, "          "), " ")
		fmt.Fprintf(&b, "  %-6s  %s", f.format, text)
	}
	return b.String() + outputRest
}

const outputRest = `
--columns chooses columns by their names, which are the JSON fields' names;
--no-headers leaves the headings out. Names of zones end in a dot. Lists are []
when they are empty, never null. With -o json and jsonl an error is a JSON object
on standard error: {"error":...,"hint":...,"exit":...}.

On a terminal, internationalised names are followed by their Unicode form.
Progress is shown on standard error; --quiet turns it off.`

// wrap breaks text into lines of at most width, each after indent.
func wrap(text string, width int, indent string) string {
	var b strings.Builder
	line := indent
	for _, word := range strings.Fields(text) {
		if len(line) > len(indent) && len(line)+1+len(word) > width {
			b.WriteString(line + "\n")
			line = indent
		}
		if len(line) > len(indent) {
			line += " "
		}
		line += word
	}
	return b.String() + line + "\n"
}
