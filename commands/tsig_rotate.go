package commands

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"dnsctl/fleet"
	"dnsctl/wire"
	"dnsctl/zone"
)

type tsigRotateOptions struct {
	name, newName, comment string
	overlap                time.Duration
}

func newTSIGRotateCmd(a *App) *cobra.Command {
	var o tsigRotateOptions
	c := &cobra.Command{
		Use:   "rotate NAME",
		Short: "Replace a key by a new one, both valid for a while",
		Long: `Makes a new key with the scope and algorithm of an old one, and retires the old one
after --overlap; until then both are accepted. The new key's name is the old one's
with a number behind it, unless --new-name says otherwise.

Make the nameservers know the new key (dnsctl tsig show NEW --for ...). Until one
does, dnsctl goes on with the old key there. From then on it signs with the new one,
and sync and the leader put it into the settings of the zones: all must know it
before the old one ends. dnsctl audit --deep shows which zones still have the old
one.`,
		Example: "  dnsctl tsig rotate main\n  dnsctl tsig rotate main --overlap 72h --new-name main-2027",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.name = args[0]
			return runTSIGRotate(cmd.Context(), a, o)
		},
	}
	f := c.Flags()
	f.DurationVar(&o.overlap, "overlap", 7*24*time.Hour, "how long the old key stays valid")
	f.StringVar(&o.newName, "new-name", "", "the `name` of the new key")
	f.StringVar(&o.comment, "comment", "", "a `text` for the events")
	return c
}

func runTSIGRotate(ctx context.Context, a *App, o tsigRotateOptions) error {
	if o.overlap < 0 {
		return usagef("0s ends the old key at once", "--overlap %s is negative", o.overlap)
	}
	old, err := a.key(ctx, o.name)
	if err != nil {
		return err
	}
	name, err := a.nextKeyName(ctx, old, o.newName)
	if err != nil {
		return err
	}
	alg, err := wire.ParseAlgorithm(old.Algorithm.String())
	if err != nil {
		return err
	}
	k, err := a.newKey(ctx, name, alg, nil)
	if err != nil {
		return err
	}
	k.Scope, k.ScopeName = old.Scope, old.ScopeName
	if err := a.createKey(ctx, k, a.byWith(o.comment)); err != nil {
		return err
	}
	end := a.Now().Add(o.overlap)
	err = a.store.UpdateKey(ctx, old.Name, a.byWith(o.comment), func(k *fleet.Key) error {
		if k.Retired == nil || k.Retired.After(end) {
			k.Retired = &end
		}
		return nil
	})
	if err != nil {
		return within("retire the old key", err)
	}
	a.Out.Say("%s is accepted until %s; nameservers must know %s before that", keyText(old.Name), end.UTC().Format(time.RFC3339), keyText(name))
	return nil
}

var numbered = regexp.MustCompile(`^(.*)-(\d{1,4})$`)

// nextKeyName is the name given, or the old one with the next free number.
func (a *App) nextKeyName(ctx context.Context, old fleet.Key, given string) (zone.Name, error) {
	if given != "" {
		return parseKeyName(given)
	}
	keys, err := a.store.Keys(ctx)
	if err != nil {
		return "", err
	}
	base, n := keyText(old.Name), 1
	if m := numbered.FindStringSubmatch(base); m != nil {
		base = m[1]
		n, _ = strconv.Atoi(m[2]) // up to four digits
	}
	for {
		n++
		name, err := zone.ParseName(fmt.Sprintf("%s-%d", base, n))
		if err != nil {
			return "", usagef("name the new key with --new-name", "%v", err)
		}
		taken := false
		for _, k := range keys {
			taken = taken || k.Name.Equal(name)
		}
		if !taken {
			return name, nil
		}
	}
}
