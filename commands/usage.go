package commands

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"dnsctl/config"
)

// flagError makes a usage error of what pflag says is wrong with a flag.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		var flags []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden {
				flags = append(flags, f.Name)
			}
		})
		hint := ""
		if near := config.Nearest(unknown.GetSpecifiedName(), flags); near != "" {
			hint = "did you mean --" + near
		}
		return &usageError{err, hint}
	}
	var value *pflag.InvalidValueError
	if errors.As(err, &value) {
		return valueError(value.GetFlag(), value.GetValue(), errors.Unwrap(value))
	}
	return &usageError{err, ""}
}

// valueError says what is wrong with a flag's value.
func valueError(f *pflag.Flag, value string, err error) error {
	if e, ok := f.Value.(*enum); ok {
		hint := ""
		if near := config.Nearest(value, e.allowed); near != "" {
			hint = "did you mean --" + f.Name + " " + near
		}
		return usagef(hint, "--%s %q: want one of %s", f.Name, value, strings.Join(e.allowed, ", "))
	}
	switch t := f.Value.Type(); {
	case t == "duration":
		return usagef("write 30s, 10m or 1h30m", "--%s %q is no duration", f.Name, value)
	case t == "bool":
		return usagef("leave the value out, or write true or false", "--%s %q is neither true nor false", f.Name, value)
	case strings.HasPrefix(t, "int"), strings.HasPrefix(t, "uint"):
		return usagef("", "--%s %q is no number that is possible here", f.Name, value)
	}
	return usagef("", "--%s %q: %v", f.Name, value, err)
}

// neverEmpty are flags that name a file, and without which a run is quite another:
// an empty name comes from a variable that is not set.
var neverEmpty = []string{"plan", "plan-out", "out", "secret-file", "keep"}

// checkFlags makes usage errors of what cobra finds wrong with a command's flags
// together, and of files without a name.
func checkFlags(cmd *cobra.Command) error {
	var missing []string
	var err error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if slices.Equal(f.Annotations[cobra.BashCompOneRequiredFlag], []string{"true"}) && !f.Changed {
			missing = append(missing, "--"+f.Name)
		}
		if slices.Contains(neverEmpty, f.Name) && f.Changed && f.Value.String() == "" {
			what, _ := pflag.UnquoteUsage(f)
			err = usagef("give it a name, or leave the flag out", "--%s names no %s", f.Name, what)
		}
	})
	switch {
	case err != nil:
		return err
	case len(missing) > 0:
		return usagef("", "%s: missing %s", cmd.CommandPath(), strings.Join(missing, ", "))
	}
	if err := cmd.ValidateFlagGroups(); err != nil {
		return groupError(cmd, err)
	}
	return nil
}

// groupError puts into words what cobra says of groups of flags, which it lists
// in brackets: the whole group, and then those that were given.
func groupError(cmd *cobra.Command, err error) error {
	lists := regexp.MustCompile(`\[([^\]]+)\]`).FindAllStringSubmatch(err.Error(), -1)
	flags := func(i int) []string {
		list := strings.Fields(lists[i][1])
		for j := range list {
			list[j] = "--" + list[j]
		}
		return list
	}
	switch len(lists) {
	case 1:
		atLeast := "at least one of"
		if f := cmd.Flags().Lookup(strings.Fields(lists[0][1])[0]); f != nil && slices.Contains(f.Annotations["cobra_annotation_mutually_exclusive"], lists[0][1]) {
			atLeast = "one of"
		}
		return usagef("", "give %s %s", atLeast, strings.Join(flags(0), ", "))
	case 2:
		return usagef("", "%s exclude each other", strings.Join(flags(1), " and "))
	}
	return &usageError{err, ""}
}

// countError says which argument is missing or too many, by the words that the
// command's usage has for them.
func countError(cmd *cobra.Command, args []string, err error) error {
	var words []string
	needed := 0
	for _, w := range strings.Fields(cmd.Use)[1:] {
		if strings.HasPrefix(w, "-") {
			break
		}
		words = append(words, w)
		if !strings.HasPrefix(w, "[") {
			needed = len(words)
		}
	}
	switch {
	case len(args) < needed:
		return usagef("", "%s: missing %s", cmd.CommandPath(), strings.Join(words[len(args):needed], " "))
	case len(args) > len(words):
		return usagef("", "%s: %q is one argument too many", cmd.CommandPath(), args[len(words)])
	case len(cmd.ValidArgs) > 0:
		return usagef("", "%s: want one of %s", cmd.CommandPath(), strings.Join(cmd.ValidArgs, ", "))
	}
	return &usageError{err, ""}
}

// wrapArgs makes usage errors of what commands say about their arguments.
func wrapArgs(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(c *cobra.Command, args []string) error {
			err := check(c, args)
			if _, ok := err.(*usageError); err != nil && !ok { //nolint:errorlint // wrapped ones are made usage errors as well
				return countError(c, args, err)
			}
			return err
		}
	}
	for _, c := range cmd.Commands() {
		wrapArgs(c)
	}
}
