package commands

import (
	"context"

	"github.com/spf13/cobra"

	"dnsctl/render"
	"dnsctl/report"
)

func newQuarantineReleaseCmd(a *App) *cobra.Command {
	var comment string
	c := &cobra.Command{
		Use:   "release ID",
		Short: "End the protection of a zone that was brought back",
		Long: `Ends the protection that a restored copy has on its nameserver. From then on the zone
is a foreign zone there like any other: where the pool's policy is delete, the next
sync removes it, with a new copy. To keep it, take it into the database with
dnsctl zone adopt instead.`,
		Example: "  dnsctl quarantine release 1",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runQuarantineRelease(cmd.Context(), a, args[0], comment)
		},
	}
	c.Flags().StringVar(&comment, "comment", "", "a `text` for the events")
	return c
}

func runQuarantineRelease(ctx context.Context, a *App, text, comment string) error {
	id, err := parseCopyID(text)
	if err != nil {
		return err
	}
	s, err := a.openStore(ctx)
	if err != nil {
		return err
	}
	c, err := s.Unprotect(ctx, id, a.byWith(comment))
	if err != nil {
		return copyError(err)
	}
	return copyColumns.Write(a.Out, render.Rows([]report.Copy{c}))
}
