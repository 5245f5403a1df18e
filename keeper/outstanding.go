package keeper

import (
	"context"
	"errors"
	"sync"

	"dnsctl/fleet"
	"dnsctl/report"
	"dnsctl/zone"
)

// proven is called by the notifier, when the server answers with the serial or
// when it has not for too long; then a task takes over. What cannot be written
// now is tried again until the term ends: until then it stays outstanding, and
// the cursor does not move past it.
func (l *leader) proven(ctx context.Context, server int64, name zone.Name, serial zone.Serial, cause error) {
	for !fleet.IsMarkerName(name) {
		err := l.settle(ctx, server, name, serial, cause)
		if err == nil {
			break
		}
		if ctx.Err() == nil {
			l.Log.Warn("write what a server was proven to have", "zone", name.String(), "err", err)
		}
		if !pause(ctx, blockedRetry) {
			return
		}
	}
	l.open.drop(server, name, serial)
}

// settle ends the zone's task when the server serves what is wanted, and writes
// one when it does not.
func (l *leader) settle(ctx context.Context, server int64, name zone.Name, serial zone.Serial, cause error) error {
	w, err := l.Store.WantedOne(ctx, server, name)
	switch {
	case errors.Is(err, fleet.ErrNoZone):
		return nil // its deletion has a task of its own
	case err != nil:
		return err
	case cause != nil:
		return l.Store.PutTasks(ctx, []report.Task{l.present(l.nameOf(server), w)})
	case w.Serial == serial:
		l.shown(server)
		_, err = l.Store.DoneTask(ctx, l.present(l.nameOf(server), w))
	}
	return err
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
