package mdns

import (
	"context"
	"runtime"
)

// Zones that are small are loaded together: those that are asked for while others
// are loaded wait for each other, and are then read from the store at once. Where
// nobody waits a zone is loaded alone, as soon as it is asked for.

// small is a load that waits.
type small struct {
	f *flight
	e *entry
}

// mostTogether is how many zones are loaded at once.
const mostTogether = 32

// loadTogether has a zone loaded with others; the caller holds mu.
func (k *cache) loadTogether(ctx context.Context, f *flight, e *entry) {
	k.small = append(k.small, small{f, e})
	// While one waits for the store another has what came.
	if k.workers < max(2, runtime.GOMAXPROCS(0)) {
		k.workers++
		go k.work(ctx)
	}
}

// work loads what waits until there is no more.
func (k *cache) work(ctx context.Context) {
	for {
		k.loads <- struct{}{}
		k.mu.Lock()
		n := min(len(k.small), mostTogether)
		if n == 0 {
			k.workers--
		}
		list := k.small[:n:n]
		if k.small = k.small[n:]; len(k.small) == 0 {
			k.small = nil
		}
		k.mu.Unlock()
		if n > 0 {
			k.flyTogether(ctx, list)
		}
		<-k.loads
		if n == 0 {
			return
		}
	}
}

// flyTogether loads zones. Those that were not among what came are loaded alone,
// for what is wrong with them.
func (k *cache) flyTogether(ctx context.Context, list []small) {
	if len(list) == 1 {
		s := list[0]
		s.f.c, s.f.err = k.load(ctx, s.e, nil)
		k.land(s.f, s.e)
		return
	}
	editions := make([]int64, len(list))
	for i, s := range list {
		editions[i] = s.e.edition
	}
	got, _ := k.source.Snapshots(ctx, editions)
	for _, s := range list {
		l, ok := got[s.e.edition]
		if !ok {
			go k.fly(ctx, s.f, s.e)
			continue
		}
		k.m.cacheLoads.WithLabelValues("together").Inc()
		s.f.c = newContent(l.Content, s.e.edition, l.Version)
		k.land(s.f, s.e)
	}
}
