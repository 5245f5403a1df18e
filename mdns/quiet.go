package mdns

import (
	"net/netip"
	"sync"
	"time"
)

// quiet lets through one log line a second for each source (see clientOf), and in each second
// those of so many sources only: source addresses of UDP are easily forged, and
// neither the log nor this may grow with them. What is not logged is counted all
// the same.
type quiet struct {
	now func() time.Time

	mu    sync.Mutex
	begin time.Time // of the present second
	last  map[netip.Addr]time.Time
	older map[netip.Addr]time.Time // of the second before
}

// quietSources is of how many sources lines are let through in a second.
const quietSources = 256

func newQuiet(now func() time.Time) *quiet { return &quiet{now: now, last: map[netip.Addr]time.Time{}} }

func (q *quiet) allow(from netip.Addr) bool {
	from = clientOf(from)
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.now()
	if now.Sub(q.begin) >= time.Second {
		q.begin, q.older, q.last = now, q.last, map[netip.Addr]time.Time{}
	}
	if _, ok := q.last[from]; ok || len(q.last) >= quietSources {
		return false
	}
	if t, ok := q.older[from]; ok && now.Sub(t) < time.Second {
		return false
	}
	q.last[from] = now
	return true
}
