package mdns

import (
	"context"
	"iter"
	"sync"

	"dnsctl/zone"
)

// flight is a load of a zone that several requests wait for. A transfer need not
// wait for its end: it sends what was read so far.
type flight struct {
	done chan struct{} // closed when c or err is set
	c    *content
	err  error

	mu      sync.Mutex
	version int64
	parts   []iter.Seq[zone.RRset] // what was read, in order; never shortened
	more    chan struct{}          // closed when there is another part
}

func newFlight() *flight {
	return &flight{done: make(chan struct{}), more: make(chan struct{})}
}

// read takes the next RRsets.
func (f *flight) read(version int64, sets iter.Seq[zone.RRset]) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.version = version
	f.parts = append(f.parts, sets)
	close(f.more)
	f.more = make(chan struct{})
}

// part waits for the i-th part; ok is false behind the last one, or for a load
// that gives none, and done is closed then.
func (f *flight) part(ctx context.Context, i int) (sets iter.Seq[zone.RRset], version int64, ok bool, err error) {
	for ended := false; ; {
		f.mu.Lock()
		parts, version, more := f.parts, f.version, f.more
		f.mu.Unlock()
		if i < len(parts) {
			return parts[i], version, true, nil
		}
		if ended {
			return nil, version, false, f.err
		}
		select {
		case <-more:
		case <-f.done:
			ended = true
		case <-ctx.Done():
			return nil, 0, false, ctx.Err()
		}
	}
}
