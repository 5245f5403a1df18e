package apply

import (
	"context"
	"fmt"
	"time"

	"dnsctl/fleet"
	"dnsctl/report"
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
	lockTTL  = 30 * time.Second
	lockWait = 10 * time.Second // the leader gives a server's lock up between batches
)

// WithLock runs work while it holds the server's lock. When the lock is lost,
// work's context ends. The error is report.ExitBusy's when another dnsctl holds
// it for longer than the leader would.
func WithLock(ctx context.Context, locks Locks, server, holder string, work func(ctx context.Context) error) error {
	name := "server:" + server
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
		if err := pause(ctx, askEvery); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		for pause(ctx, lockTTL/3) == nil {
			if _, err := locks.Renew(ctx, lease, lockTTL); err != nil && ctx.Err() == nil {
				cancel(fmt.Errorf("the lock of server %s: %w", server, err))
			}
		}
	}()
	err := work(ctx)
	if cause := context.Cause(ctx); err == nil && cause != nil {
		err = cause
	}
	cancel(nil)
	<-stopped
	if e := locks.Release(context.WithoutCancel(ctx), lease); e != nil && err == nil {
		err = fmt.Errorf("unlock server %s: %w", server, e)
	}
	return err
}
