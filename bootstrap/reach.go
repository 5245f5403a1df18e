package bootstrap

import (
	"context"
	"errors"
	"time"

	"dnsctl/fleet"
	"dnsctl/mdns"
	"dnsctl/report"
	"dnsctl/sync/apply"
	"dnsctl/sync/inventory"
)

// reaches makes sure that a server with several primaries gets zones from one at least,
// and says in the log from which it gets none: they may be down while it is made. With
// one the marker shows that.
func (b *Bootstrapper) reaches(ctx context.Context, ses *inventory.Session, o apply.Options) error {
	if len(ses.Primaries()) < 2 {
		return nil
	}
	reached, err := b.Applier.Reach(ctx, ses, o)
	if err == nil || !reached || !errors.Is(err, apply.ErrUnreached) {
		return err
	}
	b.Applier.Log.Warn("it gets its zones from the other primaries", "server", ses.Server.Name, "err", err)
	return nil
}

// goneAfter is how long ago an mdns may have said that it serves.
const goneAfter = 4 * mdns.BeatEvery

// serving says whether an mdns serves zones now.
func serving(all []fleet.Replica, now time.Time) bool {
	for _, r := range all {
		if r.State == fleet.ReplicaReady && now.Sub(r.Seen) < goneAfter {
			return true
		}
	}
	return false
}

// prove has a server that is being added show that it gets zones from each of its
// primaries; tried is false when no mdns serves, which it could reach. Nothing stays on
// it.
func (b *Bootstrapper) prove(ctx context.Context, store ServerStore, ses *inventory.Session, o apply.Options) (tried bool, err error) {
	all, now, err := store.Replicas(ctx)
	if err != nil || !serving(all, now) {
		return false, err
	}
	if _, err = b.Applier.Reach(ctx, ses, o); errors.Is(err, apply.ErrUnreached) {
		err = report.Fail(report.ExitFailed, err, "does `dnsctl mdns serve` run there, and may the nameserver ask it over TCP? --no-check adds it all the same")
	}
	return true, err
}
