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

const (
	cursorName = "keeper"
	storeTime  = 10 * time.Second // bounds what is written when a term has ended
)

// leader is one term of leadership.
type leader struct {
	*Keeper
	lease   fleet.Lease
	mu      sync.Mutex
	servers map[int64]*member // guarded by mu
	note    *Notifier
	open    outstanding
	// recatalog says that members came or went, or a catalog is served.
	recatalog chan struct{}
}

// member is one server during a term. Its goroutine owns it but for what mu of
// the leader guards.
type member struct {
	server fleet.Server
	cancel context.CancelFunc
	done   chan struct{}
	kick   chan struct{} // there is work, or the marker moved

	strangers []zone.Name // markers of others that were found; its goroutine's
	sought    time.Time   // when they were last looked for because ours is missing; its goroutine's

	blocked block  // why nothing may be written; guarded by leader.mu
	dirty   bool   // the feed moved past its marker; guarded by leader.mu
	listed  bool   // all its zones were read in this term: whose markers it carries is known; guarded by leader.mu
	relook  bool   // a catalog waits for its marker to be looked at; guarded by leader.mu
	health  health // for others to read; guarded by leader.mu
}

// run follows the feed and keeps one goroutine per server.
func (l *leader) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	l.open.init()
	l.note = NewNotifier(l.Notify, func(server int64, name zone.Name, serial zone.Serial, err error) {
		l.proven(ctx, server, name, serial, err)
	})
	l.note.Metrics, l.note.Now = l.Metrics.notify, l.Now
	var wg sync.WaitGroup
	wg.Go(func() { l.note.Run(ctx) })
	defer wg.Wait()
	defer cancel()
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
	wg.Go(func() { l.catalogs(ctx) })
	saved, saveAt := pos, l.Now()
	for ctx.Err() == nil {
		next, err := l.follow(ctx, pos)
		if errors.Is(err, fleet.ErrFeedGone) {
			l.lost(ctx, pos)
			return
		}
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
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTime)
		defer cancel()
		if err := l.Store.SetCursor(ctx, cursorName, safe, l.lease); err != nil {
			l.Log.Warn("store the cursor", "err", err)
		}
	}
}

// lost begins at the feed's head after the entries behind pos were compacted
// away. The term ends: the comparisons that the next one begins with find what
// those entries were about.
func (l *leader) lost(ctx context.Context, pos int64) {
	l.Log.Warn("the change feed was compacted past the cursor: all servers are compared", "pos", pos)
	head, err := l.Store.Head(ctx)
	if err == nil {
		err = l.Store.SetCursor(ctx, cursorName, head, l.lease)
	}
	if err != nil && ctx.Err() == nil {
		l.Log.Warn("store the cursor", "err", err)
	}
}

// start loads the servers and the cursor. Where there is none, what came before
// is left to the first comparison.
func (l *leader) start(ctx context.Context) (int64, error) {
	if err := l.Store.FreeTasks(ctx, l.lease); err != nil {
		return 0, err
	}
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
	now := make(map[int64]fleet.Server, len(servers))
	for _, s := range servers {
		now[s.ID] = s
	}
	var ended []*member
	l.mu.Lock()
	for id, m := range l.servers {
		if s, there := now[id]; there && sameServer(m.server, s) {
			m.server = s
			continue
		}
		ended = append(ended, m)
		delete(l.servers, id)
	}
	l.mu.Unlock()
	// Two goroutines never work on one server: they would share its lock.
	l.end(ended)
	for _, m := range ended {
		if s, there := now[m.server.ID]; !there || s.Name != m.server.Name {
			l.Metrics.forget(m.server.Name)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range servers {
		if _, there := l.servers[s.ID]; there {
			continue
		}
		mctx, cancel := context.WithCancel(ctx)
		m := &member{server: s, cancel: cancel, done: make(chan struct{}), kick: make(chan struct{}, 1), blocked: block{code: "starting", reason: "not looked at yet"}}
		l.servers[s.ID] = m
		go func() {
			defer close(m.done)
			l.tend(mctx, m, s)
		}()
	}
	l.tell()
	return nil
}

// tell makes the servers that may be written to those that NOTIFY goes to. What
// waits for others is handed back to proven, which makes tasks of it. l.mu is
// held.
func (l *leader) tell() {
	var to []fleet.Server
	for _, m := range l.servers {
		if m.blocked.told() {
			to = append(to, m.server)
		}
	}
	l.note.SetServers(to)
}

// end stops members and waits for them.
func (l *leader) end(members []*member) {
	for _, m := range members {
		m.cancel()
	}
	for _, m := range members {
		<-m.done
	}
}

// sameServer compares what a member's goroutine rests on.
func sameServer(a, b fleet.Server) bool {
	return a.Name == b.Name && a.Type == b.Type && a.Address == b.Address && a.ProbeAddr() == b.ProbeAddr() && a.NotifyAddr() == b.NotifyAddr() &&
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
	l.end(all)
}

// follow handles the feed's next entries and returns the position after them.
func (l *leader) follow(ctx context.Context, pos int64) (int64, error) {
	entries, err := l.Store.Feed(ctx, pos, 500)
	if err == nil && l.Served != nil {
		served := l.Served()
		entries = slices.DeleteFunc(entries, func(e fleet.FeedEntry) bool { return e.Pos > served })
	}
	if err != nil || len(entries) == 0 {
		return pos, err
	}
	// Of several entries about a zone only the last one counts.
	content, member := make(map[int64]int64), make(map[zone.Key]zone.Name)
	config, catalogs := false, false
	var ids []int64
	for _, e := range entries {
		catalogs = catalogs || e.Kind != fleet.FeedContent || e.ZoneKind == fleet.Catalog
		switch e.Kind {
		case fleet.FeedContent:
			content[e.ZoneID] = e.Pos
			ids = append(ids, e.ZoneID)
		case fleet.FeedMember:
			if e.ZoneKind == fleet.Ordinary {
				member[e.Zone.Key()] = e.Zone
			}
		case fleet.FeedConfig:
			config = true
		}
	}
	if config {
		if err := l.reload(ctx); err != nil {
			return pos, err
		}
	}
	if catalogs {
		select {
		case l.recatalog <- struct{}{}:
		default:
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
	var held []heldBack
	for _, z := range served {
		if z.Damage != nil { // there is nothing to tell of it
			l.Log.Error("zone cannot be read", "zone", z.Name.String(), "err", z.Damage)
			continue
		}
		held = l.changed(z, content[z.ZoneID], held)
	}
	if err := l.standIn(ctx, held); err != nil {
		return pos, err
	}
	return entries[len(entries)-1].Pos, nil
}

// heldBack is a change that a server may not be told of now.
type heldBack struct {
	server fleet.Server
	zone   zone.Name
}

// standIn makes tasks of the changes that NOTIFY was held back for: guard 1
// holds even that back.
func (l *leader) standIn(ctx context.Context, held []heldBack) error {
	var tasks []report.Task
	for _, h := range held {
		w, err := l.Store.WantedOne(ctx, h.server.ID, h.zone)
		switch {
		case errors.Is(err, fleet.ErrNoZone):
			continue // its deletion has a task of its own
		case err != nil:
			return err
		}
		tasks = append(tasks, l.present(h.server.Name, w))
	}
	return l.Store.PutTasks(ctx, tasks)
}

func (l *leader) present(server string, w fleet.Wanted) report.Task {
	return report.Task{Server: server, Zone: w.Name, Want: report.Present, Incarnation: w.Incarnation, Serial: w.Serial, NextTry: l.Now()}
}

// changed tells the servers that have the zone, and adds those that may not be
// told to held.
func (l *leader) changed(z fleet.Served, pos int64, held []heldBack) []heldBack {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range l.servers {
		if z.Kind == fleet.Marker && !z.Name.Equal(m.server.Marker) || z.Kind == fleet.Restored || z.Kind == fleet.Catalog || !inPools(m.server, z.Pools) {
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
		if !m.blocked.told() {
			held = append(held, heldBack{m.server, z.Name})
			continue
		}
		if z.Kind == fleet.Ordinary {
			l.open.add(m.server.ID, z.Name, z.Serial, pos)
		}
		l.note.Add(m.server.ID, z.Name, z.Serial, z.SOA)
	}
	return held
}

// members makes tasks of zones that came, went or moved, on the servers that
// should have them or should have had them.
func (l *leader) members(ctx context.Context, zones map[zone.Key]zone.Name) error {
	if len(zones) == 0 {
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
		for _, name := range zones {
			t, needed, err := l.taskOf(ctx, m.server, name)
			if err != nil {
				return err
			}
			if needed {
				tasks = append(tasks, t)
			}
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

// taskOf is the task that brings a zone on a server to what the database wants;
// false when the server has nothing to do with the zone.
func (l *leader) taskOf(ctx context.Context, s fleet.Server, name zone.Name) (report.Task, bool, error) {
	w, err := l.Store.WantedOne(ctx, s.ID, name)
	if err == nil {
		return l.present(s.Name, w), true, nil
	}
	if !errors.Is(err, fleet.ErrNoZone) {
		return report.Task{}, false, err
	}
	t, err := l.Store.Tombstone(ctx, s.ID, name)
	if errors.Is(err, fleet.ErrNotFound) {
		return report.Task{}, false, nil
	}
	return l.absent(s.Name, t), err == nil, err
}

func (l *leader) absent(server string, t fleet.Tombstone) report.Task {
	return report.Task{Server: server, Zone: t.Name, Want: report.Absent, Incarnation: t.Incarnation, Serial: t.LastSerial, NextTry: l.Now()}
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
func blockOf(m plan.Marker) block {
	switch m.State {
	case plan.MarkerSound:
		return block{}
	case plan.MarkerMissing:
		return block{code: "marker-missing", reason: m.Reason}
	}
	return block{code: MarkerWrong, reason: m.Reason, diverged: m.Diverged}
}

// setBlocked notes whether, and why, nothing may be written to the server.
func (l *leader) setBlocked(m *member, b block) {
	l.mu.Lock()
	before, name := m.blocked, m.server.Name
	m.blocked = b
	m.health.block(b, l.Now())
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
