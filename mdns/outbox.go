package mdns

import (
	"context"
	"encoding/binary"
	"net"
	"sync"
	"time"

	"dnsctl/wire"
)

// outbox collects a connection's messages, each with its length prefix, and
// writes several at once. Each of those who answer on a connection has one.
type outbox struct {
	c     *tcpConn
	buf   []byte
	sent  int64     // octets written
	until time.Time // end of a transfer; zero outside one

	pieces *pieces      // of messages before those in buf; nil when there are none
	beside chan written // what comes of the pieces before them, which are being written

	transferred bool // the present query was answered by a transfer
}

// answer answers one query; start sends transfers. The error is that of
// request.handle, or the connection's; with errLater nothing has been said yet.
func (o *outbox) answer(ctx context.Context, r *request, msg []byte, start transferStarter) error {
	begin := o.open()
	o.transferred = false
	out, err := r.handle(ctx, msg, o.buf, o.c.peer, start)
	switch {
	case o.transferred:
		return err
	case err != nil || len(out) == begin+wire.LengthPrefix: // no answer
		o.buf = o.buf[:begin]
		return err
	}
	o.buf = out
	return o.close(begin)
}

// open makes room for the length prefix of a message.
func (o *outbox) open() (begin int) {
	begin = len(o.buf)
	o.buf = append(o.buf, 0, 0)
	return begin
}

// close finishes the message that began at begin, and writes if there is much.
func (o *outbox) close(begin int) error {
	wire.PutLength(o.buf[begin:])
	if len(o.buf) >= writeMany {
		return o.flush()
	}
	return nil
}

// writeMany is from how many octets on messages are written although more may
// follow.
const writeMany = 32 << 10

// flush writes what is waiting: whole messages, so that others may write theirs
// after it.
func (o *outbox) flush() error {
	if err := o.settle(); err != nil {
		return err
	}
	if len(o.buf) == 0 && o.pieces == nil {
		return nil
	}
	w := o.write(o.pieces, o.buf, o.until)
	o.pieces, o.buf = nil, o.buf[:0]
	o.sent += w.octets
	return w.err
}

// written is what came of writing.
type written struct {
	octets int64
	err    error
}

// write writes pieces, if there are any, and buf behind them.
func (o *outbox) write(p *pieces, buf []byte, until time.Time) written {
	o.c.writing.Lock()
	defer o.c.writing.Unlock()
	o.c.pace.endAt(until)
	if p == nil {
		n, err := o.c.conn.Write(buf)
		return written{int64(n), err}
	}
	n, err := o.c.pace.writeAll(p.with(buf))
	p.reset()
	piecesPool.Put(p)
	return written{int64(n), err}
}

// flushBeside has the pieces written while others are made, which is of use where
// each takes as long: signing does. Nothing may wait in buf.
func (o *outbox) flushBeside() error {
	if err := o.settle(); err != nil {
		return err
	}
	p, until, done := o.pieces, o.until, make(chan written, 1)
	o.pieces, o.beside = nil, done
	go func() { done <- o.write(p, nil, until) }()
	return nil
}

// settle waits for what flushBeside began.
func (o *outbox) settle() error {
	if o.beside == nil {
		return nil
	}
	w := <-o.beside
	o.beside = nil
	o.sent += w.octets
	return w.err
}

// total is how many octets were written and wait to be.
func (o *outbox) total() int64 {
	n := o.sent + int64(len(o.buf))
	if o.pieces != nil {
		n += int64(o.pieces.octets)
	}
	return n
}

// pieces are messages, each of a body that is written from where it is, and what
// belongs before and behind it. Over TLS there are none: what is encrypted is
// copied in any case.
type pieces struct {
	list   [3*piecesMost + 1][]byte
	n      int
	octets int
	heads  [piecesMost * (wire.LengthPrefix + wire.HeaderLen + imageTail)]byte
	used   int
}

// piecesMost is how many messages are written at once, mostly of 64 KiB.
const piecesMost = 8

var piecesPool = sync.Pool{New: func() any { return new(pieces) }}

func (p *pieces) reset() {
	clear(p.list[:])
	p.n, p.octets, p.used = 0, 0, 0
}

// add takes a message: header and body, signed where signer is set.
func (p *pieces) add(h wire.Header, body []byte, signer *wire.Signer, now time.Time) {
	b := p.heads[p.used:p.used:len(p.heads)]
	b = h.Append(append(b, 0, 0))
	head := len(b)
	if signer != nil {
		b = signer.SignWith(body, b, wire.LengthPrefix, now)
	}
	n := len(b) + len(body)
	binary.BigEndian.PutUint16(b, uint16(n-wire.LengthPrefix))
	for _, piece := range [][]byte{b[:head], body, b[head:]} {
		if len(piece) > 0 {
			p.list[p.n] = piece
			p.n++
		}
	}
	p.octets += n
	p.used += len(b)
}

func (p *pieces) full() bool { return p.n+3 >= len(p.list) }

// with is the pieces to write, and buf as the last.
func (p *pieces) with(buf []byte) net.Buffers {
	if len(buf) > 0 {
		p.list[p.n] = buf
		p.n++
	}
	return p.list[:p.n]
}
