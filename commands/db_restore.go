package commands

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"dnsctl/epoch"
	"dnsctl/render"
	"dnsctl/report"
	"dnsctl/store"
)

type restoreFlags struct {
	replace, other bool
	keep, comment  string
	without        []string
}

func newDBRestoreCmd(a *App) *cobra.Command {
	var f restoreFlags
	c := &cobra.Command{
		Use:   "restore FILE",
		Short: "Put a backup back",
		Long: `Puts the content of a file that dnsctl db backup wrote into the database, SQLite or
PostgreSQL, whichever the backup came from. The file is checked first, and brought up
to this program's schema in a copy; it is itself only read. All of it goes in one
transaction: a restore that is killed, or finds the disk full, changes nothing, and
dnsctl mdns serve may run meanwhile.

A database that has content is only replaced with --replace, and then backed up
first: beside an SQLite file, else into the current folder, or to --keep. One of
another store than the backup's needs --other-store as well.

The database is older then than what the nameservers were filled with, so a new epoch
is opened: see dnsctl db new-epoch --help. Every server is on warn, and written
nothing, until dnsctl server accept. When a server cannot be read for that, the
database is restored all the same, the exit code is 4, and dnsctl db new-epoch
does the rest.`,
		Example: "  dnsctl db restore dnsctl-backup.db\n  dnsctl db restore dnsctl-backup.db --replace --without ns3",
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return runDBRestore(cmd.Context(), a, args[0], f) },
	}
	c.Flags().BoolVar(&f.replace, "replace", false, "replace a database that has content")
	c.Flags().BoolVar(&f.other, "other-store", false, "with --replace: the one that goes may be another store than the backup's")
	c.Flags().StringVar(&f.keep, "keep", "", "with --replace: back the present content up to this new `file`")
	c.Flags().StringSliceVar(&f.without, "without", nil, "leave this `server` out, which cannot be read")
	c.Flags().StringVar(&f.comment, "comment", "", "a `text` for the events")
	return c
}

// restored is what a restore did, and what the new epoch did after it.
type restored struct {
	store.Restored
	epoch  epoch.Result
	opened error // why the epoch is still pending
}

var restoredColumns = render.List[restored]{Columns: []render.Column[restored]{
	{Name: "store_id", Value: func(r restored) any { return r.Store }},
	{Name: "epoch", Value: func(r restored) any { return r.Identity.Epoch }},
	{Name: "pending", Value: func(r restored) any { return r.opened != nil }},
	{Name: "kept", Value: func(r restored) any { return r.Kept }},
	{Name: "recipient", Value: func(r restored) any { return r.Recipient }},
	{Name: "zones", Value: func(r restored) any { return r.Zones }},
	{Name: "stepped", Value: func(r restored) any { return r.epoch.Stepped }},
	{Name: "servers", Value: func(r restored) any { return orEmpty(r.epoch.Servers) }},
	{Name: "without", Value: func(r restored) any { return orEmpty(r.epoch.Without) }},
	{Name: "left", Value: func(r restored) any {
		if r.epoch.Left == nil {
			return []epoch.Zone{}
		}
		return r.epoch.Left
	}, Show: render.DataOnly},
}}

func runDBRestore(ctx context.Context, a *App, file string, f restoreFlags) error {
	s, err := store.Open(ctx, a.Config.Store, store.Options{Create: true, AnySchema: true, Logger: a.Log})
	if err != nil {
		return err
	}
	a.stop = append(a.stop, s.Close)
	meta := a.meta(f.comment)
	by := a.by()
	by.Comment = f.comment
	progress := a.Out.Progress()
	res, err := s.Restore(ctx, file, store.RestoreOptions{Replace: f.replace, Other: f.other, Keep: cmp.Or(f.keep, a.keepPlace()), By: by, Progress: progress.Update})
	progress.Done()
	if err != nil {
		return err
	}
	if res.Kept != "" {
		a.Out.Say("what was there before is kept in %s", res.Kept)
	}
	out := restored{Restored: res}
	// A server that is to be left out may not be in the backup.
	out.epoch, out.opened = a.newEpoch(ctx, epoch.Options{Without: a.known(ctx, f.without), Meta: meta, Continue: true})
	if err := unread(restoredColumns.One(a.Out, out)); err != nil {
		return err
	}
	if out.opened != nil {
		code, hint := exitOf(out.opened)
		text := fmt.Sprintf("the database is restored, but epoch %d is not finished: %v", res.Identity.Epoch, out.opened)
		hint = strings.TrimPrefix(hint+"; then: dnsctl db new-epoch", "; ")
		if code != report.ExitInterrupted {
			code = report.ExitPartial
		}
		return report.Fail(code, errors.New(text), hint)
	}
	return end(a.sayEpoch(out.epoch))
}

// keepPlace is where the content goes that a restore replaces.
func (a *App) keepPlace() string {
	name := "dnsctl-before-restore-" + a.Now().UTC().Format("20060102T150405Z") + ".db"
	if path, ok := strings.CutPrefix(a.Config.Store, "sqlite:"); ok {
		return filepath.Join(filepath.Dir(strings.TrimPrefix(path, "//")), name)
	}
	dir, err := os.Getwd()
	if err != nil {
		return name
	}
	return filepath.Join(dir, name)
}

// known leaves those of the servers that the store has.
func (a *App) known(ctx context.Context, names []string) []string {
	var out []string
	s, err := a.openStore(ctx)
	if err != nil {
		return names // the next step says why
	}
	for _, n := range names {
		if _, err := s.Server(ctx, n); err == nil {
			out = append(out, n)
		} else {
			a.warn("", fmt.Sprintf("server %s is not in the backup", n))
		}
	}
	return out
}
