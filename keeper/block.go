package keeper

import (
	"context"

	"dnsctl/fleet"
	"dnsctl/sync/inventory"
	"dnsctl/sync/plan"
)

// block is why nothing may be written to a server; the zero value is that it may.
type block struct {
	code   string // one of a few words, for metrics
	reason string // for people
	notify bool   // it may be told of changes all the same
	// diverged: another history of this store filled it.
	diverged bool
}

// told says whether the server is told of changes.
func (b block) told() bool { return b.code == "" || b.notify }

// MarkerWrong is the block of a server whose marker is not one that this store put
// there, or is ahead of it.
const MarkerWrong = "marker-wrong"

// blockOf is the block that a marker's verdict means.
func blockOf(mark plan.Marker) block {
	switch mark.State {
	case plan.MarkerSound:
		return block{}
	case plan.MarkerMissing:
		return block{code: "marker-missing", reason: mark.Reason}
	}
	return block{code: MarkerWrong, reason: mark.Reason, diverged: mark.Diverged}
}

// setBlocked notes whether, and why, nothing may be written to the server.
func (l *leader) setBlocked(sec *secondary, b block) {
	l.mu.Lock()
	before, name := sec.blocked, sec.server.Name
	sec.blocked = b
	sec.health.block(b, l.Now())
	if b.told() != before.told() {
		l.tell()
	}
	l.mu.Unlock()
	l.Metrics.block(name, b.code)
	switch {
	case b.code != "" && b.code != before.code:
		l.Log.Warn("server is left alone", "server", name, "reason", b.code, "err", b.reason)
	case b.code == "" && before.code != "":
		l.Log.Info("server is kept in agreement", "server", name)
	}
}

func (l *leader) blocked(sec *secondary) block {
	l.mu.Lock()
	defer l.mu.Unlock()
	return sec.blocked
}

// unreachable is the block of a server whose control channel fails. When it
// shows a sound marker over DNS, guard 1 holds, and it is told of changes all the
// same: NOTIFY needs no control channel.
func (l *leader) unreachable(ctx context.Context, sec *secondary, s fleet.Server, cause error) block {
	b := block{code: "unreachable", reason: cause.Error()}
	if len(sec.strangers) > 0 {
		return b
	}
	ses, err := l.Fleet.Open(ctx, s)
	if err != nil {
		return b
	}
	defer ses.Close()
	_, err = ses.SoundMark(ctx)
	b.notify, b.diverged = err == nil, inventory.Diverged(err)
	return b
}
