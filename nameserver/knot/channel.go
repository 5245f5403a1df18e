package knot

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"

	"dnsctl/nameserver"
	"dnsctl/report"
)

const (
	connectTime = 10 * time.Second
	stall       = 30 * time.Second // without an octet, the server is given up
	commitTime  = 10 * time.Minute // a commit of very many zones says nothing for long

	// lockTime is a little less than how long knotd 3.4 has a command wait for others
	// where control.timeout is not set; then it answers without a word, as if it were done.
	lockTime = 4500 * time.Millisecond
)

// mute says whether an answer without a word may be of a command that was not carried
// out: it took as long as that, and is none that may take long.
func mute(request []unit, took time.Duration) bool {
	if took < lockTime || len(request) == 0 {
		return false
	}
	switch request[0][itemCommand] {
	case "zone-purge", "conf-commit", "conf-abort":
		return false
	}
	return true
}

// dialer connects to the control socket.
type dialer interface {
	dial(ctx context.Context) (net.Conn, error)
	// explain says why a connection that dial made has ended, nil where it does not
	// know.
	explain() error
	String() string
	close()
}

// socket is a control socket on this host.
type socket string

func (s socket) String() string { return "unix:" + string(s) }
func (socket) close()           {}
func (socket) explain() error   { return nil }

func (s socket) dial(ctx context.Context) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: connectTime}).DialContext(ctx, "unix", string(s))
	return conn, mayOpen(err)
}

// mayOpen gives a socket that may not be opened its kind and remedy.
func mayOpen(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return report.Hint(fmt.Errorf("%w: %w", nameserver.ErrAuth, err), "run dnsctl as the nameserver's user, or as one of its group (on Debian: adduser USER knot)")
	}
	return err
}

// channel is one connection to the control socket. knotd serves one such
// connection at a time, and keeps the others waiting: so it is closed as soon as
// nothing more is to be said.
type channel struct {
	conn net.Conn
	to   dialer
	in   *bufio.Reader
	wait time.Duration // how long the server may be silent
	err  error         // why it cannot be used any more
}

// connect opens a channel.
func connect(ctx context.Context, to dialer) (*channel, error) {
	conn, err := to.dial(ctx)
	if err != nil {
		if ctx.Err() != nil {
			err = errors.Join(err, ctx.Err())
		}
		if errors.Is(err, nameserver.ErrAuth) {
			return nil, fmt.Errorf("control socket %s: %w", to, err)
		}
		return nil, fmt.Errorf("control socket %s: %w", to, unreachable(err))
	}
	c := &channel{conn: conn, to: to, wait: stall}
	c.in = bufio.NewReaderSize(patient{c}, 1<<16)
	return c, nil
}

// unreachable is ErrUnreachable for a reason, whose own hint is better where it has
// one.
func unreachable(err error) error {
	e := fmt.Errorf("%w: %w", nameserver.ErrUnreachable, err)
	if _, hint := report.ExitOf(err); hint != "" {
		return report.Hint(e, hint)
	}
	return e
}

// patient reads from a connection that must not go silent.
type patient struct{ *channel }

func (p patient) Read(b []byte) (int, error) {
	_ = p.conn.SetReadDeadline(time.Now().Add(p.wait))
	return p.conn.Read(b)
}

func (c *channel) close() {
	_, _ = c.conn.Write([]byte{kindEnd})
	_ = c.conn.Close()
}

// ask sends n requests, all of them at once, and gives each unit of their answers to
// got with the number of its request. Each is made when it is sent: there may be
// hundreds of thousands. got's error ends the channel, and is returned as it is; so
// does every other error, after which it is not known which requests were carried out.
func (c *channel) ask(ctx context.Context, n int, request func(i int) []unit, got func(i int, u unit) error) error {
	if c.err != nil {
		return c.err
	}
	return c.exchange(ctx, n, request, n, got)
}

// next reads an answer more, to the last request: knotd answers each command of one.
func (c *channel) next(ctx context.Context) error {
	var said error
	err := c.exchange(ctx, 0, nil, 1, func(_ int, u unit) error {
		said = errors.Join(said, refusal(u))
		return nil
	})
	return errors.Join(err, said)
}

func (c *channel) exchange(ctx context.Context, n int, request func(i int) []unit, answers int, got func(i int, u unit) error) error {
	err := c.exchanged(ctx, n, request, answers, got)
	if err != nil {
		c.err = err
	}
	return err
}

func (c *channel) exchanged(ctx context.Context, n int, request func(i int) []unit, answers int, got func(i int, u unit) error) error {
	if ctx.Err() != nil {
		return c.broken(ctx, ctx.Err())
	}
	var stop error // got's
	stopWatch := context.AfterFunc(ctx, func() { _ = c.conn.Close() })
	defer stopWatch()
	// The server answers while it reads: both ends would wait for ever if requests
	// were written first.
	sent := make(chan error, 1)
	go func() { sent <- c.send(n, request) }()
	err := func() error {
		for i := range answers {
			began, silent := time.Now(), true
			for {
				kind, u, err := readUnit(c.in)
				if err != nil {
					return err
				}
				if kind == kindEnd {
					return fmt.Errorf("%w: it ends before the last answer", errMalformed)
				}
				if kind == kindBlock {
					// The request is made once more only where its answer took long.
					if took := time.Since(began); silent && took >= lockTime && i < n && mute(request(i), took) {
						return fmt.Errorf("another command keeps knotd from %s", request(i)[0][itemCommand])
					}
					break
				}
				silent = false
				if stop = got(i, u); stop != nil {
					return stop
				}
			}
		}
		return nil
	}()
	if err != nil {
		_ = c.conn.Close() // or the writer might wait for ever
	}
	if failed := <-sent; err == nil {
		err = failed
	}
	switch {
	case stop != nil:
		return stop
	case err != nil:
		return c.broken(ctx, err)
	}
	return nil
}

// send writes requests.
func (c *channel) send(n int, request func(i int) []unit) error {
	out := bufio.NewWriterSize(c.conn, 1<<16)
	var b []byte
	for i := range n {
		var err error
		if b, err = appendRequest(b[:0], request(i)); err != nil {
			return err
		}
		_ = c.conn.SetWriteDeadline(time.Now().Add(commitTime))
		if _, err := out.Write(b); err != nil {
			return err
		}
	}
	return out.Flush()
}

// broken gives a fault of the channel its kind.
func (c *channel) broken(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		err = unreachable(ctx.Err())
	case errors.Is(err, errMalformed), errors.Is(err, io.ErrUnexpectedEOF):
		err = fmt.Errorf("%w: %w", nameserver.ErrAnswer, err)
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		if err = c.to.explain(); err == nil {
			err = fmt.Errorf("%w: it closed the connection before it had answered", nameserver.ErrAnswer)
		} else {
			err = unreachable(err)
		}
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = unreachable(fmt.Errorf("no answer in time, or another client holds the socket: %w", context.DeadlineExceeded))
	default:
		err = unreachable(err)
	}
	return fmt.Errorf("control socket %s: %w", c.to, err)
}
