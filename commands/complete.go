package commands

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"dnsctl/fleet"
	"dnsctl/store"
)

const (
	// completionTime is how long completing names may take.
	completionTime = 500 * time.Millisecond
	// completionNames bounds how many names are offered.
	completionNames = 200

	noFiles = cobra.ShellCompDirectiveNoFileComp
)

// completing opens the store for completion: never made, never asked about, and
// closed by the function returned. Without a store there is nothing to offer.
func (a *App) completing(cmd *cobra.Command) (context.Context, *store.Store, func()) {
	ctx := cmd.Context()
	if ctx == nil {
		ctx = context.Background()
	}
	if err := a.prepare(cmd); err != nil {
		return ctx, nil, func() {}
	}
	ctx, cancel := context.WithTimeout(ctx, completionTime)
	s, err := store.Open(ctx, a.Config.Store, store.Options{ReadOnly: true})
	if err != nil {
		return ctx, nil, cancel
	}
	return ctx, s, func() {
		_ = s.Close()
		cancel()
	}
}

// fromStore completes by names in the store that begin with what is typed. An
// error is silent: it would end up in the command line.
func (a *App) fromStore(names func(ctx context.Context, s *store.Store, prefix string) ([]string, error)) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
		ctx, s, done := a.completing(cmd)
		defer done()
		if s == nil {
			return nil, noFiles
		}
		found, err := names(ctx, s, prefix)
		if err != nil {
			return nil, noFiles
		}
		var out []string
		for _, n := range found {
			if len(out) < completionNames && strings.HasPrefix(strings.ToLower(n), strings.ToLower(prefix)) {
				out = append(out, n)
			}
		}
		return out, noFiles
	}
}

func (a *App) completeZone(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	return a.fromStore(func(ctx context.Context, s *store.Store, prefix string) ([]string, error) {
		found, err := s.Names(ctx, prefix, completionNames)
		out := make([]string, len(found))
		for i, n := range found {
			out[i] = strings.TrimSuffix(n.String(), ".")
		}
		return out, err
	})(cmd, args, prefix)
}

func completeType(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return commonTypes, noFiles
}

// commonTypes are those of records that people write.
var commonTypes = []string{"A", "AAAA", "CAA", "CNAME", "DNAME", "DS", "HTTPS", "LOC", "MX", "NAPTR", "NS", "PTR", "SOA", "SRV", "SSHFP", "SVCB", "TLSA", "TXT"}

// deletedZones are those that zone undelete brings back.
func deletedZones(ctx context.Context, s *store.Store, prefix string) ([]string, error) {
	var out []string
	err := s.Zones(ctx, fleet.ZoneFilter{Deleted: true}, func(z fleet.Zone) error {
		if name := strings.TrimSuffix(z.Name.String(), "."); !z.Purged && strings.HasPrefix(strings.ToLower(name), strings.ToLower(prefix)) {
			out = append(out, name)
		}
		if len(out) == completionNames {
			return stop
		}
		return nil
	})
	if errors.Is(err, stop) {
		err = nil
	}
	return out, err
}

// completeSerial completes the serials that the zone named before can go back to.
func (a *App) completeSerial(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	return a.fromStore(func(ctx context.Context, s *store.Store, _ string) ([]string, error) {
		if len(args) == 0 {
			return nil, nil
		}
		name, err := parseZone(args[0])
		if err != nil {
			return nil, err
		}
		z, err := s.Zone(ctx, name)
		if err != nil {
			return nil, err
		}
		versions, err := s.Versions(ctx, z.Edition.ID)
		out := make([]string, len(versions))
		for i, v := range versions {
			out[i] = strconv.FormatUint(uint64(v.Serial), 10)
		}
		return out, err
	})(cmd, args, prefix)
}

func (a *App) completePool(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	return a.fromStore(func(ctx context.Context, s *store.Store, _ string) ([]string, error) {
		pools, err := s.Pools(ctx)
		out := make([]string, len(pools))
		for i, p := range pools {
			out[i] = p.Name
		}
		return out, err
	})(cmd, args, prefix)
}

func (a *App) completeServer(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	return a.fromStore(func(ctx context.Context, s *store.Store, _ string) ([]string, error) {
		servers, err := s.Servers(ctx)
		out := make([]string, len(servers))
		for i, sv := range servers {
			out[i] = sv.Name
		}
		return out, err
	})(cmd, args, prefix)
}

func (a *App) completeKey(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	return a.fromStore(func(ctx context.Context, s *store.Store, _ string) ([]string, error) {
		all, err := s.Keys(ctx)
		out := make([]string, len(all))
		for i, k := range all {
			out[i] = keyText(k.Name)
		}
		return out, err
	})(cmd, args, prefix)
}

// completeCopy completes numbers of copies, with what they are of.
func (a *App) completeCopy(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	return a.fromStore(func(ctx context.Context, s *store.Store, _ string) ([]string, error) {
		copies, err := s.Copies(ctx, "", "")
		out := make([]string, len(copies))
		for i, c := range copies {
			out[i] = cobra.CompletionWithDesc(strconv.FormatInt(c.ID, 10), fmt.Sprintf("%s on %s", c.Zone, c.Server))
		}
		return out, err
	})(cmd, args, prefix)
}

// completeAll says how the words of every command and the values of every flag
// are completed. It goes by the words in the command's Use (SERVER, ZONE, FILE)
// and by the placeholder of a flag (a `pool`), so that a new command has only to
// call things by their names. What a command says itself stands.
func (a *App) completeAll(root *cobra.Command) {
	kinds := map[string]cobra.CompletionFunc{
		"zone": a.completeZone, "pool": a.completePool, "server": a.completeServer, "key": a.completeKey, "copy": a.completeCopy,
		"serial": a.completeSerial,
		"type":   completeType, "types": completeType,
		"file": cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault), "folder": cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs),
	}
	root.PersistentFlags().VisitAll(func(f *pflag.Flag) { completeFlag(root, f, kinds) })
	for _, c := range root.Commands() {
		completeBelow(c, kinds)
	}
}

func completeBelow(c *cobra.Command, kinds map[string]cobra.CompletionFunc) {
	c.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) { completeFlag(c, f, kinds) })
	if !c.HasSubCommands() && len(c.ValidArgs) == 0 {
		c.ValidArgsFunction = inPlaces(c, kinds, c.ValidArgsFunction)
	}
	for _, sub := range c.Commands() {
		completeBelow(sub, kinds)
	}
}

// inPlaces completes each of a command's arguments by what stands in its place;
// own is the command's own completion, nil where it has none.
func inPlaces(c *cobra.Command, kinds map[string]cobra.CompletionFunc, own cobra.CompletionFunc) cobra.CompletionFunc {
	words, more := places(c)
	return func(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		at := len(args)
		if more {
			at = min(at, len(words)-1)
		}
		switch {
		case at >= len(words):
			return nil, noFiles
		case own != nil:
			return own(cmd, args, prefix)
		case kinds[words[at]] != nil:
			return kinds[words[at]](cmd, args, prefix)
		}
		return nil, noFiles
	}
}

// places is what stands in each place of a command's arguments, by the words of
// its Use, and whether the last may be there again and again.
func places(c *cobra.Command) (words []string, more bool) {
	for i, word := range strings.Fields(c.Use)[1:] {
		word, more = strings.CutSuffix(strings.Trim(word, "[]"), "...")
		if strings.HasPrefix(word, "-") {
			break // a flag that is required
		}
		kind := strings.ToLower(word)
		switch first, _, _ := strings.Cut(kind, "|"); {
		case first == "file":
			kind = first
		case first == "dir":
			kind = "folder"
		case kind == "id" && c.Parent().Name() == "quarantine":
			kind = "copy"
		case kind == "name" && i == 0 && c.Name() != "create" && c.Name() != "add":
			if kind = c.Parent().Name(); kind == "tsig" {
				kind = "key"
			}
		}
		words = append(words, kind)
	}
	return words, more
}

// completeFlag gives a flag with a value its completion, unless it has one.
func completeFlag(c *cobra.Command, f *pflag.Flag, kinds map[string]cobra.CompletionFunc) {
	if _, done := c.GetFlagCompletionFunc(f.Name); done || f.NoOptDefVal != "" {
		return
	}
	name, _ := pflag.UnquoteUsage(f)
	values, known := kinds[name]
	if e, ok := f.Value.(*enum); ok {
		values = cobra.FixedCompletions(e.allowed, noFiles)
	} else if !known {
		values = cobra.NoFileCompletions
	}
	if _, list := f.Value.(pflag.SliceValue); list {
		values = afterComma(values)
	}
	if err := c.RegisterFlagCompletionFunc(f.Name, values); err != nil {
		panic(err) // the flag was just found
	}
}

// afterComma completes the last of several values in one.
func afterComma(values cobra.CompletionFunc) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		i := strings.LastIndexByte(typed, ',') + 1
		found, directive := values(cmd, args, typed[i:])
		out := make([]string, len(found))
		for j, v := range found {
			out[j] = typed[:i] + v
		}
		return out, directive
	}
}

// complete offers fixed values for a flag.
func complete(cmd *cobra.Command, flag string, values ...string) {
	choose := cobra.FixedCompletions(values, noFiles)
	if _, list := cmd.Flags().Lookup(flag).Value.(pflag.SliceValue); list {
		choose = afterComma(choose)
	}
	if err := cmd.RegisterFlagCompletionFunc(flag, choose); err != nil {
		panic(err) // the flag's name is wrong here in the code
	}
}
