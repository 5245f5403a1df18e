package commands

import (
	"context"

	"github.com/spf13/cobra"
)

func newDBInitCmd(a *App) *cobra.Command {
	return &cobra.Command{
		Use:   "init",
		Short: "Make the database",
		Long: `Makes the tables, and the file of an SQLite database; for PostgreSQL the database
itself must be there (createdb). The age identity that opens its secrets is made as
well where its file is not there: identity.age beside an SQLite database, or the
file that secret.identity_file names. On a database that is made already it changes
nothing.`,
		Example: "  dnsctl db init\n  dnsctl db init --store sqlite:./dnsctl.db",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runDBInit(cmd.Context(), a) },
	}
}

func runDBInit(ctx context.Context, a *App) error {
	s, err := a.anyStore(ctx, true)
	if err != nil {
		return err
	}
	st, err := s.Status(ctx)
	if err != nil {
		return err
	}
	if !st.Initialised {
		recipient, err := a.recipient(ctx)
		if err != nil {
			return err
		}
		if _, err := s.Init(ctx, recipient); err != nil {
			return err
		}
		if st, err = s.Status(ctx); err != nil {
			return err
		}
	}
	if st.Schema != st.Latest {
		return schemaError(st)
	}
	a.Out.Say("secrets are sealed to %s and opened by this identity: %s", st.Recipient, a.identityPlace())
	return statusColumns.One(a.Out, st)
}
