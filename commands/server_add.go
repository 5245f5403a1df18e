package commands

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"dnsctl/bootstrap"
	"dnsctl/fleet"
	"dnsctl/report"
)

type serverAddOptions struct {
	reachFlags
	name, typ string
	pools     []string
	isNew     bool
	noCheck   bool
	comment   string
}

// reachFlags say where a nameserver is and how it is reached.
type reachFlags struct {
	address, probe, notify string
	control, stats, view   string
	provision              string
	credential             credentialFlags
}

func (r *reachFlags) bind(f *pflag.FlagSet) {
	f.StringVar(&r.address, "address", "", "where it serves DNS, as `IP:PORT`")
	f.StringVar(&r.probe, "probe", "", "where dnsctl asks it, as `IP:PORT`, if not at --address")
	f.StringVar(&r.notify, "notify", "", "where NOTIFY goes, as `IP:PORT`, if not to --address")
	f.StringVar(&r.control, "control", "", "its control channel, as `URL`")
	r.credential.bind(f)
	f.StringVar(&r.stats, "stats", "", "its statistics channel, as `URL`")
	f.Var(newEnum(&r.provision, string(fleet.ByControl), string(fleet.ByControl), string(fleet.ByCatalog)), "provision", "how it comes to its zones: over its control channel, or with its pool's catalog")
	f.StringVar(&r.view, "view", "", "the `view` that is meant, where it has views")
}

func newServerAddCmd(a *App) *cobra.Command {
	var o serverAddOptions
	c := &cobra.Command{
		Use:   "add NAME",
		Short: "Add a nameserver",
		Long: `Adds a nameserver to a pool or several; with one pool, --pool may be left out.

With --new it does not run yet: its credentials are made here, and dnsctl bootstrap
NAME --out writes a configuration that listens at --address.

Without --new it is reached over its control channel, and looked at. The credential
in --control-key-file is read once and stored sealed; where --control is https with
a certificate of your own CA, the CA's goes below the key, in PEM. An NSD's is in the
folder of nsd-control-setup, which --control-cert-dir names; a control socket on this
host (unix:PATH) needs none, nor does Knot DNS through ssh (ssh://USER@HOST/PATH),
which must get in without a question. A server that has zones already stays on the
policy warn for foreign zones until dnsctl server accept.

It must get zones from each primary of its pools: where dnsctl mdns serve runs, it is
given a zone without content, which it transfers from one primary after the other, and
which is removed again. Knot DNS and PowerDNS keep the TSIG keys that they got for that;
nothing else is written to a nameserver. A primary that it does not reach
is named, with what was seen, and the nameserver is not added; --no-check adds it all
the same. dnsctl bootstrap tries that again.

With --provision catalog it takes its zones from its pool's catalog zone (RFC 9432,
dnsctl pool create --catalog) instead of its control channel, which goes on to show
what it has, and to put the marker there. It is in that one pool. Knot DNS and
PowerDNS are given the catalog zone by dnsctl bootstrap; for BIND and NSD it stands in
the configuration: that of a new one has it, and for one that runs already dnsctl
prints what to add. BIND 9.18, Knot DNS 3.0, NSD 4.9 and PowerDNS 4.7 are the first
that can.

--address is where it serves DNS; without a port that means 53. --probe and --notify
are for servers that must be asked or notified elsewhere (anycast).`,
		Example: `  dnsctl server add ns1 --pool main --new --type bind --address 192.0.2.53 --control rndc://192.0.2.53:953
  dnsctl server add ns2 --pool main --type bind --address 192.0.2.54 --control rndc://192.0.2.54:953 --control-key-file rndc.key --stats http://192.0.2.54:8053
  dnsctl server add ns3 --pool main --type powerdns --address 192.0.2.55 --control http://192.0.2.55:8081 --control-key-file api.key
  dnsctl server add ns4 --pool main --type knot --address 192.0.2.56 --control ssh://dnsctl@192.0.2.56/run/knot/knot.sock`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.name = args[0]
			return runServerAdd(cmd.Context(), a, o)
		},
	}
	f := c.Flags()
	f.StringSliceVar(&o.pools, "pool", nil, "a `pool` to put it into")
	f.Var(newEnum(&o.typ, "", typeNames()...), "type", "what kind of nameserver it is")
	o.bind(f)
	f.BoolVar(&o.isNew, "new", false, "it does not run yet: make its credentials")
	f.BoolVar(&o.noCheck, "no-check", false, "do not try whether it gets zones from its primaries")
	f.StringVar(&o.comment, "comment", "", "a `text` for the events")
	required(c, "type", "address")
	c.MarkFlagsMutuallyExclusive("new", "control-key-file", "control-cert-dir")
	return c
}

// server makes the server that the flags describe.
func (o serverAddOptions) server() (fleet.Server, error) {
	s := fleet.Server{Name: o.name, Type: o.typ, Control: o.control, Stats: o.stats, View: o.view, New: o.isNew, Provision: fleet.Provision(o.provision)}
	var err error
	if s.Address, err = parseAddr("address", o.address); err != nil {
		return s, err
	}
	if o.probe != "" {
		if s.Probe, err = parseAddr("probe", o.probe); err != nil {
			return s, err
		}
	}
	if o.notify != "" {
		if s.Notify, err = parseAddr("notify", o.notify); err != nil {
			return s, err
		}
	}
	return s, nil
}

func runServerAdd(ctx context.Context, a *App, o serverAddOptions) error {
	added, err := a.addServer(ctx, o)
	if errors.Is(err, fleet.ErrExists) {
		return report.Hint(err, "look at it with: dnsctl server show "+o.name)
	}
	if err != nil {
		return err
	}
	return serverColumns.Result(a.Out, added)
}

// addServer adds a server, and says what answers there.
func (a *App) addServer(ctx context.Context, o serverAddOptions) (fleet.Server, error) {
	s, err := o.server()
	if err != nil {
		return s, err
	}
	n := bootstrap.NewServer{Server: s, Unchecked: o.noCheck}
	if n.ControlKey, err = o.credential.read(o.typ); err != nil {
		return s, err
	}
	if n.ControlKey == nil && !o.isNew && !keyless(s) {
		return s, usagef("give the credential of its control channel, or --new for a server that does not run yet", "--control-key-file is missing")
	}
	if n.Pools, err = a.oneOrMorePools(ctx, o.pools); err != nil {
		return s, err
	}
	w, err := a.workshop(ctx)
	if err != nil {
		return s, err
	}
	if err := a.warnUnheldBy(ctx, o.name, o.typ, n.Pools); err != nil {
		return s, err
	}
	added, err := w.bootstrap.Add(ctx, w.store, n, a.meta(o.comment))
	if err != nil {
		return s, err
	}
	if v := added.Info.Version; v != "" {
		a.Out.Say("%s answers: %s", o.name, strings.TrimSpace(v))
	}
	if v := added.Info.Identity; v != "" {
		a.Out.Say("it calls itself %s", v)
	}
	switch {
	case added.Proven:
		a.Out.Say("it gets zones from every primary of its pools")
	case !o.isNew && !o.noCheck:
		a.Out.Say("whether it gets zones from its primaries could not be tried: no `dnsctl mdns serve` runs; dnsctl bootstrap tries it")
	}
	if added.Zones > 0 {
		a.Out.Say("%s has %s already: foreign ones are only warned about until `dnsctl server accept %s`", o.name, report.Count(added.Zones, "zone"), o.name)
	}
	return added.Server, nil
}
