package bootstrap

import (
	"context"
	"fmt"
	"time"

	"dnsctl/edit"
	"dnsctl/fleet"
	"dnsctl/report"
	"dnsctl/sync/plan"
)

// DrainStore is what taking servers out of service needs of the store.
type DrainStore interface {
	Server(ctx context.Context, name string) (fleet.Server, error)
	// DrainServer makes the server's state Draining unless a pool, but those in
	// below, would have too few servers in service.
	DrainServer(ctx context.Context, name string, d report.Drain, below []string, by fleet.By) error
	// EndDrain gives a server that is out of service by just this drain another
	// state.
	EndDrain(ctx context.Context, name string, d report.Drain, state fleet.State, by fleet.By) error
}

// Hook is told before a server goes out of service ("drain") and before it comes
// back ("undrain"); its error keeps the server as it is.
type Hook func(ctx context.Context, server, state, reason string) error

func (h Hook) call(ctx context.Context, server, state, reason string) error {
	if h == nil {
		return nil
	}
	return h(ctx, server, state, reason)
}

// undoTime bounds putting a server's state back.
const undoTime = 10 * time.Second

// Drain takes a server out of service: it gets no NOTIFY and no tasks and is not
// compared, until Undrain. Nothing is written to the nameserver. When the hook
// fails, it stays as it was; a drain that was killed goes on when it is run again.
func (b *Bootstrapper) Drain(ctx context.Context, store DrainStore, name, reason string, below []string, hook Hook, m edit.Meta) (report.Report, error) {
	id, err := b.Applier.Store.Identity(ctx)
	if err != nil {
		return report.Report{}, err
	}
	was, err := store.Server(ctx, name)
	if err != nil {
		return report.Report{}, err
	}
	by := fleet.By{Actor: m.Actor, Command: m.Command, Action: "drain", Comment: reason}
	d := report.Drain{Reason: reason, By: m.Actor, Since: b.Now().UTC().Truncate(time.Millisecond)}
	if err := store.DrainServer(ctx, name, d, below, by); err != nil {
		return report.Report{}, err
	}
	s, err := store.Server(ctx, name)
	if err != nil {
		return report.Report{}, err
	}
	if s.State == fleet.Draining && s.Drain != nil {
		if err := hook.call(ctx, name, "drain", reason); err != nil {
			err = fmt.Errorf("server %s is not drained: %w", name, err)
			if was.State.Out() {
				return report.Report{}, err
			}
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
			defer cancel()
			by.Action = "undrain"
			if e := store.EndDrain(ctx, name, *s.Drain, was.State, by); e != nil {
				err = fmt.Errorf("%w; and it stays on its way out: %w", err, e)
			}
			return report.Report{}, err
		}
		if err := store.EndDrain(ctx, name, *s.Drain, fleet.Drained, by); err != nil {
			return report.Report{}, err
		}
	}
	out := report.Server{Name: name, Complete: true, Drained: s.Drain, Items: []report.Item{}}
	out.Count()
	return report.Report{Schema: report.Schema, Command: "drain", Store: id.Store, Epoch: id.Epoch, Started: b.Now().UTC(), Servers: []report.Server{out}}, nil
}

// Undrain catches a drained server up and takes it into service: adds, changes,
// transfers and deletions of stale zones as sync does them, under the same guards,
// until every zone that it should have is served as the database has it. It stays
// drained while it is behind, and when the hook fails. A server that is in service
// is left alone.
func (b *Bootstrapper) Undrain(ctx context.Context, store DrainStore, name string, hook Hook, o Options) (report.Report, error) {
	s, err := store.Server(ctx, name)
	if err != nil {
		return report.Report{}, err
	}
	if !s.State.Out() {
		id, err := b.Applier.Store.Identity(ctx)
		return report.Report{Schema: report.Schema, Command: "undrain", Store: id.Store, Epoch: id.Epoch, Started: b.Now().UTC(), Servers: []report.Server{}}, err
	}
	d := report.Drain{}
	if s.Drain != nil {
		d = *s.Drain
	}
	o.Wait = true
	back := false
	rep, err := b.bring(ctx, s, o, into{
		command: "undrain",
		narrow:  func(p *plan.Plan) { withoutDeletions(p, "undrain deletes only what is stale", true) },
		agrees:  served,
		last: func(ctx context.Context, _ report.Server) error {
			if err := hook.call(ctx, name, "undrain", d.Reason); err != nil {
				return fmt.Errorf("the server stays drained: %w", err)
			}
			err := store.EndDrain(ctx, name, d, fleet.Active, fleet.By{Actor: o.Meta.Actor, Command: o.Meta.Command, Action: "undrain", Comment: o.Meta.Comment})
			back = err == nil
			return err
		},
	})
	if len(rep.Servers) == 1 && !back {
		rep.Servers[0].Drained = &d
		if rep.Exit == report.ExitOK {
			rep.Exit = report.ExitNotReady
		}
	}
	if back && rep.Exit == report.ExitNotReady {
		rep.Exit = report.ExitPartial // zones that it cannot hold do not keep it out: it never had them
	}
	return rep, err
}

// served says whether a zone keeps its server from coming back into service: what
// the server should have must be served as the database has it. What is withheld
// of zones that it should not have, or of settings that do no harm now, does not.
func served(it report.Item) bool {
	switch {
	case it.Outcome == report.Done, it.Class == report.OK, it.Class == "":
		return true
	case it.Serial.Want == nil:
		return it.Outcome != report.Failed
	case it.Class == report.Misconfigured:
		return it.Outcome == report.Withheld && it.Serial.Have != nil && *it.Serial.Have == *it.Serial.Want
	}
	return false
}
