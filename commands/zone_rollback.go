package commands

import (
	"context"

	"github.com/spf13/cobra"

	"dnsctl/report"
)

type zoneRollbackOptions struct {
	name, serial string
	dryRun       bool
	change       changeFlags
}

func newZoneRollbackCmd(a *App) *cobra.Command {
	var o zoneRollbackOptions
	c := &cobra.Command{
		Use:   "rollback NAME SERIAL",
		Short: "Give a zone the content it had under an earlier serial",
		Long: `Gives a zone exactly the content that it had under an earlier serial, which
zone history lists. It gets a new serial, since nameservers take nothing that goes
back, and the rollback is a change like any other: it can be rolled back itself.

--dry-run shows the records that would be removed (-) and added (+) and changes
nothing. Zones that arrived signed cannot be rolled back here.`,
		Example: `  dnsctl zone rollback example.org 2026112301 --dry-run
  dnsctl zone rollback example.org 2026112301 --comment 'the new mail servers do not work'`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.name, o.serial = args[0], args[1]
			return runZoneRollback(cmd.Context(), a, o)
		},
	}
	c.Flags().BoolVar(&o.dryRun, "dry-run", false, "show what would change and do nothing")
	o.change.bind(c)
	return c
}

func runZoneRollback(ctx context.Context, a *App, o zoneRollbackOptions) error {
	name, err := parseZone(o.name)
	if err != nil {
		return err
	}
	serial, err := parseSerial(o.serial)
	if err != nil {
		return err
	}
	m, err := a.changeMeta(o.change)
	if err != nil {
		return err
	}
	e, err := a.editor(ctx)
	if err != nil {
		return err
	}
	res, d, err := e.Rollback(ctx, a.store, name, serial, o.dryRun, m)
	if err != nil || !o.dryRun {
		return a.showResult(res, a.zoneError(ctx, name, err))
	}
	if err := a.showDelta(d); err != nil {
		return err
	}
	a.Out.Say("nothing was changed: a rollback to %d would remove %s and add %d", serial, report.Count(res.Removed, "record"), res.Added)
	return nil
}
