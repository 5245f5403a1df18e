package render

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Interruptible is a reader whose Read also ends, with ctx's error, when ctx
// does: a terminal or pipe that says nothing must not keep a run from ending. A
// read that is under way then goes on, its data are lost.
func Interruptible(ctx context.Context, r io.Reader) io.Reader { return &interruptible{ctx: ctx, r: r} }

type interruptible struct {
	ctx context.Context //nolint:containedctx // the reader lives as long as the run
	r   io.Reader
}

type readResult struct {
	data []byte
	err  error
}

func (i *interruptible) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	done := make(chan readResult, 1)
	go func() {
		b := make([]byte, len(p)) // p is the caller's again when ctx ends
		n, err := i.r.Read(b)
		done <- readResult{b[:n], err}
	}()
	select {
	case <-i.ctx.Done():
		return 0, context.Cause(i.ctx)
	case r := <-done:
		return copy(p, r.data), r.err
	}
}

// ErrNoAnswer is returned by Confirm when nobody can be asked: standard input or
// standard error is no terminal.
var ErrNoAnswer = errors.New("nobody to ask: not on a terminal")

// Confirm asks a person to type what the question is about: how many zones will
// be deleted, or a server's name. Anything else is a no. It returns ErrNoAnswer
// where nobody can be asked.
func (o *Output) Confirm(question, answer string) (bool, error) {
	if !o.InTerminal || !o.ErrTerminal {
		return false, ErrNoAnswer
	}
	fmt.Fprintf(o.Err, "%s\nType %s to confirm: ", Clean(question), o.PaintErr(Strong, Clean(answer)))
	if o.lines == nil {
		o.lines = bufio.NewReader(o.In)
	}
	line, err := o.lines.ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("read the answer: %w", err)
	}
	return strings.TrimSpace(line) == answer, nil
}
