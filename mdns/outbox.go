package mdns

import (
	"context"
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
	if len(o.buf) == 0 {
		return nil
	}
	o.c.writing.Lock()
	defer o.c.writing.Unlock()
	o.c.pace.endAt(o.until)
	n, err := o.c.conn.Write(o.buf)
	o.sent += int64(n)
	o.buf = o.buf[:0]
	return err
}
