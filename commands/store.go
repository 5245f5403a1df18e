package commands

import (
	"context"
	"errors"
	"fmt"
	"strings"

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
		Readable:  true,
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
	known, e := a.store.Names(ctx, prefix, 100_000)
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
	return report.Hint(err, "list the zones with: dnsctl zone list")
}

// named adds to "no such pool", server or key what may have been meant.
func named(err, kind error, name, command string, known []string) error {
	if _, hint := report.ExitOf(err); hint != "" || !errors.Is(err, kind) {
		return err
	}
	if near := config.Nearest(name, known); near != "" {
		return report.Hint(err, "did you mean "+near)
	}
	return report.Hint(err, "list what there is with: dnsctl "+command+" list")
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
		return nil, report.Fail(report.ExitUsage, errors.New("there is no pool yet"), "make one, with the address at which nameservers will reach its primary: dnsctl pool create main --primary 192.0.2.1:5300")
	}
	return nil, usagef("the pools are "+strings.Join(names, ", "), "there are several pools: name one with --pool")
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
