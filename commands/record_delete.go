package commands

import (
	"context"

	"github.com/spf13/cobra"

	"dnsctl/edit"
)

type recordDeleteOptions struct {
	zone, name, typ string
	data            []string
	change          changeFlags
}

func newRecordDeleteCmd(a *App) *cobra.Command {
	var o recordDeleteOptions
	c := &cobra.Command{
		Use:   "delete ZONE NAME [TYPE [DATA...]]",
		Short: "Delete records",
		Long: `Deletes the records of NAME: all of them, those of TYPE, or only those with the
given data. The SOA and the last NS of the zone itself cannot be deleted. What is
not there is an error.`,
		Example: `  dnsctl record delete example.org www A 192.0.2.1
  dnsctl record delete example.org www A
  dnsctl record delete example.org old`,
		Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.zone, o.name = args[0], args[1]
			if len(args) > 2 {
				o.typ, o.data = args[2], args[3:]
			}
			return runRecordDelete(cmd.Context(), a, o)
		},
	}
	o.change.bind(c)
	return c
}

func runRecordDelete(ctx context.Context, a *App, o recordDeleteOptions) error {
	z, err := parseZone(o.zone)
	if err != nil {
		return err
	}
	op, err := a.parseOp(edit.Delete, z, o.name, o.typ, o.data)
	if err != nil {
		return err
	}
	return a.editRecords(ctx, o.zone, []edit.Op{op}, o.change)
}
