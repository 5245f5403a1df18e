package commands

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"dnsctl/fleet"
	"dnsctl/render"
	"dnsctl/report"
	"dnsctl/zone"
)

// deleteFreely is how many zones one command deletes without asking.
const deleteFreely = 10

type zoneDeleteOptions struct {
	names     []string
	purge     bool
	maxDelete int
	change    changeFlags
}

func newZoneDeleteCmd(a *App) *cobra.Command {
	var o zoneDeleteOptions
	c := &cobra.Command{
		Use:   "delete NAME...",
		Short: "Delete zones",
		Long: `Deletes zones: their nameservers drop them. All of them go, or none. Their content
is kept for a while and comes back with zone undelete, unless --purge ends that at
once; --purge also works on zones that are deleted already.

More than 10 zones at once are deleted only when their number is typed on a
terminal, or with --max-delete of at least that number.`,
		Example: `  dnsctl zone delete example.org
  dnsctl zone list --match '*.old.example' -o name | xargs dnsctl zone delete --max-delete 50`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.names = args
			return runZoneDelete(cmd.Context(), a, o)
		},
	}
	c.Flags().BoolVar(&o.purge, "purge", false, "end the keeping of their content and history at once")
	c.Flags().IntVar(&o.maxDelete, "max-delete", 0, "delete up to this `number` of zones without asking")
	o.change.bind(c)
	return c
}

func runZoneDelete(ctx context.Context, a *App, o zoneDeleteOptions) error {
	all, err := parseZones(o.names)
	if err != nil {
		return err
	}
	seen := make(map[zone.Key]bool, len(all))
	names := all[:0]
	for _, n := range all {
		if k := n.Key(); !seen[k] {
			seen[k] = true
			names = append(names, n)
		}
	}
	if o.change.ifSerial >= 0 && len(names) > 1 {
		return usagef("delete one at a time, or leave it out", "--if-serial is for one zone, and %d are named", len(names))
	}
	m, err := a.changeMeta(o.change)
	if err != nil {
		return err
	}
	e, err := a.editor(ctx)
	if err != nil {
		return err
	}
	for _, n := range names { // before anybody is asked about a mistyped one
		if _, err := e.Store.Zone(ctx, n); err != nil {
			return a.zoneError(ctx, n, err)
		}
	}
	if err := a.mayDelete(len(names), o.maxDelete); err != nil {
		return err
	}
	results, err := e.Delete(ctx, names, o.purge, m)
	if errors.Is(err, fleet.ErrConflict) {
		err = report.Hint(err, "it is safe to run the command again")
	}
	if err != nil {
		return err
	}
	return resultColumns.Write(a.Out, render.Rows(results))
}

// mayDelete asks before many zones are deleted at once.
func (a *App) mayDelete(n, allowed int) error {
	if n <= deleteFreely || n <= allowed {
		return nil
	}
	hint := fmt.Sprintf("if that is meant: --max-delete %d", n)
	ok, err := a.Out.Confirm(fmt.Sprintf("%s will be deleted, and dropped by their nameservers.", report.Count(n, "zone")), strconv.Itoa(n))
	switch {
	case errors.Is(err, render.ErrNoAnswer):
		return report.Fail(report.ExitWithheld, fmt.Errorf("%d zones would be deleted at once, which is more than %d", n, max(allowed, deleteFreely)), hint)
	case err != nil:
		return err
	case !ok:
		return report.Fail(report.ExitWithheld, errors.New("not confirmed: nothing was deleted"), hint)
	}
	return nil
}
