package commands

import (
	"context"
	"fmt"
	"sync"

	"github.com/spf13/cobra"

	"dnsctl/fleet"
	"dnsctl/render"
	"dnsctl/sync/apply"
	"dnsctl/sync/plan"
)

type syncOptions struct {
	servers    []string
	dryRun     bool
	all        bool
	unmanaged  string
	maxDelete  int
	allowEmpty bool
	noCopy     bool
	comment    string
}

func newSyncCmd(a *App) *cobra.Command {
	var o syncOptions
	c := &cobra.Command{
		Use:   "sync [SERVER...]",
		Short: "Make nameservers agree with the database",
		Long: `Makes the zones of the nameservers named, or of all of them, equal to the
database's: adds what is missing, changes what is misconfigured, transfers again
what is behind or differs, and deletes what is stale, or foreign where the pool's
policy is delete. Every step is proven on the wire.

Adds and transfers are done at once. Deletions are confirmed on a terminal by
typing their number; elsewhere they need --yes, and are withheld without it (exit
code 5). Each deletion is preceded by a copy, which dnsctl quarantine restore
brings back.

More than 10 foreign zones, and 5% of a server's, in 24 hours are deleted only with
--max-delete and their exact number. --dry-run only shows the steps; its exit code
is 3 when there are any.`,
		Example: `  dnsctl sync --dry-run
  dnsctl sync ns1 --yes
  dnsctl sync ns1 --unmanaged warn`,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.servers = args
			if !cmd.Flags().Changed("max-delete") {
				o.maxDelete = -1
			} else if o.maxDelete < 0 {
				return usagef("", "--max-delete %d is no number of zones", o.maxDelete)
			}
			return runSync(cmd.Context(), a, o)
		},
		ValidArgsFunction: a.completeServer,
	}
	f := c.Flags()
	f.BoolVar(&o.dryRun, "dry-run", false, "show the steps and do nothing")
	f.BoolVar(&o.all, "all", false, "list zones in agreement and dnsctl's own as well")
	f.Var(newEnum(&o.unmanaged, "", policyNames()...), "unmanaged", "a milder policy for foreign zones, for this run")
	f.IntVar(&o.maxDelete, "max-delete", 0, "delete exactly this `number` of foreign zones, past the daily limit")
	f.BoolVar(&o.allowEmpty, "allow-empty", false, "an empty list of wanted zones is meant")
	f.BoolVar(&o.noCopy, "no-copy", false, "delete even what cannot be copied first")
	f.StringVar(&o.comment, "comment", "", "a `text` for the events")
	complete(c, "unmanaged", policyNames()...)
	return c
}

func policyNames() []string {
	out := make([]string, len(fleet.Policies))
	for i, p := range fleet.Policies {
		out[i] = string(p)
	}
	return out
}

func runSync(ctx context.Context, a *App, o syncOptions) error {
	servers, err := a.servers(ctx, o.servers)
	if err != nil {
		return err
	}
	w, err := a.workshop(ctx)
	if err != nil {
		return err
	}
	opts := apply.SyncOptions{DryRun: o.dryRun, Plan: plan.Options{Unmanaged: fleet.Policy(o.unmanaged), AllowEmpty: o.allowEmpty, NoCopy: o.noCopy}}
	if o.maxDelete >= 0 {
		opts.Plan.MaxDelete = &o.maxDelete
	}
	progress := a.Out.Progress()
	opts.Meta, opts.Progress, opts.Confirm = a.meta(o.comment), progress.Update, a.confirmDeletions(progress)
	rep, err := w.syncer.Sync(ctx, "sync", servers, opts)
	progress.Done()
	return a.showReport(rep, o.all, err)
}

// confirmDeletions asks for each server's deletions, one question at a time;
// where nobody can be asked, only --yes confirms.
func (a *App) confirmDeletions(progress *render.Progress) func(server string, n int) bool {
	var mu sync.Mutex
	return func(server string, n int) bool {
		if a.flags.yes {
			return true
		}
		mu.Lock()
		defer mu.Unlock()
		progress.Done()
		ok, err := a.Out.Confirm(fmt.Sprintf("%d zones will be deleted from server %s.", n, server), n)
		return ok && err == nil
	}
}
