package keeper

import (
	"context"
	"time"

	"dnsctl/fleet"
	"dnsctl/sync/plan"
)

// healthEvery is how often a server's health is written when only times in it
// have moved on.
const healthEvery = 10 * time.Second

// health is what the leader has seen of a server, and when it last wrote that.
type health struct {
	fleet.Health
	known   bool // whether it is blocked is known
	urgent  bool // more than a time has changed
	changed bool
	written time.Time
}

func (h *health) block(b block, now time.Time) {
	if !h.known || h.Blocked != b.code {
		h.Since, h.urgent = now, true
	}
	h.known = true
	h.urgent = h.urgent || h.Reason != b.reason
	h.urgent = h.urgent || h.Told != b.told()
	h.Blocked, h.Reason, h.Told = b.code, b.reason, b.told()
}

// looked notes that the server's marker was read.
func (l *leader) looked(sec *secondary, mark plan.Marker) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.Now()
	sec.health.Looked, sec.health.changed = &now, true
	if mark.State == plan.MarkerSound {
		sec.health.Marker = mark.Pos
	}
}

// shown notes that the wire has just proven a zone on the server.
func (l *leader) shown(server int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if sec := l.servers[server]; sec != nil {
		now := l.Now()
		sec.health.Proven, sec.health.changed = &now, true
	}
}

// publish writes the server's health where it has changed. What cannot be
// written is tried again with the next round.
func (l *leader) publish(ctx context.Context, sec *secondary) {
	now := l.Now()
	l.mu.Lock()
	h := sec.health.Health
	h.Server = sec.server.ID
	due := sec.health.known && (sec.health.urgent || sec.health.changed && now.Sub(sec.health.written) >= healthEvery)
	if due {
		sec.health.urgent, sec.health.changed, sec.health.written = false, false, now
	}
	l.mu.Unlock()
	if !due {
		return
	}
	if err := l.Store.SetHealth(ctx, h, l.lease); err != nil && ctx.Err() == nil {
		l.Log.Warn("write what was seen of a server", "server", sec.server.Name, "err", err)
		l.mu.Lock()
		sec.health.changed = true
		l.mu.Unlock()
	}
}
