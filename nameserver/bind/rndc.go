package bind

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"dnsctl/nameserver"
)

// rndc is one control channel. It connects when it is first used and again
// after any fault. It is used by one goroutine at a time.
type rndc struct {
	addr string // host:port
	key  key

	conn   net.Conn
	nonce  string
	serial uint32
	used   time.Time
}

const (
	dialTimeout    = 10 * time.Second
	commandTimeout = 60 * time.Second // when ctx has no deadline
	idleLimit      = 20 * time.Second // named closes a channel that is idle for longer than a minute
	maxCommand     = 32000            // octets; named drops the connection a little above this
	expiry         = 60               // seconds that a command of ours is good for
)

// Result codes of commands (lib/isc/include/isc/result.h). Those of named's libraries
// have other numbers in other releases, and are known by their words.
const (
	resultExists   = 18
	resultNotFound = 23
	resultFailure  = 25
	resultNoFile   = 38

	notLoaded      = "zone not loaded"
	unknownCommand = "unknown command"
)

// resultError is named's own refusal of a command.
type resultError struct {
	verb   string // the command's first word
	code   int
	reason string // what the code means
	text   string // what named says about it
}

func (e *resultError) Error() string {
	s := "rndc " + e.verb + ": " + e.reason
	if e.text != "" {
		s += ": " + strings.Join(strings.Fields(e.text), " ")
	}
	return s
}

// Is maps named's codes to the driver's errors. "Not found" may be a zone, a
// view, or something that a zone's settings name; the text tells.
func (e *resultError) Is(target error) bool {
	switch {
	case e.code == resultNotFound && strings.Contains(e.text, "no matching zone"):
		return target == nameserver.ErrNoZone
	case e.code == resultExists:
		return target == nameserver.ErrExists
	}
	return target == nameserver.ErrRefused
}

// do runs one command and returns its text.
func (r *rndc) do(ctx context.Context, command string) (string, error) {
	verb, _, _ := strings.Cut(command, " ")
	if len(command) > maxCommand {
		return "", fmt.Errorf("rndc %s: %w: a command of %d octets, named takes %d", verb, nameserver.ErrRefused, len(command), maxCommand)
	}
	body, err := r.ask(ctx, command)
	if err != nil {
		return "", fmt.Errorf("rndc %s at %s: %w", verb, r.addr, err)
	}
	data := body.sub("_data")
	code, err := strconv.Atoi(data.get("result"))
	if err != nil {
		r.close()
		return "", fmt.Errorf("rndc %s at %s: %w: no result code", verb, r.addr, nameserver.ErrAnswer)
	}
	if code != 0 {
		reason := data.get("err")
		if reason == "" {
			reason = fmt.Sprintf("result %d", code)
		}
		return "", &resultError{verb: verb, code: code, reason: reason, text: data.get("text")}
	}
	return data.get("text"), nil
}

// ask sends a command over the open connection, or a new one, and returns the
// verified answer. After an error the connection is closed; whether the command
// was carried out is then unknown.
func (r *rndc) ask(ctx context.Context, command string) (table, error) {
	if r.conn != nil && (time.Since(r.used) > idleLimit || !quiet(r.conn)) {
		r.close()
	}
	if r.conn == nil {
		if err := r.open(ctx); err != nil {
			r.close()
			return nil, err
		}
	}
	body, err := r.exchange(ctx, command)
	if err != nil {
		r.close()
		return nil, r.explain(ctx, err, false)
	}
	return body, nil
}

// quiet says whether the other side has neither closed the connection, as a
// restarted named has, nor sent anything unasked. Then nothing is sent over it,
// and connecting anew repeats no command.
func quiet(conn net.Conn) bool {
	tcp, ok := conn.(*net.TCPConn)
	if !ok || conn.SetDeadline(time.Time{}) != nil {
		return false
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return false
	}
	empty := false
	err = raw.Read(func(fd uintptr) bool {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		empty = errors.Is(err, syscall.EAGAIN)
		return true
	})
	return err == nil && empty
}

// open connects and learns the nonce that every command must repeat.
func (r *rndc) open(ctx context.Context) error {
	d := net.Dialer{Timeout: dialTimeout}
	conn, err := d.DialContext(ctx, "tcp", r.addr)
	if err != nil {
		if ctx.Err() != nil {
			err = errors.Join(err, ctx.Err())
		}
		return fmt.Errorf("%w: %w", nameserver.ErrUnreachable, err)
	}
	r.conn, r.nonce, r.serial = conn, "", rand.Uint32()
	body, err := r.exchange(ctx, "null")
	if err != nil {
		return r.explain(ctx, err, true)
	}
	if r.nonce = body.sub("_ctrl").get("_nonce"); r.nonce == "" {
		return fmt.Errorf("%w: no nonce", nameserver.ErrAnswer)
	}
	return nil
}

func (r *rndc) exchange(ctx context.Context, command string) (table, error) {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(commandTimeout)
	}
	conn := r.conn
	if err := conn.SetDeadline(deadline); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer func() {
		if !stop() { // it may still end this connection, so that is not used again
			r.close()
		}
	}()

	r.serial++
	now := time.Now().Unix()
	serial := strconv.FormatUint(uint64(r.serial), 10)
	ctrl := table{
		value("_ser", serial),
		value("_tim", strconv.FormatInt(now, 10)),
		value("_exp", strconv.FormatInt(now+expiry, 10)),
	}
	if r.nonce != "" {
		ctrl = append(ctrl, value("_nonce", r.nonce))
	}
	message := encode(r.key, table{{key: "_ctrl", table: ctrl}, {key: "_data", table: table{value("type", command)}}})
	if _, err := conn.Write(message); err != nil {
		return nil, err
	}
	b, err := readMessage(conn)
	if err != nil {
		return nil, err
	}
	body, err := decode(r.key, b)
	if err != nil {
		return nil, err
	}
	got := body.sub("_ctrl")
	switch {
	case got.get("_rpl") != "1":
		return nil, fmt.Errorf("%w: not an answer", errMalformed)
	case got.get("_ser") != serial:
		return nil, fmt.Errorf("%w: an answer to another command", errMalformed)
	case r.nonce != "" && got.get("_nonce") != r.nonce:
		return nil, fmt.Errorf("%w: an answer of another session", errMalformed)
	}
	r.used = time.Now()
	return body, nil
}

// explain gives a fault of the channel its kind. named closes the connection
// without a word when the key, the algorithm, our address or our clock is wrong;
// that shows in the handshake.
func (r *rndc) explain(ctx context.Context, err error, handshake bool) error {
	closed := errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %w", nameserver.ErrUnreachable, ctx.Err())
	case errors.Is(err, errUnsigned):
		return fmt.Errorf("%w: the answer's %w", nameserver.ErrAuth, err)
	case closed && handshake:
		return fmt.Errorf("%w: it closed the connection (is key %q the one in its controls statement, our address allowed there, and our clock right?)",
			nameserver.ErrAuth, r.key.name)
	case errors.Is(err, errMalformed), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: %w", nameserver.ErrAnswer, err)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%w: no answer in time: %w", nameserver.ErrUnreachable, context.DeadlineExceeded)
	}
	return fmt.Errorf("%w: %w", nameserver.ErrUnreachable, err)
}

func (r *rndc) close() {
	if r.conn != nil {
		_ = r.conn.Close()
		r.conn = nil
	}
}
