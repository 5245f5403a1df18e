package apply

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dnsctl/fleet"
	"dnsctl/report"
	"dnsctl/sync/inventory"
)

// Locks is the leases of the store.
type Locks interface {
	// Lease takes the lease, or says with held false who has it.
	Lease(ctx context.Context, name, holder string, ttl time.Duration) (l fleet.Lease, held bool, err error)
	// Renew keeps it; fleet.ErrLeaseLost when somebody has taken it since.
	Renew(ctx context.Context, l fleet.Lease, ttl time.Duration) (fleet.Lease, error)
	Release(ctx context.Context, l fleet.Lease) error
}

const (
	lockWait = 10 * time.Second // the leader gives a server's lock up between batches
	// The lock of a run that was killed is free again before the next one has
	// waited in vain.
	lockTTL = 9 * time.Second

	releaseTime = 5 * time.Second
)

// Busy says whether somebody else holds the server's lock.
func Busy(ctx context.Context, locks Locks, server, holder string) (bool, error) {
	lease, free, err := locks.Lease(ctx, lockOf(server), holder, lockTTL)
	if err == nil && free {
		err = locks.Release(ctx, lease)
	}
	if err != nil {
		return false, fmt.Errorf("look at the lock of server %s: %w", server, err)
	}
	return !free, nil
}

func lockOf(server string) string { return "server:" + server }

// WithLock runs work while it holds the server's lock. When the lock is lost,
// work's context ends. The error is report.ExitBusy's when another dnsctl holds
// it for longer than the leader would.
func WithLock(ctx context.Context, locks Locks, server, holder string, work func(ctx context.Context) error) error {
	name := lockOf(server)
	var lease fleet.Lease
	for waited := time.Duration(0); ; waited += askEvery {
		var err error
		var held bool
		lease, held, err = locks.Lease(ctx, name, holder, lockTTL)
		if err != nil {
			return fmt.Errorf("lock server %s: %w", server, err)
		}
		if held {
			break
		}
		if waited >= lockWait {
			return report.Fail(report.ExitBusy, fmt.Errorf("server %s is held by another dnsctl (%s)", server, lease.Holder), "wait for it to end, or ask it what it does: dnsctl server show "+server)
		}
		if err := inventory.Pause(ctx, askEvery); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		if err := keep(ctx, locks, lease); err != nil {
			cancel(fmt.Errorf("the lock of server %s: %w", server, err))
		}
	}()
	err := work(ctx)
	if cause := context.Cause(ctx); cause != nil && (err == nil || errors.Is(err, context.Canceled)) {
		err = cause
	}
	cancel(nil)
	<-stopped
	ctx, end := context.WithTimeout(context.WithoutCancel(ctx), releaseTime)
	defer end()
	if e := locks.Release(ctx, lease); e != nil && err == nil {
		err = fmt.Errorf("unlock server %s: %w", server, e)
	}
	return err
}

// keep renews a lease until ctx ends, or returns why it is lost. A store that
// does not answer for a moment is no loss yet; the work ends well before the
// lease does.
func keep(ctx context.Context, locks Locks, lease fleet.Lease) error {
	renewed := time.Now()
	for inventory.Pause(ctx, lockTTL/6) == nil {
		began := time.Now()
		try, cancel := context.WithTimeout(ctx, lockTTL/6)
		_, err := locks.Renew(try, lease, lockTTL)
		cancel()
		switch {
		case err == nil:
			renewed = began
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, fleet.ErrLeaseLost) || time.Since(renewed) > lockTTL/2:
			return err
		}
	}
	return nil
}
