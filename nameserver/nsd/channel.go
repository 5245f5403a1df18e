package nsd

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"dnsctl/nameserver"
)

// channel is a control channel: each command has a connection of its own, of which
// the answer is all that comes (nsd-control(8); remote.c of NSD's source).
type channel struct {
	network, addr string
	tls           *tls.Config // nil for a socket on this host
}

const (
	header       = "NSDCT1 "
	endOfInput   = "\x04\n"
	longestLine  = 64 << 10 // of an answer
	connectTime  = 5 * time.Second
	silenceLimit = 30 * time.Second // NSD answers at once, in the TLS handshake too, or reloads meanwhile
	longestWait  = 320 * time.Millisecond
	// longestCommand is what NSD reads of a command's line, and longestInput of one
	// that follows it.
	longestCommand = 1000
	longestInput   = 2000
)

// do sends a command and the lines of input that it takes, and calls line for each
// line of the answer, without its end. Input is written while the answer is read:
// NSD answers each line before it reads the next, so neither may wait for the
// other. A nil error means that the answer came whole.
//
// A connection that NSD closes without a word is tried again: it has not done the
// command, whose answer has a line at least (but where there is nothing to list).
// It does so to an eleventh connection, and to one whose handshake goes on while it
// prints statistics to another.
func (c channel) do(ctx context.Context, command string, input []string, line func(string) error) error {
	return c.repeat(ctx, command, input, line, isClosed)
}

// list is do for a command that may have nothing to answer: errNothing is that, or
// that NSD has not done it.
func (c channel) list(ctx context.Context, command string, line func(string) error) error {
	return c.repeat(ctx, command, nil, line, func(err error) bool { return errors.Is(err, errHandshake) })
}

// repeat sends a command again while that fails so.
func (c channel) repeat(ctx context.Context, command string, input []string, line func(string) error, so func(error) bool) error {
	err := c.exchange(ctx, command, input, line)
	for wait := 10 * time.Millisecond; wait <= longestWait && so(err) && ctx.Err() == nil; wait *= 2 {
		select {
		case <-ctx.Done():
		case <-time.After(wait):
			err = c.exchange(ctx, command, input, line)
		}
	}
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	verb, _, _ := strings.Cut(command, " ")
	return fmt.Errorf("nsd %s: %w", verb, err)
}

func (c channel) exchange(ctx context.Context, command string, input []string, line func(string) error) error {
	if len(command) > longestCommand {
		return fmt.Errorf("%w: NSD reads no command of %d octets", nameserver.ErrRefused, len(command))
	}
	if strings.ContainsAny(command, "\n\r\x00\x04") {
		return fmt.Errorf("%w: a command of several lines", nameserver.ErrRefused)
	}
	conn, raw, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	wrote := make(chan error, 1)
	go func() { wrote <- write(conn, command, input) }()
	err = read(ctx, conn, line)
	if err != nil {
		_ = conn.SetDeadline(time.Unix(1, 0)) // it writes no more
	}
	werr := <-wrote
	switch {
	case err == nil && werr != nil:
		err = fmt.Errorf("%w: %w", nameserver.ErrAnswer, werr)
	case err == nil && c.tls != nil && raw.ended:
		err = fmt.Errorf("%w: the connection ends before TLS does", nameserver.ErrAnswer)
	}
	return err
}

// transport is what TLS travels on. It notes its end, which crypto/tls takes for the
// end of what NSD says: that is an alert (close_notify, RFC 8446 section 6.1), which
// NSD sends and nobody on the way can.
type transport struct {
	net.Conn
	ended bool
}

func (t *transport) Read(b []byte) (int, error) {
	n, err := t.Conn.Read(b)
	t.ended = t.ended || err != nil
	return n, err
}

// connect opens a connection and proves both sides; raw is what is below TLS.
func (c channel) connect(ctx context.Context) (conn net.Conn, raw *transport, err error) {
	d := net.Dialer{Timeout: connectTime}
	conn, err = d.DialContext(ctx, c.network, c.addr)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", nameserver.ErrUnreachable, err)
	}
	if c.tls == nil {
		return conn, nil, nil
	}
	raw = &transport{Conn: conn}
	ctx, cancel := context.WithTimeout(ctx, silenceLimit)
	defer cancel()
	t := tls.Client(raw, c.tls)
	if err := t.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		switch {
		case isAuth(err):
			return nil, nil, fmt.Errorf("%w: %w", nameserver.ErrAuth, err)
		case isEnd(err):
			return nil, nil, errHandshake
		}
		return nil, nil, fmt.Errorf("%w: TLS: %w", nameserver.ErrUnreachable, err)
	}
	return t, raw, nil
}

// isAuth says whether a certificate was the trouble: the server's, or in the eyes
// of the server ours, which with TLS 1.3 shows in the first read only.
func isAuth(err error) bool {
	var op *net.OpError
	var unknown x509.UnknownAuthorityError
	return errors.Is(err, errServerCert) || errors.As(err, &unknown) || errors.As(err, &op) && op.Op == "remote error"
}

// errNothing says that the connection was closed without an answer, errHandshake
// that it was before a command could be sent.
var (
	errNothing   = fmt.Errorf("%w: it closed the connection without one", nameserver.ErrAnswer)
	errHandshake = fmt.Errorf("%w: TLS: it closed the connection in the handshake", nameserver.ErrUnreachable)
)

func isClosed(err error) bool { return errors.Is(err, errNothing) || errors.Is(err, errHandshake) }

// isEnd says whether err is that of a connection which the other side has closed.
func isEnd(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

func answerError(err error) error {
	if isAuth(err) {
		return fmt.Errorf("%w: %w", nameserver.ErrAuth, err)
	}
	return fmt.Errorf("%w: %w", nameserver.ErrAnswer, err)
}

// write sends the command in one piece, as NSD reads its header in one, then the
// input.
func write(conn net.Conn, command string, input []string) error {
	if _, err := io.WriteString(conn, header+command+"\n"); err != nil || input == nil {
		return err
	}
	w := bufio.NewWriterSize(conn, 16<<10)
	for _, l := range input {
		_, _ = w.WriteString(l) // the error stays, and is Flush's
		_ = w.WriteByte('\n')
	}
	_, _ = w.WriteString(endOfInput)
	return w.Flush()
}

// read reads lines to the end. NSD waits for a reader and does nothing else
// meanwhile, so line should be quick.
func read(ctx context.Context, conn net.Conn, line func(string) error) error {
	r := bufio.NewReaderSize(conn, longestLine)
	for some := false; ; some = true {
		if err := conn.SetReadDeadline(time.Now().Add(silenceLimit)); err != nil {
			return fmt.Errorf("%w: %w", nameserver.ErrAnswer, err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		text, err := r.ReadSlice('\n')
		switch {
		case err == io.EOF && len(text) == 0 && some:
			return nil
		case isEnd(err) && len(text) == 0 && !some:
			return errNothing
		case err == io.EOF:
			return fmt.Errorf("%w: it ends in the middle of a line", nameserver.ErrAnswer)
		case err != nil:
			return answerError(err)
		}
		if err := line(string(text[:len(text)-1])); err != nil {
			return err
		}
	}
}

// ask sends a command whose answer is short, and returns its lines.
func (c channel) ask(ctx context.Context, command string) ([]string, error) {
	var lines []string
	size := 0
	err := c.do(ctx, command, nil, func(l string) error {
		if size += len(l); size > longestLine {
			return fmt.Errorf("%w: it does not end", nameserver.ErrAnswer)
		}
		lines = append(lines, l)
		return nil
	})
	return lines, err
}

// order sends a command that changes something, and wants "ok".
func (c channel) order(ctx context.Context, command string) error {
	lines, err := c.ask(ctx, command)
	if err != nil {
		return err
	}
	if err := orderError(lines); err != nil {
		verb, _, _ := strings.Cut(command, " ")
		return fmt.Errorf("nsd %s: %w", verb, err)
	}
	return nil
}

// orderError reads the answer to a command. "already exists" is followed by "ok".
func orderError(lines []string) error {
	for _, l := range lines {
		if err := lineError(l); err != nil {
			return err
		}
	}
	if n := len(lines); n == 0 || lines[n-1] != "ok" {
		return fmt.Errorf("%w: %q", nameserver.ErrAnswer, printable(strings.Join(lines, "; ")))
	}
	return nil
}

// lineError is what one line says went wrong, if anything.
func lineError(l string) error {
	switch {
	case strings.HasPrefix(l, "zone ") && strings.HasSuffix(l, " already exists"):
		return nameserver.ErrExists
	case strings.HasPrefix(l, "warning zone ") && strings.HasSuffix(l, " not present"),
		strings.HasPrefix(l, "error zone ") && strings.HasSuffix(l, " not configured"):
		return nameserver.ErrNoZone
	case strings.HasPrefix(l, "error zone defined in nsd.conf"):
		return fmt.Errorf("%w: it is declared in the nameserver's configuration file", nameserver.ErrUntouchable)
	case strings.HasPrefix(l, "error pattern ") && strings.HasSuffix(l, " does not exist"):
		return errNoPattern
	case strings.HasPrefix(l, "error"), strings.HasPrefix(l, "warning"),
		strings.HasPrefix(l, "Error"), strings.HasPrefix(l, "Remove the member id"): // of a catalog's member, in two lines
		return fmt.Errorf("%w: %q", nameserver.ErrRefused, printable(l))
	}
	return nil
}

// errNoPattern says that nsd.conf has no pattern of the name.
var errNoPattern = fmt.Errorf("%w: its configuration lacks a pattern", nameserver.ErrRefused)
