package commands

import (
	"context"

	"github.com/spf13/cobra"

	"dnsctl/fleet"
	"dnsctl/fleetfile"
	"dnsctl/store"
)

func newFleetCmd(a *App) *cobra.Command {
	return group("fleet", "Keep pools, keys and nameservers in one document",
		`The pools, TSIG keys and nameservers as one YAML document, which can be kept under
version control: what it says is compared with the database, and the database is
brought to it. Secrets and credentials are never in it.`,
		newFleetApplyCmd(a), newFleetExportCmd(a))
}

// present is the fleet as the database has it.
type present struct {
	pools   []fleet.Pool
	keys    []fleet.Key
	servers []fleet.Server
}

func readFleet(ctx context.Context, s *store.Store) (f present, err error) {
	if f.pools, err = s.Pools(ctx); err != nil {
		return f, err
	}
	if f.keys, err = s.Keys(ctx); err != nil {
		return f, err
	}
	f.servers, err = s.Servers(ctx)
	return f, err
}

func (f present) document() fleetfile.Document { return fleetfile.Of(f.pools, f.keys, f.servers) }
