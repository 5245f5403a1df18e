package commands

import (
	"context"

	"github.com/spf13/cobra"
)

func newFleetExportCmd(a *App) *cobra.Command {
	return &cobra.Command{
		Use:   "export",
		Short: "Write the fleet as a document",
		Long: `Writes the pools, TSIG keys and nameservers as a YAML document for dnsctl fleet
apply, the same octets for the same fleet. Secrets and credentials, zones, and the
state that nameservers are in (drained, accepted) are not in it, nor keys that are
on their way out after tsig rotate.`,
		Example: "  dnsctl fleet export > fleet.yaml",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runFleetExport(cmd.Context(), a) },
	}
}

func runFleetExport(ctx context.Context, a *App) error {
	s, err := a.openStore(ctx)
	if err != nil {
		return err
	}
	f, err := readFleet(ctx, s)
	if err != nil {
		return err
	}
	return f.document().Write(a.Out.Out)
}
