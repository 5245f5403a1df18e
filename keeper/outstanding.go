package keeper

import (
	"sync"

	"dnsctl/zone"
)

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
