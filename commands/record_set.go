package commands

import (
	"context"

	"github.com/spf13/cobra"

	"dnsctl/edit"
)

// recordOptions are those of record set and add.
type recordOptions struct {
	zone, name, typ string
	data            []string
	ttl             string
	change          changeFlags
}

func newRecordSetCmd(a *App) *cobra.Command {
	var o recordOptions
	c := &cobra.Command{
		Use:   "set ZONE NAME TYPE DATA...",
		Short: "Replace the records of a name and type",
		Long: `Replaces all records of NAME and TYPE by the given ones, each DATA one record.
Without --ttl the RRset keeps its TTL; a new one takes the SOA's.`,
		Example: `  dnsctl record set example.org www A 192.0.2.1 192.0.2.2
  dnsctl record set example.org @ MX '10 mail' '20 mail2.example.net.' --ttl 1h
  dnsctl record set example.org @ TXT 'v=spf1 mx -all'`,
		Args: cobra.MinimumNArgs(4),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.zone, o.name, o.typ, o.data = args[0], args[1], args[2], args[3:]
			return runRecordWrite(cmd.Context(), a, edit.Set, o)
		},
	}
	c.Flags().StringVar(&o.ttl, "ttl", "", "the `TTL`, in seconds or as 1h30m")
	o.change.bind(c)
	return c
}

// runRecordWrite sets or adds records.
func runRecordWrite(ctx context.Context, a *App, verb edit.Verb, o recordOptions) error {
	z, err := parseZone(o.zone)
	if err != nil {
		return err
	}
	op, err := a.parseOp(verb, z, o.name, o.typ, o.data)
	if err != nil {
		return err
	}
	if op.TTL, err = ttlFlag(o.ttl); err != nil {
		return err
	}
	return a.editRecords(ctx, o.zone, []edit.Op{op}, o.change)
}

// editRecords carries out steps on one zone and shows what became of it.
func (a *App) editRecords(ctx context.Context, name string, ops []edit.Op, f changeFlags) error {
	z, err := parseZone(name)
	if err != nil {
		return err
	}
	m, err := a.changeMeta(f)
	if err != nil {
		return err
	}
	e, err := a.editor(ctx)
	if err != nil {
		return err
	}
	res, err := e.Records(ctx, z, ops, m)
	return a.showResult(res, a.zoneError(ctx, z, err))
}
