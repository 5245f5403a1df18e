package mdns

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"dnsctl/fleet"
)

// Register is where processes say that they serve, for others to see.
type Register interface {
	PutReplica(ctx context.Context, r fleet.Replica) error
	DropReplica(ctx context.Context, id string) error
}

const (
	// BeatEvery is how often a process says that it serves.
	BeatEvery = 5 * time.Second
	// beatLook is how often it looks whether there is something new to say.
	beatLook = 500 * time.Millisecond
	beatTime = 4 * time.Second // bounds one write
)

// Announce says in the register that this process serves, from the moment that
// bound gives the addresses, again and again until served is closed; then the
// entry goes. ctx is Serve's. who says what does not change. A register that
// cannot be written to stops nobody from serving: the failure is logged once.
func (s *Server) Announce(ctx context.Context, served <-chan struct{}, bound <-chan []netip.AddrPort, r Register, who fleet.Replica) {
	select {
	case <-served:
		return
	case addrs := <-bound:
		for _, a := range addrs {
			who.Listen = append(who.Listen, a.String())
		}
	}
	// It outlives ctx: while transfers finish, the process drains.
	ctx = context.WithoutCancel(ctx)
	write := func(do func(context.Context) error) error {
		ctx, cancel := context.WithTimeout(ctx, beatTime)
		defer cancel()
		return do(ctx)
	}
	tick := time.NewTicker(beatLook)
	defer tick.Stop()
	var said fleet.Replica
	var at time.Time
	failed := false
	for {
		who.Position = s.Position()
		who.State, who.Reason = s.replicaState()
		now := time.Now() // a pace, not a time that others see
		if who.State != said.State || who.Reason != said.Reason || now.Sub(at) >= BeatEvery {
			at = now
			err := write(func(ctx context.Context) error { return r.PutReplica(ctx, who) })
			if err == nil {
				said = who
			} else if !failed {
				s.log.Warn("cannot say in the store that this process serves", "err", err)
			}
			failed = err != nil
		}
		select {
		case <-tick.C:
		case <-served:
			if err := write(func(ctx context.Context) error { return r.DropReplica(ctx, who.ID) }); err != nil {
				s.log.Warn("cannot take this process off the list in the store", "err", err)
			}
			return
		}
	}
}

func (s *Server) replicaState() (state, reason string) {
	switch err := s.Readiness(); {
	case err == nil:
		return fleet.ReplicaReady, ""
	case errors.Is(err, errStopping):
		return fleet.ReplicaDraining, ""
	default:
		return fleet.ReplicaNotReady, err.Error()
	}
}
