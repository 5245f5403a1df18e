package commands

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"dnsctl/render"
)

func newDBBackupCmd(a *App) *cobra.Command {
	return &cobra.Command{
		Use:   "backup FILE",
		Short: "Back the database up into a file",
		Long: `Writes the whole database, as it is at one moment, into a new file, while others go
on reading and writing. The file is an SQLite database, whatever the store is, and
only its owner can read it. Its secrets stay sealed: the identity that they need is
not in the file and is named in the result. Keep a copy of it apart.`,
		Example: "  dnsctl db backup dnsctl-backup.db",
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return runDBBackup(cmd.Context(), a, args[0]) },
	}
}

// backup is what was written.
type backup struct {
	file, recipient, identity string
	octets                    int64
}

var backupColumns = render.List[backup]{Columns: []render.Column[backup]{
	{Name: "file", Value: func(b backup) any { return b.file }},
	{Name: "octets", Value: func(b backup) any { return b.octets }},
	{Name: "recipient", Value: func(b backup) any { return b.recipient }},
	{Name: "identity", Value: func(b backup) any { return b.identity }},
}}

func runDBBackup(ctx context.Context, a *App, file string) error {
	s, err := a.openStore(ctx)
	if err != nil {
		return err
	}
	recipient, err := s.Backup(ctx, file)
	if err != nil {
		return err
	}
	path, err := filepath.Abs(file)
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("look at the backup: %w", err)
	}
	return backupColumns.One(a.Out, backup{path, recipient, a.identityPlace(), info.Size()})
}
