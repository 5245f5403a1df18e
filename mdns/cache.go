package mdns

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"

	"dnsctl/fleet"
	"dnsctl/zone"
)

// errBehind is returned when the store gives content older than what has been
// announced: a lagging replica of the database.
var errBehind = errors.New("the store's content is behind what has been served")

// cache keeps zones' content within a budget of octets, the least recently used
// going first. Content in use by a transfer lives on until that ends.
type cache struct {
	source Content
	index  *index
	m      *metrics
	loads  chan struct{} // one token for each load under way

	mu      sync.Mutex
	kept    *lru[int64, *content] // by edition
	flights map[int64]*flight
	small   []small // loads that wait to be done together
	workers int     // that do so
}

// streamMin is how large a zone must be, in octets, for its transfer to begin
// while it is loaded.
const streamMin = 64 << 10

// isSmall says whether the zone is known to be smaller than that.
func (e *entry) isSmall() bool { return e.octets > 0 && e.octets < streamMin }

func newCache(source Content, index *index, m *metrics, budget int64, loads int) *cache {
	return &cache{
		source: source, index: index, m: m, loads: make(chan struct{}, loads),
		kept: newLRU[int64, *content](budget), flights: map[int64]*flight{},
	}
}

// peek is the entry's content when it is at hand and current, else nil.
func (k *cache) peek(e *entry) *content {
	k.mu.Lock()
	defer k.mu.Unlock()
	if c, ok := k.kept.get(e.edition); ok && c.version >= e.version {
		return c
	}
	return nil
}

// get is the entry's content, of its version or a later one; loaded from the
// store once for all who ask at the same time.
func (k *cache) get(ctx context.Context, e *entry) (*content, error) {
	for {
		c, f, first := k.begin(ctx, e)
		if c != nil {
			return c, nil
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if f.err != nil {
			return nil, f.err
		}
		if f.c.version >= e.version {
			return f.c, nil
		}
		if first {
			return nil, fmt.Errorf("load zone %s: %w", e.apex, errBehind)
		}
	}
}

// begin is the entry's content when it is at hand, or else the load of it that is
// under way; first says that this call began it. What is loaded may turn out to
// be older than the entry.
func (k *cache) begin(ctx context.Context, e *entry) (c *content, f *flight, first bool) {
	if c := k.peek(e); c != nil {
		k.m.cacheHits.Inc()
		return c, nil, false
	}
	k.mu.Lock()
	f, wait := k.flights[e.edition]
	if !wait {
		f = newFlight()
		k.flights[e.edition] = f
		// The load is finished for the others who wait even when this request ends.
		ctx := context.WithoutCancel(ctx)
		if _, older := k.kept.get(e.edition); e.isSmall() && !older {
			k.loadTogether(ctx, f, e)
		} else {
			go k.fly(ctx, f, e)
		}
	}
	k.mu.Unlock()
	return nil, f, !wait
}

// open is get for a transfer: where the content is not at hand it may be the load
// of it instead, which has read the first part and is of the entry's version or a
// later one.
func (k *cache) open(ctx context.Context, e *entry) (*content, *flight, error) {
	c, f, _ := k.begin(ctx, e)
	if c != nil {
		return c, nil, nil
	}
	if _, version, ok, err := f.part(ctx, 0); err == nil && ok && version >= e.version {
		return nil, f, nil
	}
	c, err := k.get(ctx, e)
	return c, nil, err
}

func (k *cache) fly(ctx context.Context, f *flight, e *entry) {
	k.loads <- struct{}{}
	read := f.read
	if e.isSmall() {
		read = nil // it is there before anybody could send a part of it
	}
	f.c, f.err = k.load(ctx, e, read)
	<-k.loads
	k.land(f, e)
}

// land gives what was loaded, or why it was not, to those who wait.
func (k *cache) land(f *flight, e *entry) {
	k.mu.Lock()
	delete(k.flights, e.edition)
	if f.err == nil && f.c.version >= e.version {
		k.keep(f.c)
	}
	k.mu.Unlock()
	if f.err == nil && f.c.version > e.version {
		k.index.raise(e, f.c.version, f.c.snap)
	}
	close(f.done)
}

// load applies the stored changes to an older version that is at hand, or else
// reads the whole zone.
func (k *cache) load(ctx context.Context, e *entry, read func(int64, iter.Seq[zone.RRset])) (*content, error) {
	k.mu.Lock()
	old, _ := k.kept.get(e.edition)
	k.mu.Unlock()
	if old != nil {
		deltas, err := k.source.Deltas(ctx, e.edition, old.snap.Serial(), e.serial, int64(old.snap.Octets()))
		if err == nil && len(deltas) > 0 {
			if s, err := applyAll(old.snap, deltas); err == nil && s.Serial() == e.serial {
				k.m.cacheLoads.WithLabelValues("delta").Inc()
				c := newContent(s, e.edition, e.version)
				c.inherit(old)
				return c, nil
			}
		}
	}
	s, version, err := k.source.Stream(ctx, e.edition, read)
	if err != nil {
		k.m.cacheLoads.WithLabelValues("failed").Inc()
		return nil, fmt.Errorf("load zone %s: %w", e.apex, err)
	}
	k.m.cacheLoads.WithLabelValues("whole").Inc()
	return newContent(s, e.edition, version), nil
}

func applyAll(s *zone.Snapshot, deltas []zone.Delta) (*zone.Snapshot, error) {
	for _, d := range deltas {
		var err error
		if s, err = s.Apply(d); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// keep puts content into the cache; the caller holds mu.
func (k *cache) keep(c *content) {
	if old, ok := k.kept.get(c.edition); ok && old.version > c.version {
		return
	}
	octets := c.image.octets()
	if c.cost+octets > k.kept.budget { // it has grown: better without than not at all
		c.image.drop()
		octets = 0
	}
	k.hold(c, c.cost+octets)
}

// hold keeps content, and counts what it takes; the caller holds mu.
func (k *cache) hold(c *content, octets int64) {
	before := k.kept.evicted
	k.kept.put(c.edition, c, octets)
	k.m.cacheEvictions.Add(float64(k.kept.evicted - before))
	k.m.cacheBytes.Set(float64(k.kept.used))
	k.m.cacheZones.Set(float64(len(k.kept.byKey)))
}

// wantsImage says whether this transfer is to make what the content's image lacks:
// the second transfer does, if all of it can be kept.
func (k *cache) wantsImage(c *content) bool {
	if c.cost+int64(c.snap.Octets()) > k.kept.budget {
		return false
	}
	return c.image.sent.Load() || c.image.sent.Swap(true)
}

// addPack keeps a block of the content's image, and makes room for it. It is
// dropped where the content has gone from the cache meanwhile.
func (k *cache) addPack(c *content, i int, p *pack) {
	k.mu.Lock()
	defer k.mu.Unlock()
	octets, ok := k.kept.costOf(c.edition)
	if now, _ := k.kept.get(c.edition); !ok || now != c || octets+p.octets > k.kept.budget {
		return
	}
	if c.image.packs[i].CompareAndSwap(nil, p) {
		k.hold(c, octets+p.octets)
	}
}

// purge drops everything.
func (k *cache) purge() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.kept.purge()
	k.m.cacheBytes.Set(0)
	k.m.cacheZones.Set(0)
}

// gone says whether an error of get means that the zone has just been deleted.
func gone(err error) bool {
	return errors.Is(err, fleet.ErrNoZone) || errors.Is(err, fleet.ErrNotFound)
}
