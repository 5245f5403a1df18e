package commands

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dnsctl/config"
	"dnsctl/edit"
	"dnsctl/fleet"
	"dnsctl/report"
	"dnsctl/store"
	"dnsctl/zone"
)

// openStore opens the store once per run. Only a store that nothing named is
// made when it is not there.
func (a *App) openStore(ctx context.Context) (*store.Store, error) {
	if a.store != nil {
		return a.store, nil
	}
	s, err := store.Open(ctx, a.Config.Store, store.Options{
		Create:    a.defaultStore(),
		Recipient: a.recipient,
		Logger:    a.Log,
	})
	if err != nil {
		return nil, err
	}
	a.store = s
	a.stop = append(a.stop, s.Close)
	return s, nil
}

// defaultStore says whether nothing named the store.
func (a *App) defaultStore() bool { return a.Config.Origin("store").Source == config.FromDefault }

// editor writes zones.
func (a *App) editor(ctx context.Context) (*edit.Editor, error) {
	s, err := a.openStore(ctx)
	if err != nil {
		return nil, err
	}
	return &edit.Editor{Store: s, Now: a.Now}, nil
}

// zoneError adds to "no such zone" what may have been meant.
func (a *App) zoneError(ctx context.Context, name zone.Name, err error) error {
	if !errors.Is(err, fleet.ErrNoZone) || a.store == nil {
		return err
	}
	text := strings.ToLower(name.String())
	prefix := text[:min(len(text), 1)]
	known, e := a.store.Names(ctx, prefix, 5000)
	if e != nil {
		return err
	}
	list := make([]string, len(known))
	for i, n := range known {
		list[i] = n.String()
	}
	if near := config.Nearest(text, list); near != "" {
		return report.Hint(err, "did you mean "+near)
	}
	return report.Hint(err, "the zones are listed by: dnsctl zone list")
}

// named adds to "no such pool", server or key what may have been meant.
func named(err, kind error, name, command string, known []string) error {
	if !errors.Is(err, kind) {
		return err
	}
	if near := config.Nearest(name, known); near != "" {
		return report.Hint(err, "did you mean "+near)
	}
	return report.Hint(err, "what there is is listed by: dnsctl "+command+" list")
}

// oneOrMorePools is the pools that a command works on: those named, else the
// only one there is.
func (a *App) oneOrMorePools(ctx context.Context, given []string) ([]string, error) {
	s, err := a.openStore(ctx)
	if err != nil {
		return nil, err
	}
	pools, err := s.Pools(ctx)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(pools))
	for i, p := range pools {
		names[i] = p.Name
	}
	for _, g := range given {
		if _, err := s.Pool(ctx, g); err != nil {
			return nil, named(err, fleet.ErrNoPool, g, "pool", names)
		}
	}
	switch {
	case len(given) > 0:
		return given, nil
	case len(names) == 1:
		return names, nil
	case len(names) == 0:
		return nil, report.Fail(report.ExitUsage, errors.New("there is no pool yet"), "make one with: dnsctl pool create NAME --primary ADDR")
	}
	return nil, usagef("the pools are "+strings.Join(names, ", "), "name a pool with --pool")
}

// completionTime is how long completing names may take.
const completionTime = 500 * time.Millisecond

// completing opens the store for completion: never made, never asked about, and
// closed by the function returned.
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

const noFiles = cobra.ShellCompDirectiveNoFileComp

// completeZone completes names of zones, as many as the command takes.
func (a *App) completeZone(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	ctx, s, done := a.completing(cmd)
	defer done()
	if s == nil || len(args) > 0 && !strings.Contains(cmd.Use, "...") {
		return nil, noFiles
	}
	found, err := s.Names(ctx, prefix, 200)
	if err != nil {
		return nil, noFiles
	}
	out := make([]string, len(found))
	for i, n := range found {
		out[i] = strings.TrimSuffix(n.String(), ".")
	}
	return out, noFiles
}

// completeVersion completes a zone, then the serials that it can go back to.
func (a *App) completeVersion(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if len(args) != 1 {
		return a.completeZone(cmd, args, prefix)
	}
	ctx, s, done := a.completing(cmd)
	defer done()
	name, err := parseZone(args[0])
	if s == nil || err != nil {
		return nil, noFiles
	}
	z, err := s.Zone(ctx, name)
	if err != nil {
		return nil, noFiles
	}
	versions, err := s.Versions(ctx, z.Edition.ID)
	if err != nil {
		return nil, noFiles
	}
	var out []string
	for _, v := range versions {
		out = append(out, strconv.FormatUint(uint64(v.Serial), 10))
	}
	return out, noFiles
}

// completeRecord completes the zone of a record command.
func (a *App) completeRecord(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, noFiles
	}
	return a.completeZone(cmd, nil, prefix)
}

// completePool completes names of pools.
func (a *App) completePool(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	ctx, s, done := a.completing(cmd)
	defer done()
	if s == nil {
		return nil, noFiles
	}
	pools, err := s.Pools(ctx)
	if err != nil {
		return nil, noFiles
	}
	out := make([]string, len(pools))
	for i, p := range pools {
		out[i] = p.Name
	}
	return out, noFiles
}

// completeServer completes names of servers.
func (a *App) completeServer(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	ctx, s, done := a.completing(cmd)
	defer done()
	if s == nil {
		return nil, noFiles
	}
	servers, err := s.Servers(ctx)
	if err != nil {
		return nil, noFiles
	}
	out := make([]string, len(servers))
	for i, sv := range servers {
		out[i] = sv.Name
	}
	return out, noFiles
}

// completeFlag completes a flag's value by one of the functions above.
func completeFlag(c *cobra.Command, flag string, f cobra.CompletionFunc) {
	if err := c.RegisterFlagCompletionFunc(flag, f); err != nil {
		panic(err) // the flag's name is wrong here in the code
	}
}

// by says who makes a change to pools, servers and keys.
func (a *App) by() fleet.By { return fleet.By{Actor: a.actor(), Command: a.command} }

// within says what is done in an error.
func within(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}
