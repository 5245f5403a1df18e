package keeper

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"dnsctl/fleet"
	"dnsctl/report"
	"dnsctl/sync/plan"
	"dnsctl/zone"
)

const cursorName = "keeper"

// leader is one term of leadership.
type leader struct {
	*Keeper
	lease   fleet.Lease
	mu      sync.Mutex
	servers map[int64]*member // guarded by mu
	note    *Notifier
	open    outstanding
}

// member is one server during a term. Its goroutine owns it but for what mu of
// the leader guards.
type member struct {
	server fleet.Server
	cancel context.CancelFunc
	done   chan struct{}
	kick   chan struct{} // there is work, or the marker moved

	blocked block // why nothing may be written; guarded by leader.mu
	dirty   bool  // the feed moved past its marker; guarded by leader.mu
}

// run follows the feed and keeps one goroutine per server.
func (l *leader) run(ctx context.Context) {
	l.open.init()
	l.note = NewNotifier(l.Notify, l.proven)
	l.note.Metrics, l.note.Now = l.Metrics.notify, l.Now
	var wg sync.WaitGroup
	wg.Go(func() { l.note.Run(ctx) })
	defer wg.Wait()
	defer l.stopAll()
	pos, err := l.start(ctx)
	for err != nil {
		if ctx.Err() != nil {
			return
		}
		l.Log.Warn("start leading", "err", err)
		if !pause(ctx, blockedRetry) {
			return
		}
		pos, err = l.start(ctx)
	}
	saved, saveAt := pos, l.Now()
	for ctx.Err() == nil {
		next, err := l.follow(ctx, pos)
		if err != nil && ctx.Err() == nil {
			l.Log.Warn("follow the change feed", "err", err)
		}
		more := next > pos
		pos = next
		if safe := l.open.safe(pos); safe > saved && (l.Now().Sub(saveAt) > time.Second || !more) {
			if err := l.Store.SetCursor(ctx, cursorName, safe, l.lease); err != nil && ctx.Err() == nil {
				l.Log.Warn("store the cursor", "err", err)
			} else {
				saved, saveAt = safe, l.Now()
			}
		}
		if more {
			continue
		}
		select {
		case <-ctx.Done():
		case <-l.Wake:
		case <-time.After(l.Poll):
		}
	}
	if safe := l.open.safe(pos); safe > saved {
		if err := l.Store.SetCursor(context.WithoutCancel(ctx), cursorName, safe, l.lease); err != nil {
			l.Log.Warn("store the cursor", "err", err)
		}
	}
}

// start loads the servers and the cursor. Where there is none, what came before
// is left to the first comparison.
func (l *leader) start(ctx context.Context) (int64, error) {
	if err := l.reload(ctx); err != nil {
		return 0, err
	}
	pos, err := l.Store.Cursor(ctx, cursorName)
	if err != nil {
		return 0, err
	}
	if pos > 0 {
		return pos, nil
	}
	if pos, err = l.Store.Head(ctx); err != nil {
		return 0, err
	}
	return pos, l.Store.SetCursor(ctx, cursorName, pos, l.lease)
}

// reload makes the members those of the store: new servers start, changed ones
// are started again, removed ones end.
func (l *leader) reload(ctx context.Context) error {
	servers, err := l.Store.Servers(ctx)
	if err != nil {
		return err
	}
	var ended []*member
	l.mu.Lock()
	seen := make(map[int64]bool)
	for _, s := range servers {
		seen[s.ID] = true
		if m, ok := l.servers[s.ID]; ok {
			if sameServer(m.server, s) {
				m.server = s
				continue
			}
			ended = append(ended, m)
		}
		mctx, cancel := context.WithCancel(ctx)
		m := &member{server: s, cancel: cancel, done: make(chan struct{}), kick: make(chan struct{}, 1), blocked: block{"starting", "not looked at yet"}}
		l.servers[s.ID] = m
		go func() {
			defer close(m.done)
			l.tend(mctx, m, s)
		}()
	}
	for id, m := range l.servers {
		if !seen[id] {
			ended = append(ended, m)
			delete(l.servers, id)
		}
	}
	l.mu.Unlock()
	for _, m := range ended {
		m.cancel()
		<-m.done
	}
	l.note.SetServers(servers)
	return nil
}

// sameServer compares what a member's goroutine rests on.
func sameServer(a, b fleet.Server) bool {
	return a.Type == b.Type && a.Address == b.Address && a.ProbeAddr() == b.ProbeAddr() && a.NotifyAddr() == b.NotifyAddr() &&
		a.Control == b.Control && a.Stats == b.Stats && a.View == b.View && a.State == b.State && a.Accepted == b.Accepted &&
		slices.Equal(a.Credential, b.Credential) &&
		slices.EqualFunc(a.Pools, b.Pools, func(x, y fleet.Pool) bool {
			return x.ID == y.ID && x.Unmanaged == y.Unmanaged && slices.Equal(x.Primaries, y.Primaries) && slices.Equal(x.Protect, y.Protect) && x.CompareEvery == y.CompareEvery
		})
}

func (l *leader) stopAll() {
	l.mu.Lock()
	all := make([]*member, 0, len(l.servers))
	for _, m := range l.servers {
		all = append(all, m)
	}
	l.mu.Unlock()
	for _, m := range all {
		m.cancel()
		<-m.done
	}
}

// follow handles the feed's next entries and returns the position after them.
func (l *leader) follow(ctx context.Context, pos int64) (int64, error) {
	entries, err := l.Store.Feed(ctx, pos, 500)
	if err != nil || len(entries) == 0 {
		return pos, err
	}
	// Of several entries about a zone only the last one counts.
	content, member := make(map[int64]fleet.FeedEntry), make(map[int64]fleet.FeedEntry)
	config := false
	var ids []int64
	for _, e := range entries {
		switch e.Kind {
		case fleet.FeedContent:
			content[e.ZoneID] = e
			ids = append(ids, e.ZoneID)
		case fleet.FeedMember:
			member[e.ZoneID] = e
		case fleet.FeedConfig:
			config = true
		}
	}
	if config {
		if err := l.reload(ctx); err != nil {
			return pos, err
		}
	}
	if err := l.members(ctx, member); err != nil {
		return pos, err
	}
	slices.Sort(ids)
	served, err := l.Store.Served(ctx, slices.Compact(ids))
	if err != nil {
		return pos, err
	}
	for _, z := range served {
		l.changed(z, content[z.ZoneID].Pos)
	}
	return entries[len(entries)-1].Pos, nil
}

// changed tells the servers that have the zone.
func (l *leader) changed(z fleet.Served, pos int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range l.servers {
		if z.Kind == fleet.Marker && !z.Name.Equal(m.server.Marker) || z.Kind == fleet.Restored || !inPools(m.server, z.Pools) {
			continue
		}
		if z.Kind == fleet.Ordinary {
			m.dirty = true
		}
		if z.Kind == fleet.Marker && m.blocked.code != "" {
			m.wake() // it may just have been placed
			continue
		}
		if blockedBy(m.server) != "" {
			continue // what it misses, it catches up with before it is back in service
		}
		if z.Kind == fleet.Ordinary {
			l.open.add(m.server.ID, z.Name, z.Serial, pos)
		}
		if m.blocked.code == "" {
			l.note.Add(m.server.ID, z.Name, z.Serial, z.SOA)
			continue
		}
		// Guard 1 holds even NOTIFY back: a task stands for the change.
		go l.proven(m.server.ID, z.Name, z.Serial, errors.New(m.blocked.reason))
	}
}

// members makes tasks of zones that came, went or moved.
func (l *leader) members(ctx context.Context, entries map[int64]fleet.FeedEntry) error {
	if len(entries) == 0 {
		return nil
	}
	l.mu.Lock()
	members := make([]*member, 0, len(l.servers))
	for _, m := range l.servers {
		members = append(members, m)
	}
	l.mu.Unlock()
	var tasks []report.Task
	for _, m := range members {
		if blockedBy(m.server) != "" {
			continue
		}
		n := len(tasks)
		for _, e := range entries {
			if e.ZoneKind != fleet.Ordinary {
				continue
			}
			t := report.Task{Server: m.server.Name, Zone: e.Zone, Want: report.Absent, Serial: e.Serial, NextTry: l.Now()}
			w, err := l.Store.WantedOne(ctx, m.server.ID, e.Zone)
			switch {
			case err == nil:
				t.Want, t.Incarnation, t.Serial = report.Present, w.Incarnation, w.Serial
			case !errors.Is(err, fleet.ErrNoZone):
				return err
			}
			tasks = append(tasks, t)
		}
		if len(tasks) > n {
			l.mu.Lock()
			m.dirty = true
			l.mu.Unlock()
		}
	}
	if err := l.Store.PutTasks(ctx, tasks); err != nil {
		return err
	}
	for _, m := range members {
		m.wake()
	}
	return nil
}

func (m *member) wake() {
	select {
	case m.kick <- struct{}{}:
	default:
	}
}

func inPools(s fleet.Server, pools []int64) bool {
	return slices.ContainsFunc(s.Pools, func(p fleet.Pool) bool { return slices.Contains(pools, p.ID) })
}

// proven is called by the notifier, when the server answers with the serial or
// when it has not for too long; then a task takes over.
func (l *leader) proven(server int64, name zone.Name, serial zone.Serial, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err != nil && !fleet.IsMarkerName(name) {
		w, werr := l.Store.WantedOne(ctx, server, name)
		switch {
		case errors.Is(werr, fleet.ErrNoZone): // its deletion has a task of its own
		case werr != nil:
			l.Log.Warn("read a zone", "zone", name.String(), "err", werr)
			return // stays outstanding: the cursor does not move past it
		default:
			t := report.Task{Server: l.nameOf(server), Zone: name, Want: report.Present, Incarnation: w.Incarnation, Serial: w.Serial,
				NextTry: l.Now()}
			if perr := l.Store.PutTasks(ctx, []report.Task{t}); perr != nil {
				l.Log.Warn("write a task", "zone", name.String(), "err", perr)
				return
			}
		}
	}
	l.open.drop(server, name, serial)
	if err == nil {
		if w, werr := l.Store.WantedOne(ctx, server, name); werr == nil && !w.Serial.Ahead(serial) {
			t := report.Task{Server: l.nameOf(server), Zone: name, Want: report.Present, Incarnation: w.Incarnation, Serial: w.Serial}
			if _, derr := l.Store.DoneTask(ctx, t); derr != nil {
				l.Log.Warn("settle a task", "zone", name.String(), "err", derr)
			}
		}
	}
}

func (l *leader) nameOf(server int64) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if m, ok := l.servers[server]; ok {
		return m.server.Name
	}
	return ""
}

// outstanding is the changes that no server has been proven to have, nor a task
// stands for, by the feed position they came at.
type outstanding struct {
	mu  sync.Mutex
	out map[outKey]outChange
}

type outChange struct {
	pos    int64       // of the first change that is not proven
	serial zone.Serial // of the last one
}

type outKey struct {
	server int64
	zone   zone.Key
}

func (o *outstanding) init() { o.out = make(map[outKey]outChange) }

// add keeps the earliest position of a (server, zone).
func (o *outstanding) add(server int64, name zone.Name, serial zone.Serial, pos int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	k := outKey{server, name.Key()}
	if c, have := o.out[k]; have {
		pos = c.pos
	}
	o.out[k] = outChange{pos, serial}
}

// drop forgets a (server, zone) unless it has changed past the serial since.
func (o *outstanding) drop(server int64, name zone.Name, serial zone.Serial) {
	o.mu.Lock()
	defer o.mu.Unlock()
	k := outKey{server, name.Key()}
	if !o.out[k].serial.Ahead(serial) {
		delete(o.out, k)
	}
}

// safe is the greatest position up to pos that nothing outstanding is at or
// before.
func (o *outstanding) safe(pos int64) int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, c := range o.out {
		pos = min(pos, c.pos-1)
	}
	return pos
}

// block is why nothing may be written to a server; the zero value is that it may.
type block struct {
	code   string // one of a few words, for metrics
	reason string // for people
}

// blockOf is the block that a marker's verdict means.
func blockOf(m plan.Marker) block {
	switch m.State {
	case plan.MarkerSound:
		return block{}
	case plan.MarkerMissing:
		return block{"marker-missing", m.Reason}
	}
	return block{"marker-wrong", m.Reason}
}

// setBlocked notes whether, and why, nothing may be written to the server.
func (l *leader) setBlocked(m *member, b block) {
	l.mu.Lock()
	before := m.blocked
	m.blocked = b
	l.mu.Unlock()
	l.Metrics.block(m.server.Name, b.code)
	switch {
	case b.code != "" && b.code != before.code:
		l.Log.Warn("server is left alone", "server", m.server.Name, "reason", b.code, "err", b.reason)
	case b.code == "" && before.code != "":
		l.Log.Info("server is kept in agreement", "server", m.server.Name)
	}
}
