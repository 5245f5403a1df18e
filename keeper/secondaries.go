package keeper

import (
	"context"
	"maps"
	"slices"
	"time"

	"dnsctl/fleet"
	"dnsctl/zone"
)

// secondary is one server during a term. Its goroutine owns it but for what mu of
// the leader guards.
type secondary struct {
	server fleet.Server
	cancel context.CancelFunc
	done   chan struct{}
	kick   chan struct{} // there is work, or the marker moved

	strangers []zone.Name // markers of others that were found; its goroutine's
	sought    time.Time   // when they were last looked for because ours is missing; its goroutine's

	blocked block  // why nothing may be written; guarded by leader.mu
	dirty   bool   // the feed moved past its marker; guarded by leader.mu
	listed  bool   // all its zones were read in this term: whose markers it carries is known; guarded by leader.mu
	awaited bool   // a catalog waits for its zones to be listed; guarded by leader.mu
	relook  bool   // a catalog waits for its marker to be looked at; guarded by leader.mu
	health  health // for others to read; guarded by leader.mu
}

// reload makes the secondaries those of the store: new servers start, changed ones
// are started again, removed ones end.
func (l *leader) reload(ctx context.Context) error {
	servers, err := l.Store.Servers(ctx)
	if err != nil {
		return err
	}
	now := make(map[int64]fleet.Server, len(servers))
	for _, s := range servers {
		now[s.ID] = s
	}
	var ended []*secondary
	l.mu.Lock()
	for id, sec := range l.servers {
		if s, there := now[id]; there && sameServer(sec.server, s) {
			sec.server = s
			continue
		}
		ended = append(ended, sec)
		delete(l.servers, id)
	}
	l.mu.Unlock()
	// Two goroutines never work on one server: they would share its lock.
	l.end(ended)
	for _, sec := range ended {
		if s, there := now[sec.server.ID]; !there || s.Name != sec.server.Name {
			l.Metrics.forget(sec.server.Name)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range servers {
		if _, there := l.servers[s.ID]; there {
			continue
		}
		own, cancel := context.WithCancel(ctx)
		sec := &secondary{server: s, cancel: cancel, done: make(chan struct{}), kick: make(chan struct{}, 1), blocked: block{code: "starting", reason: "not looked at yet"}}
		l.servers[s.ID] = sec
		go func() {
			defer close(sec.done)
			l.tend(own, sec, s)
		}()
	}
	l.tell()
	return nil
}

// tell makes the servers that may be written to those that NOTIFY goes to. What
// waits for others comes back as verdicts, and tasks are made of it. l.mu is held.
func (l *leader) tell() {
	var to []fleet.Server
	for _, sec := range l.servers {
		if sec.blocked.told() {
			to = append(to, sec.server)
		}
	}
	l.note.SetServers(to)
}

// end stops secondaries and waits for them.
func (l *leader) end(all []*secondary) {
	for _, sec := range all {
		sec.cancel()
	}
	for _, sec := range all {
		<-sec.done
	}
}

// sameServer compares what a secondary's goroutine rests on.
func sameServer(a, b fleet.Server) bool {
	return a.Name == b.Name && a.Type == b.Type && a.Address == b.Address && a.ProbeAddr() == b.ProbeAddr() && a.NotifyAddr() == b.NotifyAddr() &&
		a.Control == b.Control && a.Stats == b.Stats && a.View == b.View && a.State == b.State && a.Accepted == b.Accepted && a.Provision == b.Provision &&
		slices.Equal(a.Credential, b.Credential) &&
		slices.EqualFunc(a.Pools, b.Pools, func(x, y fleet.Pool) bool {
			return x.ID == y.ID && x.Unmanaged == y.Unmanaged && slices.Equal(x.Primaries, y.Primaries) && slices.Equal(x.Protect, y.Protect) && x.CompareEvery == y.CompareEvery && x.Catalog == y.Catalog
		})
}

func (l *leader) all() []*secondary {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Values(l.servers))
}

func (sec *secondary) wake() {
	select {
	case sec.kick <- struct{}{}:
	default:
	}
}

func inPools(s fleet.Server, pools []int64) bool {
	return slices.ContainsFunc(s.Pools, func(p fleet.Pool) bool { return slices.Contains(pools, p.ID) })
}
