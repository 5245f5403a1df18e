package commands

import (
	"context"

	"github.com/spf13/cobra"

	"dnsctl/fleet"
	"dnsctl/render"
	"dnsctl/zone"
)

func newZoneShowCmd(a *App) *cobra.Command {
	return &cobra.Command{
		Use:   "show NAME",
		Short: "Show a zone",
		Long: `Shows what is known of a zone, its SOA included; for its records see record list.
A deleted zone is shown as well, with the time it was deleted.`,
		Example: "  dnsctl zone show example.org\n  dnsctl zone show example.org -o json",
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return runZoneShow(cmd.Context(), a, args[0]) },
	}
}

func runZoneShow(ctx context.Context, a *App, text string) error {
	name, err := parseZone(text)
	if err != nil {
		return err
	}
	s, err := a.openStore(ctx)
	if err != nil {
		return err
	}
	z, err := s.Zone(ctx, name)
	if err != nil {
		return a.zoneError(ctx, name, err)
	}
	soa, err := zone.ParseSOA(z.Edition.SOA.Data.First())
	if err != nil {
		return err
	}
	list := render.List[fleet.Zone]{Columns: append(zoneColumns.Columns[:len(zoneColumns.Columns):len(zoneColumns.Columns)],
		column("kind", string(z.Kind)), column("primary", soa.MName), column("mailbox", soa.RName), column("refresh", soa.Refresh),
		column("retry", soa.Retry), column("expire", soa.Expire), column("minimum", soa.Minimum))}
	return list.One(a.Out, z)
}

// column is one that has the same value whatever the row.
func column(name string, value any) render.Column[fleet.Zone] {
	return render.Column[fleet.Zone]{Name: name, Value: func(fleet.Zone) any { return value }}
}
