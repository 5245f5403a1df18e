package commands

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"dnsctl/edit"
	"dnsctl/report"
	"dnsctl/zone"
	"dnsctl/zone/zonefile"
)

type recordApplyOptions struct {
	zone, file string
	change     changeFlags
}

func newRecordApplyCmd(a *App) *cobra.Command {
	var o recordApplyOptions
	c := &cobra.Command{
		Use:   "apply ZONE -f FILE",
		Short: "Make many changes at once",
		Long: `Makes all changes of a file (- is standard input) in order as one: all of them, or
none, under one new serial. Each line is one step:

  set NAME [TTL] TYPE DATA      replace the records of NAME and TYPE
  add NAME [TTL] TYPE DATA      add a record
  delete NAME [TYPE [DATA]]     delete a record, a type, or all of NAME

Lines that follow each other with set and the same name and type make one set of
records. Names are written as for the other record commands. Empty lines and lines
that begin with # or ; are left out.`,
		Example: `  dnsctl record apply example.org -f changes
  printf 'set www A 192.0.2.1\ndelete old\n' | dnsctl record apply example.org -f - --if-serial 7`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.zone = args[0]
			return runRecordApply(cmd.Context(), a, o)
		},
	}
	c.Flags().StringVarP(&o.file, "file", "f", "", "the `file` with the changes; - is standard input")
	required(c, "file")
	o.change.bind(c)
	return c
}

// required marks a flag that a command cannot do without.
func required(c *cobra.Command, flags ...string) {
	for _, f := range flags {
		if err := c.MarkFlagRequired(f); err != nil {
			panic(err) // the flag's name is wrong here in the code
		}
	}
}

func runRecordApply(ctx context.Context, a *App, o recordApplyOptions) error {
	z, err := parseZone(o.zone)
	if err != nil {
		return err
	}
	in, file := a.Out.In, "standard input"
	if o.file != "-" {
		f, err := os.Open(o.file)
		if err != nil {
			return report.Fail(report.ExitUsage, fmt.Errorf("--file: %w", err), "name a file of changes, or - for standard input")
		}
		defer f.Close()
		in, file = f, o.file
	}
	ops, err := a.readOps(in, file, z)
	if err != nil {
		return err
	}
	if len(ops) == 0 {
		return report.Fail(report.ExitUsage, fmt.Errorf("%s: there is no change in it", file), "each line is one: set, add or delete, then NAME, and what dnsctl record apply --help says")
	}
	return a.editRecords(ctx, o.zone, ops, o.change)
}

// readOps reads the steps of record apply.
func (a *App) readOps(r io.Reader, file string, z zone.Name) ([]edit.Op, error) {
	var ops []edit.Op
	s := bufio.NewScanner(r)
	s.Buffer(nil, 1<<20)
	line, lastSet := 0, ""
	for s.Scan() {
		line++
		text := strings.TrimSpace(s.Text())
		if text == "" || text[0] == '#' || text[0] == ';' {
			continue
		}
		op, err := a.parseLine(text, z)
		if err != nil {
			return nil, atLine(file, line, err)
		}
		op.Place = fmt.Sprintf("%s:%d", file, line)
		set := ""
		if op.Verb == edit.Set {
			set = string(op.Owner.Key()) + " " + op.Type.String()
		}
		if n := len(ops); set != "" && set == lastSet {
			ops[n-1].Data = append(ops[n-1].Data, op.Data...)
			if op.TTL != nil {
				ops[n-1].TTL = op.TTL
			}
			continue
		}
		lastSet = set
		ops = append(ops, op)
	}
	if err := s.Err(); err != nil {
		return nil, atLine(file, line+1, err)
	}
	return ops, nil
}

// atLine says where in a file an error is; the hint stays, the command's usage
// does not belong to it.
func atLine(file string, line int, err error) error {
	hint := "nothing was changed; how steps are written: dnsctl record apply --help"
	var u *usageError
	if errors.As(err, &u) && u.hint != "" {
		hint = u.hint
	}
	return report.Fail(report.ExitUsage, fmt.Errorf("%s:%d: %s", file, line, err.Error()), hint)
}

// parseLine reads VERB NAME [TTL] [TYPE [DATA]].
func (a *App) parseLine(text string, z zone.Name) (edit.Op, error) {
	verb, rest := cutWord(text)
	name, rest := cutWord(rest)
	word, data := cutWord(rest)
	var ttl *uint32
	// A TTL begins with a digit, which no type's name does.
	if word != "" && word[0] >= '0' && word[0] <= '9' && verb != string(edit.Delete) {
		v, err := zonefile.ParseTTL(word)
		if err != nil {
			return edit.Op{}, err
		}
		ttl = &v
		word, data = cutWord(data)
	}
	var records []string
	if data != "" {
		records = []string{data}
	}
	switch v := edit.Verb(verb); {
	case v != edit.Set && v != edit.Add && v != edit.Delete:
		return edit.Op{}, usagef("each line begins with set, add or delete", "%q begins no step", verb)
	case name == "":
		return edit.Op{}, usagef("write "+verb+" NAME ...", "%s: the name is missing", verb)
	case v != edit.Delete && (word == "" || data == ""):
		return edit.Op{}, usagef("write "+verb+" NAME [TTL] TYPE DATA", "%s %s: the type or the data is missing", verb, name)
	}
	op, err := a.parseOp(edit.Verb(verb), z, name, word, records)
	op.TTL = ttl
	return op, err
}

// cutWord splits at the first white space.
func cutWord(s string) (word, rest string) {
	s = strings.TrimLeft(s, " \t")
	i := strings.IndexAny(s, " \t")
	if i < 0 {
		return s, ""
	}
	return s[:i], strings.TrimLeft(s[i:], " \t")
}
