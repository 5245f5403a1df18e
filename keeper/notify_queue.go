package keeper

import (
	"cmp"
	"container/heap"
	"time"

	"dnsctl/zone"
)

// notice is a change of one zone on its way to one server.
type notice struct {
	name   zone.Name
	serial zone.Serial
	soa    zone.RRset
	since  time.Time // of the earliest change that the server is not proven to have

	tries   int       // of NOTIFY that have failed
	asked   int       // questions that have found another serial, or nothing
	cause   error     // why NOTIFY was given up
	next    time.Time // when the next operation is due
	heap    *notices  // where it waits; nil while an operation or its report is under way
	index   int
	renewed time.Time // when a newer serial came meanwhile; zero when none did
	settled bool      // it is being reported
}

// limits of a queue: NOTIFY per second, operations under way, tries of NOTIFY,
// and pauses before questions.
type limits struct {
	rate, window, attempts int
	prove                  []time.Duration
}

// noticeQueue decides what is sent to a server when. It knows no clock and no
// network: the time is an argument, and its caller locks it.
type noticeQueue struct {
	limits   limits
	server   string // for jitter
	all      map[zone.Key]*notice
	toNotify notices
	toProve  notices
	sendAt   time.Time // when pacing allows the next NOTIFY
}

// notifyAgain is after how many questions a server that is still behind is told
// again: after NOTIFY it may have asked a primary that was itself behind, and was
// content with the old serial.
const notifyAgain = 2

// newNoticeQueue makes an empty queue; zero limits have the defaults.
func newNoticeQueue(l limits, server string) *noticeQueue {
	l.rate, l.window, l.attempts = cmp.Or(l.rate, 2500), cmp.Or(l.window, 128), cmp.Or(l.attempts, 5)
	if len(l.prove) == 0 {
		l.prove = []time.Duration{100 * time.Millisecond, 300 * time.Millisecond, time.Second, 3 * time.Second, 10 * time.Second}
	}
	return &noticeQueue{limits: l, server: server, all: make(map[zone.Key]*notice)}
}

// add notes a change. An older or equal serial than the one at hand is nothing
// new.
func (q *noticeQueue) add(now time.Time, name zone.Name, serial zone.Serial, soa zone.RRset) {
	key := name.Key()
	w := q.all[key]
	if w == nil {
		w = &notice{name: name, serial: serial, soa: soa, since: now}
		q.all[key] = w
		q.notify(w, now)
		return
	}
	if !serial.Ahead(w.serial) {
		return
	}
	w.serial, w.soa = serial, soa
	switch {
	case w.heap == nil && w.renewed.IsZero():
		w.renewed = now
	case w.heap == &q.toProve:
		q.unqueue(w)
		q.restart(w, now)
	}
	// One that waits for another try of NOTIFY keeps its time: a server in trouble
	// is not told more often because its zones change.
}

// clear forgets all zones and returns those that have still to be reported.
func (q *noticeQueue) clear() []notice {
	left := make([]notice, 0, len(q.all))
	for key, w := range q.all {
		delete(q.all, key)
		q.unqueue(w)
		if !w.settled || !w.renewed.IsZero() {
			left = append(left, *w)
		}
	}
	return left
}

func (q *noticeQueue) unqueue(w *notice) {
	if w.heap != nil {
		heap.Remove(w.heap, w.index)
		w.heap = nil
	}
}

// current says whether the entry was not dropped.
func (q *noticeQueue) current(w *notice) bool { return q.all[w.name.Key()] == w }

func (q *noticeQueue) notify(w *notice, at time.Time) { q.put(&q.toNotify, w, at) }

func (q *noticeQueue) put(h *notices, w *notice, at time.Time) {
	w.next, w.heap = at, h
	heap.Push(h, w)
}

// restart begins again with NOTIFY, for a newer serial.
func (q *noticeQueue) restart(w *notice, now time.Time) {
	w.renewed, w.settled, w.tries, w.asked, w.cause = time.Time{}, false, 0, 0, nil
	q.notify(w, now)
}

// next takes the operation that is due: NOTIFY, or else a question where those
// are allowed; nil when there is none. sent or proved must follow.
func (q *noticeQueue) next(now time.Time, mayAsk bool) (w *notice, ask bool) {
	switch {
	case len(q.toNotify) > 0 && !q.toNotify[0].next.After(now) && !q.sendAt.After(now):
		w = heap.Pop(&q.toNotify).(*notice)
		// A queue that fell behind its pace catches up by 10 ms worth at most.
		if behind := now.Add(-10 * time.Millisecond); q.sendAt.Before(behind) {
			q.sendAt = behind
		}
		q.sendAt = q.sendAt.Add(time.Second / time.Duration(q.limits.rate))
	case mayAsk && len(q.toProve) > 0 && !q.toProve[0].next.After(now):
		w, ask = heap.Pop(&q.toProve).(*notice), true
	default:
		return nil, false
	}
	w.heap = nil
	return w, ask
}

// wait is how long it is until next has something; idle at most.
func (q *noticeQueue) wait(now time.Time, mayAsk bool) time.Duration {
	d := idle
	if len(q.toNotify) > 0 {
		d = min(d, max(q.toNotify[0].next.Sub(now), q.sendAt.Sub(now)))
	}
	if mayAsk && len(q.toProve) > 0 {
		d = min(d, q.toProve[0].next.Sub(now))
	}
	return max(d, 0)
}

// sent takes the result of a NOTIFY.
func (q *noticeQueue) sent(now time.Time, w *notice, err error) {
	switch {
	case !q.current(w):
		return
	case !w.renewed.IsZero() && err == nil:
		q.restart(w, now)
		return
	case err == nil:
		w.tries, w.cause = 0, nil
		q.put(&q.toProve, w, now.Add(q.pause(w)))
		return
	}
	w.renewed = time.Time{}
	if w.tries++; definite(err) || w.tries >= q.limits.attempts {
		// Given up, unless the server has learned of the change by itself.
		w.cause, w.asked = err, len(q.limits.prove)-1
		q.put(&q.toProve, w, now)
		return
	}
	q.notify(w, now.Add(backoff(time.Second, 30*time.Second, w.tries-1, q.server+w.name.String())))
}

// pause before the next question, less some jitter that the zone's name decides.
func (q *noticeQueue) pause(w *notice) time.Duration {
	d := q.limits.prove[w.asked]
	return backoff(d, d, 0, q.server+w.name.String())
}

// proved takes the answer to a question. When it settles the change, settled is
// true and the result is what to report; settle must follow.
func (q *noticeQueue) proved(now time.Time, w *notice, serial zone.Serial, err error) (settled bool, result error) {
	switch {
	case !q.current(w):
		return false, nil
	case !w.renewed.IsZero():
		q.restart(w, now)
		return false, nil
	case err == nil && serial == w.serial:
		w.settled = true
		return true, nil
	}
	if w.asked++; w.asked < len(q.limits.prove) {
		if w.asked >= notifyAgain && err == nil && w.serial.Ahead(serial) {
			q.notify(w, now)
		} else {
			q.put(&q.toProve, w, now.Add(q.pause(w)))
		}
		return false, nil
	}
	w.settled = true
	switch {
	case w.cause != nil:
		return true, w.cause
	case err != nil:
		return true, err
	}
	return true, stillAt(serial, w.serial)
}

// settle ends a change that was reported, or begins with the one that came
// meanwhile.
func (q *noticeQueue) settle(now time.Time, w *notice) {
	switch {
	case !q.current(w):
	case !w.renewed.IsZero():
		w.since = w.renewed
		q.restart(w, now)
	default:
		delete(q.all, w.name.Key())
	}
}

// lag is the age of the oldest change.
func (q *noticeQueue) lag(now time.Time) (d time.Duration) {
	for _, w := range q.all {
		d = max(d, now.Sub(w.since))
	}
	return d
}

// notices is a heap by next.
type notices []*notice

func (h notices) Len() int           { return len(h) }
func (h notices) Less(i, j int) bool { return h[i].next.Before(h[j].next) }
func (h notices) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push is heap.Interface's.
func (h *notices) Push(x any) {
	w := x.(*notice)
	w.index = len(*h)
	*h = append(*h, w)
}

// Pop is heap.Interface's.
func (h *notices) Pop() any {
	n := len(*h) - 1
	w := (*h)[n]
	(*h)[n] = nil
	*h = (*h)[:n]
	return w
}
