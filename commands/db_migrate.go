package commands

import (
	"context"

	"github.com/spf13/cobra"

	"dnsctl/render"
)

func newDBMigrateCmd(a *App) *cobra.Command {
	return &cobra.Command{
		Use:   "migrate",
		Short: "Bring the database's schema up to date",
		Long: `Brings the schema to what this program works with, and lists the migrations that
ran. Within a release, programs of the version before go on working meanwhile.`,
		Example: "  dnsctl db migrate",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runDBMigrate(cmd.Context(), a) },
	}
}

func runDBMigrate(ctx context.Context, a *App) error {
	s, err := a.anyStore(ctx, false)
	if err != nil {
		return err
	}
	ran, err := s.Migrate(ctx)
	if err != nil {
		return err
	}
	list := render.List[int64]{Nothing: "the schema is up to date", Columns: []render.Column[int64]{{Name: "migration", Value: func(n int64) any { return n }}}}
	return list.Write(a.Out, render.Rows(ran))
}
