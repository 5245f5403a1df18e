package commands

import (
	"github.com/spf13/cobra"

	"dnsctl/edit"
)

func newRecordAddCmd(a *App) *cobra.Command {
	var o recordOptions
	c := &cobra.Command{
		Use:   "add ZONE NAME TYPE DATA...",
		Short: "Add records to a name and type",
		Long: `Adds records to those that NAME and TYPE have; ones that are there already are left
as they are. --ttl changes the TTL of all of them, since an RRset has only one.`,
		Example: `  dnsctl record add example.org www A 192.0.2.3
  dnsctl record add example.org _sip._tcp SRV '10 5 5060 sip'`,
		Args: cobra.MinimumNArgs(4),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.zone, o.name, o.typ, o.data = args[0], args[1], args[2], args[3:]
			return runRecordWrite(cmd.Context(), a, edit.Add, o)
		},
	}
	c.Flags().StringVar(&o.ttl, "ttl", "", "the `TTL` of all records of the name and type, in seconds or as 1h30m")
	o.change.bind(c)
	return c
}
