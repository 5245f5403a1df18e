package commands

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"dnsctl/config"
	"dnsctl/report"
)

// asFlag is errors.As for pflag's errors.
func asFlag[T error](err error, target *T) bool { return errors.As(err, target) }

// newTopics makes the help topics. They are commands, so that they show up where
// commands do, man pages included.
func newTopics() []*cobra.Command {
	topics := []*cobra.Command{
		{Use: "environment", Short: "Settings: files, environment variables, precedence", Long: environmentTopic()},
		{Use: "exit-codes", Short: "What the exit codes mean", Long: exitCodesTopic()},
		{Use: "output", Short: "Formats of the output and what scripts may rely on", Long: outputTopic},
	}
	for _, t := range topics {
		t.GroupID = groupTopics
		t.Args = cobra.NoArgs
		t.Example = "  dnsctl " + t.Use
		t.RunE = func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), cmd.Long)
			return err
		}
	}
	return topics
}

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

const outputTopic = `Results go to standard output, everything else to standard error.

  table   on a terminal aligned columns, relative times and colors; elsewhere
          tab-separated values, never cut, with times in RFC 3339 and UTC
  wide    table with all columns
  json    one JSON document; its fields are only ever added to
  jsonl   one JSON object per line
  yaml    the same as json, as YAML
  csv     comma-separated values with a line of headings
  name    names only, one per line, for use in other commands

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
