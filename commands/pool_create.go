package commands

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/spf13/cobra"

	"dnsctl/edit"
	"dnsctl/fleet"
	"dnsctl/report"
	"dnsctl/zone"
)

func errAddr(p netip.AddrPort) error { return fmt.Errorf("primary %s is no address to connect to", p) }

func newPoolCreateCmd(a *App) *cobra.Command {
	var f poolFlags
	var noTSIG bool
	c := &cobra.Command{
		Use:   "create NAME",
		Short: "Create a pool",
		Long: `Creates a pool, and with it a TSIG key of the same name that its nameservers sign
their transfers with, unless --no-tsig. --primary says where its nameservers find
dnsctl mdns serve; an address without a port means 53. --ns and --email make
zone create NAME a valid zone.

With --require-tls its zones are transferred over TLS only (RFC 9103), and --primary
is where mdns serve --tls-listen listens; a port left out means 853 then. Its
nameservers check the primaries' certificate where --tls-ca and --tls-name say
against what. --tls-client lets nameservers in by their own certificate, in place of
a key. Names are DNS names in the certificates (subjectAltName).

--unmanaged says what is done with zones on its nameservers that were never ours:
delete them (with a copy, which can be restored), warn, or ignore them.

--catalog has the leader of dnsctl mdns serve keep a catalog zone (RFC 9432) of the
pool's zones under that name, which nameservers may consume that dnsctl has no
control channel to. Zones join it at once. They leave it when they are deleted or
moved, and only while every server of the pool carries this store's marker.`,
		Example: `  dnsctl pool create main --primary 192.0.2.1 --ns ns1.example.net. --ns ns2.example.net. --email hostmaster@example.net
  dnsctl pool create far --primary 192.0.2.1 --require-tls --tls-ca ca.pem --tls-name mdns.example.net
  dnsctl pool create lab --primary 127.0.0.1:5300 --no-tsig --allow-transfer 127.0.0.0/8 --unmanaged warn`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p := fleet.Pool{Name: args[0], Unmanaged: fleet.Delete, RequireTSIG: !noTSIG, MinActive: 1}
			if err := f.apply(cmd.Flags().Changed, &p); err != nil {
				return err
			}
			return runPoolCreate(cmd.Context(), a, p, f.comment)
		},
	}
	f.bind(c, string(fleet.Delete))
	c.Flags().BoolVar(&noTSIG, "no-tsig", false, "make no key: only --allow-transfer says who sees its zones")
	required(c, "primary")
	return c
}

func runPoolCreate(ctx context.Context, a *App, p fleet.Pool, comment string) error {
	if err := checkPool(p); err != nil {
		return err
	}
	s, err := a.openStore(ctx)
	if err != nil {
		return err
	}
	var key *fleet.Key
	if p.RequireTSIG {
		name, err := zone.ParseName(p.Name)
		if err != nil {
			return usagef("", "pool %v", err)
		}
		k, err := a.newKey(ctx, name, defaultAlgorithm, nil)
		if err != nil {
			return err
		}
		key = &k
	}
	made, err := s.CreatePool(ctx, p, key, a.byWith(comment))
	if errors.Is(err, fleet.ErrExists) {
		return report.Hint(err, "look at it with: dnsctl pool show "+p.Name)
	}
	if err != nil {
		return err
	}
	return a.showPool(ctx, made)
}

// checkPool refuses settings that no nameserver or zone could use.
func checkPool(p fleet.Pool) error {
	if len(p.Primaries) == 0 {
		return usagef("", "pool %s would have no primary", p.Name)
	}
	if p.Email != "" {
		if _, err := edit.Mailbox(p.Email, zone.Root); err != nil {
			return err
		}
	}
	return samePlace(p.Primaries)
}
