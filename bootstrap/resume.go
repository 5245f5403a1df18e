package bootstrap

import (
	"context"
	"fmt"
	"strings"
	"time"

	"dnsctl/fleet"
	"dnsctl/report"
)

// A run is remembered by its events: one when it begins, with whether it waits, one
// for each zone that it adds, and one when it ends, which a run that was killed, or
// that ended with zones that do not answer, has not.
const (
	runEvent = "bootstrap"
	begun    = "begun"
	waits    = "begun, to wait"
	ended    = "ended"
	resumed  = "resumed"
)

// pageOfEvents is how many events are read at a time.
const pageOfEvents = 1000

// earlier is a run that did not end; its time is zero when there is none.
type earlier struct {
	since time.Time
	waits bool
	did   []report.Item // the zones that it has added
}

// begins writes down that a run begins, or goes on with an earlier one.
func (b *Bootstrapper) begins(ctx context.Context, server string, o Options, last earlier) error {
	result := begun
	switch {
	case !last.since.IsZero():
		result = resumed
	case o.Wait:
		result = waits
	}
	return b.say(ctx, server, o, result)
}

// ends writes down that a run has ended.
func (b *Bootstrapper) ends(ctx context.Context, server string, o Options) error {
	return b.say(context.WithoutCancel(ctx), server, o, ended)
}

func (b *Bootstrapper) say(ctx context.Context, server string, o Options, result string) error {
	e := report.Event{At: b.Now(), Actor: o.Meta.Actor, Command: o.Meta.Command, Action: runEvent, Server: server, Comment: o.Meta.Comment, Result: result}
	if err := b.Store.AddEvent(ctx, e); err != nil {
		return fmt.Errorf("write event: %w", err)
	}
	return nil
}

// lastRun is the last run of a server, unless it has ended.
func (b *Bootstrapper) lastRun(ctx context.Context, server string) (earlier, error) {
	var r earlier
	seen := map[string]bool{}
	for before := int64(0); ; {
		events, err := b.Store.Events(ctx, fleet.EventFilter{Server: server, Before: before, Limit: pageOfEvents})
		if err != nil || len(events) == 0 {
			return earlier{}, err
		}
		for _, e := range events {
			switch {
			case e.Action == runEvent && e.Result == ended:
				return earlier{}, nil
			case e.Action == runEvent && strings.HasPrefix(e.Result, begun):
				r.since, r.waits = e.At, e.Result == waits
				for i := range r.did {
					r.did[i].Reason = "added by the run that began at " + r.since.UTC().Format(time.RFC3339)
				}
				return r, nil
			case e.Action == "add" && e.Zone != "" && !fleet.IsMarkerName(e.Zone) && !seen[string(e.Zone.Key())]:
				seen[string(e.Zone.Key())] = true
				r.did = append(r.did, report.Item{Zone: e.Zone, Class: report.Missing, Attributes: []string{}, Action: report.Add, Outcome: report.Done})
			}
		}
		before = events[len(events)-1].ID
	}
}
