package keeper

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// permit is what the nameservers that may consume a catalog allow (guard 1): who
// takes a zone out of it takes it off them all.
type permit struct {
	publish bool   // members may come in
	leave   bool   // members may leave
	reason  string // what is in the way, for people; "" when that is about to be known
}

// consumers asks what the servers of the pool allow. While one is not proven to
// carry this store's marker, or waits for `server accept`, nobody leaves; once
// one was filled by another history of this store, whose catalog may have had
// others in it, nothing is published at all. For somebody to leave, each must
// have been looked at since that was asked for, and listed whole once: a marker of
// another store beside ours is found only so.
func (c *catalog) consumers() permit {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := permit{publish: true, leave: true}
	var reasons []string
	for _, sec := range c.servers {
		if !inPools(sec.server, []int64{c.pool.ID}) {
			continue
		}
		switch {
		case sec.blocked.code == "starting":
			out.publish, out.leave = false, false
		case sec.blocked.diverged:
			out.publish, out.leave = false, false
			reasons = append(reasons, fmt.Sprintf("server %s: %s", sec.server.Name, sec.blocked.reason))
		case sec.blocked.code != "":
			out.leave = false
			reasons = append(reasons, fmt.Sprintf("server %s: %s: %s", sec.server.Name, sec.blocked.code, sec.blocked.reason))
		case !sec.server.Accepted:
			out.leave = false
			reasons = append(reasons, fmt.Sprintf("server %[1]s waits for: dnsctl server accept %[1]s", sec.server.Name))
		case !sec.listed:
			out.leave = false
			sec.awaited = len(c.held) > 0
			reasons = append(reasons, fmt.Sprintf("server %s: its zones were not listed yet", sec.server.Name))
		case len(c.held) > 0 && (sec.health.Looked == nil || sec.health.Looked.Before(c.since)):
			out.leave = false
			sec.relook = true
			sec.wake()
		}
	}
	slices.Sort(reasons)
	out.reason = strings.Join(reasons, "; ")
	return out
}

// save writes how far the catalog is where that has changed, for others to read
// and for the next leader.
func (c *catalog) save(ctx context.Context, may permit) error {
	now := c.state
	now.Pool, now.Held, now.Reason = c.pool.ID, 0, c.waits
	if c.started {
		now.Pos, now.Members, now.Reason = c.behind, c.members, ""
		switch waiting := len(c.held) > 0; {
		case c.emptied > 0:
			now.Reason = "the list of the pool's members is empty"
		case waiting && may.reason == "":
			now.Reason = c.state.Reason // servers are being looked at again
		case waiting, !may.publish:
			now.Reason = may.reason
		}
		if now.Reason != "" {
			now.Held = len(c.held) + c.emptied
		}
	}
	if now.Reason != c.state.Reason || now.Since.IsZero() {
		now.Since = c.Now()
	}
	now.Since = now.Since.Truncate(time.Millisecond)
	c.Metrics.catalogHeld.WithLabelValues(c.pool.Name).Set(float64(now.Held))
	known := c.started || now.Reason != ""
	moved := now
	moved.Pos = c.state.Pos
	if !known || now == c.state || moved == c.state && c.Now().Sub(c.saved) < catalogSave {
		return nil
	}
	if err := c.Store.SetCatalog(ctx, c.pool.Catalog, now, c.lease); err != nil {
		return err
	}
	switch {
	case now.Reason != c.state.Reason && now.Reason != "":
		c.Log.Warn("the catalog is held back", "pool", c.pool.Name, "catalog", c.pool.Catalog.String(), "held", now.Held, "err", now.Reason)
	case now.Reason != c.state.Reason:
		c.Log.Info("the catalog is held back no longer", "pool", c.pool.Name, "catalog", c.pool.Catalog.String())
	}
	c.state, c.saved = now, c.Now()
	return nil
}

// tell sends NOTIFY to those of the pool's servers that were not told of the
// present version, when mdns serves it.
func (c *catalog) tell(ctx context.Context) error {
	if c.served == nil {
		z, err := c.zone(ctx)
		if err != nil {
			return err
		}
		if c.feed, err = c.Store.Head(ctx); err != nil {
			return err
		}
		c.served = &z
		c.Metrics.catalogMembers.WithLabelValues(c.pool.Name).Set(float64(c.members))
	}
	if c.Served != nil && c.Served() < c.feed {
		return nil
	}
	e := c.served.Edition
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, sec := range c.servers {
		serial, told := c.told[id]
		switch {
		case !inPools(sec.server, []int64{c.pool.ID}):
		case sec.server.State.Out(), !sec.blocked.told():
			delete(c.told, id)
		case !told || serial != e.Serial:
			c.told[id] = e.Serial
			c.note.Add(id, c.served.Name, e.Serial, e.SOA)
		}
	}
	return nil
}
