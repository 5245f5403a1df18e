package commands

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"dnsctl/report"
	"dnsctl/store"
)

func newDBStatusCmd(a *App) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Say how the database is",
		Long: `Says which database this is, its schema, how much is in it, and how far back what it
keeps of the past goes (see the settings under retention in dnsctl config show). The
exit code is 10 when it is not initialised or needs a migration.`,
		Example: "  dnsctl db status\n  dnsctl db status -o json",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runDBStatus(cmd.Context(), a) },
	}
}

func runDBStatus(ctx context.Context, a *App) error {
	s, err := a.anyStore(ctx, false)
	if err != nil {
		return err
	}
	st, err := s.Status(ctx)
	if err != nil {
		return err
	}
	if err := unread(statusColumns.One(a.Out, st)); err != nil {
		return err
	}
	return schemaError(st)
}

// schemaError says what keeps a store from being worked with; nil when nothing
// does.
func schemaError(st store.Status) error {
	switch {
	case !st.Initialised:
		return report.Fail(report.ExitStore, errors.New("the store is not initialised"), "run: dnsctl db init")
	case st.Schema < st.Latest:
		return report.Fail(report.ExitStore, errors.New("the store needs a migration"), "run: dnsctl db migrate")
	case st.Schema > st.Latest:
		return report.Fail(report.ExitStore, errors.New("the store is newer than this program"), "use the newer dnsctl")
	}
	return nil
}
