package mdns

import (
	"context"
	"fmt"
	"sync"

	"dnsctl/zone"
)

// history keeps the changes that were sent last, condensed (RFC 1995 section 5),
// since after a change every secondary asks for the same.
type history struct {
	mu   sync.Mutex
	kept *lru[span, []zone.Delta]
}

// span names a chain of changes. What it condenses to is always the same.
type span struct {
	edition, version int64
	from             zone.Serial
}

// historyShare is the part of Config.CacheBytes that changes may take.
const historyShare = 16

func newHistory(budget int64) *history {
	return &history{kept: newLRU[span, []zone.Delta](budget / historyShare)}
}

func (h *history) get(s span) []zone.Delta {
	h.mu.Lock()
	defer h.mu.Unlock()
	d, _ := h.kept.get(s)
	return d
}

func (h *history) put(s span, d []zone.Delta, cost int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.kept.put(s, d, cost)
}

func (h *history) purge() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.kept.purge()
}

// changesSince is the changes since the client's serial. They are nil, and the
// content is given where it was needed for knowing, when the whole zone is to be
// sent: history does not reach back, or is longer than the zone.
func (s *Server) changesSince(ctx context.Context, e *entry, from zone.Serial) ([]zone.Delta, *content, error) {
	key := span{e.edition, e.version, from}
	if d := s.history.get(key); d != nil {
		return d, nil, nil
	}
	var content *content
	limit := e.octets
	if limit == 0 {
		var err error
		if content, err = s.cache.get(ctx, e); err != nil {
			return nil, nil, err
		}
		limit = int64(content.snap.Octets())
	}
	deltas, err := s.cfg.Source.Deltas(ctx, e.edition, from, e.serial, limit)
	if err != nil {
		return nil, nil, fmt.Errorf("read changes of zone %s: %w", e.apex, err)
	}
	n := len(deltas)
	if n == 0 || deltas[0].From() != from || deltas[n-1].To() != e.serial {
		return nil, content, nil
	}
	if n > 1 { // never longer, and the same from every replica
		deltas = []zone.Delta{zone.Condense(deltas)}
	}
	size := octetsOf(deltas)
	if size > limit {
		return nil, content, nil
	}
	s.history.put(key, deltas, 2*size+1024) // twice: the structs and headers around them
	return deltas, nil, nil
}

// octetsOf is the size of changes as uncompressed records.
func octetsOf(deltas []zone.Delta) (n int64) {
	add := func(sets ...zone.RRset) {
		for _, s := range sets {
			n += int64(s.Data.Len()*(len(s.Owner)+8) + len(s.Data))
		}
	}
	for i := range deltas {
		add(deltas[i].OldSOA, deltas[i].NewSOA)
		add(deltas[i].Removed...)
		add(deltas[i].Added...)
	}
	return n
}
