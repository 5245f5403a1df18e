package mdns

import (
	"context"
	"sync"
	"time"

	"dnsctl/wire"
)

// maxQueued and maxQueuedOctets are how many queries of a connection wait for its
// lane, and of how many octets before the last of them; then no more are read.
const (
	maxQueued       = 64
	maxQueuedOctets = 16 << 10
)

// lane does what takes long: transfers that are not short, and answers that need
// content from the store. It works beside the connection's other answers, which
// overtake it (RFC 7766 section 7), on one query at a time in the order they came
// in.
type lane struct {
	c *tcpConn
	o outbox
	r *request // both are the worker's

	mu     sync.Mutex
	moved  sync.Cond // the queue became shorter, or the work ended
	queue  []waitingQuery
	octets int   // of the queue
	busy   bool  // there is a goroutine at work
	failed error // it could not write
}

type waitingQuery struct {
	msg []byte
	at  time.Time // it came in
}

// add has the lane answer a query. It waits while the queue is full. The error is
// that of an answer before.
func (l *lane) add(ctx context.Context, q waitingQuery) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for (len(l.queue) >= maxQueued || l.octets >= maxQueuedOctets) && l.failed == nil {
		l.moved.Wait()
	}
	if l.failed != nil {
		return l.failed
	}
	l.queue = append(l.queue, q)
	l.octets += len(q.msg)
	if !l.busy {
		l.busy = true
		go l.work(ctx)
	}
	return nil
}

// idle says whether there is nothing that a transfer would overtake.
func (l *lane) idle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.busy
}

// wait returns when the work is done, or could not be. Without rest, what has not
// begun is dropped.
func (l *lane) wait(rest bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !rest {
		l.queue, l.octets = nil, 0
	}
	for l.busy {
		l.moved.Wait()
	}
	return l.failed
}

// next takes a query off the queue; false when there is none.
func (l *lane) next() (q waitingQuery, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 {
		return q, false
	}
	q = l.queue[0]
	l.octets -= len(q.msg)
	l.queue[0] = waitingQuery{}
	l.queue = l.queue[1:]
	l.moved.Broadcast()
	return q, true
}

// end says that the work is over; false when a query came in meanwhile.
func (l *lane) end(err error) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil && len(l.queue) > 0 {
		return false
	}
	l.queue, l.octets, l.busy, l.failed = nil, 0, false, err
	l.moved.Broadcast()
	return true
}

// work answers what is in the queue and ends. When that fails the connection is
// of no more use: closing it wakes whoever reads from it.
func (l *lane) work(ctx context.Context) {
	if l.r == nil {
		l.o.c, l.r = l.c, l.c.newRequest(true)
	}
	for {
		q, ok := l.next()
		var err error
		if ok {
			l.r.at = q.at
			err = l.o.answer(ctx, l.r, q.msg, l.transfer)
			l.o.until = time.Time{}
		} else if err = l.o.flush(); cap(l.o.buf) > idleBuffer {
			l.o.buf, l.r.enc = nil, wire.Encoder{}
		}
		if err != nil {
			_ = l.c.pace.Close()
		}
		if (!ok || err != nil) && l.end(err) {
			return
		}
	}
}

// transfer sends a transfer, which has an end.
func (l *lane) transfer(ctx context.Context, r *request, e *entry) error {
	l.o.until = time.Now().Add(l.c.s.cfg.TransferTimeout)
	return l.o.transfer(ctx, r, e)
}
