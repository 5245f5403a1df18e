package store

import (
	"context"
	"sync"
)

// waker tells listeners that something may have been committed. It starts to
// watch the database when there is a first listener.
type waker struct {
	s      *Store
	ctx    context.Context // ends with the store
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu        sync.Mutex // guards what follows
	watching  bool
	listeners map[chan struct{}]bool
}

func newWaker(s *Store) *waker {
	w := &waker{s: s, listeners: make(map[chan struct{}]bool)}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	return w
}

// Wake returns a channel that gets a value after every commit, whoever makes it,
// and whenever one may have been missed; several may be folded into one. It is
// only a hint: read the feed from the last position that was seen. The channel
// is closed when ctx is done or the store is closed.
func (s *Store) Wake(ctx context.Context) <-chan struct{} {
	w := s.wake
	ch := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ctx.Err() != nil {
		close(ch)
		return ch
	}
	w.listeners[ch] = true
	if !w.watching {
		w.watching = true
		w.wg.Go(func() { s.d.watch(w.ctx, s, w.signal) })
	}
	w.wg.Go(func() {
		select {
		case <-ctx.Done():
		case <-w.ctx.Done():
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.listeners, ch)
		close(ch)
	})
	return ch
}

func (w *waker) signal() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for ch := range w.listeners {
		select {
		case ch <- struct{}{}:
		default: // it has one to take already
		}
	}
}

func (w *waker) stop() {
	w.cancel()
	w.wg.Wait()
}
