package mdns

import (
	"errors"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// minTaken is how many octets a client must take in each period of pace.wait.
const minTaken = 2 << 10

var (
	// errStalled says that a client took too little for too long.
	errStalled = errors.New("client takes nothing")
	// errTooLong says that a transfer did not end in time.
	errTooLong = errors.New("transfer takes longer than transfers may")
)

// pace writes to a TCP connection for as long as the client takes octets, however
// slowly, and no longer. What the client has taken is what it acknowledged: the
// kernel takes octets from us in large steps, long after the client did.
type pace struct {
	*net.TCPConn
	wait  time.Duration
	until atomic.Int64 // end of all writing in Unix nanoseconds, unless 0

	written int64
	taken   int64     // when last looked at
	end     time.Time // the write deadline that is set
	one     [1][]byte // of Write
}

// Write writes all of b. The error is errStalled, errTooLong, or the
// connection's.
func (p *pace) Write(b []byte) (n int, err error) {
	p.one[0] = b
	return p.writeAll(p.one[:])
}

// writeAll is Write for what lies in several places, which it lets go of.
func (p *pace) writeAll(rest net.Buffers) (n int, err error) {
	for len(rest) > 0 {
		end := time.Now().Add(p.wait) // the kernel's business, so by the real clock
		bounded := false
		if until := p.until.Load(); until != 0 && until < end.UnixNano() {
			end, bounded = time.Unix(0, until), true
		}
		// A deadline that is a little early does: see below. Setting one for each
		// answer would cost as much as the answer.
		if p.end.Before(end.Add(-p.wait/16)) || p.end.After(end) {
			p.setEnd(end)
		}
		k, err := p.writeSome(&rest)
		n += k
		if errors.Is(err, os.ErrDeadlineExceeded) && p.end.Before(end) {
			p.setEnd(end)
			k, err = p.writeSome(&rest)
			n += k
		}
		switch {
		case err == nil:
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return n, err
		case bounded:
			return n, errTooLong
		case !p.moved():
			return n, errStalled
		}
	}
	return n, nil
}

// writeSome writes until the write deadline, and leaves in rest what it did not.
func (p *pace) writeSome(rest *net.Buffers) (n int, err error) {
	if one := *rest; len(one) == 1 {
		n, err = p.TCPConn.Write(one[0])
		if one[0] = one[0][n:]; len(one[0]) == 0 {
			one[0], *rest = nil, nil
		}
	} else {
		var k int64
		k, err = rest.WriteTo(p.TCPConn)
		n = int(k)
	}
	p.written += int64(n)
	return n, err
}

func (p *pace) setEnd(t time.Time) {
	p.end = t
	_ = p.SetWriteDeadline(t)
}

// endAt sets the end of all writing; zero for none.
func (p *pace) endAt(t time.Time) {
	if t.IsZero() {
		p.until.Store(0)
		return
	}
	p.until.Store(t.UnixNano())
}

// moved says whether the client has taken enough since this was last asked. It is
// asked only when a deadline has passed.
func (p *pace) moved() bool {
	taken := p.written - waiting(p.TCPConn)
	if taken-p.taken < minTaken {
		return false
	}
	p.taken = taken
	return true
}
