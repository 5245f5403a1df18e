package commands

import (
	"context"
	"fmt"
	"strconv"
	"sync"

	"github.com/spf13/cobra"

	"dnsctl/fleet"
	"dnsctl/render"
	"dnsctl/report"
	"dnsctl/sync/apply"
	"dnsctl/sync/plan"
)

type syncOptions struct {
	servers    []string
	dryRun     bool
	deep       bool
	all        bool
	unmanaged  string
	maxDelete  int
	allowEmpty bool
	noCopy     bool
	comment    string
	planOut    string
	plan       string
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
code 5). Servers that are out of service by dnsctl drain are left alone unless they
are named. Each deletion is preceded by a copy, which dnsctl quarantine restore
brings back.

More than 10 foreign zones, and 5% of a server's, in 24 hours are deleted only with
--max-delete and their exact number. --dry-run only shows the steps; its exit code
is 3 when there are any.

--plan-out writes the steps into a file as well, each with what it rests on, and
approves the exact number of deletions that they are. --plan applies such a file,
- is standard input: each step as far as what it rests on still holds; the others
are dropped, with the reason, and the exit code is 6. Nothing is done that the plan
does not name, every guard holds as ever, and deletions that it names need neither
--yes nor --max-delete. A plan of another store, or epoch, is refused (exit code 5).`,
		Example: `  dnsctl sync --dry-run
  dnsctl sync ns1 --yes
  dnsctl sync ns1 --unmanaged warn
  dnsctl sync --plan-out plan.json
  dnsctl sync --plan plan.json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.servers = args
			if !cmd.Flags().Changed("max-delete") {
				o.maxDelete = -1
			} else if o.maxDelete < 0 {
				return usagef("", "--max-delete %d is no number of zones", o.maxDelete)
			}
			return runSync(cmd.Context(), a, o)
		},
	}
	f := c.Flags()
	f.BoolVar(&o.dryRun, "dry-run", false, "show the steps and do nothing")
	f.BoolVar(&o.deep, "deep", false, "compare the content, primaries and keys of every zone first")
	f.BoolVar(&o.all, "all", false, "list zones in agreement and dnsctl's own as well")
	f.Var(newEnum(&o.unmanaged, "", policyNames()...), "unmanaged", "a milder policy for foreign zones, for this run")
	f.IntVar(&o.maxDelete, "max-delete", 0, "delete exactly this `number` of foreign zones, past the daily limit")
	f.BoolVar(&o.allowEmpty, "allow-empty", false, "an empty list of wanted zones is meant")
	f.BoolVar(&o.noCopy, "no-copy", false, "delete even what cannot be copied first")
	f.StringVar(&o.planOut, "plan-out", "", "only show the steps, and write them into this `file`")
	f.StringVar(&o.plan, "plan", "", "apply the plan in this `file`, and nothing else")
	f.StringVar(&o.comment, "comment", "", "a `text` for the events")
	c.MarkFlagsMutuallyExclusive("plan", "plan-out", "max-delete")
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
	opts := apply.SyncOptions{DryRun: o.dryRun, Deep: o.deep, All: o.all, Out: len(o.servers) > 0, Plan: plan.Options{Unmanaged: fleet.Policy(o.unmanaged), AllowEmpty: o.allowEmpty, NoCopy: o.noCopy}}
	if o.maxDelete >= 0 {
		opts.Plan.MaxDelete = &o.maxDelete
	}
	progress := a.Out.Progress()
	opts.Meta, opts.Progress, opts.Confirm = a.meta(o.comment), progress.Update, a.confirmDeletions(progress)
	rep, err := a.sync(ctx, o, opts)
	progress.Done()
	return a.showReport(rep, o.all, err)
}

// sync syncs, makes a plan file, or applies one.
func (a *App) sync(ctx context.Context, o syncOptions, opts apply.SyncOptions) (report.Report, error) {
	if o.plan != "" {
		return a.applyPlan(ctx, o, opts)
	}
	servers, err := a.servers(ctx, o.servers)
	if err != nil {
		return report.Report{}, err
	}
	w, err := a.workshop(ctx)
	if err != nil {
		return report.Report{}, err
	}
	if o.planOut != "" {
		return a.makePlan(ctx, w, servers, o.planOut, opts)
	}
	return w.syncer.Sync(ctx, "sync", servers, opts)
}

// confirmDeletions asks for each server's deletions, one question at a time;
// where nobody can be asked, only --yes confirms.
func (a *App) confirmDeletions(progress *render.Progress) func(server string, deletions []report.Item) bool {
	var mu sync.Mutex
	return func(server string, deletions []report.Item) bool {
		if a.flags.yes {
			return true
		}
		mu.Lock()
		defer mu.Unlock()
		progress.Done()
		a.Out.Items(deletions)
		question := fmt.Sprintf("%s will be deleted from server %s.", report.Count(len(deletions), "zone"), server)
		ok, err := a.Out.Confirm(question, strconv.Itoa(len(deletions)))
		return ok && err == nil
	}
}
