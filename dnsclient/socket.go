package dnsclient

import (
	"container/heap"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"dnsctl/wire"
)

// slot is what an answer is found by.
type slot struct {
	server netip.AddrPort
	id     uint16
}

// socket is one UDP socket with the questions that are open on it.
type socket struct {
	prober *Prober
	conn   *net.UDPConn
	wake   chan struct{} // the earliest deadline has changed
	done   chan struct{}

	mu    sync.Mutex
	open  map[slot]*question
	queue deadlines // the same questions
}

// add registers a question; errIDTaken and errFull are its errors.
func (s *socket) add(q *question) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.open) >= perSocket {
		return errFull
	}
	if _, taken := s.open[q.slot()]; taken {
		return errIDTaken
	}
	s.open[q.slot()] = q
	s.arm(q)
	return nil
}

// arm sets a new deadline for a question that is or comes into the heap.
func (s *socket) arm(q *question) {
	q.deadline = time.Now().Add(s.prober.opts.Timeout << min(q.tries, 6))
	if q.tries++; q.tries == 1 {
		heap.Push(&s.queue, q)
	} else {
		heap.Fix(&s.queue, q.index)
	}
	if q.index == 0 {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// take removes a question; false when it is not there any more, because somebody
// else has it.
func (s *socket) take(q *question) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q.req == nil || s.open[q.slot()] != q {
		return false
	}
	s.remove(q)
	return true
}

func (s *socket) remove(q *question) {
	delete(s.open, q.slot())
	heap.Remove(&s.queue, q.index)
}

// drop removes the questions that match; nil matches all.
func (s *socket) drop(match func(*question) bool) (dropped []*question) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range s.open {
		if match == nil || match(q) {
			s.remove(q)
			dropped = append(dropped, q)
		}
	}
	return dropped
}

// read takes datagrams until the socket is closed.
func (s *socket) read() {
	buf := make([]byte, udpBuffer)
	for {
		n, from, err := s.conn.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // an ICMP error about an earlier datagram
			continue
		}
		s.received(buf[:n], unmap(from))
	}
}

// received finds the question that a datagram answers. Datagrams that answer
// none are passed over: anyone can send them.
func (s *socket) received(msg []byte, from netip.AddrPort) {
	h, ok := wire.ParseHeader(msg)
	if !ok {
		return
	}
	s.mu.Lock()
	q := s.open[slot{from, h.ID}]
	if q == nil {
		s.mu.Unlock()
		return
	}
	if err := q.req.match(msg, false); err != nil {
		q.stray = err
		s.mu.Unlock()
		return
	}
	s.remove(q)
	s.mu.Unlock()
	if h.Flags&wire.FlagTC != 0 {
		s.prober.readers.Go(func() { s.prober.overTCP(q) })
		return
	}
	msg, err := q.req.open(msg, s.prober.client.now())
	if err != nil {
		e := q.error()
		e.Rcode = h.Flags.Rcode()
		q.results <- Result{Probe: q.probe, Err: e.classify(q.ctx, err)}
		return
	}
	q.answered(msg)
}

// expire sends again, or gives up, what was not answered in time.
func (s *socket) expire() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-s.done:
			return
		case <-s.wake:
		case <-timer.C:
		}
		again, gone, next := s.due(time.Now())
		for _, q := range again {
			if !s.lastOverTCP(q) {
				q.send()
			}
		}
		for _, q := range gone {
			err := q.stray
			if err == nil {
				err = bad(ErrTimeout, "asked %d times", s.prober.opts.Tries)
			}
			q.fail(q.ctx, err)
		}
		if next > 0 {
			timer.Reset(next)
		}
	}
}

// lastOverTCP makes the last of a question's tries over TCP: the system sends again
// what is lost on the way. Few are made at a time; false says that this one is to be
// made over UDP, which does not hold up the others when a server is dead.
func (s *socket) lastOverTCP(q *question) bool {
	p := s.prober
	s.mu.Lock()
	last := q.tries == p.opts.Tries && q.stray == nil
	s.mu.Unlock()
	if !last {
		return false
	}
	select {
	case p.tcp <- struct{}{}:
	default:
		return false
	}
	if !s.take(q) {
		<-p.tcp
		return true
	}
	p.readers.Go(func() {
		defer func() { <-p.tcp }()
		msg, err := p.client.lastTry(q.ctx, q.probe.Server, q.req)
		if err != nil {
			q.fail(q.ctx, err)
			return
		}
		q.answered(msg)
	})
	return true
}

// due finds the questions whose deadline has passed, and says how long it is to
// the next one; 0 when there is none.
func (s *socket) due(now time.Time) (again, gone []*question, next time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.queue) > 0 {
		q := s.queue[0]
		if wait := q.deadline.Sub(now); wait > 0 {
			return again, gone, wait
		}
		if q.tries < s.prober.opts.Tries {
			s.arm(q)
			again = append(again, q)
			continue
		}
		s.remove(q)
		gone = append(gone, q)
	}
	return again, gone, 0
}

// deadlines is a heap of questions, the earliest deadline first.
type deadlines []*question

func (d deadlines) Len() int           { return len(d) }
func (d deadlines) Less(i, j int) bool { return d[i].deadline.Before(d[j].deadline) }
func (d deadlines) Swap(i, j int) {
	d[i], d[j] = d[j], d[i]
	d[i].index, d[j].index = i, j
}

// Push is heap.Interface's.
func (d *deadlines) Push(x any) {
	q := x.(*question)
	q.index = len(*d)
	*d = append(*d, q)
}

// Pop is heap.Interface's.
func (d *deadlines) Pop() any {
	n := len(*d) - 1
	q := (*d)[n]
	(*d)[n] = nil
	*d = (*d)[:n]
	return q
}
