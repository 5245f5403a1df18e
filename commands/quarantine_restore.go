package commands

import (
	"context"

	"github.com/spf13/cobra"

	"dnsctl/sync/apply"
)

func newQuarantineRestoreCmd(a *App) *cobra.Command {
	var comment string
	c := &cobra.Command{
		Use:   "restore ID",
		Short: "Bring a zone back to the nameserver it came from",
		Long: `Brings a zone back to the nameserver that its copy was taken from, with its records
and settings. It is protected there from then on: no sync and no comparison deletes
it. dnsctl mdns serve must be running, since the records reach the nameserver by a
transfer. What a nameserver has is never replaced.`,
		Example: "  dnsctl quarantine restore 1",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runQuarantineRestore(cmd.Context(), a, args[0], comment)
		},
	}
	c.Flags().StringVar(&comment, "comment", "", "a `text` for the events")
	return c
}

func runQuarantineRestore(ctx context.Context, a *App, text, comment string) error {
	id, err := parseCopyID(text)
	if err != nil {
		return err
	}
	w, err := a.workshop(ctx)
	if err != nil {
		return err
	}
	progress := a.Out.Progress()
	rep, err := w.syncer.Restore(ctx, w.store, id, apply.Options{Meta: a.meta(comment), Progress: progress.Update})
	progress.Done()
	return a.showReport(rep, true, copyError(err))
}
