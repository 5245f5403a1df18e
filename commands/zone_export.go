package commands

import (
	"context"

	"github.com/spf13/cobra"

	"dnsctl/render"
	"dnsctl/zone"
	"dnsctl/zone/zonefile"
)

func newZoneExportCmd(a *App) *cobra.Command {
	return &cobra.Command{
		Use:   "export NAME",
		Short: "Write a zone as a master file",
		Long: `Writes a zone to standard output as a master file (RFC 1035), all names whole, in
canonical order behind the SOA. zone import reads the same records back. With -o
json and the like it writes the records as record list does.`,
		Example: "  dnsctl zone export example.org > example.org.zone",
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return runZoneExport(cmd.Context(), a, args[0]) },
	}
}

func runZoneExport(ctx context.Context, a *App, text string) error {
	snap, err := a.snapshot(ctx, text)
	if err != nil {
		return err
	}
	if a.Out.Format.Machine() || a.Out.Format == render.Name {
		return writeRecords(a, snap, recordFilter{})
	}
	return zonefile.Write(a.Out.Out, snap)
}

// snapshot reads the content of a zone that a person named.
func (a *App) snapshot(ctx context.Context, text string) (*zone.Snapshot, error) {
	name, err := parseZone(text)
	if err != nil {
		return nil, err
	}
	s, err := a.openStore(ctx)
	if err != nil {
		return nil, err
	}
	z, err := s.Zone(ctx, name)
	if err != nil {
		return nil, a.zoneError(ctx, name, err)
	}
	snap, _, err := s.Snapshot(ctx, z.Edition.ID)
	return snap, within("read zone "+name.String(), err)
}
