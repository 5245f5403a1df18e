// Package audit looks whether nameservers serve what the database says. It never
// writes to a nameserver.
package audit

import (
	"context"
	"time"

	"dnsctl/fleet"
	"dnsctl/report"
	"dnsctl/sync/apply"
	"dnsctl/sync/inventory"
	"dnsctl/sync/plan"
)

// Auditor looks at nameservers.
type Auditor struct {
	Fleet *inventory.Fleet
	Now   func() time.Time
}

// Options of one audit.
type Options struct {
	Deep     bool // content, primaries and keys of every zone
	All      bool // zones in agreement as items too, which are only counted otherwise
	Out      bool // servers that are out of service as well, which are only named otherwise
	Progress func(report.Progress)
}

// Audit classes every zone of every server. A server that cannot be read whole
// is incomplete, with the reason: nothing on it counts as absent.
func (a *Auditor) Audit(ctx context.Context, servers []fleet.Server, o Options) (report.Report, error) {
	id, err := a.Fleet.Store.Identity(ctx)
	if err != nil {
		return report.Report{}, err
	}
	rep := report.Report{Schema: report.Schema, Command: "audit", Store: id.Store, Epoch: id.Epoch, Started: a.Now().UTC()}
	rep.Servers = apply.Each(servers, func(s fleet.Server) report.Server {
		if out, rests := apply.Resting(s); rests && !o.Out {
			return out
		}
		out, err := a.one(ctx, s, o)
		out.Drained = s.Drain
		if err != nil {
			return apply.Failed(out, s, err)
		}
		return out
	})
	rep.Exit = rep.Verdict(report.Looked)
	return rep, ctx.Err()
}

func (a *Auditor) one(ctx context.Context, s fleet.Server, o Options) (report.Server, error) {
	ses, err := a.Fleet.Open(ctx, s)
	if err != nil {
		return report.Server{}, err
	}
	defer ses.Close()
	in, err := ses.Look(ctx, inventory.LookOptions{Deep: o.Deep, Brief: !o.All, Progress: o.Progress})
	if err != nil {
		return report.Server{}, err
	}
	return apply.Report(plan.Make(in)), nil
}
