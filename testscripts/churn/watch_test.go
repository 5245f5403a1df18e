package churn_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"

	"dnsctl/fleet"
)

// watcher looks at a nameserver all the while, in its own way.
type watcher struct {
	*zones
	s     *nameserver
	every time.Duration

	before map[string]bool // what it had at the last look
	begun  time.Time       // when that look began
	lives  map[string]int  // the newest life that it was seen to serve, by zone
	starts int64           // of the server, when lives was begun
	served map[string]bool // at the last look

	mu     sync.Mutex
	looks  int
	soas   int
	copies int // transfers
	raced  int // wanted zones that went while they had just become wanted
	silent int // wanted zones that stopped being answered for a moment
}

// grace is how long a zone may have been wanted when it goes from a nameserver: a
// deletion that was begun before is not undone, but followed by an add (guard 6).
const grace = 8 * time.Second

// watch looks until ctx ends.
func (w *watcher) watch(ctx context.Context, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 4))
	w.served = map[string]bool{}
	for pause(ctx, w.every) {
		w.look(ctx)
		w.ask(ctx)
		w.copyOne(rnd)
	}
}

// look compares the server's zones with those of the last look: a wanted zone that
// it had is there.
func (w *watcher) look(ctx context.Context) {
	begun := time.Now()
	now, err := w.s.list()
	if err != nil || ctx.Err() != nil {
		if errors.Is(err, errNoMarker) {
			w.faults.add("%s: %v", w.s.name, err)
		}
		return // it is down, or just starting
	}
	w.mu.Lock()
	w.looks++
	w.mu.Unlock()
	for _, n := range w.all {
		text := n.zone.String()
		if !w.before[text] || now[text] {
			continue
		}
		_, pool, life, wanted := n.now()
		switch {
		case wanted.IsZero():
		case wanted.Before(w.begun.Add(-grace)):
			w.faults.add("%s no longer has %s, life %d in pool %s, wanted since %s, which it had at %s:%s", w.s.name, text, life, pool,
				wanted.Format("15:04:05.000"), w.begun.Format("15:04:05.000"), w.told(n))
		default:
			w.mu.Lock()
			w.raced++
			w.mu.Unlock()
		}
	}
	w.before, w.begun = now, begun
}

// deletions looks at all that was deleted from the nameservers, which may have been
// between two looks: nothing had been wanted for long.
func (z *zones) deletions(servers []*nameserver) {
	for _, n := range z.all {
		n.mu.Lock()
		n.end()
		spans := n.spans
		n.mu.Unlock()
		events, err := z.store.Events(context.Background(), fleet.EventFilter{Zone: n.zone, Limit: 100000})
		if err != nil {
			z.faults.add("events of %s: %v", n.zone, err)
			return
		}
		for _, e := range events {
			if e.Action != "delete" || !slices.ContainsFunc(servers, func(s *nameserver) bool { return s.name == e.Server }) {
				continue
			}
			z.count("deletions on nameservers")
			for _, s := range spans {
				if e.At.After(s.from.Add(grace)) && e.At.Before(s.to) {
					z.faults.add("%s was deleted from %s at %s, and wanted since %s: %s", n.zone, e.Server, e.At.Format("15:04:05.000"), s.from.Format("15:04:05.000"), e.Result)
				}
			}
		}
	}
}

// told is what the store says was done with a name on the server.
func (w *watcher) told(n *name) string {
	events, err := w.store.Events(context.Background(), fleet.EventFilter{Zone: n.zone, Limit: 20})
	if err != nil {
		return err.Error()
	}
	out := ""
	for _, e := range events {
		out += fmt.Sprintf("\n\t%s %s: %s %s %s", e.At.Format("15:04:05.000"), e.Command, e.Action, e.Server, e.Result)
	}
	return out
}

// ask asks for every zone: an earlier life never comes back, but where the server
// was killed and had not written the new one to its disk.
func (w *watcher) ask(ctx context.Context) {
	if now := w.s.starts.Load(); w.lives == nil || now != w.starts {
		w.lives, w.starts = map[string]int{}, now
	}
	for _, n := range w.all {
		text := n.zone.String()
		if !w.before[text] {
			w.served[text] = false
			continue
		}
		_, life, served, err := w.s.soa(text)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			return // it is down
		}
		w.mu.Lock()
		w.soas++
		if !served && w.served[text] {
			w.silent++
		}
		w.mu.Unlock()
		w.served[text] = served
		if !served {
			continue
		}
		if before := w.lives[text]; life < before && w.s.starts.Load() == w.starts {
			w.faults.add("%s serves life %d of %s after life %d:%s", w.s.name, life, text, before, w.told(n))
		}
		w.lives[text] = max(life, w.lives[text])
	}
}

// copyOne transfers a zone, whose records are all of one life.
func (w *watcher) copyOne(rnd *rand.Rand) {
	n := w.all[rnd.IntN(len(w.all))]
	text := n.zone.String()
	_, pool, _, _ := n.now()
	if !w.before[text] || pool == poolAway {
		return
	}
	rrs, err := w.s.transfer(text, pool+".")
	if err != nil {
		return
	}
	w.mu.Lock()
	w.copies++
	w.mu.Unlock()
	if err := ofOneLife(rrs); err != nil {
		w.faults.add("%s: %s: %v", w.s.name, text, err)
	}
}

// ofOneLife says whether all records carry the life of the SOA.
func ofOneLife(rrs []dns.RR) error {
	soa, ok := rrs[0].(*dns.SOA)
	if !ok {
		return errors.New("a transfer does not begin with an SOA")
	}
	life, err := lifeOf(soa.Mbox)
	if err != nil {
		return err
	}
	for _, rr := range rrs {
		if t, ok := rr.(*dns.TXT); ok && t.Txt[0] != fmt.Sprintf("life%d", life) {
			return fmt.Errorf("life %d has %s", life, rr)
		}
	}
	return nil
}
