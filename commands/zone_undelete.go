package commands

import (
	"context"

	"github.com/spf13/cobra"
)

func newZoneUndeleteCmd(a *App) *cobra.Command {
	var comment string
	c := &cobra.Command{
		Use:   "undelete NAME",
		Short: "Bring a deleted zone back",
		Long: `Brings back a deleted zone whose content is still kept, in the pools it was in,
under a new serial. The zones that can be brought back are listed by:
dnsctl zone list --deleted`,
		Example: "  dnsctl zone undelete example.org",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runZoneUndelete(cmd.Context(), a, args[0], comment)
		},
		ValidArgsFunction: a.fromStore(deletedZones),
	}
	c.Flags().StringVar(&comment, "comment", "", "a `text` for the zone's history")
	return c
}

func runZoneUndelete(ctx context.Context, a *App, text, comment string) error {
	name, err := parseZone(text)
	if err != nil {
		return err
	}
	e, err := a.editor(ctx)
	if err != nil {
		return err
	}
	res, err := e.Undelete(ctx, name, a.meta(comment))
	return a.showResult(res, a.zoneError(ctx, name, err))
}
